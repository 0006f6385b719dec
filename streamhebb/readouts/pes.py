"""Linear decoders, learned by prescribed error sensitivity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.parts import require
from streamhebb.readouts._linear import as_shares, change
from streamhebb.readouts.base import Features, Readout
from streamhebb.rules import Delta
from streamhebb.values import Label


class PESReadout(Readout):
    r"""Decoders with the rule of prescribed error sensitivity (PES), as Nengo has it.

    $$y = W a, \qquad E = y - target, \qquad \Delta W = -\frac{\kappa}{n_{in}}\,E\,a^T$$

    for activities $a$ and one-hot targets. **This is the delta rule.** It equals
    [`DeltaReadout`][streamhebb.readouts.delta.DeltaReadout] with ``normalise=False,
    with_bias=False, lr=kappa / n_in``, and has a name of its own because in the literature of
    spiking models the error comes from another population of neurons, and because of its rate:

    * the papers have no $1/n_{in}$, Nengo has it: one rate suits populations of any size, as
      long as the activities stay of one size. Steps below $2 / mean(a^2)$ do not diverge;
    * Nengo's ``learning_rate`` is per second, and its activities are rates in hertz, filtered by a
      synapse. One step here is one time step there for ``lr = learning_rate * dt`` and $a$ in
      hertz. What is filtered here are the features, before they come.

    There is no bias: a population whose neurons have biases of their own can decode a constant.
    A micro-batch takes the mean over its labelled samples.

    Args:
        n_in: features; ``None`` lets the net fill it in.
        classes: a number, the labels, or ``None`` for an open set.
        lr: $\kappa$.

    Example:
        >>> readout = PESReadout(2, classes=["left", "right"], lr=2.0)
        >>> _, seen = readout.observe(torch.tensor([[1.0, 0.0]]))
        >>> readout.learn(seen, ["right"])
        >>> readout.respond(torch.tensor([[1.0, 0.0]]))
        tensor([[0., 1.]])

    Reference:
        D. MacNeil, C. Eliasmith, Fine-tuning and the stability of recurrent neural networks, 2011.
        https://doi.org/10.1371/journal.pone.0022885
    """

    weight: Tensor

    def __init__(
        self,
        n_in: int | None = None,
        classes: int | Sequence[Label] | None = None,
        *,
        lr: float = 0.1,
    ) -> None:
        super().__init__(n_in, classes, ("weight",))
        require("PESReadout", "lr", lr, at_least=0)
        self.lr = lr
        self.rule = Delta()
        if n_in is not None:
            self.build(n_in)

    def build(self, n_in: int) -> None:
        """Make the buffer: all weights start at 0."""
        self.n_in = n_in
        self.register_buffer("weight", torch.zeros(len(self._labels), n_in))

    def respond(self, x: Tensor) -> Tensor:
        """Return the decoded estimate of the one-hot target."""
        return kernels.drive(x, self.weight)

    def learn(self, seen: Features, target: Sequence[Label | None]) -> None:
        """Move the decoders against the error of the prediction that was made."""
        x, scores, hot = self._labelled(seen, target)
        if not len(x):
            return
        error = scores - hot
        step = -self.lr / (x.shape[1] * len(x))
        self.weight.add_(change(self.rule, x, step * error, scores, self.weight))

    def probabilities(self, scores: Tensor) -> Tensor:
        """Clip the estimates to positive numbers and bring their sum to 1."""
        return as_shares(scores)

    def reset(self, generator: Any = None) -> None:
        """Forget the weights, and the classes of an open set."""
        self._forget()
