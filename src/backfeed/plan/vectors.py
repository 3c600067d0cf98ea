"""Eight doubles at a time, said explicitly.

A compiler that finds vectors on its own has to prove or to check at run time that columns lie apart, and leaves what
is over to scalar code. Here a kernel says which eight numbers it means. Every operation is IEEE 754's on each of the
eight; `fused` multiplies and adds with one rounding, because the kernel says so and not because a compiler may. A
processor without vectors of this width takes several steps for one, with the same bits.

Python's signs `+ - * / > ==` stand between vectors, and between a vector and a number, which then counts eight times.

    x = load(column, at)        column[at : at + 8]
    store(column, at, x)
    spread(a)                   eight times a
    spread_from(column, at)     eight times column[at]
    fused(x, y, z)              x y + z
    lowered(x, y, z)            z - x y
    greater(x, y)               the greater one of every pair
    where(x > y, x, y)          x or y, as the answer is
    placed(x, lane, a)          x with a in one of its places
    total(x), greatest(x)       the sum, by halves, and the greatest of the eight
"""

import operator
from collections.abc import Callable, Iterable
from typing import Any, cast

import llvmlite.ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic, lower_builtin, models, register_model
from numba.core.typing import templates

LANES = 8
"""Numbers in a vector."""

Vector = Any
"""Eight doubles; only compiled code has any."""

DOUBLES = llvmlite.ir.VectorType(llvmlite.ir.DoubleType(), LANES)
_SINGLES = llvmlite.ir.VectorType(llvmlite.ir.FloatType(), LANES)
_ANSWERS = llvmlite.ir.VectorType(llvmlite.ir.IntType(1), LANES)


class _VectorType(types.Type):
    """Numba's type of eight doubles."""


class _AnswersType(types.Type):
    """Numba's type of eight times yes or no."""


VECTOR: Any = cast("Any", _VectorType)("EightDoubles")
"""What compiled code knows a `Vector` by."""

_WHETHER: Any = cast("Any", _AnswersType)("EightAnswers")


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    """They stand in one register."""

    def __init__(self, manager: Any, kind: Any) -> None:  # noqa: ANN401 numba's own
        cast("Any", super()).__init__(manager, kind, DOUBLES)


@register_model(_AnswersType)
class _AnswersModel(models.PrimitiveModel):
    """They stand in one register."""

    def __init__(self, manager: Any, kind: Any) -> None:  # noqa: ANN401 numba's own
        cast("Any", super()).__init__(manager, kind, _ANSWERS)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that numba asks for types and code one of its intrinsics."""
    return cast("Callable[..., Any]", intrinsic(function))


def place_of(context: Any, builder: Any, kind: Any, column: Any, at: Any, vector: Any) -> Any:  # noqa: ANN401
    """Return the address of eight numbers of a column."""
    data = context.make_array(kind)(context, builder, column).data
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer())


def row_of(context: Any, builder: Any, kind: Any, column: Any, at: Any, q: int) -> Any:  # noqa: ANN401
    """Return the address of the q-th eight doubles of a column from a place on."""
    return place_of(context, builder, kind, column, builder.add(at, at.type(LANES * q)), DOUBLES)


def multiply_and_add(builder: Any, x: Any, y: Any, z: Any) -> Any:  # noqa: ANN401
    """Return the code of `x y + z`."""
    kind = llvmlite.ir.FunctionType(DOUBLES, [DOUBLES] * 3)
    return builder.call(_function(builder, kind, "llvm.fma.v8f64"), (x, y, z))


def _function(builder: Any, kind: Any, name: str) -> Any:  # noqa: ANN401
    """Return LLVM's function of that name, declared."""
    return cast("Any", cgutils).get_or_insert_function(builder.module, kind, name)


