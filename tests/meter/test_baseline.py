"""Baselines: which days count, what may be known, what is said when days are missing."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, MS_PER_MIN, local_datetime, local_midnight_ms
from backfeed.meter.baseline import METHODS, History, baseline

ZONE = ZoneInfo("Asia/Shanghai")
QUARTER_MS = 15 * MS_PER_MIN
FIRST = date(2026, 6, 1)  # a Monday; 19 June is a holiday
EVENT_DAY = date(2026, 6, 24)
MIDNIGHT = local_midnight_ms(EVENT_DAY, ZONE)
EVENT = TimeAxis(MIDNIGHT + 17 * MS_PER_H, QUARTER_MS, 8)
INVITED = MIDNIGHT + 10 * MS_PER_H


def by_day(energy_of, first=FIRST, days=30, **more):
    """Return a history in which every quarter-hour of a local day has the energy `energy_of(day)`."""
    axis = TimeAxis(local_midnight_ms(first, ZONE), QUARTER_MS, days * 96)
    net = np.array([energy_of(local_datetime(at, ZONE).date()) for at in axis], dtype=np.int64)
    return History(axis, net, "Asia/Shanghai", calendar="CN", **more)


def test_the_mean_takes_the_last_five_working_days_and_leaves_out_holidays():
    found = baseline("mean-5-workdays", by_day(lambda day: day.day), EVENT, INVITED)
    assert [day.day for day in found.days] == [23, 22, 18, 17, 16]
    assert set(found.net_wh.tolist()) == {round((23 + 22 + 18 + 17 + 16) / 5)}
    assert found.notes == ()
    assert found.power_kw[0] == found.net_wh[0] / 250


def test_days_with_an_event_of_their_own_are_not_normal():
    history = by_day(lambda day: day.day, event_days=(date(2026, 6, 23),))
    assert [day.day for day in baseline("mean-5-workdays", history, EVENT, INVITED).days] == [22, 18, 17, 16, 15]


def test_top_five_takes_the_days_that_took_most():
    levels = {23: 1, 22: 90, 18: 80, 17: 2, 16: 70, 15: 3, 12: 60, 11: 50, 10: 4, 9: 5, 8: 1000}
    found = baseline("top-5-of-10", by_day(lambda day: levels.get(day.day, 0)), EVENT, INVITED)
    assert [day.day for day in found.days] == [22, 18, 16, 12, 11]
    assert set(found.net_wh.tolist()) == {70}
    assert found.notes == ()


def test_before_control_holds_the_last_quarter_hour():
    history = by_day(lambda _: 100)
    net = history.net_wh.copy()
    net[history.axis.index_of(EVENT.start_ms - 1)] = 777
    net[history.axis.index_of(EVENT.start_ms)] = 9_999
    found = baseline("before-control", History(history.axis, net, "Asia/Shanghai"), EVENT, INVITED)
    assert set(found.net_wh.tolist()) == {777}


def test_a_regression_tells_working_days_from_others_and_follows_the_temperature():
    temperature = {FIRST + timedelta(days=i): float(20 + i % 7) for i in range(30)}
    history = by_day(
        lambda day: round(100 * temperature[day]) + (300 if day.weekday() < 5 and day.day != 19 else 0),
        temperature_c=temperature,
    )
    found = baseline("regression", history, EVENT, INVITED)
    assert set(found.net_wh.tolist()) == {round(100 * temperature[EVENT_DAY]) + 300}


def test_a_regression_leaves_out_what_the_known_days_do_not_tell_apart():
    # Only working days are known before a Saturday: its kind can not be told, so the level alone stands.
    saturday = local_midnight_ms(date(2026, 6, 6), ZONE)
    event = TimeAxis(saturday + 17 * MS_PER_H, QUARTER_MS, 4)
    warm = {FIRST + timedelta(days=i): 20.0 for i in range(10)}
    found = baseline("regression", by_day(lambda day: 100 * day.day, days=5, temperature_c=warm), event, saturday)
    assert found.net_wh.tolist() == [300] * 4
    assert "only working days known" in found.notes


def test_a_regression_is_exact_to_the_watt_hour():
    # Two days of the kind, 3 Wh apart: their mean lies half way between two whole numbers, and goes to the even one.
    saturday = local_midnight_ms(date(2026, 6, 13), ZONE)
    event = TimeAxis(saturday + 17 * MS_PER_H, QUARTER_MS, 2)
    levels = {6: 10, 7: 13}
    found = baseline("regression", by_day(lambda day: levels.get(day.day, 999), days=12), event, saturday)
    assert found.net_wh.tolist() == [12, 12]


@pytest.mark.parametrize("method", [name for name in METHODS if name != "before-control"])
def test_what_was_metered_after_the_invitation_changes_nothing(method):
    history = by_day(lambda day: day.day * 10)
    raised = history.net_wh.copy()
    raised[history.axis.index_of(INVITED) :] += 1_000_000
    honest = baseline(method, history, EVENT, INVITED)
    gamed = baseline(method, History(history.axis, raised, "Asia/Shanghai", calendar="CN"), EVENT, INVITED)
    assert honest.net_wh.tolist() == gamed.net_wh.tolist()


def test_before_control_uses_nothing_from_the_event_itself():
    history = by_day(lambda _: 100)
    raised = history.net_wh.copy()
    raised[history.axis.index_of(EVENT.start_ms) :] = 5
    assert set(baseline("before-control", History(history.axis, raised, "Asia/Shanghai"), EVENT, INVITED).net_wh) == {
        100
    }


def test_an_invitation_days_ahead_uses_only_days_that_were_over():
    early = MIDNIGHT - 2 * MS_PER_DAY + MS_PER_H
    assert [day.day for day in baseline("mean-5-workdays", by_day(lambda d: d.day), EVENT, early).days] == [
        18,
        17,
        16,
        15,
        12,
    ]


def test_fewer_days_than_asked_are_used_and_told():
    history = by_day(lambda day: day.day, first=date(2026, 6, 17), days=10)
    found = baseline("mean-5-workdays", history, EVENT, INVITED)
    assert [day.day for day in found.days] == [23, 22, 18, 17]
    assert found.notes == ("4 of 5 normal days known",)
    assert baseline("top-5-of-10", history, EVENT, INVITED).notes == ("4 of 10 days known", "4 of 5 normal days known")


@pytest.mark.parametrize("method", list(METHODS))
def test_no_history_gives_zero_and_says_so(method):
    empty = History(TimeAxis(EVENT.start_ms, QUARTER_MS, 0), np.zeros(0, dtype=np.int64), "Asia/Shanghai")
    found = baseline(method, empty, EVENT, INVITED)
    assert found.net_wh.tolist() == [0] * 8
    assert "nothing metered" in found.notes[-1]


def test_a_day_without_the_hour_of_the_event_is_passed_over():
    zone = ZoneInfo("Europe/Berlin")
    start = local_midnight_ms(date(2026, 3, 16), zone)
    axis = TimeAxis(start, QUARTER_MS, 96 * 16)
    net = np.array([local_datetime(at, zone).day for at in axis], dtype=np.int64)
    event_start = local_midnight_ms(date(2026, 3, 30), zone) + 2 * MS_PER_H  # 02:00; 29 March has no 02:00
    event = TimeAxis(event_start, QUARTER_MS, 4)
    found = baseline("regression", History(axis, net, "Europe/Berlin"), event, event_start)
    assert date(2026, 3, 29) not in found.days
    assert date(2026, 3, 28) in found.days


def test_another_step_is_refused():
    with pytest.raises(ValueError, match="differ in step"):
        baseline("mean-5-workdays", by_day(lambda _: 1), TimeAxis(EVENT.start_ms, MS_PER_H, 2), INVITED)
