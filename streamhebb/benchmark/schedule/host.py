"""What recorded steps cost the host: everything is done but what a card would do.

The device here does nothing. Streams, events and graphs are there and empty, and playing a graph
back learns nothing. What is left is the host's own work for a step: checks, keys, frames, events,
copies. Where it takes longer than the card takes for the step, the card waits.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import torch
from torch import Tensor

from streamhebb.benchmark.schedule.speed import SHAPE, natural_like, published
from streamhebb.benchmark.schedule.turns import Side, take_turns, threads
from streamhebb.net import StreamNet
from streamhebb.schedule import CudaGraphs
from streamhebb.values import Shape

DIFFERENT = 64
"""Steps that see other samples; then they come again."""


class Idle:
    """A device that does nothing, at once; its graphs are recorded by running the work on the CPU.

    Keeps the protocol of [`Device`][streamhebb.schedule.device.Device].
    """

    name = "idle"

    def __init__(self) -> None:
        self.played = 0

    def stream(self) -> object:
        """Return something."""
        return object()

    def current(self) -> object:
        """Return something."""
        return self

    @contextmanager
    def on(self, stream: object) -> Iterator[None]:
        """Change nothing."""
        yield

    def event(self, timing: bool = False) -> object:
        """Return something."""
        return object()

    def record(self, event: object, stream: object) -> None:
        """Do nothing."""

    def wait(self, stream: object, event: object) -> None:
        """Do nothing."""

    def query(self, event: object) -> bool:
        """Say that it has been reached."""
        return True

    def synchronize(self, event: object) -> None:
        """Return at once."""

    def seconds(self, start: object, end: object) -> float:
        """No time passes."""
        return 0.0

    def pool(self) -> object:
        """Return something."""
        return object()

    @contextmanager
    def capture(self, stream: object, pool: object) -> Iterator[object]:
        """Let the work run on the CPU, so that what it makes is there."""
        yield object()

    def replay(self, graph: object) -> None:
        """Count it."""
        self.played += 1

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return memory of the host."""
        return torch.empty(tuple(shape), dtype=dtype)

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return memory of the host."""
        return torch.empty(tuple(shape), dtype=dtype)

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Copy."""
        target.copy_(source)


@dataclass(frozen=True)
class Cost:
    """What a step cost the host.

    Args:
        way: how steps were handed over.
        together: how many of them at once.
        batch: samples a step.
        us: microseconds a step, median over rounds.
        lowest: the same in the best round.
        highest: the same in the worst round.
    """

    way: str
    together: int
    batch: int
    us: float
    lowest: float
    highest: float


def compare(
    batch: int = 1,
    *,
    together: int = 32,
    rounds: int = 9,
    turn: int = 8,
    make: Callable[[], StreamNet] = published,
    shape: Shape = SHAPE,
) -> list[Cost]:
    """Measure blocks, and frames one by one, through recorded graphs that do nothing.

    Args:
        batch: samples a step.
        together: steps of a block, and of a wavefront.
        rounds: turns each side takes.
        turn: blocks of a turn.
        make: builds the net.
        shape: of one sample.
    """
    steps = turn * together
    once = natural_like(min(steps, DIFFERENT) * batch, shape)
    again = -(-steps * batch // len(once))
    xs = once.repeat(again, *(1 for _ in shape))[: steps * batch]
    blocks, stream = _recorded(make(), 1), _recorded(make(), together)

    def in_blocks(xs: Tensor) -> None:
        blocks.learn(xs, batch_size=batch, block=together)

    def by_frames(xs: Tensor) -> None:
        with stream.run(xs.split(batch), depth=2 * together) as results:  # type: ignore[no-untyped-call, unused-ignore]
            for _ in results:
                pass

    ways = {"net.learn": in_blocks, "net.run": by_frames}
    sides = {name: _timed(partial(way, xs), steps) for name, way in ways.items()}
    with threads(1):
        for way in ways.values():  # to be recorded
            way(xs[: 2 * together * batch + batch])
        found = take_turns(sides, range(rounds))
    return [
        Cost(name, together, batch, statistics.median(took), min(took), max(took))
        for name, took in found.items()
    ]


def _recorded(net: StreamNet, slots: int) -> StreamNet:
    net.scheduler = CudaGraphs(per="wavefront", slots=slots, warm_up=1, device=Idle())
    return net


def _timed(work: Callable[[], object], steps: int) -> Side:
    def side() -> float:
        start = perf_counter()
        work()
        return 1e6 * (perf_counter() - start) / steps

    return side
