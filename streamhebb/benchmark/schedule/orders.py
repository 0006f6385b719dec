"""What it costs in accuracy that layers do not keep step, on MNIST and CIFAR-10.

Each order lets a fresh net learn one pass over the same samples, several in flight. How stale
weights really were depends on time and machine, so it is reported; and orders with a lag also run
with a scheduler that learns as late as they allow ([`Late`][streamhebb.benchmark.schedule.late]),
which is their worst case and the same on every machine of a kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from streamhebb.benchmark.schedule.late import Late
from streamhebb.benchmark.schedule.small import NETS, Data
from streamhebb.benchmark.schedule.turns import threads
from streamhebb.benchmark.sides import ridge
from streamhebb.evaluate import Prequential
from streamhebb.net import StreamNet
from streamhebb.order import Hogwild, InOrder, Multirate, Order, Stale
from streamhebb.schedule import Serial, Threads
from streamhebb.sources import Paced

PACE = 0.9
"""Of the speed in order: the pace at which a net is to find some time to be idle."""


@dataclass(frozen=True)
class Way:
    """How a net learns in this comparison.

    Args:
        name: for people.
        order: how strictly layers keep step.
        late: whether learning is held back as long as the order allows.
        learns: whether layers learn; the readout always does.
    """

    name: str
    order: Order
    late: bool = False
    learns: bool = True


WAYS = (
    Way("in order", InOrder()),
    Way("Stale(1)", Stale(1)),
    Way("Stale(4)", Stale(4)),
    Way("Hogwild(2)", Hogwild(2)),
    Way("Hogwild(4)", Hogwild(4)),
    Way("Multirate(2)", Multirate(2)),
    Way("Multirate(8)", Multirate(8)),
    Way("Multirate(8, when_idle)", Multirate(8, when_idle=True)),
    Way("Stale(1), at worst", Stale(1), late=True),
    Way("Stale(4), at worst", Stale(4), late=True),
    Way("Stale(32), at worst", Stale(32), late=True),
    Way("Hogwild(2), at worst", Hogwild(2), late=True),
    Way("Hogwild(4), at worst", Hogwild(4), late=True),
    Way("layers never learn", InOrder(), learns=False),
)


@dataclass(frozen=True)
class Cost:
    """One way on one seed; accuracies are shares between 0 and 1.

    Args:
        way: its name.
        data: that it learned from.
        seed: of weights and order of the samples.
        samples: of the stream.
        test: test images that the readout gets right, as the stream has left it.
        ridge: the same of ridge regression on the layers' output, fitted afterwards: what the
            layers are worth, whatever the readout has seen on the way.
        prequential: predictions of the stream that were right, each made before its label came.
        per_second: samples a second; of no interest where learning is held back.
        paced: samples a second that the source gave; ``None`` where it always waited.
        behind: how many samples the weights did not know that a stage responded with, on average.
        staleness: stage -> samples it did not know -> how often. Empty where there is none.
    """

    way: str
    data: str
    seed: int
    samples: int
    test: float
    ridge: float
    prequential: float
    per_second: float
    paced: float | None
    behind: float
    staleness: dict[str, dict[int, int]] = field(default_factory=dict)

    @property
    def most(self) -> int:
        """The most samples that the weights of a response did not know."""
        return max((n for behind in self.staleness.values() for n in behind), default=0)


def run(way: Way, data: Data, net: StreamNet, *, seed: int = 0, paced: float | None = None) -> Cost:
    """Let a net learn one pass, then test it.

    Args:
        way: how.
        data: that it learns from and is tested on.
        net: fresh; it learns.
        seed: for the record.
        paced: samples a second that come; ``None``: as fast as the net takes them.
    """
    order, score = way.order, Prequential()
    depth = (order.lag or 0) + len(net.planner.stages) + 2
    scheduler = Late() if way.late else Threads(max(2, order.writers))
    with threads(1), closing(scheduler):
        net.scheduler = scheduler
        start = perf_counter()
        source: Any = data.stream if paced is None else Paced(data.stream, paced)
        going = net.run(source, order=order, depth=depth, modulator=float(way.learns))
        with going as results:
            for result in results:
                score.update(
                    None if result.given is None else result.given.target, result.prediction
                )
        took = perf_counter() - start
        net.scheduler = Serial()
        test = net.score(data.test, data.wanted)
        features = _worth(net, data)
    staleness = {name: dict(sorted(seen.items())) for name, seen in going.report.staleness.items()}
    return Cost(
        way.name,
        data.name,
        seed,
        len(data.stream),
        test,
        features,
        score.accuracy,
        len(data.stream) / took,
        paced,
        _mean(staleness),
        staleness,
    )


def _worth(net: StreamNet, data: Data) -> float:
    own = net.features(torch.stack([torch.as_tensor(sample.x) for sample in data.stream]))
    held_out = net.features(data.test)
    size = own.square().mean().sqrt() + 1e-12
    labels = [sample.target for sample in data.stream]
    return ridge((own / size, labels), (held_out / size, data.wanted), each=0.01)


def _mean(staleness: dict[str, dict[int, int]]) -> float:
    total: Counter[int] = Counter()
    for behind in staleness.values():
        total.update(behind)
    return sum(n * count for n, count in total.items()) / max(1, total.total())


def compare(
    data: Data,
    seed: int,
    ways: Sequence[Way] = WAYS,
    make: Callable[[int], StreamNet] | None = None,
) -> Iterator[Cost]:
    """Run all ways on one seed, from the same weights and over the same samples.

    Args:
        data: that they learn from.
        seed: of the weights.
        ways: in order first; those that learn when idle are paced by its speed.
        make: builds the net; by default the one of this module.
    """
    make = NETS[data.name] if make is None else make
    speed: float | None = None
    for way in ways:
        idle = isinstance(way.order, Multirate) and way.order.when_idle
        pace = PACE * speed if idle and speed is not None else None
        found = run(way, data, make(seed), seed=seed, paced=pace)
        if speed is None:
            speed = found.per_second
        yield found


def draw(found: Sequence[Cost], path: Path) -> Path:
    """Draw the test accuracy of every way, a dot for each seed, as a PNG file.

    Raises:
        ConfigError: if the folder or disk refuses.
    """
    # Matplotlib is slow to import.
    from streamhebb.pictures.style import BLUE, MUTED, new_figure, save, tidy

    ways = list(dict.fromkeys(row.way for row in found))
    sets = list(dict.fromkeys(row.data for row in found))
    note = (
        "Test accuracy of ridge regression on the features, a dot for each seed.\n"
        f"The line is the mean of: {ways[0]}."
    )
    figure = new_figure(3.2 * len(sets) + 2, 1.4 + 0.28 * len(ways), "Layers out of step", note)
    grid = figure.subplots(1, len(sets), sharey=True, squeeze=False)
    for axes, name in zip(grid[0], sets, strict=True):
        rows = [row for row in found if row.data == name]
        places = [ways.index(row.way) for row in rows]
        base = [100 * row.ridge for row in rows if row.way == ways[0]]
        axes.axvline(sum(base) / len(base), color=MUTED, linewidth=0.8)
        axes.plot([100 * row.ridge for row in rows], places, ".", color=BLUE, markersize=6)
        axes.set_yticks(range(len(ways)), ways)
        axes.set_xlabel(f"{name}, %")
        tidy(axes, grid="x")
    grid[0][0].invert_yaxis()
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(figure, path)
