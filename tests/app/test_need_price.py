"""Prices of a car that may end before its plan does: they are the derivative of what the plan is expected to cost."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backfeed.app.knowledge import MAY_TAKE_LEVELS, Car
from backfeed.app.need_price import price_shift_per_kwh, tail_of
from backfeed.battery.chemistry import Chemistry
from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_H
from backfeed.fleet.owner import EnrolledVehicle, Owner
from backfeed.fleet.state import Plug
from backfeed.plan.rolling import LEVELS

OWNER = Owner("driver", 0.25, 0.85, EnrolledVehicle("Model", Chemistry.LFP, 60.0, 7.0, 7.0, 0.9, 0.9))
NOW_MS = 1_000 * MS_PER_H
POWER_KW = 6.0
HOURS = 9
AXIS = TimeAxis(NOW_MS, MS_PER_H, HOURS)

needs = st.lists(st.floats(0.5, 6.0), min_size=10, max_size=10).map(lambda gaps: tuple(np.cumsum(gaps).tolist()))
prices = st.lists(st.sampled_from((0.1, 0.4, 0.8)), min_size=HOURS, max_size=HOURS).map(np.array)


def car(may_take_kwh: tuple[float, ...], high_kwh: float = 51.0) -> Car:
    plug = Plug("S-1", 1, "T-1", "driver", NOW_MS)
    gone_ms = np.full(len(LEVELS), AXIS.end_ms)
    return Car(plug, OWNER, "site", "home", 20.0, high_kwh, 51.0, POWER_KW, 7.0, gone_ms, may_take_kwh=may_take_kwh)


def cheapest_first(price, kwh):
    """What is charged in every hour if the cheapest are filled first, of equal ones the last."""
    charged = np.zeros(HOURS)
    for hour in sorted(range(HOURS), key=lambda each: (price[each], -each)):
        charged[hour] = min(POWER_KW, kwh - charged.sum())
    return charged


def expected_cost(price, charged, may_take_kwh, parts=2000):
    """The price of every kWh that is charged, times the chance that the car takes so much, counted piece by piece."""
    total = 0.0
    for hour in range(HOURS):
        begin = charged[:hour].sum()
        middle = begin + (np.arange(parts) + 0.5) / parts * charged[hour]
        takes = 1.0 - np.interp(middle, (0.0, *may_take_kwh), (0.0, *MAY_TAKE_LEVELS))
        total += price[hour] * charged[hour] * takes.mean()
    return total


@given(needs, prices, st.integers(0, HOURS - 1), st.integers(0, HOURS - 1))
def test_what_it_costs_to_buy_in_another_hour_is_what_the_expected_cost_changes_by(kwh, price, away, towards):
    charged = cheapest_first(price, kwh[-1])
    shift = price_shift_per_kwh(car(kwh), AXIS, price)
    assume(shift.any())
    own = price + shift
    little = 1e-4
    moved = charged.copy()
    moved[away] -= little
    moved[towards] += little
    change = expected_cost(price, moved, kwh) - expected_cost(price, charged, kwh)
    assert (own[towards] - own[away]) * little == pytest.approx(change, abs=0.02 * little)


def test_of_two_dear_hours_the_later_is_bought_as_the_car_has_likely_ended_by_then():
    price = np.array([0.4, 0.8, 0.8, 0.4, 0.4, 0.8, 0.8, 0.8, 0.8])
    own = price + price_shift_per_kwh(car(tuple(np.linspace(4, 25, 10))), AXIS, price)
    assert own[1] > own[6] + 0.1
    assert own[6] > own[3]


@given(needs, prices)
def test_the_hour_that_is_filled_last_costs_what_it_says(kwh, price):
    charged = cheapest_first(price, kwh[-1])
    last = max((hour for hour in range(HOURS) if charged[hour] > 0), key=lambda hour: (price[hour], -hour))
    shift = price_shift_per_kwh(car(kwh), AXIS, price)
    assert shift[last] == pytest.approx(max(shift[last], 0.0), abs=1e-12)
    assert shift[last] == pytest.approx(0.0, abs=1e-12) or (price + shift).min() == pytest.approx(0.0, abs=1e-12)


@given(needs, st.floats(0.05, 2.0))
def test_where_all_hours_cost_the_same_nothing_is_put_off(kwh, per_kwh):
    assert not price_shift_per_kwh(car(kwh), AXIS, np.full(HOURS, per_kwh)).any()


@given(needs, prices)
def test_no_price_of_its_own_pays_for_taking_energy(kwh, price):
    assert (price + price_shift_per_kwh(car(kwh), AXIS, price)).min() >= -1e-12


@given(needs)
def test_what_is_above_the_median_is_needed_by_chance_once_in_two_to_twenty_times(kwh):
    tail_kwh, share = tail_of(car(kwh))
    assert tail_kwh == pytest.approx(0.9 * (kwh[-1] - kwh[4])) or tail_kwh == 0.0
    assert share == 0.0 or 0.05 <= share <= 0.5


def test_a_car_whose_energy_is_known_has_the_prices_of_all():
    price = np.arange(1.0, 1.0 + HOURS)
    shown, narrow = car(()), dataclasses.replace(car(tuple(np.linspace(1, 9, 10))), energy_high_kwh=20.5)
    for each in (shown, narrow):
        assert not price_shift_per_kwh(each, AXIS, price).any()
        assert tail_of(each) == (0.0, 0.0)
