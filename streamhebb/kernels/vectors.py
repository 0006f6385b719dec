r"""Vectors and tiles of vectors for loops of numba: what its compiler would otherwise have to guess.

A processor multiplies matrices at its full speed while the sums stay in its registers. Numba knows
numbers and arrays only, and whether its compiler makes vectors of a loop, and keeps them, is luck.
Here are two more types for compiled functions:

* `Vector`, ``LANES`` float32 numbers that are added and multiplied side by side;
* `Tile`, ``TALL`` times ``WIDE`` vectors of sums, as many as the registers hold.

All arrays are one-dimensional and contiguous, and places in them are counted in numbers. Nothing
looks whether a place lies in the array: callers see to that. Products are fused with their sum
(one rounding), so results do not depend on what else the compiler does. Sums run in lanes, so they
differ by rounding between machines whose vectors differ; on one machine they are the same to the
bit.

What is rounded to bfloat16 lies in arrays of int32, two numbers in each, the first one below.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.datamodel import models
from numba.extending import intrinsic, overload, register_model

Value = Any
"""A value of the code that is being written."""


def _features() -> frozenset[str]:
    """What the processor that is compiled for can do, by the names of LLVM."""
    if config.CPU_FEATURES is not None:
        return frozenset(f[1:] for f in config.CPU_FEATURES.split(",") if f.startswith("+"))
    if config.CPU_NAME is not None:
        return frozenset()  # not this processor: only what all have
    return frozenset(name for name, there in llvm.get_host_cpu_features().items() if there)


_HAS = _features()
LANES = 16 if "avx512f" in _HAS else 8
"""Numbers in a vector."""
TALL, WIDE = (8, 3) if LANES == 16 else (4, 3)
"""Vectors in a tile: with those that are multiplied they fill the 32 or 16 registers."""
WIDTH = WIDE * LANES
"""Numbers in a row of a tile."""
COARSE = LANES == 16 and "avx512bf16" in _HAS
"""Whether there are instructions for products of bfloat16."""

_I32, _I64, _F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_V, _VI = ir.VectorType(_F32, LANES), ir.VectorType(_I32, LANES)
_T = ir.ArrayType(_V, TALL * WIDE)


class _BFloat(ir.Type):  # type: ignore[misc]
    """bfloat16, which llvmlite does not know by name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


_VB = ir.VectorType(_BFloat(), 2 * LANES)


class Vector(types.Type):  # type: ignore[misc]
    """A vector of ``LANES`` float32 numbers."""

    def __init__(self) -> None:
        super().__init__(name=f"Vector({LANES})")


class Tile(types.Type):  # type: ignore[misc]
    """``TALL`` rows of ``WIDE`` vectors of sums."""

    def __init__(self) -> None:
        super().__init__(name=f"Tile({TALL}, {WIDE}, {LANES})")


vector, tile = Vector(), Tile()


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _V)


@register_model(Tile)
class _TileModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _T)


# -- writing code ----------------------------------------------------------------------------------


