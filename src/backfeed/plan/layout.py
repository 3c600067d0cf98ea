"""The problem as the structured solver holds it: a tree of nodes that matter, rows sorted under them.

**Tree.** Nodes at which nothing is metered, limited within reach, charged or promised are left out; rows
and nodes below hang on the nearest one that is kept. What hangs on none is gathered in small nodes of its
own without limits. The result is a forest, told level by level.

**Rows.** Every row has one entry per step and one more for its departure: its last energy again, without
power, on the curve of the target. Each entry's energy is then a curve of two pieces,

    e = reference + up - down,    0 <= up <= up_width,   0 <= down <= down_width

with the floor as reference at steps and the target at departure. Rows that a drive links stand one after
the other and make one unit.

**Nodes.** A node's net power is `low` plus convex pieces in ascending order of their slope, each from 0 to
its width: beyond the export limit, exporting, importing, over the import limit, short of a promise.
"""

from dataclasses import dataclass

import numpy as np

from backfeed.plan.lowered import NodeCurve, node_curve
from backfeed.plan.problem import NO_PARENT, Bools, Floats, Ints, PlanProblem
from backfeed.plan.rows import ENTRIES_MAX, Fleet, gather, places, step_shares, unit_sizes

FREE_UNITS_PER_NODE = 64
"""How many units that hang on no kept node share a gathering node."""

DOMAIN_MARGIN_KW = 1.0
"""How far a node's curve goes on beyond what its subtree can reach."""


class NotStructuredError(Exception):
    """The problem has a coupling that the tree can not carry; HiGHS can."""


@dataclass(frozen=True)
class Forest:
    """The kept nodes; children of a node are `child[child_ptr[k]:child_ptr[k + 1]]`."""

    parent: Ints
    child_ptr: Ints
    child: Ints
    levels: tuple[Ints, ...]


@dataclass(frozen=True)
class NodePieces:
    """Net power of kept nodes: `low_kw` `(node, step)` and pieces `(piece, step)`, and the rest.

    Node k's pieces are `piece_ptr[k]` to `piece_ptr[k + 1]`, in the order of their slope; `low_cost` is what `low_kw`
    costs; `fixed_kw` enters the balance; `curtail_kw` may be added to it for nothing.
    """

    low_kw: Floats
    low_cost: Floats
    piece_ptr: Ints
    width_kw: Floats
    slope: Floats
    fixed_kw: Floats
    curtail_kw: Floats
    peak_charge: Floats

    @property
    def owner(self) -> Ints:
        """The node of every piece."""
        return np.repeat(np.arange(len(self.piece_ptr) - 1), np.diff(self.piece_ptr))


@dataclass(frozen=True)
class Layout:
    """A problem laid out for the structured solver.

    `entries` is how many places the rows' entries take; `order[i]` is the table's row at the solver's row i; `node_of`
    the table's node of each kept node, -1 for gathering nodes; `holder` the kept node at or above each node of the
    table, -1 for none.
    """

    problem: PlanProblem
    fleet: Fleet
    entries: int
    order: Ints
    forest: Forest
    pieces: NodePieces
    node_of: Ints
    holder: Ints
    curve: NodeCurve


def lay_out(problem: PlanProblem) -> Layout:
    """Lay a valid problem out.

    Raises
    ------
    NotStructuredError
        If a drive links rows at different nodes, or a promise stands above PV that may be curtailed.
    """
    charge, discharge = summed_powers(problem)
    curve = node_curve(problem, charge, discharge)
    kept = _kept_nodes(problem, curve)
    holder = _holders(problem, kept)
    order, unit_ptr, unit_node, gathered = _sorted_units(problem, holder, int(kept.sum()))
    node_of = np.concatenate((np.flatnonzero(kept), np.full(gathered, NO_PARENT)))
    forest = _forest(problem, kept, holder, gathered)
    length = (problem.windows.depart_step - problem.windows.arrive_step)[order]
    entry, entries = places(length, unit_ptr)
    if np.any(unit_sizes(length, unit_ptr) > ENTRIES_MAX):
        message = f"a vehicle has more than {ENTRIES_MAX} steps and departures"
        raise NotStructuredError(message)
    node_ptr = np.searchsorted(unit_node, np.arange(len(node_of) + 1))
    free = _gathered_powers(problem, order, unit_ptr[node_ptr[int(kept.sum()) :]])
    pieces = _node_pieces(problem, curve, kept, holder, free)
    return Layout(
        problem=problem,
        fleet=gather(problem, order, np.stack((entry, length), axis=-1), unit_ptr, node_ptr),
        entries=entries,
        order=order,
        forest=forest,
        pieces=pieces,
        node_of=node_of,
        holder=holder,
        curve=curve,
    )


