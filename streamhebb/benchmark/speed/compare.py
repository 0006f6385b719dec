"""The library's step beside the plain one, taking turns in one process, and beside its floor.

The floor is what the products of a step take at the speed that this machine multiplies large
matrices with, measured in the same rounds: a direct step multiplies once to respond and once to
learn. Winograd's products are fewer, so that a step may be below the floor of a direct one.
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

from streamhebb import kernels
from streamhebb.benchmark import beside, peaks
from streamhebb.benchmark.beside import BLOCKS, Took, in_blocks, turn, wait
from streamhebb.benchmark.schedule.speed import natural_like, published
from streamhebb.benchmark.schedule.turns import Side, in_flight, ratio, threads
from streamhebb.benchmark.speed.plain import plain
from streamhebb.benchmark.tuned import malloc
from streamhebb.layers import Conv2d
from streamhebb.net import StreamNet
from streamhebb.schedule import CudaGraphs, Threads
from streamhebb.values import Shape

SHAPE = (3, 32, 32)
WAYS: tuple[str, ...] = ("direct", "winograd2", "winograd4", "direct, numba", "winograd4, numba")
MORE_WAYS: tuple[str, ...] = ("winograd2, numba",)
"""Measured if asked for."""
ON_CARD: tuple[str, ...] = (
    "direct",
    "winograd2",
    "winograd4",
    "direct, triton",
    "direct, triton, bfloat16",
)
COARSE = "bfloat16"
COARSE_WAYS = tuple(
    f"{way}, {COARSE}" for way in ("direct", "winograd2", "direct, numba", "winograd2, numba")
)
"""Worth measuring where the processor has instructions for them."""
CHOSEN = "chosen"
"""As a method: for each layer whatever ``net.choose_kernels`` finds fastest."""
CHOSEN_WAYS = tuple(
    f"{CHOSEN}, {rest}" for rest in ("numba", f"numba, {COARSE}", "triton", f"triton, {COARSE}")
)
LOOKS = ", only responds"
LANES = ", layers in threads"


@dataclass(frozen=True)
class Speed:
    """One way to make a step.

    Args:
        way: how.
        batch: samples a step.
        threads: of torch.
        malloc: ``"default"`` or ``"tuned"``.
        learns: whether it learns; else it only responds.
        ms: milliseconds a step, median over rounds.
        times: as fast as the plain step, median over rounds.
        lowest: the same in the worst round.
        highest: the same in the best round.
        floor: milliseconds that the products of a direct step take at the machine's peak.
        of_floor: floor / time, median over rounds.
        peak: billions of additions and multiplications a second that large matrices are multiplied
            with, in float32, median over rounds.
    """

    way: str
    batch: int
    threads: int
    malloc: str
    learns: bool
    ms: float
    times: float
    lowest: float
    highest: float
    floor: float
    of_floor: float
    peak: float

    @property
    def us_a_sample(self) -> float:
        """Microseconds of a step, for each of its samples."""
        return 1000 * self.ms / self.batch


def multiplications(net: StreamNet, shape: Shape = SHAPE) -> int:
    """Multiplications that one sample costs in the products of all layers, to respond."""
    count = 0
    for layer in net.layers:
        after = layer.shape(shape)  # type: ignore[operator]
        if isinstance(layer, Conv2d):
            count += layer.weight.numel() * after[1] * after[2]
        shape = after
    return count


def in_this_way(net: StreamNet, way: str, x: Tensor) -> StreamNet:
    """Return a copy whose layers make their products in one of the ways above.

    Args:
        net: is copied.
        way: a method, its backend unless that is torch, and ``bfloat16`` or nothing.
        x: a batch like those to come; by it kernels are chosen, if the method is to choose.
    """
    method = way.partition(", ")[0]
    copied = with_method(net, method)
    precision = COARSE if way.endswith(COARSE) else "full"
    if method == CHOSEN:
        with kernels.use(backend_of(way)):
            copied.choose_kernels(x, precision)
    for layer in copied.layers:
        if isinstance(layer, Conv2d):
            layer.precision = precision
    return copied


def backend_of(way: str) -> str:
    """The backend that a way names; torch if it names none."""
    return next((word for word in way.split(", ")[1:] if word != COARSE), "torch")


def with_method(net: StreamNet, method: str) -> StreamNet:
    """Return a copy whose layers make their products so, where they can."""
    copied = copy.deepcopy(net)
    for layer in copied.layers:
        if isinstance(layer, Conv2d) and method in layer.synapse.methods:
            layer.method = method
    return copied


def compare(
    batch: int,
    count: int,
    *,
    ways: Sequence[str] = WAYS,
    rounds: int = 9,
    seconds: float = 0.5,
    make: Callable[[], StreamNet] = published,
    shape: Shape = SHAPE,
    device: str = "cpu",
) -> list[Speed]:
    """Measure all ways; the plain step is the base.

    Args:
        batch: samples a step.
        count: threads of torch.
        ways: methods of the library's convolutions, each with its backend unless that is torch.
            With more than one thread each is also measured with layers in threads of their own,
            on the CPU; on a card each is also measured in blocks. Those that end in ``in blocks``
            are measured so only.
        rounds: turns each side takes.
        seconds: that a turn of the plain step takes, about.
        make: builds the net.
        shape: of one sample.
        device: ``"cpu"`` or ``"cuda"``.
    """
    net = make().to(device)
    base = plain(list(net.layers))  # type: ignore[arg-type]
    batches = torch.split(natural_like(8 * batch, shape).to(device), batch)
    with ExitStack() as ends, threads(count):
        nets = {way: in_this_way(net, way.removesuffix(BLOCKS), batches[0]) for way in ways}
        start = perf_counter()
        base.step(batches[0])
        base.step(batches[1])
        wait(device)
        steps = max(2, round(2 * seconds / (perf_counter() - start)))
        sides: dict[str, Side] = {
            "product": peaks.product(device=device),
            "plain": partial(turn, base.step, batches, steps),
        }
        for way, each in nets.items():
            backend = backend_of(way.removesuffix(BLOCKS))
            if device == "cuda" or way.endswith(BLOCKS):
                whole = copy.deepcopy(each)
                if device == "cuda":
                    graphs = CudaGraphs(per="wavefront", slots=1, warm_up=1)
                    whole.scheduler = ends.enter_context(closing(graphs))
                elif count > 1:
                    whole.scheduler = ends.enter_context(closing(Threads(count)))
                name = way.removesuffix(BLOCKS) + BLOCKS
                sides[name] = partial(in_blocks, whole, batches, max(steps, 8), backend)
            if way.endswith(BLOCKS):
                continue
            sides[way] = partial(turn, each.step, batches, steps, backend)
            sides[way + LOOKS] = partial(turn, each.respond, batches, steps, backend)
            if count > 1 and device == "cpu":
                lanes = copy.deepcopy(each)
                lanes.scheduler = ends.enter_context(closing(Threads(count)))
                sides[way + LANES] = partial(_in_flight, lanes, batches, max(steps, 8), backend)
        taken = beside.measure(sides, range(rounds))
    each_sample = multiplications(net, shape) * batch
    peak = taken.pop("product")
    found = []
    for way, times in taken.items():
        learns = not way.endswith(LOOKS)
        floors = [each * each_sample * (2 if learns else 1) for each in peak]
        took = beside.took(times, taken["plain"])
        found.append(
            Speed(
                way.removesuffix(LOOKS),
                batch,
                count,
                malloc(),
                learns,
                took.us / 1000,
                took.times,
                took.lowest,
                took.highest,
                1000 * statistics.median(floors),
                ratio(floors, times),
                2e-9 / statistics.median(peak),
            )
        )
    return found


def _in_flight(net: StreamNet, batches: Sequence[Tensor], steps: int, backend: str) -> float:
    """Seconds a step with several in flight."""
    block = [batches[number % len(batches)] for number in range(steps + 1)]
    with kernels.use(backend):
        return in_flight(net, block, None) / steps


def draw(found: Sequence[Speed], path: Path) -> Path:
    """Draw how many times as fast as the plain step each way was, as a PNG file.

    Raises:
        ConfigError: if the folder or disk refuses.
    """
    note = "Median over rounds, with the worst and best one. The line is the published step."
    bars: dict[str, dict[str, Took]] = {}
    for row in found:
        if row.learns and row.way != "plain":
            took = Took(1000 * row.ms, row.times, row.lowest, row.highest)
            group = beside.group(f"batch {row.batch}", row.threads)
            bars.setdefault(row.way, {})[group] = took
    return beside.draw("Learning steps against the published one", note, bars, path)
