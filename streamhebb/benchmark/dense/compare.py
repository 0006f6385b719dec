"""The library's dense step beside plain torch calls, taking turns in one process, and its floor.

The floor is what a step cannot go below, measured in the same rounds: its weights are read once and
written once at the speed with which a matrix of that size is copied, or its products (one to
respond, one to learn) are made at the speed of large ones, whatever takes longer. Weights that fit
into a cache stay there from step to step, and so does the copy.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from streamhebb.benchmark import beside, peaks
from streamhebb.benchmark.beside import BLOCKS, Took, in_blocks, turn
from streamhebb.benchmark.dense.plain import Law, Step, in_place, plain
from streamhebb.benchmark.schedule.turns import Side, ratio, threads
from streamhebb.benchmark.tuned import malloc
from streamhebb.competition import SoftWTA
from streamhebb.layers import Dense
from streamhebb.net import StreamNet
from streamhebb.rates import NormRate
from streamhebb.scaling import LayerMax

N_IN, N_OUT = 784, 2000
LAW = Law()
PLAIN: dict[str, Callable[[Tensor, Law], Step]] = {"plain": plain, "plain, in place": in_place}
WAYS = ("torch", "numba")
LOOKS = ", only responds"
SAMPLES = 512
"""Different ones that a side sees; noise between 0 and 1."""


@dataclass(frozen=True)
class Peaks:
    """What the machine could do meanwhile, median over rounds.

    Args:
        batch: samples a step of the sides measured.
        threads: of torch.
        gflops: of products of large matrices, two for each multiplication.
        copied: gigabytes read or written a second, copying a matrix as large as the weights.
        weighed: gigabytes read a second, multiplying it with a vector.
    """

    batch: int
    threads: int
    gflops: float
    copied: float
    weighed: float

    def __str__(self) -> str:
        return (
            f"batch {self.batch}, threads {self.threads}: large products {self.gflops:.0f} "
            f"GFLOP/s; a matrix as large as the weights is copied at {self.copied:.0f} GB/s and "
            f"multiplied with a vector at {self.weighed:.0f} GB/s"
        )


@dataclass(frozen=True)
class DenseStep:
    """One side of the comparison.

    Args:
        way: how the step is made.
        batch: samples a step.
        threads: of torch.
        malloc: ``"default"`` or ``"tuned"``.
        learns: whether it learns; else it only responds.
        took: per step.
        floor: microseconds that it cannot go below, median over rounds.
        bound: by ``"memory"`` or by ``"products"``.
        of_floor: floor / time, median over rounds.
    """

    way: str
    batch: int
    threads: int
    malloc: str
    learns: bool
    took: Took
    floor: float
    bound: str
    of_floor: float


def make_net(n_in: int = N_IN, n_out: int = N_OUT) -> StreamNet:
    """One dense layer with the published parts."""
    layer = Dense(
        n_in,
        n_out,
        competition=SoftWTA(LAW.t, anti_hebbian=True),
        rate=NormRate(LAW.lr, LAW.power),
        scaling=LayerMax(),
    )
    return StreamNet(layer, seed=0)


def noise(batch: int, n_in: int = N_IN) -> tuple[Tensor, ...]:
    """Batches of noise between 0 and 1."""
    count = max(4, SAMPLES // batch)
    generator = torch.Generator().manual_seed(1)
    return torch.split(torch.rand(count * batch, n_in, generator=generator), batch)


def difference(batch: int = 1, steps: int = 20, n_in: int = N_IN, n_out: int = N_OUT) -> float:
    """Let all sides learn in float64; return the largest relative difference of their weights."""
    net = make_net(n_in, n_out).double()
    weights = [_weight(net).clone() for _ in PLAIN]
    sides = [make(weight, LAW) for make, weight in zip(PLAIN.values(), weights, strict=True)]
    for x in noise(batch, n_in)[:steps]:
        net.step(x.double())
        for step in sides:
            step(x.double())
    ours = _weight(net)
    apart = max(float((ours - weight).abs().max()) for weight in weights)
    return apart / float(ours.abs().max())


def compare(
    batch: int,
    count: int,
    *,
    ways: Sequence[str] = WAYS,
    rounds: int = 21,
    seconds: float = 0.1,
    n_in: int = N_IN,
    n_out: int = N_OUT,
) -> tuple[list[DenseStep], Peaks]:
    """Measure all sides; plain torch calls are the base.

    Args:
        batch: samples a step.
        count: threads of torch.
        ways: backends of the library.
        rounds: turns each side takes.
        seconds: that a turn of the plain step takes, about.
        n_in: inputs.
        n_out: neurons.
    """
    net = make_net(n_in, n_out)
    batches = noise(batch, n_in)
    with threads(count):
        steps: dict[str, tuple[Callable[[Tensor], object], str]] = {}
        for name, make in PLAIN.items():
            steps[name] = make(_weight(net).clone(), LAW), "torch"
        for way in ways:
            own = copy.deepcopy(net)
            steps[way] = own.step, way
            steps[way + LOOKS] = own.respond, way
        number = _steps(steps["plain"][0], batches, seconds)
        sides: dict[str, Side] = {
            "product": peaks.product(),
            "copy": peaks.copy(n_out, n_in),
            "weighing": peaks.weighing(n_out, n_in),
        }
        for name, (step, backend) in steps.items():
            sides[name] = partial(turn, step, batches, number, backend)
            if name in ways:
                own = copy.deepcopy(net)
                sides[name + BLOCKS] = partial(in_blocks, own, batches, number, backend)
        taken = beside.measure(sides, range(rounds))
    product, copied, weighed = (taken.pop(name) for name in ("product", "copy", "weighing"))
    found = []
    for name, times in taken.items():
        learns = not name.endswith(LOOKS)
        # A copy reads and writes. To respond, weights are only read.
        memory = copied if learns else [each / 2 for each in copied]
        made = [each * batch * n_in * n_out * (2 if learns else 1) for each in product]
        floors = [max(pair) for pair in zip(memory, made, strict=True)]
        bound = "memory" if statistics.median(memory) > statistics.median(made) else "products"
        found.append(
            DenseStep(
                name.removesuffix(LOOKS),
                batch,
                count,
                malloc(),
                learns,
                beside.took(times, taken["plain"]),
                1e6 * statistics.median(floors),
                bound,
                ratio(floors, times),
            )
        )
    gigabytes = 4e-9 * n_in * n_out
    return found, Peaks(
        batch,
        count,
        2e-9 / statistics.median(product),
        2 * gigabytes / statistics.median(copied),
        gigabytes / statistics.median(weighed),
    )


def _weight(net: StreamNet) -> Tensor:
    weight: Tensor = net.state_dict()["layers.0.weight"]
    return weight


def _steps(step: Callable[[Tensor], object], batches: Sequence[Tensor], seconds: float) -> int:
    """How many steps take so long, about."""
    step(batches[0])
    start = perf_counter()
    for x in batches[1:4]:
        step(x)
    return max(2, round(3 * seconds / (perf_counter() - start)))


def draw(found: Sequence[DenseStep], path: Path) -> Path:
    """Draw how many times as fast as plain calls each side learns, as a PNG file.

    Raises:
        ConfigError: if the folder or disk refuses.
    """
    bars: dict[str, dict[str, Took]] = {}
    for row in found:
        if row.learns and row.way != "plain":
            group = beside.group(f"batch {row.batch}", row.threads)
            bars.setdefault(row.way, {})[group] = row.took
    note = "Median over rounds, with the worst and best one. The line is plain torch calls."
    return beside.draw("Learning steps of a dense layer", note, bars, path)
