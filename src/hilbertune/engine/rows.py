"""The parts that Numba lacks: arithmetic on rows (numbers that one instruction handles), and threads that meet.

In: a C-contiguous array [rows, LANES] and row numbers. Out: `Row` values, which live in vector registers.
Numba cannot vectorise loops over rows itself (two rows of an array might overlap), which costs a factor of seven.
"""

from typing import Any

import numba
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic, models, register_model


def _wide() -> bool:
    """Tell if this machine's kernels may use registers of 512 bits."""
    named = numba.config.CPU_FEATURES
    if named is not None:
        return "+avx512f" in named.split(",")
    return bool(binding.get_host_cpu_features().get("avx512f", False))


LANES = 16 if _wide() else 8
"""Numbers in a row: of as many samples, or of fewer samples several amplitudes each (lanes.py)."""


give_way = types.ExternalFunction("sched_yield", types.int32())
"""Let another thread have the core (POSIX)."""


_INDEX = ir.IntType(32)


class Row(types.Type):
    """LANES numbers of one kind in a vector register (or in two)."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Row({dtype})")


@register_model(Row)
class _RowModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Row) -> None:
        number = manager.lookup(kind.dtype).get_value_type()
        super().__init__(manager, kind, ir.VectorType(number, LANES))


def _pointer(context: Any, builder: Any, kind: Any, array: Any, row: Any) -> Any:
    start = context.make_array(kind)(context, builder, array).data
    vector = ir.VectorType(context.get_value_type(kind.dtype), LANES)
    number = builder.gep(start, [builder.mul(row, row.type(LANES))])
    return builder.bitcast(number, vector.as_pointer())


@intrinsic
def load(_typing: Any, array: Any, _row: Any) -> Any:
    """Return row number `row` of `array` [rows, LANES]."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_pointer(context, builder, signature.args[0], *args))
        value.align = array.dtype.bitwidth // 8
        return value

    return Row(array.dtype)(array, types.intp), code


@intrinsic
def store(_typing: Any, array: Any, _row: Any, value: Any) -> Any:
    """Write `value` to row number `row` of `array` [rows, LANES]."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], pointer).align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.intp, value), code


@intrinsic
def splat(_typing: Any, number: Any) -> Any:
    """Return a row whose LANES entries are all `number`."""

    def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        empty = ir.Constant(ir.VectorType(args[0].type, LANES), ir.Undefined)
        first = builder.insert_element(empty, args[0], _INDEX(0))
        zeros = ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES)
        return builder.shuffle_vector(first, empty, zeros)

    return Row(number)(number), code


@intrinsic
def ones(_typing: Any, row: Any) -> Any:
    """Return a row of ones, of the kind of `row`."""

    def code(context: Any, _builder: Any, signature: Any, _args: Any) -> Any:
        number = context.get_value_type(signature.args[0].dtype)
        return ir.Constant(ir.VectorType(number, LANES), [1.0] * LANES)

    return row(row), code


@intrinsic
def bit(_typing: Any, row: Any, _place: Any) -> Any:
    """Return a row, of the kind of `row`, that is 1 in the lanes whose number has bit `place` set, and else 0."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = context.get_value_type(signature.args[0].dtype)
        vector = ir.VectorType(_INDEX, LANES)
        place = builder.trunc(args[1], _INDEX)
        empty = ir.Constant(vector, ir.Undefined)
        places = builder.shuffle_vector(
            builder.insert_element(empty, place, _INDEX(0)), empty, ir.Constant(vector, [0] * LANES)
        )
        bits = builder.lshr(ir.Constant(vector, list(range(LANES))), places)
        return builder.uitofp(builder.and_(bits, ir.Constant(vector, [1] * LANES)), ir.VectorType(number, LANES))

    return row(row, types.intp), code


def _exchange(distance: int) -> Any:
    @intrinsic
    def operation(_typing: Any, row: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            order = ir.Constant(ir.VectorType(_INDEX, LANES), [lane ^ distance for lane in range(LANES)])
            return builder.shuffle_vector(args[0], args[0], order)

        return row(row), code

    return operation


exchange_1 = _exchange(1)
"""Return a row in which lanes whose numbers differ in bit 0 have changed places; and so on for bits 1, 2 and 3."""


exchange_2 = _exchange(2)


exchange_4 = _exchange(4)


exchange_8 = _exchange(8 % LANES)


def _elementwise(instruction: str) -> Any:
    @intrinsic
    def operation(_typing: Any, a: Any, b: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            # "contract" lets the compiler join a product and a sum into one fused instruction.
            return getattr(builder, instruction)(*args, flags=("contract",))

        return a(a, b), code

    return operation


add = _elementwise("fadd")


subtract = _elementwise("fsub")


multiply = _elementwise("fmul")


@intrinsic
def total(_typing: Any, row: Any) -> Any:
    """Return the sum of a row's LANES entries, lane after lane."""

    def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        sum_ = builder.extract_element(args[0], _INDEX(0))
        for lane in range(1, LANES):
            sum_ = builder.fadd(sum_, builder.extract_element(args[0], _INDEX(lane)))
        return sum_

    return row.dtype(row), code


@intrinsic
def arrive(_typing: Any, counter: Any) -> Any:
    """Add 1 to counter[0], whatever other threads do to it at the same time; return the new number."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = context.make_array(signature.args[0])(context, builder, args[0]).data
        one = ir.Constant(ir.IntType(64), 1)
        return builder.add(builder.atomic_rmw("add", start, one, "seq_cst"), one)

    return types.int64(counter), code


@intrinsic
def arrived(_typing: Any, counter: Any) -> Any:
    """Return counter[0] as other threads left it; what they wrote before they arrived can then be read."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load_atomic(start, "acquire", 8)

    return types.int64(counter), code
