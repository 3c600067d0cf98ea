"""Which trees are eliminated in the order of time, and which cells of a car and a column are whose.

A tree may be where no peak joins its steps, no promise has a column of its own, and no drive leads to another node; it
is where that is quicker than factors of its nodes over all of their steps (`plan/narrow.py`).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from backfeed.plan.columns import aligned, whole_columns
from backfeed.plan.layout import Forest, Layout
from backfeed.plan.problem import Bools, Floats, Ints, nearest_of
from backfeed.plan.tree import add_up, hand_down
from backfeed.plan.vectors import LANES

IN_TIME, IN_TIME_BELOW = (100.0, 12.0, 1.7), (10.0, 0.5, 0.0)
AT_ONCE, AT_ONCE_BELOW = (1.6, 0.0055), (1.6, 0.0125)
"""What eliminating takes [ns] at a root and at a node below it: a column with cars in the order of time, by them and
their square; else the square and cube of the columns."""

CELL = (CELL_W, CELL_V, CELL_APART, CELL_CLOSE, CELL_IE, CELL_OTHERS, CELL_FAR, CELL_G) = tuple(range(8))
"""Quantities of a car at a column: its answers w and v at its own node, the parts of its diagonal that this does not
see and sees, its coupling to the next column, and what answers beside it; then, all prices eliminated, w as the root
sees it, and its diagonal."""

AT = (MANY, PLACE, BLOCK) = tuple(range(3))
LINK = (AFTER, BEFORE, MEETS) = tuple(range(3))
UNIT = (BEGIN, END, CELLS) = tuple(range(3))
ROOM = (VALUE, PUSH, MORE, PLACE_IE, PLACE_G, PLACE_W) = tuple(range(6))
COLUMNS = (INVERSE, SHARE, BESIDE, REACH, SEEN, WAY, JOINT) = tuple(range(7))
"""What is told of a root and column, a place and a unit; quantities of a place, and of a node and column."""


class Lanes(NamedTuple):
    """The cars of narrow trees, column by column, in the order of the tree: a node's own, then those of its children.

    `narrow` tells which nodes are; those under a narrow root k, and k at the end, are `member[member_ptr[k] :
    member_ptr[k + 1]]`; the units under a node k are `car[car_ptr[k, 0] : car_ptr[k, 1]]`.

    A unit's cells follow each other in time, padded to whole vectors: `unit` `(unit, UNIT)` are its first column, the
    one after its last, and its first cell; `cell` `(CELL, cell)` holds their quantities. A root's places follow each
    other column by column, padded too: `at` `(node, AT, column)` says at a root how many cars are there, where their
    places and P's packed `inverse` begin, which has a vector more at both ends. `goal` is every cell's place; `link`
    `(place, LINK)` are where the same car is at the next column, counted from that column's first place, -1 for
    nowhere, where it was at the column before, and the first node above both it and the car of the place after it.
    `room` `(ROOM, place)` is to solve in; `column` `(node, COLUMNS, column)` are 1 / d, hd / d and what
    `plan/meeting.py` makes of these, padded by a vector.
    """

    narrow: Ints
    member: Ints
    member_ptr: Ints
    car: Ints
    car_ptr: Ints
    at: Ints
    unit: Ints
    cell: Floats
    goal: Ints
    link: Ints
    room: Floats
    inverse: Floats
    column: Floats


def lay_lanes(layout: Layout, *, narrow_only: bool = False) -> Lanes:
    """Return the cells of a problem's narrow trees.

    Parameters
    ----------
    layout
        The problem.
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
    many = np.cumsum(own, axis=1)[:, :columns].astype(np.float64)
    add_up(forest.upwards, forest.parent, many)
    able = (layout.pieces.peak_charge == 0) & (np.diff(layout.pieces.piece_ptr) > 0)
    able[node[~whole]] = False
    able &= not (len(layout.pieces.slots) or len(layout.chain.least))
    top = nearest_of(forest.parent, forest.parent < 0)
    may_be = np.ones(len(able), np.bool_)
    np.logical_and.at(may_be, top, able)
    narrow = may_be[top] & (narrow_only | _are_quicker(forest, top, many, layout.span))
    member = forest.upwards[narrow[forest.upwards]]
    member = member[np.argsort(top[member], kind="stable")]
    return _lanes_of(layout, narrow, member, (node, begin, end), top)


