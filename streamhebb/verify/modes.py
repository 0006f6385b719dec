"""Replays published training runs: a small network, mode by mode, phase by phase."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from streamhebb.errors import SourceError
from streamhebb.evaluate.phase import Phase, PhaseEpoch
from streamhebb.evaluate.phases import MODES, plan_phases, train_phases
from streamhebb.layers import BatchNorm, Flatten, Layer, PlasticLayer
from streamhebb.net import StreamNet
from streamhebb.readouts import Readout, SoftHebbReadout, SoftmaxReadout
from streamhebb.scaling import LayerMax
from streamhebb.values import Shape
from streamhebb.verify import blocks
from streamhebb.verify.cases import Array, Case
from streamhebb.verify.compare import LIMIT, Comparison, relative
from streamhebb.verify.functions import output_limit
from streamhebb.verify.settings import TAUGHT, Settings

_KEY = re.compile(r"(lr|ls|lp|lb|[a-z])(.+)$")
_NAMES = {"lp": "power", "b": "bias", "a": "delta", "v": "adaptive", "e": "tri"}
_BINARY = ("bias", "adaptive", "tri")
_IGNORED = ("c", "k", "r", "m", "ls")  # shown by the weights, used up by them, or inert


def is_modes(case: Case) -> bool:
    """Whether the case is about a training run in phases."""
    return "phases" in case.meta


def missing(case: Case) -> str:
    """Say what is not supported; empty if everything is."""
    *hidden, readout = _blocks(case)
    for number, block in enumerate(hidden):
        rule = str(block.get("preset")).partition("-")[0]
        if rule in ("BP", TAUGHT):
            return f"block {number} is {rule}; only the last block may learn from labels here"
        meta = _meta(block, case)
        settings = Settings.of(meta["values"], case[f"b{number}_w0"].ndim)
        if reason := blocks.missing_part(meta, settings):
            return f"block {number}: {reason}"
    rule = str(readout.get("preset")).partition("-")[0]
    if rule not in ("BP", TAUGHT):
        return f"the last block is {rule}; a readout is needed"
    if isinstance(readout.get("dropout"), float):  # a whole number means none there
        return "dropout draws random numbers"
    if case.meta.get("mode") not in MODES:
        return f"mode {case.meta.get('mode')} does not exist"
    return ""


def replay_modes(case: Case, comparison: Comparison) -> None:
    """Train phase by phase in the stored order; compare states, logs and the last logits."""
    run = _Run(case, comparison)
    for phase, name in zip(run.plan, run.names, strict=True):
        reports = train_phases(run.net, phase, run.train, run.test, blocks=run.parts)
        _compare_state(comparison, run, name)
        _compare_log(comparison, run, name, phase, reports)
    case.need(("logits_test",))
    scores = run.net.respond(run.test[0]).scores
    comparison.check("logits_test", scores, limit=run.limit)


class _Run:
    """Network, plan and data of a case."""

    def __init__(self, case: Case, comparison: Comparison) -> None:
        sides = case["x"].ndim - 2
        x = case.shaped("x", (None, None, *[None] * sides))
        y = case.shaped("y", x.shape[:2])
        x_test = case.shaped("x_test", (None, *x.shape[2:]))
        y_test = case.shaped("y_test", (len(x_test),))
        comparison.used("x", "y", "x_test", "y_test")
        self.batch = x.shape[1]
        self.train = _pair(comparison, x.reshape(-1, *x.shape[2:]), y.reshape(-1))
        self.test = _pair(comparison, x_test, y_test)
        layers, self.parts, readout = _build(case, comparison, tuple(x.shape[2:]))
        net = StreamNet(*layers, readout=readout, seed=None, input_shape=x.shape[2:])
        self.net = net.to(comparison.dtype)
        _set_readout(case, comparison, self.net, len(self.parts))
        self.limit = max((output_limit(layer) for layer in layers), default=LIMIT)
        self.hebbian = isinstance(readout, SoftHebbReadout)
        self.names, self.plan = self._phases(case)

    def _phases(self, case: Case) -> tuple[list[str], tuple[Phase, ...]]:
        """The library's plan of the mode; the reference's phases must be the same."""
        told = case.meta["phases"]
        if not isinstance(told, dict) or not all(isinstance(v, dict) for v in told.values()):
            raise SourceError("meta's phases are no table of settings")
        only = case.meta.get("training_blocks")
        own, taught = (
            Phase(
                epochs=_whole(case.meta, f"nb_epoch_{kind}"),
                batch_size=self.batch,
                lr=next((v["lr"] for v in told.values() if v.get("mode") != "unsupervised"), None),
                stretch=False,  # the reference fits every schedule to the unsupervised epochs
                shuffle=False,
            )
            for kind in ("unsup", "sup")
        )
        plan = plan_phases(
            self.net, case.meta["mode"], unsupervised=own, supervised=taught, only=only,
            blocks=self.parts,
        )  # fmt: skip
        names = sorted(told)
        if [list(phase.blocks) for phase in plan] != [told[name].get("blocks") for name in names]:
            raise SourceError(
                f"meta's phases train {[told[name].get('blocks') for name in names]}; the mode "
                f"{case.meta['mode']} trains {[list(phase.blocks) for phase in plan]}"
            )
        return names, plan


def _whole(meta: Mapping[str, Any], name: str) -> int:
    value = meta.get(name)
    if type(value) is not int or value < 1:
        raise SourceError(f"meta says {name}={value!r}; a whole number above 0 is needed")
    return value


def _pair(comparison: Comparison, x: Array, y: Array) -> tuple[Tensor, list[int]]:
    if y.dtype.kind not in "iu":
        raise SourceError(f"labels have dtype {y.dtype}; whole numbers are needed")
    return comparison.tensor(x), y.tolist()


# -- the network ---------------------------------------------------------------------------------


def _blocks(case: Case) -> list[Mapping[str, Any]]:
    """The reference's description of each block, from input to readout."""
    net = case.meta.get("net")
    if not isinstance(net, dict) or not net:
        raise SourceError("meta has no net, which describes the blocks")
    found = [net.get(f"b{number}") for number in range(len(net))]
    if not all(isinstance(block, dict) and "preset" in block for block in found):
        raise SourceError("meta's net must describe blocks b0, b1, ... by their presets")
    case.need(f"b{number}_w0" for number in range(len(net)))
    return found  # type: ignore[return-value]  # all are dicts


