"""Which trees are eliminated in the order of time, and which cells of a car and a column are whose.

A tree may be where no peak joins its steps, no promise has a column of its own, and no drive leads to another node; it
is where that is quicker than factors of its nodes over all of their steps (`plan/narrow.py`).
"""

from typing import NamedTuple

import numpy as np

from backfeed.plan.columns import whole_columns
from backfeed.plan.compiled import allocating, nested
from backfeed.plan.layout import Forest, Layout
from backfeed.plan.problem import Bools, Floats, Ints
from backfeed.plan.rows import Fleet
from backfeed.plan.vectors import LANES

IN_TIME, IN_TIME_BELOW = (250.0, 40.0, 6.2), (100.0, 15.0, 0.7)
AT_ONCE, AT_ONCE_BELOW = (1.6, 0.0055), (2.6, 0.0165)
"""What eliminating takes [ns] at a root and at a node below it: a column with cars in the order of time, by them and
their square; else the square and cube of the columns."""

CELL = (CELL_W, CELL_V, CELL_G, CELL_DELTA, CELL_IE, UP_W, UP_V, UP_G, UP_DELTA) = tuple(range(9))
"""Quantities of a car at a column of a node: its answer, its coupling to the next one, and what the parent sees."""


AT = (MANY, FIRST, CORNER, PLACE, BLOCK) = tuple(range(5))
LINK = (SOURCE, AFTER, GOAL) = tuple(range(3))
UNIT = (BEGIN, END, CELLS) = tuple(range(3))
ROOM = (VALUE, PUSH, MORE) = tuple(range(3))
PIVOT, GROUND = 0, 1
"""What is told of a node and column, a cell, a unit and a place; the last two are a node's, by column."""


class Lanes(NamedTuple):
    """The cars at every column of narrow trees' nodes: a node's own, then those of its children in turn.

    `narrow` tells which nodes are; those under a narrow root k, and k at the end, are `member[member_ptr[k] :
    member_ptr[k + 1]]`. `at` `(node, AT, column)` says how many cars are there, where their cells begin and what joins
    them in `across`, and at a root where values and P's `inverse` do. `link` `(cell, LINK)` is a cell's in the child,
    -1 in the car's own node; the same car's at the next column, -1 for none; and its place among the values. `unit`
    `(unit, UNIT)` are a unit's first column, the one after its last, and where its cells stand in `cells`. `cell`
    `(cell, CELL)` holds their quantities; `room` `(ROOM, place)` is to solve in; `column` `(node, 2, column)` are d,
    and what answers by itself to the parent.
    """

    narrow: Ints
    member: Ints
    member_ptr: Ints
    at: Ints
    link: Ints
    unit: Ints
    cells: Ints
    cell: Floats
    room: Floats
    across: Floats
    inverse: Floats
    column: Floats


@allocating
def link_cells(upwards: Ints, fleet: Fleet, child_ptr: Ints, child: Ints, lanes: Lanes) -> None:
    """Write which cells are whose: `source`, `after`, `cells` and `goal`."""
    there = np.zeros(lanes.at.shape[2] + 1, np.int64)
    for k in upwards:
        if lanes.narrow[k] > 0:
            there[:] = 0
            for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
                _link_own(i, lanes, lanes.at[k, FIRST], there)
            for q in range(child_ptr[k], child_ptr[k + 1]):
                _link_below(lanes.at[k, FIRST], child[q], lanes, there)
    for q in range(len(upwards) - 1, -1, -1):
        k = upwards[q]
        is_root = lanes.member_ptr[k + 1] > lanes.member_ptr[k]
        for t in range(lanes.at.shape[2]):
            for j in range(lanes.at[k, MANY, t]):
                s = lanes.at[k, FIRST, t] + j
                if is_root:
                    lanes.link[s, GOAL] = lanes.at[k, PLACE, t] + j
                if lanes.link[s, SOURCE] >= 0:
                    lanes.link[lanes.link[s, SOURCE], GOAL] = lanes.link[s, GOAL]


@nested
def _link_own(i: int, lanes: Lanes, first: Ints, there: Ints) -> None:
    """Link the cells of a unit at its own node; `there` counts the cells that have been."""
    before, at = -1, lanes.unit[i, CELLS]
    for t in range(lanes.unit[i, BEGIN], lanes.unit[i, END]):
        s = first[t] + there[t]
        there[t] += 1
        lanes.cells[at] = s
        at += 1
        if before >= 0:
            lanes.link[before, AFTER] = s
        before = s


@nested
def _link_below(first: Ints, c: int, lanes: Lanes, there: Ints) -> None:
    """Link a node's cells to those of its child c."""
    for t in range(lanes.at.shape[2]):
        for j in range(lanes.at[c, MANY, t]):
            s, at = first[t] + there[t] + j, lanes.at[c, FIRST, t] + j
            lanes.link[s, SOURCE] = at
            if lanes.link[at, AFTER] >= 0:
                lanes.link[s, AFTER] = first[t + 1] + there[t + 1] + lanes.link[at, AFTER] - lanes.at[c, FIRST, t + 1]
    for t in range(lanes.at.shape[2]):
        there[t] += lanes.at[c, MANY, t]