def summed_powers(problem: PlanProblem) -> tuple[Floats, Floats]:
    """Return what the rows at every node can charge and discharge at most, `(node, step)` each."""
    w, step_h = problem.windows, problem.axis.step_h
    shape = (len(problem.nodes), problem.axis.count + 1)
    single = w.depart_step - w.arrive_step == 1
    first, last = step_shares(problem)
    sums = []
    for power in (w.charge_max_kw, w.discharge_max_kw):
        edge = np.zeros(shape)
        np.add.at(edge, (w.node, w.arrive_step), power)
        np.add.at(edge, (w.node, w.depart_step), -power)
        total = np.cumsum(edge, axis=1)[:, :-1]
        partial = np.flatnonzero((first < 1) | (last < 1))
        np.add.at(total, (w.node[partial], w.arrive_step[partial]), -power[partial] * (1 - first[partial]))
        later = partial[~single[partial]]
        np.add.at(total, (w.node[later], w.depart_step[later] - 1), -power[later] * (1 - last[later]))
        sums.append(np.maximum(total, 0.0))
    assert step_h > 0
    return sums[0], sums[1]


def _kept_nodes(problem: PlanProblem, curve: NodeCurve) -> Bools:
    """Return the nodes that matter at some step."""
    nodes = problem.nodes
    binding = (curve.reach_high_kw > nodes.import_limit_kw) | (curve.reach_low_kw < -nodes.export_limit_kw)
    kept = nodes.metered | (nodes.peak_charge_per_kw > 0) | binding.any(axis=1)
    kept[problem.commitments.node] = True
    return kept


def _holders(problem: PlanProblem, kept: Bools) -> Ints:
    """Return the kept node (by its number among the kept) at or above every node, -1 for none."""
    number = np.where(kept, np.cumsum(kept) - 1, NO_PARENT)
    nodes = problem.nodes
    for level in nodes.levels[1:]:
        number[level] = np.where(kept[level], number[level], number[nodes.parent[level]])
    return number


