r"""Vectors for loops of numba: what its compiler would otherwise have to guess.

A processor multiplies matrices at its full speed while the sums stay in its registers. Numba knows
numbers and arrays only, and whether its compiler makes vectors of a loop, and keeps them, is luck.
Here are two more types for compiled functions:

* `Vector`, ``LANES`` float32 numbers that are added and multiplied side by side;
* `Tile`, ``TALL`` times ``WIDE`` vectors of sums, as many as the registers hold.

What can be done with them is in [`vectors`][streamhebb.kernels.vectors] and
[`vector_tiles`][streamhebb.kernels.vector_tiles]; each such operation is written with a `Writer`.

All arrays are one-dimensional and contiguous, and places in them are counted in numbers. Nothing
looks whether a place lies in the array: callers see to that. Products are fused with their sum
(one rounding), so results do not depend on what else the compiler does. Sums run in lanes, so they
differ by rounding between machines whose vectors differ; on one machine they are the same to the
bit.

What is rounded to bfloat16 lies in arrays of int32, two numbers in each, the first one below.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

Value = Any
"""A value of the code that is being written."""


def _features() -> frozenset[str]:
    """What the processor that is compiled for can do, by the names of LLVM."""
    wanted: str | None = vars(config)["CPU_FEATURES"]  # as NUMBA_CPU_FEATURES says
    if wanted is not None:
        return frozenset(each[1:] for each in wanted.split(",") if each.startswith("+"))
    if vars(config)["CPU_NAME"] is not None:
        return frozenset()  # not this processor: only what all have
    return frozenset(name for name, there in llvm.get_host_cpu_features().items() if there)


_HAS = _features()
LANES = 16 if "avx512f" in _HAS else 8
"""Numbers in a vector."""
TALL, WIDE = (8, 3) if LANES == 16 else (4, 3)
"""Vectors in a tile: with those that are multiplied they fill the 32 or 16 registers."""
WIDTH = WIDE * LANES
"""Numbers in a row of a tile."""
FUSED = "fma" in _HAS or "neon" in _HAS
"""Whether a product and a sum can be rounded once; else they are rounded one after the other."""
COARSE = LANES == 16 and "avx512bf16" in _HAS
"""Whether there are instructions for products of bfloat16."""

I32, I64, F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
VECTOR, INT_VECTOR = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)
TILE = ir.ArrayType(VECTOR, TALL * WIDE)


class BFloat(ir.Type):  # type: ignore[misc]
    """bfloat16, which llvmlite does not know by name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BFloat)

    def __hash__(self) -> int:
        return hash(BFloat)


COARSE_VECTOR = ir.VectorType(BFloat(), 2 * LANES)


class Vector(types.Type):
    """A vector of ``LANES`` float32 numbers."""

    def __init__(self) -> None:
        super().__init__(name=f"Vector({LANES})")


class Tile(types.Type):
    """``TALL`` rows of ``WIDE`` vectors of sums."""

    def __init__(self) -> None:
        super().__init__(name=f"Tile({TALL}, {WIDE}, {LANES})")


vector, tile = Vector(), Tile()


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)  # type: ignore[no-untyped-call]


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, TILE)  # type: ignore[no-untyped-call]


# -- writing code ----------------------------------------------------------------------------------


class Writer:
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
        return self.builder.gep(address, [ir.Constant(I64, by) if isinstance(by, int) else by])

    def load(self, address: Value, kind: ir.Type = VECTOR) -> Value:
        """Read a vector."""
        loaded = self.builder.load(self.builder.bitcast(address, kind.as_pointer()))
        loaded.align = 4
        return loaded

    def store(self, value: Value, address: Value) -> None:
        """Write a vector."""
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
            ir.Constant(kind, ir.Undefined), number, ir.Constant(I32, 0)
        )
        return self.mixed(first, first, [0] * LANES)

    def mixed(self, one: Value, two: Value, lanes: Sequence[int]) -> Value:
        """Lanes of two vectors, those of the second one counted on."""
        chosen = ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes))
        return self.builder.shuffle_vector(one, two, chosen)

    def call(self, name: str, result: ir.Type, *values: Value) -> Value:
        """Call one of LLVM's own functions."""
        kind = ir.FunctionType(result, [value.type for value in values])
        function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            self.builder.module, kind, name
        )
        return self.builder.call(function, values)

    def fma(self, one: Value, two: Value, more: Value) -> Value:
        """``one * two + more``, rounded once where the processor does that."""
        if not FUSED:
            return self.builder.fadd(self.builder.fmul(one, two), more)
        return self.call(f"llvm.fma.v{LANES}f32", VECTOR, one, two, more)

    def coarse(self, one: Value, two: Value, more: Value) -> Value:
        """Add the products of pairs of bfloat16 to ``more``."""
        return self.call("llvm.x86.avx512bf16.dpbf16ps.512", VECTOR, more, one, two)

    def rounded(self, one: Value) -> Value:
        """A vector in bfloat16, as whole numbers of 16 bits; ties go to the even one, NaN stays."""
        build, half = self.builder, ir.VectorType(ir.IntType(16), LANES)
        if COARSE:
            return build.bitcast(build.fptrunc(one, ir.VectorType(BFloat(), LANES)), half)
        # Without the instruction LLVM calls a function that is not there, and the process ends.
        bits = build.bitcast(one, INT_VECTOR)
        upper = build.lshr(bits, self.whole(16))
        up = build.add(self.whole(0x7FFF), build.and_(upper, self.whole(1)))
        found = build.lshr(build.add(bits, up), self.whole(16))
        quiet = build.or_(upper, self.whole(0x40))
        found = build.select(build.fcmp_unordered("uno", one, one), quiet, found)
        return build.trunc(found, half)

    def constant(self, number: float) -> Value:
        """A number in all lanes."""
        return ir.Constant(VECTOR, [number] * LANES)

    def whole(self, number: int) -> Value:
        """A whole number in all lanes."""
        return ir.Constant(INT_VECTOR, [number] * LANES)

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
        count = one.type.count if two is None else 2 * one.type.count
        starts = range(0, count, block)
        first = [start + i for start in starts for i in range(block // 2)]
        second = [lane + block // 2 for lane in first]
        two = one if two is None else two
        return self.builder.fadd(self.mixed(one, two, first), self.mixed(one, two, second))


def operation(result: Any, *kinds: Any) -> Callable[[Callable[..., Value]], Any]:
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
                found = write(Writer(context, builder, signature, values), *values)
                return context.get_dummy_value() if result is None else found

            return signature, written

        typed.__name__, typed.__doc__ = write.__name__, write.__doc__
        names = list(inspect.signature(write).parameters)  # numba looks for them
        typed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names]
        )
        return intrinsic(typed)

    return made
