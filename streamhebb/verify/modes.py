"""Replays published training runs: a small network, mode by mode, phase by phase."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from streamhebb.errors import ConfigError, SourceError
from streamhebb.evaluate.phase import Phase, PhaseEpoch
from streamhebb.evaluate.phases import MODES, plan_phases, train_phases
from streamhebb.layers import BatchNorm, Flatten, Layer, PlasticLayer
from streamhebb.net import StreamNet
from streamhebb.presets.language import KEYS, RULES, TAUGHT, read_layer
from streamhebb.readouts import Readout, SoftHebbReadout, SoftmaxReadout
from streamhebb.scaling import LayerMax
from streamhebb.values import Shape
from streamhebb.verify import blocks
from streamhebb.verify.cases import Array, Case
from streamhebb.verify.compare import LIMIT, Comparison, plain, relative
from streamhebb.verify.functions import output_limit
from streamhebb.verify.settings import OTHER_NAMES, Settings

_OWN_LOG = ("epoch", "train_acc", "test_acc", "convergence", "R1")
_TAUGHT_LOG = ("epoch", "train_loss", "train_acc", "test_loss", "test_acc")
# The others are shown by the weights, used up by them, or inert.
_IGNORED = ("n_out", "kernel_size", "radius", "prune", "lr_taught")
_READ = tuple(key.name for key in KEYS if key.name not in _IGNORED)


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
        if rule not in RULES:
            return f"block {number}: rule {rule} does not exist"
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
    case.need(("logits_test",))
    run = _Run(case, comparison)
    run.train_all()
    # The reference is float32 only, and Adam divides a gradient by its own size: one that float32
    # rounds to 0, or not, moves its weight by a whole step. What the library's own float32 run
    # differs by is round-off of that kind.
    shadow = run
    if comparison.precision != "float32":
        shadow = _Run(case, Comparison(case, "float32"))
        shadow.train_all()
    for key, (ours, limit) in run.found.items():
        slack = 2 * np.abs(ours - shadow.found[key].values)
        if key in run.columns:
            _compare_column(comparison, key, run.columns[key], ours, limit, slack)
        else:
            comparison.check(key, ours, limit=limit, slack=slack)
    comparison.notes.extend(run.notes)


def _compare_column(
    comparison: Comparison,
    key: str,
    place: tuple[str, int],
    ours: Array,
    limit: float,
    slack: Array,
) -> None:
    """Compare one column of a log: columns differ in size by orders of magnitude."""
    log, column = place
    comparison.used(log)
    reference = comparison.case[log][:, column]
    apart = ours - reference
    near = reference + np.sign(apart) * np.maximum(np.abs(apart) - slack, 0)
    comparison.add(key, relative(near, reference), limit)


class _Found(NamedTuple):
    """One result, and what is allowed."""

    values: Array
    limit: float


class _Run:
    """Network, plan and data of a case."""

    def __init__(self, case: Case, comparison: Comparison) -> None:
        sides = case["x"].ndim - 2
        x = case.shaped("x", (None, None, *[None] * sides))
        y = case.shaped("y", x.shape[:2])
        x_test = case.shaped("x_test", (None, *x.shape[2:]))
        y_test = case.shaped("y_test", (len(x_test),))
        comparison.used("x", "y", "x_test", "y_test")
        self.case = case
        self.batch = int(x.shape[1])
        self.train = _pair(comparison, x.reshape(-1, *x.shape[2:]), y.reshape(-1))
        self.test = _pair(comparison, x_test, y_test)
        layers, self.parts, readout = _build(case, comparison, tuple(x.shape[2:]))
        net = StreamNet(*layers, readout=readout, seed=None, input_shape=x.shape[2:])
        self.net = net.to(comparison.dtype)
        _set_readout(case, comparison, self.net, len(self.parts))
        self.limit = max((output_limit(layer) for layer in layers), default=LIMIT)
        self.hebbian = isinstance(readout, SoftHebbReadout)
        self.names, self.plan = self._phases(case)
        self.found: dict[str, _Found] = {}
        self.columns: dict[str, tuple[str, int]] = {}
        self.notes: list[str] = []

    def train_all(self) -> None:
        """Train all phases and keep what the reference keeps."""
        for phase, name in zip(self.plan, self.names, strict=True):
            reports = train_phases(self.net, phase, self.train, self.test, blocks=self.parts)
            self._keep_state(name)
            self._keep_log(name, phase, reports)
        self._keep("logits_test", self.net.respond(self.test[0]).scores, self.limit)

    def _keep(self, key: str, values: Any, limit: float = LIMIT) -> None:
        self.found[key] = _Found(plain(values).copy(), limit)

    def _keep_state(self, name: str) -> None:
        """Weights and statistics; the reference leaves out weights that did not move."""
        readout: Any = self.net.readout
        layers: list[Any] = list(self.net.layers)
        for number, part in enumerate(self.parts):
            own = [layers[i] for i in part]
            plastic = next(layer for layer in own if isinstance(layer, PlasticLayer))
            self._keep(f"after_{name}_b{number}_w", plastic.kernel)
            norms = [layer for layer in own if isinstance(layer, BatchNorm)]
            for n, norm in enumerate(norms):
                self._keep(f"after_{name}_b{number}_bn{n}_mean", norm.mean)
                self._keep(f"after_{name}_b{number}_bn{n}_var", norm.var)
        self._keep(f"after_{name}_b{len(self.parts)}_w", readout.weight)
        if hasattr(readout, "bias"):
            self._keep(f"after_{name}_classifier_b", readout.bias)

    def _keep_log(self, name: str, phase: Phase, reports: tuple[PhaseEpoch, ...]) -> None:
        """The log's columns on the reference's own scales."""
        self.case.shaped(f"log_{name}", (phase.epochs, 5))
        taught = len(self.parts) in phase.blocks
        titles = _TAUGHT_LOG if taught else _OWN_LOG
        for column, title in enumerate(titles):
            if taught and self.hebbian and title.startswith("train"):
                self.notes.append(
                    "the reference does not measure a Hebbian readout while it trains, and logs 0"
                )
                continue
            key = f"log_{name}_{title}"
            self.columns[key] = (f"log_{name}", column)
            values = [self._entry(title, report) for report in reports]
            self._keep(key, values, self.limit if title.endswith("loss") else LIMIT)

    def _entry(self, title: str, report: PhaseEpoch) -> float:
        match title:
            case "epoch":
                return report.epoch
            case "train_acc":  # the reference logs 0 where it measures nothing
                return 100 * (report.train_accuracy or 0)
            case "test_acc":
                return 100 * (report.test_accuracy or 0)
            case "train_loss":  # it divides the sum of the batches' means by the number of samples
                return (report.train_loss or 0) / self.batch
            case "test_loss":
                return (report.test_loss or 0) / len(self.test[1])
            case "convergence":
                return report.convergence[-1]
        return float(report.converged[-1])

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
    try:
        code = read_layer(preset)
    except ConfigError as error:
        raise SourceError(f"preset {preset!r}: {str(error).splitlines()[0]}") from error
    values = {name: getattr(code, name) for name in _READ}
    given = {OTHER_NAMES.get(n, n): value for n, value in values.items() if value is not None}
    return {"softness": code.rule} | given


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
