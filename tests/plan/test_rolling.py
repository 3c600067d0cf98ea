"""The rolling problem: rows tell the odds of every departure, and what the plan does follows from them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.instant import MS_PER_H, MS_PER_MIN
from backfeed.plan.rolling import (
    LEVELS,
    PluggedFleet,
    SiteLimits,
    Terms,
    rolling_axis,
    rolling_problem,
    stays_chances,
)
from backfeed.plan.solve import solve

NOW_MS = 100 * 24 * MS_PER_H
STEP_MS = 15 * MS_PER_MIN
TERMS = Terms(missing_per_kwh=6.0, stored_per_kwh=0.2)


def fleet_of(left_by_h, *, energy=20.0, reserve=15.0, target=51.0, **changed):
    """Cars that have left by these hours from now, shape `(car, level)`, otherwise alike."""
    left_by_ms = NOW_MS + np.rint(np.array(left_by_h) * MS_PER_H).astype(np.int64)
    count = len(left_by_ms)
    columns = {
        "energy_kwh": energy,
        "reserve_kwh": reserve,
        "target_kwh": target,
        "energy_max_kwh": 58.0,
        "charge_max_kw": 7.0,
        "discharge_max_kw": 7.0,
        "charge_efficiency": 0.9,
        "discharge_efficiency": 0.9,
        "wear_per_kwh": 0.02,
        "hold_per_kwh_h": 0.0,
        "above_share": 0.0,
        **changed,
    }
    return PluggedFleet(
        name=tuple(f"car-{i}" for i in range(count)),
        site=np.zeros(count, np.int64),
        left_by_ms=left_by_ms,
        care=np.ones(left_by_ms.shape),
        **{name: np.full(count, value) for name, value in columns.items()},
    )


def problem_of(fleet, price, terms=TERMS):
    """The problem of a fleet at one site without limits; `price` gives the price of an hour from now."""
    axis = rolling_axis(NOW_MS, fleet.left_by_ms, NOW_MS + 36 * MS_PER_H, STEP_MS)
    free = np.full((1, axis.count), np.inf)
    prices = np.array([price((start - NOW_MS) / MS_PER_H) for start in axis.starts_ms])
    sites = SiteLimits(("site",), free, free, np.zeros((1, axis.count)))
    return rolling_problem(NOW_MS, axis, fleet, sites, prices, prices, terms)


def left_share(problem):
    return problem.windows.missing_per_kwh / TERMS.missing_per_kwh


rests_h = st.lists(st.floats(0, 60), min_size=len(LEVELS), max_size=len(LEVELS)).map(sorted)


@given(st.lists(rests_h, min_size=1, max_size=4))
def test_the_rows_of_a_car_follow_each_other_and_share_out_its_whole_departure(rests):
    problem = problem_of(fleet_of(rests), lambda _: 0.5)
    windows, share = problem.windows, left_share(problem)
    assert (share > 0).all()
    for name in dict.fromkeys(windows.vehicle):
        mine = np.array([each == name for each in windows.vehicle])
        assert share[mine].sum() == pytest.approx(1.0)
        assert windows.arrive_step[mine][0] == 0
        assert (windows.arrive_step[mine][1:] == windows.depart_step[mine][:-1]).all()
        assert np.isnan(windows.drain_kwh[mine]).tolist() == [True] + [False] * (mine.sum() - 1)


@given(rests_h)
def test_no_row_ends_after_the_quantile_it_stands_for(rests):
    problem = problem_of(fleet_of([rests]), lambda _: 0.5)
    windows = problem.windows
    ends_h = 0.25 * windows.depart_step
    ends_h = np.where(np.isnan(windows.last_step_h), ends_h, ends_h - 0.25 + windows.last_step_h)
    by_then = np.searchsorted(np.array(rests), ends_h + 0.25 - 1e-6, side="right")
    left = np.append(0.0, np.array(LEVELS))[by_then]
    # What has been laid on the ends so far is what has left: not less, and at most half a stretch early.
    laid = np.cumsum(left_share(problem))
    following = np.append(np.array(LEVELS), 1.0)[np.minimum(by_then, len(LEVELS))]
    assert (laid >= left - 1e-9).all()
    assert (laid[:-1] <= ((left + following) / 2)[:-1] + 1e-9).all()


def test_a_driver_who_surely_leaves_at_one_time_is_one_row_at_full_price():
    problem = problem_of(fleet_of([[8.0] * len(LEVELS)]), lambda _: 0.5)
    assert problem.windows.depart_step.tolist() == [32]
    assert left_share(problem).tolist() == pytest.approx([1.0])
    row_prices = problem.prices.buy_per_kwh[problem.nodes.zone[problem.windows.node]]
    assert row_prices[0, 0] == pytest.approx(0.5 * stays_chances()[0])


def test_who_is_known_to_leave_within_a_step_is_charged_until_that_minute_and_who_is_not_until_the_step_begins():
    sure, doubtful = [8.2] * len(LEVELS), [*[1.0] * 5, *[8.2] * (len(LEVELS) - 5)]
    windows = problem_of(fleet_of([sure, doubtful]), lambda _: 0.5).windows
    assert windows.depart_step.tolist() == [33, 4, 32]
    assert windows.last_step_h.tolist() == pytest.approx([0.2, np.nan, np.nan], nan_ok=True)


def test_departures_that_share_a_step_weigh_nothing_on_an_earlier_one():
    rests = [1.0, 4.0, *[10.0] * (len(LEVELS) - 2)]
    share = left_share(problem_of(fleet_of([rests]), lambda _: 0.5))
    assert share[0] == pytest.approx((LEVELS[0] + LEVELS[1]) / 2)
    assert share[1] == pytest.approx((LEVELS[2] - LEVELS[0]) / 2)
    assert share[2] == pytest.approx(1 - (LEVELS[1] + LEVELS[2]) / 2)


def cheap_at_night(hour):
    return 0.2 if hour >= 8 else 0.9


def charged_by(problem, hour):
    schedule = solve(problem)
    energy = np.concatenate([schedule.energy_flat_kwh])
    return energy[int(hour * 4) - 1]


def test_who_surely_stays_waits_for_the_night_and_sells_until_then():
    problem = problem_of(fleet_of([[16.0] * len(LEVELS)]), cheap_at_night)
    assert charged_by(problem, 8) == pytest.approx(15.0, abs=1e-3)
    assert charged_by(problem, 16) == pytest.approx(58.0, abs=1e-3) or charged_by(problem, 16) >= 51.0 - 1e-3


def test_who_may_leave_any_hour_is_charged_at_once():
    rests = np.linspace(0.5, 9.0, len(LEVELS))
    problem = problem_of(fleet_of([rests]), cheap_at_night)
    assert charged_by(problem, 4) == pytest.approx(20 + 4 * 7 * 0.9, abs=1e-3)


def test_a_car_that_comes_in_below_its_reserve_waits_for_the_night_as_well():
    problem = problem_of(fleet_of([[16.0] * len(LEVELS)], energy=8.0), cheap_at_night)
    assert charged_by(problem, 8) == pytest.approx(8.0, abs=1e-3)
    assert charged_by(problem, 16) >= 51.0 - 1e-3


def test_a_car_with_prices_of_its_own_buys_by_them_and_the_others_by_those_of_all():
    fleet = fleet_of([[16.0] * len(LEVELS)] * 2, discharge_max_kw=0.0)
    shift = np.zeros((2, 64))
    shift[1, 32:] = 1.5
    schedule = solve(problem_of(dataclasses.replace(fleet, shift_per_kwh=shift), cheap_at_night))
    energy = schedule.energy_flat_kwh.reshape(2, 64)
    assert energy[0, 31] == pytest.approx(20.0, abs=1e-3)
    assert energy[1, 31] >= 51.0 - 1e-3


def test_what_is_sold_is_never_worth_more_than_its_price():
    shift = np.array([[0.3, -0.2] * 32])
    fleet = dataclasses.replace(fleet_of([[16.0] * len(LEVELS)]), shift_per_kwh=shift)
    problem = problem_of(fleet, lambda _: 0.5)
    zone = problem.nodes.zone[problem.windows.node[0]]
    chance = stays_chances()[0]
    assert problem.prices.buy_per_kwh[zone, :2] == pytest.approx(chance * np.array([0.8, 0.3]))
    assert problem.prices.sell_per_kwh[zone, :2] == pytest.approx(chance * np.array([0.5, 0.3]))


def test_energy_that_is_needed_by_chance_is_charged_where_the_chance_is_worth_its_price():
    for share, reached in ((0.0, 51.0), (0.05, 51.0), (0.9, 58.0)):
        fleet = fleet_of([[8.0] * len(LEVELS)], above_share=share, discharge_max_kw=0.0)
        assert charged_by(problem_of(fleet, lambda _: 0.5), 8) == pytest.approx(reached, abs=1e-3)
