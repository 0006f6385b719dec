"""What each readout earns and costs: the same features, one sample at a time, taking turns.

Every readout predicts a sample before it learns its label. Features are the pixels of MNIST, and
those of one small convolution that has looked at other training images, without labels, and then
stays as it is. Rates come from a coarse search by hand on a seed that is not reported; none of
them is tuned.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from streamhebb.benchmark.mnist import whole_set
from streamhebb.competition import SoftWTA
from streamhebb.errors import ConfigError
from streamhebb.init import Normal
from streamhebb.layers import Conv2d, Flatten, MaxPool2d, RunningNorm, Triangle
from streamhebb.net import StreamNet
from streamhebb.rates import NormRate
from streamhebb.readouts import (
    DeltaReadout,
    NCMReadout,
    PESReadout,
    Readout,
    RLSReadout,
    SLDAReadout,
    SoftmaxReadout,
)
from streamhebb.scaling import NeuronRMS
from streamhebb.sources import mnist

FEATURES = ("pixels", "net")


def choices(kind: str) -> dict[str, Readout]:
    """The readouts that are compared, by name; two rates depend on the size of the features."""
    plain, kappa = (3e-5, 0.01) if kind == "net" else (1e-3, 1.0)
    return {
        "Softmax, Adam": SoftmaxReadout(lr=1e-3),
        "Softmax, plain": SoftmaxReadout(lr=0.03, step="plain"),
        "Delta, normalised": DeltaReadout(lr=0.3),
        "Delta, plain": DeltaReadout(lr=plain, normalise=False),
        "PES": PESReadout(lr=kappa),
        "RLS": RLSReadout(ridge=100.0),
        "SLDA": SLDAReadout(),
        "SLDA, as published": SLDAReadout(shrinkage=1e-4, toward="identity"),
        "NCM": NCMReadout(),
        "NCM, cosine": NCMReadout(metric="cosine"),
    }


@dataclass(frozen=True)
class ReadoutResult:
    """One readout on one kind of features and one seed.

    Args:
        features: ``"pixels"``, ``"net"``, or noise at the start or later.
        n_in: how many.
        name: of the readout.
        seed: of the order of samples, and of the net.
        prequential: share of the samples predicted right before they were learned.
        last_fifth: the same over the last fifth of the stream.
        ms: milliseconds a sample, to predict and to learn.
    """

    features: str
    n_in: int
    name: str
    seed: int
    prequential: float
    last_fifth: float
    ms: float


def small_net(seed: int, samples: int) -> StreamNet:
    """One convolution of 16 neurons that has seen images without labels: 400 features."""
    net = StreamNet(
        RunningNorm(1),
        Conv2d(
            1,
            16,
            kernel_size=7,
            padding=3,
            competition=SoftWTA(t=4.0, anti_hebbian=True),
            rate=NormRate(0.01),
            scaling=NeuronRMS(),
            init=Normal(2.0),
        ),
        Triangle(),
        MaxPool2d(8, stride=5),
        Flatten(),
        input_shape=(1, 28, 28),
        seed=seed,
    )
    for sample in mnist("train", seed=1000 + seed, limit=samples):
        net.step(sample.x)
    return net


def features(kind: str, seed: int, samples: int, looked_at: int = 2000) -> tuple[Tensor, list[int]]:
    """Features ``(samples, n_in)`` in the order of the seed, and their labels.

    Args:
        kind: ``"pixels"`` or ``"net"``.
        seed: of the order, and of the net.
        samples: how many.
        looked_at: images that the net has seen before.

    Raises:
        ConfigError: for an unknown kind.
    """
    if kind not in FEATURES:
        raise ConfigError(f"features={kind!r} are not known; choose one of {', '.join(FEATURES)}")
    images, labels = whole_set(mnist("train"))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:samples]
    chosen = images[order]
    x = small_net(seed, looked_at).features(chosen) if kind == "net" else chosen.flatten(1)
    return x, [labels[i] for i in order.tolist()]


@torch.no_grad()
def race(
    readouts: dict[str, Readout], x: Tensor, labels: list[int], kind: str, seed: int
) -> list[ReadoutResult]:
    """Let readouts take turns: each sample goes to all of them before the next one comes.

    Args:
        readouts: by name; they go on from what they know.
        x: features, shape ``(samples, n_in)``.
        labels: one each.
        kind: of the features, for the result.
        seed: for the result.
    """
    each = list(readouts.values())
    for readout in each:
        if readout.n_in is None:
            readout.build(x.shape[1])
    right = torch.zeros(len(each), len(x), dtype=torch.bool)
    seconds = [0.0] * len(each)
    for number, label in enumerate(labels):
        row = x[number : number + 1]
        turn = number % len(each)  # who comes first finds the sample in no cache
        for which in (*range(turn, len(each)), *range(turn)):
            readout = each[which]
            start = time.perf_counter()
            scores, seen = readout.observe(row)
            readout.learn(seen, [label])
            seconds[which] += time.perf_counter() - start
            if scores.shape[1]:
                right[which, number] = readout.labels[int(scores.argmax())] == label
    last = len(x) - len(x) // 5
    return [
        ReadoutResult(
            kind,
            x.shape[1],
            name,
            seed,
            float(right[which].float().mean()),
            float(right[which, last:].float().mean()),
            1000 * seconds[which] / len(x),
        )
        for which, name in enumerate(readouts)
    ]


@torch.no_grad()
def cost(n_in: int, first: int = 50, before: int = 5000, later: int = 200) -> list[ReadoutResult]:
    """What a sample costs at a number of features: the first ones, and after many others.

    Features are noise; the many others come in micro-batches and are not timed.
    """
    chance = torch.Generator().manual_seed(0)
    readouts = choices("pixels")

    def draw(samples: int) -> tuple[Tensor, list[int]]:
        return torch.randn(samples, n_in, generator=chance), [i % 10 for i in range(samples)]

    results = race(readouts, *draw(first), "noise, first", 0)
    for _ in range(before // 500):
        x, labels = draw(500)
        for readout in readouts.values():
            readout.learn(readout.observe(x)[1], labels)
    return results + race(readouts, *draw(later), "noise, later", 0)
