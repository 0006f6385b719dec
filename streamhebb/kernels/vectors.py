"""What loops of numba can do with a vector; see [`vector_code`][streamhebb.kernels.vector_code].

An operation's docstring shows how compiled functions call it. They may also write ``a + b``,
``a - b``, ``a * b`` and ``a / b``.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import overload

from streamhebb.kernels.vector_code import (
    I32,
    INT_VECTOR,
    LANES,
    VECTOR,
    Value,
    Writer,
    operation,
    vector,
)

_at, _float = types.intp, types.float32


@operation(vector, None, _at)
def load(write: Writer, array: Value, at: Value) -> Value:
    """``load(array, at)``: the numbers from a place on."""
    return write.load(write.place(0, at))


@operation(None, None, _at, vector)
def store(write: Writer, array: Value, at: Value, value: Value) -> None:
    """``store(array, at, value)``: write a vector to a place."""
    write.store(value, write.place(0, at))


@operation(None, None, _at)
def fetch(write: Writer, array: Value, at: Value) -> None:
    """``fetch(array, at)``: have a place brought into the second cache; it may lie outside."""
    address = write.builder.bitcast(write.place(0, at), ir.IntType(8).as_pointer())
    numbers = (ir.Constant(I32, number) for number in (0, 2, 1))  # to read, how near, data
    write.call("llvm.prefetch.p0", ir.VoidType(), address, *numbers)


@operation(vector, _float)
def spread(write: Writer, number: Value) -> Value:
    """``spread(number)``: the same number in all lanes."""
    return write.spread(number)


@operation(vector, vector, vector, vector)
def fma(write: Writer, one: Value, two: Value, more: Value) -> Value:
    """``fma(one, two, more)``: ``one * two + more``, rounded once."""
    return write.fma(one, two, more)


@operation(vector, vector, vector)
def higher(write: Writer, one: Value, two: Value) -> Value:
    """``higher(one, two)``: lane by lane the higher one; where one is NaN, the second."""
    return write.builder.select(write.builder.fcmp_ordered(">", one, two), one, two)


@operation(vector, vector, vector)
def farther(write: Writer, one: Value, reach: Value) -> Value:
    """``farther(one, reach)``: lane by lane the absolute value if it is above ``reach``, else that.

    NaN where one of them is: read as whole numbers, numbers that are not negative keep their order,
    and NaN is the highest.
    """
    build = write.builder
    magnitude = write.call(f"llvm.fabs.v{LANES}f32", VECTOR, one)
    far, near = (build.bitcast(each, INT_VECTOR) for each in (magnitude, reach))
    return build.bitcast(build.select(build.icmp_signed(">", far, near), far, near), VECTOR)


@operation(vector, vector, vector)
def most(write: Writer, one: Value, two: Value) -> Value:
    """``most(one, two)``: lane by lane the higher one; NaN where one of them is."""
    return write.call(f"llvm.maximum.v{LANES}f32", VECTOR, one, two)


@operation(vector, vector)
def rectified(write: Writer, one: Value) -> Value:
    """``rectified(vector)``: 0 for what is below; NaN stays."""
    below = write.builder.fcmp_ordered("<", one, write.constant(0.0))
    return write.builder.select(below, write.constant(0.0), one)


@operation(_float, vector)
def total(write: Writer, one: Value) -> Value:
    """``total(vector)``: the sum of all lanes."""
    return write.builder.extract_element(write.summed([one]), ir.Constant(I32, 0))


@operation(_float, vector)
def highest(write: Writer, one: Value) -> Value:
    """``highest(vector)``: the highest of all lanes; NaN is not seen."""
    while (count := one.type.count) > 1:
        half, build = count // 2, write.builder
        low, high = (write.mixed(one, one, [half * n + i for i in range(half)]) for n in (0, 1))
        one = build.select(build.fcmp_ordered(">", low, high), low, high)
    return write.builder.extract_element(one, ir.Constant(I32, 0))


@operation(_float, vector)
def utmost(write: Writer, one: Value) -> Value:
    """``utmost(vector)``: the highest of all lanes; NaN if one is."""
    while (count := one.type.count) > 1:
        half = count // 2
        low, high = (write.mixed(one, one, [half * n + i for i in range(half)]) for n in (0, 1))
        one = write.call(f"llvm.maximum.v{half}f32", low.type, low, high)
    return write.builder.extract_element(one, ir.Constant(I32, 0))


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


def _exp2(write: Writer, power: Value, highest: float) -> Value:
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
    bits = build.shl(
        build.bitcast(shifted, INT_VECTOR), write.whole(23)
    )  # to where the exponent is
    made = build.bitcast(build.add(build.bitcast(found, INT_VECTOR), bits), VECTOR)
    made = build.select(low, write.constant(0.0), made)
    if highest > 0:
        made = build.select(high, write.constant(math.inf), made)
    return build.select(build.fcmp_unordered("uno", power, power), power, made)


@operation(vector, vector)
def exp2(write: Writer, power: Value) -> Value:
    """``exp2(power)``: 2 to a power of at most 0, and 1 above; 0 below -126; NaN stays."""
    return _exp2(write, power, 0.0)


_LOG2 = tuple(2 / (math.log(2) * n) for n in (9, 7, 5, 3, 1))  # of the inverse of tanh
_HIGHEST = 127.0


@operation(vector, vector, vector)
def raised(write: Writer, base: Value, power: Value) -> Value:
    """``raised(base, power)``: not negative numbers to a power above 0; NaN stays.

    From the logarithm of base 2, a whole number and that of a number near 1; about seven digits.
    """
    build, one = write.builder, write.constant(1.0)
    bits = build.bitcast(base, INT_VECTOR)
    near = write.whole(0x3F3504F3)  # the root of 1/2
    whole = build.ashr(build.sub(bits, near), write.whole(23))
    rest = build.bitcast(build.sub(bits, build.shl(whole, write.whole(23))), VECTOR)
    part = build.fdiv(build.fsub(rest, one), build.fadd(rest, one))
    square, found = build.fmul(part, part), write.constant(_LOG2[0])
    for number in _LOG2[1:]:
        found = write.fma(found, square, write.constant(number))
    exponent = build.sitofp(whole, VECTOR)
    logarithm = write.fma(found, part, exponent)
    made = _exp2(write, build.fmul(logarithm, power), _HIGHEST)
    low = build.fcmp_ordered("<", base, write.constant(_TINY))
    made = build.select(low, write.constant(0.0), made)
    same = build.fcmp_unordered(">=", base, write.constant(math.inf))  # and NaN
    return build.select(same, base, made)


@operation(vector, vector, vector)
def alike(write: Writer, one: Value, two: Value) -> Value:
    """``alike(one, two)``: 1 where they are equal, else 0."""
    same = write.builder.fcmp_ordered("==", one, two)
    return write.builder.select(same, write.constant(1.0), write.constant(0.0))


@operation(vector, vector)
def magnitude(write: Writer, one: Value) -> Value:
    """``magnitude(vector)``: absolute values."""
    return write.call(f"llvm.fabs.v{LANES}f32", VECTOR, one)


@operation(None, None, _at, vector)
def put_coarse(write: Writer, array: Value, at: Value, one: Value) -> None:
    """``put_coarse(array, at, vector)``: round to bfloat16, and write neighbours as pairs."""
    write.store(write.rounded(one), write.place(0, at))


@operation(None, None, _at, vector, vector)
def put_pairs(write: Writer, array: Value, at: Value, one: Value, two: Value) -> None:
    """``put_pairs(array, at, one, two)``: round to bfloat16, and write pairs of a lane each."""
    build = write.builder
    low, high = (build.zext(write.rounded(each), INT_VECTOR) for each in (one, two))
    write.store(build.or_(low, build.shl(high, write.whole(16))), write.place(0, at))


@operation(None, None, _at, _at, None, _at, _at)
def turn(
    write: Writer, one: Value, at: Value, near: Value, two: Value, to: Value, far: Value
) -> None:
    """``turn(one, at, near, two, to, far)``: transpose ``LANES`` vectors.

    They lie ``near`` apart in ``one`` from ``at`` on, and ``far`` apart in ``two`` from ``to`` on.
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

    @operation(vector, vector, vector)
    def done(write: Writer, one: Value, two: Value) -> Value:
        return getattr(write.builder, name)(one, two)

    @overload(symbol, strict=False)  # it compares annotations, too
    def of_vectors(one: Any, two: Any) -> Any:
        if one is vector and two is vector:
            return lambda one, two: done(one, two)  # noqa: PLW0108 - numba takes no other
        return None


for _symbol, _name in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"),
                       (operator.truediv, "fdiv")):  # fmt: skip
    _overload(_symbol, _name)
