"""Linear probe: how well frozen features tell the classes apart, measured as published."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from streamhebb import inputs
from streamhebb.errors import ConfigError, LabelError, NonFiniteError, ShapeError
from streamhebb.estimator import as_array
from streamhebb.evaluate.frozen import features
from streamhebb.evaluate.probing import CHUNK, Probe
from streamhebb.evaluate.progress import Progress, looks
from streamhebb.evaluate.schedule import halving_epochs
from streamhebb.net import StreamNet
from streamhebb.parts import require, require_choice
from streamhebb.readouts.base import plain
from streamhebb.schedule import Scheduler
from streamhebb.values import Label


@dataclass(frozen=True, slots=True)
class EpochResult:
    """One reported epoch of a probe.

    Args:
        epoch: counted from 1.
        train_accuracy: of the predictions made while training, dropout on, as published.
        test_accuracy: over the whole test set, dropout off, after the epoch.
        loss: mean cross-entropy while training.
        seconds: since the probe began; features not included.
    """

    epoch: int
    train_accuracy: float
    test_accuracy: float
    loss: float
    seconds: float


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a linear probe found.

    Args:
        train_accuracy: of the last epoch, dropout on.
        test_accuracy: after the last epoch.
        epochs: the epochs that were reported: 1, 11, 21, ... and the last.
        seconds: wall time of the training.
        feature_seconds: wall time of computing the features, once.
        classes: labels, in the order of the rows of ``weight``.
        weight: shape ``(n_classes, n_in)``.
        bias: shape ``(n_classes,)``.
    """

    train_accuracy: float
    test_accuracy: float
    epochs: tuple[EpochResult, ...]
    seconds: float
    feature_seconds: float
    classes: tuple[Label, ...]
    weight: Tensor = field(repr=False)
    bias: Tensor = field(repr=False)


