"""A step of the linear probe, beside the same step written with torch's modules and autograd.

Both gather 64 rows of features, leave out half of them, and make a step of Adam. The plain side
draws its dropout from torch's generator, number by number.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from streamhebb import kernels
from streamhebb.benchmark.schedule.turns import Side, ratio, take_turns, threads
from streamhebb.chance import Dropout
from streamhebb.evaluate.probing import Probe
from streamhebb.schedule import Threads

CLASSES = 10
Batches: TypeAlias = tuple[Tensor, ...]


@dataclass(frozen=True)
class ProbeStep:
    """One way to make a step, or a part of it.

    Args:
        way: how.
        ms: milliseconds, median over rounds.
        times: as fast as the plain way, median over rounds.
        lowest: the same in the worst round.
        highest: the same in the best round.
    """

    way: str
    ms: float
    times: float
    lowest: float
    highest: float


class PlainProbe:
    """The step as it is usually written.

    Args:
        x: features.
        y: classes by number.
        dropout: share left out.
    """

    def __init__(self, x: Tensor, y: Tensor, dropout: float) -> None:
        self.x, self.y, self.share = x, y, dropout
        self.layer = torch.nn.Linear(x.shape[1], CLASSES)
        self.adam = torch.optim.Adam(self.layer.parameters())
        self.chance = torch.Generator().manual_seed(0)

    @torch.enable_grad()  # type: ignore[untyped-decorator, unused-ignore]
    def run(self, batches: Batches) -> None:
        """Learn from mini-batches, given by their rows."""
        for rows in batches:
            x = self.x[rows]
            kept = torch.empty_like(x).bernoulli_(1 - self.share, generator=self.chance)
            scores = self.layer(x * kept.div_(1 - self.share))
            loss = F.cross_entropy(scores, self.y[rows])
            self.adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
            self.adam.step()

    def draw(self, batches: Batches) -> None:
        """Only draw who is left out."""
        kept = self.x.new_empty(len(batches[0]), self.x.shape[1])
        for _ in batches:
            kept.bernoulli_(1 - self.share, generator=self.chance)


def compare(
    *,
    features: int = 24_576,
    batch: int = 64,
    samples: int = 4096,
    dropout: float = 0.5,
    count: int = 1,
    rounds: int = 15,
    steps: int = 5,
) -> list[ProbeStep]:
    """Measure all ways; they take turns.

    Args:
        features: of a sample; 24,576 are those of the published CIFAR-10 net.
        batch: samples a step.
        samples: that steps draw their rows from.
        dropout: share of the features left out.
        count: threads. The plain side's operators are spread over them; of ours, one gathers the
            next mini-batch while another learns from this one.
        rounds: turns each way takes.
        steps: of a turn.
    """
    chance = torch.Generator().manual_seed(0)
    x = torch.rand(samples, features, generator=chance)
    y = torch.randint(CLASSES, (samples,), generator=chance)
    rows = torch.split(torch.randperm(samples, generator=chance), batch)
    plain = PlainProbe(x, y, dropout)
    base, drop = torch.rand(batch, features, generator=chance), Dropout(dropout)
    kinds = {"float32": x, "half precision": x.half()}
    sides: dict[str, Side] = {"plain": partial(_turn, plain.run, rows, steps, "torch")}
    parts: dict[str, Side] = {"plain, dropout alone": partial(_turn, plain.draw, rows, steps)}
    with ExitStack() as ends, threads(count):
        lanes = ends.enter_context(closing(Threads(count))) if count > 1 else None
        for backend in ("torch", "numba"):
            for kind, values in kinds.items():
                small = values[:1], y[:1]
                probe = Probe(values, y, *small, CLASSES, dropout, batch, 1e-3, 0, lanes)
                sides[f"{backend}, {kind}"] = partial(_turn, probe.run, rows, steps, backend)
            alone = partial(_turn, partial(_dropped, drop, base), rows, steps, backend)
            parts[f"{backend}, dropout alone"] = alone
        for side in (sides | parts).values():
            side()
        took = take_turns(sides | parts, range(rounds))
    return [
        ProbeStep(
            way,
            1000 * statistics.median(times),
            ratio(than, times),
            min(a / b for a, b in zip(than, times, strict=True)),
            max(a / b for a, b in zip(than, times, strict=True)),
        )
        for way, times in took.items()
        for than in [took["plain, dropout alone" if way in parts else "plain"]]
    ]


def _dropped(drop: Dropout, x: Tensor, batches: Batches) -> None:
    for number, _ in enumerate(batches):
        drop.drop(x, number)


def _turn(
    run: Callable[[Batches], object], batches: Batches, steps: int, backend: str = "torch"
) -> float:
    """Seconds a step."""
    with kernels.use(backend):
        run(batches[-1:])  # not timed: caches hold what another side left there
        some = tuple(batches[number % len(batches)] for number in range(steps))
        start = perf_counter()
        run(some)
        return (perf_counter() - start) / steps
