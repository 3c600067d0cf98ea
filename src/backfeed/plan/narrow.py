"""Trees with few cars against the steps, eliminated in the order of time.

What the cars under a node answer to its price is `M = diag(v) - W' K^-1 W`, K tridiagonal in time for every car. A
factor of the node costs the cube of its steps. But where prices are eliminated first, step by step, from the leaves up
to the root, the cars' values of energy x are left, tridiagonal in time with blocks of the cars that are there:

    d = hd + ground + sum v              at every node and step; hd is H^-1, ground what answers by itself
    P[t] = F[t] + IE[t],   F[t+1] = S[t+1] + IE[t] P[t]^-1 F[t]

with the couplings IE of a car's step to its next one. That costs the steps times the cube of the cars. S is what
meeting in nodes makes of K's own diagonal g: two cars are joined by `-w w / d` at every node above both, and a node
hands its cars up to its parent, each with

    w_up = w hd / d,   v_up = v hd / d,   g_up = (delta + g (d - v)) / d

where `delta = g v - w w` is told without a subtraction, here and above. P has no positive number beside its diagonal,
so that its inverse, which is kept, has no negative one.
"""

import numpy as np

from backfeed.plan.columns import FREE, HD, PRICE_STEP, SPREAD, add
from backfeed.plan.compiled import allocating, compiled, nested
from backfeed.plan.inverse import PANEL, begin_strips, invert, strip_of
from backfeed.plan.lanes import (
    AFTER,
    BEGIN,
    BLOCK,
    CELL_DELTA,
    CELL_G,
    CELL_IE,
    CELL_V,
    CELL_W,
    CELLS,
    CORNER,
    END,
    FIRST,
    GOAL,
    GROUND,
    MANY,
    MORE,
    PIVOT,
    PLACE,
    PUSH,
    SOURCE,
    UP_DELTA,
    UP_G,
    UP_V,
    UP_W,
    VALUE,
    Lanes,
)
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.rows import Fleet
from backfeed.plan.unit import CHARGE, DISCHARGE, GAIN, IA, IB, IE, IJ, LOSS, G, Unit, V, W, padded
from backfeed.plan.vectors import LANES, fused, load, scaled, spread_from, store, total, turn
from backfeed.plan.vectors import spread as eight_times


@nested
def tell_lane(unit: Unit, n: int, i: int, lanes: Lanes) -> None:
    """Write a unit's cells: its system over the columns alone, entries between them eliminated in series.

    `over` couples the last column to the entry at hand, which `bare` couples to nothing else.
    """
    u, step, at = unit.u, unit.step, lanes.unit[i, CELLS]
    last, over, bare = -1, 0.0, 0.0
    for t in range(n):
        if step[t] >= 0:
            s = lanes.cells[at]
            at += 1
            cell = lanes.cell[s]
            ia, ib, ij = u[IA + t], u[IB + t], u[IJ + t]
            turn = u[CHARGE + t] * u[LOSS + t] - u[DISCHARGE + t] * u[GAIN + t]
            v = u[V + t]
            cell[CELL_W], cell[CELL_V], cell[CELL_G] = u[W + t], v, u[G + t] + bare
            cell[CELL_DELTA] = ia * ib * ij / (ia + ib + ij) * turn * turn + v * bare
            cell[CELL_IE] = 0.0
            if last >= 0:
                lanes.cell[last, CELL_IE] = over
            last, over, bare = s, u[IE + t], 0.0
        else:
            alone = u[G + t] + bare
            total = over + alone + u[IE + t]
            share = 1.0 / total if total > 0 else 0.0
            if last >= 0:
                _ground(lanes.cell[last], over * alone * share)
            bare = u[IE + t] * alone * share
            over = over * u[IE + t] * share
    if last >= 0:
        _ground(lanes.cell[last], over)


@nested
def _ground(cell: Floats, more: float) -> None:
    """Add to a car's part of the diagonal what its node does not see."""
    cell[CELL_G] += more
    cell[CELL_DELTA] += cell[CELL_V] * more


