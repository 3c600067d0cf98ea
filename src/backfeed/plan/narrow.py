"""Trees with few cars against the steps, eliminated in the order of time.

What the cars under a node answer to its price is `M = diag(v) - W' K^-1 W`, K tridiagonal in time for every car. A
factor of the node costs the cube of its steps. But where prices are eliminated first, step by step, from the leaves up
to the root, the cars' values of energy x are left, tridiagonal in time with blocks of the cars that are there:

    d = hd + ground + sum v              at every node and step; hd is H^-1, ground what answers by itself
    P[t] = F[t] + IE[t],   F[t+1] = S[t+1] + IE[t] P[t]^-1 F[t]

with the couplings IE of a car's step to its next one. That costs the steps times the cube of the cars. S is what
meeting in nodes makes of K's own diagonal (`plan/meeting.py`). P has no positive number beside its diagonal, so that
its inverse, which is kept, has no negative one.

First all nodes are eliminated, eight steps at a time, up (`meet_cars`) and down (`see_cars`); then columns follow each
other, each with the cars that are there in the order of the tree, so that the cars of every node stand side by side
(`factor_cars`), and each pair is joined once.
"""

import numpy as np

from backfeed.plan.columns import FREE, PRICE_STEP
from backfeed.plan.compiled import allocating, compiled, nested
from backfeed.plan.dense import times_symmetric
from backfeed.plan.inverse import ACROSS, PANEL, PULLED, TURNED, complete, invert, pack_inverse, strip_of
from backfeed.plan.lanes import (
    AFTER,
    BEGIN,
    BLOCK,
    CELL_APART,
    CELL_CLOSE,
    CELL_FAR,
    CELL_G,
    CELL_IE,
    CELL_V,
    CELL_W,
    CELLS,
    END,
    FROM,
    INVERSE,
    JOINT,
    MANY,
    MORE,
    NODE,
    PLACE,
    PLACE_IE,
    PUSH,
    SHARE,
    VALUE,
    VISIT,
    Lanes,
)
from backfeed.plan.meeting import begin_way, go_on, join_pairs, meet_cars, see_cars
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.rows import Fleet
from backfeed.plan.unit import CHARGE, DISCHARGE, GAIN, IA, IB, IE, IJ, LOSS, G, Unit, V, W, padded
from backfeed.plan.vectors import LANES, added, fused, load, scaled, store, total
from backfeed.plan.vectors import spread as eight_times

CARS = (CAR_W, CAR_F) = tuple(range(2))
"""Room for a column's cars: their answers as the root sees them, and F's diagonal."""


@nested
def tell_lane(unit: Unit, n: int, i: int, lanes: Lanes) -> None:
    """Write a unit's cells: its system over the columns alone, entries between them eliminated in series.

    `over` couples the last column to the entry at hand, which `bare` couples to nothing else.
    """
    u, step, s, cell = unit.u, unit.step, lanes.unit[i, CELLS], lanes.cell
    last, over, bare = -1, 0.0, 0.0
    for t in range(n):
        if step[t] >= 0:
            ia, ib, ij = u[IA + t], u[IB + t], u[IJ + t]
            turn = u[CHARGE + t] * u[LOSS + t] - u[DISCHARGE + t] * u[GAIN + t]
            v = u[V + t]
            joint, part = ia * ib * ij / (ia + ib + ij) * turn * turn, 1.0 / v if v > 0 else 0.0
            cell[CELL_W, s], cell[CELL_V, s], cell[CELL_CLOSE, s] = u[W + t], v, u[W + t] * u[W + t] * part
            cell[CELL_APART, s] = bare + (joint * part if v > 0 else u[G + t])
            cell[CELL_IE, s] = 0.0
            if last >= 0:
                cell[CELL_IE, last] = over
            last, over, bare = s, u[IE + t], 0.0
            s += 1
        else:
            alone = u[G + t] + bare
            total = over + alone + u[IE + t]
            share = 1.0 / total if total > 0 else 0.0
            if last >= 0:
                cell[CELL_APART, last] += over * alone * share
            bare = u[IE + t] * alone * share
            over = over * u[IE + t] * share
    if last >= 0:
        cell[CELL_APART, last] += over


@allocating
def factor_trees(some: Ints, child_ptr: Ints, child: Ints, span: Ints, columns: Floats, lanes: Lanes) -> None:
    """Eliminate some narrow trees, told by their roots: prices from the leaves up, then the values of energy."""
    cars = 0
    for k in some:
        for t in range(span[k, 0], span[k, 1]):
            cars = max(cars, lanes.at[k, MANY, t])
    whole = max(padded(cars), LANES)
    others, strips = np.zeros(columns.shape[2] + LANES), np.zeros((2, strip_of(whole)))
    by_car, panel = np.zeros((len(CARS), whole)), np.zeros((len(PANEL), LANES * whole))
    for k in some:
        for q in range(lanes.member_ptr[k], lanes.member_ptr[k + 1]):
            m = lanes.member[q]
            meet_cars(m, columns[m], lanes, child[child_ptr[m] : child_ptr[m + 1]], others)
        begin_way(lanes.column[k])
        for q in range(lanes.member_ptr[k + 1] - 1, lanes.member_ptr[k] - 1, -1):
            m = lanes.member[q]
            for p in range(child_ptr[m], child_ptr[m + 1]):
                go_on(lanes.column[child[p]], lanes.column[m])
            see_cars(m, lanes, child[child_ptr[m] : child_ptr[m + 1]])
        factor_cars(k, span[k], lanes, strips, by_car, panel)


