"""Promises in a plan: what a broken one counts, and what is missing when the pilot ends."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.app.knowledge import STATEMENT_TOLERANCE_MS, Car
from backfeed.app.plan_promise import BROKEN_KWH, MISSING_LEAST_KWH, care_of
from backfeed.battery.chemistry import Chemistry
from backfeed.core.instant import MS_PER_H
from backfeed.fleet.owner import EnrolledVehicle, Owner
from backfeed.fleet.state import Plug
from backfeed.plan.rolling import LEVELS

OWNER = Owner("driver", 0.25, 0.85, EnrolledVehicle("Model", Chemistry.LFP, 60.0, 7.0, 7.0, 0.9, 0.9))
NOW_MS = 1_000 * MS_PER_H
NO_END = NOW_MS + 10_000 * MS_PER_H, 0.3


def car(energy_kwh: float, left_by_h: tuple[float, ...], stated_h: float | None = None) -> Car:
    stated_ms = -1 if stated_h is None else NOW_MS + int(stated_h * MS_PER_H) + STATEMENT_TOLERANCE_MS
    plug = dataclasses.replace(Plug("S-1", 1, "T-1", "driver", NOW_MS), departure_stated_ms=stated_ms)
    left_by_ms = NOW_MS + (np.array(left_by_h) * MS_PER_H).astype(np.int64)
    return Car(plug, OWNER, "site", "home", energy_kwh, energy_kwh, 51.0, 7.0, 7.0, left_by_ms)


HOURS = tuple(0.25 * 2**k for k in range(len(LEVELS)))


@given(st.floats(5, 60))
def test_a_broken_promise_of_a_silent_driver_counts_most_where_little_can_be_missing_yet(energy_kwh):
    care = care_of(car(energy_kwh, HOURS), NOW_MS, *NO_END)
    assert (np.diff(care) <= 0).all()
    assert care.min() >= 1 + BROKEN_KWH / 60


def test_what_a_broken_promise_counts_is_spread_over_what_can_be_given_away_by_then():
    care = care_of(car(51.0, (0.9,) * len(LEVELS)), NOW_MS, *NO_END)
    assert care == pytest.approx(1 + BROKEN_KWH / 7.0)


def test_who_leaves_before_the_departure_he_named_has_broken_the_word_and_until_then_nothing_is_missing():
    hours = (4.0, 5.0, 6.0, 7.0, 7.5, 7.9, 8.0, 8.2, 9.0)
    care = care_of(car(30.0, hours, stated_h=8.0), NOW_MS, *NO_END)
    assert care[:-3] == pytest.approx(1.0)
    assert care[-3:] == pytest.approx(1 + BROKEN_KWH / MISSING_LEAST_KWH)


def test_a_car_that_is_there_when_the_pilot_ends_breaks_no_promise_then():
    hours = (4.0, 5.0, 6.0, 7.0, 7.5, 7.9, 8.0, 8.2, 9.0)
    care = care_of(car(30.0, hours, stated_h=7.0), NOW_MS, NOW_MS + 8 * MS_PER_H, 0.3)
    assert care[:3] == pytest.approx(1.0)
    assert care[3:-2] == pytest.approx(1 + BROKEN_KWH / MISSING_LEAST_KWH)
    assert care[-2:] == pytest.approx(0.3)
