"""Dense symmetric systems of one node: Cholesky and triangular solves in blocks of eight rows.

Matrices are row-major with a size that is a multiple of eight; A = R' R with R upper triangular, whose
diagonal holds reciprocals. Eight rows of one vector of columns stand in registers while everything that is known is
subtracted from them: row i of the right side less `R[k, i]` times row k, for every k before (or after) the block.

What is kept is packed, each row from its block's first column on: a factor with zeros up to and on the diagonal, and
then the diagonal's reciprocals; an inverse, which is symmetric, with whole blocks on the diagonal.
"""

import numpy as np

from backfeed.plan.compiled import compiled, nested
from backfeed.plan.problem import Floats
from backfeed.plan.tiles import totals, turn
from backfeed.plan.vectors import (
    LANES,
    fused,
    load,
    lowered,
    spread,
    spread_from,
    store,
    total,
)

PIVOT_MIN = 1e-13
"""A pivot that elimination has reduced by more than this is rounding and is held there."""


@compiled
def packed_size(n: int) -> int:
    """Return how many places a packed factor of n rows takes; a packed inverse leaves the last n of them."""
    return n * (n + LANES) // 2 + n


@nested
def _subtract_above(r: Floats, x: Floats, i: int, j: int, low: int) -> None:
    """Subtract from eight rows of `x`, at eight columns: `x[i+q, j:] -= sum_k r[k, i+q] x[k, j:]` for low <= k < i."""
    x0, x1, x2, x3 = load(x[i], j), load(x[i + 1], j), load(x[i + 2], j), load(x[i + 3], j)
    x4, x5, x6, x7 = load(x[i + 4], j), load(x[i + 5], j), load(x[i + 6], j), load(x[i + 7], j)
    for k in range(low, i):
        c, b = r[k], load(x[k], j)
        x0, x1 = lowered(spread_from(c, i), b, x0), lowered(spread_from(c, i + 1), b, x1)
        x2, x3 = lowered(spread_from(c, i + 2), b, x2), lowered(spread_from(c, i + 3), b, x3)
        x4, x5 = lowered(spread_from(c, i + 4), b, x4), lowered(spread_from(c, i + 5), b, x5)
        x6, x7 = lowered(spread_from(c, i + 6), b, x6), lowered(spread_from(c, i + 7), b, x7)
    store(x[i], j, x0)
    store(x[i + 1], j, x1)
    store(x[i + 2], j, x2)
    store(x[i + 3], j, x3)
    store(x[i + 4], j, x4)
    store(x[i + 5], j, x5)
    store(x[i + 6], j, x6)
    store(x[i + 7], j, x7)


@nested
def _subtract_below(r: Floats, x: Floats, i: int, j: int, high: int) -> None:
    """Subtract from eight rows of `x`, at eight columns: `x[i+q, j:] -= sum_k r[i+q, k] x[k, j:]`, i+8 <= k < high."""
    x0, x1, x2, x3 = load(x[i], j), load(x[i + 1], j), load(x[i + 2], j), load(x[i + 3], j)
    x4, x5, x6, x7 = load(x[i + 4], j), load(x[i + 5], j), load(x[i + 6], j), load(x[i + 7], j)
    r0, r1, r2, r3, r4, r5, r6, r7 = r[i], r[i + 1], r[i + 2], r[i + 3], r[i + 4], r[i + 5], r[i + 6], r[i + 7]
    for k in range(i + LANES, high):
        b = load(x[k], j)
        x0, x1 = lowered(spread_from(r0, k), b, x0), lowered(spread_from(r1, k), b, x1)
        x2, x3 = lowered(spread_from(r2, k), b, x2), lowered(spread_from(r3, k), b, x3)
        x4, x5 = lowered(spread_from(r4, k), b, x4), lowered(spread_from(r5, k), b, x5)
        x6, x7 = lowered(spread_from(r6, k), b, x6), lowered(spread_from(r7, k), b, x7)
    store(x[i], j, x0)
    store(x[i + 1], j, x1)
    store(x[i + 2], j, x2)
    store(x[i + 3], j, x3)
    store(x[i + 4], j, x4)
    store(x[i + 5], j, x5)
    store(x[i + 6], j, x6)
    store(x[i + 7], j, x7)