def _sorted_units(problem: PlanProblem, holder: Ints, kept: int) -> tuple[Ints, Ints, Ints, int]:
    """Sort rows by unit and units by node; return `(order, unit_ptr, node of unit, gathering nodes)`."""
    w = problem.windows
    head = np.arange(len(w))
    for row in np.flatnonzero(w.previous >= 0):
        head[row] = head[w.previous[row]]
    node = holder[w.node]
    if np.any(node != node[head]):
        message = "a drive links rows at different nodes"
        raise NotStructuredError(message)
    free = np.unique(head[node < 0])
    place = np.zeros(len(w), np.int64)
    place[free] = kept + np.arange(len(free)) // FREE_UNITS_PER_NODE
    node = np.where(node < 0, place[head], node)
    order = np.lexsort((np.arange(len(w)), head, node))
    sorted_head = head[order]
    first = np.flatnonzero(np.diff(sorted_head, prepend=-1))
    return order, np.append(first, len(w)), node[order[first]], -(-len(free) // FREE_UNITS_PER_NODE)


def _forest(problem: PlanProblem, kept: Bools, holder: Ints, gathered: int) -> Forest:
    """Return the forest of kept nodes, gathering nodes as roots at its end."""
    nodes = problem.nodes
    above = nodes.parent[np.flatnonzero(kept)]
    parent = np.concatenate((np.where(above >= 0, holder[above], NO_PARENT), np.full(gathered, NO_PARENT)))
    child = np.argsort(parent, kind="stable")
    child_ptr = np.searchsorted(parent[child], np.arange(len(parent) + 1))
    depth = np.zeros(len(parent), np.int64)
    walk = parent.copy()
    while np.any(walk >= 0):
        depth[walk >= 0] += 1
        walk = np.where(walk >= 0, parent[walk], NO_PARENT)
    levels = tuple(np.flatnonzero(depth == d) for d in range(int(depth.max(initial=-1)) + 1))
    return Forest(parent, child_ptr, child, levels)


def _node_pieces(
    problem: PlanProblem, curve: NodeCurve, kept: Bools, holder: Ints, free: tuple[Floats, Floats]
) -> NodePieces:
    """Return the kept nodes' curves as pieces between sorted kinks.

    Gathering nodes have a single free piece that covers whatever their rows can do, `free`.
    """
    nodes, count, size, gathered = problem.nodes, problem.axis.count, int(kept.sum()), len(free[0])
    fixed = np.zeros((size + gathered, count))
    inside = holder >= 0
    np.add.at(fixed, holder[inside], curve.fixed_kw[inside])
    low = curve.reach_low_kw[kept] - DOMAIN_MARGIN_KW
    high = curve.reach_high_kw[kept] + DOMAIN_MARGIN_KW
    limit = np.full(low.shape, curve.limit_cost)
    kinks = [-nodes.export_limit_kw[kept], np.zeros_like(low), nodes.import_limit_kw[kept]]
    jumps = [limit, (curve.import_cost - curve.export_cost)[kept], limit]
    promises = _promise_kinks(problem, curve, kept, holder)
    kinks += [kink for kink, _ in promises]
    jumps += [jump for _, jump in promises]
    owed = _promised_before(problem, holder, low)
    low_cost = _cost_of_low(problem, curve, kept, low) + owed[1]
    for kink, jump in promises:  # a promise is worth its jump above the kink, less what `owed` has taken below
        low_cost += np.where(low > kink, jump * (low - kink), 0.0)
    first_slope = (curve.export_cost[kept] - limit) - owed[0]
    at, rise = np.stack(kinks, axis=-1), np.stack(jumps, axis=-1)
    at = np.clip(at, low[..., None], high[..., None])
    sort = np.argsort(at, axis=-1, kind="stable")
    at, rise = np.take_along_axis(at, sort, -1), np.take_along_axis(rise, sort, -1)
    edges = np.concatenate((low[..., None], at, high[..., None]), axis=-1)
    slope = np.concatenate((first_slope[..., None], first_slope[..., None] + np.cumsum(rise, axis=-1)), axis=-1)
    many = slope.shape[-1]
    width = np.zeros((size + gathered, count, many))
    slopes = np.zeros_like(width)
    width[:size], slopes[:size] = np.diff(edges, axis=-1), slope
    lows, costs = np.zeros((size + gathered, count)), np.zeros((size + gathered, count))
    lows[:size], costs[:size] = low, low_cost
    lows[size:] = -free[1][:, None] - DOMAIN_MARGIN_KW
    width[size:, :, 0] = (free[0] + free[1])[:, None] + 2 * DOMAIN_MARGIN_KW
    curtail = np.zeros_like(lows)
    curtail[:size] = curve.curtail_max_kw[kept]
    peak = np.zeros(size + gathered)
    peak[:size] = nodes.peak_charge_per_kw[kept]
    return NodePieces(lows, costs, *_in_rows(*_merged(width, slopes)), fixed, curtail, peak)


def _merged(width: Floats, slope: Floats) -> tuple[Floats, Floats]:
    """Join neighbouring pieces of equal slope, and drop pieces that are empty everywhere."""
    width, slope = width.copy(), slope.copy()
    for piece in range(1, width.shape[-1]):
        same = (slope[..., piece] == slope[..., piece - 1]) & (width[..., piece - 1] > 0)
        width[..., piece] += np.where(same, width[..., piece - 1], 0.0)
        width[..., piece - 1] = np.where(same, 0.0, width[..., piece - 1])
    return width, slope


def _in_rows(width: Floats, slope: Floats) -> tuple[Ints, Floats, Floats]:
    """Return pieces `(node, step, piece)` as rows, `(row of every node's first, width, slope)`; empty ones left out."""
    used = (width > 0).any(axis=1)
    node, piece = np.nonzero(used)
    return np.append(0, np.cumsum(used.sum(axis=1))), width[node, :, piece], slope[node, :, piece]


def _promise_kinks(problem: PlanProblem, curve: NodeCurve, kept: Bools, holder: Ints) -> list[tuple[Floats, Floats]]:
    """Return promises as kinks of the net power: the k-th promise of every (node, step) in the k-th pair."""
    promised = problem.commitments
    if not len(promised):
        return []
    curtailable = problem.nodes.sum_up(curve.curtail_max_kw)
    if np.any(curtailable[promised.node, promised.step] > 0):
        message = "a promise stands above PV that may be curtailed"
        raise NotStructuredError(message)
    below = problem.nodes.sum_up(curve.fixed_kw)
    cell = promised.node * problem.axis.count + promised.step
    order = np.argsort(cell, kind="stable")
    rank = np.zeros(len(cell), np.int64)
    _, first, many = np.unique(cell[order], return_index=True, return_counts=True)
    rank[order] = np.arange(len(cell)) - np.repeat(first, many)
    shape = (int(kept.sum()), problem.axis.count)
    pairs = []
    for k in range(int(rank.max()) + 1):
        chosen = rank == k
        kink, jump = np.zeros(shape), np.zeros(shape)
        node, step = holder[promised.node[chosen]], promised.step[chosen]
        power = np.where(promised.up, -promised.power_kw, promised.power_kw)[chosen]
        kink[node, step] = power + below[promised.node[chosen], step]
        jump[node, step] = problem.axis.step_h * promised.shortfall_per_kwh[chosen]
        pairs.append((kink, jump))
    return pairs


def _promised_before(problem: PlanProblem, holder: Ints, low: Floats) -> tuple[Floats, Floats]:
    """Return the slope and the cost at `low` of the promises to take power, `(node, step)` each."""
    promised = problem.commitments
    slope, cost = np.zeros_like(low), np.zeros_like(low)
    down = np.flatnonzero(~promised.up)
    if len(down):
        at = (holder[promised.node[down]], promised.step[down])
        price = problem.axis.step_h * promised.shortfall_per_kwh[down]
        fixed = problem.nodes.sum_up(problem.nodes.base_load_kw - problem.nodes.pv_kw)
        kink = promised.power_kw[down] + fixed[promised.node[down], promised.step[down]]
        np.add.at(slope, at, price)
        np.add.at(cost, at, price * (kink - low[at]))
    return slope, cost


def _cost_of_low(problem: PlanProblem, curve: NodeCurve, kept: Bools, low: Floats) -> Floats:
    """Return what meter and limits cost at the lower end of the nodes' curves."""
    nodes = problem.nodes
    meter = np.where(low > 0, curve.import_cost[kept], curve.export_cost[kept]) * low
    over = np.maximum(low - nodes.import_limit_kw[kept], 0.0)
    beyond = np.maximum(-low - nodes.export_limit_kw[kept], 0.0)
    return meter + curve.limit_cost * (over + beyond)


def _gathered_powers(problem: PlanProblem, order: Ints, first_row: Ints) -> tuple[Floats, Floats]:
    """Return what the rows of every gathering node charge and discharge at most."""
    sums = []
    for power in (problem.windows.charge_max_kw, problem.windows.discharge_max_kw):
        total = np.append(0.0, np.cumsum(power[order]))
        sums.append(np.diff(total[first_row]))
    return sums[0], sums[1]
