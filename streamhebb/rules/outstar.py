"""The outstar rule: weights of an active input move towards the output pattern."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from streamhebb.parts import State
from streamhebb.values import Activity, LocalUpdate, Outer


@dataclass(frozen=True)
class Outstar:
    r"""Grossberg's outstar; an active input learns the pattern of outputs it occurs with.

    $$\Delta w_{ji} = x_i\,(y_j - w_{ji})$$

    The twin of [`Instar`][streamhebb.rules.instar.Instar]: there the neuron gates what its weights
    learn, here the input does. Inputs below 0 push the weights away from the output, without bound.

    Example:
        >>> import torch
        >>> from streamhebb import Dense, Outstar
        >>> layer = Dense(4, 3, rule=Outstar(), rate=0.1)
        >>> _, seen = layer.observe(torch.rand(1, 4))
        >>> layer.learn(seen)

    Reference:
        S. Grossberg, Some nonlinear networks capable of learning a spatial pattern of arbitrary
        complexity, PNAS 59, 1968. https://doi.org/10.1073/pnas.59.2.368
    """

    competes: ClassVar[bool] = False

    def init(self, n_in: int, n_out: int) -> State:
        """No state."""
        return {}

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return ``y x - w x``."""
        # The decay is that of an input, not of a neuron: a second product, with the weight as its
        # factor, says so on every kind of synapse.
        forget = Outer(torch.ones_like(seen.post), seen.pre, torch.neg)
        return LocalUpdate((Outer(seen.post, seen.pre), forget)), state
