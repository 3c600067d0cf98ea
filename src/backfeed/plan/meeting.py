"""What eliminating the prices of a narrow tree makes of its cars' own diagonal g, column by column.

A node hands its parent the share `hd / d` of all that answers; two cars are joined by `-w w / d` at every node above
both, w having passed the nodes between. Summed along the way, every pair is joined once, at the first node above both,
k, and every car sees all nodes above it at once. With `way` the product of the shares of a node and those above it, but
for the root's, and `g = apart + close`, `close = w w / v`:

    S_ij = -(w way)_i (w way)_j joint_k                 joint = 1 / (d way way) + joint above,  at the root 1 / d
    S_ii = (apart + close (beside reach + seen))_i      reach = 1 / d + share share reach above,  at the root 1 / d
                                                        seen = share (beside reach above + seen above),  there share

`beside` is what answers at a car's own node beside it, or at the parent's beside a node. Nothing is subtracted.
"""

import numpy as np

from backfeed.plan.columns import HD, SPREAD
from backfeed.plan.compiled import nested
from backfeed.plan.inverse import strip_of
from backfeed.plan.lanes import (
    BEGIN,
    BESIDE,
    BOTTOM,
    CELL_APART,
    CELL_CLOSE,
    CELL_FAR,
    CELL_G,
    CELL_IE,
    CELL_OTHERS,
    CELL_V,
    CELL_W,
    CELLS,
    END,
    INVERSE,
    JOINT,
    LEFT,
    NODE,
    PLACE_G,
    PLACE_IE,
    PLACE_W,
    REACH,
    RIGHT,
    SEEN,
    SHARE,
    TOP,
    WAY,
    Lanes,
)
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.vectors import LANES, added, divided, fused, greater, load, lowered, scaled, spread_from, store
from backfeed.plan.vectors import spread as eight_times

WAY_MIN = 1e-140
"""The least product of shares, whose square still has an inverse: less of a car is not seen from so far above."""

INSIDE = np.repeat((0.0, 1.0, 0.0), LANES)
"""Which of eight numbers stand before or after some place: read from up to eight places before the ones' begin."""


@nested
def meet_cars(k: int, columns: Floats, lanes: Lanes, child: Ints, others: Floats) -> None:
    """Eliminate a narrow node's price at every column, its children's eliminated.

    What answers beside each of its own cars, and beside each child, is summed from both ends, not subtracted.
    """
    own, column, whole = _own_cars(k, lanes, child), lanes.column[k], columns.shape[1]
    for t in range(0, whole, LANES):
        store(others, t, load(columns[SPREAD], t))
    for c in child:
        for t in range(0, whole, LANES):
            store(others, t, added(load(others, t), load(lanes.column[c, REACH], t)))
    for p in range(own[1] - 1, own[0] - 1, -1):
        _sum_car(lanes.unit[lanes.car[p]], lanes.cell, others, 0.0)
    for t in range(0, whole, LANES):
        hd, answer = load(columns[HD], t), load(others, t)
        inverse = divided(eight_times(1.0), added(hd, answer))
        share = scaled(hd, inverse)
        store(column[INVERSE], t, inverse)
        store(column[SHARE], t, share)
        store(column[REACH], t, scaled(answer, share))
        store(others, t, eight_times(0.0))
    for p in range(own[0], own[1]):
        _sum_car(lanes.unit[lanes.car[p]], lanes.cell, others, 1.0)
    for t in range(0, whole, LANES):
        before, after = added(load(columns[SPREAD], t), load(others, t)), eight_times(0.0)
        for c in child:
            store(lanes.column[c, BESIDE], t, before)
            before = added(before, load(lanes.column[c, REACH], t))
        for c in child[::-1]:
            store(lanes.column[c, BESIDE], t, added(load(lanes.column[c, BESIDE], t), after))
            after = added(after, load(lanes.column[c, REACH], t))


@nested
def _own_cars(k: int, lanes: Lanes, child: Ints) -> tuple[int, int]:
    """Return where a node's own cars begin and end in the order of the tree, which its children's follow."""
    return lanes.car_ptr[k, 0], lanes.car_ptr[child[0], 0] if len(child) else lanes.car_ptr[k, 1]