class _Writer:
    """Writes the code of one operation.

    Args:
        context: of numba's compiler.
        builder: of llvmlite.
        signature: types of the operation's arguments.
        values: the arguments.
    """

    def __init__(self, context: Any, builder: Any, signature: Any, values: Sequence[Value]) -> None:
        self.context, self.builder = context, builder
        self.kinds, self.values = signature.args, values

    def place(self, argument: int, at: Value) -> Value:
        """Address of a place in an array that is an argument."""
        array = self.context.make_array(self.kinds[argument])
        data = array(self.context, self.builder, self.values[argument]).data
        return self.builder.gep(data, [at])

    def further(self, address: Value, by: Value | int) -> Value:
        """Address so many numbers further on."""
        return self.builder.gep(address, [ir.Constant(_I64, by) if isinstance(by, int) else by])

    def load(self, address: Value, kind: ir.Type = _V) -> Value:
        loaded = self.builder.load(self.builder.bitcast(address, kind.as_pointer()))
        loaded.align = 4
        return loaded

    def store(self, value: Value, address: Value) -> None:
        stored = self.builder.store(value, self.builder.bitcast(address, value.type.as_pointer()))
        stored.align = 4

    def stay(self) -> None:
        """Let no load move past this place.

        Else loops are unrolled, loads of the next round come first, and sums leave the registers.
        """
        nothing = ir.FunctionType(ir.VoidType(), [])
        self.builder.asm(nothing, "", "~{memory}", [], side_effect=True)

    def spread(self, number: Value) -> Value:
        """The same number in all lanes."""
        kind = ir.VectorType(number.type, LANES)
        first = self.builder.insert_element(
            ir.Constant(kind, ir.Undefined), number, ir.Constant(_I32, 0)
        )
        return self.mixed(first, first, [0] * LANES)

    def mixed(self, one: Value, two: Value, lanes: Sequence[int]) -> Value:
        """Lanes of two vectors, those of the second one counted on."""
        chosen = ir.Constant(ir.VectorType(_I32, len(lanes)), list(lanes))
        return self.builder.shuffle_vector(one, two, chosen)

    def call(self, name: str, result: ir.Type, *values: Value) -> Value:
        """Call one of LLVM's own functions."""
        kind = ir.FunctionType(result, [value.type for value in values])
        return self.builder.call(
            cgutils.get_or_insert_function(self.builder.module, kind, name), values
        )

    def fma(self, one: Value, two: Value, more: Value) -> Value:
        """``one * two + more``, rounded once."""
        return self.call(f"llvm.fma.v{LANES}f32", _V, one, two, more)

    def coarse(self, one: Value, two: Value, more: Value) -> Value:
        """Add the products of pairs of bfloat16 to ``more``."""
        return self.call("llvm.x86.avx512bf16.dpbf16ps.512", _V, more, one, two)

    def constant(self, number: float) -> Value:
        return ir.Constant(_V, [number] * LANES)

    def whole(self, number: int) -> Value:
        return ir.Constant(_VI, [number] * LANES)

    def summed(self, vectors: Sequence[Value]) -> Value:
        """The sum over lanes of each vector, side by side.

        Halves of each two vectors are added and laid side by side, until a lane is a sum.
        """
        block, last = LANES, list(vectors)
        while block > 1:
            if len(last) > 1:
                pairs = list(zip(last[::2], last[1::2], strict=True))
            else:
                pairs = [(last[0], None)]
            last = [self._folded(one, two, block) for one, two in pairs]
            block //= 2
        return last[0]

    def _folded(self, one: Value, two: Value | None, block: int) -> Value:
        """Add the second half of each block of lanes to its first half."""
        lanes = len(one.type.elements) if hasattr(one.type, "elements") else one.type.count
        count = lanes if two is None else 2 * lanes
        starts = range(0, count, block)
        first = [start + i for start in starts for i in range(block // 2)]
        second = [lane + block // 2 for lane in first]
        two = one if two is None else two
        return self.builder.fadd(self.mixed(one, two, first), self.mixed(one, two, second))


def _operation(result: Any, *kinds: Any) -> Callable[[Callable[..., Value]], Any]:
    """Make an operation for compiled functions of a function that writes its code.

    Args:
        result: its type; ``None`` for nothing.
        kinds: types of the arguments; ``None`` is any array.
    """

    def made(write: Callable[..., Value]) -> Any:
        def typed(context: Any, *given: Any) -> Any:
            wanted = [one if kind is None else kind for kind, one in zip(kinds, given, strict=True)]
            signature = (types.void if result is None else result)(*wanted)

            def written(context: Any, builder: Any, signature: Any, values: Any) -> Value:
                found = write(_Writer(context, builder, signature, values), *values)
                return context.get_dummy_value() if result is None else found

            return signature, written

        typed.__name__, typed.__doc__ = write.__name__, write.__doc__
        names = list(inspect.signature(write).parameters)  # numba looks for them
        typed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names]
        )
        return intrinsic(typed)

    return made


# -- one vector ------------------------------------------------------------------------------------

_at, _float = types.intp, types.float32


@_operation(vector, None, _at)
def load(write: _Writer, array: Value, at: Value) -> Value:
    """``load(array, at)``: the numbers from a place on."""
    return write.load(write.place(0, at))


@_operation(None, None, _at, vector)
def store(write: _Writer, array: Value, at: Value, value: Value) -> None:
    """``store(array, at, value)``: write a vector to a place."""
    write.store(value, write.place(0, at))


@_operation(None, None, _at)
def fetch(write: _Writer, array: Value, at: Value) -> None:
    """``fetch(array, at)``: say that a place will be read soon; it may lie outside."""
    address = write.builder.bitcast(write.place(0, at), ir.IntType(8).as_pointer())
    numbers = (ir.Constant(_I32, number) for number in (0, 3, 1))  # to read, keep near, data
    write.call("llvm.prefetch.p0", ir.VoidType(), address, *numbers)


@_operation(vector, _float)
def spread(write: _Writer, number: Value) -> Value:
    """``spread(number)``: the same number in all lanes."""
    return write.spread(number)


@_operation(vector, vector, vector, vector)
def fma(write: _Writer, one: Value, two: Value, more: Value) -> Value:
    """``fma(one, two, more)``: ``one * two + more``, rounded once."""
    return write.fma(one, two, more)


@_operation(vector, vector, vector)
def higher(write: _Writer, one: Value, two: Value) -> Value:
    """``higher(one, two)``: lane by lane the higher one; where one is NaN, the second."""
    return write.builder.select(write.builder.fcmp_ordered(">", one, two), one, two)


@_operation(vector, vector, vector)
def most(write: _Writer, one: Value, two: Value) -> Value:
    """``most(one, two)``: lane by lane the higher one; NaN where one of them is."""
    return write.call(f"llvm.maximum.v{LANES}f32", _V, one, two)


@_operation(vector, vector)
def rectified(write: _Writer, one: Value) -> Value:
    """``rectified(vector)``: 0 for what is below; NaN stays."""
    below = write.builder.fcmp_ordered("<", one, write.constant(0.0))
    return write.builder.select(below, write.constant(0.0), one)


@_operation(_float, vector)
def total(write: _Writer, one: Value) -> Value:
    """``total(vector)``: the sum of all lanes."""
    return write.builder.extract_element(write.summed([one]), ir.Constant(_I32, 0))


@_operation(_float, vector)
def highest(write: _Writer, one: Value) -> Value:
    """``highest(vector)``: the highest of all lanes; NaN is not seen."""
    while (count := one.type.count) > 1:
        half, build = count // 2, write.builder
        low, high = (write.mixed(one, one, [half * n + i for i in range(half)]) for n in (0, 1))
        one = build.select(build.fcmp_ordered(">", low, high), low, high)
    return write.builder.extract_element(one, ir.Constant(_I32, 0))


@_operation(_float, vector)
def utmost(write: _Writer, one: Value) -> Value:
    """``utmost(vector)``: the highest of all lanes; NaN if one is."""
    while (count := one.type.count) > 1:
        half = count // 2
        low, high = (write.mixed(one, one, [half * n + i for i in range(half)]) for n in (0, 1))
        one = write.call(f"llvm.maximum.v{half}f32", low.type, low, high)
    return write.builder.extract_element(one, ir.Constant(_I32, 0))


_LOWEST, _TINY = -126.0, 2.0**-126
_MAGIC = 1.5 * 2**23  # adding and taking it away rounds to a whole number, in its lowest bits
# 2**f for f in [-1/2, 1/2], from its Taylor series; the error is below that of float32.
_EXP = (
    1.54035304e-4,
    1.33335581e-3,
    9.61812911e-3,
    5.55041087e-2,
    2.40226507e-1,
    6.93147181e-1,
    1.0,
)


def _exp2(write: _Writer, power: Value, highest: float) -> Value:
    """2 to a power: 0 below -126, infinite above ``highest``; NaN stays."""
    build, bound = write.builder, write.constant(_LOWEST)
    low = build.fcmp_ordered("<", power, bound)
    inside = build.select(low, bound, power)
    high = build.fcmp_ordered(">", power, write.constant(highest))
    inside = build.select(high, write.constant(highest), inside)
    shifted = build.fadd(inside, write.constant(_MAGIC))
    rest = build.fsub(inside, build.fsub(shifted, write.constant(_MAGIC)))
    found = write.constant(_EXP[0])
    for number in _EXP[1:]:
        found = write.fma(found, rest, write.constant(number))
    bits = build.shl(build.bitcast(shifted, _VI), write.whole(23))  # to where the exponent is
    made = build.bitcast(build.add(build.bitcast(found, _VI), bits), _V)
    made = build.select(low, write.constant(0.0), made)
    if highest > 0:
        made = build.select(high, write.constant(math.inf), made)
    return build.select(build.fcmp_unordered("uno", power, power), power, made)


@_operation(vector, vector)
def exp2(write: _Writer, power: Value) -> Value:
    """``exp2(power)``: 2 to a power of at most 0, and 1 above; 0 below -126; NaN stays."""
    return _exp2(write, power, 0.0)


_LOG2 = tuple(2 / (math.log(2) * n) for n in (9, 7, 5, 3, 1))  # of the inverse of tanh
_HIGHEST = 127.0


@_operation(vector, vector, vector)
def raised(write: _Writer, base: Value, power: Value) -> Value:
    """``raised(base, power)``: not negative numbers to a power above 0; NaN stays.

    From the logarithm of base 2, a whole number and that of a number near 1; about seven digits.
    """
    build, one = write.builder, write.constant(1.0)
    bits = build.bitcast(base, _VI)
    near = write.whole(0x3F3504F3)  # the root of 1/2
    whole = build.ashr(build.sub(bits, near), write.whole(23))
    rest = build.bitcast(build.sub(bits, build.shl(whole, write.whole(23))), _V)
    part = build.fdiv(build.fsub(rest, one), build.fadd(rest, one))
    square, found = build.fmul(part, part), write.constant(_LOG2[0])
    for number in _LOG2[1:]:
        found = write.fma(found, square, write.constant(number))
    exponent = build.sitofp(whole, _V)
    logarithm = write.fma(found, part, exponent)
    made = _exp2(write, build.fmul(logarithm, power), _HIGHEST)
    low = build.fcmp_ordered("<", base, write.constant(_TINY))
    made = build.select(low, write.constant(0.0), made)
    same = build.fcmp_unordered(">=", base, write.constant(math.inf))  # and NaN
    return build.select(same, base, made)


@_operation(vector, vector, vector)
def alike(write: _Writer, one: Value, two: Value) -> Value:
    """``alike(one, two)``: 1 where they are equal, else 0."""
    same = write.builder.fcmp_ordered("==", one, two)
    return write.builder.select(same, write.constant(1.0), write.constant(0.0))


@_operation(vector, vector)
def magnitude(write: _Writer, one: Value) -> Value:
    """``magnitude(vector)``: absolute values."""
    return write.call(f"llvm.fabs.v{LANES}f32", _V, one)


@_operation(None, None, _at, vector)
def put_coarse(write: _Writer, array: Value, at: Value, one: Value) -> None:
    """``put_coarse(array, at, vector)``: round to bfloat16, and write neighbours as pairs."""
    found = write.builder.fptrunc(one, ir.VectorType(_BFloat(), LANES))
    write.store(found, write.place(0, at))


@_operation(None, None, _at, vector, vector)
def put_pairs(write: _Writer, array: Value, at: Value, one: Value, two: Value) -> None:
    """``put_pairs(array, at, one, two)``: round to bfloat16, and write pairs of a lane each."""
    build, half = write.builder, ir.VectorType(ir.IntType(16), LANES)
    low, high = (
        build.zext(build.bitcast(build.fptrunc(each, ir.VectorType(_BFloat(), LANES)), half), _VI)
        for each in (one, two)
    )
    write.store(build.or_(low, build.shl(high, write.whole(16))), write.place(0, at))


@_operation(None, None, _at, _at, None, _at, _at)
def turn(
    write: _Writer, one: Value, at: Value, near: Value, two: Value, to: Value, far: Value
) -> None:
    """``turn(one, at, near, two, to, far)``: transpose ``LANES`` vectors.

    They lie ``near`` apart in ``one``, from ``at`` on, and ``far`` apart in ``two``, from ``to`` on.
    """
    address, found = write.place(0, at), []
    for _ in range(LANES):
        found.append(write.load(address))
        address = write.further(address, near)
    block = 1
    while block < LANES:  # two by two, blocks beside the diagonal change places
        for n in range(LANES):
            if n & block:
                continue
            pair = found[n], found[n + block]
            lanes = range(LANES)
            upper = [lane + LANES - block if lane & block else lane for lane in lanes]
            lower = [lane + LANES if lane & block else lane + block for lane in lanes]
            found[n], found[n + block] = write.mixed(*pair, upper), write.mixed(*pair, lower)
        block *= 2
    address = write.place(3, to)
    for each in found:
        write.store(each, address)
        address = write.further(address, far)


def _overload(symbol: Any, name: str) -> None:
    """Let compiled functions write ``a + b`` of vectors."""

    @_operation(vector, vector, vector)
    def done(write: _Writer, one: Value, two: Value) -> Value:
        return getattr(write.builder, name)(one, two)

    @overload(symbol, strict=False)  # it compares annotations, too
    def of_vectors(one: Any, two: Any) -> Any:
        if one is vector and two is vector:
            return lambda one, two: done(one, two)
        return None


for _symbol, _name in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"),
                       (operator.truediv, "fdiv")):  # fmt: skip
    _overload(_symbol, _name)


