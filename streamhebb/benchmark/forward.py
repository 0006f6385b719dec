"""Learning by two forward passes on MNIST, one image at a time, with and without labels.

Each image is two steps of the net: a positive one with modulator 1, a negative one with -1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamhebb.benchmark.mnist import whole_set
from streamhebb.competition import Independent
from streamhebb.evaluate import Prequential
from streamhebb.init import Normal
from streamhebb.layers import Dense, ReLU
from streamhebb.net import StreamNet
from streamhebb.readouts import RLSReadout
from streamhebb.rules import ForwardForward
from streamhebb.scaling import NoScaling
from streamhebb.sources import mnist

MARK = 3.0  # how bright a label's pixel is


@dataclass(frozen=True)
class ForwardResult:
    """One way of learning on one seed; accuracies are shares between 0 and 1.

    Args:
        way: how positive and negative samples were made.
        seed: of weights and order.
        samples: images learned from, two steps each.
        before: accuracy on the test images before anything was learned.
        test: the same afterwards.
        last_quarter: of the predictions made in the stream, over its last quarter; 0 where the
            stream predicts nothing.
    """

    way: str
    seed: int
    samples: int
    before: float
    test: float
    last_quarter: float

    def row(self) -> dict[str, Any]:
        """The result as plain data."""
        return asdict(self)


def make_net(n_out: int, theta: float, lr: float, seed: int) -> StreamNet:
    """One layer of rectified neurons that learn by goodness."""
    layer = Dense(
        784,
        n_out,
        rule=ForwardForward(theta),
        competition=Independent("relu"),
        rate=lr,
        scaling=NoScaling(),
        init=Normal(1.0),
    )
    return StreamNet(layer, ReLU(), seed=seed)


def marked(images: Tensor, labels: Tensor) -> Tensor:
    """Images ``(B, 784)`` with the first ten pixels, always dark in MNIST, telling a label."""
    images = images.clone()
    images[:, :10] = 0
    images[torch.arange(len(images)), labels] = MARK
    return images


def goodness(net: StreamNet, images: Tensor) -> Tensor:
    """Goodness of every image with every label, shape ``(B, 10)``."""
    every = images.repeat_interleave(10, 0)
    labels = torch.arange(10).repeat(len(images))
    return net.features(marked(every, labels)).square().mean(1).view(-1, 10)


def _agreement(scores: Tensor, wanted: list[Any]) -> float:
    """Share of images whose best score is that of the wanted digit."""
    guess = scores.argmax(1).tolist()
    return float(np.mean([a == b for a, b in zip(guess, wanted, strict=True)]))


def labelled(
    seed: int,
    n_out: int = 500,
    lr: float = 1.0,
    limit: int | None = None,
    tested: int | None = None,
) -> ForwardResult:
    """Forward-Forward with labels: the right label against the best of the wrong ones.

    The net predicts first, by trying all labels; the wrong label it likes best makes the negative
    sample.
    """
    source = mnist("train", seed=seed, limit=limit)
    held_out, wanted = whole_set(mnist("test", limit=tested))
    held_out = held_out.flatten(1)
    net = make_net(n_out, 2.0, lr, seed)

    def accuracy() -> float:
        return _agreement(goodness(net, held_out), wanted)

    before, last, total = accuracy(), Prequential(), len(source)
    for number, sample in enumerate(source, 1):
        image, label = sample.x.reshape(1, -1), torch.tensor([sample.target])
        scores = goodness(net, image)[0]
        if number > 0.75 * total:
            last.update(sample.target, int(scores.argmax()))
        scores[label] = -torch.inf
        net.step(marked(image, label), modulator=1.0)
        net.step(marked(image, scores.argmax()[None]), modulator=-1.0)
    return ForwardResult(
        "labelled, hardest negative", seed, total, before, accuracy(), last.accuracy
    )


def self_contrastive(
    seed: int,
    n_out: int = 500,
    lr: float = 0.1,
    limit: int | None = None,
    tested: int | None = None,
    fitted: int = 20_000,
) -> ForwardResult:
    """Forward-Forward without labels: an image added to itself against two different ones.

    Accuracy is that of ridge regression on the frozen features.
    """
    net = make_net(n_out, 8.0, lr, seed)
    images, labels = whole_set(mnist("train", limit=fitted))
    held_out, wanted = whole_set(mnist("test", limit=tested))

    def accuracy() -> float:
        readout = RLSReadout(n_out, classes=10, ridge=1.0)
        for at in range(0, len(images), 500):
            part = slice(at, at + 500)
            features = net.features(images[part].flatten(1))
            readout.learn(readout.observe(features)[1], labels[part])
        return _agreement(readout.respond(net.features(held_out.flatten(1))), wanted)

    with torch.no_grad():
        before, previous, total = accuracy(), None, 0
        for sample in mnist("train", seed=seed, limit=limit):
            image = sample.x.flatten()
            if previous is not None:
                net.step(image + image, modulator=1.0)
                net.step(image + previous, modulator=-1.0)
                total += 1
            previous = image
        return ForwardResult("self-contrastive, ridge", seed, total, before, accuracy(), 0.0)


def run_seed(
    seed: int, limit: int | None = None, on_result: Callable[[ForwardResult], None] | None = None
) -> list[ForwardResult]:
    """Try both ways on one seed.

    Args:
        seed: of weights and order.
        limit: images learned from; ``None`` for all 60,000.
        on_result: called with each result.
    """
    results = []
    for way in (labelled, self_contrastive):
        results.append(way(seed, limit=limit))
        if on_result is not None:
            on_result(results[-1])
    return results
