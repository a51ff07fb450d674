"""Eight float32 at once: a SIMD register as a value of compiled code.

Compilers do not vectorize a maximum that must respect NaN, nor a sum whose order is fixed. Here both are written
as operations on eight lanes, which LLVM turns into whatever registers the machine has.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

WIDTH = 8

_FLOAT, _WHOLE = ir.FloatType(), ir.IntType(32)
_FLOATS, _WHOLES = ir.VectorType(_FLOAT, WIDTH), ir.VectorType(_WHOLE, WIDTH)
_ZERO = ir.Constant(_WHOLE, 0)


class LanesType(types.Type):  # type: ignore[misc]
    """Eight float32."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


class CountsType(types.Type):  # type: ignore[misc]
    """Eight int32."""

    def __init__(self) -> None:
        super().__init__(name="Counts")


_lanes, _counts = LanesType(), CountsType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


@register_model(CountsType)
class _CountsModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _WHOLES)


def _intrinsic(typed: Callable[..., Any], emit: Callable[..., Any], names: list[str]) -> Any:
    """An intrinsic that passes for `emit` with arguments of these names, for Numba reads them off the signature."""
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(typed, attribute, getattr(emit, attribute))
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("context", *names)]
    vars(typed)["__signature__"] = inspect.Signature(parameters)
    return intrinsic(typed)


