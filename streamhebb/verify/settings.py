"""From the settings of a reference vector to a layer built of the library's parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from streamhebb.bias import PriorBias
from streamhebb.competition import (
    Competition,
    HardWTA,
    RankedHardWTA,
    RankedSoftWTA,
    ShareWTA,
    SoftWTA,
)
from streamhebb.errors import SourceError
from streamhebb.layers import Conv2d, Dense
from streamhebb.layers.plastic import PlasticLayer
from streamhebb.presets.language import CONV, DENSE, TAUGHT
from streamhebb.rates import ConstantRate, ExponentialDecay, LinearDecay, NormRate, Rate
from streamhebb.rules import SoftHebb
from streamhebb.scaling import LayerMax

# What a published layer does when a setting is not given.
_COMMON: dict[str, Any] = {
    "fn": "exp",
    "mode": 0,
    "rank": 3,
    "decay": "linear",
    "nb_epochs": 1,
    "ratio": None,
    "nb_train": None,
    "tri": False,
    "s": 1,
    "p": 0,
    "d": 1,
    "g": 1,
    "pad": "reflect",
}
# What the mini-language of layers knows by another name.
OTHER_NAMES = {
    "n_out": "c",
    "kernel_size": "k",
    "padding": "p",
    "stride": "s",
    "dilation": "d",
    "groups": "g",
    "norm_p": "lb",
    "by_radius": "adaptive",
    "pre_triangle": "tri",
}


def _defaults(filled: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """What the mini-language fills in, by the names used here."""
    kept = {OTHER_NAMES.get(name, name): value for name, value in filled.items()}
    return {name: value for name, value in kept.items() if name not in _UNUSED} | more


_UNUSED = ("lr_taught", "prune", "radius")
_DENSE = _defaults(DENSE, softness="soft", speed=0.4, div=100.0)
_CONV = _defaults(CONV, speed=7.0, div=96.0)
_DEMO: dict[str, Any] = {"softness": "softkrotov", "power": 0.5}

# The long names of the published layer settings, in terms of the short ones above.
_LONG = {
    "power_lr": "power",
    "t_invert": "t",
    "lebesgue_p": "lb",
    "ranking_param": "rank",
    "soft_activation_fn": "fn",
    "add_bias": "bias",
    "lr_decay": "decay",
    "lr_div": "div",
    "pre_triangle": "tri",
    "stride": "s",
    "padding": "p",
    "padding_mode": "pad",
    "dilation": "d",
    "groups": "g",
    "power": "",  # a setting nothing reads; the short name means another one
}

_SOFT = ("soft", "softkrotov")
_HARD = ("hard", "hardkrotov")
_SHARES = ("relu", "repu", "sigmoid", "tanh")
_NO_NUMBER = ("softness", "adaptive", "bias", "fn", "decay", "ratio", "nb_train", "tri", "pad")
_WHOLE = ("mode", "rank", "s", "p", "d", "g")


def single(value: float) -> float:
    """Round to float32, which is how the reference holds t, 1/t and delta in every precision."""
    return float(np.float32(value))


def short_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the published settings of a layer to the names of the layer cases.

    Example:
        >>> short_names({"t_invert": 1.0, "power": 4.5, "power_lr": 0.5, "lr": 0.1})
        {'t': 1.0, 'power': 0.5, 'lr': 0.1}
    """
    renamed = {_LONG.get(name, name): value for name, value in config.items()}
    renamed.pop("", None)
    return renamed


