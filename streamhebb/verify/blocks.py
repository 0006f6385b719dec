"""Replays one block of a published network through StreamNet: norms, layer, activation, pool."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

from streamhebb.errors import ConfigError, SourceError
from streamhebb.layers import (
    AvgPool2d,
    BatchNorm,
    Flatten,
    L2Norm,
    Layer,
    MaxNorm,
    MaxPool2d,
    Winner,
)
from streamhebb.layers.plastic import PlasticLayer
from streamhebb.net import StreamNet
from streamhebb.presets import words
from streamhebb.values import Shape, StepResult
from streamhebb.verify.cases import Case
from streamhebb.verify.compare import Comparison, rate_slack
from streamhebb.verify.functions import activation, output_limit
from streamhebb.verify.settings import Settings, short_names


def is_block(case: Case) -> bool:
    """Whether the case is about one block."""
    return "train_out0" in case or ("op" in case.meta and "layer_config" in case.meta)


def missing(case: Case) -> str:
    """Say what is not supported; empty if everything is."""
    case.need(("w0",))
    return missing_part(case.meta, _settings(case))


def missing_part(meta: Mapping[str, Any], settings: Settings) -> str:
    """Say what is not supported of one block's settings.

    Args:
        meta: ``act``, ``pool``, ``dropout`` and ``att_dropout``, each of which may be missing.
        settings: of its layer.
    """
    if reason := settings.missing():
        return reason
    act, pool = meta.get("act"), meta.get("pool")
    if act and activation(str(act)) is None:
        return f"activation {act} does not exist"
    if pool and build_pool(str(pool)) is None:
        return f"pool {pool} does not exist"
    if act and pool and isinstance(activation(str(act)), Winner):
        return "the published one-hot puts channels last, and pools over them"
    for name in ("dropout", "att_dropout"):
        if isinstance(meta.get(name), float):  # a whole number means none there
            return f"{name} draws random numbers"
    return ""


def replay_block(case: Case, comparison: Comparison) -> None:
    """Train on all inputs but the last, then respond to the last."""
    steps = _steps(case)
    settings = _settings(case)
    weight = case.shaped("w0", (None,) * (4 if settings.conv else 2))
    x = case.shaped("x", (steps + 1, None, *[None] * (case["x"].ndim - 2)))
    comparison.used("x", "w0")
    shape = tuple(x.shape[2:])
    layers = build_layers(case.meta, settings, comparison.tensor(weight), shape)
    net = StreamNet(*layers, seed=None, input_shape=shape).to(comparison.dtype)
    plastic = next(layer for layer in layers if isinstance(layer, PlasticLayer))
    norms = [layer for layer in layers if isinstance(layer, BatchNorm)]
    one_hot = any(isinstance(layer, Winner) for layer in layers)
    limit = max(output_limit(layer) for layer in layers)
    for step in range(steps):
        out = _output(net.step(comparison.tensor(x[step])), one_hot)
        comparison.check(f"train_out{step}", out, limit=limit)
        comparison.check(f"w{step + 1}", plastic.kernel)
        for n, norm in enumerate(norms):
            comparison.check(f"bn{n}_mean{step}", norm.mean)
            comparison.check(f"bn{n}_var{step}", norm.var)
    out = _output(net.respond(comparison.tensor(x[steps])), one_hot)
    comparison.check("eval_out", out, limit=limit)
    slack = rate_slack(plastic.rate, plastic.radius())
    comparison.check("lr_after", plastic.current_rate(), floor=float(settings["lr"]), slack=slack)


def _output(result: StepResult, one_hot: bool) -> Tensor:
    """Return what the last layer gave; the reference puts channels last in a one-hot."""
    out = cast("Tensor", result.scores)  # never None without a readout
    return out.movedim(1, -1) if one_hot else out


def _steps(case: Case) -> int:
    """How often the block was trained."""
    case.need(("x", "w0", "eval_out", "lr_after"))
    steps = len(case["x"]) - 1 if case["x"].ndim else 0
    if steps < 1:
        raise SourceError(f"x has shape {case['x'].shape}; several mini-batches are needed")
    case.need(f"{name}{step + shift}" for step in range(steps) for name, shift in _KEPT)
    return steps


_KEPT = (("train_out", 0), ("w", 1))


def _settings(case: Case) -> Settings:
    config = case.meta.get("layer_config")
    if not isinstance(config, dict):
        raise SourceError("meta has no layer_config, which holds the layer's settings")
    values = short_names(config)
    # The share of an epoch in a step belongs to the run, not to the layer.
    values |= {name: case.meta[name] for name in ("ratio", "nb_epochs") if name in case.meta}
    return Settings.of(values, case["w0"].ndim)


def build_layers(
    meta: Mapping[str, Any], settings: Settings, weight: Tensor, shape: Shape
) -> list[Layer]:
    """Return the layers of a block in the published order, whatever order it is written in.

    Args:
        meta: ``op``, ``act``, ``pool`` and ``bn`` (a norm after the activation).
        settings: of its layer.
        weight: first weights.
        shape: of one sample.
    """
    operations = str(meta.get("op") or "")
    flatten = "flatten" in operations
    layers: list[Layer] = []
    if "batchnorm2d" in operations:
        layers.append(BatchNorm(shape[0]))
    if flatten:
        layers.append(Flatten())
    n_in = math.prod(shape) if flatten else shape[0]
    if "batchnorm1d" in operations:
        layers.append(BatchNorm(n_in))
    if "max" in operations:
        layers.append(MaxNorm())
    if "normnorm" in operations:
        layers.append(L2Norm())
    layers.append(settings.build(weight, n_in))
    if (act := activation(str(meta.get("act")))) is not None:
        layers.append(act)
    if meta.get("bn"):
        layers.append(BatchNorm(weight.shape[0]))
    if (pool := build_pool(str(meta.get("pool")))) is not None:
        layers.append(pool)
    return layers


def build_pool(text: str) -> Layer | None:
    """Return the layer that ``kind_side_stride_padding`` means, ``None`` if there is none.

    Example:
        >>> build_pool("max_4_2_1")
        MaxPool2d(kernel_size=4, stride=2, padding=1)
    """
    try:
        entry = words.pool(text)
    except ConfigError:
        return None
    return (MaxPool2d if entry.pop("type") == "MaxPool2d" else AvgPool2d)(**entry)
