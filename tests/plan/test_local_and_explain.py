"""Local re-plans never make the plan dearer and say what they may have lost; explanations name what binds."""

import dataclasses

import numpy as np
import pytest

from backfeed.plan.check import check, proposal_of
from backfeed.plan.explain import explain
from backfeed.plan.local import replan_subtree, replan_vehicle
from backfeed.plan.problem import Prices
from backfeed.plan.schedule import price_plan
from backfeed.plan.solve import solve


def changed(problem, row):
    """Return the problem with one car that wants less and leaves with less."""
    windows = dataclasses.replace(problem.windows, energy_target_kwh=problem.windows.energy_target_kwh.copy())
    windows.energy_target_kwh[row] *= 0.6
    return dataclasses.replace(problem, windows=windows)


@pytest.mark.parametrize("seed", range(300, 312))
def test_a_local_plan_is_no_dearer_than_keeping_and_knows_its_loss(random_problem, seed):
    problem = random_problem(seed, rows=12, count=24, inverted=False, negative=False)
    before = solve(problem)
    now = changed(problem, 3)
    best = solve(now)
    size = max(1.0, abs(best.objective))
    for local in (
        replan_vehicle(now, before, 3),
        replan_subtree(now, before, int(problem.windows.node[3]))
        if not np.any(problem.windows.previous >= 0)
        else None,
    ):
        if local is not None:
            assert local.lower_bound <= best.objective + 1e-6 * size
            assert local.objective >= best.lower_bound - 1e-6 * size
            assert local.objective - best.objective <= local.objective - local.lower_bound + 1e-6 * size


@pytest.mark.parametrize("seed", range(320, 332))
def test_a_local_plan_loses_no_more_than_it_states_and_is_never_dearer_than_keeping(random_problem, seed):
    problem = random_problem(seed, rows=10, count=24, drained=False, inverted=False, negative=False)
    before = solve(problem)
    now = changed(problem, seed % 10)
    kept = price_plan(now, before.energy_flat_kwh, before.curtailed_kw, before.duals, -np.inf, "kept")
    best = solve(now, method="highs")
    size = max(1.0, abs(best.objective))
    for local in (
        replan_vehicle(now, before, seed % 10),
        replan_subtree(now, before, int(now.windows.node[seed % 10])),
    ):
        stated = local.objective - local.lower_bound
        assert stated >= -1e-9 * size
        assert local.objective <= kept.objective + 1e-9 * size
        assert local.objective <= best.lower_bound + stated + 1e-6 * size
        judged = check(now, proposal_of(local))
        assert judged.objective == pytest.approx(local.objective, abs=1e-9 * size)
        assert max(judged.max_violation_kw, judged.max_violation_kwh) < 1e-6


@pytest.mark.parametrize("seed", range(340, 346))
def test_cars_that_no_limit_joins_are_replanned_one_by_one_to_the_best_plan(random_problem, seed):
    """Those that drive from node to node pay the prices of each."""
    wanted = {"drained": True, "promises": 0, "peak": 0.0, "meters": False, "inverted": False, "negative": False}
    problem = random_problem(seed, tree="flat", rows=30, count=24, tight=1e3, export=1e3, **wanted)
    problem.nodes.zone[:] = np.arange(len(problem.nodes)) % 2
    buy, sell = problem.prices.buy_per_kwh[0], problem.prices.sell_per_kwh[0]
    dearer = Prices(("near", "far"), np.stack((buy, buy[::-1] + 0.1)), np.stack((sell, sell[::-1])))
    problem = dataclasses.replace(problem, prices=dearer)
    assert np.any(problem.windows.node != problem.windows.node[problem.windows.head]), "some are meant to drive"
    less = dataclasses.replace(problem.windows, energy_target_kwh=0.6 * problem.windows.energy_target_kwh)
    now = dataclasses.replace(problem, windows=less)
    plan = solve(problem)
    for head in np.unique(now.windows.head):
        plan = replan_vehicle(now, plan, int(head))
    assert plan.objective == pytest.approx(solve(now, method="highs").objective, rel=1e-9)
    assert plan.gap < 1e-9


def test_a_whole_tree_replanned_locally_is_the_global_plan(random_problem):
    problem = random_problem(313, rows=12, count=24, tree="flat", drained=False, inverted=False, negative=False)
    before = solve(problem)
    now = changed(problem, 3)
    local = replan_subtree(now, before, 0)
    assert local.objective == pytest.approx(solve(now).objective, rel=1e-6)


def test_an_explanation_names_the_limit_that_binds(random_problem):
    problem = random_problem(4, tree="single", rows=30, count=24, tight=0.15, base=False, meters=False, promises=0)
    schedule = solve(problem)
    full = np.argwhere(schedule.net_kw >= problem.nodes.import_limit_kw - 1e-9)
    assert len(full), "this problem is meant to be tight"
    step = int(full[0][1])
    rows = np.flatnonzero((problem.windows.arrive_step <= step) & (problem.windows.depart_step > step))
    told = [explain(problem, schedule, int(row), step) for row in rows]
    assert any(reason.kind == "import_limit" for reason in told[0].reasons)
    assert all(str(one).startswith("It ") for one in told)


def test_a_car_that_is_away_is_not_explained(random_problem):
    problem = random_problem(4, rows=4, count=24)
    row = int(np.argmax(problem.windows.arrive_step))
    with pytest.raises(IndexError):
        explain(problem, solve(problem), row, int(problem.windows.depart_step[row]))
