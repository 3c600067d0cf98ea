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

from backfeed.plan.columns import HD, SPREAD
from backfeed.plan.compiled import nested
from backfeed.plan.inverse import strip_of
from backfeed.plan.lanes import (
    BEGIN,
    BESIDE,
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
    MEETS,
    PLACE_G,
    PLACE_IE,
    PLACE_W,
    REACH,
    SEEN,
    SHARE,
    WAY,
    Lanes,
)
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.unit import padded
from backfeed.plan.vectors import LANES, fused, greater, load, placed, spread_from, store
from backfeed.plan.vectors import spread as eight_times

WAY_MIN = 1e-140
"""The least product of shares, whose square still has an inverse: less of a car is not seen from so far above."""


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
            store(others, t, load(others, t) + load(lanes.column[c, REACH], t))
    for p in range(own[1] - 1, own[0] - 1, -1):
        _sum_car(lanes.unit[lanes.car[p]], lanes.cell, others, 0.0)
    for t in range(0, whole, LANES):
        hd, answer = load(columns[HD], t), load(others, t)
        inverse = 1.0 / (hd + answer)
        share = hd * inverse
        store(column[INVERSE], t, inverse)
        store(column[SHARE], t, share)
        store(column[REACH], t, answer * share)
        store(others, t, eight_times(0.0))
    for p in range(own[0], own[1]):
        _sum_car(lanes.unit[lanes.car[p]], lanes.cell, others, 1.0)
    for t in range(0, whole, LANES):
        before, after = load(columns[SPREAD], t) + load(others, t), eight_times(0.0)
        for c in child:
            store(lanes.column[c, BESIDE], t, before)
            before += load(lanes.column[c, REACH], t)
        for c in child[::-1]:
            store(lanes.column[c, BESIDE], t, load(lanes.column[c, BESIDE], t) + after)
            after += load(lanes.column[c, REACH], t)


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
        store(others, t, so_far + load(cell[CELL_V], s))


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
        way = greater(share * load(above[WAY], t), WAY_MIN)
        store(column[WAY], t, way)
        store(column[JOINT], t, load(above[JOINT], t) + inverse / (way * way))
        store(column[SEEN], t, share * fused(load(column[BESIDE], t), reach, load(above[SEEN], t)))
        store(column[REACH], t, fused(share * share, reach, inverse))


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
            store(cell[CELL_FAR], s, load(cell[CELL_W], s) * load(column[WAY], t))
        for s in range(unit[CELLS], unit[CELLS] + unit[END] - unit[BEGIN]):
            place = lanes.goal[s]
            lanes.room[PLACE_G, place], lanes.room[PLACE_W, place] = cell[CELL_G, s], cell[CELL_FAR, s]
            lanes.room[PLACE_IE, place] = cell[CELL_IE, s]


@nested
def join_cars(lanes: Lanes, here: tuple[int, int, int], joint: Floats, f: Floats) -> None:
    """Join all pairs of cars at a column, in strips; `here` is the column, where its places begin, and how many cars.

    The higher a node, the less its `joint`: the first node above two cars has the least of those where each meets the
    next one, from one car to the other. So from row to row of a strip the least so far is all that is needed.
    """
    (t, begin, n), w = here, lanes.room[PLACE_W]
    for q in range(n):
        joint[q] = -lanes.column[lanes.link[begin + q, MEETS], JOINT, t]
    for q in range(n, padded(n)):
        joint[q] = 0.0
    for j in range(0, n, LANES):
        most, weights, at = eight_times(0.0), load(w, begin + j), strip_of(j)
        for q in range(j + LANES - 2, j - 1, -1):
            most = placed(greater(most, spread_from(joint, q)), q + 1 - j, joint[q])
            store(f, at + LANES * q, fused(spread_from(w, begin + q), weights * most, load(f, at + LANES * q)))
        most = placed(most, 0, joint[max(j - 1, 0)])
        for q in range(j - 1, -1, -1):
            most = greater(most, spread_from(joint, q))
            store(f, at + LANES * q, fused(spread_from(w, begin + q), weights * most, load(f, at + LANES * q)))
