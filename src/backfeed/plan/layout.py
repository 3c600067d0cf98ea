"""The problem as the structured solver holds it: a tree of nodes that matter, rows sorted under them.

**Tree.** Nodes at which nothing is metered, limited within reach, charged or promised are left out, and those that
need no system of their own (`plan/folding.py`); rows and nodes below hang on the nearest one that is kept. What hangs
on none is gathered in small nodes of its own without limits and prices. The result is a forest, told level by level.
Steps at which nothing matters are left out of all that is told of nodes.

**Rows.** Every row has one entry per step and one more for its departure: its last energy again, without
power, on the curve of the target. Each entry's energy is then a curve of two pieces,

    e = reference + up - down,    0 <= up <= up_width,   0 <= down <= down_width

with the floor as reference at steps and the target at departure. Rows that a drive links stand one after
the other and make one unit while they stand at one node; a drive to another node leads to a unit of its own.

**Nodes.** What a node's power costs is `plan/pieces.py`'s.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from backfeed.plan.columns import whole_columns
from backfeed.plan.folding import Folding, bounded, fold, uncurtailed
from backfeed.plan.lowered import NodeCurve, node_curve
from backfeed.plan.pieces import NodePieces, at_steps, node_pieces, promise_columns
from backfeed.plan.problem import NO_PARENT, Bools, Floats, Ints, PlanProblem, levels_of, nearest_of
from backfeed.plan.rows import ENTRIES_MAX, ENTRY, Chain, Fleet, chained, gather, places, summed_powers
from backfeed.plan.tree import summed_up, widen
from backfeed.plan.vectors import LANES

FREE_UNITS_PER_NODE = 64
"""How many units that hang on no kept node share a gathering node."""


DRIVES_MAX = 3_000
"""The most drives between nodes: their system is dense, and its work grows with their cube."""

HARD = 8.0
"""A limit's penalty is more than energy is worth if it is this many times its price."""

FEW_STEPS = 0.5
"""Below this share of steps that matter the others are left out; else steps that follow each other are quicker."""


class NotStructuredError(Exception):
    """The problem has a coupling that the tree can not carry; HiGHS can."""


@dataclass(frozen=True)
class Forest:
    """The kept nodes; children of a node are `child[child_ptr[k]:child_ptr[k + 1]]`."""

    parent: Ints
    child_ptr: Ints
    child: Ints
    levels: tuple[Ints, ...]

    @cached_property
    def upwards(self) -> Ints:
        """All nodes, children before their parents."""
        return np.concatenate(self.levels[::-1]) if self.levels else self.parent


@dataclass(frozen=True)
class Layout:
    """A problem laid out for the structured solver.

    `steps` are those at which some node matters, of which all that is told of nodes here tells, but for `curve`.
    `chain` says how units follow each other, `entries` how many places their entries take. `order[i]` is the table's
    row at the solver's row i; `span` `(node, 2)` are the columns between which a node's subtree answers to prices, in
    whole vectors; `within` are the nodes' pieces inside limits that are taken to be hard; `node_of` the
    table's node of each kept node, -1 for gathering nodes; `holder` the kept node at or above each node of the table,
    -1 for none.
    """

    problem: PlanProblem
    steps: Ints
    fleet: Fleet
    chain: Chain
    entries: int
    order: Ints
    forest: Forest
    span: Ints
    pieces: NodePieces
    within: NodePieces
    node_of: Ints
    holder: Ints
    curve: NodeCurve
    folding: Folding

    @cached_property
    def entry_of(self) -> Ints:
        """Where the solver has every entry of the table."""
        w = self.problem.windows
        begin = np.empty(len(w), np.int64)
        begin[self.order] = self.fleet.places[:, ENTRY]
        return np.repeat(begin - w.offsets[:-1], np.diff(w.offsets)) + np.arange(w.offsets[-1])