@compiled
def solve_trees(
    some: Ints, fleet: Fleet, parent: Ints, child_ptr: Ints, child: Ints, span: Ints, columns: Floats, lanes: Lanes
) -> None:
    """Find the price steps of some narrow trees, told by their roots.

    Right sides go up from the leaves, prices before the cars answer go down; then come the cars' values of energy, what
    those change of the nodes' power, up again, and prices, down again.
    """
    for k in some:
        first, last = lanes.member_ptr[k], lanes.member_ptr[k + 1]
        for q in range(first, last):
            m = lanes.member[q]
            for p in range(child_ptr[m], child_ptr[m + 1]):
                _pass_up(columns, lanes.column[child[p]], child[p], m, FREE)
        for q in range(last - 1, first - 1, -1):
            m = lanes.member[q]
            _pass_down(columns, lanes.column[m], m, parent[m], 0.0)
            for i in range(fleet.node_ptr[m], fleet.node_ptr[m + 1]):
                push_cars(i, lanes, columns[m, PRICE_STEP])
        solve_cars(k, span[k], lanes)
        for q in range(first, last):
            m = lanes.member[q]
            columns[m, PRICE_STEP, :] = 0.0
            for i in range(fleet.node_ptr[m], fleet.node_ptr[m + 1]):
                pull_cars(i, lanes, columns[m, PRICE_STEP])
            for p in range(child_ptr[m], child_ptr[m + 1]):
                _pass_up(columns, lanes.column[child[p]], child[p], m, PRICE_STEP)
        for q in range(last - 1, first - 1, -1):
            m = lanes.member[q]
            _pass_down(columns, lanes.column[m], m, parent[m], 1.0)


@nested
def _pass_up(columns: Floats, of: Floats, c: int, k: int, which: int) -> None:
    """Add `hd / d` times a child's column to a node's."""
    share, below, here = of[SHARE], columns[c, which], columns[k, which]
    for t in range(0, len(here), LANES):
        store(here, t, fused(load(share, t), load(below, t), load(here, t)))


@nested
def _pass_down(columns: Floats, of: Floats, k: int, parent: int, use: float) -> None:
    """Write `step = (free + use step + hd above) / d`."""
    share, inverse, free, step = of[SHARE], of[INVERSE], columns[k, FREE], columns[k, PRICE_STEP]
    above, seen = columns[max(parent, 0), PRICE_STEP], 1.0 if parent >= 0 else 0.0
    for t in range(len(free)):
        step[t] = (free[t] + use * step[t]) * inverse[t] + seen * share[t] * above[t]


@nested
def factor_cars(k: int, span: Ints, lanes: Lanes, strips: Floats, by_car: Floats, panel: Floats) -> None:
    """Eliminate the values of energy of all cars under a narrow root; what follows `lanes` is to work in."""
    many, begin, block = lanes.at[k, MANY], lanes.at[k, PLACE], lanes.at[k, BLOCK]
    f, p = strips[0], strips[1]
    _clear(f, many[span[0]])
    for q in range(len(by_car[CAR_F])):
        by_car[CAR_F, q] = 0.0
    for t in range(span[0], span[1]):
        n, whole = many[t], padded(many[t])
        _join_cars(begin[t], n, lanes, by_car)
        for visit in range(lanes.at[k, VISIT, t], lanes.at[k, VISIT, t + 1]):
            join_pairs(lanes.visit[visit], lanes.column[lanes.visit[visit, NODE], JOINT, t], by_car[CAR_W], f)
        complete(f, whole, panel[TURNED])
        for q in range(n):
            f[_place_of(q, q)] = by_car[CAR_F, q]
        for q in range(0, strip_of(whole), LANES):
            store(p, q, load(f, q))
        for q in range(whole):
            p[_place_of(q, q)] += lanes.room[PLACE_IE, begin[t] + q] if q < n else 1.0
        invert(p, whole, panel)
        pack_inverse(p, whole, lanes.inverse, block[t])
        if t + 1 < span[1]:
            _carry(lanes, (begin[t], n), many[t + 1], f, p, by_car, panel)


@nested
def _place_of(t: int, q: int) -> int:
    """Return where row t of column q stands among strips."""
    j = q // LANES * LANES
    return strip_of(j) + LANES * t + q - j


@nested
def _clear(strips: Floats, n: int) -> None:
    """Write 0 to the strips of n rows, padded to whole vectors."""
    for q in range(0, strip_of(padded(n)), LANES):
        store(strips, q, eight_times(0.0))


