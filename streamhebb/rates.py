"""Learning rates: constant, by the neuron's own weight radius, or by a schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor

from streamhebb import kernels
from streamhebb.errors import ConfigError
from streamhebb.parts import rebuild, require


class Rate(Protocol):
    """A map from a layer's radii and number of updates to a rate.

    Attributes:
        by_radius: whether the radius is looked at; a layer computes it only then.
        by_updates: whether the number of updates is looked at; on a GPU the host waits for it then.
    """

    by_radius: ClassVar[bool]
    by_updates: ClassVar[bool]

    def __call__(self, radius: Tensor, updates: int) -> Tensor | float:
        """Return one rate, or one per neuron, shape ``(n_out,)``."""
        ...


@dataclass(frozen=True)
class ConstantRate:
    r"""The same rate for ever.

    Args:
        lr: $\eta \ge 0$.
    """

    lr: float
    by_radius: ClassVar[bool] = False
    by_updates: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require("ConstantRate", "lr", self.lr, at_least=0)

    def __call__(self, radius: Tensor, updates: int) -> float:
        """Return ``lr``."""
        return self.lr


@dataclass(frozen=True)
class NormRate:
    r"""Rate by the distance of a neuron's radius from 1: strictly local, never runs out.

    $$\eta_j = \eta\,(|r_j - 1| + 10^{-10})^q, \qquad r_j = \|w_j\|_p$$

    Args:
        lr: $\eta \ge 0$.
        power: $q \ge 0$.

    Reference:
        A. Journé et al., ICLR 2023. https://arxiv.org/abs/2209.11883
    """

    lr: float
    power: float = 0.5
    by_radius: ClassVar[bool] = True
    by_updates: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require("NormRate", "lr", self.lr, at_least=0)
        require("NormRate", "power", self.power, at_least=0)

    def __call__(self, radius: Tensor, updates: int) -> Tensor:
        """Return one rate per neuron."""
        return kernels.rates(radius, self.lr, self.power)


@dataclass(frozen=True)
class LinearDecay:
    r"""From ``lr`` to zero over ``steps`` updates, zero from then on.

    $$\eta(s) = \max(0,\ \eta\,(1 - s / steps))$$

    Args:
        lr: the rate of the first update.
        steps: number of updates until zero.
    """

    lr: float
    steps: float
    by_radius: ClassVar[bool] = False
    by_updates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require("LinearDecay", "lr", self.lr, at_least=0)
        require("LinearDecay", "steps", self.steps, above=0)

    def __call__(self, radius: Tensor, updates: int) -> float:
        """Return the rate of update number ``updates``, counted from 0."""
        return max(0.0, self.lr * (1 - updates / self.steps))


@dataclass(frozen=True)
class ExponentialDecay:
    r"""From ``lr`` towards ``lr / div`` over ``steps`` updates.

    $$\eta(s) = m + (\eta - m)\,e^{-v s / steps}, \qquad
      m = \frac{\eta / D - \eta e^{-v}}{1 - e^{-v}}$$

    Args:
        lr: the rate of the first update.
        steps: number of updates after which the rate is ``lr / div``.
        speed: $v$, how early it falls.
        div: $D$.
    """

    lr: float
    steps: float
    speed: float = 7.0
    div: float = 96.0
    by_radius: ClassVar[bool] = False
    by_updates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require("ExponentialDecay", "lr", self.lr, at_least=0)
        for name in ("steps", "speed", "div"):
            require("ExponentialDecay", name, getattr(self, name), above=0)

    def __call__(self, radius: Tensor, updates: int) -> float:
        """Return the rate of update number ``updates``, counted from 0."""
        end = math.exp(-self.speed)
        floor = (self.lr / self.div - self.lr * end) / (1 - end)
        return floor + (self.lr - floor) * math.exp(-self.speed * updates / self.steps)


def rebuild_rate(present: Rate, data: dict[str, Any]) -> Rate:
    """Build the rate that a snapshot describes, which may be of another kind than the present one.

    Example:
        >>> rebuild_rate(ConstantRate(0.1), {"type": "NormRate", "lr": 0.2, "power": 0.5})
        NormRate(lr=0.2, power=0.5)

    Raises:
        ConfigError: for a kind that is neither known nor that of the present one.
    """
    known = {cls.__name__: cls for cls in (ConstantRate, NormRate, LinearDecay, ExponentialDecay)}
    name = data["type"]
    if name == type(present).__name__:
        rate: Rate = rebuild(present, data)
        return rate
    if name not in known:
        raise ConfigError(f"the rate {name!r} is not known; set the layer to one, then load")
    found: Rate = known[name](**{key: value for key, value in data.items() if key != "type"})
    return found
