"""Random planning problems of varied families, one fixture for all tests of the room."""

from collections.abc import Callable

import numpy as np
import pytest

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_MIN
from backfeed.core.rng import Streams
from backfeed.plan.problem import Commitments, Nodes, Penalties, PlanProblem, Prices, Windows


def draw_tree(rng, shape, count):
    """Draw a tree: flat, deep, a single node, many sites under a few feeders, chains of nodes, or random parents."""
    if shape == "chains":
        parent = [-1]
        for _ in range(int(rng.integers(2, 7))):
            parent.append(0)
            parent += range(len(parent) - 1, len(parent) - 1 + int(rng.integers(0, 3)))
        return Nodes.tree([f"n{k}" for k in range(len(parent))], parent, count)
    sizes = {"single": 1, "flat": int(rng.integers(3, 9)), "deep": 6, "random": int(rng.integers(3, 10)), "many": 1_000}
    size, feeders, parent = sizes[shape], 20, [-1]
    for k in range(1, size):
        below = int(rng.integers(0, k))
        site = 0 if k <= feeders else 1 + k % feeders
        parent.append({"flat": 0, "deep": k - 1, "many": site}.get(shape, below))
    return Nodes.tree([f"n{k}" for k in range(size)], parent, count)


def draw_windows(rng, nodes, count, rows, *, v2g, drained, infeasible):
    """Draw stays; some of them in chains with a drive between."""
    arrive = rng.integers(0, max(count - 2, 1), rows)
    depart = np.minimum(arrive + rng.integers(1, count + 1, rows), count)
    vehicle = [f"v{i}" for i in range(rows)]
    drain = np.full(rows, np.nan)
    capacity = rng.choice([40.0, 60.0, 77.0], rows)
    if drained:
        for row in range(1, rows):
            if depart[row - 1] < count - 1 and rng.random() < 0.4:
                arrive[row] = rng.integers(depart[row - 1], count - 1)
                depart[row] = rng.integers(arrive[row] + 1, count + 1)
                vehicle[row], drain[row] = vehicle[row - 1], rng.choice([0.0, rng.uniform(0, 15)])
                capacity[row] = capacity[row - 1]
    charge = rng.choice([3.7, 7.4, 11.0, 22.0], rows)
    discharge = np.where(rng.random(rows) < v2g, charge * rng.choice([1.0, 0.9], rows), 0.0)
    start = capacity * rng.uniform(0.02 if infeasible else 0.3, 0.8, rows)
    floor = capacity * rng.uniform(0.0, 0.3, rows)
    reachable = start + 0.9 * 0.9 * charge * (depart - arrive) * 0.25
    target = capacity * rng.uniform(0.3, 1.0, rows)
    return Windows(
        vehicle=tuple(vehicle),
        node=rng.integers(0, len(nodes), rows),
        arrive_step=arrive,
        depart_step=depart,
        charge_max_kw=charge,
        discharge_max_kw=discharge,
        charge_efficiency=rng.uniform(0.9, 1.0, rows),
        discharge_efficiency=rng.uniform(0.9, 1.0, rows),
        energy_arrival_kwh=start,
        energy_target_kwh=target if infeasible else np.minimum(target, reachable),
        energy_min_kwh=floor,
        energy_max_kwh=capacity,
        wear_per_kwh=rng.uniform(0.0, 0.08, rows),
        hold_per_kwh_h=rng.choice([0.0, 1e-4, 1e-3], rows),
        drain_kwh=drain,
        energy_value_per_kwh=rng.choice([0.0, 0.1], rows),
    )


def stand_at_leaves(nodes, windows, shape):
    """In a tree of chains, let rows take turns at the leaves, and limits below the root be near to what a row takes."""
    if shape != "chains":
        return
    leaves = np.setdiff1d(np.arange(len(nodes)), nodes.parent)
    windows.node[:] = leaves[np.arange(len(windows)) % len(leaves)]
    nodes.import_limit_kw[1:] *= 3.0 / len(windows)
    nodes.export_limit_kw[1:] *= 3.0 / len(windows)


