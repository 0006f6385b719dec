"""Recursive least squares: ridge regression that is exact after every sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from streamhebb.parts import require
from streamhebb.readouts._linear import as_shares
from streamhebb.readouts.base import Features, Readout
from streamhebb.values import Label


class RLSReadout(Readout):
    r"""Recursive least squares on one-hot targets (streaming ridge regression).

    $$k = \frac{P x}{\lambda + x^T P x}, \qquad
      W \leftarrow W + (target - W x)\,k^T, \qquad P \leftarrow (P - k\,x^T P) / \lambda$$

    With $\lambda = 1$ the weights are, after every sample, those of ridge regression on everything
    seen so far. A class that appears late is exact too: its targets were 0 until then. The bias is
    a feature that is always 1. A micro-batch is one step of the block form.

    With $\lambda < 1$ the past fades, and so would the ridge: a feature that is silent for long
    (a dead neuron, features that depend on each other) would let $P$ grow without bound, to NaN.
    So every step gives the ridge back to a few features in turn, each at least once in the memory
    $1 / (1 - \lambda)$: feature $i$ is shown alone, as
    $x = e_i\sqrt{ridge\,(1 - \lambda^T)}$ with target 0, once in every round of $T$ steps.

    Time and memory grow with ``n_in`` squared.

    Args:
        n_in: features; ``None`` lets the net fill it in.
        classes: a number, the labels, or ``None`` for an open set.
        ridge: $P$ starts as the identity divided by this.
        forget: $\lambda$; below 1 the past fades, with a memory of $1 / (1 - \lambda)$ steps.

    Example:
        >>> readout = RLSReadout(2, classes=2, ridge=0.1)
        >>> _, seen = readout.observe(torch.tensor([[1.0, 0.0]]))
        >>> readout.learn(seen, [1])
        >>> readout.respond(torch.tensor([[1.0, 0.0]])).argmax().item()
        1

    Reference:
        S. Haykin, Adaptive Filter Theory, chapter on RLS, 5th ed., Pearson, 2014.
    """

    weight: Tensor
    inverse: Tensor
    turn: Tensor

    def __init__(
        self,
        n_in: int | None = None,
        classes: int | Sequence[Label] | None = None,
        *,
        ridge: float = 1.0,
        forget: float = 1.0,
    ) -> None:
        super().__init__(n_in, classes, ("weight",))
        require("RLSReadout", "ridge", ridge, above=0)
        require("RLSReadout", "forget", forget, above=0, at_most=1)
        self.ridge = ridge
        self.forget = forget
        if n_in is not None:
            self.build(n_in)

    def build(self, n_in: int) -> None:
        """Make the buffers. The inverse is kept in float64: errors in it build up."""
        self.n_in = n_in
        eye = torch.eye(n_in + 1, dtype=torch.float64) / self.ridge
        self.register_buffer("weight", torch.zeros(len(self._labels), n_in + 1))
        self.register_buffer("inverse", eye)
        self.register_buffer("turn", torch.zeros((), dtype=torch.int64))

    def respond(self, x: Tensor) -> Tensor:
        """Return the regression's estimate of the one-hot target."""
        return x @ self.weight[:, :-1].mT + self.weight[:, -1]

    def learn(self, seen: Features, target: Sequence[Label | None]) -> None:
        """Take the labelled samples into the regression."""
        x, scores, hot = self._labelled(seen, target)
        if not len(x):
            return
        x = torch.cat([x, x.new_ones(len(x), 1)], 1).to(self.inverse.dtype)
        if self.forget < 1:
            shown = self._ridge_rows()
            scores = torch.cat([scores, (shown @ self.weight.mT.to(x.dtype)).to(scores.dtype)])
            hot = torch.cat([hot, hot.new_zeros(len(shown), hot.shape[1])])
            x = torch.cat([x, shown])
        px = x @ self.inverse
        inner = px @ x.mT
        inner.diagonal().add_(self.forget)
        gain = torch.linalg.solve(inner, px)
        self.weight.add_(((hot - scores).mT.to(gain.dtype) @ gain).to(self.weight.dtype))
        self.inverse.addmm_(px.mT, gain, alpha=-1)
        if self.forget < 1:
            # Rounding makes P a little unsymmetric, and forgetting would multiply just that.
            self.inverse.add_(self.inverse.mT.clone()).mul_(0.5 / self.forget)

    def _ridge_rows(self) -> Tensor:
        """The features whose turn it is to be reminded of the ridge, one row each."""
        size = self.inverse.shape[0]
        rows = min(size, math.ceil(size * (1 - self.forget)))
        steps = math.ceil(size / rows)  # of a round; never longer than the memory
        first = self.turn % steps * rows
        index = (first + torch.arange(rows, device=first.device)) % size
        self.turn.add_(1)
        height = math.sqrt(self.ridge * (1 - self.forget**steps))
        shown = self.inverse.new_zeros(rows, size)
        return shown.scatter_(1, index[:, None], height)

    def probabilities(self, scores: Tensor) -> Tensor:
        """Clip the estimates to positive numbers and bring their sum to 1."""
        return as_shares(scores)

    def reset(self, generator: Any = None) -> None:
        """Forget the regression, and the classes of an open set."""
        self._forget()
        self.inverse.copy_(torch.eye(self.inverse.shape[0]) / self.ridge)
