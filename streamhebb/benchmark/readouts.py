"""What each readout earns and costs: the same features, one sample at a time, taking turns.

Every readout predicts a sample before it learns its label. Features are the pixels of MNIST, and
those of one small convolution that has looked at other training images, without labels, and then
stays as it is. Rates come from a coarse search by hand on a seed that is not reported; none of
them is tuned.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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

Make = Callable[[], Readout]

CHOICES: tuple[tuple[str, Make], ...] = (
    ("Softmax, Adam", lambda: SoftmaxReadout(lr=3e-3)),
    ("Softmax, plain", lambda: SoftmaxReadout(lr=0.03, step="plain")),
    ("Delta, normalised", lambda: DeltaReadout(lr=0.1)),
    ("Delta, plain", lambda: DeltaReadout(lr=3e-3, normalise=False)),
    ("PES", lambda: PESReadout(lr=1.0)),
    ("RLS", lambda: RLSReadout(ridge=10.0)),
    ("SLDA", SLDAReadout),
    ("SLDA, 1e-2 toward variance", lambda: SLDAReadout(shrinkage=1e-2, toward="variance")),
    ("NCM", NCMReadout),
    ("NCM, cosine", lambda: NCMReadout(metric="cosine")),
)
FEATURES = ("pixels", "net")


@dataclass(frozen=True)
class ReadoutResult:
    """One readout on one kind of features and one seed.

    Args:
        features: ``"pixels"``, ``"net"`` or ``"random"``.
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


def small_net(seed: int, samples: int = 2000) -> StreamNet:
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


def features(kind: str, seed: int, samples: int) -> tuple[Tensor, list[int]]:
    """Features ``(samples, n_in)`` in the order of the seed, and their labels.

    Raises:
        ConfigError: for an unknown kind.
    """
    if kind not in FEATURES:
        raise ConfigError(f"features={kind!r} are not known; choose one of {', '.join(FEATURES)}")
    images, labels = whole_set(mnist("train"))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:samples]
    chosen = images[order]
    x = small_net(seed).features(chosen) if kind == "net" else chosen.flatten(1)
    return x, [labels[i] for i in order.tolist()]


@torch.no_grad()
def race(
    kind: str, seed: int, x: Tensor, labels: list[int], choices: tuple[tuple[str, Make], ...]
) -> list[ReadoutResult]:
    """Let readouts take turns: each sample goes to all of them before the next one comes."""
    readouts = [(name, make()) for name, make in choices]
    for _, readout in readouts:
        readout.build(x.shape[1])
    right = torch.zeros(len(readouts), len(x), dtype=torch.bool)
    seconds = [0.0] * len(readouts)
    for number, label in enumerate(labels):
        row = x[number : number + 1]
        turn = number % len(readouts)  # nobody always comes first, after a cold cache
        for which in (*range(turn, len(readouts)), *range(turn)):
            readout = readouts[which][1]
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
        for which, (name, _) in enumerate(readouts)
    ]


def noise(n_in: int, samples: int) -> tuple[Tensor, list[int]]:
    """Random features and ten labels, for what a sample costs at another number of features."""
    chance = torch.Generator().manual_seed(0)
    return torch.randn(samples, n_in, generator=chance), [i % 10 for i in range(samples)]
