"""What loops of numba can do with a tile of sums.

See [`vector_code`][streamhebb.kernels.vector_code].

An operation's docstring shows how compiled functions call it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types

from streamhebb.kernels.vector_code import (
    COARSE_VECTOR,
    LANES,
    TALL,
    TILE,
    VECTOR,
    WIDE,
    Value,
    Writer,
    operation,
    tile,
)

_at = types.intp


@operation(tile)
def nothing(write: Writer) -> Value:
    """``nothing()``: a tile of zeros."""
    return ir.Constant(TILE, [write.constant(0.0)] * (TALL * WIDE))


def _summed(
    write: Writer, sums: Value, rows: Iterable[Value], columns: Sequence[Value], add: Any
) -> Value:
    """Add a product for each vector; what makes a row is written just before it is needed."""
    for r, one in enumerate(rows):
        for c, two in enumerate(columns):
            place = r * WIDE + c
            more = add(one, two, write.builder.extract_value(sums, place))
            sums = write.builder.insert_value(sums, more, place)
    return sums


def _rows(write: Writer, argument: int, at: Value, step: Value) -> Iterator[Value]:
    """Addresses of the rows of a tile."""
    address = write.place(argument, at)
    for row in range(TALL):
        yield address if row == 0 else (address := write.further(address, step))


def _columns(write: Writer, argument: int, at: Value) -> list[Value]:
    """Addresses of the vectors in a row of a tile."""
    first = write.place(argument, at)
    return [write.further(first, c * LANES) for c in range(WIDE)]


def _outers(coarse: bool) -> Any:
    kind, add = (COARSE_VECTOR, Writer.coarse) if coarse else (VECTOR, Writer.fma)

    @operation(tile, tile, None, _at, _at, None, _at)
    def outers(
        write: Writer, sums: Value, one: Value, at: Value, step: Value, two: Value, to: Value
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


@operation(tile, tile, None, None, _at, _at, None, _at)
def outers_at(
    write: Writer, sums: Value, one: Value, starts: Value, number: Value, at: Value,
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
    write: Writer, count: int, argument: int, starts: int, number: Value, at: Value
) -> Iterator[Value]:
    """Addresses in an array that begin where another one says."""
    first = write.place(starts, number)
    for n in range(count):
        start = write.builder.load(write.further(first, n))
        yield write.place(argument, write.builder.add(start, at))


def _dots(coarse: bool) -> Any:
    kind, add = (COARSE_VECTOR, Writer.coarse) if coarse else (VECTOR, Writer.fma)

    @operation(tile, tile, None, _at, _at, None, None, _at, _at)
    def dots(
        write: Writer, sums: Value, one: Value, at: Value, step: Value,
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


@operation(None, tile, None, _at, _at)
def put(write: Writer, sums: Value, array: Value, at: Value, step: Value) -> None:
    """``put(sums, array, at, step)``: write a tile, its rows ``step`` apart."""
    for r, row in enumerate(_rows(write, 1, at, step)):
        for c in range(WIDE):
            found = write.builder.extract_value(sums, r * WIDE + c)
            write.store(found, write.further(row, c * LANES))


@operation(None, tile, None, _at, _at)
def put_more(write: Writer, sums: Value, array: Value, at: Value, step: Value) -> None:
    """``put_more(sums, array, at, step)``: add a tile to what is there."""
    for r, row in enumerate(_rows(write, 1, at, step)):
        for c in range(WIDE):
            found, place = (
                write.builder.extract_value(sums, r * WIDE + c),
                write.further(row, c * LANES),
            )
            write.store(write.builder.fadd(write.load(place), found), place)


@operation(None, tile, None, _at)
def put_totals(write: Writer, sums: Value, array: Value, at: Value) -> None:
    """``put_totals(sums, array, at)``: the sum of each vector; columns one after the other."""
    first = write.place(1, at)
    for c in range(WIDE):
        column = [write.builder.extract_value(sums, r * WIDE + c) for r in range(TALL)]
        write.store(write.summed(column), write.further(first, c * TALL))
