"""Trees of few cars, eliminated in the order of time: Newton's equations at every node, and HiGHS."""

import numpy as np
import pytest

from backfeed.plan.balance import new_room
from backfeed.plan.certificate import lower_bound, values_of_energy
from backfeed.plan.columns import FREE, HD, OWN, PRICE_STEP
from backfeed.plan.elimination import descend, settle
from backfeed.plan.interior import InteriorPoint
from backfeed.plan.lanes import MANY
from backfeed.plan.layout import lay_out
from backfeed.plan.narrow import solve_trees
from backfeed.plan.node import Aim
from backfeed.plan.pace import LOOK
from backfeed.plan.solve import solve
from backfeed.plan.structured import solve_structured
from backfeed.plan.unfolding import worth_of_bounds

FEW = {"count": 96, "peak": 0.0, "promises": 0, "drained": False, "tight": 0.15}
"""Few cars over many steps, limits that bind, and nothing that keeps a tree from being narrow."""


def point_of(problem):
    """Return the interior point after some iterations."""
    point = InteriorPoint(lay_out(problem), narrow_only=True)
    point.pursue(1e-6, np.inf, 4, None)
    return point


@pytest.mark.parametrize("rows", [1, 2, 5, 14])
@pytest.mark.parametrize("tree", ["single", "flat", "deep", "random"])
def test_every_node_s_step_of_power_answers_to_the_steps_of_prices(random_problem, tree, rows):
    """`dn = H^-1 (dp - dp_parent - r)`: dn is summed from the cars' own steps, dp comes out of the elimination."""
    point = point_of(random_problem(rows, **FEW, tree=tree, rows=rows, meters=True, pv=0.5))
    nodes, work = point.nodes, point.work
    assert work.lanes.narrow.any()
    room, aim = new_room(point.count, point.count), Aim(0.0, 0.0)
    trees = np.flatnonzero((work.lanes.narrow > 0) & (nodes.parent < 0))
    tree = nodes.parent, nodes.child_ptr, nodes.child, work.span, work.columns, work.lanes
    solve_trees(trees, point.vehicles[0], *tree)
    descend(np.concatenate(point.downwards), *point.vehicles, nodes, work, aim, room)
    settle(np.concatenate(point.upwards), nodes, work, aim, room)
    held = np.flatnonzero(work.lanes.narrow)
    price, hd, own = (work.columns[:, which, : point.count] for which in (PRICE_STEP, HD, OWN))
    above = np.where(nodes.parent[:, None] >= 0, price[nodes.parent], 0.0)
    asked = hd * (price - above - own)
    size = np.abs(hd * own).max() + np.abs(hd * price).max() + 1.0
    assert nodes.net_step[held, : point.count] == pytest.approx(asked[held], abs=1e-6 * size)
    assert np.isfinite(work.columns[:, FREE]).all()


@pytest.mark.parametrize("seed", range(8))
def test_bounds_of_few_cars_over_many_steps_agree_with_highs(random_problem, seed):
    problem = random_problem(seed, **FEW, tree=("single", "flat", "deep", "random")[seed % 4], rows=(2, 6)[seed % 2])
    reference = solve(problem, method="highs")
    point = InteriorPoint(lay_out(problem, held=np.ones(len(problem.nodes), np.bool_)), narrow_only=True)
    assert point.work.lanes.narrow.any()
    looked = np.inf
    while point.pursue(1e-7, looked, 120, None) == LOOK:
        looked = point.progress.products
    size = max(1.0, abs(reference.objective))
    worth, less = worth_of_bounds(point.layout, point.nodes.price, values_of_energy(point))
    assert lower_bound(point, worth, less) == pytest.approx(reference.lower_bound, abs=2e-5 * size)


def test_a_tree_of_many_cars_over_few_steps_is_not_narrow(random_problem):
    problem = random_problem(3, **{**FEW, "count": 12}, tree="single", rows=30)
    assert point_of(problem).work.lanes.narrow.any()
    assert not InteriorPoint(lay_out(problem)).work.lanes.narrow.any()


@pytest.mark.parametrize(
    "kept_from_it", [{"peak": 1.0}, {"drained": True, "tree": "flat"}, {"promises": 3, "meters": True, "pv": 0.5}]
)
def test_peaks_drives_between_nodes_and_promises_above_pv_keep_trees_wide(random_problem, kept_from_it):
    for seed in range(4):
        point = point_of(random_problem(seed, **{**FEW, "tree": "single", "rows": 4, **kept_from_it}))
        joined = (point.nodes.charged >= 0).any() or len(point.drives.value) or len(point.nodes.slots)
        assert not (joined and point.work.lanes.narrow.any())


def test_as_many_cars_are_counted_as_stand_under_a_node(random_problem):
    problem = random_problem(5, **FEW, tree="deep", rows=6)
    point = point_of(problem)
    w, steps = problem.windows, point.layout.steps
    there = (w.arrive_step[:, None] <= steps) & (steps < w.depart_step[:, None])
    for k in np.flatnonzero(point.work.lanes.narrow & (point.nodes.parent < 0)):
        under = point.layout.holder[w.node] == k
        for level in point.layout.forest.levels[1:]:
            for c in level:
                under |= (point.layout.holder[w.node] == c) & (top_of(point.nodes.parent, c) == k)
        assert np.array_equal(point.work.lanes.at[k, MANY, : len(steps)], there[under].sum(axis=0))


def top_of(parent, k):
    """Return the root of a node's tree."""
    while parent[k] >= 0:
        k = parent[k]
    return k


def test_threads_make_no_difference_to_narrow_trees(random_problem):
    problem = random_problem(9, **{**FEW, "count": 240}, tree="deep", rows=2)
    assert InteriorPoint(lay_out(problem)).work.lanes.narrow.any()
    alone, shared = (solve_structured(problem, 1e-5, threads=threads) for threads in (1, 3))
    assert alone.power_flat_kw.tobytes() == shared.power_flat_kw.tobytes()
    assert alone.lower_bound == shared.lower_bound
