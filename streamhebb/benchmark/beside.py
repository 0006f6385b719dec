"""What several sides take beside one of them, the base: measured in turns, told and drawn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.benchmark.schedule.turns import Side, take_turns
from streamhebb.net import StreamNet

BLOCKS = ", in blocks"
"""After a way: by ``net.learn``, with layers in threads if there are several; on a card a block is
one recorded graph."""
TOGETHER = 32
"""Steps of a block on a card. On the CPU as many as a turn has, if that is less."""


@dataclass(frozen=True)
class Took:
    """What one side took.

    Args:
        us: microseconds, median over rounds.
        times: as fast as the base, median over rounds.
        lowest: the same in the worst round.
        highest: the same in the best round.
    """

    us: float
    times: float
    lowest: float
    highest: float

    @property
    def spread(self) -> str:
        """Worst and best round."""
        return f"{self.lowest:.2f}, {self.highest:.2f}"


def turn(
    step: Callable[[Tensor], object],
    batches: Sequence[Tensor],
    steps: int,
    backend: str = "torch",
) -> float:
    """A turn of a step: seconds that one takes.

    Args:
        step: from a batch.
        batches: that it gets, one after the other, again and again.
        steps: how many are timed; one more comes before, as another side left the caches.
        backend: of the library's kernels.
    """
    device = batches[0].device.type
    with kernels.use(backend):
        step(batches[-1])
        wait(device)
        start = perf_counter()
        for number in range(steps):
            step(batches[number % len(batches)])
        wait(device)
        return (perf_counter() - start) / steps


def in_blocks(net: StreamNet, batches: Sequence[Tensor], steps: int, backend: str) -> float:
    """A turn in blocks: seconds that a step takes.

    Some come before, which do not count: on a card the first turn records with them.

    Args:
        net: with its scheduler.
        batches: that it gets, one after the other, again and again.
        steps: how many are timed, rounded up to whole blocks.
        backend: of the library's kernels.
    """
    device, size = batches[0].device.type, len(batches[0])
    block = TOGETHER if device == "cuda" else min(TOGETHER, steps)
    count = -(-steps // block) * block
    xs = torch.cat([batches[number % len(batches)] for number in range(max(count, 2 * block))])
    with kernels.use(backend):
        before = 2 * block if device == "cuda" else 1
        net.learn(xs[: before * size], batch_size=size, block=block)
        wait(device)
        start = perf_counter()
        net.learn(xs[: count * size], batch_size=size, block=block)
        wait(device)
        return (perf_counter() - start) / count


def wait(device: str) -> None:
    """Until a card has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def measure(sides: Mapping[str, Side], rounds: Iterable[int]) -> dict[str, list[float]]:
    """Let sides take turns, after one turn of each that does not count; seconds of each turn."""
    for side in sides.values():
        side()
    return take_turns(sides, rounds)


def took(seconds: Sequence[float], base: Sequence[float]) -> Took:
    """What a side took, in seconds, beside what the base took in the same rounds.

    Example:
        >>> took([1e-6, 1e-6, 2e-6], [3e-6, 4e-6, 4e-6])
        Took(us=1.0, times=3.0, lowest=2.0, highest=4.0)
    """
    times = [a / b for a, b in zip(base, seconds, strict=True)]
    us = 1e6 * statistics.median(seconds)
    return Took(us, statistics.median(times), min(times), max(times))


def group(name: str, threads: int) -> str:
    """Name of a group of bars: what was done, and by how many threads."""
    return f"{name}\n{threads} thread{'s' if threads > 1 else ''}"


def draw(title: str, note: str, bars: Mapping[str, Mapping[str, Took]], path: Path) -> Path:
    """Draw how many times as fast as the base each side was, as a PNG file.

    Args:
        title: of the picture.
        note: how to read it.
        bars: side -> group of bars -> what it took.
        path: of the file.

    Raises:
        ConfigError: if the folder or disk refuses.
    """
    # Matplotlib is slow to import.
    from streamhebb.pictures.style import BLUE, INK, MUTED, ORANGE, new_figure, save, tidy

    colours = (ORANGE, BLUE, INK, "#e8b27a", "#8fb7d9", MUTED)
    figure = new_figure(7.2, 3.8, title, note)
    axes = figure.add_subplot()
    groups = list(dict.fromkeys(name for side in bars.values() for name in side))
    width = 0.8 / max(1, len(bars))
    for place, (name, side) in enumerate(bars.items()):
        offset = width * (place - (len(bars) - 1) / 2)
        at = [groups.index(own) + offset for own in side]
        heights = [each.times for each in side.values()]
        low = [each.times - each.lowest for each in side.values()]
        high = [each.highest - each.times for each in side.values()]
        again, number = divmod(place, len(colours))  # hatched, once all colours are taken
        drawn = axes.bar(at, heights, 0.9 * width, color=colours[number], linewidth=0, label=name)
        for bar in drawn:
            bar.set(hatch="///" * again, edgecolor="white")
        axes.errorbar(at, heights, [low, high], fmt="none", ecolor=MUTED, elinewidth=1, capsize=3)
    axes.axhline(1, color=MUTED, linewidth=0.8)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylabel("times as fast")
    tidy(axes)
    highest = max((each.highest for side in bars.values() for each in side.values()), default=1.0)
    axes.set_ylim(top=1.3 * highest)  # room for the names
    axes.legend(frameon=False, fontsize=8, loc="upper left", ncols=3)
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(figure, path)
