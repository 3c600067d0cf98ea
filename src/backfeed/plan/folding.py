"""Nodes that need no system of their own: what their limits say is told elsewhere.

**Alone.** Where never two rows stand under a node at one step, its limits are bounds on that row's power, step by step,
less what is fixed. A meter's prices are the row's: one for each way, if its net power can have one sign only, or
nothing is fixed; else what is fixed moves its kink to another power of the row than 0 (`plan/meter.py`). As bounds
limits are hard: a row that would rather pay the limit's penalty shows it by a bound that is worth more than that. The
lower bound counts with power beyond it at the penalty, so it is one whatever comes of this; where it stays short of the
plan, these nodes are held, and the problem is solved again.

**Joined.** A node with one kept child and no rows of its own has that child's net power, moved by what is fixed: its
curve is added to the child's.

**Left out.** A node whose limits nothing below can reach while the limits below hold, and that costs nothing else. If
a plan breaks them all the same, the node is held, too.

**PV** that need not be curtailed is not (`uncurtailed`): wherever what is fixed keeps the export limits above by itself
and exporting earns something, a car gives less before PV is curtailed. A price below 0 proves it wrong; then its
node is held. Where it may be, the row's meter tells that, too (`plan/curtailing.py`).

So a meter is the row's own unless it sells above buying, curtails what `plan/curtailing.py` can not tell, or a row's
power decides at a step at which exporting costs: a row might burn there what the kink hides from `plan/turns.py`.

How the prices of these nodes are found again, `plan/unfolding.py` says.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from backfeed.plan.curtailing import Curtailing, curtailing, hung, may_be_told
from backfeed.plan.lowered import LEVEL, REACH_TOLERANCE_KW, NodeCurve
from backfeed.plan.node import WIDTH_MIN_KW
from backfeed.plan.problem import NO_PARENT, Bools, Floats, Ints, Nodes, PlanProblem, nearest_of, place_among
from backfeed.plan.rows import ARRIVE, BOUND, ENTRY, KINK, LENGTH, METER_GIVEN, ROW_PRICED, ZONE, Fleet, Powers
from backfeed.plan.tree import reach_within, summed_up
from backfeed.plan.vectors import LANES


class Bounds(NamedTuple):
    """The entries of the table at which a row has a meter for itself, or limits bound it more than its own powers do.

    `own_kw` and `left_kw` `(way, entry)` are what a row could charge and discharge by itself and what is left of it,
    averages over the step; `tightest` is the node that leaves no more, -1 where none takes anything. `tariff`
    `(way, entry)` is what its meter charges and pays per kW and step; `kink_kw` and `rise` `(entry,)` are the power at
    which it turns from one to the other and by how much, 0 and -1 if the meter needs no variables of its own.
    `spare_kw` is the PV behind it that may be curtailed, `outlet_kw` what limits let out while none is, as power given.
    """

    entry: Ints
    row: Ints
    step: Ints
    own_kw: Floats
    left_kw: Floats
    tightest: Ints
    tariff: Floats
    kink_kw: Floats
    rise: Floats
    spare_kw: Floats
    outlet_kw: Floats


class Meters(NamedTuple):
    """The meters that rows have for themselves: their nodes, and what they charge and pay, `(way, meter, step)`.

    `bent` `(meter, step)` tells where a row's own power decides which of both, `fixed_kw` what is fixed behind them.
    """

    node: Ints
    tariff: Floats
    bent: Bools
    fixed_kw: Floats

    @property
    def constant(self) -> float:
        """What they cost without rows."""
        return float((self.tariff[0] * self.fixed_kw).sum())


class Folding(NamedTuple):
    """What becomes of the table's nodes.

    `kept` ones have a system of their own, at the `steps` that matter to some of them; `alone` ones are told by the
    rows below, `base` is the kept node that a node is joined to, -1 for none; `homes` are those that curtail.
    """

    kept: Bools
    alone: Bools
    base: Ints
    steps: Ints
    meters: Meters
    bounds: Bounds
    homes: Curtailing


def fold(
    problem: PlanProblem, curve: NodeCurve, plain: NodeCurve, powers: Powers, held: Bools
) -> tuple[Folding, NodeCurve]:
    """Decide what becomes of the nodes; return also their curves, with what homes curtail where that is told.

    Parameters
    ----------
    problem, curve, plain
        The problem, and its nodes' curves, the last ones without curtailment that would gain nothing (`uncurtailed`).
    powers
        What the rows at every node itself can charge and discharge.
    held
        Nodes whose limits have shown to matter.
    """
    nodes, promised = problem.nodes, problem.commitments
    matters = _beyond_limits(problem, plain, powers, held)
    costly = nodes.peak_charge_per_kw > 0
    matters |= (costly | nodes.metered)[:, None]
    matters[promised.node, promised.step] = True
    costly[promised.node] = True
    may = may_be_told(problem, plain, held)
    costly |= nodes.metered & ~_may_be_own(nodes, plain, may)
    costly |= summed_up(nodes, may.astype(np.float64)[:, None])[:, 0] > 1  # two homes' PV is one decision there
    matter, rows = np.any(matters, axis=1), summed_up(nodes, powers.rows)
    alone = _alone(problem, _at_least(problem, plain, may), rows, matter, costly | held)
    homes, plain = curtailing(problem, plain, may & alone, alone, (rows > 0, matters))
    base = _joined(problem, curve, matter & ~alone, homes.node)
    kept = matter & ~alone & (base < 0)
    homes, plain = hung(problem, homes, plain, kept)
    steps = np.flatnonzero(np.any(matters[~alone], axis=0))
    meters = _meters(nodes, plain, alone & nodes.metered, homes)
    return Folding(kept, alone, base, steps, meters, _bounds(problem, plain, alone, meters, homes), homes), plain


def _at_least(problem: PlanProblem, curve: NodeCurve, may: Bools) -> tuple[Floats, Floats]:
    """Return what is fixed below every node, and that with as much PV curtailed as may be, `(node, step)` each."""
    if not may.any():
        return curve.fixed_below_kw, curve.fixed_below_kw
    spare = summed_up(problem.nodes, np.where(may[:, None], curve.curtail_max_kw, 0.0))
    return curve.fixed_below_kw, curve.fixed_below_kw + spare


def uncurtailed(problem: PlanProblem, curve: NodeCurve, held: Bools) -> NodeCurve:
    """Return the nodes' curves without the curtailment of PV that would gain nothing, but for nodes that are held."""
    nodes = problem.nodes
    if not curve.curtail_max_kw.any() or len(problem.commitments) or curve.inverted.any():
        return curve
    gains = (curve.export_cost < 0) | held[:, None]
    crowded = nodes.at_or_above(curve.fixed_below_kw < -nodes.export_limit_kw)
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


