"""What a node's power costs, as convex pieces between the kinks of its curve.

A node's power in every column (`plan/columns.py`) is `low` plus pieces in ascending order of their slope, each from 0
to its width: beyond the export limit, exporting, importing, over the import limit, short of a promise. A promise to
inject at least P costs `price max(v + P, 0)` at vehicles' power v, one to take at least P `price max(P - v, 0)`: a
kink at -P or at P. It is one of the net power, moved by what is fixed, unless PV under it may be curtailed: then it is
one of v itself.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from backfeed.plan.compiled import compiled, compiled_for_any, nested
from backfeed.plan.folding import Folding
from backfeed.plan.lowered import NodeCurve
from backfeed.plan.problem import Bools, Floats, Ints, PlanProblem

IN_ORDER = 3
"""Kinks that stand in their order: a node's export limit, 0, its import limit."""

ROOM_KW = 1e-2
"""Limits that leave what is fixed less room than this are not taken to be hard."""

DOMAIN_MARGIN_KW = 1.0
"""How far a node's curve goes on beyond what its subtree can reach."""


@dataclass(frozen=True)
class NodePieces:
    """Power of kept nodes: `low_kw` `(node, column)` and pieces `(piece, column)`, and the rest.

    Node k's pieces are `piece_ptr[k]` to `piece_ptr[k + 1]`, in the order of their slope; `low_cost` is what `low_kw`
    costs; `fixed_kw` enters the balance, `fixed_below_kw` is what is fixed in the subtree; `curtail_kw` may be added to
    it at `curtail_cost`. `slots` are the steps of the columns beyond the steps, `promise_column` the column of every
    promise.

    Where nothing below answers to prices, all of a node's power is `low_kw`: what is fixed. Its price is there its
    parent's and a slope of its curve, `slope_at_rest` `(node, column)`, and nothing is to be found.
    """

    low_kw: Floats
    low_cost: Floats
    piece_ptr: Ints
    width_kw: Floats
    slope: Floats
    fixed_kw: Floats
    fixed_below_kw: Floats
    curtail_kw: Floats
    curtail_cost: Floats
    peak_charge: Floats
    slots: Ints
    promise_column: Ints
    slope_at_rest: Floats

    @classmethod
    def none(cls, nodes: int) -> "NodePieces":
        """Return those of nodes without pieces over no steps."""
        of_nodes, empty, none = np.zeros((nodes, 0)), np.zeros((0, 0)), np.zeros(0, np.int64)
        ptr, peak = np.zeros(nodes + 1, np.int64), np.zeros(nodes)
        boxes = ptr, empty, empty, of_nodes, of_nodes, of_nodes, of_nodes
        return cls(of_nodes, of_nodes, *boxes, peak, none, none, of_nodes)

    def within(self, dear: float, soft: Bools) -> "NodePieces":
        """Return the pieces without those that cost more than `dear` a kW, one way or the other.

        They are left where nodes are `soft`, and where what is fixed below is not well inside the others by itself.
        """
        low, low_cost, width = self.low_kw.copy(), self.low_cost.copy(), self.width_kw.copy()
        _leave_out((self.piece_ptr, self.slope, dear), soft, self.fixed_below_kw, low, low_cost, width)
        ptr, used = _used(self.piece_ptr, width)
        return replace(self, low_kw=low, low_cost=low_cost, piece_ptr=ptr, width_kw=width[used], slope=self.slope[used])

    @cached_property
    def owner(self) -> Ints:
        """The node of every piece."""
        return np.repeat(np.arange(len(self.piece_ptr) - 1), np.diff(self.piece_ptr))


class _Members(NamedTuple):
    """The table's nodes whose curves are added up, each kept node before those that are joined to it.

    `owner` is the kept node, `begin` each kept node's own place.
    """

    node: Ints
    owner: Ints
    begin: Ints


class _Curves(NamedTuple):
    """Curves as `(kept node, column)`: ends, cost and slope at the lower end; and kinks at which the slope jumps.

    Node k's kinks are `ptr[k]` to `ptr[k + 1]` of `kinks` and `jumps` `(kink, column)`, in no order.
    """

    low: Floats
    high: Floats
    low_cost: Floats
    first_slope: Floats
    ptr: Ints
    kinks: Floats
    jumps: Floats


