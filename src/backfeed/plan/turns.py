"""Taking turns, where selling pays more than buying or energy is worth burning.

There the relaxation runs both ways at once, and a plan may not. What a power p costs is the lesser of two lines,
`min(buy p, sell p)`; one of them is chosen for every such step of a row or a meter. A line is nowhere below the truth,
so the best plan at these lines costs no more in truth than they say, and to find it is again the structured problem.
The lines that a plan itself uses touch the truth there: the best plan at them is no dearer.

Lines are chosen by sum-up rounding: the relaxation's share w of charging (of importing, at a meter) is kept in the sum,

    charge in step t where floor(phase + sum_{s <= t} w[s]) grows

which stays within one turn of it (Sager et al., Math. Program. 133 (2012) 1). Phases are spread evenly over the rows of
a fleet, so that they do not all turn at once. A row's other direction is priced out of its turn: while it charges, what
it gives earns less than burning would cost, and the other way round. Where rows run both ways although selling does not
pay more, because energy is worth burning at prices below 0, of theirs, a meter's or a limit's, it has no power.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from backfeed.plan.certificate import write_entries
from backfeed.plan.interior import InteriorPoint
from backfeed.plan.layout import Layout, repriced
from backfeed.plan.lowered import NodeCurve
from backfeed.plan.problem import Bools, Floats, Ints
from backfeed.plan.rows import ARRIVE, BOUND, ENTRY, LENGTH, ROW_DISCHARGE, ROW_GAIN, ROW_LOSS, ROW_PRICED, ZONE, Fleet
from backfeed.plan.schedule import Schedule
from backfeed.plan.unit import A as CHARGED
from backfeed.plan.unit import B as DISCHARGED

BOTH_WAYS = 0.01
"""A row that charges and discharges more than this share of its power in a step runs both ways."""

GOLDEN = 0.6180339887498949
"""Multiples of it are spread evenly over the fractions."""


def in_turns(point: InteriorPoint, plan: Schedule | None = None) -> Layout | None:
    """Return the problem with one line wherever its relaxation may run both ways; None where it nowhere does.

    Parameters
    ----------
    point
        Iterates of the relaxation.
    plan
        A plan whose ways are kept wherever it has one; the next one is then no dearer.
    """
    layout = point.layout
    fleet = _fleet_in_turns(point, plan)
    curve = _curve_in_turns(layout, point.nodes.net[:, : point.count], plan)
    if fleet is None and curve is None:
        return None
    return repriced(layout, fleet or layout.fleet, curve or layout.curve)


class _Entries(NamedTuple):
    """The steps of the rows that give power back: of which of these rows (`rows`), when, and what is chosen there.

    `inverted` and `burning` are where rows take turns, as selling pays more than buying or as both ways run at once for
    another reason; `charges` is whose turn it is.
    """

    rows: Ints
    row: Ints
    step: Ints
    inverted: Bools
    burning: Bools
    charges: Bools


def _fleet_in_turns(point: InteriorPoint, plan: Schedule | None) -> Fleet | None:
    """Return the rows with prices and bounds of their own where they take turns."""
    layout, fleet = point.layout, point.layout.fleet
    charged, discharged = np.zeros(layout.entries), np.zeros(layout.entries)
    point.share(write_entries, *point.vehicles, CHARGED, charged)
    point.share(write_entries, *point.vehicles, DISCHARGED, discharged)
    able = np.flatnonzero(fleet.figure(ROW_DISCHARGE) > 0)
    length, arrive = fleet.places[able, LENGTH], fleet.places[able, ARRIVE]
    begin, row = np.cumsum(length) - length, np.repeat(np.arange(len(able)), length)
    inside = np.arange(length.sum()) - np.repeat(begin, length)
    entry, step = fleet.places[able, ENTRY][row] + inside, arrive[row] + inside
    c, x, zone = charged[entry], discharged[entry], fleet.places[able, ZONE][row]
    inverted = (fleet.sell[zone, step] > fleet.buy[zone, step]) & (fleet.figure(ROW_PRICED)[able] > 0)[row]
    burning = ~inverted & (np.minimum(c, x) > BOTH_WAYS)
    turning = inverted | burning
    if not turning.any():
        return None
    share = np.where(turning, c / np.maximum(c + x, 1e-12), 0.0)
    charges = _rounded_up(share, begin, length, _phases(len(able)))
    if plan is not None:
        power = plan.power_flat_kw[layout.problem.windows.offsets[layout.order[able]][row] + inside]
        charges = np.where(power != 0, power > 0, charges)
    entries = _Entries(able, row, step, inverted, burning, charges)
    return _bound_to_turns(_priced_out(fleet, entries), entries)


def _priced_out(fleet: Fleet, at: _Entries) -> Fleet:
    """Return a fleet in which rows pay prices of their own where selling pays more than buying."""
    if not at.inverted.any():
        return fleet
    both = (fleet.figure(ROW_LOSS) / fleet.figure(ROW_GAIN))[at.rows]  # 1 / (charge efficiency * discharge efficiency)
    burnt, zone = (both - 1.0)[at.row], fleet.places[at.rows, ZONE]
    buy, sell = fleet.buy[zone[at.row], at.step], fleet.sell[zone[at.row], at.step]
    own_sell = np.where(at.inverted & at.charges, np.minimum(sell, buy - np.abs(buy) * burnt), sell)
    own_buy = np.where(at.inverted & ~at.charges, np.maximum(buy, sell + np.abs(sell) * burnt), buy)
    turns, number = _numbered(at.row[at.inverted], len(at.rows))
    mine = number[at.row] >= 0
    all_buy, all_sell = fleet.buy[zone[turns]], fleet.sell[zone[turns]]
    all_buy[number[at.row[mine]], at.step[mine]] = own_buy[mine]
    all_sell[number[at.row[mine]], at.step[mine]] = own_sell[mine]
    places = fleet.places.copy()
    places[at.rows[turns], ZONE] = len(fleet.buy) + np.arange(len(turns))
    return fleet._replace(
        places=places, buy=np.concatenate((fleet.buy, all_buy)), sell=np.concatenate((fleet.sell, all_sell))
    )


def _bound_to_turns(fleet: Fleet, at: _Entries) -> Fleet:
    """Return a fleet in which rows have no power the other way where running both ways burns energy."""
    if not at.burning.any():
        return fleet
    turns, number = _numbered(at.row[at.burning], len(at.rows))
    before = fleet.places[at.rows[turns], BOUND]
    bound = np.ones((len(turns), *fleet.bound.shape[1:]))
    bound[before >= 0] = fleet.bound[before[before >= 0]]
    row, step, other = number[at.row[at.burning]], at.step[at.burning], at.charges[at.burning].astype(np.int64)
    bound[row, other, step] = 0.0
    places = fleet.places.copy()
    places[at.rows[turns], BOUND] = len(fleet.bound) + np.arange(len(turns))
    return fleet._replace(places=places, bound=np.concatenate((fleet.bound, bound)))


def _numbered(some: Ints, many: int) -> tuple[Ints, Ints]:
    """Return which of many rows there are, and the number of each among these, -1 for the others."""
    there, number = np.unique(some), np.full(many, -1)
    number[there] = np.arange(len(there))
    return there, number


def _phases(many: int) -> Floats:
    """Return where rows, or meters, begin."""
    return np.asarray(np.arange(many) * GOLDEN % 1.0, np.float64)


def _rounded_up(share: Floats, begin: Ints, length: Ints, phase: Floats) -> Bools:
    """Return where the sum of every row's shares, begun at its phase, passes a whole number."""
    total = np.cumsum(share)
    before = np.where(begin > 0, total[np.maximum(begin - 1, 0)], 0.0)
    until = total - np.repeat(before - phase, length)
    grows: Bools = np.floor(until) > np.floor(until - share)
    return grows


