"""Eight doubles at a time, said explicitly.

A compiler that finds vectors on its own has to prove or to check at run time that columns lie apart, and leaves what
is over to scalar code. Here a kernel says which eight numbers it means. Every operation is IEEE 754's on each of the
eight; `fused` multiplies and adds with one rounding, because the kernel says so and not because a compiler may. A
processor without vectors of this width takes several steps for one, with the same bits.

    x = load(column, at)        column[at : at + 8]
    store(column, at, x)
    spread(a)                   eight times a
    spread_from(column, at)     eight times column[at]
    fused(x, y, z)              x y + z
    lowered(x, y, z)            z - x y
    scaled(x, y)                x y
    divided(x, y)               x / y
    added(x, y)                 x + y
    greater(x, y)               the greater one of every pair
    placed(x, lane, a)          x with a in one of its places
    total(x), greatest(x)       the sum, by halves, and the greatest of the eight
    totals(x0, ..., x7)         the totals of eight vectors, as a vector
    eight_rows(column, at)      eight vectors that follow each other
    products(x, y, at)          eight vectors of both that follow each other, multiplied
    lowered_by(x, column, at, apart, rows)      x less row q times column[at + apart q], for each of eight
    turn(x, at, width, y, to, wide)     y[to + wide p + q] = x[at + width q + p]: 8 by 8 numbers, turned over
    mirror(x, at, y, to, d, from)       y gets x's 8 by 8 numbers, the lower half as the upper one, and d's diagonal
"""

from collections.abc import Callable
from typing import Any, cast

import llvmlite.ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic, models, register_model

LANES = 8
"""Numbers in a vector."""

_DOUBLES = llvmlite.ir.VectorType(llvmlite.ir.DoubleType(), LANES)
_SINGLES = llvmlite.ir.VectorType(llvmlite.ir.FloatType(), LANES)


class _VectorType(types.Type):
    """Numba's type of eight doubles."""


_VECTOR: Any = cast("Any", _VectorType)("EightDoubles")
_ROWS: Any = cast("Any", types).UniTuple(_VECTOR, LANES)


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    """They stand in one register."""

    def __init__(self, manager: Any, kind: Any) -> None:  # noqa: ANN401 numba's own
        cast("Any", super()).__init__(manager, kind, _DOUBLES)


def _intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that numba asks for types and code one of its intrinsics."""
    return cast("Callable[..., Any]", intrinsic(function))


def _place(context: Any, builder: Any, kind: Any, column: Any, at: Any, vector: Any) -> Any:  # noqa: ANN401
    """Return the address of eight numbers of a column."""
    data = context.make_array(kind)(context, builder, column).data
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer())


def _row(context: Any, builder: Any, kind: Any, column: Any, at: Any, q: int) -> Any:  # noqa: ANN401
    """Return the address of the q-th eight doubles of a column from a place on."""
    return _place(context, builder, kind, column, builder.add(at, at.type(LANES * q)), _DOUBLES)


def _multiply_and_add(builder: Any, x: Any, y: Any, z: Any) -> Any:  # noqa: ANN401
    """Return the code of `x y + z`."""
    kind = llvmlite.ir.FunctionType(_DOUBLES, [_DOUBLES] * 3)
    return builder.call(_function(builder, kind, "llvm.fma.v8f64"), (x, y, z))


def _function(builder: Any, kind: Any, name: str) -> Any:  # noqa: ANN401
    """Return LLVM's function of that name, declared."""
    return cast("Any", cgutils).get_or_insert_function(builder.module, kind, name)