@allocating
def factor_trees(some: Ints, child_ptr: Ints, child: Ints, span: Ints, columns: Floats, lanes: Lanes) -> None:
    """Eliminate some narrow trees, told by their roots: prices from the leaves up, then the values of energy."""
    cars = 0
    for k in some:
        for t in range(span[k, 0], span[k, 1]):
            cars = max(cars, lanes.at[k, MANY, t])
    whole = max(padded(cars), LANES)
    room, strips, panel = np.zeros((2, whole, whole)), np.zeros(strip_of(whole)), np.zeros((len(PANEL), 8 * whole))
    for k in some:
        for q in range(lanes.member_ptr[k], lanes.member_ptr[k + 1]):
            m = lanes.member[q]
            meet_cars(m, span[m], columns[m], lanes, child[child_ptr[m] : child_ptr[m + 1]], room[0, 0])
        factor_cars(k, span[k], lanes, room, strips, panel)


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
                _pass_up(columns, lanes.column[child[p], PIVOT], child[p], m, FREE)
        for q in range(last - 1, first - 1, -1):
            m = lanes.member[q]
            _pass_down(columns, lanes.column[m, PIVOT], m, parent[m], 0.0)
            for i in range(fleet.node_ptr[m], fleet.node_ptr[m + 1]):
                push_cars(i, lanes, columns[m, PRICE_STEP])
        solve_cars(k, span[k], lanes)
        for q in range(first, last):
            m = lanes.member[q]
            columns[m, PRICE_STEP, :] = 0.0
            for i in range(fleet.node_ptr[m], fleet.node_ptr[m + 1]):
                pull_cars(i, lanes, columns[m, PRICE_STEP])
            for p in range(child_ptr[m], child_ptr[m + 1]):
                _pass_up(columns, lanes.column[child[p], PIVOT], child[p], m, PRICE_STEP)
        for q in range(last - 1, first - 1, -1):
            m = lanes.member[q]
            _pass_down(columns, lanes.column[m, PIVOT], m, parent[m], 1.0)


@nested
def _pass_up(columns: Floats, pivot: Floats, c: int, k: int, which: int) -> None:
    """Add `hd / d` times a child's column to a node's."""
    for t in range(columns.shape[2]):
        columns[k, which, t] += columns[c, HD, t] / pivot[t] * columns[c, which, t]


@nested
def _pass_down(columns: Floats, pivot: Floats, k: int, parent: int, use: float) -> None:
    """Write `step = (free + use step + hd above) / d`."""
    hd, free, step = columns[k, HD], columns[k, FREE], columns[k, PRICE_STEP]
    above, seen = columns[max(parent, 0), PRICE_STEP], 1.0 if parent >= 0 else 0.0
    for t in range(len(free)):
        step[t] = (free[t] + use * step[t] + seen * hd[t] * above[t]) / pivot[t]


@nested
def meet_cars(k: int, span: Ints, columns: Floats, lanes: Lanes, child: Ints, room: Floats) -> None:
    """Eliminate a narrow node's price at every column, its children's eliminated; `room` is a vector's, by car."""
    many, first, corner = lanes.at[k, MANY], lanes.at[k, FIRST], lanes.at[k, CORNER]
    hd, spread, pivot, ground = columns[HD], columns[SPREAD], lanes.column[k, PIVOT], lanes.column[k, GROUND]
    cell, last = lanes.cell, len(many) - 1
    _bring(first[0], first[last] + many[last], lanes.link, cell)
    for t in range(len(many)):
        ground[t] = spread[t]
    for c in child:
        add(lanes.column[c, GROUND], ground)
    for t in range(len(many)):
        pivot[t] = hd[t] + ground[t]
    for t in range(span[0], span[1]):
        n = many[t]
        if n > 1:
            _join(k, t, lanes, child)
        for s in range(first[t], first[t] + n):
            pivot[t] += cell[s, CELL_V]
        _hand_cars(cell, first[t], n, lanes.across, corner[t], (hd[t], ground[t], 1.0 / pivot[t]), room)
    for t in range(len(many)):
        ground[t] *= hd[t] / pivot[t]


@nested
def _bring(begin: int, end: int, link: Ints, cell: Floats) -> None:
    """Write what a node sees of its children's cars."""
    for s in range(begin, end):
        at = link[s, SOURCE]
        if at >= 0:
            cell[s, CELL_W], cell[s, CELL_V], cell[s, CELL_G] = cell[at, UP_W], cell[at, UP_V], cell[at, UP_G]
            cell[s, CELL_DELTA], cell[s, CELL_IE] = cell[at, UP_DELTA], cell[at, CELL_IE]