@nested
def _join_cars(begin: int, n: int, lanes: Lanes, by_car: Floats) -> None:
    """Write what a column's cars answer at their own nodes; add theirs to F's diagonal; keep their couplings."""
    cell, link, onward = lanes.cell, lanes.link, lanes.room[PLACE_IE]
    for q in range(n):
        s = link[begin + q, FROM]
        by_car[CAR_W, q], onward[begin + q] = cell[CELL_FAR, s], cell[CELL_IE, s]
        by_car[CAR_F, q] += cell[CELL_G, s]


@nested
def _carry(
    lanes: Lanes, here: tuple[int, int], onward: int, f: Floats, p: Floats, by_car: Floats, panel: Floats
) -> None:
    """Write `IE P^-1 F` for the cars that are there at the next column, as they stand there; F's diagonal apart.

    Beside the diagonal that is `-IE P^-1 IE`, on it the product keeps its digits; `p` is -P^-1. `here` is where the
    column's places begin and how many cars are there, `onward` how many are at the next one.
    """
    (begin, n), many = here, onward
    ie, link, diagonal = lanes.room[PLACE_IE, begin : begin + n], lanes.link[begin : begin + n], by_car[CAR_F]
    _multiply_diagonal(f, p, padded(n), panel)
    _clear(f, many)
    for q in range(many):
        diagonal[q] = 0.0
    for q in range(n):
        b, own = link[q, AFTER], ie[q]
        if b >= 0:
            diagonal[b] = own * max(panel[TURNED, q], 0.0)
            column, to = p[_place_of(0, q) :], f[_place_of(0, b) :]
            for row in range(q):
                a = link[row, AFTER]
                if a >= 0:
                    to[LANES * a] = own * ie[row] * column[LANES * row]


@nested
def _multiply_diagonal(f: Floats, p: Floats, n: int, panel: Floats) -> None:
    """Write the diagonal of `P^-1 F` to the panel, `p` being -P^-1; both are symmetric."""
    rows, columns, diagonal = panel[ACROSS], panel[PULLED], panel[TURNED]
    for q in range(0, LANES * n, LANES):
        store(rows, q, eight_times(0.0))
    for j in range(0, n, LANES):
        at, sums = strip_of(j), eight_times(0.0)
        for q in range(0, LANES * j, LANES):
            product = scaled(load(p, at + q), load(f, at + q))
            sums = added(sums, product)
            store(rows, q, added(load(rows, q), product))
        for q in range(LANES * j, LANES * (j + LANES), LANES):
            store(rows, q, fused(load(p, at + q), load(f, at + q), load(rows, q)))
        store(columns, j, sums)
    for q in range(n):
        diagonal[q] = -(total(load(rows, LANES * q)) + columns[q])


@nested
def solve_cars(k: int, span: Ints, lanes: Lanes) -> None:
    """Overwrite the right side among the values by the steps of the values of energy under a narrow root.

    Forwards `y[t] = P^-1 b[t]` with `IE y[t]` added to `b[t + 1]`, backwards `x[t] = y[t] + P^-1 IE x[t + 1]`.
    """
    many, block, begin = lanes.at[k, MANY], lanes.at[k, BLOCK], lanes.at[k, PLACE]
    value, push, more = lanes.room[VALUE], lanes.room[PUSH], lanes.room[MORE]
    for t in range(span[0], span[1]):
        n, x = many[t], begin[t]
        if n > 0:
            end = x + padded(n)
            link, ie, onward = lanes.link[x:end], lanes.room[PLACE_IE, x:end], value[begin[t + 1] :]
            here, answer = value[x:end], push[x:end]
            times_symmetric(lanes.inverse[block[t] :], here, answer)
            for p in range(n):
                here[p] = answer[p]
                if link[p, AFTER] >= 0:
                    onward[link[p, AFTER]] += ie[p] * answer[p]
    for t in range(span[1] - 2, span[0] - 1, -1):
        n, x = many[t], begin[t]
        if n > 0 and many[t + 1] > 0:
            end = x + padded(n)
            link, ie, onward = lanes.link[x:end], lanes.room[PLACE_IE, x:end], value[begin[t + 1] :]
            here, asked, answer = value[x:end], push[x:end], more[x:end]
            for p in range(n):
                asked[p] = ie[p] * onward[link[p, AFTER]] if link[p, AFTER] >= 0 else 0.0
            times_symmetric(lanes.inverse[block[t] :], asked, answer)
            for p in range(n):
                here[p] += answer[p]


@nested
def push_cars(i: int, lanes: Lanes, price: Floats) -> None:
    """Write a car's right side: what its own node's price pushes it by."""
    s = lanes.unit[i, CELLS]
    for t in range(lanes.unit[i, BEGIN], lanes.unit[i, END]):
        lanes.room[VALUE, lanes.goal[s]] = lanes.cell[CELL_W, s] * price[t]
        s += 1


@nested
def pull_cars(i: int, lanes: Lanes, answer: Floats) -> None:
    """Add what a car's value of energy changes of its power to its own node's."""
    s = lanes.unit[i, CELLS]
    for t in range(lanes.unit[i, BEGIN], lanes.unit[i, END]):
        answer[t] += lanes.cell[CELL_W, s] * lanes.room[VALUE, lanes.goal[s]]
        s += 1