def node_pieces(
    problem: PlanProblem, curve: NodeCurve, folding: Folding, holder: Ints, columns: tuple[Ints, Ints, Ints], span: Ints
) -> NodePieces:
    """Return the kept nodes' curves, with those that are joined to them, as pieces between sorted kinks.

    Parameters
    ----------
    problem, curve, folding
        The problem, its nodes' curves, and what becomes of the nodes.
    holder
        The kept node at or above every node of the table, by its number among the kept, -1 for none.
    columns
        The steps that matter, and what `promise_columns` returns.
    span
        The columns between which something below a node answers, `(node, 2)`; nodes beyond the kept ones have no
        pieces. Elsewhere a node's power is what is fixed: `low_kw`.
    """
    steps, slots, promise_column = columns
    members, kept = _members_of(folding, holder), np.flatnonzero(folding.kept)
    curves = _meter_curves(problem, curve, members, kept, (steps, slots))
    curves = _with_promises(problem, curve, holder, (steps, promise_column), curves)
    fixed = _beside(at_steps(curve.fixed_below_kw, kept, steps), slots)
    width, slope = np.empty((2, len(curves.kinks) + len(kept), fixed.shape[1]))
    at_rest = np.zeros_like(fixed)
    _cut(curves, span, fixed, width, slope, at_rest)
    ptr, used = _used(curves.ptr + np.arange(len(curves.ptr)), width)
    inside = np.flatnonzero(holder >= 0)
    inside = inside[np.argsort(holder[inside], kind="stable")]
    own = _summed(at_steps(curve.fixed_kw, inside, steps), np.flatnonzero(np.diff(holder[inside], prepend=-1)))
    more = len(span) - len(kept)
    return NodePieces(
        low_kw=_and_none(curves.low, more),
        low_cost=_and_none(curves.low_cost, more),
        piece_ptr=np.append(ptr, np.full(more, ptr[-1])),
        width_kw=width[used],
        slope=slope[used],
        fixed_kw=_and_none(_beside(own, slots), more),
        fixed_below_kw=_and_none(fixed, more),
        curtail_kw=_and_none(_beside(at_steps(curve.curtail_max_kw, kept, steps), slots), more),
        curtail_cost=_and_none(_beside(at_steps(curve.curtail_cost, kept, steps), slots), more),
        peak_charge=np.append(problem.nodes.peak_charge_per_kw[kept], np.zeros(more)),
        slots=slots,
        promise_column=promise_column,
        slope_at_rest=_and_none(at_rest, more),
    )


def promise_columns(problem: PlanProblem, curve: NodeCurve, steps: Ints) -> tuple[Ints, Ints]:
    """Return the steps whose vehicles' power needs a column of its own, ascending, and every promise's column."""
    promised, none = problem.commitments, np.zeros(0, np.int64)
    if not len(promised):
        return none, none
    step = np.searchsorted(steps, promised.step)
    apart = problem.nodes.sum_up(curve.curtail_max_kw)[promised.node, promised.step] > 0
    slots = np.unique(step[apart])
    return slots, np.where(apart, len(steps) + np.searchsorted(slots, step), step)


def at_steps(values: Floats, nodes: Ints, steps: Ints) -> Floats:
    """Return the values of some nodes at the steps that matter, contiguous."""
    return values[nodes] if len(steps) == values.shape[1] else values[nodes[:, None], steps]


def _summed(values: Floats, begin: Ints) -> Floats:
    """Return the sums of rows that stand together, each sum's first row given."""
    return values if len(begin) == len(values) else np.add.reduceat(values, begin)


def _beside(net: Floats, slots: Ints) -> Floats:
    """Return what net powers have, and nothing for the vehicles' power by itself."""
    return np.concatenate((net, np.zeros((len(net), len(slots)))), axis=1) if len(slots) else net


def _and_none(values: Floats, more: int) -> Floats:
    """Return values of nodes, and nothing for so many more."""
    return np.concatenate((values, np.zeros((more, values.shape[1])))) if more else values


def _members_of(folding: Folding, holder: Ints) -> _Members:
    """Return whose curves are added up."""
    kept, joined = np.flatnonzero(folding.kept), np.flatnonzero(folding.base >= 0)
    owner = np.concatenate((np.arange(len(kept)), holder[folding.base[joined]]))
    order = np.argsort(owner, kind="stable")
    owner = owner[order]
    return _Members(np.concatenate((kept, joined))[order], owner, np.flatnonzero(np.diff(owner, prepend=-1)))


