"""Cars that nothing joins: plans equal those of HiGHS, are proven by their prices, and know where they do not hold."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_MIN
from backfeed.core.rng import Streams
from backfeed.plan.alone import plan_alone
from backfeed.plan.check import check, proposal_of
from backfeed.plan.problem import Nodes, PlanProblem, Prices, Windows
from backfeed.plan.solve import solve

EXACT = 1e-9


def agrees_with_highs(problem):
    """Compare a plan of cars alone with HiGHS and the judge; return it."""
    schedule, reference = plan_alone(problem), solve(problem, method="highs")
    assert schedule is not None
    size = max(1.0, abs(reference.objective))
    assert reference.method == "highs"
    # Where going round costs nothing HiGHS may have a dearer plan than its relaxation: one that goes both ways.
    assert schedule.objective <= reference.objective + EXACT * size
    assert schedule.objective == pytest.approx(reference.lower_bound, abs=EXACT * size)
    verdict = check(problem, proposal_of(schedule))
    assert max(verdict.max_violation_kw, verdict.max_violation_kwh) < 1e-9
    assert verdict.objective == pytest.approx(schedule.objective, abs=EXACT * size)
    for bound in (schedule.lower_bound, verdict.lower_bound):
        assert bound == pytest.approx(schedule.objective, abs=EXACT * size)
    return schedule


def chain(seed, rows, *, drains, negative, partial, short):
    """Draw one car that comes and goes, every stay at a node with prices of its own."""
    rng = Streams(seed).generator("chain")
    length = rng.integers(1, 9, rows)
    depart = np.cumsum(length + rng.integers(0, 3, rows))
    count, step_h = int(depart[-1]), 0.25
    capacity, one = float(rng.uniform(20, 80)), np.ones(rows)
    buy = rng.choice([0.0, 0.1, 0.18, 0.32], (rows, count)) - (0.2 if negative else 0.0)
    charge_efficiency, discharge_efficiency = rng.uniform(0.85, 1.0, 2)
    burnt = charge_efficiency * discharge_efficiency
    nodes = Nodes.tree([f"n{k}" for k in range(rows)], [-1] + [0] * (rows - 1), count)
    nodes.zone[:] = np.arange(rows)
    drain = rng.choice([0.0, 2.0, 15.0], rows) if drains else np.zeros(rows)
    missing = rng.choice([0.05, 0.3, 10.0], rows)
    edge = rng.uniform(0.05, 0.25, (2, rows)) if partial else np.full((2, rows), np.nan)
    return PlanProblem(
        axis=TimeAxis(0, 15 * MS_PER_MIN, count),
        prices=Prices(tuple(f"z{k}" for k in range(rows)), buy, np.minimum(buy, buy / burnt) - rng.choice([0.0, 0.03])),
        nodes=nodes,
        windows=Windows(
            vehicle=("car",) * rows,
            node=np.arange(rows),
            arrive_step=depart - length,
            depart_step=depart,
            charge_max_kw=rng.choice([0.0, 7.0, 22.0], rows, p=[0.1, 0.5, 0.4]),
            discharge_max_kw=rng.choice([0.0, 7.0, 20.0], rows, p=[0.2, 0.5, 0.3]),
            charge_efficiency=charge_efficiency * one,
            discharge_efficiency=discharge_efficiency * one,
            energy_arrival_kwh=capacity * rng.uniform(0.0, 1.0, rows),
            energy_target_kwh=capacity * rng.uniform(0.0, 1.2 if short else 0.6, rows),
            energy_min_kwh=capacity * rng.choice([0.0, 0.2, 0.5], rows),
            energy_max_kwh=capacity * one,
            wear_per_kwh=rng.uniform(0.0, 0.1) * one,
            hold_per_kwh_h=rng.choice([0.0, 1e-3, 0.02, -0.01], rows),
            drain_kwh=np.where(np.arange(rows) > 0, drain, np.nan),
            first_step_h=np.minimum(edge[0], step_h),
            last_step_h=np.minimum(edge[1], step_h),
            energy_value_per_kwh=np.minimum(rng.choice([0.0, 0.04, 0.2], rows), missing),
            missing_per_kwh=missing,
        ),
    )


@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 6),
    drains=st.booleans(),
    negative=st.booleans(),
    partial=st.booleans(),
    short=st.booleans(),
)
@settings(max_examples=150)
def test_a_car_that_comes_and_goes_is_planned_as_highs_plans_it(seed, rows, drains, negative, partial, short):
    agrees_with_highs(chain(seed, rows, drains=drains, negative=negative, partial=partial, short=short))


@pytest.mark.parametrize("seed", range(400, 440))
def test_a_fleet_is_planned_alone_as_highs_plans_it_where_no_limit_breaks(random_problem, seed):
    problem = random_problem(seed, promises=0, peak=0.0, tight=2.0, inverted=False)
    together = solve(problem, method="highs")
    if plan_alone(problem) is not None:
        agrees_with_highs(problem)
    elif not problem.nodes.metered.any():
        asked = np.abs(together.price_per_kwh).max() > 0
        both_ways = together.objective > together.lower_bound + EXACT
        assert asked or both_ways or _pays_for_both_ways(problem)


def _pays_for_both_ways(problem):
    """Return whether a price rewards both directions of a car."""
    w, zone = problem.windows, problem.nodes.zone[problem.windows.node]
    buy = problem.prices.buy_per_kwh[zone] / w.charge_efficiency[:, None]
    sell = (problem.prices.sell_per_kwh[zone] - w.wear_per_kwh[:, None]) * w.discharge_efficiency[:, None]
    return bool(np.any((sell > buy) & (w.discharge_max_kw > 0)[:, None]))


def test_many_fleets_stand_alone(random_problem):
    wanted = {"promises": 0, "peak": 0.0, "tight": 2.0, "inverted": False, "negative": False}
    found = [plan_alone(random_problem(seed, **wanted)) for seed in range(400, 440)]
    assert sum(one is not None for one in found) > 10


@pytest.mark.parametrize(("base_kw", "pv_kw"), [(500.0, 100.0), (0.0, 500.0)])
def test_a_meter_of_one_direction_has_one_price(random_problem, base_kw, pv_kw):
    wanted = {"promises": 0, "peak": 0.0, "meters": False, "inverted": False, "negative": True, "tree": "flat"}
    problem = random_problem(17, rows=12, count=24, v2g=1.0, **wanted)
    nodes, shape = problem.nodes, problem.nodes.base_load_kw.shape
    free = dataclasses.replace(
        nodes,
        metered=np.arange(len(nodes)) > 0,
        import_limit_kw=np.full(shape, np.inf),
        export_limit_kw=np.full(shape, np.inf),
        base_load_kw=np.full(shape, base_kw),
        pv_kw=np.full(shape, pv_kw),
    )
    buy = np.abs(problem.prices.buy_per_kwh)
    # Where a meter takes, negative prices curtail; where it gives, curtailing could turn it round.
    prices = Prices(problem.prices.zone, buy - (0.2 if base_kw else 0.0), 0.7 * buy - (0.2 if base_kw else 0.0))
    windows = dataclasses.replace(problem.windows, wear_per_kwh=np.full(len(problem.windows), 0.3))
    metered = dataclasses.replace(problem, nodes=free, prices=prices, windows=windows)
    if base_kw:
        assert np.any(agrees_with_highs(metered).curtailed_kw > 0)
    else:
        assert plan_alone(metered) is None  # curtailed whole, it would take
        fixed = dataclasses.replace(free, pv_kw=np.zeros(shape), base_load_kw=np.zeros(shape))
        gives = dataclasses.replace(windows, charge_max_kw=np.zeros(len(windows)))
        assert np.all(agrees_with_highs(dataclasses.replace(metered, nodes=fixed, windows=gives)).net_kw <= 0)


def one_car(**changed):
    """Return eight hours at one price of a car that wants half a battery."""
    count, one = 8, np.ones(1)
    windows = Windows(
        vehicle=("car",),
        node=np.zeros(1, np.int64),
        arrive_step=np.zeros(1, np.int64),
        depart_step=np.full(1, count),
        charge_max_kw=10.0 * one,
        discharge_max_kw=10.0 * one,
        charge_efficiency=one,
        discharge_efficiency=one,
        energy_arrival_kwh=5.0 * one,
        energy_target_kwh=25.0 * one,
        energy_min_kwh=0.0 * one,
        energy_max_kwh=50.0 * one,
        wear_per_kwh=0.01 * one,
        hold_per_kwh_h=0.0 * one,
    )
    prices = Prices(("z",), np.full((1, count), 0.2), np.full((1, count), 0.15))
    windows = dataclasses.replace(windows, **changed)
    return PlanProblem(TimeAxis(0, 60 * MS_PER_MIN, count), prices, Nodes.tree(["n"], [-1], count), windows)


def test_of_plans_that_cost_the_same_the_one_that_holds_most_is_taken():
    assert plan_alone(one_car()).power_kw[0] == pytest.approx([10, 10, 0, 0, 0, 0, 0, 0])
    gives = plan_alone(one_car(energy_arrival_kwh=np.full(1, 40.0), energy_target_kwh=np.zeros(1)))
    assert gives.power_kw[0] == pytest.approx([0, 0, 0, 0, -10, -10, -10, -10])


def test_a_drive_may_ask_for_more_than_there_is():
    problem = chain(3, 3, drains=True, negative=False, partial=False, short=True)
    problem.windows.drain_kwh[1:] = 90.0
    schedule = agrees_with_highs(problem)
    assert schedule.energy_flat_kwh.min() < 0
    assert any(slack.kind == "reserve" for slack in schedule.slacks)


@given(seed=st.integers(0, 2**32), rows=st.integers(1, 4), above=st.sampled_from([0.1, 0.5, 3.0]))
@settings(max_examples=80)
def test_where_selling_pays_more_a_plan_at_full_power_is_the_one_that_highs_finds(seed, rows, above):
    problem = chain(seed, rows, drains=False, negative=False, partial=False, short=False)
    dear = Streams(seed).generator("dear").random(problem.prices.sell_per_kwh.shape) < 0.3
    problem.prices.sell_per_kwh[dear] = problem.prices.buy_per_kwh[dear] + above
    if plan_alone(problem) is not None:
        agrees_with_highs(problem)


def test_what_both_directions_would_share_in_a_step_is_left_to_others():
    problem = one_car()
    problem.prices.sell_per_kwh[0, 3] = 0.25
    assert agrees_with_highs(problem).power_kw[0] == pytest.approx([10, 10, 10, -10, 0, 0, 0, 0])
    problem.prices.sell_per_kwh[:] = 0.25
    problem.windows.energy_target_kwh[:] = 22.0
    assert plan_alone(problem) is None
    assert solve(problem).method != "rule"


def test_cars_that_break_a_limit_are_left_to_others():
    problem = one_car()
    problem.nodes.import_limit_kw[0, 1] = 4.0
    assert plan_alone(problem) is None
    for method in ("auto", "structured"):
        assert solve(problem, gap=1e-6, method=method).objective == pytest.approx(4.0, rel=1e-5)
    problem.nodes.import_limit_kw[0, 1] = 10.0
    assert agrees_with_highs(problem).objective == pytest.approx(4.0)


def test_the_structured_method_needs_no_iteration_where_cars_stand_alone():
    schedule = solve(one_car(), method="structured")
    assert (schedule.method, schedule.iterations) == ("structured", 0)
    again = solve(one_car()), solve(one_car(), method="structured", threads=3)
    assert all(other.power_flat_kw.tobytes() == schedule.power_flat_kw.tobytes() for other in again)
    assert solve(one_car(), method="highs").method == "highs"
