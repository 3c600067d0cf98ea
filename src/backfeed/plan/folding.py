"""Nodes that need no system of their own: what their limits say is told elsewhere.

**Alone.** Where never two rows stand under a node at one step, its limits are bounds on that row's power, step by step,
less what is fixed. A meter's prices are the row's, if it has one price for each way: its net power can have one sign
only, or nothing is fixed, or both prices are one. As bounds they are hard: a row that would rather pay the
limit's penalty shows it by a bound that is worth more than that. The lower bound counts with power beyond it at the
penalty, so it is one whatever comes of this; where it stays short of the plan, these nodes are held, and the problem
is solved again.

**Joined.** A node with one kept child and no rows of its own has that child's net power, moved by what is fixed: its
curve is added to the child's.

**Left out.** A node whose limits nothing below can reach while the limits below hold, and that costs nothing else. If
a plan breaks them all the same, the node is held, too.

**PV** that need not be curtailed is not (`uncurtailed`): wherever what is fixed keeps the export limits above by itself
and exporting earns something, a car gives less before PV is curtailed. A price below 0 proves it wrong; then its
node is held.

How the prices of these nodes are found again, `plan/unfolding.py` says.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from backfeed.plan.lowered import REACH_TOLERANCE_KW, NodeCurve
from backfeed.plan.problem import NO_PARENT, Bools, Floats, Ints, PlanProblem, nearest_of
from backfeed.plan.rows import BOUND, ROW_PRICED, ZONE, Fleet, Powers
from backfeed.plan.tree import reach_within, summed_up


class Bounds(NamedTuple):
    """The entries of the table at which a row has a meter for itself, or limits bound it more than its own powers do.

    `own_kw` and `left_kw` `(way, entry)` are what a row could charge and discharge by itself and what is left of it,
    averages over the step; `tightest` is the node that leaves no more, -1 where none takes anything. `tariff`
    `(way, entry)` is what its meter charges and pays per kW and step.
    """

    entry: Ints
    row: Ints
    step: Ints
    own_kw: Floats
    left_kw: Floats
    tightest: Ints
    tariff: Floats


class Meters(NamedTuple):
    """The meters that rows have for themselves: their nodes, and what they charge and pay, `(way, meter, step)`.

    `constant` is what they cost without rows.
    """

    node: Ints
    tariff: Floats
    constant: float


class Folding(NamedTuple):
    """What becomes of the table's nodes.

    `kept` ones have a system of their own, at the `steps` that matter to some of them; `alone` ones are told by the
    rows below, `base` is the kept node that a node is joined to, -1 for none.
    """

    kept: Bools
    alone: Bools
    base: Ints
    steps: Ints
    meters: Meters
    bounds: Bounds


def fold(problem: PlanProblem, curve: NodeCurve, powers: Powers, held: Bools) -> Folding:
    """Decide what becomes of the nodes.

    Parameters
    ----------
    problem, curve
        The problem, and its nodes' curves.
    powers
        What the rows at every node itself can charge and discharge.
    held
        Nodes whose limits have shown to matter.
    """
    nodes, promised = problem.nodes, problem.commitments
    matters = _beyond_limits(problem, curve, powers, held)
    costly = nodes.peak_charge_per_kw > 0
    matters |= (costly | nodes.metered)[:, None]
    matters[promised.node, promised.step] = True
    costly[promised.node] = True
    costly |= nodes.metered & ~_has_one_tariff(problem, curve)
    matter = np.any(matters, axis=1)
    alone = _alone(problem, curve, summed_up(nodes, powers.rows), matter, costly | held)
    base = _joined(problem, curve, matter & ~alone)
    steps = np.flatnonzero(np.any(matters[~alone], axis=0))
    meters = _meters(curve, alone & nodes.metered)
    return Folding(matter & ~alone & (base < 0), alone, base, steps, meters, _bounds(problem, curve, alone, meters))


def uncurtailed(problem: PlanProblem, curve: NodeCurve, held: Bools) -> NodeCurve:
    """Return the nodes' curves without the curtailment of PV that would gain nothing, but for nodes that are held."""
    nodes = problem.nodes
    if not curve.curtail_max_kw.any() or len(problem.commitments) or curve.inverted.any():
        return curve
    gains = (curve.export_cost < 0) | held[:, None]
    crowded = curve.fixed_below_kw < -nodes.export_limit_kw
    for level in nodes.levels[1:]:
        crowded[level] |= crowded[nodes.parent[level]]
    return replace(curve, curtail_max_kw=np.where(gains | crowded, curve.curtail_max_kw, 0.0))


def _beyond_limits(problem: PlanProblem, curve: NodeCurve, powers: Powers, held: Bools) -> Bools:
    """Return where a node can reach beyond its limits while those below hold; if it is held, where they need not."""
    nodes = problem.nodes
    most, least = nodes.import_limit_kw, -nodes.export_limit_kw
    high, low = powers.charge_kw + curve.fixed_kw + curve.curtail_max_kw, curve.fixed_kw - powers.discharge_kw
    reach_within(nodes.upwards, nodes.parent, (least, most), (low, high))
    beyond: Bools = (high > most + REACH_TOLERANCE_KW) | (low < least - REACH_TOLERANCE_KW)
    beyond[held] = ((curve.reach_high_kw > most) | (curve.reach_low_kw < least))[held]
    return beyond


def _has_one_tariff(problem: PlanProblem, curve: NodeCurve) -> Bools:
    """Return which nodes charge one price, and pay one, at every step, whatever the rows below do."""
    if not problem.nodes.metered.any():
        return problem.nodes.metered
    one = (curve.reach_low_kw >= 0) | (curve.reach_high_kw <= 0) | (curve.fixed_below_kw == 0)
    one |= curve.import_cost == curve.export_cost
    one &= ~curve.inverted & (curve.curtail_max_kw == 0)
    every: Bools = np.all(one, axis=1)
    return every


