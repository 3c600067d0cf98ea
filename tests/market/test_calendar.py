"""Kinds of days."""

from datetime import date

from backfeed.market.calendar import DayKind, day_kind, exchange_is_known, is_calendar


def test_china_works_on_some_weekends_and_rests_on_some_weekdays():
    assert day_kind(date(2026, 9, 20), "CN") is DayKind.WORKDAY
    assert day_kind(date(2026, 9, 19), "CN") is DayKind.WEEKEND
    assert day_kind(date(2026, 10, 6), "CN") is DayKind.HOLIDAY
    assert day_kind(date(2026, 10, 8), "CN") is DayKind.WORKDAY


def test_without_a_calendar_only_the_weekday_counts():
    assert day_kind(date(2026, 10, 1)) is DayKind.WORKDAY
    assert day_kind(date(2026, 10, 3)) is DayKind.WEEKEND


def test_a_subdivision_has_holidays_of_its_own():
    assert day_kind(date(2026, 1, 6), "DE-BY") is DayKind.HOLIDAY
    assert day_kind(date(2026, 1, 6), "DE-BE") is DayKind.WORKDAY


def test_unknown_calendars_are_known_to_be_unknown():
    assert is_calendar("")
    assert is_calendar("CN")
    assert not is_calendar("XX")
    assert not is_calendar("DE-ZZ")


def test_a_year_without_announced_exchange_is_known_to_be_estimated():
    assert exchange_is_known(2026, "CN")
    assert not exchange_is_known(2040, "CN")
    assert exchange_is_known(2040, "DE-BY")