@inlined
def load(_context: Any, column: Any, _at: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return `column[at : at + 8]`; the column is contiguous, single or double."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        kind = signature.args[0]
        if kind.dtype == types.float32:
            eight = builder.load(place_of(context, builder, kind, values[0], values[1], _SINGLES), align=4)
            return builder.fpext(eight, DOUBLES)
        return builder.load(place_of(context, builder, kind, values[0], values[1], DOUBLES), align=8)

    return VECTOR(column, types.intp), generate


@inlined
def store(_context: Any, column: Any, _at: Any, _vector: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Write a vector to `column[at : at + 8]`; the column is contiguous, single (each is rounded) or double."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        kind, (column, at, eight) = signature.args[0], values
        if kind.dtype == types.float32:
            place = place_of(context, builder, kind, column, at, _SINGLES)
            builder.store(builder.fptrunc(eight, _SINGLES), place, align=4)
        else:
            builder.store(eight, place_of(context, builder, kind, column, at, DOUBLES), align=8)
        return context.get_dummy_value()

    return types.void(column, types.intp, VECTOR), generate


def spread_out(builder: Any, number: Any) -> Any:  # noqa: ANN401
    """Return the code of eight times the same number."""
    index = llvmlite.ir.IntType(32)
    one = builder.insert_element(llvmlite.ir.Constant(DOUBLES, llvmlite.ir.Undefined), number, index(0))
    mask = llvmlite.ir.Constant(llvmlite.ir.VectorType(index, LANES), [0] * LANES)
    return builder.shuffle_vector(one, one, mask)


@inlined
def spread(_context: Any, _number: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return a vector of eight times the same number."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        return spread_out(builder, values[0])

    return VECTOR(types.float64), generate


@inlined
def spread_from(_context: Any, column: Any, _at: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return a vector of eight times `column[at]`; the column is contiguous, and `at` not negative."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        return spread_out(builder, builder.load(builder.gep(data, [values[1]])))

    return VECTOR(column, types.intp), generate


def _vectors(builder: Any, kinds: Any, values: Any) -> list[Any]:  # noqa: ANN401
    """Return vectors as they are, and numbers spread."""
    return [
        spread_out(builder, value) if kind == types.float64 else value
        for kind, value in zip(kinds, values, strict=True)
    ]


def _signs(result: Any, kinds: list[tuple[Any, ...]], symbols: Iterable[Any], code: Callable[..., Any]) -> None:  # noqa: ANN401
    """Give signs of Python's their code between vectors; a number among them is spread."""

    def generate(_context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        return code(builder, *_vectors(builder, signature.args, values))

    for symbol in symbols:
        cases = [cast("Any", templates).signature(result, *kind) for kind in kinds]
        cast("Any", templates).infer_global(symbol)(type("_Sign", (templates.ConcreteTemplate,), {"cases": cases}))
        for kind in kinds:
            cast("Any", lower_builtin)(symbol, *kind)(generate)


_PAIRS = [(VECTOR, VECTOR), (VECTOR, types.float64), (types.float64, VECTOR)]
_signs(VECTOR, _PAIRS, (operator.add, operator.iadd), lambda builder, x, y: builder.fadd(x, y))
_signs(VECTOR, _PAIRS, (operator.sub, operator.isub), lambda builder, x, y: builder.fsub(x, y))
_signs(VECTOR, _PAIRS, (operator.mul, operator.imul), lambda builder, x, y: builder.fmul(x, y))
_signs(VECTOR, _PAIRS, (operator.truediv, operator.itruediv), lambda builder, x, y: builder.fdiv(x, y))
_signs(VECTOR, [(VECTOR,)], (operator.neg,), lambda builder, x: builder.fneg(x))
_signs(_WHETHER, _PAIRS, (operator.gt,), lambda builder, x, y: builder.fcmp_ordered(">", x, y))
_signs(_WHETHER, _PAIRS, (operator.eq,), lambda builder, x, y: builder.fcmp_ordered("==", x, y))


@inlined
def where(_context: Any, _whether: Any, x: Any, y: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return x where the answer is yes, else y; either may be a number."""

    def generate(_context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        return builder.select(*_vectors(builder, signature.args, values))

    return VECTOR(_WHETHER, x, y), generate


@inlined
def fused(_context: Any, _x: Any, _y: Any, _z: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return `x y + z`, rounded once."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        return multiply_and_add(builder, *values)

    return VECTOR(VECTOR, VECTOR, VECTOR), generate


@inlined
def lowered(_context: Any, _x: Any, _y: Any, _z: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return `z - x y`, rounded once."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        return multiply_and_add(builder, builder.fneg(values[0]), values[1], values[2])

    return VECTOR(VECTOR, VECTOR, VECTOR), generate


def _greater(builder: Any, x: Any, y: Any) -> Any:  # noqa: ANN401
    """Return the code of the greater one of two numbers, or of every pair of two vectors."""
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


@inlined
def greater(_context: Any, x: Any, y: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return the greater one of every pair; either may be a number."""

    def generate(_context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        return _greater(builder, *_vectors(builder, signature.args, values))

    return VECTOR(x, y), generate


@inlined
def placed(_context: Any, _x: Any, _lane: Any, _number: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return a vector with a number in one of its places."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        return builder.insert_element(values[0], values[2], values[1])

    return VECTOR(VECTOR, types.intp, types.float64), generate


def _folded(builder: Any, vector: Any, join: Callable[[Any, Any], Any]) -> Any:  # noqa: ANN401
    """Return the code that joins a vector's halves, then those of what is left."""
    index = llvmlite.ir.IntType(32)
    parts = [builder.extract_element(vector, index(k)) for k in range(LANES)]
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [join(parts[k], parts[k + half]) for k in range(half)]
    return parts[0]


@inlined
def total(_context: Any, _x: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return the sum of a vector's numbers, taken by halves."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        return _folded(builder, values[0], builder.fadd)

    return types.float64(VECTOR), generate


@inlined
def greatest(_context: Any, _x: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return the greatest of a vector's numbers."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:  # noqa: ANN401
        return _folded(builder, values[0], lambda x, y: _greater(builder, x, y))

    return types.float64(VECTOR), generate
