"""Streaming linear discriminant analysis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from streamhebb.parts import require, require_choice
from streamhebb.readouts._means import only_seen, take
from streamhebb.readouts.base import Features, Readout
from streamhebb.values import Label

_PENDING = 64
"""Rows that wait before they enter the scatter matrix: one pass over it for all of them."""


class SLDAReadout(Readout):
    r"""Streaming linear discriminant analysis: a mean for each class, one covariance for all.

    $$\Sigma = \frac{1}{N} \sum_i (x_i - \mu_{y_i})(x_i - \mu_{y_i})^T, \qquad
      \Lambda = \big((1 - \epsilon)\,\Sigma + \epsilon\,v I\big)^{-1}$$

    $$w_k = \Lambda \mu_k, \qquad b_k = -\tfrac12\,\mu_k^T \Lambda \mu_k, \qquad
      score = \log softmax(W x + b)$$

    with $v = tr(\Sigma) / n_{in}$, so that scores do not depend on the units of the features, or
    $v = 1$ as published, there with $\epsilon = 10^{-4}$: very little while samples are not many
    more than features, hence the larger default. Classes are equally likely beforehand; one
    without a sample is never predicted. $\Sigma$ and $\mu$ are exact after every sample, in
    whatever order or batches they come. **Departure from the paper**, whose running update of
    $\Sigma$ counts the samples of all classes in place of those of the class, and so takes the
    first sample of a class for a deviation from a mean of 0: here that one adds nothing, as in the
    sum above.

    $\Lambda$ is no running value: $\epsilon I$ does not fade as $\Sigma$ settles, so no update of
    low rank gives it, and it costs $n_{in}^3$. ``learn`` makes it anew when the samples since the
    last time are more than the share ``lag`` of all, and a class's $w_k$ when the class has grown
    by that share: after every sample while they are few, ever more rarely later, so that its cost
    a sample goes to 0. With ``lag=0`` scores are exact after every step. Otherwise time and memory
    grow with ``n_in`` squared.

    Args:
        n_in: features; ``None`` lets the net fill it in.
        classes: a number, the labels, or ``None`` for an open set.
        shrinkage: $\epsilon$, above 0; 1 leaves the nearest class mean.
        toward: ``"variance"`` ($v$ the mean variance) or ``"identity"`` ($v = 1$), which drowns
            features much smaller than $\sqrt\epsilon$.
        lag: share of the samples that the scores may not know of yet; at most 0.5.

    Example:
        >>> readout = SLDAReadout(2, shrinkage=0.01)
        >>> _, seen = readout.observe(torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 1.0]]))
        >>> readout.learn(seen, ["low", "low", "high"])
        >>> readout.labels[readout.respond(torch.tensor([[9.0, 0.7]])).argmax()]
        'high'

    Reference:
        T. L. Hayes, C. Kanan, Lifelong machine learning with deep streaming linear discriminant
        analysis, 2020. https://arxiv.org/abs/1909.01520
    """

    counts: Tensor
    means: Tensor
    scatter: Tensor
    pending: Tensor
    filled: Tensor
    factor: Tensor
    factored: Tensor
    solved: Tensor
    centre: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        n_in: int | None = None,
        classes: int | Sequence[Label] | None = None,
        *,
        shrinkage: float = 0.2,
        toward: str = "variance",
        lag: float = 0.01,
    ) -> None:
        super().__init__(n_in, classes, ("counts", "means", "solved", "weight", "bias"))
        require("SLDAReadout", "shrinkage", shrinkage, above=0, at_most=1)
        require_choice("SLDAReadout", "toward", toward, ("identity", "variance"))
        require("SLDAReadout", "lag", lag, at_least=0, at_most=0.5)
        self.shrinkage = shrinkage
        self.toward = toward
        self.lag = lag
        if n_in is not None:
            self.build(n_in)

    def build(self, n_in: int) -> None:
        """Make the buffers. Sums are kept in float64: errors in them build up."""
        self.n_in = n_in
        rows = len(self._labels)

        def buffer(name: str, *shape: int, dtype: torch.dtype = torch.float64) -> None:
            self.register_buffer(name, torch.zeros(shape, dtype=dtype))

        buffer("counts", rows, dtype=torch.int64)
        buffer("means", rows, n_in)
        buffer("scatter", n_in, n_in)  # without the rows that are pending
        buffer("pending", _PENDING, n_in)
        buffer("filled", dtype=torch.int64)
        buffer("factor", n_in, n_in)  # Cholesky factor of the inverse of Λ
        buffer("factored", dtype=torch.int64)  # samples that the factor knows of
        buffer("solved", rows, dtype=torch.int64)  # samples that each row of the weights knows of
        # Weights see features less this: what lies far from the origin would cancel in float32.
        buffer("centre", n_in, dtype=torch.float32)
        buffer("weight", rows, n_in)
        buffer("bias", rows)

    def covariance(self) -> Tensor:
        r"""Return $\Sigma$, shape ``(n_in, n_in)``, of all samples learned so far."""
        total = self.counts.sum().clamp(1)
        return (self.scatter + self.pending.mT @ self.pending) / total

    def respond(self, x: Tensor) -> Tensor:
        """Return log probabilities."""
        logits = (x - self.centre).to(self.weight.dtype) @ self.weight.mT + self.bias
        scores = torch.log_softmax(only_seen(logits, self.counts, -torch.inf), -1)
        return scores.clamp(torch.finfo(x.dtype).min).to(x.dtype)

    def learn(self, seen: Features, target: Sequence[Label | None]) -> None:
        """Take the labelled samples into means and covariance; renew the weights if due."""
        x, _, hot = self._labelled(seen, target)
        if not len(x):
            return
        self._keep(take(x.to(self.means.dtype), hot, self.counts, self.means))
        total = int(self.counts.sum())
        due = self.counts - self.solved > self.lag * self.counts
        if total - int(self.factored) > self.lag * total:
            self._factorise(total)
            due = self.counts > 0
        self._solve(due.nonzero()[:, 0])

    def _keep(self, rows: Tensor) -> None:
        """Put rows to those that wait, or into the scatter matrix where there is no room."""
        if int(self.filled) + len(rows) > len(self.pending):
            self._flush()
        if len(rows) > len(self.pending):
            self.scatter.addmm_(rows.mT, rows)
            return
        first = int(self.filled)
        self.pending[first : first + len(rows)] = rows
        self.filled.add_(len(rows))

    def _flush(self) -> None:
        self.scatter.addmm_(self.pending.mT, self.pending)
        self.pending.zero_()
        self.filled.zero_()

    def _factorise(self, total: int) -> None:
        self._flush()
        trace = float(self.scatter.trace()) / total
        variance = trace / len(self.scatter) if self.toward == "variance" else 1.0
        # Where the variances of features span more than float64 holds, rounding would make the
        # matrix indefinite; and while all samples equal their means there is no variance.
        least = 2 * len(self.scatter) * torch.finfo(self.scatter.dtype).eps * trace
        ridge = max(self.shrinkage * variance, least) or 1.0
        matrix = self.scatter * ((1 - self.shrinkage) / total)
        matrix.diagonal().add_(ridge)
        torch.linalg.cholesky(matrix, out=self.factor)
        self.factored.fill_(total)
        self.centre.copy_(self.counts.to(self.means.dtype) @ self.means / total)

    def _solve(self, rows: Tensor) -> None:
        """Renew the weights of some classes from their means."""
        if not len(rows):
            return
        apart = self.means[rows] - self.centre
        weight = torch.cholesky_solve(apart.mT, self.factor).mT
        self.weight[rows] = weight
        self.bias[rows] = -0.5 * (apart * weight).sum(1)
        self.solved[rows] = self.counts[rows]

    def reset(self, generator: Any = None) -> None:
        """Forget everything, and the classes of an open set."""
        self._forget()