# -- tiles -----------------------------------------------------------------------------------------


@_operation(tile)
def nothing(write: _Writer) -> Value:
    """``nothing()``: a tile of zeros."""
    return ir.Constant(_T, [write.constant(0.0)] * (TALL * WIDE))


def _summed(
    write: _Writer, sums: Value, rows: Iterable[Value], columns: Sequence[Value], add: Any
) -> Value:
    """Add a product for each vector; what makes a row is written just before it is needed."""
    for r, one in enumerate(rows):
        for c, two in enumerate(columns):
            place = r * WIDE + c
            more = add(one, two, write.builder.extract_value(sums, place))
            sums = write.builder.insert_value(sums, more, place)
    return sums


def _rows(write: _Writer, argument: int, at: Value, step: Value) -> Iterator[Value]:
    """Addresses of the rows of a tile."""
    address = write.place(argument, at)
    for row in range(TALL):
        yield address if row == 0 else (address := write.further(address, step))


def _columns(write: _Writer, argument: int, at: Value) -> list[Value]:
    """Addresses of the vectors in a row of a tile."""
    first = write.place(argument, at)
    return [write.further(first, c * LANES) for c in range(WIDE)]


def _outers(coarse: bool) -> Any:
    kind, add = (_VB, _Writer.coarse) if coarse else (_V, _Writer.fma)

    @_operation(tile, tile, None, _at, _at, None, _at)
    def outers(
        write: _Writer, sums: Value, one: Value, at: Value, step: Value, two: Value, to: Value
    ) -> Value:
        columns = [write.load(each, kind) for each in _columns(write, 4, to)]
        numbers = (write.builder.load(each) for each in _rows(write, 1, at, step))
        rows = (write.builder.bitcast(write.spread(number), kind) for number in numbers)
        return _summed(write, sums, rows, columns, partial(add, write))

    return outers


