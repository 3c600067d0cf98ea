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

from typing import NamedTuple

import numpy as np

from backfeed.plan.columns import FREE, PRICE_STEP
from backfeed.plan.compiled import allocating, compiled, nested
from backfeed.plan.dense import times_symmetric
from backfeed.plan.inverse import DIAGONAL, PANEL, ROWS, invert, pack_inverse, strip_of
from backfeed.plan.lanes import (
    AFTER,
    BEFORE,
    BEGIN,
    BLOCK,
    CELL_APART,
    CELL_CLOSE,
    CELL_IE,
    CELL_V,
    CELL_W,
    CELLS,
    END,
    INVERSE,
    MANY,
    MORE,
    PLACE,
    PLACE_G,
    PLACE_IE,
    PUSH,
    SHARE,
    VALUE,
    Lanes,
)
from backfeed.plan.meeting import begin_way, go_on, join_cars, meet_cars, see_cars
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.rows import Fleet
from backfeed.plan.tiles import mirror, products, totals
from backfeed.plan.unit import CHARGE, DISCHARGE, GAIN, IA, IB, IE, IJ, JOINT, LOSS, METERED, G, Unit, V, W, padded
from backfeed.plan.vectors import LANES, fused, load, spread_from, store
from backfeed.plan.vectors import spread as eight_times

CARS = (CAR_JOINT, CAR_F, CAR_IE) = tuple(range(3))
WHERE = (PLACE_BEFORE, ROW, SHIFT) = tuple(range(3))
"""Of a column's cars: how they meet the next one, F's diagonal, their couplings to the column before; what
place they had there, and where that row of the packed inverse would begin, were it whole; by how many places the cars
of a run have moved."""


