"""What the classical rules are known for, tried on MNIST, one image at a time, without labels.

Oja and Sanger see images less their mean, and are held against numpy's singular vectors of the
covariance. BCM sees images of length one. Földiák's network sees images less their mean, and begins
with positive weights, so that all its neurons answer alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from streamhebb.benchmark.mnist import whole_set
from streamhebb.competition import Independent
from streamhebb.init import Normal, Positive
from streamhebb.lateral import Lateral
from streamhebb.layers import Dense
from streamhebb.rates import LinearDecay
from streamhebb.rules import BCM, Oja, PlasticityRule, Sanger
from streamhebb.scaling import NoScaling
from streamhebb.sources import mnist

COMPONENTS = 10


@dataclass(frozen=True)
class LawResult:
    """One rule on one seed.

    Args:
        rule: its name.
        measure: what is measured.
        seed: of the weights and of the order of the images.
        start: the measure before anything was learned.
        end: the measure afterwards.
        samples: images learned from, one at a time.
    """

    rule: str
    measure: str
    seed: int
    start: float
    end: float
    samples: int

    def row(self) -> dict[str, Any]:
        """The result as plain data."""
        return asdict(self)


def components(images: Tensor, count: int) -> Tensor:
    """The first principal components of centred images, by numpy, shape ``(count, n_in)``."""
    covariance = (images.mT @ images / len(images)).double().numpy()
    return torch.from_numpy(np.linalg.svd(covariance)[2][:count].copy()).to(images.dtype)


def alignment(weight: Tensor, wanted: Tensor) -> float:
    """The smallest |cos| between a neuron's weights and the component of its rank."""
    return float((F.normalize(weight) * wanted).sum(1).abs().min())


def selectivity(layer: Dense, images: Tensor) -> float:
    r"""Mean over neurons of $1 - mean / max$ of the rectified response to all images.

    0 for a neuron that answers everything alike, near 1 for one that answers few images. It is
    the index of Bienenstock, Cooper and Munro (1982).
    """
    answer = layer.respond(images).relu()
    return float((1 - answer.mean(0) / answer.amax(0).clamp_min(1e-12)).mean())


def correlation(layer: Dense, images: Tensor) -> float:
    """Mean |correlation| of the responses of two different neurons."""
    found = torch.corrcoef(layer.respond(images).mT)
    count = len(found)
    return float((found.abs().sum() - count) / (count * (count - 1)))


def _order(count: int, samples: int, seed: int) -> Iterator[int]:
    """Running indices of images, shuffled anew in each pass."""
    chance = torch.Generator().manual_seed(seed)
    while samples > 0:
        yield from torch.randperm(count, generator=chance)[:samples].tolist()
        samples -= count


@torch.no_grad()
def _learn(
    layer: Dense, images: Tensor, samples: int, seed: int, measure: Callable[[], float]
) -> tuple[float, float]:
    layer.reset(torch.Generator().manual_seed(seed))
    start = measure()
    for index in _order(len(images), samples, seed):
        layer.learn(layer.observe(images[index][None])[1])
    return start, measure()


def principal(
    rule: PlasticityRule, count: int, lr: float, images: Tensor, samples: int, seed: int
) -> LawResult:
    """Let ``count`` neurons look for principal components of centred images."""
    layer = Dense(
        images.shape[1],
        count,
        rule=rule,
        rate=LinearDecay(lr, samples),
        scaling=NoScaling(),
        init=Normal(0.5),
    )
    wanted = components(images, count)
    found = _learn(layer, images, samples, seed, lambda: alignment(layer.weight, wanted))
    measure = f"least |cos| to the first {count}" if count > 1 else "|cos| to the first"
    return LawResult(type(rule).__name__, measure, seed, *found, samples)


def selective(images: Tensor, held_out: Tensor, samples: int, seed: int) -> LawResult:
    """Let 16 rectified neurons become selective by BCM."""
    layer = Dense(
        images.shape[1],
        16,
        rule=BCM(tau=100),
        competition=Independent("relu"),
        rate=0.05,
        scaling=NoScaling(),
        init=Positive(0.1),
    )
    found = _learn(layer, images, samples, seed, lambda: selectivity(layer, held_out))
    return LawResult("BCM", "selectivity", seed, *found, samples)


def decorrelated(
    images: Tensor, held_out: Tensor, samples: int, seed: int, lateral: bool = True
) -> LawResult:
    """Let 8 neurons become different by anti-Hebbian lateral weights, or not, as control.

    Without lateral weights all of them find the first principal component.
    """
    layer = Dense(
        images.shape[1],
        8,
        rule=Oja(),
        lateral=Lateral(0.001) if lateral else None,
        rate=LinearDecay(0.003, samples),
        scaling=NoScaling(),
        init=Positive(0.5),
    )
    found = _learn(layer, images, samples, seed, lambda: correlation(layer, held_out))
    name = "Földiák (Oja + Lateral)" if lateral else "Oja alone, control"
    return LawResult(name, "mean |correlation|", seed, *found, samples)


def run_seed(
    seed: int, limit: int | None = None, on_result: Callable[[LawResult], None] | None = None
) -> list[LawResult]:
    """Try every rule on one seed.

    Args:
        seed: of weights and order.
        limit: images each rule learns from; ``None`` for as many as each needs.
        on_result: called with each result.
    """
    images = whole_set(mnist("train"))[0].flatten(1)
    held_out = whole_set(mnist("test"))[0].flatten(1)
    mean = images.mean(0)
    centred = images - mean

    def enough(samples: int) -> int:
        return samples if limit is None else min(samples, limit)

    tries: list[Callable[[], LawResult]] = [
        lambda: principal(Oja(), 1, 0.003, centred, enough(20_000), seed),
        lambda: principal(Sanger(), COMPONENTS, 0.003, centred, enough(120_000), seed),
        lambda: selective(F.normalize(images), F.normalize(held_out), enough(20_000), seed),
        lambda: decorrelated(centred, held_out - mean, enough(20_000), seed),
        lambda: decorrelated(centred, held_out - mean, enough(20_000), seed, lateral=False),
    ]
    results = []
    for attempt in tries:
        results.append(attempt())
        if on_result is not None:
            on_result(results[-1])
    return results