def _meters(curve: NodeCurve, own: Bools) -> Meters:
    """Return what the meters that rows have for themselves charge and pay."""
    node = np.flatnonzero(own)
    buy, sell = curve.import_cost[node], curve.export_cost[node]
    imports, exports = curve.reach_low_kw[node] >= 0, curve.reach_high_kw[node] <= 0
    tariff = np.stack((np.where(exports & ~imports, sell, buy), np.where(imports, buy, sell)))
    return Meters(node, tariff, float((tariff[0] * curve.fixed_below_kw[node]).sum()))


def _alone(problem: PlanProblem, curve: NodeCurve, rows: Floats, matter: Bools, costly: Bools) -> Bools:
    """Return the nodes that matter, are not costly, and have one row at a time with room for it, and so has all below.

    `rows` is how many stand under every node at every step.
    """
    nodes = problem.nodes
    able: Bools = matter & ~costly & np.all(rows <= 1, axis=1)
    fixed = curve.fixed_below_kw[able]
    room = (fixed <= nodes.import_limit_kw[able]) & (-fixed <= nodes.export_limit_kw[able])
    able[able] = np.all(room, axis=1)
    staying = summed_up(nodes, (matter & ~able).astype(np.float64)[:, None])
    able &= staying[:, 0] == 0
    return able


def _joined(problem: PlanProblem, curve: NodeCurve, staying: Bools) -> Ints:
    """Return the node to which every node is joined, -1 for none."""
    nodes, size = problem.nodes, len(problem.nodes)
    nearest = nearest_of(nodes.parent, staying)
    above = np.where(nodes.parent >= 0, nearest[nodes.parent], NO_PARENT)
    child = np.flatnonzero(staying & (above >= 0))
    rows = np.bincount(nearest[problem.windows.node] + 1, minlength=size + 1)[1:]
    single = staying & (rows == 0) & (np.bincount(above[child], minlength=size) == 1)
    only = np.full(size, NO_PARENT)
    only[above[child]] = child
    promised = np.zeros(size, np.bool_)
    promised[problem.commitments.node] = True
    single &= (nodes.peak_charge_per_kw <= 0) & ~promised & ~np.any(curve.curtail_max_kw > 0, axis=1)
    single &= ~np.any(curve.inverted, axis=1) if nodes.metered.any() else True
    single &= ~promised[only]
    return np.where(single, nearest_of(only, ~single), NO_PARENT)


def _bounds(problem: PlanProblem, curve: NodeCurve, alone: Bools, meters: Meters) -> Bounds:
    """Return where rows have meters for themselves, or nodes that leave them less than their own powers."""
    nodes, w = problem.nodes, problem.windows
    under, above = np.append(nearest_of(nodes.parent, alone) >= 0, False), np.append(nodes.parent, NO_PARENT)
    alone = np.append(alone, False)
    entry = np.flatnonzero(under[w.node][w.row_of])
    row, step = w.row_of[entry], w.step_of[entry]
    own = np.stack((w.charge_max_kw[row], w.discharge_max_kw[row])) * (problem.hours[entry] / problem.axis.step_h)
    left, tightest, at = own.copy(), np.full(own.shape, NO_PARENT), w.node[row]
    while np.any(under[at]):
        fixed = curve.fixed_below_kw[at, step]
        rooms = np.stack((nodes.import_limit_kw[at, step] - fixed, nodes.export_limit_kw[at, step] + fixed))
        tighter = alone[at] & (rooms < left)
        left, tightest = np.where(tighter, rooms, left), np.where(tighter, at, tightest)
        at = above[at]
    meter = _number(meters, len(nodes))[problem.row_price_node[row]]
    tariff = np.zeros_like(own)
    tariff[:, meter >= 0] = meters.tariff[:, meter[meter >= 0], step[meter >= 0]]
    told = np.any(tightest >= 0, axis=0) | (meter >= 0)
    return Bounds(entry[told], row[told], step[told], own[:, told], left[:, told], tightest[:, told], tariff[:, told])


def _number(meters: Meters, nodes: int) -> Ints:
    """Return every node's place among the meters, -1 for none, and for the node -1."""
    number = np.full(nodes + 1, NO_PARENT)
    number[meters.node] = np.arange(len(meters.node))
    return number


def bounded(problem: PlanProblem, fleet: Fleet, order: Ints, folding: Folding) -> Fleet:
    """Return the rows with their bounds and meters; `order[i]` is the table's row at the solver's row i."""
    bounds, meters = folding.bounds, folding.meters
    if not len(bounds.row):
        return fleet
    less = bounds.tightest >= 0
    tight = np.any(less, axis=0)
    some, place = np.unique(bounds.row[tight], return_inverse=True)
    share = np.ones((len(some), 2, fleet.bound.shape[2]))
    part = np.where(less, bounds.left_kw / np.where(less, bounds.own_kw, 1.0), 1.0)
    share[place, :, bounds.step[tight]] = part[:, tight].T
    place_of = np.full(len(order), -1)
    place_of[some] = np.arange(len(some))
    places, figures = fleet.places.copy(), fleet.figures.copy()
    places[:, BOUND] = place_of[order]
    meter = _number(meters, len(folding.kept))[problem.row_price_node[order]]
    places[meter >= 0, ZONE] = len(fleet.buy) + meter[meter >= 0]
    figures[meter >= 0, ROW_PRICED] = 1.0
    buy, sell = np.concatenate((fleet.buy, meters.tariff[0])), np.concatenate((fleet.sell, meters.tariff[1]))
    return fleet._replace(places=places, figures=figures, buy=buy, sell=sell, bound=share)
