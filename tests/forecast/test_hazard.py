"""Hazards: untouched without evidence, moved by it, and by what happened in the last days."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.instant import MS_PER_DAY
from backfeed.core.rng import Streams
from backfeed.forecast.hazard import HazardRecord, habit_class
from backfeed.forecast.presence import DAY_MIN, REST_MIN

MONDAY_MIN = 4 * DAY_MIN
STEADY = 1.0 - np.exp(-REST_MIN / 600.0)
"""A stay that ends at a constant rate, after ten hours on average."""


def taught(lengths_h: list[float], *, arrives_h: float = 8.0, days_apart: float = 0.05) -> tuple[HazardRecord, float]:
    """Return a record of stays that were forecast at their arrival to end at a constant rate, and the last day."""
    record = HazardRecord()
    day = 0.0
    for number, length_h in enumerate(lengths_h):
        day = float(int(number * days_apart))
        arrival = MONDAY_MIN + 7 * DAY_MIN * day + arrives_h * 60
        record.observe([(arrival, STEADY)], arrival, arrival + length_h * 60, 0, int(number * days_apart * MS_PER_DAY))
    return record, day


@given(st.floats(0, 10_000), st.floats(0, 3_000), st.integers(0, 5))
def test_without_evidence_a_forecast_is_left_as_it_is(arrival: float, stood: float, habit: int) -> None:
    corrected = HazardRecord().correct(STEADY, arrival, arrival + stood, habit)
    assert np.allclose(corrected, STEADY, atol=1e-9)


@given(st.lists(st.floats(0.05, 60), max_size=40), st.floats(0, 5_000), st.integers(0, 5))
def test_a_corrected_forecast_is_a_distribution(lengths_h: list[float], stood: float, habit: int) -> None:
    corrected = taught(lengths_h)[0].correct(STEADY, 0.0, stood, habit)
    assert corrected[0] == 0.0
    assert (np.diff(corrected) >= -1e-12).all()
    assert corrected[-1] <= 1.0


def test_cars_that_stay_longer_than_forecast_are_forecast_longer() -> None:
    """Departures are a third as frequent as forecast, so the median goes from ln 2 of a mean to nearly thrice that."""
    lengths_h = list(Streams(5).generator("lengths").exponential(30.0, 3000))
    record, day = taught(lengths_h, days_apart=0.02)
    now = MONDAY_MIN + 7 * DAY_MIN * day + 8 * 60
    median_h = np.interp(0.5, record.correct(STEADY, now, now, 0), REST_MIN) / 60
    assert 15 < median_h < 26


def test_an_hour_at_which_all_leave_is_learnt() -> None:
    """All leave at noon; a forecast at a constant rate learns to wait for it."""
    record, day = taught([4.0 - 0.01] * 400, days_apart=0.5)
    now = MONDAY_MIN + 7 * DAY_MIN * day + 8 * 60
    left_by = record.correct(STEADY, now, now, 0)
    by_eleven, by_noon = np.interp([180.0, 240.0], REST_MIN, left_by)
    assert by_eleven < 0.1
    assert by_noon - by_eleven > 0.5


def test_drift_is_forgotten_in_days_and_says_little_of_next_week() -> None:
    lengths_h = [40.0] * 60
    record, day = taught(lengths_h, days_apart=0.02)
    now = MONDAY_MIN + 7 * DAY_MIN * day + 14 * DAY_MIN
    soon = record.correct(STEADY, now, now, 3)
    record.observe([(now, STEADY)], now, now + 30, 5, 40 * MS_PER_DAY)
    later = record.correct(STEADY, now, now, 3)
    four_h = int(np.searchsorted(REST_MIN, 240.0))
    assert soon[four_h] < 0.7 * STEADY[four_h]
    assert later[four_h] > soon[four_h] + 0.5 * (STEADY[four_h] - soon[four_h])


def test_the_order_of_what_is_asked_changes_nothing() -> None:
    one, other = taught([5.0, 7.0, 30.0])[0], taught([5.0, 7.0, 30.0])[0]
    for stood in (0.0, 90.0, 600.0):
        one.correct(STEADY, 0.0, stood, 1)
    assert np.array_equal(one.correct(STEADY, 0.0, 60.0, 2), other.correct(STEADY, 0.0, 60.0, 2))


def test_a_habit_is_known_from_the_third_stay_on() -> None:
    assert habit_class(np.array([])) == habit_class(np.array([9.0, 9.0])) == 0
    classes = [habit_class(np.full(5, hours)) for hours in (0.0, 1.0, 5.0, 9.0, 14.0, 30.0)]
    assert classes == [1, 1, 2, 3, 4, 5]
