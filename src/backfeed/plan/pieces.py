"""What a node's power costs, as convex pieces between the kinks of its curve.

A node's power in every column (`plan/columns.py`) is `low` plus pieces in ascending order of their slope, each from 0
to its width: beyond the export limit, exporting, importing, over the import limit, short of a promise. A promise to
inject at least P costs `price max(v + P, 0)` at vehicles' power v, one to take at least P `price max(P - v, 0)`: a
kink at -P or at P. It is one of the net power, moved by what is fixed, unless PV under it may be curtailed: then it is
one of v itself.
"""

from dataclasses import dataclass, replace

import numpy as np

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
    costs; `fixed_kw` enters the balance; `curtail_kw` may be added to it for nothing. `slots` are the steps of the
    columns beyond the steps, `promise_column` the column of every promise. `slope_at_rest` `(node, column)` is what a
    kW more costs where nothing below answers to prices (`resting`).
    """

    low_kw: Floats
    low_cost: Floats
    piece_ptr: Ints
    width_kw: Floats
    slope: Floats
    fixed_kw: Floats
    curtail_kw: Floats
    peak_charge: Floats
    slots: Ints
    promise_column: Ints
    slope_at_rest: Floats

    @classmethod
    def none(cls) -> "NodePieces":
        """Return those of no nodes over no steps."""
        empty, none = np.zeros((0, 0)), np.zeros(0, np.int64)
        return cls(empty, empty, np.zeros(1, np.int64), empty, empty, empty, empty, np.zeros(0), none, none, empty)

    def of(self, steps: Ints, count: int, gathered: int) -> "NodePieces":
        """Return what there is at some of the `count` steps, with so many nodes at the end that have no pieces.

        Rows are contiguous, as kernels are compiled for: some steps of a matrix else stand column by column.
        """
        columns = np.concatenate((steps, count + np.arange(len(self.slots))))

        def of_nodes(values: Floats) -> Floats:
            return np.concatenate((here(values), np.zeros((gathered, len(columns))))) if gathered else here(values)

        def here(values: Floats) -> Floats:
            return values if len(columns) == values.shape[1] else np.ascontiguousarray(values[:, columns])

        return NodePieces(
            low_kw=of_nodes(self.low_kw),
            low_cost=of_nodes(self.low_cost),
            piece_ptr=np.append(self.piece_ptr, np.full(gathered, self.piece_ptr[-1])),
            width_kw=here(self.width_kw),
            slope=here(self.slope),
            fixed_kw=of_nodes(self.fixed_kw),
            curtail_kw=of_nodes(self.curtail_kw),
            peak_charge=np.append(self.peak_charge, np.zeros(gathered)),
            slots=np.searchsorted(steps, self.slots),
            promise_column=np.searchsorted(columns, self.promise_column),
            slope_at_rest=of_nodes(self.slope_at_rest),
        )

    def resting(self, span: Ints, fixed: Floats) -> "NodePieces":
        """Return the pieces with all power in `low_kw` where nothing below a node answers: outside its `span`.

        A node's power is what is fixed there, its price its parent's and a slope of its curve: nothing is to be found.
        `fixed` `(node, column)` is what is fixed below.
        """
        column, owner = np.arange(self.low_kw.shape[1]), self.owner
        rests = (column < span[:, :1]) | (column >= span[:, 1:])
        rests &= (np.diff(self.piece_ptr) > 0)[:, None]
        if not rests.any():
            return self
        before = np.cumsum(self.width_kw, axis=0) - self.width_kw
        before -= before[self.piece_ptr[owner]]
        inside = np.clip((fixed - self.low_kw)[owner] - before, 0.0, self.width_kw)
        begin = np.flatnonzero(np.diff(owner, prepend=-1))
        low, low_cost, slope = self.low_kw.copy(), self.low_cost.copy(), np.zeros_like(self.low_kw)
        some = owner[begin]
        cost = low_cost[some] + np.add.reduceat(self.slope * inside, begin, axis=0)
        steepest = np.maximum.reduceat(np.where(inside > 0, self.slope, -np.inf), begin, axis=0)
        least = np.minimum.reduceat(np.where(self.width_kw > 0, self.slope, np.inf), begin, axis=0)
        at_rest = rests[some]
        low[some] = np.where(at_rest, fixed[some], low[some])
        low_cost[some] = np.where(at_rest, cost, low_cost[some])
        slope[some] = np.where(at_rest, np.maximum(steepest, least), 0.0)
        width = np.where(rests[owner], 0.0, self.width_kw)
        return replace(self, low_kw=low, low_cost=low_cost, width_kw=width, slope_at_rest=slope)

    def within(self, dear: float, soft: Bools, fixed: Floats) -> "NodePieces":
        """Return the pieces without those that cost more than `dear` a kW, one way or the other.

        They are left where nodes are `soft`, and where what is `fixed` below `(node, column)` is not well inside the
        others by itself.
        """
        owner = self.owner
        begin = np.flatnonzero(np.diff(owner, prepend=-1))
        some, below, costly = owner[begin], self.slope < -dear, np.abs(self.slope) > dear
        low = self.low_kw[some] + np.add.reduceat(np.where(below, self.width_kw, 0.0), begin, axis=0)
        high = low + np.add.reduceat(np.where(costly, 0.0, self.width_kw), begin, axis=0)
        hard = np.full(fixed.shape, fill_value=False)
        hard[some] = (low + ROOM_KW <= fixed[some]) & (fixed[some] <= high - ROOM_KW) & ~soft[some, None]
        left_out = costly & hard[owner]
        more = np.add.reduceat(np.where(below & left_out, self.slope * self.width_kw, 0.0), begin, axis=0)
        low_kw, low_cost = self.low_kw.copy(), self.low_cost.copy()
        low_kw[some] = np.where(hard[some], low, low_kw[some])
        low_cost[some] += more
        width = np.where(left_out, 0.0, self.width_kw)
        used: Bools = np.any(width > 0, axis=1)
        used[begin] |= ~np.logical_or.reduceat(used, begin)
        ptr = np.append(0, np.cumsum(used))[self.piece_ptr]
        return replace(
            self, low_kw=low_kw, low_cost=low_cost, piece_ptr=ptr, width_kw=width[used], slope=self.slope[used]
        )

    @property
    def owner(self) -> Ints:
        """The node of every piece."""
        return np.repeat(np.arange(len(self.piece_ptr) - 1), np.diff(self.piece_ptr))


@dataclass
class _Curves:
    """Curves as `(kept node, column)`: ends, cost and slope at the lower end, and kinks at which the slope jumps."""

    low: Floats
    high: Floats
    low_cost: Floats
    first_slope: Floats
    kinks: list[Floats]
    jumps: list[Floats]


def node_pieces(problem: PlanProblem, curve: NodeCurve, folding: Folding, holder: Ints) -> NodePieces:
    """Return the kept nodes' curves, with those that are joined to them, as pieces between sorted kinks."""
    count, kept = problem.axis.count, folding.kept
    slots, promise_column = _promise_columns(problem, curve)
    curves = _meter_curves(problem, curve, kept, slots)
    _add_joined(problem, curve, folding.base, holder, curves)
    _add_promises(problem, curve, holder, promise_column, curves)
    fixed, curtail = np.zeros_like(curves.low), np.zeros_like(curves.low)
    inside = holder >= 0
    np.add.at(fixed[:, :count], holder[inside], curve.fixed_kw[inside])
    curtail[:, :count] = curve.curtail_max_kw[kept]
    peak = problem.nodes.peak_charge_per_kw[kept]
    in_rows = _in_rows(*_between_kinks(curves))
    at_rest = np.zeros_like(curves.low)
    return NodePieces(curves.low, curves.low_cost, *in_rows, fixed, curtail, peak, slots, promise_column, at_rest)