def _spans(layout: Layout, slots: Ints) -> Ints:
    """Return the columns `(node, 2)` between which a node's subtree answers to prices, in whole vectors.

    Vehicles answer while one is there, and PV where it may be curtailed. Promises of vehicles' power by itself and
    peaks, which join all steps, answer everywhere; where drives lead from node to node, all nodes are taken to.
    """
    w, fleet, forest, nodes = layout.problem.windows, layout.fleet, layout.forest, layout.problem.nodes
    size, kept = whole_columns(len(layout.steps) + len(slots)), np.flatnonzero(layout.folding.kept)
    span = np.stack((np.full(len(forest.parent), size), np.zeros(len(forest.parent), np.int64)), axis=-1)
    low, high = span[:, 0], span[:, 1]
    node = np.repeat(np.repeat(np.arange(len(span)), np.diff(fleet.node_ptr)), np.diff(fleet.unit_ptr))
    np.minimum.at(low, node, np.searchsorted(layout.steps, w.arrive_step[layout.order]))
    np.maximum.at(high, node, np.searchsorted(layout.steps, w.depart_step[layout.order]))
    everywhere = np.flatnonzero(nodes.peak_charge_per_kw[kept] > 0)
    if len(slots) or len(layout.chain.least):
        everywhere = np.arange(len(span))
    low[everywhere], high[everywhere] = 0, size
    if layout.curve.curtail_max_kw.any():
        there = at_steps(layout.curve.curtail_max_kw, kept, layout.steps) > 0
        some = np.flatnonzero(np.any(there, axis=1))
        low[some] = np.minimum(low[some], np.argmax(there[some], axis=1))
        high[some] = np.maximum(high[some], len(layout.steps) - np.argmax(there[some, ::-1], axis=1))
    widen(forest.upwards, forest.parent, span)
    low = np.minimum(low, high)
    return np.stack((low // LANES * LANES, -(-high // LANES) * LANES), axis=-1)


def lay_out(problem: PlanProblem, held: Bools | None = None) -> Layout:
    """Lay a valid problem out.

    Parameters
    ----------
    problem
        The problem.
    held
        The nodes that are kept wherever their limits can be reached, `(node,)`; none if left out.

    Raises
    ------
    NotStructuredError
        If there are too many drives between nodes, or a row is too long.
    """
    powers = summed_powers(problem)
    curve = node_curve(problem, powers.charge_kw, powers.discharge_kw, partial(summed_up, problem.nodes))
    held = np.zeros(len(problem.nodes), np.bool_) if held is None else held
    plain = uncurtailed(problem, curve, held)
    folding, curve = fold(problem, curve, plain, powers, held)
    kept, steps = folding.kept, _steps(problem, folding)
    holder = _holders(problem, kept)
    head = _unit_heads(problem, holder)
    order, unit_ptr, unit_node, gathering = _sorted_units(problem, head, holder, int(kept.sum()))
    unit_of = np.empty(len(order), np.int64)
    unit_of[order] = np.repeat(np.arange(len(unit_node)), np.diff(unit_ptr))
    chain = chained(problem, order, unit_ptr, unit_of)
    if len(chain.least) > DRIVES_MAX:
        message = f"more than {DRIVES_MAX} drives between nodes"
        raise NotStructuredError(message)
    length = (problem.windows.depart_step - problem.windows.arrive_step)[order]
    entry, entries = places(length, unit_ptr, chain.came >= 0)
    node_of = np.concatenate((np.flatnonzero(kept), np.full(gathering, NO_PARENT)))
    forest = _forest(problem, kept, holder, gathering)
    node_ptr = np.searchsorted(unit_node, np.arange(len(node_of) + 1))
    pieces = NodePieces.none(len(node_of))
    fleet = gather(problem, order, np.stack((entry, length), axis=-1), unit_ptr, node_ptr, steps)
    layout = Layout(
        problem=problem,
        steps=steps,
        fleet=bounded(problem, fleet, order, folding),
        chain=chain,
        entries=entries,
        order=order,
        forest=forest,
        span=np.zeros((len(node_of), 2), np.int64),
        pieces=pieces,
        within=pieces,
        node_of=node_of,
        holder=holder,
        curve=curve,
        folding=folding,
    )
    return _with_pieces(layout, held)


def _with_pieces(layout: Layout, held: Bools) -> Layout:
    """Return a layout with its nodes' pieces.

    Where a broken limit is dearer than whatever else could be missed, limits are first taken to be hard; what their
    pieces would have added to the Lagrangian tells whether that was right (`certificate.worth_of_limits`).
    """
    problem, node_of, curve = layout.problem, layout.node_of, layout.curve
    if not len(layout.steps):
        none = NodePieces.none(len(node_of))
        return replace(layout, pieces=none, within=none)
    slots, promise_column = promise_columns(problem, curve, layout.steps)
    span = _spans(layout, slots)
    columns = layout.steps, slots, promise_column
    pieces = node_pieces(problem, curve, layout.folding, layout.holder, columns, span)
    penalty, prices = problem.penalties.limit_per_kwh, problem.prices
    others = (problem.missing_per_kwh, HARD * prices.buy_per_kwh, HARD * np.abs(prices.sell_per_kwh))
    if len(problem.commitments) or penalty <= max(float(other.max(initial=0.0)) for other in others):
        return replace(layout, span=span, pieces=pieces, within=pieces)
    soft = np.append(held, True)[node_of]
    within = pieces.within(problem.axis.step_h * penalty / 2, soft)
    return replace(layout, span=span, pieces=pieces, within=within)


def to_table(layout: Layout, entries: Floats) -> Floats:
    """Return entries without departures, flat in the table's order."""
    flat: Floats = entries[layout.entry_of]
    return flat


def repriced(layout: Layout, fleet: Fleet, curve: NodeCurve) -> Layout:
    """Return a problem laid out with other prices of rows and meters."""
    held = np.ones(len(layout.problem.nodes), np.bool_)
    return _with_pieces(replace(layout, fleet=fleet, curve=curve), held)


def _steps(problem: PlanProblem, folding: Folding) -> Ints:
    """Return the steps at which some node matters, or all if most of them are."""
    steps = folding.steps
    return steps if len(steps) < FEW_STEPS * problem.axis.count else np.arange(problem.axis.count)


def _holders(problem: PlanProblem, kept: Bools) -> Ints:
    """Return the kept node (by its number among the kept) at or above every node, -1 for none."""
    nearest = nearest_of(problem.nodes.parent, kept)
    return np.where(nearest >= 0, (np.cumsum(kept) - 1)[nearest], NO_PARENT)


def _unit_heads(problem: PlanProblem, holder: Ints) -> Ints:
    """Return the first row of every row's unit: linked rows are one while they stand at one node and are not many."""
    w = problem.windows
    head, node = np.arange(len(w)), holder[w.node]
    entries = w.depart_step - w.arrive_step + 2  # with its departure, and its unit's arrival
    if np.any(entries > ENTRIES_MAX):
        message = f"a row has more than {ENTRIES_MAX - 2} steps"
        raise NotStructuredError(message)
    for row in np.flatnonzero(w.previous >= 0):
        before = w.previous[row]
        if node[row] == node[before] and entries[before] + entries[row] <= ENTRIES_MAX:
            head[row] = head[before]
            entries[row] += entries[before]
    return head


def _sorted_units(problem: PlanProblem, head: Ints, holder: Ints, kept: int) -> tuple[Ints, Ints, Ints, int]:
    """Sort rows by unit and units by node; return `(order, unit_ptr, node of unit, gathering nodes)`."""
    w = problem.windows
    node = holder[w.node]
    free = np.unique(head[node < 0])
    place = np.zeros(len(w), np.int64)
    place[free] = kept + np.arange(len(free)) // FREE_UNITS_PER_NODE
    node = np.where(node < 0, place[head], node)
    order = np.lexsort((np.arange(len(w)), head, node))
    sorted_head = head[order]
    first = np.flatnonzero(np.diff(sorted_head, prepend=-1))
    return order, np.append(first, len(w)), node[order[first]], -(-len(free) // FREE_UNITS_PER_NODE)


def _forest(problem: PlanProblem, kept: Bools, holder: Ints, gathering: int) -> Forest:
    """Return the forest of kept nodes, gathering nodes as roots at its end."""
    nodes = problem.nodes
    above = nodes.parent[np.flatnonzero(kept)]
    parent = np.concatenate((np.where(above >= 0, holder[above], NO_PARENT), np.full(gathering, NO_PARENT)))
    child = np.argsort(parent, kind="stable")
    child_ptr = np.searchsorted(parent[child], np.arange(len(parent) + 1))
    return Forest(parent, child_ptr, child, levels_of(parent))
