"""A preset over a whole data set, as published: phases without labels, then a readout."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from streamhebb import presets
from streamhebb.errors import BusyError, ConfigError
from streamhebb.evaluate import PhaseEpoch, features, linear_probe, train_phases
from streamhebb.evaluate.probe import EpochResult, ProbeResult
from streamhebb.layers import PlasticLayer
from streamhebb.layers.wired import WiredLayer
from streamhebb.net import StreamNet
from streamhebb.presets import Block, Built, DataSettings, Prepared, Preset, Stage
from streamhebb.presets.language import KEYS
from streamhebb.suite.running import folder_of, run_trial
from streamhebb.suite.trial import Result, Trial, Work, parse
from streamhebb.suite.turning import first_weights, turned

T = TypeVar("T")
Changes = dict[str, dict[str, str | bool | int | float]]
OF_BLOCKS = ("activation", "pool")
"""What may be changed beside the settings of the mini-language."""


class OfflineTrial(Trial):
    """Train a preset phase by phase, and test it.

    A last phase in which only the readout learns, and data that are not augmented, make the
    features constant: they are computed once, and the readout learns from them, which gives the
    same kind of accuracy for a fraction of the time. See
    [`linear_probe`][streamhebb.evaluate.probe.linear_probe].

    Args:
        net: name of a preset.
        data: a published pair of data settings; ``None`` is the preset's own.
        mode: of training; ``None`` is the preset's own.
        hidden: ``"learns"``, ``"random"`` or ``"normed"``; ``None`` is the preset's own.
        learned: only the first so many hidden blocks learn; the others keep their first weights,
            and their normalisation takes its statistics. ``None`` is all.
        changes: settings of the mini-language, or ``activation`` or ``pool``, by the number of a
            block, or by ``"hidden"``, for all but the readout: ``{"0": {"radius": 3.0}}``.
        settings: of the data of phases without labels, that are replaced: ``{"epochs": 2}``.
        start: a snapshot that the net starts from, in place of random weights. The result keeps a
            digest of it.
        start_readout: whether the readout starts from it too.
        validation: tests on a share of the training samples; the test set is not looked at.
        method: how convolutions make their products, where they can.
        precision: of these products.

    Example:
        >>> OfflineTrial(net="softhebb-cifar-1conv", changes={"0": {"t": 0.5}}).label()
        'softhebb-cifar-1conv b0-t0.5'
    """

    kind: Literal["offline"] = "offline"
    net: str
    data: str | None = None
    mode: Literal["successive", "consecutive", "simultaneous"] | None = None
    hidden: Literal["learns", "random", "normed"] | None = None
    learned: int | None = Field(default=None, ge=0)
    changes: Changes = Field(default_factory=dict)
    settings: dict[str, int | float | str] = Field(default_factory=dict)
    start: str | None = None
    start_readout: bool = False
    validation: bool = False
    method: Literal["direct", "winograd2", "winograd4"] = "winograd4"
    precision: Literal["full", "bfloat16"] = "full"

    def label(self) -> str:
        """A few words that name it."""
        words = [self.net, self.data, self.mode, self.hidden]
        words += [f"learned{self.learned}"] if self.learned is not None else []
        words += ["start"] if self.start is not None else []
        for place, change in self.changes.items():
            words += [f"{'b' * place.isdigit()}{place}-{k}{v}" for k, v in change.items()]
        return " ".join(word for word in words if word)

    def preset(self) -> Preset:
        """The preset, with the changes made.

        Raises:
            ConfigError: for a preset, block or setting that there is not.
        """
        preset = presets.find(self.net)
        hidden = len(preset.blocks) - 1
        if self.learned is not None and self.learned > hidden:
            raise ConfigError(
                f"learned={self.learned} is not allowed; {preset.name} has {hidden} hidden blocks, "
                f"and of so many the first learn, 0 to {hidden}"
            )
        return preset if not self.changes else changed(preset, self.changes)

    def chosen(self, preset: Preset) -> tuple[DataSettings, DataSettings]:
        """The data settings of phases without labels, and with, as this trial wants them."""
        without, with_labels = preset.data(self.data)
        fewer = {} if self.samples is None else {"samples": min(self.samples, without.samples)}
        epochs = {} if self.epochs is None else {"epochs": self.epochs}
        return without.but(**fewer | self.settings), with_labels.but(**epochs)

    def resolved(self) -> dict[str, Any]:
        """The blocks of its net, and the settings of its data."""
        preset = self.preset()
        words = {"name", "aliases", "about", "published", "supervised", "unsupervised"}
        return {
            "preset": preset.model_dump(mode="json", exclude=words, exclude_defaults=True),
            "data": [
                each.model_dump(mode="json", exclude_defaults=True) for each in self.chosen(preset)
            ],
        }

    def make(self) -> Built:
        """Build the preset's net, and plan its training."""
        preset = self.preset()
        without, with_labels = self.chosen(preset)
        return preset.build(
            unsupervised=without,
            supervised=with_labels,
            mode=self.mode,
            hidden=self.hidden,
            seed=self.seed,
        )

    def build(self) -> Built:
        """Build the net, choose how it computes and who learns, and plan its training.

        Raises:
            ConfigError: for settings that do not exist, or do not fit each other.
            SnapshotError: if what it starts from is damaged, or of another net.
        """
        built = self.make()
        if self.start is not None:
            built.net.load(self.start, readout=self.start_readout)
        for number, block in enumerate(built.blocks):
            for layer in (built.net.layers[i] for i in block):
                if isinstance(layer, WiredLayer):
                    layer.precision = self.precision
                    if self.method in layer.synapse.methods:
                        layer.method = self.method
                if isinstance(layer, PlasticLayer) and number >= _or(self.learned, number + 1):
                    layer.plasticity = False
        return built

    def run(self, work: Work) -> Result:
        """Train and test."""
        built = self.build()
        if self.start is not None:
            work.digests["start"] = file_digest(self.start)
        net = built.net.to(work.setup.device)
        first = first_weights(net)
        seconds: dict[str, float] = {}
        result: Result = {}
        for number, stage in enumerate(built.stages):
            data = work.noted(self.read(stage.data, work.setup.device))
            if number == len(built.stages) - 1 and probes(built, stage, data):
                result |= probe(net, stage, data, work, seconds)
            else:
                result |= train(built, number, stage, data, work, seconds)
        net.save(work.folder.net)
        return result | {
            "layers": turned(net, first),
            "kernels": net.kernels(),
            "seconds": seconds,
        }

    def read(self, settings: DataSettings, device: str) -> Prepared:
        """Read the data of a stage, whole or less."""
        found = presets.load_data(
            settings,
            twin=self.twin,
            validation=self.validation,
            samples=self.samples,
            tested=self.tested,
        )
        return dataclasses.replace(found, x=found.x.to(device), x_test=found.x_test.to(device))


