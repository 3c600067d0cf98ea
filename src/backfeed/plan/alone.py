"""Cars that nothing joins: every one planned by itself, at the prices of its meter.

Where no peak is charged and nothing is promised, cars meet only in limits and in the two prices of a meter. If a
meter's net power can have one sign only, or both prices are one, a kWh has one price there. Every car is then planned
alone, exactly (`plan/levels.py`). Do the limits hold all the same, nothing was lost by not looking at them: the plan is
the best one, and the values of energy at these prices prove it. Else this is found out at the first node whose cars
break its limit, and the problem is left to a solver that knows limits.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from backfeed.plan.compiled import allocating, nested
from backfeed.plan.levels import (
    CHANGE,
    ENERGY,
    FAR,
    FIELDS,
    KNOTS_PER_STEP,
    VALUE,
    chain_bound,
    expand_chain,
    plan_chain,
)
from backfeed.plan.lowered import REACH_TOLERANCE_KW, node_curve
from backfeed.plan.problem import Floats, Ints, PlanProblem, inner
from backfeed.plan.rows import ARRIVE, ENTRY, LENGTH, ROW_GAIN, ROW_LOSS, Fleet, gather, summed_powers
from backfeed.plan.schedule import Duals, Schedule, price_plan
from backfeed.plan.tree import summed_up


class Tree(NamedTuple):
    """Where the cars meet: every row's node, the nodes' parents, prices [currency/kWh] and limits, `(node, step)`.

    `net` is what is known of every subtree's net power, `waiting` how many of its rows are not planned yet.
    """

    node: Ints
    parent: Ints
    price: Floats
    least: Floats
    most: Floats
    net: Floats
    waiting: Ints


class Found(NamedTuple):
    """What is found: energies and their values, by the table's entries, and the sum of the cars' bounds."""

    energy: Floats
    value: Floats
    bound: Floats


def plan_alone(problem: PlanProblem) -> Schedule | None:
    """Return the best plan of a valid problem without promises and peaks, if limits and meters do not join cars.

    None where they do; nor is there one where prices reward both directions and the best plan of their hull uses both.
    """
    priced = _prices_of_meters(problem)
    if priced is None:
        return None
    price, curtailed = priced
    w, nodes, entries = problem.windows, problem.nodes, int(problem.windows.offsets[-1])
    order, unit_ptr = _by_car(problem)
    length = np.diff(w.offsets)[order]
    places, whole = np.stack((w.offsets[:-1][order], length), axis=-1), np.arange(problem.axis.count)
    fleet = gather(problem, order, places, unit_ptr, np.zeros(1, np.int64), whole)
    fixed = nodes.base_load_kw - nodes.pv_kw + curtailed
    tree = Tree(
        node=w.node[order],
        parent=nodes.parent,
        price=price,
        least=np.maximum(-nodes.export_limit_kw, -FAR),
        most=np.minimum(nodes.import_limit_kw, FAR),
        net=summed_up(nodes, fixed),
        waiting=np.zeros(len(nodes), np.int64),
    )
    found = Found(np.empty(entries), np.empty(entries), np.zeros(1))
    if not plan_units(fleet, tree, int(np.add.reduceat(length, unit_ptr[:-1]).max()), found):
        return None
    missed = np.maximum(w.energy_target_kwh - w.energy_max_kwh, 0.0)
    bound = float(found.bound[0]) + inner(problem.missing_per_kwh, missed)
    bound += problem.axis.step_h * inner(price.ravel(), fixed.ravel())
    return price_plan(problem, found.energy, curtailed, Duals(found.value, price, np.zeros(0)), bound, "structured")


def _prices_of_meters(problem: PlanProblem) -> tuple[Floats, Floats] | None:
    """Return what a kWh costs at every node's meter, and curtailed PV, `(node, step)`; None where it depends."""
    nodes, prices = problem.nodes, problem.prices
    price = np.zeros_like(nodes.base_load_kw)
    if not nodes.metered.any():
        return price, price
    buy, sell = prices.buy_per_kwh[nodes.zone], prices.sell_per_kwh[nodes.zone]
    powers = summed_powers(problem)
    curve = node_curve(problem, powers.charge_kw, powers.discharge_kw, partial(summed_up, nodes))
    imports, exports = curve.reach_low_kw >= 0, curve.reach_high_kw <= 0
    if np.any(nodes.metered[:, None] & (buy != sell) & ~imports & ~exports):
        return None
    metered = nodes.meter >= 0
    price[metered] = np.where(exports & ~imports, sell, buy)[nodes.meter[metered]]
    return price, np.where(price < 0, curve.curtail_max_kw, 0.0)


def _by_car(problem: PlanProblem) -> tuple[Ints, Ints]:
    """Return the rows by node and car, and the first row of every car's chain, and their end.

    The deepest nodes come first: their cars are soon complete, and a limit that they break is soon found.
    """
    w, rank = problem.windows, np.empty(len(problem.nodes), np.int64)
    rank[problem.nodes.upwards] = np.arange(len(rank))
    order = np.lexsort((w.head, rank[w.node[w.head]]))
    return order, np.append(np.flatnonzero(np.diff(w.head[order], prepend=-1)), len(order))


@nested
def keeps_limits(tree: Tree, k: int) -> bool:
    """Return whether a node's net power keeps its limits at every step."""
    for t in range(tree.net.shape[1]):
        over, beyond = tree.net[k, t] - tree.most[k, t], tree.least[k, t] - tree.net[k, t]
        if max(over, beyond) > REACH_TOLERANCE_KW:
            return False
    return True


@allocating
def plan_units(fleet: Fleet, tree: Tree, longest: int, found: Found) -> bool:
    """Plan every car, none of more than so many steps, while limits hold; return whether all of them do."""
    for r in range(len(tree.node)):
        above = tree.node[r]
        while above >= 0:
            tree.waiting[above] += 1
            above = tree.parent[above]
    for k in range(len(tree.parent)):
        if tree.waiting[k] == 0 and not keeps_limits(tree, k):
            return False
    u, knots = np.empty((FIELDS, longest)), np.empty((2, 2, KNOTS_PER_STEP * longest + 3))
    for i in range(len(fleet.unit_ptr) - 1):
        rows = fleet.unit_ptr[i], fleet.unit_ptr[i + 1]
        n = expand_chain(fleet, tree.node, tree.price, rows, u)
        if not plan_chain(u, n, knots[0], knots[1]):
            return False
        found.bound[0] += chain_bound(u, n)
        if not settle_chain(fleet, tree, rows, u, found):
            return False
    return True


@nested
def settle_chain(fleet: Fleet, tree: Tree, rows: tuple[int, int], u: Floats, found: Found) -> bool:
    """Write a chain's energies and add its powers to the nodes; return whether those that are complete keep limits."""
    t = 0
    for r in range(rows[0], rows[1]):
        for k in range(fleet.places[r, LENGTH]):
            entry, step, change = fleet.places[r, ENTRY] + k, fleet.places[r, ARRIVE] + k, u[CHANGE, t]
            found.energy[entry], found.value[entry] = u[ENERGY, t], u[VALUE, t]
            power = change / (fleet.figures[r, ROW_GAIN] if change > 0 else fleet.figures[r, ROW_LOSS])
            above = tree.node[r]
            while above >= 0:
                tree.net[above, step] += power
                above = tree.parent[above]
            t += 1
    for r in range(rows[0], rows[1]):
        above = tree.node[r]
        while above >= 0:
            tree.waiting[above] -= 1
            if tree.waiting[above] == 0 and not keeps_limits(tree, above):
                return False
            above = tree.parent[above]
    return True