def _promise_columns(problem: PlanProblem, curve: NodeCurve) -> tuple[Ints, Ints]:
    """Return the steps whose vehicles' power needs a column of its own, ascending, and every promise's column."""
    promised, none = problem.commitments, np.zeros(0, np.int64)
    if not len(promised):
        return none, none
    apart = problem.nodes.sum_up(curve.curtail_max_kw)[promised.node, promised.step] > 0
    slots = np.unique(promised.step[apart])
    column = promised.step.copy()
    column[apart] = problem.axis.count + np.searchsorted(slots, promised.step[apart])
    return slots, column


def _meter_curves(problem: PlanProblem, curve: NodeCurve, kept: Bools, slots: Ints) -> _Curves:
    """Return the curves of meters and limits; the vehicles' power by itself costs nothing."""
    nodes, over_rise, beyond_rise = problem.nodes, curve.over_rise[kept], curve.beyond_rise[kept]
    bound, least, most = nodes.export_limit_kw[kept], curve.reach_low_kw[kept], curve.reach_high_kw[kept]
    fixed, curtail = curve.fixed_below_kw[kept], nodes.sum_up(curve.curtail_max_kw)[kept]
    n_low, n_high = least - DOMAIN_MARGIN_KW, most + DOMAIN_MARGIN_KW
    v_low, v_high = (least - fixed - DOMAIN_MARGIN_KW), (most - fixed - curtail + DOMAIN_MARGIN_KW)
    meter = np.where(n_low > 0, curve.import_cost[kept], curve.export_cost[kept]) * n_low
    over = np.maximum(n_low - nodes.import_limit_kw[kept], 0.0)
    beyond = np.maximum(-n_low - bound, 0.0)
    none = np.zeros((len(n_low), len(slots)))

    def beside(net: Floats, vehicles: Floats = none) -> Floats:
        return np.concatenate((net, vehicles), axis=1)

    return _Curves(
        low=beside(n_low, v_low[:, slots]),
        high=beside(n_high, v_high[:, slots]),
        low_cost=beside(meter + over_rise * over + beyond_rise * beyond),
        first_slope=beside(curve.export_cost[kept] - beyond_rise),
        kinks=[beside(-bound), beside(np.zeros_like(n_low)), beside(nodes.import_limit_kw[kept])],
        jumps=[beside(beyond_rise), beside((curve.import_cost - curve.export_cost)[kept]), beside(over_rise)],
    )