def _curve_in_turns(layout: Layout, net: Floats, plan: Schedule | None) -> NodeCurve | None:
    """Return the nodes' curves with one line at every meter and step that sells above buying."""
    problem, curve = layout.problem, layout.curve
    if not curve.inverted.any():
        return None
    kept = layout.node_of >= 0
    power = np.zeros_like(curve.fixed_kw)
    power[np.ix_(layout.node_of[kept], layout.steps)] = net[kept]
    wide = np.maximum(curve.hull_high_kw - curve.hull_low_kw, 1e-9)
    share = np.where(curve.inverted, np.clip((power - curve.hull_low_kw) / wide, 0.0, 1.0), 0.0)
    until = np.cumsum(share, axis=1) + _phases(len(share))[:, None]
    imports = np.floor(until) > np.floor(until - share)
    if plan is not None:
        imports = plan.net_kw > 0
    step_h, prices, zone = problem.axis.step_h, problem.prices, problem.nodes.zone
    line = step_h * np.where(imports, prices.buy_per_kwh[zone], prices.sell_per_kwh[zone])
    limit = np.full_like(line, step_h * problem.penalties.limit_per_kwh)
    return replace(
        curve,
        import_cost=np.where(curve.inverted, line, curve.import_cost),
        export_cost=np.where(curve.inverted, line, curve.export_cost),
        over_rise=limit,
        beyond_rise=limit,
        hull_constant=0.0,
    )
