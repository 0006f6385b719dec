"""Replays what has no weights of its own: activations, schedules and first weights."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from streamhebb.competition import HardWTA, ShareWTA, SoftWTA
from streamhebb.errors import SourceError
from streamhebb.evaluate.losses import power_loss
from streamhebb.evaluate.schedule import halving_rate
from streamhebb.init import Negative, Normal, Positive, Uniform
from streamhebb.layers import (
    Dense,
    Exp,
    L2Norm,
    Layer,
    MaxNorm,
    ReLU,
    RePU,
    Sigmoid,
    Softmax,
    Tanh,
    Triangle,
    Winner,
)
from streamhebb.rates import NormRate
from streamhebb.verify.cases import Array, Case
from streamhebb.verify.compare import LIMIT, LIMIT_TWIN, LOOSE, Comparison, plain, rate_slack
from streamhebb.verify.settings import schedule

_ACTIVATIONS: Mapping[str, Callable[[float], Layer]] = {
    "triangle": Triangle,
    "relu": lambda _: ReLU(),
    "repu": RePU,
    "softmax": Softmax,
    "exp": Exp,
    "tanh": Tanh,
    "sigmoid": lambda _: Sigmoid(),  # the published slope is 10, whatever is asked for
    "hard": lambda _: Winner(),
}
_NORMS: Mapping[str, Callable[[], Layer]] = {"maxnorm": MaxNorm, "normnorm": L2Norm}
_PARAMETER = re.compile(r"([a-z]+)(?:_(\d+(?:\.\d+)?))?$")


def activation(text: str) -> Layer | None:
    """Return the layer that ``name_parameter`` means, ``None`` if there is no such layer.

    Example:
        >>> activation("triangle_0.7")
        Triangle(power=0.7)
    """
    found = _PARAMETER.match(text)
    if found is None or found[1] not in _ACTIVATIONS:
        return None
    return _ACTIVATIONS[found[1]](float(found[2] or 1))


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
            epochs = int(values.get("nb_epochs", found[2]))
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


# -- first weights -------------------------------------------------------------------------------


def is_weights(case: Case) -> bool:
    """Whether the case is about the draws of first weights."""
    return "torch_manual_seed" in case.meta


def replay_weights(case: Case, comparison: Comparison) -> None:
    """Draw first weights from the reference's random numbers.

    The library scales by the radius that is wanted and knows no offset; the reference was given
    a range and an offset. So the radius that means this range is asked for, and the offset is
    added here.
    """
    seed = case.meta["torch_manual_seed"]
    scale = float(case.meta.get("weight_range", 1.0))
    offset = float(case.meta.get("weight_offset", 0.0))
    with torch.random.fork_rng(devices=[]):
        for key in ("positive", "negative", "normal", "zero_mean"):
            if key in case:
                torch.manual_seed(seed)
                _check_draw(comparison, key, scale, offset)
        for key in sorted(case.arrays):
            if found := re.match(r"demo_conv_\d+_\d+_k\d+$", key):
                torch.manual_seed(seed)
                comparison.check(found[0], Normal(25.0).draw(case[key].shape, 2.0, None))
        if "demo_conv1_first" in case:
            torch.manual_seed(seed)
            _check_demo(comparison)


def _check_draw(comparison: Comparison, key: str, scale: float, offset: float) -> None:
    shape = comparison.case[key].shape
    fan_in = math.prod(shape[1:])
    uniform = scale * math.sqrt(fan_in / 3)  # the radius of weights of this range
    if key == "normal":
        drawn = Normal(scale * math.sqrt(fan_in)).draw(shape, 2.0, None) + offset
    elif key == "positive":
        drawn = Positive(uniform).draw(shape, 2.0, None) + offset
    elif key == "negative":
        drawn = Negative(uniform).draw(shape, 2.0, None) + offset
    else:
        # Published: 2 U + offset, of mean 1, whatever the range. Ours: range (2 U - 1).
        drawn = Uniform(uniform).draw(shape, 2.0, None) / scale + 1 + offset
        comparison.notes.append(
            "zero_mean: ours has mean 0 and keeps its range, the published one has mean 1 and "
            "ignores it; compared after undoing that"
        )
    comparison.check(key, drawn)


def _check_demo(comparison: Comparison) -> None:
    """Draw the demo network: convolutions, then the stock readout, then its positive weights."""
    shapes = ((96, 3, 5, 5), (384, 96, 3, 3), (1536, 384, 3, 3))
    for number, shape in enumerate(shapes, 1):
        _check_sample(comparison, f"demo_conv{number}", Normal(25.0).draw(shape, 2.0, None))
    stock = nn.Linear(24576, 10)
    comparison.check("demo_classifier_bias", stock.bias)
    _check_sample(comparison, "demo_classifier", Positive(10.0).draw((10, 24576), 2.0, None))


def _check_sample(comparison: Comparison, name: str, drawn: Tensor) -> None:
    flat = drawn.flatten(1)
    comparison.check(f"{name}_first", flat[:2, :20])
    wide = plain(flat)
    comparison.check(f"{name}_mean_std", [wide.mean(), wide.std()], floor=1.0)
