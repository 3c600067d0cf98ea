"""Homes with loads and PV whose meters are their cars': random ones under trees with limits, against HiGHS."""

import numpy as np
import pytest

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_MIN
from backfeed.core.rng import Streams
from backfeed.plan.check import check, proposal_of
from backfeed.plan.layout import lay_out
from backfeed.plan.problem import Nodes, PlanProblem, Prices, Windows
from backfeed.plan.solve import solve
from backfeed.plan.structured import solve_structured

EARNINGS = (1.0, 0.9, 0.5, 0.0, -0.2)
"""What exporting earns, as a share of what importing costs."""


def random_homes(seed):
    """Return up to seven homes at one or two circuits, cars there one after the other, some for parts of steps."""
    rng = Streams(seed).generator("homes")
    minutes, count = int(rng.choice([1, 15, 60])), int(rng.integers(8, 40))
    step_h, homes = minutes / 60, int(rng.integers(1, 8))
    parent = [-1, 0, 0, *(int(rng.integers(1, 3)) for _ in range(homes))]
    nodes, home = Nodes.tree([f"n{k}" for k in range(len(parent))], parent, count), 3 + np.arange(homes)
    nodes.metered[home] = True
    sun = np.maximum(np.sin(np.linspace(-1.0, 4.0, count)), 0.0)
    nodes.base_load_kw[home] = rng.gamma(2.0, 0.5, (homes, count)) * (
        rng.random((homes, count)) < rng.choice([0.3, 1.0])
    )
    nodes.pv_kw[home] = rng.choice([0.0, 2.0, 7.0], (homes, 1)) * sun
    cuts = [np.sort(rng.choice(count + 1, 4, replace=False)) for _ in home]
    arrive, depart = np.array(cuts)[:, ::2].ravel(), np.array(cuts)[:, 1::2].ravel()
    rows, at = 2 * homes, np.repeat(home, 2)
    charge = np.repeat(rng.choice([3.7, 7.4, 22.0], homes), 2)
    capacity = np.repeat(rng.choice([5.0, 20.0, 60.0], homes), 2)
    start = capacity * rng.uniform(0.1, 0.9, rows)
    partial = np.where(rng.random((2, rows)) < 0.3, rng.uniform(0.05, 1.0, (2, rows)) * step_h, np.nan)
    drained = (np.arange(rows) % 2 == 1) & (rng.random(rows) < 0.4)
    windows = Windows(
        vehicle=tuple(f"car {row // 2}" for row in range(rows)),
        node=at,
        arrive_step=arrive,
        depart_step=depart,
        charge_max_kw=charge,
        discharge_max_kw=charge * np.repeat(rng.random(homes) < rng.choice([0.0, 0.5, 1.0]), 2),
        charge_efficiency=rng.uniform(0.85, 1.0, rows),
        discharge_efficiency=rng.uniform(0.85, 1.0, rows),
        energy_arrival_kwh=start,
        energy_target_kwh=np.minimum(
            capacity, start + rng.uniform(0.0, 0.9, rows) * charge * step_h * (depart - arrive)
        ),
        energy_min_kwh=np.minimum(0.2 * capacity, start),
        energy_max_kwh=capacity,
        wear_per_kwh=rng.uniform(0.0, 0.06, rows),
        hold_per_kwh_h=np.full(rows, rng.choice([0.0, 1e-4])),
        drain_kwh=np.where(drained, 0.05 * capacity, np.nan),
        first_step_h=partial[0],
        last_step_h=partial[1],
    )
    most = np.zeros((len(parent), 1))
    np.add.at(most[:, 0], at[::2], charge[::2])
    most, room = nodes.sum_up(most), rng.choice([0.3, 0.8, 3.0])
    nodes.import_limit_kw[:] = nodes.sum_up(nodes.base_load_kw) + room * most * rng.uniform(
        0.5, 1.0, (len(parent), count)
    )
    nodes.export_limit_kw[:] = nodes.sum_up(nodes.pv_kw) * rng.choice([0.5, 1.0, 1.0]) + room * most
    buy = rng.uniform(0.05, 0.4, (1, count))
    prices = Prices(("zone",), buy, EARNINGS[seed % len(EARNINGS)] * buy)
    return PlanProblem(TimeAxis(0, minutes * MS_PER_MIN, count), prices, nodes, windows)


def crowded_homes(seed):
    """Return random homes with more PV than limits let out, some with none, at prices of which some are below 0."""
    problem, rng = random_homes(seed), Streams(seed).generator("crowded")
    nodes, buy = problem.nodes, problem.prices.buy_per_kwh
    nodes.pv_kw[nodes.metered] *= rng.choice([1.0, 3.0])
    nodes.export_limit_kw[:3] *= rng.choice([0.2, 0.5, 1.0], (3, 1))
    nodes.export_limit_kw[3:] *= rng.choice([0.0, 0.2, 0.5, 1.0], (len(nodes) - 3, 1))
    if rng.random() < 0.2:
        buy[:, rng.random(buy.shape[1]) < 0.2] *= -0.5
    sell = np.minimum(rng.choice([1.0, 0.9, 0.5, 0.0, -0.3]) * buy, buy)
    if rng.random() < 0.1:
        sell[:, rng.random(buy.shape[1]) < 0.2] -= 0.5
    problem.prices.sell_per_kwh[:] = sell
    return problem


def compare(problem):
    """Solve homes both ways, prove the bound from prices, and return whether a car met a kink."""
    exact, schedule = solve(problem, method="highs"), solve_structured(problem, 1e-6)
    size = max(1.0, abs(exact.objective))
    verdict = check(problem, proposal_of(schedule))
    assert -1e-9 * size < verdict.lower_bound - schedule.lower_bound < 1e-6 * size
    assert verdict.lower_bound == pytest.approx(exact.lower_bound, abs=3e-6 * size)
    if exact.gap < 1e-6:  # else something is burnt
        assert schedule.objective == pytest.approx(exact.objective, abs=3e-6 * size)
    return (lay_out(problem).folding.bounds.rise >= 0).any()


def test_random_homes_agree_with_highs():
    assert sum(compare(random_homes(seed)) for seed in range(30)) >= 10


def test_homes_with_more_pv_than_limits_let_out_agree_with_highs():
    problems = [crowded_homes(seed) for seed in range(30)]
    assert sum(len(lay_out(problem).folding.homes.node) > 0 for problem in problems) >= 10
    assert sum(compare(problem) for problem in problems) >= 10


@pytest.mark.nightly
@pytest.mark.parametrize("begin", range(100, 1100, 100))
def test_many_random_homes_agree_with_highs(begin):
    for homes in (random_homes, crowded_homes):
        assert sum(compare(homes(seed)) for seed in range(begin, begin + 100)) >= 30