@dataclass(frozen=True)
class Settings:
    """Everything that says how one reference layer behaves.

    Args:
        values: by the short names of the reference; defaults filled in.
        conv: whether it is a convolution.
    """

    values: Mapping[str, Any]
    conv: bool

    @classmethod
    def of(cls, meta: Mapping[str, Any], weight_ndim: int) -> Settings:
        """Fill in what is not given.

        Args:
            meta: settings by their short names.
            weight_ndim: 4 for a convolution, 2 for a dense layer.

        Raises:
            SourceError: for settings that are no numbers, or contradict the weights.
        """
        conv = weight_ndim == 4
        arch = "CNN" if conv else "MLP"
        if meta.get("arch", arch) != arch:
            raise SourceError(f"meta says arch={meta['arch']!r}, but w0 is that of a {arch}")
        values: dict[str, Any] = _COMMON | (_CONV if conv else _DENSE)
        if str(meta.get("source", "")).startswith("demo"):
            values |= _DEMO
        values |= {name: meta[name] for name in values.keys() | {"softness"} if name in meta}
        if "softness" not in values:
            raise SourceError("meta has no softness, which names the rule")
        for name, value in values.items():
            if name in _NO_NUMBER:
                continue
            if not _is_number(value):
                raise SourceError(f"meta says {name}={value!r}; a number is needed")
            if name in _WHOLE and not float(value).is_integer():
                raise SourceError(f"meta says {name}={value!r}; a whole number is needed")
        return cls(values, conv)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def soft(self) -> bool:
        """Whether the competition is soft, signed or not."""
        return self["softness"] in _SOFT

    @property
    def signed(self) -> bool:
        """Whether some neurons learn with the sign reversed."""
        return bool(self["softness"] == "softkrotov")

    @property
    def function(self) -> str:
        """The postsynaptic function; ``"exp"`` is the softmax."""
        return "exp" if self["fn"] in ("exp", "softmax") else str(self["fn"])

    @property
    def t(self) -> float:
        """Inverse temperature as the reference holds it."""
        return single(self["t"])

    def missing(self) -> str:
        """Say what the library, or the reference itself, cannot do; empty if nothing."""
        rule, function = self["softness"], self.function
        if rule not in (*_SOFT, *_HARD, TAUGHT):
            return f"rule {rule} does not exist"
        if self["pad"] not in ("reflect", "zeros"):
            return f"padding mode {self['pad']} does not exist"
        if rule == "hardkrotov" and self["rank"] == 1:
            return "the published hardkrotov has two meanings for rank 1; use rule hard"
        if rule == TAUGHT and (self.conv or self["lb"] != 2 or self["bias"]):
            return f"{rule} exists for dense layers with p-norm 2 and without a bias"
        if rule in (*_HARD, TAUGHT):
            return ""
        if function not in ("exp", *_SHARES):
            return f"postsynaptic function {function} does not exist"
        if self.conv and function != "exp":
            return "the published convolution does not normalise other functions over the neurons"
        if self.conv and self["bias"]:
            return "the published convolution cannot learn a bias"
        if self["bias"] and function not in ("exp", "relu"):
            return f"the bias has no law for the function {function}"
        if self.signed and self["mode"] not in (0, 1, 2):
            return f"mode {self['mode']} of softkrotov does not exist"
        if self.signed and self["mode"] and function != "exp":
            return f"modes 1 and 2 do not exist with the function {function}"
        return ""

    def shares(self) -> Competition:
        """Return the competition without signs, which the reference keeps statistics of."""
        if not self.soft:
            return HardWTA()
        return SoftWTA(self.t) if self.function == "exp" else ShareWTA(self.function)

    def competition(self) -> Competition:
        """Return who learns, and how much."""
        if self["softness"] == "hardkrotov":
            return RankedHardWTA(int(self["rank"]), single(self["delta"]))
        if not self.signed:
            return self.shares()
        if self["mode"]:
            scaled = self["mode"] == 1
            return RankedSoftWTA(self.t, int(self["rank"]), single(self["delta"]), scaled)
        if self.function != "exp":
            return ShareWTA(self.function, anti_hebbian=True)
        return SoftWTA(self.t, anti_hebbian=True)

    def rate(self) -> Rate:
        """Return the learning rate.

        Raises:
            SourceError: for a schedule without ``ratio``, the share of an epoch in a step.
        """
        if self["adaptive"]:
            return NormRate(self["lr"], self["power"])
        return schedule(self.values)

    def prior(self, rate: float | None = None) -> PriorBias | None:
        """Return the learned bias; hard competitions ignore the wish for one.

        Args:
            rate: the rate it will be multiplied with, if that is one number. The reference
                multiplies its 1/t with it in float32, in every precision.
        """
        if not self["bias"] or not self.soft:
            return None
        gain = single(1 / self.t)
        if rate:
            gain = single(single(rate) * gain) / rate
        return PriorBias(self.t, gain, self.function)

    def build(self, weight: Tensor, n_in: int) -> PlasticLayer:
        """Return a layer that holds these weights, in their precision.

        Args:
            weight: as torch shapes it.
            n_in: channels or features of the input.
        """
        parts: dict[str, Any] = {
            "rule": SoftHebb(),
            "competition": self.competition(),
            "rate": self.rate(),
            "scaling": LayerMax(),
            "norm_p": float(self["lb"]),
            "bias": self.prior(),
            "pre_triangle": bool(self["tri"]),
            "trained": self["nb_train"],
        }
        layer: PlasticLayer
        if self.conv:
            layer = Conv2d(
                n_in,
                weight.shape[0],
                weight.shape[2],
                stride=int(self["s"]),
                padding=int(self["p"]),
                padding_mode=self["pad"],
                dilation=int(self["d"]),
                groups=int(self["g"]),
                **parts,
            )
        else:
            layer = Dense(n_in, weight.shape[0], **parts)
        layer.to(weight.dtype)
        layer.set_weight(weight)
        return layer


def schedule(values: Mapping[str, Any]) -> Rate:
    """Return the published rate by its name; an unknown name is a constant, as published.

    Args:
        values: ``decay``, ``lr``, ``nb_epochs``, ``ratio``, ``speed`` and ``div``.
    """
    lr, kind, epochs = values["lr"], values["decay"], values["nb_epochs"]
    if kind not in ("linear", "exp") or epochs == 0:
        return ConstantRate(lr)
    ratio = values["ratio"]
    if not _is_number(ratio) or ratio <= 0:
        raise SourceError(f"meta says ratio={ratio!r}; the {kind} schedule needs a share above 0")
    steps = epochs / ratio
    if kind == "linear":
        return LinearDecay(lr, steps)
    return ExponentialDecay(lr, steps, values["speed"], values["div"])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