@nested
def _join(k: int, t: int, lanes: Lanes, child: Ints) -> None:
    """Write what joins a node's cars below it at a column: its children's matrices, one after the other."""
    across, corner, n = lanes.across, lanes.at[k, CORNER, t], lanes.at[k, MANY, t]
    for q in range(n * n):
        across[corner + q] = 0.0
    at = n
    for c in child:
        at -= lanes.at[c, MANY, t]
    for c in child:
        below, m = lanes.at[c, CORNER, t], lanes.at[c, MANY, t]
        for p in range(m):
            for q in range(m):
                across[corner + (at + p) * n + at + q] = across[below + p * m + q]
        at += m


@nested
def _hand_cars(
    cell: Floats, first: int, n: int, across: Floats, corner: int, of: tuple[float, float, float], weights: Floats
) -> None:
    """Write what a node's parent sees of every car at a column, and what joins them.

    `of` is `(hd, ground, 1 / d)`. What a car's others and the ground answer is summed from both ends, not subtracted.
    """
    (hd, before, inverse), after = of, 0.0
    for s in range(first + n - 1, first - 1, -1):
        cell[s, UP_V] = after
        after += cell[s, CELL_V]
        weights[s - first] = cell[s, CELL_W]
    for p in range(n):
        s = first + p
        w, v, g, delta, others = cell[s, CELL_W], cell[s, CELL_V], cell[s, CELL_G], cell[s, CELL_DELTA], cell[s, UP_V]
        others += before
        before += v
        cell[s, UP_W], cell[s, UP_V] = w * hd * inverse, v * hd * inverse
        cell[s, UP_G] = (delta + g * (hd + others)) * inverse
        cell[s, UP_DELTA] = hd * (delta * (v + hd) + g * v * others) * inverse * inverse
        row, less = corner + p * n, w * inverse
        for q in range(n):
            across[row + q] -= less * weights[q]
        across[row + p] = 0.0


@nested
def factor_cars(k: int, span: Ints, lanes: Lanes, room: Floats, strips: Floats, panel: Floats) -> None:
    """Eliminate the values of energy of all cars under a narrow root; `room` `(2, cars, cars)` is to work in."""
    many, first, block = lanes.at[k, MANY], lanes.at[k, FIRST], lanes.at[k, BLOCK]
    f, p = room[0], room[1]
    _clear(f, len(f))
    for t in range(span[0], span[1]):
        _block_of(lanes.cell, first[t], many[t], lanes.across, lanes.at[k, CORNER, t], f, strips)
        _invert(strips, many[t], panel, lanes.inverse, block[t])
        if t + 1 < span[1]:
            here, onward = (first[t], many[t], block[t]), (first[t + 1], many[t + 1])
            _carry(lanes.cell, lanes.link, here, onward, lanes.inverse, f, p)
            f, p = p, f


@nested
def _clear(x: Floats, n: int) -> None:
    """Write 0 to n rows and columns, padded to whole vectors."""
    for p in range(padded(n)):
        for q in range(0, padded(n), LANES):
            store(x[p], q, eight_times(0.0))