@_intrinsic
def load(_context: Any, column: Any, _at: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return `column[at : at + 8]`; the column is contiguous, single or double."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        kind = signature.args[0]
        if kind.dtype == types.float32:
            eight = builder.load(_place(context, builder, kind, values[0], values[1], _SINGLES), align=4)
            return builder.fpext(eight, _DOUBLES)
        return builder.load(_place(context, builder, kind, values[0], values[1], _DOUBLES), align=8)

    return _VECTOR(column, types.intp), generate


@_intrinsic
def store(_context: Any, column: Any, _at: Any, _vector: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Write a vector to `column[at : at + 8]`; the column is contiguous, single (each is rounded) or double."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        kind, (column, at, eight) = signature.args[0], values
        if kind.dtype == types.float32:
            place = _place(context, builder, kind, column, at, _SINGLES)
            builder.store(builder.fptrunc(eight, _SINGLES), place, align=4)
        else:
            builder.store(eight, _place(context, builder, kind, column, at, _DOUBLES), align=8)
        return context.get_dummy_value()

    return types.void(column, types.intp, _VECTOR), generate


def _spread(builder: Any, number: Any) -> Any:  # noqa: ANN401
    """Return the code of eight times the same number."""
    index = llvmlite.ir.IntType(32)
    one = builder.insert_element(llvmlite.ir.Constant(_DOUBLES, llvmlite.ir.Undefined), number, index(0))
    mask = llvmlite.ir.Constant(llvmlite.ir.VectorType(index, LANES), [0] * LANES)
    return builder.shuffle_vector(one, one, mask)


@_intrinsic
def spread(_context: Any, _number: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return a vector of eight times the same number."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        return _spread(builder, values[0])

    return _VECTOR(types.float64), generate


@_intrinsic
def spread_from(_context: Any, column: Any, _at: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return a vector of eight times `column[at]`; the column is contiguous, and `at` not negative."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        return _spread(builder, builder.load(builder.gep(data, [values[1]])))

    return _VECTOR(column, types.intp), generate


@_intrinsic
def fused(_context: Any, _x: Any, _y: Any, _z: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return `x y + z`, rounded once."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        return _multiply_and_add(builder, *values)

    return _VECTOR(_VECTOR, _VECTOR, _VECTOR), generate


@_intrinsic
def lowered(_context: Any, _x: Any, _y: Any, _z: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return `z - x y`, rounded once."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        return _multiply_and_add(builder, builder.fneg(values[0]), values[1], values[2])

    return _VECTOR(_VECTOR, _VECTOR, _VECTOR), generate


@_intrinsic
def scaled(_context: Any, _x: Any, _y: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return `x y`."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        return builder.fmul(*values)

    return _VECTOR(_VECTOR, _VECTOR), generate


@_intrinsic
def divided(_context: Any, _x: Any, _y: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return `x / y`."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        return builder.fdiv(*values)

    return _VECTOR(_VECTOR, _VECTOR), generate


@_intrinsic
def added(_context: Any, _x: Any, _y: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return `x + y`."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        return builder.fadd(*values)

    return _VECTOR(_VECTOR, _VECTOR), generate


def _greater(builder: Any, x: Any, y: Any) -> Any:  # noqa: ANN401
    """Return the code of the greater one of two numbers, or of every pair of two vectors."""
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


@_intrinsic
def greater(_context: Any, _x: Any, _y: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return the greater one of every pair."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        return _greater(builder, *values)

    return _VECTOR(_VECTOR, _VECTOR), generate


@_intrinsic
def placed(_context: Any, _x: Any, _lane: Any, _number: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return a vector with a number in one of its places."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        return builder.insert_element(values[0], values[2], values[1])

    return _VECTOR(_VECTOR, types.intp, types.float64), generate


def _folded(builder: Any, vector: Any, join: Callable[[Any, Any], Any]) -> Any:  # noqa: ANN401
    """Return the code that joins a vector's halves, then those of what is left."""
    index = llvmlite.ir.IntType(32)
    parts = [builder.extract_element(vector, index(k)) for k in range(LANES)]
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [join(parts[k], parts[k + half]) for k in range(half)]
    return parts[0]


@_intrinsic
def total(_context: Any, _x: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return the sum of a vector's numbers, taken by halves."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        return _folded(builder, values[0], builder.fadd)

    return types.float64(_VECTOR), generate


@_intrinsic
def greatest(_context: Any, _x: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return the greatest of a vector's numbers."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        return _folded(builder, values[0], lambda x, y: _greater(builder, x, y))

    return types.float64(_VECTOR), generate


@_intrinsic
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

    return _VECTOR(*[_VECTOR] * LANES), generate


def _picked(builder: Any, one: Any, other: Any, lanes: list[int]) -> Any:  # noqa: ANN401
    """Return the code that picks eight of two vectors' numbers."""
    mask = llvmlite.ir.Constant(llvmlite.ir.VectorType(llvmlite.ir.IntType(32), LANES), lanes)
    return builder.shuffle_vector(one, other, mask)


@_intrinsic
def eight_rows(_context: Any, column: Any, _at: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return the eight vectors of `column[at : at + 64]`; the column is contiguous."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        column, at = values
        vectors = [
            builder.load(_row(context, builder, signature.args[0], column, at, q), align=8) for q in range(LANES)
        ]
        return context.make_tuple(builder, _ROWS, vectors)

    return _ROWS(column, types.intp), generate


@_intrinsic
def products(_context: Any, one: Any, other: Any, _at: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return eight vectors that follow each other in both columns, multiplied."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        one, other, at = values
        vectors = []
        for q in range(LANES):
            x = builder.load(_row(context, builder, signature.args[0], one, at, q), align=8)
            y = builder.load(_row(context, builder, signature.args[1], other, at, q), align=8)
            vectors.append(builder.fmul(x, y))
        return context.make_tuple(builder, _ROWS, vectors)

    return _ROWS(one, other, types.intp), generate


@_intrinsic
def lowered_by(_context: Any, _x: Any, column: Any, _at: Any, _apart: Any, _rows: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return `x` less the sum of eight rows, row q times `column[at + apart q]`, each rounded once."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        less, column, at, apart, vectors = values
        data = context.make_array(signature.args[1])(context, builder, column).data
        for q in range(LANES):
            factor = builder.load(builder.gep(data, [builder.add(at, builder.mul(apart, apart.type(q)))]))
            row = builder.extract_value(vectors, q)
            less = _multiply_and_add(builder, builder.fneg(_spread(builder, factor)), row, less)
        return less

    return _VECTOR(_VECTOR, column, types.intp, types.intp, _ROWS), generate


@_intrinsic
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
            return _place(context, builder, kind, array, where, _DOUBLES)

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


@_intrinsic
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
        upper = [builder.load(_row(context, builder, kinds[0], column, at, q), align=8) for q in range(LANES)]
        lower = _transposed(builder, upper)
        own = builder.load(_row(context, builder, kinds[4], diagonal, first, 0), align=8)
        for q in range(LANES):
            row = _picked(builder, upper[q], lower[q], [lane + LANES if lane < q else lane for lane in range(LANES)])
            row = _picked(builder, row, own, [lane + LANES if lane == q else lane for lane in range(LANES)])
            builder.store(row, _row(context, builder, kinds[2], target, to, q), align=8)
        return context.get_dummy_value()

    return types.void(_column, types.intp, _target, types.intp, _diagonal, types.intp), generate