def changed(preset: Preset, changes: Mapping[str, Mapping[str, Any]]) -> Preset:
    """A preset with other settings of the mini-language in some blocks.

    Args:
        preset: stays as it is.
        changes: fields of [`LayerCode`][streamhebb.presets.language.LayerCode], ``activation`` or
            ``pool``, by the number of a block, or by ``"hidden"``, all of them but the readout.

    Raises:
        ConfigError: for a block or field that there is not.

    Example:
        >>> net = changed(presets.find("softhebb-cifar-1conv"), {"hidden": {"t": 0.5}})
        >>> net.blocks[0].layer
        'softkrotov-c96-k5-p2-t0.5-lr0.08-lp0.5'
    """
    blocks = list(preset.blocks)
    for place, change in changes.items():
        own = {name: change[name] for name in change if name in OF_BLOCKS}
        change = {n: _whole(n, change[n]) for n in change if n not in own}
        hidden = range(len(blocks) - 1)
        if place != "hidden" and not (place.isdigit() and int(place) < len(blocks)):
            raise ConfigError(
                f"{preset.name} has no block {place!r}; change hidden, or one of the "
                f"{len(blocks)}, counted from 0"
            )
        for number in hidden if place == "hidden" else (int(place),):
            block = blocks[number]
            try:
                code = dataclasses.replace(block.code, **change)
            except TypeError:
                known = ", ".join(field.name for field in dataclasses.fields(block.code))
                raise ConfigError(
                    f"{dict(change)} names no setting of {known}, {', '.join(OF_BLOCKS)}"
                ) from None
            blocks[number] = parse(Block, block.model_dump() | {"layer": str(code)} | own)
    return preset.model_copy(update={"blocks": tuple(blocks)})


def _whole(name: str, value: Any) -> Any:
    """Files and models make ``96.0`` of the whole number 96."""
    whole = any(key.name == name and key.kind == "whole" for key in KEYS)
    return int(value) if whole and isinstance(value, float) and value.is_integer() else value


def probes(built: Built, stage: Stage, data: Prepared) -> bool:
    """Whether only a softmax readout learns, from features that never change."""
    alone = stage.phase.blocks == (len(built.blocks),)
    return alone and data.augment is None and hasattr(built.net.readout, "lr")