class Room(NamedTuple):
    """Room for one column: `f` and `p` are strips, the latter to be inverted, `runs` what a run's cars count by."""

    f: Floats
    p: Floats
    panel: Floats
    by_car: Floats
    runs: Floats
    where: Ints


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
            joint = u[JOINT + t] if u[METERED] > 0 else ia * ib * ij / (ia + ib + ij) * turn * turn
            v, part = u[V + t], 1.0 / u[V + t] if u[V + t] > 0 else 0.0
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
    size, others = strip_of(whole), np.zeros(columns.shape[2] + LANES)
    wide = np.zeros(2 * size + len(PANEL) * LANES * whole + LANES)
    first = -(np.intp(wide.ctypes.data) // LANES) % LANES
    panel = wide[first + 2 * size : first + 2 * size + len(PANEL) * LANES * whole].reshape(len(PANEL), LANES * whole)
    by_car, runs = np.zeros((len(CARS), whole)), np.zeros((LANES, LANES))
    where = np.zeros((len(WHERE), whole), np.int64)
    room = Room(wide[first:], wide[first + size :], panel, by_car, runs, where)
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
        factor_cars(k, span[k], lanes, room)


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
    for t in range(0, len(free), LANES):
        pulled = fused(eight_times(use), load(step, t), load(free, t))
        handed = seen * load(share, t) * load(above, t)
        store(step, t, fused(pulled, load(inverse, t), handed))


@nested
def factor_cars(k: int, span: Ints, lanes: Lanes, room: Room) -> None:
    """Eliminate the values of energy of all cars under a narrow root."""
    many, begin, block = lanes.at[k, MANY], lanes.at[k, PLACE], lanes.at[k, BLOCK]
    for q in range(0, strip_of(padded(many[span[0]])), LANES):
        store(room.f, q, eight_times(0.0))
    for q in range(padded(many[span[0]])):
        room.by_car[CAR_F, q] = 0.0
    for t in range(span[0], span[1]):
        whole = padded(many[t])
        join_cars(lanes, (t, begin[t], many[t]), room.by_car[CAR_JOINT], room.f)
        _begin(lanes, begin[t], whole, room)
        invert(room.p, whole, room.panel)
        pack_inverse(room.p, whole, lanes.inverse, block[t])
        if t + 1 < span[1]:
            _multiply_diagonal(room.f, room.p, whole, room.panel)
            _find_rows(lanes, (begin[t], block[t], whole), (begin[t + 1], many[t + 1]), room)
            _carry(lanes.inverse, many[t + 1], room)


@nested
def _begin(lanes: Lanes, begin: int, n: int, room: Room) -> None:
    """Complete F, and write P: F with the couplings to the next column on its diagonal."""
    f, p, below, diagonal = room.f, room.p, room.by_car[CAR_F], room.panel[DIAGONAL]
    for j in range(0, n, LANES):
        at, own = strip_of(j), strip_of(j) + LANES * j
        for q in range(at, own, LANES):
            store(p, q, load(f, q))
        own_g = load(below, j) + load(lanes.room[PLACE_G], begin + j)
        store(below, j, own_g)
        store(diagonal, j, own_g + load(lanes.room[PLACE_IE], begin + j))
        mirror(f, own, p, own, diagonal, j)
        mirror(f, own, f, own, below, j)


@nested
def _find_rows(lanes: Lanes, here: tuple[int, int, int], onward: tuple[int, int], room: Room) -> None:
    """Write F's diagonal at the next column, `IE P^-1 F`, and where that column's cars stand in this one.

    `here` is where the column's places and its packed inverse begin and how long that is, `onward` where the next
    one's places begin, and how many cars are there.
    """
    (begin, block, n), (next_begin, many), where = here, onward, room.where
    for q in range(padded(many)):
        b = lanes.link[next_begin + q, BEFORE]
        where[PLACE_BEFORE, q], where[ROW, q], room.by_car[CAR_IE, q], room.by_car[CAR_F, q] = b, block, 0.0, 0.0
        if b >= 0:
            i, own = b // LANES * LANES, lanes.room[PLACE_IE, begin + b]
            where[ROW, q] = block + i * n - i * (i - LANES) // 2 + (b - i) * (n - i) - i
            room.by_car[CAR_IE, q], room.by_car[CAR_F, q] = own, own * max(room.panel[DIAGONAL, b], 0.0)


@nested
def _carry(inverse: Floats, many: int, room: Room) -> None:
    """Write `IE P^-1 F` beside the diagonal for the cars that are there at the next column: that is `-IE P^-1 IE`.

    Cars that stand side by side at both columns are a run: as many numbers as they are, moved at a time.
    """
    f, runs, where, ie = room.f, room.runs, room.where, room.by_car[CAR_IE]
    for j in range(0, many, LANES):
        last, at = -1, strip_of(j)
        for q in range(j, j + LANES):
            b = where[PLACE_BEFORE, q]
            if b >= 0:
                if last < 0 or b - q != where[SHIFT, last]:
                    last += 1
                    store(runs[last], 0, eight_times(0.0))
                    where[SHIFT, last] = b - q
                runs[last, q - j] = -ie[q]
        for row in range(j + LANES):
            moved = eight_times(0.0)
            for run in range(last + 1):
                moved = fused(load(runs[run], 0), load(inverse, where[ROW, row] + j + where[SHIFT, run]), moved)
            store(f, at + LANES * row, spread_from(ie, row) * moved)


@nested
def _multiply_diagonal(f: Floats, p: Floats, n: int, panel: Floats) -> None:
    """Write the diagonal of `P^-1 F` to the panel, `p` being -P^-1; both are symmetric."""
    above, diagonal = panel[ROWS], panel[DIAGONAL]
    for i in range(0, n, LANES):
        store(above, i, eight_times(0.0))
    for i in range(0, n, LANES):
        x0, x1, x2, x3, x4, x5, x6, x7 = products(p, f, strip_of(i) + LANES * i)
        for j in range(i + LANES, n, LANES):
            y0, y1, y2, y3, y4, y5, y6, y7 = products(p, f, strip_of(j) + LANES * i)
            x0, x1, x2, x3 = x0 + y0, x1 + y1, x2 + y2, x3 + y3
            x4, x5, x6, x7 = x4 + y4, x5 + y5, x6 + y6, x7 + y7
            column = ((y0 + y1) + (y2 + y3)) + ((y4 + y5) + (y6 + y7))
            store(above, j, load(above, j) + column)
        rows = totals(x0, x1, x2, x3, x4, x5, x6, x7)
        store(diagonal, i, -(rows + load(above, i)))


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