def _meter_curves(
    problem: PlanProblem, curve: NodeCurve, members: _Members, kept: Ints, columns: tuple[Ints, Ints]
) -> _Curves:
    """Return the curves of meters and limits, moved by what is fixed; the vehicles' power by itself costs nothing."""
    nodes, (node, owner, begin), (steps, slots) = problem.nodes, members, columns
    least, most = at_steps(curve.reach_low_kw, kept, steps), at_steps(curve.reach_high_kw, kept, steps)
    low, high = least - DOMAIN_MARGIN_KW, most + DOMAIN_MARGIN_KW
    fixed = at_steps(curve.fixed_below_kw, node, steps)
    moved = fixed - fixed[begin[owner]]
    here, buy, sell = (
        low[owner] + moved,
        at_steps(curve.import_cost, node, steps),
        at_steps(curve.export_cost, node, steps),
    )
    over, beyond = at_steps(nodes.import_limit_kw, node, steps), -at_steps(nodes.export_limit_kw, node, steps)
    over_rise, beyond_rise = at_steps(curve.over_rise, node, steps), at_steps(curve.beyond_rise, node, steps)
    cost = np.where(here > 0, buy, sell) * here
    cost += over_rise * np.maximum(here - over, 0.0) + beyond_rise * np.maximum(beyond - here, 0.0)
    kinks, jumps = np.empty((2, len(node), IN_ORDER, len(steps)))
    for which, (kink, jump) in enumerate(((beyond, beyond_rise), (np.zeros_like(over), buy - sell), (over, over_rise))):
        kinks[:, which], jumps[:, which] = kink - moved, jump
    if len(slots):
        curtail = at_steps(nodes.sum_up(curve.curtail_max_kw), kept, steps)
        vehicles_low = (least - fixed[begin] - DOMAIN_MARGIN_KW)[:, slots]
        vehicles_high = (most - fixed[begin] - curtail + DOMAIN_MARGIN_KW)[:, slots]
        low, high = np.concatenate((low, vehicles_low), axis=1), np.concatenate((high, vehicles_high), axis=1)
    return _Curves(
        low=low,
        high=high,
        low_cost=_beside(_summed(cost, begin), slots),
        first_slope=_beside(_summed(sell - beyond_rise, begin), slots),
        ptr=IN_ORDER * np.append(begin, len(node)),
        kinks=_beside(kinks.reshape(-1, len(steps)), slots),
        jumps=_beside(jumps.reshape(-1, len(steps)), slots),
    )


def _ranks(cell: Ints) -> Ints:
    """Return how many of the same cell come before each."""
    order = np.argsort(cell, kind="stable")
    rank = np.zeros(len(cell), np.int64)
    _, first, many = np.unique(cell[order], return_index=True, return_counts=True)
    rank[order] = np.arange(len(cell)) - np.repeat(first, many)
    return rank


