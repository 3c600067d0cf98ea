"""Dense symmetric systems of one node: Cholesky and triangular solves in blocks of four rows.

Matrices are row-major with a size that is a multiple of four; A = R' R with R upper triangular, whose
diagonal holds reciprocals. All work is done by one kernel: four rows less four combinations of four rows.
"""

import numpy as np

from backfeed.plan.compiled import compiled
from backfeed.plan.problem import Floats

BLOCK = 4
PIVOT_MIN = 1e-13
"""A pivot that elimination has reduced by more than this is rounding and is held there."""


@compiled
def _subtract(y: Floats, i: int, x: Floats, k: int, c: Floats, start: int) -> None:
    """Subtract: `y[i+r, start:] -= sum_s c[s, r] x[k+s, start:]` for r, s in 0..3."""
    y0, y1, y2, y3 = y[i], y[i + 1], y[i + 2], y[i + 3]
    x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
    c00, c10, c20, c30 = c[0, 0], c[1, 0], c[2, 0], c[3, 0]
    c01, c11, c21, c31 = c[0, 1], c[1, 1], c[2, 1], c[3, 1]
    c02, c12, c22, c32 = c[0, 2], c[1, 2], c[2, 2], c[3, 2]
    c03, c13, c23, c33 = c[0, 3], c[1, 3], c[2, 3], c[3, 3]
    for j in range(start, y.shape[1]):
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
        for r in range(BLOCK):
            c[0, r] = a[i + r, i + r]
        d0, d1, d2, d3 = c[0, 0], c[0, 1], c[0, 2], c[0, 3]
        for k in range(0, i, BLOCK):
            for s in range(BLOCK):
                for r in range(BLOCK):
                    c[s, r] = a[k + s, i + r]
            _subtract(a, i, a, k, c, i)
        for r in range(BLOCK):
            q = i + r
            for p in range(i, q):
                f = a[p, q]
                for j in range(q, n):
                    a[q, j] -= f * a[p, j]
            whole = d0 if r == 0 else (d1 if r == 1 else (d2 if r == 2 else d3))  # noqa: PLR2004
            pivot = max(a[q, q], whole * PIVOT_MIN + 1e-300)
            scale = 1.0 / np.sqrt(pivot)
            for j in range(q + 1, n):
                a[q, j] *= scale
            a[q, q] = scale


@compiled
def solve_matrix(r: Floats, x: Floats) -> None:
    """Overwrite `x` with the solution of `R' R z = x`, all columns at once."""
    n = r.shape[0]
    c = np.empty((BLOCK, BLOCK))
    for i in range(0, n, BLOCK):
        for k in range(0, i, BLOCK):
            c[:, :] = r[k : k + BLOCK, i : i + BLOCK]
            _subtract(x, i, x, k, c, 0)
        for q in range(i, i + BLOCK):
            for p in range(i, q):
                _subtract_row(x, q, p, r[p, q])
            x[q] *= r[q, q]
    for i in range(n - BLOCK, -1, -BLOCK):
        for k in range(i + BLOCK, n, BLOCK):
            c[:, :] = r[i : i + BLOCK, k : k + BLOCK].T
            _subtract(x, i, x, k, c, 0)
        for q in range(i + BLOCK - 1, i - 1, -1):
            for p in range(q + 1, i + BLOCK):
                _subtract_row(x, q, p, r[q, p])
            x[q] *= r[q, q]


@compiled
def _subtract_row(x: Floats, q: int, p: int, f: float) -> None:
    """Subtract `f` times row p from row q."""
    for j in range(x.shape[1]):
        x[q, j] -= f * x[p, j]


@compiled
def solve_vector(r: Floats, v: Floats) -> None:
    """Overwrite `v` with the solution of `R' R z = v`."""
    n = r.shape[0]
    for i in range(n):
        value = v[i] * r[i, i]
        v[i] = value
        for j in range(i + 1, n):
            v[j] -= r[i, j] * value
    for i in range(n - 1, -1, -1):
        total = v[i]
        for j in range(i + 1, n):
            total -= r[i, j] * v[j]
        v[i] = total * r[i, i]
