"""The published CIFAR-10 run as a whole: one pass without labels, features once, a linear probe.

As published: pixels between 0 and 1 and no other normalisation, no augmentation; all three layers
learn together in mini-batches of 10, in an order drawn from the seed; then the layers are frozen,
and a linear layer learns the labels from their features for 50 epochs, in mini-batches of 64, with
half of the features left out and a rate that is halved seven times. The published program computes
the features anew in every epoch, and starts its linear layer from positive weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from streamhebb import spec
from streamhebb.benchmark.mnist import whole_set
from streamhebb.evaluate import Phase, features, linear_probe, plan_phases, train_phases
from streamhebb.evaluate.probe import EpochResult
from streamhebb.layers.wired import WiredLayer
from streamhebb.net import StreamNet
from streamhebb.parts import require_choice
from streamhebb.schedule import Threads
from streamhebb.sources import cifar10

METHODS = ("direct", "winograd2", "winograd4", "tune")
Pair = tuple[Tensor, Sequence[Any]]
Tell = Callable[[str], object]


@dataclass(frozen=True)
class Offline:
    """What one seed reached, and how long it took; accuracies are shares between 0 and 1.

    Args:
        seed: of weights, order and probe.
        images: of the training set that were used.
        tested: of the test set.
        kernels: how each layer made its products while it learned.
        learn_seconds: the pass without labels.
        feature_seconds: features of the training set.
        test_feature_seconds: features of the test set.
        probe_seconds: the linear layer, tests included.
        seconds: all of these, and what lies between.
        convergence: mean distance from 1 of the radii of each layer.
        train_accuracy: of the probe's last epoch, dropout on.
        test_accuracy: after the last epoch.
        epochs: what the probe reported.
    """

    seed: int
    images: int
    tested: int
    kernels: dict[str, str]
    learn_seconds: float
    feature_seconds: float
    test_feature_seconds: float
    probe_seconds: float
    seconds: float
    convergence: tuple[float, ...]
    train_accuracy: float
    test_accuracy: float
    epochs: tuple[EpochResult, ...]

    def row(self) -> dict[str, Any]:
        """The result as plain data."""
        return asdict(self)


def read(limit: int | None = None) -> tuple[Pair, Pair]:
    """Training and test images between 0 and 1 in their stored order, with labels.

    Args:
        limit: so many images of each; ``None`` is 50,000 and 10,000.
    """
    train, test = (whole_set(cifar10(split, limit=limit)) for split in ("train", "test"))
    return train, test


def run_seed(
    seed: int,
    train: Pair,
    test: Pair,
    *,
    net: StreamNet | str = "softhebb-cifar10",
    threads: int = 1,
    method: str = "winograd4",
    precision: str = "full",
    batch_size: int = 10,
    epochs: int = 50,
    keep: Path | None = None,
    half: bool = False,
    tell: Tell | None = None,
) -> Offline:
    """Learn without labels, compute features, fit and test a linear layer.

    Args:
        seed: draws weights, order and dropout.
        train: images ``(N, ...)`` and labels; the labels are for the probe only.
        test: the same, of the test set.
        net: a built-in net, a file, or a net, which then learns.
        threads: layers learn in so many at the same time, and mini-batches are computed in them.
        method: how layers make their products, where they can; ``"tune"`` measures.
        precision: of these products, ``"full"`` or ``"bfloat16"``.
        batch_size: of the pass without labels.
        epochs: of the probe.
        keep: folder for the features; ``None`` keeps them in memory.
        half: store features in half precision.
        tell: is told how it goes, line by line.

    Raises:
        ConfigError: for another method or precision, or two that do not go together.
    """
    require_choice("bench cifar10", "method", method, METHODS)
    tell = tell or (lambda line: None)
    tune = method == "tune"
    (x, y), (u, v) = train, test
    begin = time.perf_counter()
    if not isinstance(net, StreamNet):
        net = spec.build(net, input_shape=tuple(x.shape[1:]), seed=seed, readout=False)
    for layer in net.layers:
        if isinstance(layer, WiredLayer):
            layer.precision = precision
            if method in layer.synapse.methods:
                layer.method = method
    phase = Phase(epochs=1, batch_size=batch_size, seed=seed)
    plan = plan_phases(net, "consecutive", unsupervised=phase)
    before = net.scheduler

    def show(epoch: EpochResult) -> None:
        tell(
            f"  probe, epoch {epoch.epoch}: test {100 * epoch.test_accuracy:.2f} %, train "
            f"{100 * epoch.train_accuracy:.2f} %, {epoch.seconds:.1f} s"
        )

    with closing(Threads(threads)) if threads > 1 else nullcontext() as lanes:
        (learned,), learn = _timed(
            lambda: train_phases(net, plan, (x, None), scheduler=lanes, tune=tune)
        )
        tell(f"seed {seed}: learned from {len(x)} images in {_each(learn, len(x))}")
        net.scheduler = before if lanes is None else lanes
        try:
            found, made = _timed(lambda: features(net, x, keep=keep, half=half, tune=tune))
            tell(f"  features of {len(x)} images in {_each(made, len(x))}")
            tested, made_test = _timed(lambda: features(net, u, keep=keep, half=half, tune=tune))
            tell(f"  features of {len(u)} images in {_each(made_test, len(u))}")
        finally:
            net.scheduler = before
        fit = partial(linear_probe, None, (found, y), (tested, v), epochs=epochs, seed=seed)
        result, probe = _timed(lambda: fit(scheduler=lanes, on_epoch=show))
    return Offline(
        seed,
        len(x),
        len(u),
        net.kernels(),
        learn,
        made,
        made_test,
        probe,
        time.perf_counter() - begin,
        learned.convergence,
        result.train_accuracy,
        result.test_accuracy,
        result.epochs,
    )


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    found = work()
    return found, time.perf_counter() - start


def _each(seconds: float, images: int) -> str:
    return f"{seconds:.1f} s, {1000 * seconds / images:.2f} ms each"