def _with_promises(
    problem: PlanProblem, curve: NodeCurve, holder: Ints, columns: tuple[Ints, Ints], curves: _Curves
) -> _Curves:
    """Return the curves with the promises: the k-th of every (node, column) in a node's k-th row of kinks."""
    promised, (steps, column) = problem.commitments, columns
    if not len(promised):
        return curves
    node, price = holder[promised.node], problem.axis.step_h * promised.shortfall_per_kwh
    fixed = curve.fixed_below_kw[promised.node, promised.step]
    kink = np.where(promised.up, -promised.power_kw, promised.power_kw) + np.where(column < len(steps), fixed, 0.0)
    low, down = curves.low[node, column], ~promised.up
    # Below its kink a promise to take costs, above it one to inject.
    np.add.at(curves.first_slope, (node[down], column[down]), -price[down])
    np.add.at(curves.low_cost, (node, column), price * np.where(down, kink - low, 0.0))
    np.add.at(curves.low_cost, (node, column), price * np.maximum(low - kink, 0.0))
    key = node * len(promised) + _ranks(node * curves.low.shape[1] + column)
    some, row = np.unique(key, return_inverse=True)
    kinks, jumps = np.zeros((2, len(some), curves.low.shape[1]))
    kinks[row, column], jumps[row, column] = kink, price
    owner = np.repeat(np.arange(len(curves.low)), np.diff(curves.ptr))
    order = np.argsort(np.concatenate((owner, some // len(promised))), kind="stable")
    return curves._replace(
        ptr=curves.ptr + np.searchsorted(some // len(promised), np.arange(len(curves.ptr))),
        kinks=np.concatenate((curves.kinks, kinks))[order],
        jumps=np.concatenate((curves.jumps, jumps))[order],
    )


def _used(piece_ptr: Ints, width: Floats) -> tuple[Ints, Ints]:
    """Return where nodes' pieces begin, and which they are, of those that have a width; a node's first if none has."""
    begin = piece_ptr[:-1][np.diff(piece_ptr) > 0]
    used = np.any(width > 0, axis=1)
    used[begin] |= ~np.logical_or.reduceat(used, begin)
    return np.append(0, np.cumsum(used))[piece_ptr], np.flatnonzero(used)


@compiled_for_any
def _cut(curves: _Curves, span: Ints, fixed: Floats, width: Floats, slope: Floats, at_rest: Floats) -> None:
    """Write widths and slopes of all pieces: node k's from `ptr[k] + k` on, one more than it has kinks.

    Outside its span all of a node's power is in `low`: what is fixed; `at_rest` is what a kW more costs there.
    """
    for k in range(len(curves.low)):
        for t in range(curves.low.shape[1]):
            _sort(curves, k, t)
            if span[k, 0] <= t < span[k, 1]:
                _cut_column(curves, k, t, width, slope)
            else:
                for i in range(curves.ptr[k], curves.ptr[k + 1] + 1):
                    width[i + k, t] = slope[i + k, t] = 0.0
                at_rest[k, t] = _rest(curves, k, t, fixed[k, t])


@nested
def _sort(curves: _Curves, k: int, t: int) -> None:
    """Sort a node's kinks in a column: those of a meter are in order, and few others join them."""
    kinks, jumps, first = curves.kinks, curves.jumps, curves.ptr[k]
    for i in range(first + 1, curves.ptr[k + 1]):
        kink, jump, j = kinks[i, t], jumps[i, t], i
        while j > first and kinks[j - 1, t] > kink:
            kinks[j, t], jumps[j, t] = kinks[j - 1, t], jumps[j - 1, t]
            j -= 1
        kinks[j, t], jumps[j, t] = kink, jump


@nested
def _cut_column(curves: _Curves, k: int, t: int, width: Floats, slope: Floats) -> None:
    """Write a node's pieces in a column; where the slope does not jump, the later one takes the former's width."""
    at, high, steep, last = curves.low[k, t], curves.high[k, t], curves.first_slope[k, t], curves.ptr[k + 1]
    for i in range(curves.ptr[k], last):
        slope[i + k, t], width[i + k, t] = steep, 0.0
        if curves.jumps[i, t] != 0.0:
            kink = min(max(curves.kinks[i, t], at), high)
            width[i + k, t] = kink - at
            at, steep = kink, steep + curves.jumps[i, t]
    slope[last + k, t], width[last + k, t] = steep, high - at


@nested
def _rest(curves: _Curves, k: int, t: int, fixed: float) -> float:
    """Raise a node's lower end in a column to what is fixed, with its cost; return the slope there."""
    at, steep, cost = curves.low[k, t], curves.first_slope[k, t], curves.low_cost[k, t]
    for i in range(curves.ptr[k], curves.ptr[k + 1]):
        if curves.kinks[i, t] >= fixed:
            break
        kink = max(curves.kinks[i, t], at)
        cost += steep * (kink - at)
        at, steep = kink, steep + curves.jumps[i, t]
    curves.low[k, t], curves.low_cost[k, t] = fixed, cost + steep * (fixed - at)
    return float(steep)


@compiled
def _leave_out(
    kept: tuple[Ints, Floats, float], soft: Bools, fixed: Floats, low: Floats, low_cost: Floats, width: Floats
) -> None:
    """Empty the pieces that `NodePieces.within` leaves out; `kept` are `piece_ptr`, `slope` and `dear`."""
    ptr, slope, dear = kept
    for k in range(len(ptr) - 1):
        for t in range(fixed.shape[1]):
            below = inside = cost = 0.0
            for p in range(ptr[k], ptr[k + 1]):
                if slope[p, t] < -dear:
                    below, cost = below + width[p, t], cost + slope[p, t] * width[p, t]
                elif slope[p, t] <= dear:
                    inside += width[p, t]
            least = low[k, t] + below
            if not soft[k] and least + ROOM_KW <= fixed[k, t] <= least + inside - ROOM_KW:
                low[k, t], low_cost[k, t] = least, low_cost[k, t] + cost
                for p in range(ptr[k], ptr[k + 1]):
                    width[p, t] = width[p, t] if abs(slope[p, t]) <= dear else 0.0