def train(
    built: Built,
    number: int,
    stage: Stage,
    data: Prepared,
    work: Work,
    seconds: dict[str, float],
) -> Result:
    """One stage by ``train_phases``; gives accuracies if labels were learned."""
    name = f"stage {number + 1}"

    def show(epoch: PhaseEpoch) -> None:
        work.report(dataclasses.replace(epoch, phase=number))
        parts = [f"convergence {', '.join(f'{c:.2f}' for c in epoch.convergence)}"]
        if epoch.test_accuracy is not None:
            parts.append(f"test {100 * epoch.test_accuracy:.2f} %")
        work.tell(f"{name}, epoch {epoch.epoch}: {'; '.join(parts)}, {epoch.seconds:.0f} s")

    labelled = any(label is not None for label in data.y)
    reports = _timed(
        seconds,
        name,
        lambda: train_phases(
            built.net,
            stage.phase,
            data.train if labelled else (data.x, None),
            data.test,
            blocks=built.blocks,
            augment=data.augment,
            scheduler=work.scheduler,
            report_every=stage.data.report_every,
            on_epoch=show,
            progress=work.folder.progress(str(number)),
            on_batch=None if work.watch is None else work.watch(number, data.y),
        ),
    )
    last = reports[-1]
    found: Result = {}
    if last.test_accuracy is not None:
        found = {"train_accuracy": last.train_accuracy, "test_accuracy": last.test_accuracy}
        if last.test_loss is not None and data.inexact:
            net: Any = built.net
            scores = net.readout.respond(features(net, data.x_test))
            found["exact_test_accuracy"] = _exact(scores, data, net.labels)
    return found


def probe(
    net: StreamNet, stage: Stage, data: Prepared, work: Work, seconds: dict[str, float]
) -> Result:
    """The stage in which the readout learns, from features that are computed once."""
    before = net.scheduler
    if work.scheduler is not None:
        net.scheduler = work.scheduler
    try:
        made = _timed(seconds, "features", lambda: features(net, data.x))
        tested = _timed(seconds, "test features", lambda: features(net, data.x_test))
    finally:
        net.scheduler = before
    phase = stage.phase
    found = _timed(
        seconds,
        "readout",
        lambda: linear_probe(
            None,
            (made, data.y),
            (tested, data.y_test),
            epochs=phase.epochs,
            batch_size=phase.batch_size,
            lr=_or(phase.lr, 1e-3),
            dropout=phase.dropout,
            schedule=phase.halving,
            seed=phase.seed,
            scheduler=work.scheduler,
            on_epoch=lambda epoch: tell_epoch(epoch, work),
            progress=work.folder.progress("readout"),
        ),
    )
    give(net, found)
    result = {"train_accuracy": found.train_accuracy, "test_accuracy": found.test_accuracy}
    if data.inexact:
        scores = torch.nn.functional.linear(tested.flatten(1).float(), found.weight, found.bias)
        result["exact_test_accuracy"] = _exact(scores, data, found.classes)
    return result


def tell_epoch(epoch: EpochResult, work: Work) -> None:
    """Pass on what was measured in an epoch of a readout."""
    work.report(epoch)
    work.tell(
        f"readout, epoch {epoch.epoch}: test {100 * epoch.test_accuracy:.2f} %, train "
        f"{100 * epoch.train_accuracy:.2f} %, {epoch.seconds:.0f} s"
    )


def give(net: StreamNet, found: ProbeResult) -> None:
    """Let a net's readout be the linear layer that a probe has learned."""
    readout: Any = net.readout
    readout.add_classes(found.classes)
    order = [found.classes.index(label) for label in readout.labels]
    readout.weight.copy_(found.weight[order])
    readout.bias.copy_(found.bias[order])


def trained(trial: OfflineTrial, work: Work) -> Built:
    """Train a trial that another one is about, unless it has been, and read its net.

    Args:
        trial: takes the folder that it would have by itself.
        work: of the other trial.

    Raises:
        BusyError: if another process is just training it.
    """
    folder = folder_of(trial, work.folder.root)
    found = run_trial(trial, work.folder.root, work.setup, work.tell)
    if found is None:
        raise BusyError(f"{folder.path} is being trained by another process: run again later")
    work.digests |= found.get("digests", {})
    built = trial.build()
    built.net.load(folder.net)
    return built._replace(net=built.net.to(work.setup.device))


def file_digest(path: str) -> str:
    """A name for what a file holds."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _exact(scores: Tensor, data: Prepared, classes: Sequence[Any]) -> float:
    """Accuracy over the test samples whose content is that of the original data set."""
    told = torch.tensor([classes.index(label) for label in data.y_test])
    exact = torch.ones(len(told), dtype=torch.bool)
    exact[list(data.inexact)] = False
    return float((scores.argmax(1).cpu() == told)[exact].double().mean())


def _timed(seconds: dict[str, float], name: str, work: Callable[[], T]) -> T:
    start = time.perf_counter()
    found = work()
    seconds[name] = round(time.perf_counter() - start, 2)
    return found


def _or(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value
