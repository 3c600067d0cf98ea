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

from backfeed.plan.compiled import compiled, nested
from backfeed.plan.dense import PIVOT_MIN
from backfeed.plan.problem import Floats
from backfeed.plan.vectors import LANES, load, lowered, placed, scaled, spread, spread_from, store, turn

PANEL = (ACROSS, PULLED, TURNED, DIAGONAL) = tuple(range(4))
"""Room to invert in, eight numbers a row each: the rows taken in as columns, these times their own inverse, as rows."""

TILE = LANES * LANES


@compiled
def strip_of(j: int) -> int:
    """Return where the strip of columns j to j + 7 begins: so many numbers do the strips before take."""
    return j * (j + LANES) // 2


@nested
def begin_strips(matrix: Floats, a: Floats, low: int, high: int) -> None:
    """Write the upper half of a matrix, from row `low` to row `high`, as strips."""
    for j in range(0, high - low, LANES):
        at = strip_of(j)
        for t in range(j + LANES):
            store(a, at + LANES * t, load(matrix[low + t], low + j))


@nested
def invert(a: Floats, n: int, panel: Floats) -> None:
    """Overwrite strips of n rows, of a matrix A whose upper half counts, by those of -A^-1.

    A pivot that rounding has made too small is raised, as `dense.factor` does.
    """
    across, pulled, turned = panel[ACROSS], panel[PULLED], panel[TURNED]
    complete(a, n, panel[DIAGONAL])
    for k in range(0, n, LANES):
        own = strip_of(k)
        own_tile = own + LANES * k
        for t in range(own, own_tile + TILE, LANES):
            store(across, t - own, load(a, t))
        for j in range(k + LANES, n, LANES):
            turn(a, strip_of(j) + LANES * k, LANES, across, LANES * j, LANES)
        _sweep_tile(a, own_tile, panel[DIAGONAL], k)
        for t in range(0, LANES * n, LANES):
            store(pulled, t, spread(0.0))
        _lower_rows(pulled, 0, n, across, 0, a, own_tile)
        for j in range(0, n, LANES):
            at = strip_of(j)
            if j != k:
                turn(pulled, LANES * j, LANES, turned, 0, LANES)
                _lower_rows(a, at, min(k, j + LANES), across, 0, turned, 0)
                if j > k:
                    after = LANES * (k + LANES)
                    _lower_rows(a, at + after, j - k, across, after, turned, 0)
                    for t in range(0, TILE, LANES):
                        store(a, at + LANES * k + t, load(turned, t))
        for t in range(0, LANES * k, LANES):
            store(a, own + t, load(pulled, t))


@nested
def complete(a: Floats, n: int, diagonal: Floats) -> None:
    """Write the lower halves of the tiles on the diagonal; keep the diagonal."""
    for j in range(0, n, LANES):
        at = strip_of(j) + LANES * j
        for t in range(LANES):
            diagonal[j + t] = a[at + LANES * t + t]
            for q in range(t):
                a[at + LANES * t + q] = a[at + LANES * q + t]


@nested
def _sweep_tile(a: Floats, at: int, diagonal: Floats, k: int) -> None:
    """Overwrite 8 by 8 numbers by their inverse, times -1; `diagonal` from k on is what theirs was at first."""
    for q in range(LANES):
        row = at + LANES * q
        inverse = 1.0 / max(a[row + q], diagonal[k + q] * PIVOT_MIN + 1e-300)
        swept = placed(scaled(spread(inverse), load(a, row)), q, -inverse)
        for t in range(at, at + TILE, LANES):
            store(a, t, lowered(spread_from(a, t + q), swept, placed(load(a, t), q, 0.0)))
        store(a, row, swept)


@nested
def _lower_rows(a: Floats, at: int, many: int, across: Floats, begin: int, b: Floats, tile: int) -> None:
    """Subtract from rows of eight numbers their own eight of `across` times the eight rows of a tile of `b`."""
    b0, b1, b2, b3 = load(b, tile), load(b, tile + 8), load(b, tile + 16), load(b, tile + 24)
    b4, b5, b6, b7 = load(b, tile + 32), load(b, tile + 40), load(b, tile + 48), load(b, tile + 56)
    for t in range(0, LANES * many, LANES):
        x, s = load(a, at + t), begin + t
        x = lowered(spread_from(across, s), b0, x)
        x = lowered(spread_from(across, s + 1), b1, x)
        x = lowered(spread_from(across, s + 2), b2, x)
        x = lowered(spread_from(across, s + 3), b3, x)
        x = lowered(spread_from(across, s + 4), b4, x)
        x = lowered(spread_from(across, s + 5), b5, x)
        x = lowered(spread_from(across, s + 6), b6, x)
        x = lowered(spread_from(across, s + 7), b7, x)
        store(a, at + t, x)


@nested
def pack_inverse(a: Floats, n: int, packed: Floats, at: int) -> None:
    """Write A^-1 out of strips of -A^-1, as `dense.times_symmetric` reads it, from place `at` on."""
    minus = spread(-1.0)
    for j in range(0, n, LANES):
        strip, to = strip_of(j), at + j
        for i in range(0, j + LANES, LANES):
            for t in range(i, i + LANES):
                store(packed, to, scaled(minus, load(a, strip + LANES * t)))
                to += n - i
            to -= LANES
