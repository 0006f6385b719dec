"""Samples that come faster than a net learns: what each policy makes of them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from streamhebb.benchmark.schedule.turns import threads
from streamhebb.net import StreamNet
from streamhebb.running import POLICIES
from streamhebb.schedule import Threads
from streamhebb.sources import Paced


@dataclass(frozen=True)
class Latency:
    """One policy; times in milliseconds from a sample's arrival to its answer.

    Args:
        policy: see [`Run`][streamhebb.running.Run].
        per_second: samples that the source gave a second, had it not had to wait.
        deadline: milliseconds, for the policy that has one.
        p50: the median.
        p99: what 99 of 100 did not exceed.
        max: the longest.
        results: samples that were predicted.
        learned: samples learned from.
        missed: samples lost or not learned from, by cause.
        seconds: that all took.
        late: seconds that the source was behind its own pace at the end. With ``"block"`` a
            sample arrives when it is fetched, so this is where its waiting shows.
    """

    policy: str
    per_second: float
    deadline: float | None
    p50: float
    p99: float
    max: float
    results: int
    learned: int
    missed: dict[str, int]
    seconds: float
    late: float


def learning_speed(net: StreamNet, samples: Iterable[Any], workers: int = 2) -> float:
    """Samples a second that a copy of a net learns from when the source always waits.

    Args:
        net: stays as it is.
        samples: as for ``net.run``; the net learns from all of them.
        workers: threads.
    """
    count = 0
    with threads(1), closing(Threads(workers)) as scheduler:
        copied = _copy(net, scheduler)
        start = perf_counter()
        with copied.run(samples) as results:
            for _ in results:
                count += 1
        return count / (perf_counter() - start)


def measure(
    net: StreamNet,
    samples: Sequence[Any],
    per_second: float,
    *,
    policies: Sequence[str] = POLICIES,
    deadline: float = 50.0,
    waiting: int | None = None,
    workers: int = 2,
) -> list[Latency]:
    """Let the same samples pass a copy of a net under each policy.

    Args:
        net: stays as it is.
        samples: all that come.
        per_second: their pace.
        policies: in this order.
        deadline: milliseconds, for ``"skip_learning"``.
        waiting: samples that may wait before the net; ``None`` is the policy's own default.
        workers: threads.
    """
    return [
        _one(net, samples, per_second, policy, deadline, waiting, workers) for policy in policies
    ]


def _one(
    net: StreamNet,
    samples: Sequence[Any],
    per_second: float,
    policy: str,
    deadline: float,
    waiting: int | None,
    workers: int,
) -> Latency:
    limit = deadline if policy == "skip_learning" else None
    with threads(1), closing(Threads(workers)) as scheduler:
        copied = _copy(net, scheduler)
        source = Paced(samples, per_second)
        start = perf_counter()
        run = copied.run(source, policy=policy, waiting=waiting, deadline=limit)
        with run as results:
            for _ in results:
                pass
        took = perf_counter() - start
    report = run.report
    times = report.latency
    return Latency(
        policy,
        per_second,
        limit,
        1000 * times.p50,
        1000 * times.p99,
        1000 * times.max,
        report.samples,
        report.learned,
        dict(report.missed),
        took,
        max(0.0, took - (len(samples) - 1) / per_second),
    )


def _copy(net: StreamNet, scheduler: Threads) -> StreamNet:
    copied = copy.deepcopy(net)
    copied.scheduler = scheduler
    return copied
