"""Eight vectors at a time: columns turned over, multiplied and summed in registers.

totals(x0, ..., x7)         the totals of eight vectors, as a vector
eight_rows(column, at)      eight vectors that follow each other
products(x, y, at)          eight vectors of both that follow each other, multiplied
lowered_by(x, column, at, apart, rows)      x less row q times column[at + apart q], for each of eight
turn(x, at, width, y, to, wide)     y[to + wide p + q] = x[at + width q + p]: 8 by 8 numbers, turned over
mirror(x, at, y, to, d, from)       y gets x's 8 by 8 numbers, the lower half as the upper one, and d's diagonal
"""

from typing import Any, cast

import llvmlite.ir
from numba.core import types

from backfeed.plan.vectors import DOUBLES, LANES, VECTOR, inlined, multiply_and_add, place_of, row_of, spread_out

_ROWS: Any = cast("Any", types).UniTuple(VECTOR, LANES)


@inlined
def totals(
    _context: Any,  # noqa: ANN401
    _0: Any,  # noqa: ANN401
    _1: Any,  # noqa: ANN401
    _2: Any,  # noqa: ANN401
    _3: Any,  # noqa: ANN401
    _4: Any,  # noqa: ANN401
    _5: Any,  # noqa: ANN401
    _6: Any,  # noqa: ANN401
    _7: Any,  # noqa: ANN401
) -> tuple[Any, Any]:
    """Return the sums of eight vectors' numbers, each taken by halves, those of two vectors side by side."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        parts = list(values)
        for half in (4, 2, 1):
            # Every number of a part is one of a sum's; a sum's stand side by side.
            wide, joined = 2 * half, []
            for one, other in zip(parts[::2], parts[1::2], strict=True):
                lanes = [lane for begin in range(0, 2 * LANES, wide) for lane in range(begin, begin + half)]
                low, high = (_picked(builder, one, other, [lane + more for lane in lanes]) for more in (0, half))
                joined.append(builder.fadd(low, high))
            parts = joined
        return parts[0]

    return VECTOR(*[VECTOR] * LANES), generate


def _picked(builder: Any, one: Any, other: Any, lanes: list[int]) -> Any:  # noqa: ANN401
    """Return the code that picks eight of two vectors' numbers."""
    mask = llvmlite.ir.Constant(llvmlite.ir.VectorType(llvmlite.ir.IntType(32), LANES), lanes)
    return builder.shuffle_vector(one, other, mask)


@inlined
def eight_rows(_context: Any, column: Any, _at: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return the eight vectors of `column[at : at + 64]`; the column is contiguous."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        column, at = values
        vectors = [
            builder.load(row_of(context, builder, signature.args[0], column, at, q), align=8) for q in range(LANES)
        ]
        return context.make_tuple(builder, _ROWS, vectors)

    return _ROWS(column, types.intp), generate


@inlined
def products(_context: Any, one: Any, other: Any, _at: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return eight vectors that follow each other in both columns, multiplied."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        one, other, at = values
        vectors = []
        for q in range(LANES):
            x = builder.load(row_of(context, builder, signature.args[0], one, at, q), align=8)
            y = builder.load(row_of(context, builder, signature.args[1], other, at, q), align=8)
            vectors.append(builder.fmul(x, y))
        return context.make_tuple(builder, _ROWS, vectors)

    return _ROWS(one, other, types.intp), generate


@inlined
def lowered_by(_context: Any, _x: Any, column: Any, _at: Any, _apart: Any, _rows: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return `x` less the sum of eight rows, row q times `column[at + apart q]`, each rounded once."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        less, column, at, apart, vectors = values
        data = context.make_array(signature.args[1])(context, builder, column).data
        for q in range(LANES):
            factor = builder.load(builder.gep(data, [builder.add(at, builder.mul(apart, apart.type(q)))]))
            row = builder.extract_value(vectors, q)
            less = multiply_and_add(builder, builder.fneg(spread_out(builder, factor)), row, less)
        return less

    return VECTOR(VECTOR, column, types.intp, types.intp, _ROWS), generate


@inlined
def turn(
    _context: Any,  # noqa: ANN401
    _column: Any,  # noqa: ANN401
    _at: Any,  # noqa: ANN401
    _width: Any,  # noqa: ANN401
    _target: Any,  # noqa: ANN401
    _to: Any,  # noqa: ANN401
    _wide: Any,  # noqa: ANN401
) -> tuple[Any, Any]:
    """Write eight rows of eight, `width` apart, as columns of rows `wide` apart; both arrays are contiguous doubles.

    Halves of each pair of rows change places, then quarters, then eighths.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        column, at, width, target, to, wide = values

        def place(kind: Any, array: Any, begin: Any, apart: Any, row: int) -> Any:  # noqa: ANN401
            where = builder.add(begin, builder.mul(apart, apart.type(row)))
            return place_of(context, builder, kind, array, where, DOUBLES)

        rows = [builder.load(place(signature.args[0], column, at, width, q), align=8) for q in range(LANES)]
        rows = _transposed(builder, rows)
        for q in range(LANES):
            builder.store(rows[q], place(signature.args[3], target, to, wide, q), align=8)
        return context.get_dummy_value()

    return types.void(_column, types.intp, types.intp, _target, types.intp, types.intp), generate


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:  # noqa: ANN401
    """Return the code of eight vectors' first numbers, their second ones, and so on."""
    rows = list(rows)
    for far in (4, 2, 1):
        for q in [row for row in range(LANES) if not row & far]:
            one, other = rows[q], rows[q + far]
            for row, first in ((q, 0), (q + far, far)):
                from_one = [lane & ~far | first for lane in range(LANES)]
                rows[row] = _picked(
                    builder, one, other, [at + LANES if lane & far else at for lane, at in enumerate(from_one)]
                )
    return rows


@inlined
def mirror(
    _context: Any,  # noqa: ANN401
    _column: Any,  # noqa: ANN401
    _at: Any,  # noqa: ANN401
    _target: Any,  # noqa: ANN401
    _to: Any,  # noqa: ANN401
    _diagonal: Any,  # noqa: ANN401
    _from: Any,  # noqa: ANN401
) -> tuple[Any, Any]:
    """Write eight rows of eight whose lower half is the upper one of others turned over, and their diagonal another."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        (column, at, target, to, diagonal, first), kinds = values, signature.args
        upper = [builder.load(row_of(context, builder, kinds[0], column, at, q), align=8) for q in range(LANES)]
        lower = _transposed(builder, upper)
        own = builder.load(row_of(context, builder, kinds[4], diagonal, first, 0), align=8)
        for q in range(LANES):
            row = _picked(builder, upper[q], lower[q], [lane + LANES if lane < q else lane for lane in range(LANES)])
            row = _picked(builder, row, own, [lane + LANES if lane == q else lane for lane in range(LANES)])
            builder.store(row, row_of(context, builder, kinds[2], target, to, q), align=8)
        return context.get_dummy_value()

    return types.void(_column, types.intp, _target, types.intp, _diagonal, types.intp), generate