def draw_problem(seed, **wanted):
    """Draw a problem; `wanted` fixes what would otherwise be drawn."""
    rng = Streams(seed).generator("plan-tests")

    def pick(name, *choices):
        choice = choices[int(rng.integers(0, len(choices)))]
        return wanted.get(name, choice)

    def chance(name, probability):
        happens = rng.random() < probability
        return wanted.get(name, happens)

    count, minutes = pick("count", 1, 12, 24, 48), pick("minutes", 5, 15, 60)
    nodes = draw_tree(rng, pick("tree", "single", "flat", "deep", "random"), count)
    rows = pick("rows", 1, 4, 12, 30)
    windows = draw_windows(
        rng,
        nodes,
        count,
        rows,
        v2g=pick("v2g", 0.0, 0.6, 1.0),
        drained=chance("drained", 0.5) and count > 4,
        infeasible=chance("infeasible", 0.5),
    )
    if chance("partial", 0.5):
        windows.first_step_h[:] = rng.uniform(0.2, 1.0, rows) * minutes / 60
        windows.last_step_h[:] = rng.uniform(0.2, 1.0, rows) * minutes / 60
    size = nodes.base_load_kw.shape
    peak_power = windows.charge_max_kw.sum()
    tight = pick("tight", 0.15, 0.5, 2.0)
    if chance("base", 0.5):
        nodes.base_load_kw[:] = rng.uniform(0, 0.2, size) * peak_power
    limited = rng.random(len(nodes)) < 0.6
    nodes.import_limit_kw[limited] = (rng.uniform(0.5, 1.5, size) * tight * peak_power)[limited]
    exporting = rng.random(len(nodes)) < 0.6
    nodes.export_limit_kw[exporting] = (pick("export", 0.0, 0.2) * rng.uniform(0.5, 1.5, size) * peak_power)[exporting]
    stand_at_leaves(nodes, windows, wanted.get("tree"))
    nodes.peak_charge_per_kw[:] = np.where(rng.random(len(nodes)) < pick("peak", 0.0, 0.4), 0.5, 0.0)
    if chance("meters", 0.5):
        metered = rng.random(len(nodes)) < 0.7
        for k in range(1, len(nodes)):
            above = nodes.parent[k]
            while above >= 0:
                metered[k] &= not metered[above]
                above = nodes.parent[above]
        nodes.metered[:] = metered
        nodes.pv_kw[:] = rng.uniform(0, pick("pv", 0.0, 0.5), size) * peak_power
    zones = 1 if rng.random() < 0.6 else 2
    nodes.zone[:] = rng.integers(0, zones, len(nodes))
    buy = rng.choice([0.1, 0.18, 0.32], (zones, count)) + pick("noise", 0.0, 0.02) * rng.standard_normal((zones, count))
    if chance("negative", 0.33):
        buy -= 0.25
    sell = np.where(buy > 0, 0.9, 1.1) * buy
    if chance("inverted", 0.33):
        sell = buy + rng.uniform(-0.1, 0.1, buy.shape)
    return PlanProblem(
        axis=TimeAxis(0, minutes * MS_PER_MIN, count),
        prices=Prices(tuple(f"z{z}" for z in range(zones)), buy, sell),
        nodes=nodes,
        windows=windows,
        commitments=draw_commitments(rng, nodes, count, peak_power, pick("promises", 0, 0, 3), wanted.get("up", 0.5)),
        penalties=Penalties(),
    )


def draw_commitments(rng, nodes, count, power, many, up):
    """Draw promises up and down; `up` is the share of the former."""
    return Commitments(
        node=rng.integers(0, len(nodes), many),
        step=rng.integers(0, count, many),
        up=rng.random(many) < up,
        power_kw=rng.uniform(0, 0.3, many) * power,
        shortfall_per_kwh=rng.uniform(0.1, 1.0, many),
    )


@pytest.fixture
def random_problem() -> Callable[..., PlanProblem]:
    """Return the function that draws a problem from a seed."""
    return draw_problem