def _may_be_own(nodes: Nodes, curve: NodeCurve, curtails: Bools) -> Bools:
    """Return which meters a row below may have for itself: none that pays for what is burnt, or curtails otherwise.

    The first is one whose kink is at other than the row's power 0, at a step at which exporting costs; unless it
    `curtails` there.
    """
    if not nodes.metered.any():
        return nodes.metered
    spared = curve.curtail_max_kw > 0
    may = ~curve.inverted & (~spared | curtails[:, None])
    may &= (curve.export_cost >= 0) | ~_is_bent(nodes, curve, np.arange(len(nodes))) | spared
    every: Bools = np.all(may, axis=1)
    return every


def _signs(nodes: Nodes, curve: NodeCurve, node: Ints) -> tuple[Bools, Bools]:
    """Return where meters can but import, and where they can but export, PV being what it is, `(meter, step)`."""
    return curve.reach_low_kw[node] >= 0, curve.reach_high_kw[node] - nodes.pv_kw[node] <= 0


def _is_bent(nodes: Nodes, curve: NodeCurve, node: Ints) -> Bools:
    """Return where a row's power decides whether meters import or export, at other than its own 0, `(meter, step)`."""
    imports, exports = _signs(nodes, curve, node)
    buy, sell = curve.import_cost[node], curve.export_cost[node]
    bent: Bools = ~imports & ~exports & (curve.fixed_below_kw[node] != 0) & (buy - sell > LEVEL * np.abs(buy))
    return bent


