"""Inverses of dense symmetric systems, found in place by sweeping eight rows after eight (Gauss and Jordan).

With rows K taken in, and J all others, a sweep makes of A's blocks

    A_KK := -A_KK^-1,   A_KJ := A_KK^-1 A_KJ,   A_JJ := A_JJ - A_JK A_KK^-1 A_KJ

so that -A^-1 is left once all rows are in. That is as much arithmetic as a factor and its inverse take, but all of it
goes through the matrix in order, eight numbers in a register while eight others are subtracted from each, and nothing
waits for one row after the other except 8 by 8 numbers at a time. Where A has no positive number beside its diagonal,
nothing is subtracted from its like there either: what is added up on the way keeps its digits.

The upper half stands in strips of eight columns, each from the first row to the last one of its own block:
`a[strip_of(j) + 8 t + q]` is row t of column j + q.
"""

from backfeed.plan.compiled import nested
from backfeed.plan.dense import PIVOT_MIN
from backfeed.plan.problem import Floats
from backfeed.plan.tiles import eight_rows, lowered_by, turn
from backfeed.plan.vectors import (
    LANES,
    load,
    lowered,
    placed,
    spread,
    spread_from,
    store,
)

PANEL = (PULLED, ROWS, DIAGONAL) = tuple(range(3))
"""Room to invert in, eight numbers a row each: what is taken in times its own inverse, as columns and as rows; A's
diagonal."""

TILE = LANES * LANES


@nested
def strip_of(j: int) -> int:
    """Return where the strip of columns j to j + 7 begins: so many numbers do the strips before take."""
    return j * (j + LANES) // 2


@nested
def invert(a: Floats, n: int, panel: Floats) -> None:
    """Overwrite strips of n rows, their tiles on the diagonal whole, by those of -A^-1; the panel has A's diagonal.

    The tile to be taken in next, whose rows wait for each other, is swept between the others. A pivot that rounding has
    made too small is raised, as `dense.factor` does.
    """
    _sweep_rows(a, 0, panel[DIAGONAL], 0, min(n, LANES))
    for k in range(0, n, LANES):
        after, own, swept = k + LANES, strip_of(k), 0
        some = -(-LANES // max(n // LANES - 1, 1))
        _pull(a, n, k, panel)
        if after < n:
            _lower_strip(a, k, after, panel[ROWS], (after, after))
        for j in range(0, n, LANES):
            if j != k:
                _lower_strip(a, k, j, panel[ROWS], (0, after + LANES if j == after else after))
                if after < n:
                    _sweep_rows(a, after, panel[DIAGONAL], swept, min(swept + some, LANES))
                    swept += some
        for j in range(after, n, LANES):
            for t in range(0, TILE, LANES):
                store(a, strip_of(j) + LANES * k + t, load(panel[ROWS], LANES * j + t))
        for t in range(0, LANES * k, LANES):
            store(a, own + t, load(panel[PULLED], t))


@nested
def _sweep_rows(a: Floats, k: int, diagonal: Floats, low: int, high: int) -> None:
    """Take in some rows of eight by themselves: -1 times an inverse when all are in.

    `diagonal` from k on is what theirs was at first.
    """
    at = strip_of(k) + LANES * k
    for q in range(low, high):
        row = at + LANES * q
        inverse = 1.0 / max(a[row + q], diagonal[k + q] * PIVOT_MIN + 1e-300)
        swept = placed(inverse * load(a, row), q, -inverse)
        for t in range(at, at + TILE, LANES):
            store(a, t, lowered(spread_from(a, t + q), swept, placed(load(a, t), q, 0.0)))
        store(a, row, swept)


@nested
def _pull(a: Floats, n: int, k: int, panel: Floats) -> None:
    """Write `A_KK^-1 A_KJ` of all others, as rows, and above the rows taken in as columns too; their own are swept."""
    own, pulled, rows = strip_of(k), panel[PULLED], panel[ROWS]
    tile, zero = own + LANES * k, spread(0.0)
    swept = eight_rows(a, tile)
    for j in range(0, LANES * k, TILE):
        for t in range(j, j + TILE, LANES):
            store(pulled, t, lowered_by(zero, a, own + t, 1, swept))
        turn(pulled, j, LANES, rows, j, LANES)
    for j in range(k + LANES, n, LANES):
        across = eight_rows(a, strip_of(j) + LANES * k)
        for t in range(LANES):
            store(rows, LANES * (j + t), lowered_by(zero, a, tile + t, LANES, across))


@nested
def _lower_strip(a: Floats, k: int, j: int, rows: Floats, begin: tuple[int, int]) -> None:
    """Subtract `A_JK A_KK^-1 A_KJ` from strip j's rows before k and after it, each from where they begin on."""
    at, own, across = strip_of(j), strip_of(k), eight_rows(rows, LANES * j)
    for t in range(LANES * begin[0], LANES * min(k, j + LANES), LANES):
        store(a, at + t, lowered_by(load(a, at + t), a, own + t, 1, across))
    for i in range(begin[1], j + LANES, LANES):
        tile, here = strip_of(i) + LANES * k, at + LANES * i
        for t in range(LANES):
            store(a, here + LANES * t, lowered_by(load(a, here + LANES * t), a, tile + t, LANES, across))


@nested
def pack_inverse(a: Floats, n: int, packed: Floats, at: int) -> None:
    """Write A^-1 out of strips of -A^-1, as `dense.times_symmetric` reads it, from place `at` on."""
    for j in range(0, n, LANES):
        strip, to = strip_of(j), at + j
        for i in range(0, j + LANES, LANES):
            for t in range(i, i + LANES):
                store(packed, to, -load(a, strip + LANES * t))
                to += n - i
            to -= LANES
