"""The published CIFAR-10 net on two cores: layers at the same time, against one thread.

Three copies of one net learn the same batches and take turns: one thread; one thread at a time
whose operators are spread over the cores by OpenMP; and layers in worker threads of their own. A
round may be done twice, on a quiet machine and beside other processes that keep cores busy.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from streamhebb import spec
from streamhebb.benchmark.schedule.busy import neighbours
from streamhebb.benchmark.schedule.turns import Side, in_flight, ratio, take_turns, threads
from streamhebb.net import StreamNet
from streamhebb.schedule import Threads
from streamhebb.values import Shape

SHAPE = (3, 32, 32)
DIFFERENT = 20
"""Batches that are different from each other; then they come again."""


@dataclass(frozen=True)
class Speed:
    """One way of running the net, in one situation.

    Args:
        way: how it ran.
        threads: that could work at the same time.
        batch: samples a step.
        busy: other processes that kept a core each busy.
        ms: milliseconds a step, median over rounds.
        times: as fast as the base, median over rounds; above 1 is faster.
        lowest: the same in its worst round.
        highest: the same in its best round.
        same_bits: whether its weights and all else it keeps are those of the base, to the bit.
    """

    way: str
    threads: int
    batch: int
    busy: int
    ms: float
    times: float
    lowest: float
    highest: float
    same_bits: bool


def published() -> StreamNet:
    """The net with 96, 384 and 1536 neurons, without its readout."""
    return spec.build("softhebb-cifar10", input_shape=SHAPE, seed=0, readout=False)


def natural_like(count: int, shape: Shape, seed: int = 0) -> Tensor:
    """Noise whose amplitude falls with 1/f as in photographs, ``(count, *shape)``, in [0, 1].

    Args:
        count: images.
        shape: of one, ``(channels, height, width)``.
        seed: of the noise.
    """
    height, width = shape[-2:]
    chance = torch.Generator().manual_seed(seed)
    waves = torch.fft.rfft2(torch.randn(count, *shape, generator=chance))
    along = torch.fft.fftfreq(height)[:, None].square() + torch.fft.rfftfreq(width).square()
    images = torch.fft.irfft2(waves / along.sqrt().clamp_min(1 / max(height, width)), s=shape[-2:])
    images = images + 2 * images.mean(1, keepdim=True)  # colours of a photograph go together
    flat = images.flatten(1)
    low, high = flat.amin(1), flat.amax(1)
    images = (flat - low[:, None]) / (high - low)[:, None]
    found: Tensor = images.view(count, *shape)
    return found


def _in_one_thread(net: StreamNet, count: int, block: Sequence[Tensor]) -> float:
    """Step by step, operators over ``count`` threads."""
    with threads(count):
        net.step(block[0])  # not timed: the cache holds what another side left there
        start = perf_counter()
        for x in block[1:]:
            net.step(x)
        return perf_counter() - start


def compare(
    batch: int,
    *,
    busy: int = 0,
    rounds: int = 9,
    steps: int = 12,
    depth: int | None = None,
    workers: int = 2,
    make: Callable[[], StreamNet] = published,
    shape: Shape = SHAPE,
) -> list[Speed]:
    """Measure all ways; the first is the base.

    Args:
        batch: samples a step.
        busy: other processes of a second measurement, whose rounds alternate with the quiet ones;
            0 measures without them only.
        rounds: turns each way takes in each situation.
        steps: timed steps of a turn.
        depth: steps in flight; ``None`` is the net's own default.
        workers: threads, of either kind.
        make: builds the net; always the same one.
        shape: of one sample.
    """
    net = make()
    with ExitStack() as ends:
        nets = {
            "Serial": net,
            f"Serial, OpenMP {workers}": copy.deepcopy(net),
            f"Threads({workers})": copy.deepcopy(net),
        }
        base, spread, lanes = nets
        nets[lanes].scheduler = ends.enter_context(closing(Threads(workers)))
        pool = torch.split(natural_like(DIFFERENT * batch, shape), batch)
        given = 0

        def turn(do: Callable[[Sequence[Tensor]], float]) -> Side:
            return lambda: do([pool[n % len(pool)] for n in range(given, given + steps + 1)])

        sides = {
            base: turn(partial(_in_one_thread, nets[base], 1)),
            spread: turn(partial(_in_one_thread, nets[spread], workers)),
            lanes: turn(lambda block: in_flight(nets[lanes], block, depth)),
        }
        situations = (0, busy) if busy else (0,)
        took: dict[int, dict[str, list[float]]] = {
            n: {name: [] for name in sides} for n in situations
        }
        for number in range(rounds):
            for others in situations:
                with neighbours(others):
                    for name, found in take_turns(sides, (number,)).items():
                        took[others][name] += found
                given += steps + 1
    same = {name: same_bits(net, other) for name, other in nets.items()}
    at_once = dict(zip(sides, (1, workers, workers), strict=True))
    rows = []
    for others, times in took.items():
        for name, mine in times.items():
            each = [a / b for a, b in zip(times[base], mine, strict=True)]
            rows.append(
                Speed(
                    name,
                    at_once[name],
                    batch,
                    others,
                    1000 * statistics.median(mine) / steps,
                    ratio(times[base], mine),
                    min(each),
                    max(each),
                    same[name],
                )
            )
    return rows


def same_bits(one: StreamNet, other: StreamNet) -> bool:
    """Whether all that two nets keep is equal, to the bit."""
    mine, theirs = one.state_dict(), other.state_dict()
    tensors = (name for name, value in mine.items() if isinstance(value, Tensor))
    return mine.keys() == theirs.keys() and all(torch.equal(mine[n], theirs[n]) for n in tensors)


def draw(found: Sequence[Speed], path: Path) -> Path:
    """Draw how many times as fast as the base each way was, as a PNG file.

    Raises:
        ConfigError: if the folder or disk refuses.
    """
    # Matplotlib is slow to import.
    from streamhebb.pictures.style import BLUE, MUTED, ORANGE, new_figure, save, tidy

    note = "Median over rounds, with the worst and best one. The line is one thread."
    figure = new_figure(6.4, 3.8, "Learning steps against one thread", note)
    axes = figure.add_subplot()
    ways = list(dict.fromkeys(row.way for row in found))[1:]
    groups = list(dict.fromkeys((row.batch, row.busy) for row in found))
    for place, (way, colour) in enumerate(zip(ways, (ORANGE, BLUE), strict=False)):
        rows = [row for row in found if row.way == way]
        at = [groups.index((row.batch, row.busy)) + 0.4 * (place - 0.5) for row in rows]
        heights = [row.times for row in rows]
        spread = [[r.times - r.lowest for r in rows], [r.highest - r.times for r in rows]]
        axes.bar(at, heights, 0.36, color=colour, label=way)
        axes.errorbar(at, heights, spread, fmt="none", ecolor=MUTED, elinewidth=1, capsize=3)
    axes.axhline(1, color=MUTED, linewidth=0.8)
    names = [f"batch {b}\n{f'{n} busy beside it' if n else 'alone'}" for b, n in groups]
    axes.set_xticks(range(len(groups)), names)
    axes.set_ylabel("times as fast as one thread")
    tidy(axes)
    axes.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(figure, path)
