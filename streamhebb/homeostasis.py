"""Homeostasis: what keeps each neuron about equally busy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from streamhebb.parts import require


@dataclass(frozen=True)
class AdaptiveThreshold:
    r"""A threshold that rises while a neuron is busy and falls while it is quiet.

    $$\theta_j \leftarrow \theta_j + \gamma \sum_n (y_{nj} - p)$$

    Rate units compete with $u - \theta$, and $y$ is what the competition gives each, negative
    values counting as 0. Spiking neurons need a voltage that is higher by $\theta$, and $y$ are
    their own spikes. Where it settles, every neuron is active in a share $p$ of all instants.
    Strictly local.

    Args:
        target: $p$, between 0 and 1; ``1 / n_out`` gives every neuron of a hard competition its
            fair share.
        rate: $\gamma$, in units of the drive (rate units) or voltage (spiking neurons).

    Example:
        >>> import torch
        >>> part = AdaptiveThreshold(target=0.5, rate=0.1)
        >>> part.adapt(torch.tensor([[1.0, 0.0]]), part.init(2))
        tensor([ 0.0500, -0.0500])

    Reference:
        P. Földiák, Forming sparse representations by local anti-Hebbian learning, Biol. Cybern.
        64, 1990. https://doi.org/10.1007/BF02331346
    """

    target: float
    rate: float = 0.01

    def __post_init__(self) -> None:
        require("AdaptiveThreshold", "target", self.target, at_least=0, at_most=1)
        require("AdaptiveThreshold", "rate", self.rate, at_least=0)

    def init(self, n_out: int) -> Tensor:
        """Return thresholds of 0, shape ``(n_out,)``."""
        return torch.zeros(n_out)

    def adapt(self, active: Tensor, level: Tensor) -> Tensor:
        """Return the next thresholds.

        Args:
            active: who was active, shape ``(n, n_out)``.
            level: the present thresholds, shape ``(n_out,)``.
        """
        return level + self.rate * (active.clamp_min(0) - self.target).sum(0)