@nested
def _forward_block(r: Floats, x: Floats, i: int, j: int) -> None:
    """Solve the block's own triangle, forwards: `x[q] = (x[q] - sum_p r[p, q] x[p]) r[q, q]`, all in registers."""
    x0, x1, x2, x3 = load(x[i], j), load(x[i + 1], j), load(x[i + 2], j), load(x[i + 3], j)
    x4, x5, x6, x7 = load(x[i + 4], j), load(x[i + 5], j), load(x[i + 6], j), load(x[i + 7], j)
    r0, r1, r2, r3, r4, r5, r6, r7 = r[i], r[i + 1], r[i + 2], r[i + 3], r[i + 4], r[i + 5], r[i + 6], r[i + 7]
    x0 = spread_from(r0, i + 0) * x0
    x1, x2 = lowered(spread_from(r0, i + 1), x0, x1), lowered(spread_from(r0, i + 2), x0, x2)
    x3, x4 = lowered(spread_from(r0, i + 3), x0, x3), lowered(spread_from(r0, i + 4), x0, x4)
    x5, x6 = lowered(spread_from(r0, i + 5), x0, x5), lowered(spread_from(r0, i + 6), x0, x6)
    x7 = lowered(spread_from(r0, i + 7), x0, x7)
    x1 = spread_from(r1, i + 1) * x1
    x2, x3 = lowered(spread_from(r1, i + 2), x1, x2), lowered(spread_from(r1, i + 3), x1, x3)
    x4, x5 = lowered(spread_from(r1, i + 4), x1, x4), lowered(spread_from(r1, i + 5), x1, x5)
    x6, x7 = lowered(spread_from(r1, i + 6), x1, x6), lowered(spread_from(r1, i + 7), x1, x7)
    x2 = spread_from(r2, i + 2) * x2
    x3, x4 = lowered(spread_from(r2, i + 3), x2, x3), lowered(spread_from(r2, i + 4), x2, x4)
    x5, x6 = lowered(spread_from(r2, i + 5), x2, x5), lowered(spread_from(r2, i + 6), x2, x6)
    x7 = lowered(spread_from(r2, i + 7), x2, x7)
    x3 = spread_from(r3, i + 3) * x3
    x4, x5 = lowered(spread_from(r3, i + 4), x3, x4), lowered(spread_from(r3, i + 5), x3, x5)
    x6, x7 = lowered(spread_from(r3, i + 6), x3, x6), lowered(spread_from(r3, i + 7), x3, x7)
    x4 = spread_from(r4, i + 4) * x4
    x5, x6 = lowered(spread_from(r4, i + 5), x4, x5), lowered(spread_from(r4, i + 6), x4, x6)
    x7 = lowered(spread_from(r4, i + 7), x4, x7)
    x5 = spread_from(r5, i + 5) * x5
    x6, x7 = lowered(spread_from(r5, i + 6), x5, x6), lowered(spread_from(r5, i + 7), x5, x7)
    x6 = spread_from(r6, i + 6) * x6
    x7 = lowered(spread_from(r6, i + 7), x6, x7)
    x7 = spread_from(r7, i + 7) * x7
    store(x[i], j, x0)
    store(x[i + 1], j, x1)
    store(x[i + 2], j, x2)
    store(x[i + 3], j, x3)
    store(x[i + 4], j, x4)
    store(x[i + 5], j, x5)
    store(x[i + 6], j, x6)
    store(x[i + 7], j, x7)