@nested
def _sum_car(unit: Ints, cell: Floats, others: Floats, use: float) -> None:
    """Add `others` to what answers beside a car, whose last sum counts by `use`, and the car to `others`."""
    for t in range(unit[BEGIN], unit[END], LANES):
        s, so_far = unit[CELLS] + t - unit[BEGIN], load(others, t)
        store(cell[CELL_OTHERS], s, fused(eight_times(use), load(cell[CELL_OTHERS], s), so_far))
        store(others, t, added(so_far, load(cell[CELL_V], s)))


@nested
def begin_way(column: Floats) -> None:
    """Write what a root's own cars see of it."""
    for t in range(0, column.shape[1] - LANES, LANES):
        store(column[REACH], t, load(column[INVERSE], t))
        store(column[JOINT], t, load(column[INVERSE], t))
        store(column[SEEN], t, load(column[SHARE], t))
        store(column[WAY], t, eight_times(1.0))


@nested
def go_on(column: Floats, above: Floats) -> None:
    """Write what a node's own cars see of it and of all nodes above, its parent's done."""
    for t in range(0, column.shape[1] - LANES, LANES):
        share, inverse, reach = load(column[SHARE], t), load(column[INVERSE], t), load(above[REACH], t)
        way = greater(scaled(share, load(above[WAY], t)), eight_times(WAY_MIN))
        store(column[WAY], t, way)
        store(column[JOINT], t, added(load(above[JOINT], t), divided(inverse, scaled(way, way))))
        store(column[SEEN], t, scaled(share, fused(load(column[BESIDE], t), reach, load(above[SEEN], t))))
        store(column[REACH], t, fused(scaled(share, share), reach, inverse))


@nested
def see_cars(k: int, lanes: Lanes, child: Ints) -> None:
    """Write what eliminating all prices leaves of the diagonal of a node's own cars, and makes of their answers."""
    cell, (begin, end), column = lanes.cell, _own_cars(k, lanes, child), lanes.column[k]
    for p in range(begin, end):
        unit = lanes.unit[lanes.car[p]]
        for t in range(unit[BEGIN], unit[END], LANES):
            s = unit[CELLS] + t - unit[BEGIN]
            seen = fused(load(cell[CELL_OTHERS], s), load(column[REACH], t), load(column[SEEN], t))
            store(cell[CELL_G], s, fused(load(cell[CELL_CLOSE], s), seen, load(cell[CELL_APART], s)))
            store(cell[CELL_FAR], s, scaled(load(cell[CELL_W], s), load(column[WAY], t)))
        for s in range(unit[CELLS], unit[CELLS] + unit[END] - unit[BEGIN]):
            place = lanes.goal[s]
            lanes.room[PLACE_G, place], lanes.room[PLACE_W, place] = cell[CELL_G, s], cell[CELL_FAR, s]
            lanes.room[PLACE_IE, place] = cell[CELL_IE, s]


@nested
def join_pairs(lanes: Lanes, visits: tuple[int, int], here: tuple[int, int], f: Floats) -> None:
    """Join the pairs of cars of some visits in strips; `here` is the column, and where its places begin."""
    (t, begin), w = here, lanes.room[PLACE_W]
    for visit in range(visits[0], visits[1]):
        node, top, bottom = lanes.visit[visit, NODE], lanes.visit[visit, TOP], lanes.visit[visit, BOTTOM]
        left, right = lanes.visit[visit, LEFT], lanes.visit[visit, RIGHT]
        joint = eight_times(lanes.column[node, JOINT, t])
        for j in range(left // LANES * LANES, right, LANES):
            inside = scaled(load(INSIDE, LANES - max(left - j, 0)), load(INSIDE, max(j + 2 * LANES - right, LANES)))
            weights, at = scaled(scaled(joint, load(w, begin + j)), inside), strip_of(j)
            for q in range(top, min(bottom, j + LANES)):
                less = lowered(spread_from(w, begin + q), weights, load(f, at + LANES * q))
                store(f, at + LANES * q, less)