outers = _outers(coarse=False)
"""``outers(sums, one, at, step, two, to)`` adds an outer product to a tile: of ``one[at]``,
``one[at + step]``, ... for the rows and the numbers of ``two`` from ``to`` on for the columns."""
coarse_outers = _outers(coarse=True)
"""The same for two outer products at once, of pairs of bfloat16."""


@_operation(tile, tile, None, None, _at, _at, None, _at)
def outers_at(
    write: _Writer, sums: Value, one: Value, starts: Value, number: Value, at: Value,
    two: Value, to: Value,
) -> Value:  # fmt: skip
    """``outers_at(sums, one, starts, number, at, two, to)``: as `outers`, with rows anywhere.

    They are ``one[starts[number] + at]``, ``one[starts[number + 1] + at]``, ...
    """
    columns = [write.load(each) for each in _columns(write, 5, to)]
    rows = (
        write.spread(write.builder.load(each)) for each in _scattered(write, TALL, 1, 2, number, at)
    )
    sums = _summed(write, sums, rows, columns, write.fma)
    write.stay()
    return sums


def _scattered(
    write: _Writer, count: int, argument: int, starts: int, number: Value, at: Value
) -> Iterator[Value]:
    """Addresses in an array that begin where another one says."""
    first = write.place(starts, number)
    for n in range(count):
        start = write.builder.load(write.further(first, n))
        yield write.place(argument, write.builder.add(start, at))


