"""Replays what has no weights of its own: activations and schedules."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from streamhebb import layers
from streamhebb.competition import HardWTA, ShareWTA, SoftWTA
from streamhebb.errors import ConfigError, SourceError
from streamhebb.evaluate.losses import power_loss
from streamhebb.evaluate.schedule import halving_rate
from streamhebb.layers import Dense, L2Norm, Layer, MaxNorm, Winner
from streamhebb.presets import words
from streamhebb.rates import NormRate
from streamhebb.verify.cases import Array, Case
from streamhebb.verify.compare import LIMIT, LIMIT_TWIN, LOOSE, Comparison, rate_slack
from streamhebb.verify.settings import schedule

_NORMS: Mapping[str, Callable[[], Layer]] = {"maxnorm": MaxNorm, "normnorm": L2Norm}


def activation(text: str) -> Layer | None:
    """Return the layer that ``name_parameter`` means, ``None`` if there is no such layer.

    Example:
        >>> activation("triangle_0.7")
        Triangle(power=0.7)
    """
    try:
        entry = words.activation(text)
    except ConfigError:
        return None
    built: Layer = getattr(layers, entry.pop("type"))(**entry)
    return built


def output_limit(layer: Layer | None) -> float:
    """Return the limit of an activation: powers below 1 amplify round-off near 0."""
    power = getattr(layer, "power", 1.0)
    return LOOSE if power < 1 else LIMIT


# -- activations ---------------------------------------------------------------------------------


def is_activations(case: Case) -> bool:
    """Whether the case is about activations."""
    return any("__x" in key for key in case.arrays)


def replay_activations(case: Case, comparison: Comparison) -> None:
    """Apply every activation, competition and norm the reference holds."""
    t = _post_temperature(case.meta)
    for key in sorted(case.arrays):
        name, _, source = key.partition("__")
        if not source:
            continue
        case.need((source,))
        comparison.used(source)
        x = comparison.tensor(case[source])
        if name.startswith("post_"):
            _check_competition(comparison, key, name.removeprefix("post_"), x, t)
        elif name in _NORMS:
            comparison.check(key, _NORMS[name]().respond(x))
        elif (layer := activation(name)) is not None:
            out = layer.respond(x)
            if isinstance(layer, Winner):
                out = out.movedim(1, -1)  # the reference puts the one-hot last
            comparison.check(key, out, limit=output_limit(layer))
    _replay_power_loss(case, comparison)


def _post_temperature(meta: Mapping[str, Any]) -> float:
    """Inverse temperature of the normalised forms; the reference says it in its note."""
    if found := re.search(r"t_invert\s*=\s*(\d+(?:\.\d+)?)", str(meta.get("note", ""))):
        return float(found[1])
    return float(meta.get("t_invert", meta.get("t", 2.0)))


def _check_competition(comparison: Comparison, key: str, name: str, x: Tensor, t: float) -> None:
    if name in ("exp", "softmax"):
        # Sharp shares lose digits in float32.
        sharp = t * float(x.abs().max()) > 10
        comparison.check(key, SoftWTA(t)(x), limit=LOOSE if sharp else LIMIT)
    elif name in ("relu", "repu", "sigmoid", "tanh"):
        comparison.check(key, ShareWTA(name)(x), nan=name in ("relu", "repu"))
    elif name == "hard":
        comparison.check(key, HardWTA()(x))


def _replay_power_loss(case: Case, comparison: Comparison) -> None:
    keys = [key for key in case.arrays if re.match(r"powerloss_m\d", key)]
    if not keys:
        return
    case.need(("x2", "powerloss_target"))
    comparison.used("powerloss_target")
    scores = comparison.tensor(case["x2"]) / 3
    target = torch.as_tensor(case["powerloss_target"])
    for key in keys:
        power = float(key.removeprefix("powerloss_m"))
        comparison.check(key, power_loss(scores, target, power))


# -- schedules -----------------------------------------------------------------------------------


def is_schedules(case: Case) -> bool:
    """Whether the case is about learning rates."""
    return isinstance(case.meta.get("cases"), dict) or "norm_w" in case


def replay_schedules(case: Case, comparison: Comparison) -> None:
    """Compute every schedule of layers and readouts, and the rates by radius."""
    settings = case.meta.get("cases", {})
    for key in sorted(case.arrays):
        if key.startswith("unsup_"):
            _check_schedule(comparison, key, _settings_of(settings, key))
        elif found := re.match(r"classifier_(demo|full)_(\d+)$", key):
            values = _settings_of(settings, key)
            epochs = int(values.get("nb_epochs") or found[2])
            lr = float(values.get("lr", 0.001))
            rates = [halving_rate(lr, epoch, epochs, found[1]) for epoch in range(epochs)]
            comparison.check(key, rates, limit=LIMIT_TWIN)
        elif found := re.match(r"norm_lr_(\d[^_]*)_(\d[^_]*)$", key):
            case.need(("norm_w",))
            comparison.used("norm_w")
            _check_norm_rate(comparison, key, case["norm_w"], float(found[1]), float(found[2]))


def _settings_of(cases: Mapping[str, Any], key: str) -> dict[str, Any]:
    values = cases.get(key)
    if not isinstance(values, dict):
        raise SourceError(f"meta says nothing about the schedule {key}")
    return values


def _check_schedule(comparison: Comparison, key: str, given: dict[str, Any]) -> None:
    values = {"decay": "linear", "nb_epochs": 1, "ratio": None, "speed": 7.0, "div": 96.0} | given
    if "lr" not in values:
        raise SourceError(f"meta has no lr for the schedule {key}")
    rate = schedule(values)
    none = torch.ones(1)
    steps = range(comparison.case[key].size)
    comparison.check(key, [float(rate(none, step)) for step in steps], limit=LIMIT_TWIN)


def _check_norm_rate(
    comparison: Comparison, key: str, weight: Array, lr: float, power: float
) -> None:
    w = comparison.tensor(weight).flatten(1)
    layer = Dense(w.shape[1], w.shape[0], rate=NormRate(lr, power)).to(w.dtype)
    layer.set_weight(w)
    slack = rate_slack(layer.rate, layer.radius())
    comparison.check(key, layer.current_rate(), slack=slack)
