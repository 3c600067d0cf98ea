"""Local re-plans: one vehicle at its node's prices, one subtree at its parent's, between global solves.

Something has happened to one car or one site. The prices of the last global plan say what the rest of the fleet
gives for a kilowatt-hour there, so the small problem is solved against them and its answer is put into the plan.
It is taken only if the whole plan, priced exactly, is then no dearer than before; the bound is the Lagrangian of
the changed problem at the old prices and the new values of energy. So what a local re-plan may have lost is known.
"""

import dataclasses
from typing import Any

import numpy as np

from backfeed.plan.check import lagrangian, proposal_of
from backfeed.plan.highs import HighsSolver
from backfeed.plan.problem import NO_PARENT, Commitments, Floats, Ints, Nodes, PlanProblem, Prices, Windows
from backfeed.plan.schedule import Duals, Schedule, price_plan
from backfeed.plan.solve import solve


def replan_vehicle(problem: PlanProblem, before: Schedule, row: int, solver: HighsSolver | None = None) -> Schedule:
    """Plan one vehicle anew, and the rows that drives link to it, every row at the prices of its node.

    Parameters
    ----------
    problem
        The problem as it is now: the same windows as in the plan before, with other values.
    before
        The plan, whose prices are trusted.
    row
        A row of the vehicle.
    solver
        A HiGHS instance to reuse.
    """
    chain = np.flatnonzero(problem.windows.head == problem.windows.head[row])
    node, stays, prices = problem.windows.node[chain], np.arange(len(chain)), problem.prices
    names = tuple(str(stay) for stay in stays)
    nodes = Nodes.tree(names, (NO_PARENT, *(0 for _ in names[1:])), problem.axis.count)
    nodes.zone[:] = stays
    zone, own = problem.nodes.zone[node], np.where(problem.row_price_node[chain] < 0, 1.0, 0.0)[:, None]
    at_nodes = Prices(names, prices.buy_per_kwh[zone], prices.sell_per_kwh[zone])
    part = dataclasses.replace(
        problem,
        prices=_shifted(at_nodes, before.price_per_kwh[node], own),
        nodes=nodes,
        windows=_selected(problem.windows, chain, stays),
        commitments=Commitments.none(),
    )
    return _merged(problem, before, chain, solve(part, solver=solver), None)


def replan_subtree(problem: PlanProblem, before: Schedule, node: int, solver: HighsSolver | None = None) -> Schedule:
    """Plan everything under a node anew, at the prices of its parent; parameters as in `replan_vehicle`."""
    inside = problem.nodes.at_or_above(np.arange(len(problem.nodes)) == node)
    members = np.flatnonzero(inside)
    number = np.cumsum(inside) - 1
    above = problem.nodes.parent[node]
    upstream = before.price_per_kwh[above] if above >= 0 else np.zeros(problem.axis.count)
    here = np.flatnonzero(inside[problem.commitments.node])
    promised = Commitments(*(getattr(problem.commitments, name)[here] for name in Commitments.__dataclass_fields__))
    rows = np.flatnonzero(inside[problem.windows.node])
    part = dataclasses.replace(
        problem,
        prices=_shifted(problem.prices, upstream, 1.0),
        nodes=_subtree(problem.nodes, members, number),
        windows=_selected(problem.windows, rows, number[problem.windows.node[rows]]),
        commitments=dataclasses.replace(promised, node=number[promised.node]),
    )
    return _merged(problem, before, rows, solve(part, solver=solver), (members, here))


def _merged(
    problem: PlanProblem, before: Schedule, rows: Ints, local: Schedule, tree: tuple[Ints, Ints] | None
) -> Schedule:
    """Put a local answer into the plan, if the plan is not dearer for it."""
    w = problem.windows
    length = np.diff(w.offsets)[rows]
    at = np.repeat(w.offsets[:-1][rows] - (np.cumsum(length) - length), length) + np.arange(length.sum())
    value, balance = before.duals.energy_per_kwh.copy(), before.duals.balance_per_kwh.copy()
    promise, curtailed = before.duals.commitment_per_kwh.copy(), before.curtailed_kw.copy()
    energy = before.energy_flat_kwh.copy()
    energy[at], value[at] = local.energy_flat_kwh, local.duals.energy_per_kwh
    if tree is not None:
        members, here = tree
        above = problem.nodes.parent[members[0]]
        balance[members] = local.duals.balance_per_kwh + (balance[above] if above >= 0 else 0.0)
        promise[here], curtailed[members] = local.duals.commitment_per_kwh, local.curtailed_kw
    duals = Duals(value, balance, promise)
    kept = price_plan(problem, before.energy_flat_kwh, before.curtailed_kw, before.duals, -np.inf, "kept")
    tried = price_plan(problem, energy, curtailed, duals, -np.inf, "local")
    bound = max(lagrangian(problem, proposal_of(tried)), lagrangian(problem, proposal_of(kept)))
    return dataclasses.replace(tried if tried.objective <= kept.objective else kept, lower_bound=bound)


def _shifted(prices: Prices, price: Floats, own: Floats | float) -> Prices:
    """Return what energy costs here: the zones' prices, if they apply, and what the tree asks."""
    return Prices(prices.zone, own * prices.buy_per_kwh + price, own * prices.sell_per_kwh + price)


def _selected(windows: Windows, rows: Ints, node: Ints) -> Windows:
    """Return some rows, each at its node of another tree."""
    columns: dict[str, Any] = {
        name: tuple(value[i] for i in rows) if isinstance(value, tuple) else value[rows]
        for name in Windows.__dataclass_fields__
        for value in [getattr(windows, name)]
    }
    columns["node"] = node
    return Windows(**columns)


def _subtree(nodes: Nodes, members: Ints, number: Ints) -> Nodes:
    """Return some nodes, renumbered, the first of them as root."""
    columns = {name: getattr(nodes, name)[members] for name in Nodes.__dataclass_fields__ if name != "node"}
    above = columns.pop("parent")
    parent = np.where(np.isin(above, members), number[above], NO_PARENT)
    return Nodes(node=tuple(nodes.node[k] for k in members), parent=parent, **columns)
