"""Dense symmetric systems of one node: Cholesky and triangular solves in blocks of four rows.

Matrices are row-major with a size that is a multiple of eight; A = R' R with R upper triangular, whose
diagonal holds reciprocals. What is kept is packed, row after row without the other half. All work is done by one
kernel: four rows less four combinations of four rows.
"""

import numpy as np

from backfeed.plan.compiled import compiled
from backfeed.plan.problem import Floats

BLOCK = 4
VECTOR = 8
"""Rows are taken from a whole vector on; what that touches beside the upper half is not looked at."""

PIVOT_MIN = 1e-13
"""A pivot that elimination has reduced by more than this is rounding and is held there."""


@compiled
def _subtract(y: Floats, i: int, x: Floats, k: int, c: Floats, start: int, stop: int) -> None:
    """Subtract: `y[i+r, start:stop] -= sum_s c[s, r] x[k+s, start:stop]` for r, s in 0..3."""
    y0, y1, y2, y3 = y[i, start:stop], y[i + 1, start:stop], y[i + 2, start:stop], y[i + 3, start:stop]
    x0, x1, x2, x3 = x[k, start:stop], x[k + 1, start:stop], x[k + 2, start:stop], x[k + 3, start:stop]
    c00, c10, c20, c30 = c[0, 0], c[1, 0], c[2, 0], c[3, 0]
    c01, c11, c21, c31 = c[0, 1], c[1, 1], c[2, 1], c[3, 1]
    c02, c12, c22, c32 = c[0, 2], c[1, 2], c[2, 2], c[3, 2]
    c03, c13, c23, c33 = c[0, 3], c[1, 3], c[2, 3], c[3, 3]
    for j in range(stop - start):
        a, b, d, e = x0[j], x1[j], x2[j], x3[j]
        y0[j] -= c00 * a + c10 * b + c20 * d + c30 * e
        y1[j] -= c01 * a + c11 * b + c21 * d + c31 * e
        y2[j] -= c02 * a + c12 * b + c22 * d + c32 * e
        y3[j] -= c03 * a + c13 * b + c23 * d + c33 * e


@compiled
def factor(a: Floats) -> None:
    """Overwrite the upper half of `a` with R of `a = R' R`, reciprocals on the diagonal.

    A pivot that rounding has made too small is raised, which damps the step along that direction.
    """
    n = a.shape[0]
    c = np.empty((BLOCK, BLOCK))
    for i in range(0, n, BLOCK):
        start = i // VECTOR * VECTOR
        d0, d1, d2, d3 = a[i, i], a[i + 1, i + 1], a[i + 2, i + 2], a[i + 3, i + 3]
        for k in range(0, i, BLOCK):
            c[:, :] = a[k : k + BLOCK, i : i + BLOCK]
            _subtract(a, i, a, k, c, start, n)
        for r in range(BLOCK):
            q = i + r
            for p in range(i, q):
                _subtract_row(a, q, p, a[p, q], start, n)
            whole = d0 if r == 0 else (d1 if r == 1 else (d2 if r == 2 else d3))  # noqa: PLR2004
            pivot = max(a[q, q], whole * PIVOT_MIN + 1e-300)
            scale = 1.0 / np.sqrt(pivot)
            _scale_row(a, q, scale, start, n)
            a[q, q] = scale


@compiled
def solve_half(r: Floats, x: Floats) -> None:
    """Overwrite the lower half of `x` with that of the solution of `R' R z = x`.

    Going back, column j is needed from row j on only: a third of the work of the whole.
    """
    n = r.shape[0]
    c = np.empty((BLOCK, BLOCK))
    for i in range(0, n, BLOCK):
        for k in range(0, i, BLOCK):
            c[:, :] = r[k : k + BLOCK, i : i + BLOCK]
            _subtract(x, i, x, k, c, 0, n)
        for q in range(i, i + BLOCK):
            for p in range(i, q):
                _subtract_row(x, q, p, r[p, q], 0, n)
            _scale_row(x, q, r[q, q], 0, n)
    for i in range(n - BLOCK, -1, -BLOCK):
        stop = (i + VECTOR) // VECTOR * VECTOR
        for k in range(i + BLOCK, n, BLOCK):
            c[:, :] = r[i : i + BLOCK, k : k + BLOCK].T
            _subtract(x, i, x, k, c, 0, stop)
        for q in range(i + BLOCK - 1, i - 1, -1):
            for p in range(q + 1, i + BLOCK):
                _subtract_row(x, q, p, r[q, p], 0, stop)
            _scale_row(x, q, r[q, q], 0, stop)


@compiled
def _subtract_row(x: Floats, q: int, p: int, f: float, start: int, stop: int) -> None:
    """Subtract `f` times row p from row q."""
    target, source = x[q, start:stop], x[p, start:stop]
    for j in range(stop - start):
        target[j] -= f * source[j]


@compiled
def _scale_row(x: Floats, q: int, f: float, start: int, stop: int) -> None:
    """Multiply row q by `f`."""
    target = x[q, start:stop]
    for j in range(stop - start):
        target[j] *= f


@compiled
def pack_upper(a: Floats, packed: Floats) -> None:
    """Write the upper half's rows one after the other."""
    n = a.shape[0]
    at = 0
    for i in range(n):
        packed[at : at + n - i] = a[i, i:]
        at += n - i


@compiled
def solve_vector(packed: Floats, v: Floats) -> None:
    """Overwrite `v` with the solution of `R' R z = v`, R packed."""
    n = v.shape[0]
    at = 0
    for i in range(n):
        row = packed[at : at + n - i]
        value = v[i] * row[0]
        rest = v[i:]
        for j in range(1, n - i):
            rest[j] -= row[j] * value
        v[i] = value
        at += n - i
    for i in range(n - 1, -1, -1):
        at -= n - i
        row = packed[at : at + n - i]
        rest = v[i:]
        total = 0.0
        for j in range(1, n - i):
            total += row[j] * rest[j]
        v[i] = (v[i] - total) * row[0]