def _meters(nodes: Nodes, curve: NodeCurve, own: Bools, homes: Curtailing) -> Meters:
    """Return what the meters that rows have for themselves charge and pay."""
    node = np.flatnonzero(own)
    buy, sell = curve.import_cost[node], curve.export_cost[node]
    imports, exports = _signs(nodes, curve, node)
    bent, level = _is_bent(nodes, curve, node), buy - sell <= LEVEL * np.abs(buy)
    tariff = np.stack((np.where(exports & ~imports, sell, buy), np.where(imports | (level & ~exports), buy, sell)))
    spares = np.zeros_like(bent)
    spares[np.searchsorted(node, homes.node)] = homes.spare_kw > 0
    bent, tariff = bent | spares, np.where(spares, np.stack((buy, sell)), tariff)
    return Meters(node, tariff, bent, curve.fixed_below_kw[node])


def _straighten(meters: Meters, at: tuple[Ints, Ints], left: Floats, spare: Floats) -> None:
    """Give meters one price at the meters and steps `at` where what limits leave a row keeps it from their kink.

    Where PV may be curtailed, `spare` above 0, that moves it.
    """
    (bought, sold), bent, kink = meters.tariff[:, *at], meters.bent[at], -meters.fixed_kw[at]
    may = bent & (spare == 0)
    buys, sells = may & (kink <= -left[1]), may & (kink >= left[0])
    meters.tariff[:, *at] = np.where(sells, sold, bought), np.where(buys, bought, sold)
    meters.bent[at] = bent & ~buys & ~sells


def _alone(problem: PlanProblem, fixed: tuple[Floats, Floats], rows: Floats, matter: Bools, costly: Bools) -> Bools:
    """Return the nodes that matter, are not costly, and have one row at a time with room for it, and so has all below.

    `fixed` is what is at the import limit and what is at the export limit, `rows` how many stand under every node at
    every step.
    """
    nodes = problem.nodes
    able: Bools = matter & ~costly & np.all(rows <= 1, axis=1)
    room = (fixed[0][able] <= nodes.import_limit_kw[able]) & (-fixed[1][able] <= nodes.export_limit_kw[able])
    able[able] = np.all(room, axis=1)
    staying = summed_up(nodes, (matter & ~able).astype(np.float64)[:, None])
    able &= staying[:, 0] == 0
    return able


def _joined(problem: PlanProblem, curve: NodeCurve, staying: Bools, homes: Ints) -> Ints:
    """Return the node to which every node is joined, -1 for none; none is whose PV `homes` below may curtail."""
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
    curtails = np.zeros(size + 1, np.bool_)
    curtails[nearest[homes]] = True
    single &= (nodes.peak_charge_per_kw <= 0) & ~curtails[:-1] & ~promised & ~np.any(curve.curtail_max_kw > 0, axis=1)
    single &= ~np.any(curve.inverted, axis=1) if nodes.metered.any() else True
    single &= ~promised[only]
    return np.where(single, nearest_of(only, ~single), NO_PARENT)


def _bounds(problem: PlanProblem, curve: NodeCurve, alone: Bools, meters: Meters, homes: Curtailing) -> Bounds:
    """Return where rows have meters for themselves, or nodes that leave them less than their own powers.

    Meters that rows can not take past their kinks then have one price there.
    """
    nodes, w = problem.nodes, problem.windows
    under, above = np.append(nearest_of(nodes.parent, alone) >= 0, False), np.append(nodes.parent, NO_PARENT)
    alone = np.append(alone, False)
    entry = np.flatnonzero(under[w.node][w.row_of])
    row, step = w.row_of[entry], w.step_of[entry]
    own = np.stack((w.charge_max_kw[row], w.discharge_max_kw[row])) * (problem.hours[entry] / problem.axis.step_h)
    left, tightest, at = own.copy(), np.full(own.shape, NO_PARENT), w.node[row]
    home, spare = place_among(homes.node, len(nodes))[problem.row_price_node[row]], np.zeros(len(row))
    some = home >= 0
    spare[some] = homes.spare_kw[home[some], step[some]]
    some = spare > 0
    while np.any(under[at]):
        fixed = curve.fixed_below_kw[at, step]
        rooms = np.stack((nodes.import_limit_kw[at, step] - fixed, nodes.export_limit_kw[at, step] + fixed + spare))
        rooms = np.maximum(rooms, 0.0)  # but for rounding
        tighter = alone[at] & (rooms < left)
        left, tightest = np.where(tighter, rooms, left), np.where(tighter, at, tightest)
        at = above[at]
    meter = place_among(meters.node, len(nodes))[problem.row_price_node[row]]
    tariff, kink, rise, metered = np.zeros_like(own), np.zeros(len(row)), np.full(len(row), -1.0), meter >= 0
    mine = meter[metered], step[metered]
    _straighten(meters, mine, left[:, metered], spare[metered])
    bent, tariff[:, metered] = meters.bent[mine], meters.tariff[:, *mine]
    kink[metered] = np.where(bent, -meters.fixed_kw[mine], 0.0)
    rise[metered] = np.where(bent, (tariff[0] - tariff[1])[metered], -1.0)
    outlet = left[1].copy()
    outlet[some] = homes.room_kw[home[some], step[some]] - kink[some]
    tightest[1, some] = homes.tight[home[some], step[some]]
    told = np.flatnonzero(np.any(tightest >= 0, axis=0) | metered)
    columns = entry, row, step, own, left, tightest, tariff, kink, rise, spare, outlet
    return Bounds(*(np.ascontiguousarray(column[..., told]) for column in columns))