def read_preset(preset: str) -> dict[str, Any]:
    """Read the published name of a layer: ``rule-key-key...``.

    Example:
        >>> read_preset("soft-c20-t12-lp0.5-v1")
        {'softness': 'soft', 't': 12.0, 'power': 0.5, 'adaptive': True}
    """
    rule, *keys = preset.split("-")
    values: dict[str, Any] = {"softness": rule}
    for text in keys:
        found = _KEY.match(text)
        try:
            number = float(found[2]) if found else math.nan
        except ValueError:
            number = math.nan
        if found is None or not math.isfinite(number):
            raise SourceError(f"preset {preset!r} holds {text!r}; a key and a number are needed")
        if found[1] not in _IGNORED:
            name = _NAMES.get(found[1], found[1])
            values[name] = bool(number) if name in _BINARY else number
    return values


def _meta(block: Mapping[str, Any], case: Case) -> dict[str, Any]:
    """A block's settings by the names that block cases use."""
    data = case.meta.get("dataset")
    data = data if isinstance(data, dict) else {}
    ratio = _whole(data, "batch_size") / _whole(data, "training_sample")
    values = read_preset(str(block["preset"])) | (block.get("layer") or {})
    values |= {"ratio": ratio, "nb_epochs": _whole(case.meta, "nb_epoch_unsup")}
    return {
        "op": block.get("operation"),
        "act": block.get("activation"),
        "pool": block.get("pool"),
        "bn": block.get("batch_norm"),
        "dropout": block.get("dropout"),
        "att_dropout": block.get("att_dropout"),
        "values": values,
    }


class _Net(NamedTuple):
    layers: list[Layer]
    parts: tuple[range, ...]
    readout: Readout


