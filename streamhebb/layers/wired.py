"""A layer with weights: how it is driven by what it sees, and how fast they may change."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.errors import ConfigError, ShapeError
from streamhebb.layers.base import Layer
from streamhebb.lazy import made
from streamhebb.parts import describe, require, require_choice, require_part
from streamhebb.rates import ConstantRate, NormRate, Rate, rebuild_rate
from streamhebb.synapses import Synapse

PRECISIONS = ("full", "bfloat16")

P = ParamSpec("P")
R = TypeVar("R")
L = TypeVar("L", bound="WiredLayer")


def own_kernels(work: Callable[Concatenate[L, P], R]) -> Callable[Concatenate[L, P], R]:
    """Let a method use the kernels of its layer's own backend."""

    @functools.wraps(work)
    def with_them(layer: L, /, *args: P.args, **named: P.kwargs) -> R:
        if layer.backend is None:
            return work(layer, *args, **named)
        with kernels.during(layer.backend):
            return work(layer, *args, **named)

    return with_them


class WiredLayer(Layer):
    r"""Weights on a synapse, with the drive $u = \sum_i sign(w_i)|w_i|^{p-1} x_i$.

    Args:
        synapse: the wiring.
        norm_p: $p$ of the drive and the radius; 2 is the plain weighted sum.
        rate: a rate, a number for a constant one, ``None`` for the default.

    Attributes:
        plasticity: whether ``learn`` changes anything; may be set at any step.
    """

    weight: Tensor
    wiring: Tensor | None
    updates: Tensor

    def __init__(self, synapse: Synapse, norm_p: float, rate: Rate | float | None) -> None:
        super().__init__()
        require(type(self).__name__, "norm_p", norm_p, at_least=1)
        self.synapse = synapse
        self.norm_p = norm_p
        self.plasticity = True
        self._method, self._precision = synapse.methods[0], PRECISIONS[0]
        self._backend: str | None = None
        self.rate = rate
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.register_buffer("weight", synapse.flat(torch.zeros(synapse.weight_shape)).clone())
        self.register_buffer("wiring", synapse.wiring())

    def weigh(self, pre: Tensor) -> Tensor:
        """Return the drive of what the competitions see."""
        weight = self.weight
        if self.norm_p > 2:
            weight = weight.abs().pow_(self.norm_p - 2).mul_(weight)  # two passes less
        elif self.norm_p < 2:
            weight = weight.sign() * weight.abs() ** (self.norm_p - 1)
        else:
            weight = self._factor()
        return kernels.drive(pre, weight, self.wiring, self.coarse)

    def _factor(self) -> Tensor:
        """The weights as they enter a product, rounded already or not."""
        return self.weight

    def set_weight(self, weight: Tensor) -> None:
        """Copy weights in, shaped as ``kernel`` shows them.

        Raises:
            ShapeError: if the shape differs.
        """
        if tuple(weight.shape) != self.synapse.weight_shape:
            raise ShapeError(
                f"{type(self).__name__}: weights of shape {tuple(weight.shape)} given; "
                f"{self.synapse.weight_shape} needed"
            )
        self.weight.copy_(self.synapse.flat(weight))

    @property
    def kernel(self) -> Tensor:
        """The weights as torch shapes them: ``(n_out, n_in)`` or ``(n_out, n_in, k, k)``."""
        return self.synapse.shown(self.weight)

    def radius(self) -> Tensor:
        r"""Radius $r_j = (\sum_i |w_{ji}|^p)^{1/p}$ of every neuron, shape ``(n_out,)``."""
        return kernels.row_norms(self.weight, self.norm_p)

    @property
    def rate(self) -> Rate:
        """How fast it learns; set a [`Rate`][streamhebb.rates.Rate] or a number at any step."""
        return self._rate

    @rate.setter
    def rate(self, rate: Rate | float | None) -> None:
        if isinstance(rate, (int, float)):
            rate = ConstantRate(rate)
        rate = NormRate(0.0025) if rate is None else rate
        require_part(type(self).__name__, "rate", rate, "NormRate(0.01) or a number")
        self._rate: Rate = rate

    @property
    def method(self) -> str:
        """How products are made: ``"direct"``; convolutions 3 x 3 also ``"winograd2"``, ``4``.

        May be set at any step; results differ by rounding. See
        [`winograd`][streamhebb.kernels.winograd].
        """
        return self._method

    @method.setter
    def method(self, method: str) -> None:
        require_choice(type(self).__name__, "method", method, self.synapse.methods)
        self._check_coarse(method, self.precision)
        self._method = method

    @property
    def precision(self) -> str:
        """Of products: ``"full"``, that of the tensors, or ``"bfloat16"``, summed in float32.

        May be set at any step. Weights stay as they are, but whoever writes to ``weight.data`` or
        through numpy must set them by ``set_weight``: large layers keep them rounded until they see
        a change. Fast where the processor or card has instructions for it; what differs elsewhere,
        see [`streamhebb.kernels.coarse`][].
        """
        return self._precision

    @precision.setter
    def precision(self, precision: str) -> None:
        require_choice(type(self).__name__, "precision", precision, PRECISIONS)
        self._check_coarse(self.method, precision)
        self._precision = precision

    @property
    def products(self) -> str:
        """How products are made, in a word or two."""
        words = self.method, self.backend, self.precision if self.coarse else None
        return ", ".join(word for word in words if word is not None)

    @property
    def coarse(self) -> bool:
        """Whether products are made of numbers rounded to bfloat16."""
        return self._precision == "bfloat16"

    @property
    def backend(self) -> str | None:
        """Of the kernels of this layer; ``None`` is that of the process, ``kernels.use``.

        May be set at any step; results differ by rounding.
        """
        return self._backend

    @backend.setter
    def backend(self, backend: str | None) -> None:
        if backend is not None:
            kernels.load(backend, f"{type(self).__name__}: backend")
        self._backend = backend

    @staticmethod
    def allows(method: str, precision: str) -> bool:
        """Whether a method can be had in a precision."""
        return (method, precision) != ("winograd4", "bfloat16")

    def _check_coarse(self, method: str, precision: str) -> None:
        if not self.allows(method, precision):
            raise ConfigError(
                f"{type(self).__name__}: method='winograd4' is not allowed with "
                f"precision='bfloat16', which its maps enlarge to errors of percents; use "
                f"'winograd2' or 'direct'"
            )

    def current_rate(self) -> Tensor | float:
        """The rate the next update will use: one number, or shape ``(n_out,)``."""
        rate: Tensor | float = made(self._rate_now())
        return rate

    def _rate_now(self) -> Tensor | float:
        """As `current_rate`; rates may still be to be made, before the weights change."""
        updates = int(self.updates) if self.rate.by_updates else 0
        return self.rate(self._rate_radius() if self.rate.by_radius else self.updates, updates)

    def _rate_radius(self) -> Tensor:
        return self.radius()

    def get_extra_state(self) -> dict[str, Any]:
        """What may be set while running, for ``state_dict``."""
        return {
            "plasticity": self.plasticity,
            "rate": describe(self.rate),
            "method": self.method,
            "precision": self.precision,
            "backend": self.backend,
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` gave."""
        self.plasticity = bool(state["plasticity"])
        self.rate = rebuild_rate(self.rate, state["rate"])
        self._precision = PRECISIONS[0]  # any method may be set with it
        self.method = state.get("method", "direct")
        self.precision = state.get("precision", PRECISIONS[0])
        self.backend = state.get("backend")
