"""Which kind of day is it: the calendar that tariffs and baselines ask.

A rule that speaks of working days means the days people work, not Monday to Friday: China moves
working days onto Saturdays and Sundays around its long holidays. Holiday calendars come from the
`holidays` package, named by country and, after a hyphen, subdivision: `CN`, `DE-BY`.
"""

from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

SATURDAY = 5


class DayKind(StrEnum):
    """What a day is to a rule."""

    WORKDAY = "workday"
    WEEKEND = "weekend"
    HOLIDAY = "holiday"


class _Holidays(Protocol):
    def __contains__(self, day: date) -> bool: ...
    def is_working_day(self, day: date) -> bool: ...
    @property
    def weekend_workdays(self) -> set[date]: ...


@lru_cache(maxsize=16)
def _calendar(name: str) -> _Holidays:
    import holidays  # noqa: PLC0415 - 0.2 s that only holiday rules should pay

    country, _, subdivision = name.partition("-")
    calendar: _Holidays = holidays.country_holidays(country, subdiv=subdivision or None)
    return calendar


def is_calendar(name: str) -> bool:
    """Say whether a holiday calendar of that name exists; the empty name means none."""
    if not name:
        return True
    try:
        _calendar(name)
    except (NotImplementedError, KeyError):
        return False
    return True


@lru_cache(maxsize=8192)
def day_kind(day: date, calendar: str = "") -> DayKind:
    """Return what a day is; a weekend day that is worked in exchange is a working day.

    >>> day_kind(date(2026, 2, 14), "CN"), day_kind(date(2026, 2, 14)), day_kind(date(2026, 10, 1), "CN")
    (<DayKind.WORKDAY: 'workday'>, <DayKind.WEEKEND: 'weekend'>, <DayKind.HOLIDAY: 'holiday'>)
    """
    if calendar:
        named = _calendar(calendar)
        if day in named:
            return DayKind.HOLIDAY
        return DayKind.WORKDAY if named.is_working_day(day) else DayKind.WEEKEND
    return DayKind.WEEKEND if day.weekday() >= SATURDAY else DayKind.WORKDAY


def exchange_is_known(year: int, calendar: str) -> bool:
    """Say whether a calendar knows which weekends are worked in a year; only China's exchanges days that late.

    The State Council announces them in autumn for the year to come; until then a calendar has estimates only.
    """
    if calendar.partition("-")[0] != "CN":
        return True
    named = _calendar(calendar)
    date(year, 1, 1) in named  # noqa: B015 -- calendars are filled by asking
    return any(day.year == year for day in named.weekend_workdays)
