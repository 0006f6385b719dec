"""Forward-Forward: real samples should excite a layer, false ones should not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from streamhebb.parts import State, require, require_choice
from streamhebb.values import Activity, LocalUpdate, Outer


@dataclass(frozen=True)
class ForwardForward:
    r"""Raise the goodness of positive samples above a threshold, lower that of negative ones.

    $$\Delta w_{ji} = m\,\sigma\big(m\,(\theta - g)\big)\, \frac{\partial g}{\partial y_j}\, x_i,
      \qquad g = \tfrac1K \sum_j y_j^2 \;\text{(mean)} \quad\text{or}\quad
      g = \sum_j y_j^2 \;\text{(sum)}$$

    with the modulator $m$, 1 for a positive pass and -1 for a negative one, the logistic
    function $\sigma$ and $K$ neurons. So a pass is one step, and each layer learns in it:

    ``net.step(real, modulator=1.0); net.step(false, modulator=-1.0)``

    What is real and what is false is up to the caller: a picture that carries its label against one
    that carries another (Hinton), or a picture added to itself against two different ones
    (self-contrastive, Chen et al.). The neurons are meant to rectify: use
    ``Independent("relu")``, follow the layer by ``ReLU()``, and by ``L2Norm()`` before the next
    layer, which otherwise finds the goodness of this one in its input.

    The goodness is a sum over all neurons of a layer (of a group, of an output pixel), so the
    rule is **not local**, and is named so.

    Args:
        theta: $\theta \ge 0$.
        goodness: ``"mean"`` or ``"sum"`` of the squares.

    Raises:
        ConfigError: for a value out of its range.

    Example:
        >>> import torch
        >>> from streamhebb import Dense, ForwardForward, Independent, ReLU, StreamNet
        >>> layer = Dense(4, 8, rule=ForwardForward(), competition=Independent("relu"))
        >>> net = StreamNet(layer, ReLU())
        >>> x, other = torch.rand(2, 4)
        >>> positive = net.step(x + x, modulator=1.0)
        >>> negative = net.step(x + other, modulator=-1.0)

    Reference:
        G. Hinton, The Forward-Forward Algorithm, 2022. https://arxiv.org/abs/2212.13345;
        X. Chen et al., Self-Contrastive Forward-Forward algorithm, Nature Communications 16, 2025.
        https://doi.org/10.1038/s41467-025-61037-0
    """

    theta: float = 2.0
    goodness: str = "mean"
    competes: ClassVar[bool] = False
    modulated: ClassVar[bool] = True
    nonlocal_parts: ClassVar[tuple[str, ...]] = ("goodness of the layer",)

    def __post_init__(self) -> None:
        require("ForwardForward", "theta", self.theta, at_least=0)
        require_choice("ForwardForward", "goodness", self.goodness, ("mean", "sum"))

    def init(self, n_in: int, n_out: int) -> State:
        """No state."""
        return {}

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return ``m sigmoid(m (theta - g)) dg/dy x``."""
        post, m = seen.post, seen.modulator
        each = 1 / post.shape[-1] if self.goodness == "mean" else 1.0
        goodness = each * post.square().sum(-1, keepdim=True)
        surprise = m * torch.sigmoid(m * (self.theta - goodness))
        return LocalUpdate((Outer(2 * each * surprise * post, seen.pre),)), state