def _operation(result: types.Type, *arguments: types.Type) -> Callable[[Callable[..., ir.Value]], Any]:
    """Makes an operation of compiled code from the function that emits it: (builder, *values) -> value."""

    def made(emit: Callable[..., ir.Value]) -> Any:
        def code(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
            return emit(builder, *values)

        def typed(context: Any, *given: types.Type) -> tuple[Any, Any]:
            return result(*arguments), code

        return _intrinsic(typed, emit, list(inspect.signature(emit).parameters)[1:])

    return made


def _at(result: types.Type, *arguments: types.Type) -> Callable[[Callable[..., ir.Value]], Any]:
    """The same for what works on memory at an offset: (builder, pointer to the number there, *values) -> value."""

    def made(emit: Callable[..., ir.Value]) -> Any:
        def code(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
            pointer, offset, *others = values
            emitted = emit(builder, builder.gep(pointer, [offset]), *others)
            return context.get_dummy_value() if emitted is None else emitted

        def typed(context: Any, memory: types.CPointer, *given: types.Type) -> tuple[Any, Any]:
            return result(memory, types.intp, *arguments), code

        return _intrinsic(typed, emit, ["memory", "offset", *list(inspect.signature(emit).parameters)[2:]])

    return made


def _memory_of(kind: types.Type) -> Any:
    """Makes the operation that takes an address for memory with numbers of a kind."""

    def code(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

    def memory(context: Any, address: types.Type) -> tuple[Any, Any]:
        return types.CPointer(kind)(types.intp), code

    return intrinsic(memory)


floats, doubles = _memory_of(types.float32), _memory_of(types.float64)
integers, small_integers = _memory_of(types.int64), _memory_of(types.int32)
brain_floats = _memory_of(types.uint16)


@_at(_lanes)
def load(builder: ir.IRBuilder, pointer: ir.Value) -> ir.Value:
    """Eight neighbours among float32, or among uint16 that are the upper halves of float32 (bfloat16)."""
    kind = pointer.type.pointee
    if kind == _FLOAT:
        return builder.load(builder.bitcast(pointer, _FLOATS.as_pointer()), align=4)
    halves = builder.load(builder.bitcast(pointer, ir.VectorType(kind, WIDTH).as_pointer()), align=2)
    return builder.bitcast(builder.shl(builder.zext(halves, _WHOLES), _same(_WHOLES, 16)), _FLOATS)


@_at(types.float32)
def number(builder: ir.IRBuilder, pointer: ir.Value) -> ir.Value:
    """One element of an array that `load` reads."""
    element = builder.load(pointer)
    if element.type == _FLOAT:
        return element
    return builder.bitcast(builder.shl(builder.zext(element, _WHOLE), ir.Constant(_WHOLE, 16)), _FLOAT)


@_at(types.void, types.float32)
def set_number(builder: ir.IRBuilder, pointer: ir.Value, value: ir.Value) -> None:
    """Write one number to float32 memory."""
    builder.store(value, pointer)


@_at(types.void, _lanes)
def store(builder: ir.IRBuilder, pointer: ir.Value, value: ir.Value) -> None:
    """Write all lanes to float32 memory."""
    builder.store(value, builder.bitcast(pointer, _FLOATS.as_pointer()), align=4)


@_at(types.void, _counts)
def store_counts(builder: ir.IRBuilder, pointer: ir.Value, counts: ir.Value) -> None:
    """Write all counts to int64 memory."""
    wide = ir.VectorType(ir.IntType(64), WIDTH)
    builder.store(builder.sext(counts, wide), builder.bitcast(pointer, wide.as_pointer()), align=8)


@_at(types.void, _lanes)
def add_to(builder: ir.IRBuilder, pointer: ir.Value, value: ir.Value) -> None:
    """Add all lanes to float64 memory."""
    wide = ir.VectorType(ir.DoubleType(), WIDTH)
    target = builder.bitcast(pointer, wide.as_pointer())
    builder.store(builder.fadd(builder.load(target, align=8), builder.fpext(value, wide)), target, align=8)


@_operation(_lanes, types.float32)
def everywhere(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """One number in all lanes."""
    return _broadcast(builder, value, _FLOATS)


@_operation(_counts)
def uncounted(builder: ir.IRBuilder) -> ir.Value:
    """Zero in all lanes, to count with."""
    return _same(_WHOLES, 0)


@_operation(_lanes, _lanes, _lanes)
def add(builder: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """The sum of each pair."""
    return builder.fadd(left, right)


@_operation(_lanes, _lanes, _lanes)
def subtract(builder: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """The difference of each pair."""
    return builder.fsub(left, right)


@_operation(_lanes, _lanes, _lanes)
def add_square(builder: ir.IRBuilder, total: ir.Value, value: ir.Value) -> ir.Value:
    """A running total and the square of a value, in one rounding where the machine has it."""
    return builder.fadd(total, builder.fmul(value, value, flags=("contract",)), flags=("contract",))


@_operation(_lanes, _lanes, types.float32, _lanes)
def add_times(builder: ir.IRBuilder, total: ir.Value, factor: ir.Value, value: ir.Value) -> ir.Value:
    """A running total and a value times a number, in one rounding where the machine has it."""
    product = builder.fmul(_broadcast(builder, factor, _FLOATS), value, flags=("contract",))
    return builder.fadd(total, product, flags=("contract",))


@_operation(_lanes, _lanes, _lanes)
def larger(builder: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """The larger of each pair; `right` where one is NaN."""
    return builder.select(builder.fcmp_ordered(">", left, right), left, right)


@_operation(_lanes, _lanes, _lanes)
def smaller(builder: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """The smaller of each pair; `right` where one is NaN."""
    return builder.select(builder.fcmp_ordered("<", left, right), left, right)


@_operation(_counts, _counts, _lanes)
def count_positive(builder: ir.IRBuilder, counts: ir.Value, value: ir.Value) -> ir.Value:
    """The counts, one more in lanes where `value` is above zero."""
    positive = builder.fcmp_ordered(">", value, _same(_FLOATS, 0.0))
    return builder.sub(counts, builder.sext(positive, _WHOLES))


@_operation(_lanes, _lanes, types.intp)
def only_last(builder: ir.IRBuilder, value: ir.Value, many: ir.Value) -> ir.Value:
    """The last `many` lanes, and zero before them."""
    dropped = builder.sub(ir.Constant(_WHOLE, WIDTH), builder.trunc(many, _WHOLE))
    order = ir.Constant(_WHOLES, [ir.Constant(_WHOLE, index) for index in range(WIDTH)])
    kept = builder.icmp_signed(">=", order, _broadcast(builder, dropped, _WHOLES))
    return builder.select(kept, value, _same(_FLOATS, 0.0))


@_operation(types.float64, _lanes)
def total(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The sum of all lanes, as float64."""
    return builder.fpext(_folded(builder, value, builder.fadd), ir.DoubleType())


@_operation(types.float32, _lanes)
def largest(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The largest lane."""
    return _folded(builder, value, lambda a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))


@_operation(types.float32, _lanes)
def smallest(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The smallest lane."""
    return _folded(builder, value, lambda a, b: builder.select(builder.fcmp_ordered("<", a, b), a, b))


@_operation(types.int64, _counts)
def counted(builder: ir.IRBuilder, counts: ir.Value) -> ir.Value:
    """The sum of all counts."""
    return builder.sext(_folded(builder, counts, builder.add), ir.IntType(64))


@_operation(types.boolean, _lanes, _lanes)
def any_equal(builder: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """Whether the lanes of any pair are equal."""
    mask = builder.bitcast(builder.fcmp_ordered("==", left, right), ir.IntType(WIDTH))
    return builder.icmp_unsigned("!=", mask, ir.Constant(ir.IntType(WIDTH), 0))


@_operation(types.int64, types.float32)
def bits(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The bits of a float32, as a signed integer."""
    return builder.sext(builder.bitcast(value, _WHOLE), ir.IntType(64))


def _same(kind: ir.VectorType, value: int | float) -> ir.Constant:
    return ir.Constant(kind, [ir.Constant(kind.element, value)] * WIDTH)


def _broadcast(builder: ir.IRBuilder, value: ir.Value, kind: ir.VectorType) -> ir.Value:
    undefined = ir.Constant(kind, ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(undefined, value, _ZERO), undefined, _same(_WHOLES, 0))


def _folded(builder: ir.IRBuilder, value: ir.Value, combine: Callable[[ir.Value, ir.Value], ir.Value]) -> ir.Value:
    """All lanes combined into one, by halves."""
    width = WIDTH
    while width > 1:
        width //= 2
        choose = ir.VectorType(_WHOLE, width)
        low, high = (
            builder.shuffle_vector(value, value, ir.Constant(choose, [ir.Constant(_WHOLE, start + i) for i in range(width)]))
            for start in (0, width)
        )
        value = combine(low, high)
    return builder.extract_element(value, _ZERO)
