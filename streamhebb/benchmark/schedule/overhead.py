"""What a scheduler costs: tasks that do nothing, and a net of layers that do nothing."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from streamhebb.benchmark.schedule.turns import Side, seconds, take_turns, threads
from streamhebb.frames import Frame as Values
from streamhebb.frames import Mode
from streamhebb.layers import Layer
from streamhebb.net import StreamNet
from streamhebb.schedule import (
    Frame,
    Pending,
    Plan,
    Scheduler,
    Serial,
    Task,
    Threads,
    Trace,
    make_plan,
)

STAGES = 4
"""Lanes of the plan; two tasks each."""


@dataclass(frozen=True)
class Overhead:
    """What a task cost that does nothing.

    Args:
        what: ``"plan"`` of empty tasks, or ``"net"`` of empty layers.
        way: how it ran.
        in_flight: frames at once; 1 where there is no more than the caller.
        traced: whether every task was noted.
        us: microseconds a task, median over rounds: of a plan, all there is divided by its tasks;
            of a net, what each further task adds.
        added: microseconds a task more than the same tasks take in a bare loop, median of rounds.
        per_frame: microseconds that a frame costs whatever the number of its tasks; 0 for a plan,
            where it is part of ``us``.
    """

    what: str
    way: str
    in_flight: int
    traced: bool
    us: float
    added: float
    per_frame: float = 0.0


def _nothing(_frame: Frame) -> None:
    return None


def empty_plan(stages: int = STAGES) -> Plan:
    """As a net would make it: respond after the stage before, learn after the own response."""
    tasks: list[Task] = []
    for lane in range(stages):
        after = (2 * lane - 2,) if lane else ()
        tasks.append(Task(f"respond {lane}", lane, after, _nothing))
        tasks.append(Task(f"learn {lane}", lane, (2 * lane,), _nothing))
    return make_plan(tasks)


class Nothing(Layer):
    """Learns, as far as a net can tell; does nothing."""

    learns = True
    plastic = True
    sample_ndim = 1

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(()))  # tells the net where it is, as any does

    def respond(self, x: Tensor) -> Tensor:
        """Return the input."""
        return x

    def observe(self, x: Tensor) -> tuple[Tensor, Any]:
        """Return the input."""
        return x, None

    def learn(self, seen: Any, modulator: float | Tensor = 1.0) -> None:
        """Do nothing."""


def _through(scheduler: Scheduler, plan: Plan, frames: int, in_flight: int) -> float:
    """Seconds for so many frames, never more than ``in_flight`` of them under way."""
    trace: Trace | None = getattr(scheduler, "trace", None)
    if trace is not None:
        trace.events.clear()
    under_way: deque[Pending] = deque()
    start = perf_counter()
    for frame in range(frames):
        if len(under_way) == in_flight:
            under_way.popleft().wait()
        under_way.append(scheduler.submit(plan, frame))
    scheduler.join()
    return perf_counter() - start


def _bare(plan: Plan, frames: int) -> None:
    for frame in range(frames):
        for task in plan:
            task.run(frame)


def of_plans(
    rounds: int = 9, frames: int = 1000, depths: Sequence[int] = (16, 64)
) -> list[Overhead]:
    """Measure empty tasks through each scheduler, with tracing and without.

    Args:
        rounds: turns each side takes.
        frames: of a turn.
        depths: frames in flight.
    """
    plan = empty_plan()
    sides: dict[str, Side] = {"": lambda: seconds(lambda: _bare(plan, frames))}
    rows: list[tuple[str, int, bool]] = [("bare loop", 1, False)]
    with ExitStack() as ends, threads(1):
        for traced in (False, True):
            for depth in depths:
                for make in (Serial, lambda **k: Threads(1, **k), lambda **k: Threads(2, **k)):
                    made: Any = make(trace=Trace() if traced else None)
                    scheduler = ends.enter_context(closing(made))
                    if isinstance(made, Serial):
                        if depth != depths[0]:
                            continue  # nothing is ever in flight
                        row = ("Serial", 1, traced)
                    else:
                        row = (repr(made), depth, traced)
                    rows.append(row)
                    sides[str(row)] = _side(scheduler, plan, frames, depth)
        for side in sides.values():
            side()  # threads start, plans are looked at
        took = take_turns(sides, range(rounds))
    tasks = frames * len(plan)
    us = [[1e6 * each / tasks for each in times] for times in took.values()]
    return [
        Overhead("plan", *row, statistics.median(cost), _more(cost, us[0]))
        for row, cost in zip(rows, us, strict=True)
    ]


def _more(cost: Sequence[float], base: Sequence[float]) -> float:
    return statistics.median(a - b for a, b in zip(cost, base, strict=True))


def _side(scheduler: Scheduler, plan: Plan, frames: int, depth: int) -> Side:
    return lambda: _through(scheduler, plan, frames, depth)


def of_nets(rounds: int = 9, samples: int = 300, layers: Sequence[int] = (2, 10)) -> list[Overhead]:
    """Measure nets of empty layers through ``net.run``; the longer net tells a task's cost.

    Beside it stand the layers alone, and the net's tasks without a scheduler (a bare loop).

    Args:
        rounds: turns each side takes.
        samples: of a turn.
        layers: of the short and of the long net. Both have as many samples in flight.
    """
    short, long = layers
    depth = long + 2
    xs = list(torch.rand(samples, 4))
    ways: dict[str, Callable[[], Scheduler]] = {
        "Serial": Serial,
        "Threads(1)": lambda: Threads(1),
        "Threads(2)": lambda: Threads(2),
    }
    sides: dict[str, Side] = {}
    with ExitStack() as ends, threads(1):
        for count in layers:
            nothing = [Nothing() for _ in range(count)]
            sides[f"bare layers {count}"] = _loop(nothing, xs)
            sides[f"bare loop {count}"] = _tasks(StreamNet(*nothing), xs)
            for way, make in ways.items():
                net = StreamNet(*(Nothing() for _ in range(count)), scheduler=make())
                sides[f"{way} {count}"] = _run(ends.enter_context(net), xs, depth)
        for side in sides.values():
            side()
        took = take_turns(sides, range(rounds))
    each = {}
    for way in ("bare layers", "bare loop", *ways):
        pairs = zip(took[f"{way} {short}"], took[f"{way} {long}"], strict=True)
        each[way] = [1e6 * (b - a) / samples / (2 * (long - short)) for a, b in pairs]
    found = []
    for way, costs in each.items():
        us, added = statistics.median(costs), _more(costs, each["bare loop"])
        first = 1e6 * statistics.median(took[f"{way} {short}"]) / samples - 2 * short * us
        in_flight = depth if "Threads" in way else 1
        found.append(Overhead("net", way, in_flight, False, us, added, first))
    return found


def _loop(layers: Sequence[Layer], xs: Sequence[Tensor]) -> Side:
    def work() -> None:
        for x in xs:
            out = x[None]
            for layer in layers:
                out, seen = layer.observe(out)
                layer.learn(seen)

    return lambda: seconds(work)


def _tasks(net: StreamNet, xs: Sequence[Tensor]) -> Side:
    plan, count = net.planner.step(Mode.LEARN).plan, len(net.layers)

    def work() -> None:
        for x in xs:
            frame = Values(x[None], count, (), [1.0] * count)
            for task in plan:
                task.run(frame)

    return lambda: seconds(work)


def _run(net: StreamNet, xs: Sequence[Tensor], depth: int) -> Side:
    def work() -> None:
        with net.run(xs, depth=depth) as results:
            for _ in results:
                pass

    return lambda: seconds(work)