def _lanes_of(layout: Layout, narrow: Bools, member: Ints, units: tuple[Ints, Ints, Ints], top: Ints) -> Lanes:
    """Return the lanes of narrow trees; `units` are the units' nodes, first columns and the ones after their last."""
    forest, (node, begin, end) = layout.forest, units
    columns = whole_columns(layout.pieces.low_kw.shape[1])
    car, car_ptr = _in_order_of_tree(layout, narrow)
    kept = slice(None if len(member) else 0)  # a great fleet whose trees are wide needs no room for this
    before = np.zeros((len(car) + 1, columns + 1), np.int64)
    np.add.at(before, (np.arange(len(car)) + 1, begin[car]), 1)
    np.add.at(before, (np.arange(len(car)) + 1, end[car]), -1)
    before = np.cumsum(np.cumsum(before, axis=1), axis=0)  # of all that stand before in the order of the tree
    first = before[car_ptr[kept, 0]]
    many = before[car_ptr[kept, 1]] - first
    at_roots = np.where((forest.parent < 0) & narrow, 1, 0)[kept, None] * many
    padded = -(-at_roots // LANES) * LANES
    first -= before[car_ptr[top[kept], 0]]
    place = _begin(padded)
    held = np.where(narrow[node], end - begin, 0)
    whole = -(-held // LANES) * LANES
    cells = np.cumsum(whole) - whole
    goal, link = np.zeros(int(whole.sum()), np.int64), np.full((int(padded.sum()), len(LINK)), -1)
    unit = np.repeat(car, held[car])
    step = begin[unit] + np.arange(len(unit)) - np.repeat(np.cumsum(held[car]) - held[car], held[car])
    if len(unit):
        root = top[node[unit]]
        there = before[np.repeat(np.arange(len(car)), held[car]), step] - before[car_ptr[root, 0], step]
        cell = cells[unit] + step - begin[unit]
        goal[cell] = place[root, step] + there
        on = np.flatnonzero(unit[1:] == unit[:-1])
        link[goal[cell[on]], AFTER], link[goal[cell[on + 1]], BEFORE] = there[on + 1], there[on]
        link[goal[cell], MEETS] = node[unit]
        child = member[forest.parent[member] >= 0]
        above = forest.parent[child]
        which, step = np.nonzero((many[child] > 0) & (first[child] > first[above]))
        link[place[top[child[which]], step] + first[child[which], step] - 1, MEETS] = above[which]
    room = aligned(len(ROOM), len(link))
    room[PLACE_IE] = 1.0  # padding has a diagonal of its own
    return Lanes(
        narrow=narrow.astype(np.int64),
        member=member,
        member_ptr=np.searchsorted(top[member], np.arange(len(narrow) + 1)),
        car=car,
        car_ptr=car_ptr,
        at=np.stack((at_roots, place, LANES + _begin(padded * (padded + LANES) // 2)), axis=1),
        unit=np.stack((begin, end, cells), axis=-1),
        cell=aligned(len(CELL), len(goal)),
        goal=goal,
        link=link,
        room=room,
        inverse=aligned(2 * LANES + int((padded * (padded + LANES) // 2).sum())),
        column=aligned(len(many), len(COLUMNS), columns + LANES),
    )


def _in_order_of_tree(layout: Layout, narrow: Bools) -> tuple[Ints, Ints]:
    """Return narrow trees' units, a node's own before its children's, and every node's `(node, 2)` first and last."""
    forest, ptr = layout.forest, layout.fleet.node_ptr
    own = np.where(narrow, np.diff(ptr), 0)
    under = _passed(add_up, forest, own)
    earlier = np.zeros_like(under)
    earlier[forest.child] = np.cumsum(under[forest.child]) - under[forest.child]  # roots come first, then by parent
    below, beyond = np.flatnonzero(forest.parent >= 0), earlier.copy()
    above = forest.parent[below]
    beyond[below] += own[above] - earlier[forest.child[forest.child_ptr[above]]]
    first = _passed(hand_down, forest, beyond)
    units = np.flatnonzero(np.repeat(narrow, np.diff(ptr)))
    node = np.repeat(np.arange(len(own)), own)
    place = first[node] + units - ptr[node]
    car = np.empty(len(units), np.int64)
    car[place] = units
    return car, np.stack((first, first + under), axis=-1)


def _passed(passes: Callable[[Ints, Ints, Floats], None], forest: Forest, values: Ints) -> Ints:
    """Return whole numbers of nodes after a pass over their trees."""
    passed = values.astype(np.float64)[:, None]
    passes(forest.upwards, forest.parent, passed)
    return passed[:, 0].astype(np.int64)


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


def _are_quicker(forest: Forest, top: Ints, many: Floats, span: Ints) -> Bools:
    """Return which nodes are of trees that are eliminated quicker in the order of time."""
    column = np.arange(many.shape[1])
    inside, below = (column >= span[:, :1]) & (column < span[:, 1:]) & (many > 0), forest.parent >= 0
    fixed, linear, square = np.where(below, np.array(IN_TIME_BELOW)[:, None], np.array(IN_TIME)[:, None])[..., None]
    by_node = ((fixed + linear * many + square * many**2) * inside).sum(axis=1)
    length = (span[:, 1] - span[:, 0]).astype(np.float64)
    square, cube = np.where(below, np.array(AT_ONCE_BELOW)[:, None], np.array(AT_ONCE)[:, None])
    in_time, at_once = np.zeros((2, len(length)))
    np.add.at(in_time, top, by_node)
    np.add.at(at_once, top, square * length**2 + cube * length**3)
    quicker: Bools = (in_time < at_once)[top]
    return quicker