def _build(case: Case, comparison: Comparison, shape: Shape) -> _Net:
    *hidden, last = _blocks(case)
    layers: list[Layer] = []
    parts: list[range] = []
    for number, block in enumerate(hidden):
        weight = case[f"b{number}_w0"]
        comparison.used(f"b{number}_w0")
        meta = _meta(block, case)
        settings = Settings.of(meta["values"], weight.ndim)
        built = blocks.build_layers(meta, settings, comparison.tensor(weight), shape)
        for layer in built:
            shape = layer.shape(shape)
        parts.append(range(len(layers), len(layers) + len(built)))
        layers += built
    if "flatten" in str(last.get("operation")):
        layers.append(Flatten())
        shape = (math.prod(shape),)
        if parts:
            parts[-1] = range(parts[-1].start, len(layers))
    number = len(hidden)
    classes = case.shaped(f"b{number}_w0", (None, math.prod(shape))).shape[0]
    if str(last["preset"]).startswith(TAUGHT):
        rate = Settings.of(_meta(last, case)["values"], 2).rate()
        readout = SoftHebbReadout(classes=classes, rate=rate, scaling=LayerMax())
        return _Net(layers, tuple(parts), readout)
    return _Net(layers, tuple(parts), SoftmaxReadout(classes=classes))


def _set_readout(case: Case, comparison: Comparison, net: StreamNet, number: int) -> None:
    readout: Any = net.readout
    weight = case[f"b{number}_w0"]
    comparison.used(f"b{number}_w0")
    readout.weight.copy_(comparison.tensor(weight))
    if hasattr(readout, "bias"):
        bias = case.shaped("classifier_b0", (len(weight),))
        comparison.used("classifier_b0")
        readout.bias.copy_(comparison.tensor(bias))


# -- what came out -------------------------------------------------------------------------------


def _compare_state(comparison: Comparison, run: _Run, name: str) -> None:
    """Weights and statistics after a phase; the reference leaves out weights that did not move."""
    readout: Any = run.net.readout
    layers: list[Any] = list(run.net.layers)
    for number, part in enumerate(run.parts):
        plastic = next(layers[i] for i in part if isinstance(layers[i], PlasticLayer))
        comparison.check(f"after_{name}_b{number}_w", plastic.kernel)
        norms = [layers[i] for i in part if isinstance(layers[i], BatchNorm)]
        for n, norm in enumerate(norms):
            comparison.check(f"after_{name}_b{number}_bn{n}_mean", norm.mean)
            comparison.check(f"after_{name}_b{number}_bn{n}_var", norm.var)
    comparison.check(f"after_{name}_b{len(run.parts)}_w", readout.weight)
    if hasattr(readout, "bias"):
        comparison.check(f"after_{name}_classifier_b", readout.bias)


def _compare_log(
    comparison: Comparison, run: _Run, name: str, phase: Phase, reports: tuple[PhaseEpoch, ...]
) -> None:
    """Compare the log column by column, on the reference's own scales."""
    key = f"log_{name}"
    comparison.used(key)
    log = comparison.case.shaped(key, (phase.epochs, 5))
    taught = len(run.parts) in phase.blocks
    if not taught:
        columns = {
            "epoch": [report.epoch for report in reports],
            "train_acc": [100 * (report.train_accuracy or 0) for report in reports],
            "test_acc": [100 * (report.test_accuracy or 0) for report in reports],
            "convergence": [report.convergence[-1] for report in reports],
            "R1": [report.converged[-1] for report in reports],
        }
    else:
        # The reference divides the sum of the batches' means by the number of samples.
        columns = {
            "epoch": [report.epoch for report in reports],
            "train_loss": [(report.train_loss or 0) / run.batch for report in reports],
            "train_acc": [100 * (report.train_accuracy or 0) for report in reports],
            "test_loss": [(report.test_loss or 0) / len(run.test[1]) for report in reports],
            "test_acc": [100 * (report.test_accuracy or 0) for report in reports],
        }
    for column, (title, ours) in enumerate(columns.items()):
        if run.hebbian and taught and title.startswith("train"):
            comparison.notes.append(
                "the reference does not measure a Hebbian readout while it trains, and logs 0"
            )
            continue
        limit = run.limit if title.endswith("loss") else LIMIT
        size = relative(np.asarray(ours, np.float64), log[:, column])
        comparison.add(f"{key}_{title}", size, limit)