def linear_probe(
    net_or_features: StreamNet | Callable[[Any], Tensor] | None,
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    *,
    epochs: int = 50,
    batch_size: int = 64,
    lr: float = 1e-3,
    dropout: float = 0.5,
    schedule: str = "demo",
    seed: int = 0,
    keep: str | os.PathLike[str] | None = None,
    half: bool = False,
    tune: bool = False,
    scheduler: Scheduler | None = None,
    on_epoch: Callable[[EpochResult], None] | None = None,
    progress: str | os.PathLike[str] | None = None,
) -> ProbeResult:
    """Train a linear layer on frozen features, with Adam and dropout, and test it.

    The features are computed once, raw as they are; the net changes in nothing. Initial weights
    are torch's own for a linear layer, cross-entropy is the loss, and the rate is halved by the
    published schedule. Chance has one source, ``seed``; torch's global generator is not touched.
    Which features dropout leaves out is the same on every device; see
    [`Dropout`][streamhebb.chance.dropout.Dropout].

    Args:
        net_or_features: a net, anything that turns inputs into features, or ``None`` if
            ``train`` and ``test`` hold features already.
        train: inputs ``(N, ...)`` and their labels.
        test: the same, of the test set.
        epochs: passes over the training set, each in a new order.
        batch_size: samples a step of Adam.
        lr: its rate at the start.
        dropout: share of the features set to 0 while training; 0 for none.
        schedule: ``"demo"`` or ``"full"``: which epochs halve the rate, see
            [`halving_epochs`][streamhebb.evaluate.schedule.halving_epochs].
        seed: of initial weights, order and dropout.
        keep: a folder to keep a net's features in, and to find them again; see
            [`features`][streamhebb.evaluate.frozen.features]. ``None`` keeps them in memory.
        half: store a net's features in half precision; the layer learns in float32 all the same.
        tune: measure how the net responds fastest. Results then differ by rounding from run to run.
        scheduler: with [`Threads`][streamhebb.schedule.threads.Threads] the next mini-batch is
            gathered while the layer learns from this one; the results are the same, to the bit. It
            is left open. ``None`` does one after the other.
        on_epoch: called with the result of each reported epoch (1, 11, 21, ... and the last).
        progress: a file in which everything needed to go on is kept after every finished epoch. If
            it is there, the probe goes on after that epoch, and ends as if never interrupted, to
            the bit; see [`train_phases`][streamhebb.evaluate.phases.train_phases]. The features are
            computed again, unless ``keep`` has them.

    Returns:
        Accuracies, times, and the layer that was learned.

    Raises:
        ConfigError: for a setting out of its range.
        ShapeError: if there are no samples, or other features in the test set.
        LabelError: if there is not one label a sample, or a test label was never trained on.
        NonFiniteError: for NaN or infinite features.
        SnapshotError: if ``progress`` is damaged, of another run, or cannot be written.

    Example:
        >>> x = torch.eye(4).repeat(20, 1)
        >>> y = list("abcd") * 20
        >>> linear_probe(None, (x, y), (x, y), epochs=30, batch_size=8, lr=0.05).test_accuracy
        1.0

    Reference:
        A. Journé et al., Hebbian deep learning without feedback, ICLR 2023.
        https://arxiv.org/abs/2209.11883
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        require("linear_probe", name, value, at_least=1)
    require("linear_probe", "lr", lr, above=0)
    require("linear_probe", "dropout", dropout, at_least=0, at_most=1 - 1e-6)
    require_choice("linear_probe", "schedule", schedule, ("demo", "full"))
    if not all(isinstance(value, int) for value in (epochs, batch_size, seed)):
        raise ConfigError("linear_probe: epochs, batch_size and seed must be whole numbers")
    if not isinstance(net_or_features, StreamNet) and (keep is not None or half or tune):
        raise ConfigError(
            "linear_probe: keep, half and tune are for a net's features; here they are given, or "
            "made by a function"
        )
    if progress is not None and tune and keep is None:
        raise ConfigError(
            "linear_probe: progress is not allowed with tune=True alone, for the features would be "
            "others, by rounding, when it goes on; give keep=FOLDER too, or leave out tune"
        )

    def made(x: Any, name: str, labels: int) -> Tensor:
        if isinstance(net_or_features, StreamNet):
            found = features(net_or_features, x, keep=keep, half=half, tune=tune)
        else:
            found = _given(net_or_features, x, name)
        return _checked(found, name, labels)

    start = time.perf_counter()
    train_y, classes = _rows(train, "train", None)
    train_x = made(train[0], "train", len(train_y))
    test_y, _ = _rows(test, "test", classes)
    test_x = made(test[0], "test", len(test_y))
    if train_x.shape[1] != test_x.shape[1]:
        raise ShapeError(
            f"linear_probe: {train_x.shape[1]} features in train, {test_x.shape[1]} in test"
        )
    ready = time.perf_counter()
    sets = train_x, train_y, test_x, test_y
    run = Probe(*sets, len(classes), dropout, batch_size, lr, seed, scheduler)
    file = None
    if progress is not None:
        asked = {
            "epochs": epochs,
            "batch_size": batch_size,
            "lr": lr,
            "dropout": dropout,
            "schedule": schedule,
            "seed": seed,
            "classes": list(classes),
        }
        data = {"train": looks(train_x, train_y.tolist()), "test": looks(test_x, test_y.tolist())}
        file = Progress("linear_probe", progress, asked | data)
    reported, seconds = _train(run, epochs, halving_epochs(epochs, schedule), file, on_epoch)
    return ProbeResult(
        reported[-1].train_accuracy,
        reported[-1].test_accuracy,
        tuple(reported),
        seconds,
        ready - start,
        classes,
        run.layer.weight.detach(),
        run.layer.bias.detach(),
    )


def _train(
    run: Probe,
    epochs: int,
    halvings: tuple[int, ...],
    file: Progress | None,
    on_epoch: Callable[[EpochResult], None] | None,
) -> tuple[list[EpochResult], float]:
    """All epochs, or those that ``file`` does not know; results, and seconds in all."""
    start, done, reported = time.perf_counter(), 0, list[EpochResult]()

    def keep(epoch: int, seconds: float) -> None:
        if file is not None:
            kept = [asdict(result) for result in reported]
            state = {"epoch": epoch, "seconds": seconds, "reported": kept, "run": run.state()}
            file.write(state)

    found = None if file is None else file.read()
    if found is None:
        keep(0, 0.0)  # a disk that refuses, does so before the first epoch
    else:
        done, start = found["epoch"], start - found["seconds"]
        reported = [EpochResult(**result) for result in found["reported"]]
        run.restore(found["run"])
    for epoch in range(done, epochs):
        for _ in range(halvings.count(epoch)):  # a short run may halve twice at once
            run.halve()
        loss, train_accuracy = run.epoch()
        seconds = time.perf_counter() - start
        if epoch % 10 and epoch != epochs - 1:
            keep(epoch + 1, seconds)
            continue
        reported.append(EpochResult(epoch + 1, train_accuracy, run.test(), loss, seconds))
        try:
            if on_epoch is not None:
                on_epoch(reported[-1])
        finally:  # what is raised there does not undo the epoch
            keep(epoch + 1, seconds)
    return reported, time.perf_counter() - start


def _rows(
    pair: Any, name: str, classes: tuple[Label, ...] | None
) -> tuple[Tensor, tuple[Label, ...]]:
    """Labels as row numbers, and the classes they number."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ConfigError(f"linear_probe: {name} is a {type(pair).__name__}; give (X, y)")
    y = pair[1].tolist() if hasattr(pair[1], "tolist") else pair[1]
    if y is None or isinstance(y, (str, bytes)) or not hasattr(y, "__iter__"):
        raise LabelError(f"linear_probe: the labels of {name} are {y!r}; give one a sample")
    labels = [plain(label) for label in y]
    wrong = [label for label in labels if not isinstance(label, (int, str, bool))]
    if wrong:
        raise LabelError(
            f"linear_probe: label {wrong[0]!r} in {name} is not allowed; labels are int, str or "
            f"bool, one a sample, not one-hot"
        )
    if classes is None:
        known = dict.fromkeys(labels)
        same = len({type(label) for label in known}) == 1
        classes = tuple(sorted(known) if same else known)
    rows = {label: row for row, label in enumerate(classes)}
    unknown = [label for label in labels if label not in rows]
    if unknown:
        raise LabelError(
            f"linear_probe: label {unknown[0]!r} is in {name} but not in train, which has "
            f"{len(classes)} classes"
        )
    return torch.tensor([rows[label] for label in labels], dtype=torch.int64), classes


def _given(source: Callable[[Any], Tensor] | None, x: Any, name: str) -> Tensor:
    """Features that somebody else has made."""
    with torch.no_grad():
        found = torch.as_tensor(as_array(x if source is None else source(x))).detach()
    if not all(map(inputs.all_finite, torch.split(found, CHUNK) if found.ndim else (found,))):
        raise NonFiniteError(f"linear_probe: the features of {name} hold NaN or infinite values")
    return found


def _checked(found: Tensor, name: str, labels: int) -> Tensor:
    """Features of a whole set, one row a sample."""
    if found.ndim < 2 or not len(found):
        raise ShapeError(
            f"linear_probe: the features of {name} have shape {tuple(found.shape)}; at least one "
            f"sample (N, ...) is needed"
        )
    if len(found) != labels:
        raise LabelError(f"linear_probe: {labels} labels for {len(found)} samples in {name}")
    return found.flatten(1)