@nested
def _block_of(cell: Floats, first: int, n: int, across: Floats, corner: int, f: Floats, strips: Floats) -> None:
    """Write F and P at a column, both padded to whole vectors; `f` holds what has been carried there."""
    whole = padded(n)
    for a in range(n):
        for b in range(n):
            f[a, b] += across[corner + a * n + b]
        f[a, a] += cell[first + a, UP_G]
    begin_strips(f, strips, 0, whole)
    for a in range(whole):
        strips[strip_of(a // LANES * LANES) + LANES * a + a % LANES] += cell[first + a, CELL_IE] if a < n else 1.0


@nested
def _invert(strips: Floats, n: int, panel: Floats, inverse: Floats, block: int) -> None:
    """Write P^-1, padded to whole vectors."""
    whole, minus = padded(n), eight_times(-1.0)
    invert(strips, whole, panel)
    for j in range(0, whole, LANES):
        at = strip_of(j)
        for t in range(j + LANES):
            store(inverse, block + t * whole + j, scaled(minus, load(strips, at + LANES * t)))
        for t in range(0, j, LANES):
            turn(inverse, block + t * whole + j, whole, inverse, block + j * whole + t, whole)


@nested
def _carry(
    cell: Floats,
    link: Ints,
    here: tuple[int, int, int],
    onward: tuple[int, int],
    inverse: Floats,
    f: Floats,
    carried: Floats,
) -> None:
    """Write `IE P^-1 F` for the cars that are there at the next column, as they stand there.

    Beside the diagonal that is `-IE P^-1 IE`, on it the product keeps its digits. `here` is where a column's cells
    begin, how many there are, and where P^-1 begins; `onward` are the first two of the next column.
    """
    (first, n, block), (next_first, many) = here, onward
    whole = padded(n)
    _clear(carried, many)
    for a in range(n):
        ie, at, row = cell[first + a, CELL_IE], block + a * whole, link[first + a, AFTER] - next_first
        if row >= 0:
            sums = eight_times(0.0)
            for b in range(0, whole, LANES):
                sums = fused(load(inverse, at + b), load(f[a], b), sums)
            carried[row, row] = ie * max(total(sums), 0.0)
            for b in range(a):
                column = link[first + b, AFTER] - next_first
                if column >= 0:
                    less = ie * inverse[at + b] * cell[first + b, CELL_IE]
                    carried[row, column] = -less
                    carried[column, row] = -less


@nested
def _times_block(inverse: Floats, block: int, n: int, x: Floats, at: int, y: Floats) -> None:
    """Write `y = P^-1 x` for n numbers, padded, of both from `at` on."""
    whole = padded(n)
    for column in range(0, whole, LANES):
        sums = eight_times(0.0)
        for row in range(n):
            sums = fused(spread_from(x, at + row), load(inverse, block + row * whole + column), sums)
        store(y, at + column, sums)


@nested
def solve_cars(k: int, span: Ints, lanes: Lanes) -> None:
    """Overwrite the right side among the values by the steps of the values of energy under a narrow root.

    Forwards `y[t] = P^-1 b[t]` with `IE y[t]` added to `b[t + 1]`, backwards `x[t] = y[t] + P^-1 IE x[t + 1]`.
    """
    many, first, block, begin = lanes.at[k, MANY], lanes.at[k, FIRST], lanes.at[k, BLOCK], lanes.at[k, PLACE]
    cell, link, inverse = lanes.cell, lanes.link, lanes.inverse
    value, push, more = lanes.room[VALUE], lanes.room[PUSH], lanes.room[MORE]
    for t in range(span[0], span[1]):
        n, s, x = many[t], first[t], begin[t]
        if n > 0:
            _times_block(inverse, block[t], n, value, x, push)
            for p in range(n):
                value[x + p] = push[x + p]
                if link[s + p, AFTER] >= 0:
                    value[begin[t + 1] + link[s + p, AFTER] - first[t + 1]] += cell[s + p, CELL_IE] * push[x + p]
    for t in range(span[1] - 2, span[0] - 1, -1):
        n, s, x = many[t], first[t], begin[t]
        if n > 0 and many[t + 1] > 0:
            for p in range(n):
                onward = link[s + p, AFTER]
                next_value = value[begin[t + 1] + onward - first[t + 1]] if onward >= 0 else 0.0
                push[x + p] = cell[s + p, CELL_IE] * next_value
            _times_block(inverse, block[t], n, push, x, more)
            for p in range(n):
                value[x + p] += more[x + p]


@nested
def push_cars(i: int, lanes: Lanes, price: Floats) -> None:
    """Write a car's right side: what its own node's price pushes it by."""
    at = lanes.unit[i, CELLS]
    for t in range(lanes.unit[i, BEGIN], lanes.unit[i, END]):
        s = lanes.cells[at]
        lanes.room[VALUE, lanes.link[s, GOAL]] = lanes.cell[s, CELL_W] * price[t]
        at += 1


@nested
def pull_cars(i: int, lanes: Lanes, answer: Floats) -> None:
    """Add what a car's value of energy changes of its power to its own node's."""
    at = lanes.unit[i, CELLS]
    for t in range(lanes.unit[i, BEGIN], lanes.unit[i, END]):
        s = lanes.cells[at]
        answer[t] += lanes.cell[s, CELL_W] * lanes.room[VALUE, lanes.link[s, GOAL]]
        at += 1
