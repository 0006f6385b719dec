"""Linear readout, learned by the delta rule (least mean squares)."""

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


class DeltaReadout(Readout):
    r"""Linear readout with the delta rule of Widrow and Hoff (LMS), also normalised (NLMS).

    $$y = W x, \qquad
      \Delta W = \eta\,(target - y)\,x^T, \qquad \text{normalised: }
      \Delta W = \frac{\eta}{\epsilon + |x|^2}\,(target - y)\,x^T$$

    on one-hot targets. The bias is a feature that is always 1, and counts in $|x|^2$. A micro-batch
    takes the mean over its labelled samples. A class that appears late is learned as if it had
    been there from the start: its targets were 0, and so were its weights.

    Normalised, one step takes the share $\eta$ off the error of its sample, whatever the size of
    the features, and no $\eta < 2$ diverges. Not normalised, $\eta < 2 / |x|^2$ must hold for
    typical samples; a net that diverges raises
    [`DivergedError`][streamhebb.errors.DivergedError].

    Args:
        n_in: features; ``None`` lets the net fill it in.
        classes: a number, the labels, or ``None`` for an open set.
        lr: $\eta$; at most 2 if normalised.
        normalise: divide each step by the energy of the input.
        eps: $\epsilon$, added to that energy; keeps noise in nearly silent inputs from being
            learned at full rate.
        with_bias: whether there is a feature that is always 1. It outweighs features that are
            much smaller than 1.

    Example:
        >>> readout = DeltaReadout(2, classes=["left", "right"], lr=1.0)
        >>> _, seen = readout.observe(torch.tensor([[1.0, 0.0]]))
        >>> readout.learn(seen, ["right"])
        >>> readout.respond(torch.tensor([[1.0, 0.0]])).round(decimals=3)
        tensor([[0., 1.]])

    Reference:
        B. Widrow, M. E. Hoff, Adaptive switching circuits, IRE WESCON, 1960. Normalised:
        J. Nagumo, A. Noda, 1967. https://doi.org/10.1109/TAC.1967.1098599
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        n_in: int | None = None,
        classes: int | Sequence[Label] | None = None,
        *,
        lr: float = 0.3,
        normalise: bool = True,
        eps: float = 1e-8,
        with_bias: bool = True,
    ) -> None:
        super().__init__(n_in, classes, ("weight", "bias"))
        require("DeltaReadout", "lr", lr, at_least=0, at_most=2 if normalise else None)
        require("DeltaReadout", "eps", eps, above=0)
        self.lr = lr
        self.normalise = normalise
        self.eps = eps
        self.with_bias = with_bias
        self.rule = Delta()
        if n_in is not None:
            self.build(n_in)

    def build(self, n_in: int) -> None:
        """Make the buffers: all weights start at 0."""
        self.n_in = n_in
        rows = len(self._labels)
        self.register_buffer("weight", torch.zeros(rows, n_in))
        self.register_buffer("bias", torch.zeros(rows) if self.with_bias else None)

    def respond(self, x: Tensor) -> Tensor:
        """Return the estimate of the one-hot target."""
        scores = kernels.drive(x, self.weight)
        return scores if self.bias is None else scores + self.bias

    def learn(self, seen: Features, target: Sequence[Label | None]) -> None:
        """Move the weights by the error of the prediction that was made."""
        x, scores, hot = self._labelled(seen, target)
        if not len(x):
            return
        error = (hot - scores) * (self.lr / len(x))
        gain = self._gain(x)
        # Half the gain on either side: neither leaves float32, however large the features.
        error, x = error * gain, x * gain
        self.weight.add_(change(self.rule, x, error, scores, self.weight))
        if self.bias is not None:
            self.bias.add_((error * gain).sum(0))

    def _gain(self, x: Tensor) -> Tensor:
        """Root of what each sample's step is multiplied by, shape ``(B, 1)``."""
        if not self.normalise:
            return x.new_ones(len(x), 1)
        energy = x.double().square().sum(1, keepdim=True) + self.eps + self.with_bias
        return energy.rsqrt().to(x.dtype)

    def probabilities(self, scores: Tensor) -> Tensor:
        """Clip the estimates to positive numbers and bring their sum to 1."""
        return as_shares(scores)

    def reset(self, generator: Any = None) -> None:
        """Forget the weights, and the classes of an open set."""
        self._forget()
