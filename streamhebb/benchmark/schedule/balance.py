"""Three layers that weigh the same, on two workers: how near to the bound they come.

No order of tasks is faster than the bound: a step takes at least what the largest layer takes, and
at least an equal share of all work for each worker. What the layers take is measured in the same
round, in one thread. Two threads share a memory, too: how fast nets are that have nothing to do
with each other, one in each thread, is measured beside it.
"""

from __future__ import annotations

import copy
import statistics
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from time import perf_counter

import torch
from torch import Tensor

from streamhebb import sharing
from streamhebb.benchmark.schedule.speed import same_bits
from streamhebb.benchmark.schedule.turns import Side, in_flight, ratio, take_turns, threads
from streamhebb.layers import Dense, L2Norm, Layer, Triangle
from streamhebb.net import StreamNet
from streamhebb.schedule import Frame, Pending, Plan, Scheduler, Serial, Task, Threads, Trace


@dataclass(frozen=True)
class Balance:
    """One width of layers, with or without help among workers.

    Args:
        width: neurons of each layer, and inputs.
        pieces: that the product of a layer is cut into.
        shared: whether idle workers take pieces of a layer that another works on.
        workers: that there are.
        layers: milliseconds of each layer in one thread.
        serial: milliseconds a step in one thread.
        bound: milliseconds a step takes at least.
        apart: milliseconds a step of as many nets as workers, that do not wait for each other.
        ms: milliseconds a step took.
        reached: bound / time, median over rounds; 1 is the bound.
        of_apart: the same of ``apart``.
        times: as fast as one thread, median over rounds.
        same_bits: whether the weights are those of one thread, to the bit.
    """

    width: int
    pieces: int
    shared: bool
    workers: int
    layers: tuple[float, ...]
    serial: float
    bound: float
    apart: float
    ms: float
    reached: float
    of_apart: float
    times: float
    same_bits: bool


class _Alone:
    """A crew of one."""

    def share(self, piece: object, count: int) -> None:
        """Do all pieces in this thread."""
        for number in range(count):
            piece(number)  # type: ignore[operator]


class WithoutHelp:
    """A scheduler whose workers do not help each other: a task is done by whoever took it."""

    def __init__(self, inner: Scheduler) -> None:
        self.inner = inner
        self.trace: Trace | None = None
        self._plans: dict[int, tuple[Plan, Plan]] = {}

    def submit(self, plan: Plan, frame: Frame) -> Pending:
        """Accept a frame."""
        known = self._plans.get(id(plan))
        if known is None or known[0] is not plan:
            known = self._plans[id(plan)] = (plan, tuple(map(_by_itself, plan)))
        return self.inner.submit(known[1], frame)

    def join(self) -> None:
        """Wait for all frames."""
        self.inner.join()

    def clear(self) -> None:
        """Forget an error."""
        self.inner.clear()

    def close(self) -> None:
        """End the threads."""
        self.inner.close()


def _by_itself(task: Task) -> Task:
    inner = task.run

    def run(frame: Frame) -> object:
        with sharing.crew(_Alone()):
            return inner(frame)

    return replace(task, run=run)


def make_net(width: int, layers: int = 3) -> StreamNet:
    """Layers of one size, each brought to unit length before the next."""
    built: list[Layer] = []
    for _ in range(layers):
        built += [Dense(width, width, rate=1e-3), Triangle(), L2Norm(1.0)]
    return StreamNet(*built, seed=0)


def compare(
    width: int,
    *,
    batch: int = 32,
    workers: int = 2,
    rounds: int = 9,
    steps: int = 40,
    depth: int | None = None,
) -> list[Balance]:
    """Measure one width: without help among workers, and with it.

    Args:
        width: neurons of each layer.
        batch: samples a step.
        workers: threads.
        rounds: turns each side takes.
        steps: timed steps of a turn.
        depth: steps in flight; ``None`` is the net's own default.
    """
    xs = list(torch.rand(steps + 1, batch, width, generator=torch.Generator().manual_seed(0)))
    net = make_net(width)
    plain, cut = copy.deepcopy(net), copy.deepcopy(net)
    trace = Trace()
    net.scheduler = Serial(trace)
    layers: list[tuple[float, ...]] = []
    with ExitStack() as ends, threads(1):
        for other, inner in ((plain, Threads(workers)), (cut, Threads(workers))):
            ends.enter_context(closing(inner))
            other.scheduler = inner if other is cut else WithoutHelp(inner)

        def serial() -> float:
            net.step(xs[0])
            trace.events.clear()
            start = perf_counter()
            for x in xs[1:]:
                net.step(x)
            end = perf_counter()
            spent = [0.0] * len(net.planner.stages)
            for event in trace.events:
                spent[event.lane] += event.end - event.start
            layers.append(tuple(spent))
            return end - start

        others = [copy.deepcopy(plain) for _ in range(workers)]
        for other in others:
            other.scheduler = Serial()
        sides: dict[str, Side] = {
            "serial": serial,
            "apart": lambda: _apart(others, xs),
            "plain": lambda: in_flight(plain, xs, depth),
            "cut": lambda: in_flight(cut, xs, depth),
        }
        took = take_turns(sides, range(rounds))
    bounds = [max(*each, sum(each) / workers) for each in layers]
    usual = tuple(1000 * statistics.median(each) / steps for each in zip(*layers, strict=True))
    pieces = len(sharing.cut(width, batch * width * width))

    def ms(times: Sequence[float]) -> float:
        return 1000 * statistics.median(times) / steps

    return [
        Balance(
            width,
            pieces,
            other is cut,
            workers,
            usual,
            ms(took["serial"]),
            ms(bounds),
            ms(took["apart"]),
            ms(took[name]),
            ratio(bounds, took[name]),
            ratio(took["apart"], took[name]),
            ratio(took["serial"], took[name]),
            same_bits(net, other),
        )
        for name, other in (("plain", plain), ("cut", cut))
    ]


def _apart(nets: Sequence[StreamNet], xs: Sequence[Tensor]) -> float:
    """Seconds for all but the first, shared out among nets with a thread each."""
    ready = threading.Barrier(len(nets) + 1)

    def learn(net: StreamNet) -> None:
        torch.set_num_threads(1)
        ready.wait()
        for x in xs[1:]:
            net.step(x)

    for net in nets:
        net.step(xs[0])  # here, where an error is seen, and nobody waits for a thread that is gone
    working = [threading.Thread(target=learn, args=(net,)) for net in nets]
    for thread in working:
        thread.start()
    ready.wait()
    start = perf_counter()
    for thread in working:
        thread.join()
    return (perf_counter() - start) / len(nets)
