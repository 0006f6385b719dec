"""A learned prior for neurons that compete."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from streamhebb.parts import require, require_choice


@dataclass(frozen=True)
class PriorBias:
    r"""Bias that learns how often a neuron wins, as log prior of the softmax.

    $$\Delta b_j = \frac{\sum_n y_{nj} - N e^{t b_j}}{e^{t b_j}} \;(\text{exp}), \qquad
      \Delta b_j = \sum_n y_{nj} - N b_j - B \;(\text{relu})$$

    then $b \leftarrow b + \eta\, gain\, \Delta b / \max|\Delta b|$; at the start
    $b_j = \ln(1/K) / t$, $K$ neurons competing. The maximum is taken over the layer, so this part
    is not local.

    Args:
        t: inverse temperature of the competition it serves.
        gain: published as ``1 / t`` for dense layers (the default) and ``0.1 / t`` for
            convolutions.
        function: ``"exp"`` or ``"relu"``, as in the competition.

    Reference:
        T. Moraitis et al., SoftHebb, 2022. https://doi.org/10.1088/2634-4386/aca710
    """

    t: float = 1.0
    gain: float | None = None
    function: str = "exp"

    def __post_init__(self) -> None:
        require("PriorBias", "t", self.t, above=0)
        if self.gain is not None:
            require("PriorBias", "gain", self.gain, at_least=0)
        require_choice("PriorBias", "function", self.function, ("exp", "relu"))

    def init(self, n_out: int, groups: int = 1) -> Tensor:
        """Return the uniform prior over the $K$ neurons of a group, shape ``(n_out,)``."""
        return torch.full((n_out,), math.log(groups / n_out) / self.t)

    def change(self, total: Tensor, prior: Tensor, competitions: int, samples: int) -> Tensor:
        """Return the scaled change, to be multiplied by the rate.

        Args:
            total: sum of the postsynaptic factors, shape ``(n_out,)``.
            prior: the present bias, same shape.
            competitions: how many competitions were summed.
            samples: how many samples they came from.
        """
        if self.function == "exp":
            expected = (prior * self.t).exp()
            change = (total - competitions * expected) / expected
        else:
            change = total - competitions * prior - samples
        gain = 1 / self.t if self.gain is None else self.gain
        return gain * change / (change.abs().max() + 1e-30)