def _add_joined(problem: PlanProblem, curve: NodeCurve, base: Ints, holder: Ints, curves: _Curves) -> None:
    """Add the curves of joined nodes, moved by what is fixed: the k-th of every base to the k-th three of kinks."""
    joined = np.flatnonzero(base >= 0)
    if not len(joined):
        return
    nodes, count, fixed = problem.nodes, problem.axis.count, curve.fixed_below_kw
    rank = _ranks(base[joined])
    for k in range(int(rank.max()) + 1):
        of = joined[rank == k]
        at, moved = holder[base[of]], fixed[of] - fixed[base[of]]
        low, buy, sell = curves.low[at, :count] + moved, curve.import_cost[of], curve.export_cost[of]
        over, beyond = nodes.import_limit_kw[of], -nodes.export_limit_kw[of]
        over_rise, beyond_rise = curve.over_rise[of], curve.beyond_rise[of]
        curves.low_cost[at, :count] += np.where(low > 0, buy, sell) * low
        curves.low_cost[at, :count] += over_rise * np.maximum(low - over, 0.0)
        curves.low_cost[at, :count] += beyond_rise * np.maximum(beyond - low, 0.0)
        curves.first_slope[at, :count] += sell - beyond_rise
        for kink, jump in ((beyond, beyond_rise), (0.0 * low, buy - sell), (over, over_rise)):
            kinks, jumps = np.zeros_like(curves.low), np.zeros_like(curves.low)
            kinks[at, :count], jumps[at, :count] = kink - moved, jump
            curves.kinks.append(kinks)
            curves.jumps.append(jumps)


def _ranks(cell: Ints) -> Ints:
    """Return how many of the same cell come before each."""
    order = np.argsort(cell, kind="stable")
    rank = np.zeros(len(cell), np.int64)
    _, first, many = np.unique(cell[order], return_index=True, return_counts=True)
    rank[order] = np.arange(len(cell)) - np.repeat(first, many)
    return rank


def _add_promises(problem: PlanProblem, curve: NodeCurve, holder: Ints, column: Ints, curves: _Curves) -> None:
    """Add the promises: the k-th of every (node, column) to the k-th pair of kinks and jumps."""
    promised, count = problem.commitments, problem.axis.count
    if not len(promised):
        return
    node, price = holder[promised.node], problem.axis.step_h * promised.shortfall_per_kwh
    fixed = curve.fixed_below_kw[promised.node, promised.step]
    kink = np.where(promised.up, -promised.power_kw, promised.power_kw) + np.where(column < count, fixed, 0.0)
    low, down = curves.low[node, column], ~promised.up
    # Below its kink a promise to take costs, above it one to inject.
    np.add.at(curves.first_slope, (node[down], column[down]), -price[down])
    np.add.at(curves.low_cost, (node, column), price * np.where(down, kink - low, 0.0))
    np.add.at(curves.low_cost, (node, column), price * np.maximum(low - kink, 0.0))
    rank = _ranks(node * curves.low.shape[1] + column)
    for k in range(int(rank.max()) + 1):
        of, kinks, jumps = rank == k, np.zeros_like(curves.low), np.zeros_like(curves.low)
        kinks[node[of], column[of]], jumps[node[of], column[of]] = kink[of], price[of]
        curves.kinks.append(kinks)
        curves.jumps.append(jumps)


def _between_kinks(curves: _Curves) -> tuple[Floats, Floats]:
    """Return widths and slopes of the pieces, `(piece, node, column)`."""
    at, rise = np.clip(np.stack(curves.kinks), curves.low, curves.high), np.stack(curves.jumps)
    if len(at) > IN_ORDER:
        more = np.any(rise[IN_ORDER:] > 0, axis=(0, 2))
        at[IN_ORDER:, ~more] = curves.high[~more]
        sort = np.argsort(at[:, more], axis=0, kind="stable")
        at[:, more] = np.take_along_axis(at[:, more], sort, 0)
        rise[:, more] = np.take_along_axis(rise[:, more], sort, 0)
    width: Floats = np.diff(at, axis=0, prepend=curves.low[None], append=curves.high[None])
    slope = np.concatenate((curves.first_slope[None], curves.first_slope + np.cumsum(rise, axis=0)))
    _merge(width, slope)
    return width, slope


def _merge(width: Floats, slope: Floats) -> None:
    """Join neighbouring pieces of equal slope."""
    for piece in range(1, len(width)):
        same = (slope[piece] == slope[piece - 1]) & (width[piece - 1] > 0)
        width[piece] += np.where(same, width[piece - 1], 0.0)
        width[piece - 1][same] = 0.0


def _in_rows(width: Floats, slope: Floats) -> tuple[Ints, Floats, Floats]:
    """Return pieces `(piece, node, column)` that are not empty as rows: every node's first, widths, slopes."""
    used = (width > 0).any(axis=2).T
    node, piece = np.nonzero(used)
    return np.append(0, np.cumsum(used.sum(axis=1))), width[piece, node], slope[piece, node]