def bounded(problem: PlanProblem, fleet: Fleet, order: Ints, folding: Folding) -> Fleet:
    """Return the rows with their bounds and meters; `order[i]` is the table's row at the solver's row i."""
    bounds, meters = folding.bounds, folding.meters
    if not len(bounds.row):
        return fleet
    less = bounds.left_kw < bounds.own_kw
    tight = np.any(less, axis=0)
    some, place = np.unique(bounds.row[tight], return_inverse=True)
    share = np.ones((len(some), 2, fleet.bound.shape[2]))
    part = np.where(less, bounds.left_kw / np.where(less, bounds.own_kw, 1.0), 1.0)
    share[place, :, bounds.step[tight]] = part[:, tight].T
    place_of = np.full(len(order), -1)
    place_of[some] = np.arange(len(some))
    places, figures = fleet.places.copy(), fleet.figures.copy()
    places[:, BOUND] = place_of[order]
    meter = place_among(meters.node, len(folding.kept))[problem.row_price_node[order]]
    places[meter >= 0, ZONE] = len(fleet.buy) + meter[meter >= 0]
    figures[meter >= 0, ROW_PRICED] = 1.0
    bought, sold = meters.tariff
    buy, sell = np.concatenate((fleet.buy, bought)), np.concatenate((fleet.sell, np.where(meters.bent, bought, sold)))
    fleet = fleet._replace(places=places, figures=figures, buy=buy, sell=sell, bound=share)
    return fleet._replace(meters=_given_of_meters(fleet, order, bounds)) if meters.bent.any() else fleet


def _given_of_meters(fleet: Fleet, order: Ints, bounds: Bounds) -> Floats:
    """Return what is given of meters that rows have for themselves, and write where; a unit's rows are all told.

    What can be sold has a limit everywhere, so that it is a box: beyond reach where the row's own bounds are one.
    """
    bent, row_at, units = bounds.rise >= 0, np.empty_like(order), fleet.unit_ptr
    row_at[order] = np.arange(len(order))
    row, step = row_at[bounds.row[bent]], bounds.step[bent]
    some = np.bincount(row, minlength=len(order)) > 0
    some = np.logical_or.reduceat(some, units[:-1])
    entry, last = fleet.places[:, ENTRY], units[1:] - 1
    begin = entry[units[:-1]] // LANES * LANES
    size = np.where(some, -(-(entry[last] + fleet.places[last, LENGTH] + 1 - begin) // LANES) * LANES, 0)
    at = np.cumsum(size) - size
    fleet.places[:, KINK] = np.repeat(np.where(some, at, NO_PARENT), np.diff(units))
    meters = np.zeros((METER_GIVEN, int(size.sum())))
    meters[1] = -1.0
    unit = np.repeat(np.arange(len(size)), np.diff(units))[row]
    place = at[unit] + entry[row] - begin[unit] + step - fleet.places[row, ARRIVE]
    kink, spare, reach = bounds.kink_kw[bent], bounds.spare_kw[bent], bounds.own_kw.sum(axis=0)[bent]
    sold_max = np.where(spare > 0, bounds.outlet_kw[bent] + kink, 2.0 * (np.abs(kink) + reach))
    sold_max, spare = (np.where(width > WIDTH_MIN_KW, width, 0.0) for width in (sold_max, spare))
    meters[:, place] = kink, bounds.rise[bent], bounds.tariff[0, bent], sold_max, spare
    return meters
