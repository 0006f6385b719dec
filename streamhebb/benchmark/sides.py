"""Learning without labels, side by side: one layer, one pass over MNIST, then a linear probe.

Every contestant has the same data, number of neurons, mini-batches, probe and reporting. Beside
those that learn stand the same layer with weights that never learn, and one that learns by
back-propagation of the labels' errors, one pass as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from streamhebb.benchmark.mnist import whole_set
from streamhebb.competition import Competition, HardWTA, RankedHardWTA, SoftWTA
from streamhebb.constraints import SynapticScaling
from streamhebb.evaluate import linear_probe
from streamhebb.homeostasis import AdaptiveThreshold
from streamhebb.init import Positive
from streamhebb.layers import Dense, Flatten, Layer, Poisson, SpikeCount, Triangle
from streamhebb.net import StreamNet
from streamhebb.neurons import LIFBox
from streamhebb.rates import NormRate
from streamhebb.rules import PostSTDP
from streamhebb.scaling import LayerMax, NoScaling
from streamhebb.sources import mnist

PIXELS = 784
BATCH = 16
"""Samples a step; the published MNIST experiment takes 32."""

Features = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Side:
    """One contestant on one seed.

    Args:
        name: of the contestant.
        seed: of weights, order and probe.
        probe: share of the test images that a linear probe gets right, trained by Adam.
        ridge: the same of ridge regression on the same features, which is exact and has no
            learning rate that could suit one contestant better than another.
        turned: median cosine between a neuron's first and last weights; ``None`` where it does
            not say anything.
        seconds: of the pass, features and probe not included.
    """

    name: str
    seed: int
    probe: float
    ridge: float
    turned: float | None
    seconds: float


def rates(n_out: int, competition: Competition | None = None) -> list[Layer]:
    """Rate units; without a competition they never learn."""
    dense = Dense(
        PIXELS,
        n_out,
        competition=HardWTA() if competition is None else competition,
        rate=0.0 if competition is None else NormRate(0.045),
        scaling=LayerMax(),
        init=Positive(5.0),
    )
    return [Flatten(), dense, Triangle(2)]


def spikes(n_out: int, lr: float) -> list[Layer]:
    """Spiking units; who spikes most strongly learns from it, all spikes are passed on."""
    dense = Dense(
        PIXELS,
        n_out,
        neuron=LIFBox(tau_mem=0.005, v_th=0.2),
        rule=PostSTDP(tau=0.005, target=0.1, mu=0.0),
        competition=HardWTA(),
        rate=lr,
        scaling=NoScaling(),
        init=Positive(1.0),
        threshold=AdaptiveThreshold(0.1, 0.002),
        constraint=SynapticScaling(1.0, power=2),
        pre_triangle=True,
    )
    return [Flatten(), Poisson(16, rate=1000.0), dense, SpikeCount()]


CONTESTANTS: dict[str, Callable[[int], list[Layer]]] = {
    "random weights": rates,
    "SoftHebb": lambda n: rates(n, SoftWTA(t=12.0)),
    "SoftHebb, anti-Hebbian losers": lambda n: rates(n, SoftWTA(t=12.0, anti_hebbian=True)),
    "hard WTA": lambda n: rates(n, HardWTA()),
    "Krotov-Hopfield": lambda n: rates(n, RankedHardWTA(rank=2, delta=0.1)),
    "random weights, spiking": lambda n: spikes(n, 0.0),
    "STDP, spiking": lambda n: spikes(n, 0.05),
}
BACKPROP = "back-propagation"


def names() -> tuple[str, ...]:
    """All contestants, in the order of the table."""
    return (*CONTESTANTS, BACKPROP)


def run(name: str, seed: int, n_out: int = 2000, limit: int | None = None) -> Side:
    """One pass without labels (but for back-propagation), then the probe on frozen features.

    Args:
        name: one of ``names()``.
        seed: of weights, order and probe.
        n_out: neurons.
        limit: training images, for the pass and the probe; ``None`` is all.
    """
    train, labels = whole_set(mnist("train", limit=limit))
    test = whole_set(mnist("test", limit=limit))
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    start = time.perf_counter()
    if name == BACKPROP:
        features, turned = _backprop(train, labels, order, seed, n_out), None
    else:
        features, turned = _hebbian(CONTESTANTS[name](n_out), train, order, seed)
    seconds = time.perf_counter() - start
    own, held_out = _in_parts(features, train), _in_parts(features, test[0])
    size = own.square().mean().sqrt() + 1e-12  # Adam's step is of one size; so are all features
    sets = (own.div_(size), labels), (held_out.div_(size), test[1])
    result = linear_probe(None, *sets, epochs=20, dropout=0.0, schedule="full", seed=seed)
    return Side(name, seed, result.test_accuracy, ridge(*sets), turned, seconds)


def ridge(
    train: tuple[Tensor, list[Any]], test: tuple[Tensor, list[Any]], each: float = 0.001
) -> float:
    """Test accuracy of ridge regression on one-hot targets, a ridge of ``each`` a sample."""
    x, mean = train[0], train[0].mean(0)
    targets = nn.functional.one_hot(torch.tensor(train[1]), 10).float() - 0.1
    # Centred without a copy of all features: there are 480 MB of them.
    gram = x.T @ x - len(x) * torch.outer(mean, mean)
    inner = x.T @ targets - torch.outer(len(x) * mean, targets.mean(0))
    gram.diagonal().add_(each * len(x))
    weight = torch.linalg.solve(gram.double(), inner.double()).float()
    guess = (test[0] @ weight - mean @ weight + targets.mean(0)).argmax(1)
    return float((guess == torch.tensor(test[1])).float().mean())


def _in_parts(features: Features, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([features(part) for part in torch.split(x, 500)])


def _hebbian(
    layers: list[Layer], train: Tensor, order: Tensor, seed: int
) -> tuple[Features, float | None]:
    net = StreamNet(*layers, input_shape=train.shape[1:], seed=seed)
    plastic: Any = next(layer for layer in layers if layer.plastic)
    first = plastic.weight.clone()
    # Where only thresholds have to settle, a tenth of the pass is plenty.
    seen = order if plastic.rate.lr else order[: len(order) // 10]
    for part in torch.split(seen, BATCH) if plastic.rate.lr or plastic.threshold else ():
        net.step(train[part])
    cosine = torch.nn.functional.cosine_similarity(first, plastic.weight)
    return net.features, float(cosine.median())


def _backprop(train: Tensor, labels: list[Any], order: Tensor, seed: int, n_out: int) -> Features:
    """A hidden layer and a readout, both by Adam on the cross-entropy."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        hidden = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, n_out), nn.ReLU())
        readout = nn.Linear(n_out, 10)
    targets = torch.tensor(labels)
    adam = torch.optim.Adam([*hidden.parameters(), *readout.parameters()], lr=1e-3)
    for part in torch.split(order, BATCH):
        adam.zero_grad()
        loss = nn.functional.cross_entropy(readout(hidden(train[part])), targets[part])
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    return hidden