@nested
def _backward_block(r: Floats, x: Floats, i: int, j: int) -> None:
    """Solve the block's own triangle, backwards: `x[q] = (x[q] - sum_p r[q, p] x[p]) r[q, q]`, all in registers."""
    x0, x1, x2, x3 = load(x[i], j), load(x[i + 1], j), load(x[i + 2], j), load(x[i + 3], j)
    x4, x5, x6, x7 = load(x[i + 4], j), load(x[i + 5], j), load(x[i + 6], j), load(x[i + 7], j)
    r0, r1, r2, r3, r4, r5, r6, r7 = r[i], r[i + 1], r[i + 2], r[i + 3], r[i + 4], r[i + 5], r[i + 6], r[i + 7]
    x7 = spread_from(r7, i + 7) * x7
    x6, x5 = lowered(spread_from(r6, i + 7), x7, x6), lowered(spread_from(r5, i + 7), x7, x5)
    x4, x3 = lowered(spread_from(r4, i + 7), x7, x4), lowered(spread_from(r3, i + 7), x7, x3)
    x2, x1 = lowered(spread_from(r2, i + 7), x7, x2), lowered(spread_from(r1, i + 7), x7, x1)
    x0 = lowered(spread_from(r0, i + 7), x7, x0)
    x6 = spread_from(r6, i + 6) * x6
    x5, x4 = lowered(spread_from(r5, i + 6), x6, x5), lowered(spread_from(r4, i + 6), x6, x4)
    x3, x2 = lowered(spread_from(r3, i + 6), x6, x3), lowered(spread_from(r2, i + 6), x6, x2)
    x1, x0 = lowered(spread_from(r1, i + 6), x6, x1), lowered(spread_from(r0, i + 6), x6, x0)
    x5 = spread_from(r5, i + 5) * x5
    x4, x3 = lowered(spread_from(r4, i + 5), x5, x4), lowered(spread_from(r3, i + 5), x5, x3)
    x2, x1 = lowered(spread_from(r2, i + 5), x5, x2), lowered(spread_from(r1, i + 5), x5, x1)
    x0 = lowered(spread_from(r0, i + 5), x5, x0)
    x4 = spread_from(r4, i + 4) * x4
    x3, x2 = lowered(spread_from(r3, i + 4), x4, x3), lowered(spread_from(r2, i + 4), x4, x2)
    x1, x0 = lowered(spread_from(r1, i + 4), x4, x1), lowered(spread_from(r0, i + 4), x4, x0)
    x3 = spread_from(r3, i + 3) * x3
    x2, x1 = lowered(spread_from(r2, i + 3), x3, x2), lowered(spread_from(r1, i + 3), x3, x1)
    x0 = lowered(spread_from(r0, i + 3), x3, x0)
    x2 = spread_from(r2, i + 2) * x2
    x1, x0 = lowered(spread_from(r1, i + 2), x2, x1), lowered(spread_from(r0, i + 2), x2, x0)
    x1 = spread_from(r1, i + 1) * x1
    x0 = lowered(spread_from(r0, i + 1), x1, x0)
    x0 = spread_from(r0, i + 0) * x0
    store(x[i], j, x0)
    store(x[i + 1], j, x1)
    store(x[i + 2], j, x2)
    store(x[i + 3], j, x3)
    store(x[i + 4], j, x4)
    store(x[i + 5], j, x5)
    store(x[i + 6], j, x6)
    store(x[i + 7], j, x7)


@compiled
def factor(a: Floats, low: int, high: int) -> None:
    """Overwrite the upper half of `a` from row `low` to row `high` with R of `a = R' R`, reciprocals on the diagonal.

    A pivot that rounding has made too small is raised, which damps the step along that direction.
    """
    for i in range(low, high, LANES):
        whole = (a[i, i], a[i + 1, i + 1], a[i + 2, i + 2], a[i + 3, i + 3])
        more = (a[i + 4, i + 4], a[i + 5, i + 5], a[i + 6, i + 6], a[i + 7, i + 7])
        _subtract_above(a, a, i, i, low)
        for q in range(i, i + LANES):
            row = load(a[q], i)
            for p in range(i, q):
                row = lowered(spread_from(a[p], q), load(a[p], i), row)
            store(a[q], i, row)
            scale = 1.0 / np.sqrt(max(a[q, q], (whole + more)[q - i] * PIVOT_MIN + 1e-300))
            store(a[q], i, scale * row)
            a[q, q] = scale
        for j in range(i + LANES, high, LANES):
            _subtract_above(a, a, i, j, low)
            _forward_block(a, a, i, j)


@nested
def solve_half(r: Floats, x: Floats, low: int, high: int, whole: int) -> None:
    """Overwrite the lower half of `x` from row `low` to row `high` with that of the solution of `R' R z = x`.

    Going back, column j is needed from row j on only: a third of the work of the whole. Columns from `whole` on are 0
    above the diagonal.
    """
    for j in range(low, high, LANES):
        first = low if j < whole else j
        for i in range(first, high, LANES):
            _subtract_above(r, x, i, j, first)
            _forward_block(r, x, i, j)
        for i in range(high - LANES, j - LANES, -LANES):
            _subtract_below(r, x, i, j, high)
            _backward_block(r, x, i, j)


