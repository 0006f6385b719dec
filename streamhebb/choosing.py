"""Which scheduler is fastest for a net, here and now: a short measurement decides."""

from __future__ import annotations

import copy
import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch

from streamhebb.flow import Flow
from streamhebb.schedule import CudaGraphs, CudaLanes, Scheduler, Serial, Threads
from streamhebb.values import Sample

QUICK = 1e-3
"""Seconds a sample takes one by one below which nothing is worth handing to another thread."""
BETTER = 0.9
"""Share of the time of one by one that another way must stay below to be chosen."""
ROUND = 0.15
"""Seconds that each way gets in a round."""
ROUNDS = 3


@dataclass(frozen=True)
class Choice:
    """A scheduler, and why this one.

    Args:
        scheduler: fresh, not used yet.
        why: in words, with the figures.
        seconds: what each way took for a sample, median of the rounds.
    """

    scheduler: Scheduler
    why: str
    seconds: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.scheduler!r}: {self.why}"


def choose(net: Any, x: Any, target: Any = None) -> Choice:
    """Measure on copies of a net which scheduler is fastest with several samples in flight.

    The net itself learns nothing. All ways give the same weights, so a choice that another
    process on the machine has swayed costs time only. Ways are those the net's device offers:
    one by one, with as many threads of torch as are set; lanes on all processors; on a GPU
    streams, and recorded graphs.

    Args:
        net: a [`StreamNet`][streamhebb.net.StreamNet].
        x: a sample or micro-batch of the kind to come.
        target: its label or labels.

    Example:
        >>> from streamhebb import Dense, StreamNet
        >>> choose(StreamNet(Dense(4, 8), seed=0), torch.rand(4)).scheduler
        Serial()
    """
    ways = _ways(net)
    sample = Sample(x, target)
    first = _trial(net, Serial(), sample)
    usual = min(first(2) for _ in range(3))
    if len(ways) == 1:
        return Choice(Serial(), "this process may use one processor only", {"Serial()": usual})
    if usual < QUICK and net.place[0].type == "cpu":
        why = f"a sample takes {1000 * usual:.2f} ms, too little to share"
        return Choice(Serial(), why, {"Serial()": usual})
    times: dict[str, list[float]] = {}
    trials = {name: _trial(net, make(), sample) for name, make in ways.items()}
    count = max(4, min(200, round(ROUND / usual)))
    try:
        for _ in range(ROUNDS):
            for name, trial in trials.items():
                times.setdefault(name, []).append(trial(count))
    finally:
        for trial in trials.values():
            trial.close()
    seconds = {name: statistics.median(found) for name, found in times.items()}
    one = seconds["Serial()"]
    best = min(seconds, key=seconds.__getitem__)
    if seconds[best] > BETTER * one:
        best = "Serial()"
    listed = ", ".join(f"{name} {1000 * value:.2f} ms" for name, value in seconds.items())
    why = f"a sample takes {listed}, with {torch.get_num_threads()} of torch's own threads"
    return Choice(ways[best](), why, seconds)


def _ways(net: Any) -> dict[str, Callable[[], Scheduler]]:
    ways: dict[str, Callable[[], Scheduler]] = {"Serial()": Serial}
    if net.place[0].type == "cuda":
        index = net.place[0].index or 0
        ways |= {
            "CudaLanes()": lambda: CudaLanes(device=index),
            "CudaGraphs()": lambda: CudaGraphs(device=index),
        }
        return ways
    processors = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    workers = min(processors, 2 + 2 * len(net.planner.stages))
    if processors > 1:
        ways[f"Threads({workers})"] = lambda: Threads(workers)
    return ways


class _trial:
    """A copy of a net that sees one sample again and again."""

    def __init__(self, net: Any, scheduler: Scheduler, sample: Sample) -> None:
        self.net = copy.deepcopy(net)
        self.net.scheduler = scheduler
        self.sample = sample
        self(1)  # memory and threads are there from now on

    def __call__(self, count: int) -> float:
        """Seconds a sample."""
        flow = Flow(self.net)
        start = perf_counter()
        for _ in range(count):
            flow.push(self.sample)
        flow.drain()
        return (perf_counter() - start) / count

    def close(self) -> None:
        self.net.scheduler.close()