def lay_lanes(layout: Layout, span: Ints, *, narrow_only: bool = False) -> Lanes:
    """Return the cells of a problem's narrow trees.

    Parameters
    ----------
    layout
        The problem.
    span
        Its nodes' columns (`layout.spans`).
    narrow_only
        Whether every tree is narrow that may be, quicker or not.
    """
    fleet, forest = layout.fleet, layout.forest
    columns = whole_columns(layout.pieces.low_kw.shape[1])
    begin, end, whole = _columns_of_units(layout)
    own = np.zeros((len(forest.parent), columns + 1), np.int64)
    node = np.repeat(np.arange(len(own)), np.diff(fleet.node_ptr))
    np.add.at(own, (node, begin), 1)
    np.add.at(own, (node, end), -1)
    many = np.cumsum(own, axis=1)[:, :columns]
    able = (layout.pieces.peak_charge == 0) & (np.diff(layout.pieces.piece_ptr) > 0)
    able[node[~whole]] = False
    able &= not (len(layout.pieces.slots) or len(layout.chain.least))
    for level in forest.levels[:0:-1]:
        np.add.at(many, forest.parent[level], many[level])
    top = _roots(forest)
    may_be = np.ones(len(able), np.bool_)
    np.logical_and.at(may_be, top, able)
    narrow = may_be[top] & (narrow_only | _are_quicker(forest, top, many, span))
    many[~narrow] = 0
    kept = slice(None if narrow.any() else 0)  # a great fleet whose trees are wide needs no room for this
    many = many[kept]
    at_roots = np.where(forest.parent[kept, None] < 0, many, 0)
    padded = -(-at_roots // LANES) * LANES
    held = np.where(narrow[node], end - begin, 0)
    cells = int(many.sum())
    upwards = np.concatenate(forest.levels[::-1])
    member = upwards[narrow[upwards]]
    member = member[np.argsort(top[member], kind="stable")]
    lanes = Lanes(
        narrow=narrow.astype(np.int64),
        member=member,
        member_ptr=np.searchsorted(top[member], np.arange(len(narrow) + 1)),
        at=np.stack((many, _begin(many), _begin(many * many), _begin(padded), _begin(padded * padded)), axis=1),
        link=np.full((cells, len(LINK)), -1),
        unit=np.stack((begin, end, np.cumsum(held) - held), axis=-1),
        cells=np.zeros(int(held.sum()), np.int64),
        cell=np.zeros((cells, len(CELL))),
        room=np.zeros((len(ROOM), int(padded.sum()))),
        across=np.zeros((many * many).sum()),
        inverse=np.zeros((padded * padded).sum()),
        column=np.ones((len(many), 2, columns)),
    )
    if cells:
        link_cells(upwards, fleet, forest.child_ptr, forest.child, lanes)
    return lanes


def _begin(size: Ints) -> Ints:
    """Return where each of some runs begins."""
    begin: Ints = np.cumsum(size).reshape(size.shape) - size
    return begin


def _columns_of_units(layout: Layout) -> tuple[Ints, Ints, Bools]:
    """Return every unit's first column and the one after its last, and whether it is there at all between."""
    w, steps, first = layout.problem.windows, layout.steps, layout.fleet.unit_ptr[:-1]
    arrive = np.searchsorted(steps, w.arrive_step[layout.order])
    depart = np.searchsorted(steps, w.depart_step[layout.order])
    if not len(first):
        none = np.zeros(0, np.int64)
        return none, none, none == 0
    begin, end = np.minimum.reduceat(arrive, first), np.maximum.reduceat(depart, first)
    return begin, end, np.add.reduceat(depart - arrive, first) == end - begin


def _roots(forest: Forest) -> Ints:
    """Return the root of every node's tree."""
    top = np.arange(len(forest.parent))
    for level in forest.levels[1:]:
        top[level] = top[forest.parent[level]]
    return top


def _are_quicker(forest: Forest, top: Ints, many: Ints, span: Ints) -> Bools:
    """Return which nodes are of trees that are eliminated quicker in the order of time."""
    cars, column = many.astype(np.float64), np.arange(many.shape[1])
    inside, below = (column >= span[:, :1]) & (column < span[:, 1:]) & (many > 0), forest.parent >= 0
    fixed, linear, square = np.where(below, np.array(IN_TIME_BELOW)[:, None], np.array(IN_TIME)[:, None])[..., None]
    by_node = ((fixed + linear * cars + square * cars**2) * inside).sum(axis=1)
    length = (span[:, 1] - span[:, 0]).astype(np.float64)
    square, cube = np.where(below, np.array(AT_ONCE_BELOW)[:, None], np.array(AT_ONCE)[:, None])
    in_time, at_once = np.zeros((2, len(length)))
    np.add.at(in_time, top, by_node)
    np.add.at(at_once, top, square * length**2 + cube * length**3)
    quicker: Bools = (in_time < at_once)[top]
    return quicker