@nested
def invert(r: Floats, x: Floats, low: int, high: int) -> None:
    """Overwrite the lower half of `x` from row `low` to row `high` with that of `(R' R)^-1`, blocks of 8 by 8 whole."""
    for i in range(low, high):
        for j in range(low, i // LANES * LANES + LANES, LANES):
            store(x[i], j, spread(0.0))
        x[i, i] = 1.0
    solve_half(r, x, low, high, low)


@nested
def pack_symmetric(x: Floats, packed: Floats, low: int, high: int) -> None:
    """Write the lower half of `x` from row `low` to row `high` as upper one: each row from its block's column on."""
    at, width = 0, x.shape[1]
    for i in range(low, high, LANES):
        for j in range(i, high, LANES):
            turn(x, j * width + i, width, packed, at + j - i, high - i)
        at += LANES * (high - i)


@nested
def times_symmetric(packed: Floats, v: Floats, y: Floats) -> None:
    """Write `y = S v`, S symmetric and packed: its upper half is read once, for rows and for columns."""
    n = len(v)
    for j in range(0, n, LANES):
        store(y, j, spread(0.0))
    at = 0
    for i in range(0, n, LANES):
        width, before = n - i, load(y, i)
        v0, v1, v2, v3 = spread_from(v, i), spread_from(v, i + 1), spread_from(v, i + 2), spread_from(v, i + 3)
        v4, v5, v6, v7 = spread_from(v, i + 4), spread_from(v, i + 5), spread_from(v, i + 6), spread_from(v, i + 7)
        y0 = y1 = y2 = y3 = y4 = y5 = y6 = y7 = spread(0.0)
        for j in range(0, width, LANES):
            p, here, below = at + j, load(v, i + j), load(y, i + j)
            s = load(packed, p)
            y0, below = fused(s, here, y0), fused(s, v0, below)
            s = load(packed, p + width)
            y1, below = fused(s, here, y1), fused(s, v1, below)
            s = load(packed, p + 2 * width)
            y2, below = fused(s, here, y2), fused(s, v2, below)
            s = load(packed, p + 3 * width)
            y3, below = fused(s, here, y3), fused(s, v3, below)
            s = load(packed, p + 4 * width)
            y4, below = fused(s, here, y4), fused(s, v4, below)
            s = load(packed, p + 5 * width)
            y5, below = fused(s, here, y5), fused(s, v5, below)
            s = load(packed, p + 6 * width)
            y6, below = fused(s, here, y6), fused(s, v6, below)
            s = load(packed, p + 7 * width)
            y7, below = fused(s, here, y7), fused(s, v7, below)
            store(y, i + j, below)
        store(y, i, before + totals(y0, y1, y2, y3, y4, y5, y6, y7))  # the block's own columns are its rows
        at += LANES * width


@compiled
def pack_upper(a: Floats, packed: Floats, low: int, high: int) -> None:
    """Write the upper half from row `low` to row `high`, its rows one after the other, and then the diagonal."""
    at = 0
    for i in range(low, high):
        start = i // LANES * LANES
        for j in range(start, high, LANES):
            store(packed, at + j - start, load(a[i], j))
        for j in range(start, i + 1):
            packed[at + j - start] = 0.0
        at += high - start
    for i in range(low, high):
        packed[at + i - low] = a[i, i]


@compiled
def solve_vector(packed: Floats, v: Floats) -> None:
    """Overwrite `v` with the solution of `R' R z = v`, R packed."""
    solve_forward(packed, v)
    solve_backward(packed, v)


@nested
def solve_forward(packed: Floats, v: Floats) -> None:
    """Overwrite `v` with the solution of `R' z = v`, R packed."""
    n = v.shape[0]
    diagonal = packed[packed_size(n) - n :]
    at = 0
    for i in range(n):
        start = i // LANES * LANES
        v[i] *= diagonal[i]
        factor = spread(v[i])
        for j in range(start, n, LANES):
            store(v, j, lowered(factor, load(packed, at + j - start), load(v, j)))
        at += n - start


@nested
def solve_backward(packed: Floats, v: Floats) -> None:
    """Overwrite `v` with the solution of `R z = v`, R packed."""
    n = v.shape[0]
    diagonal = packed[packed_size(n) - n :]
    at = packed_size(n) - n
    for i in range(n - 1, -1, -1):
        start = i // LANES * LANES
        at -= n - start
        sums = spread(0.0)
        for j in range(start, n, LANES):
            sums = fused(load(packed, at + j - start), load(v, j), sums)
        v[i] = (v[i] - total(sums)) * diagonal[i]
