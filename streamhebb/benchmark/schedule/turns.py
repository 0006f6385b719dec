"""Sides that take turns, so that all of them share good and bad minutes of a machine."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter

import torch
from torch import Tensor

from streamhebb.net import StreamNet

Side = Callable[[], float]
"""Does one turn's work and returns what it took, in seconds."""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """While this is open, operators called from this thread use so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seconds(work: Callable[[], object]) -> float:
    """What some work takes."""
    start = perf_counter()
    work()
    return perf_counter() - start


def in_flight(net: StreamNet, xs: Sequence[Tensor], depth: int | None) -> float:
    """Seconds in which a net learns from all but the first, several at once.

    The first one fills caches and is not timed; filling the pipeline and draining it is.

    Args:
        net: with its scheduler.
        xs: samples or micro-batches.
        depth: how many are in flight; ``None`` is the net's own default.
    """
    with threads(1):
        net.step(xs[0])
        start = perf_counter()
        with net.run(xs[1:], depth=depth) as results:
            for _ in results:
                pass
        return perf_counter() - start


def take_turns(sides: Mapping[str, Side], rounds: Iterable[int]) -> dict[str, list[float]]:
    """Let each side do one turn a round; who begins changes from round to round.

    Args:
        sides: by name.
        rounds: their numbers.

    Returns:
        Seconds of each side, one for each round.

    Example:
        >>> take_turns({"slow": lambda: 2.0, "fast": lambda: 1.0}, range(2))
        {'slow': [2.0, 2.0], 'fast': [1.0, 1.0]}
    """
    names = list(sides)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in rounds:
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(sides[name]())
    return found


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Median over rounds of the ratio of two sides.

    Example:
        >>> ratio([2.0, 4.0, 90.0], [1.0, 2.0, 3.0])
        2.0
    """
    return statistics.median(a / b for a, b in zip(over, under, strict=True))