def _dots(coarse: bool) -> Any:
    kind, add = (_VB, _Writer.coarse) if coarse else (_V, _Writer.fma)

    @_operation(tile, tile, None, _at, _at, None, None, _at, _at)
    def dots(
        write: _Writer, sums: Value, one: Value, at: Value, step: Value,
        two: Value, starts: Value, number: Value, to: Value,
    ) -> Value:  # fmt: skip
        columns = [write.load(each, kind) for each in _scattered(write, WIDE, 4, 5, number, to)]
        rows = (write.load(each, kind) for each in _rows(write, 1, at, step))
        return _summed(write, sums, rows, columns, partial(add, write))

    return dots


dots = _dots(coarse=False)
"""``dots(sums, one, at, step, two, starts, number, to)`` adds products lane by lane to a tile: of
the vectors of ``one`` at ``at``, ``at + step``, ... for the rows and those of ``two`` at
``starts[number] + to``, ``starts[number + 1] + to``, ... for the columns."""
coarse_dots = _dots(coarse=True)
"""The same for pairs of bfloat16, whose products are added in their lane."""


@_operation(None, tile, None, _at, _at)
def put(write: _Writer, sums: Value, array: Value, at: Value, step: Value) -> None:
    """``put(sums, array, at, step)``: write a tile, its rows ``step`` apart."""
    for r, row in enumerate(_rows(write, 1, at, step)):
        for c in range(WIDE):
            found = write.builder.extract_value(sums, r * WIDE + c)
            write.store(found, write.further(row, c * LANES))


@_operation(None, tile, None, _at, _at)
def put_more(write: _Writer, sums: Value, array: Value, at: Value, step: Value) -> None:
    """``put_more(sums, array, at, step)``: add a tile to what is there."""
    for r, row in enumerate(_rows(write, 1, at, step)):
        for c in range(WIDE):
            found, place = (
                write.builder.extract_value(sums, r * WIDE + c),
                write.further(row, c * LANES),
            )
            write.store(write.builder.fadd(write.load(place), found), place)


@_operation(None, tile, None, _at)
def put_totals(write: _Writer, sums: Value, array: Value, at: Value) -> None:
    """``put_totals(sums, array, at)``: the sum of each vector; columns one after the other."""
    first = write.place(1, at)
    for c in range(WIDE):
        column = [write.builder.extract_value(sums, r * WIDE + c) for r in range(TALL)]
        write.store(write.summed(column), write.further(first, c * TALL))
