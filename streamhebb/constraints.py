"""Constraints: where weights may be, whatever a rule wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from streamhebb.errors import ConfigError
from streamhebb.parts import require, require_choice


class Constraint(Protocol):
    """A projection of the weights, applied after every change."""

    def __call__(self, weight: Tensor) -> None:
        """Bring weights, shape ``(n_out, n_in)``, to where they may be, in place."""
        ...


@dataclass(frozen=True)
class Clip:
    r"""Hard bounds: $w_{ji} \leftarrow \min(\max(w_{ji}, low), high)$.

    Args:
        low: smallest weight; 0 makes every synapse excitatory.
        high: largest weight.

    Example:
        >>> import torch
        >>> weight = torch.tensor([[-1.0, 0.5, 2.0]])
        >>> Clip(0, 1)(weight)
        >>> weight
        tensor([[0.0000, 0.5000, 1.0000]])
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        require("Clip", "low", self.low)
        require("Clip", "high", self.high)
        if self.low >= self.high:
            raise ConfigError(
                f"Clip: low={self.low!r} is not allowed with high={self.high!r}; it must be below"
            )

    def __call__(self, weight: Tensor) -> None:
        """Clip in place."""
        weight.clamp_(self.low, self.high)


@dataclass(frozen=True)
class SynapticScaling:
    r"""Each neuron scales all its synapses together towards a fixed total.

    $$w_{ji} \leftarrow w_{ji} \Big(1 + rate\,\Big(\frac{total}{\|w_j\|_p} - 1\Big)\Big)$$

    Looks at one neuron's own synapses only. A neuron without any weight is left alone.

    Args:
        total: the $p$-norm that is held: with ``power=1`` the sum of absolute weights, with
            ``power=2`` the length.
        rate: how much of the way is gone after each change, above 0 and at most 1.
        power: $p$, 1 or 2.

    Example:
        >>> import torch
        >>> weight = torch.tensor([[3.0, 1.0]])
        >>> SynapticScaling(2.0)(weight)
        >>> weight
        tensor([[1.5000, 0.5000]])

    Reference:
        G. Turrigiano, The self-tuning neuron: synaptic scaling of excitatory synapses, Cell 135,
        2008. https://doi.org/10.1016/j.cell.2008.10.008
    """

    total: float
    rate: float = 1.0
    power: int = 1

    def __post_init__(self) -> None:
        require("SynapticScaling", "total", self.total, above=0)
        require("SynapticScaling", "rate", self.rate, above=0, at_most=1)
        require_choice("SynapticScaling", "power", self.power, (1, 2))

    def __call__(self, weight: Tensor) -> None:
        """Scale in place."""
        size = weight.norm(self.power, dim=1, keepdim=True)
        factor = self.total / size.masked_fill(size == 0, self.total)
        weight.mul_(factor.sub_(1).mul_(self.rate).add_(1))
