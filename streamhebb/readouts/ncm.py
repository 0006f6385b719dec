"""Nearest class mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from streamhebb.parts import require_choice
from streamhebb.readouts._means import only_seen, take
from streamhebb.readouts.base import Features, Readout
from streamhebb.values import Label


class NCMReadout(Readout):
    r"""Nearest class mean, by distance or by direction.

    $$\mu_k = \frac{1}{c_k} \sum_{i: y_i = k} x_i, \qquad score_k = -|x - \mu_k|$$

    With ``metric="cosine"`` directions are compared: samples are brought to length 1 before they
    are averaged, and so is the mean before it is compared; then
    $score_k = -\sqrt{2 - 2\cos(x, \mu_k)}$. The mean is exact after every sample, in whatever
    order or batches they come. Time and memory are those of one row of features a class; nothing
    is forgotten, and no rate is to be chosen.

    Probabilities are those of classes that are equally likely round clouds of one common width,
    $\propto \exp(-|x - \mu_k|^2 / 2 s^2)$ with the variance $s^2$ of a feature within its class
    (1 as long as no two samples of a class differ). They take features for independent, so they
    are too sure of themselves where many features say the same.

    A class without a sample (named beforehand, not yet seen) is never predicted.

    Args:
        n_in: features; ``None`` lets the net fill it in.
        classes: a number, the labels, or ``None`` for an open set.
        metric: ``"euclidean"`` or ``"cosine"``.

    Example:
        >>> readout = NCMReadout(2)
        >>> _, seen = readout.observe(torch.tensor([[0.0, 0.0], [0.0, 2.0], [5.0, 5.0]]))
        >>> readout.learn(seen, ["near", "near", "far"])
        >>> readout.labels, readout.respond(torch.tensor([[3.0, 1.0]]))
        (('near', 'far'), tensor([[-3.0000, -4.4721]]))

    Reference:
        T. Mensink et al., Distance-based image classification, 2013.
        https://doi.org/10.1109/TPAMI.2013.83
    """

    counts: Tensor
    means: Tensor
    width: Tensor

    def __init__(
        self,
        n_in: int | None = None,
        classes: int | Sequence[Label] | None = None,
        *,
        metric: str = "euclidean",
    ) -> None:
        super().__init__(n_in, classes, ("counts", "means"))
        require_choice("NCMReadout", "metric", metric, ("euclidean", "cosine"))
        self.metric = metric
        if n_in is not None:
            self.build(n_in)

    def build(self, n_in: int) -> None:
        """Make the buffers. Means are kept in float64: errors in them build up."""
        self.n_in = n_in
        rows = len(self._labels)
        self.register_buffer("counts", torch.zeros(rows, dtype=torch.int64))
        self.register_buffer("means", torch.zeros(rows, n_in, dtype=torch.float64))
        # Root mean square of a feature's distance from the mean of its class.
        self.register_buffer("width", torch.zeros(()))

    def respond(self, x: Tensor) -> Tensor:
        """Return the distances to the means, with a minus."""
        means = self.means
        if self.metric == "cosine":
            means = _direction(means)
        # Squares are not taken apart: far from the origin that would cancel.
        apart = torch.cdist(
            self._prepared(x), means, compute_mode="donot_use_mm_for_euclid_dist"
        ).to(x.dtype)
        return only_seen(-apart, self.counts, torch.finfo(x.dtype).min)

    def learn(self, seen: Features, target: Sequence[Label | None]) -> None:
        """Move the means of the classes that were named."""
        x, _, hot = self._labelled(seen, target)
        if not len(x):
            return
        before = int(self.counts.sum())
        rows = take(self._prepared(x), hot, self.counts, self.means)
        square = before * self.width.to(rows.dtype) ** 2 + rows.square().sum() / rows.shape[1]
        self.width.copy_((square / (before + len(x))).sqrt())

    def _prepared(self, x: Tensor) -> Tensor:
        x = x.to(self.means.dtype)
        return _direction(x) if self.metric == "cosine" else x

    def probabilities(self, scores: Tensor) -> Tensor:
        """Turn distances into probabilities of equally likely round clouds."""
        apart = -scores.double()
        near = apart.amin(-1, keepdim=True) if apart.shape[-1] else apart
        # a² - b² as a product: tiny and huge distances keep what sets them apart
        return torch.softmax((near - apart) * (near + apart) / (2 * self._variance()), -1).to(
            scores.dtype
        )

    def _variance(self) -> float:
        """Unbiased variance of a feature within its class; 1 while unknown."""
        total, classes = int(self.counts.sum()), int((self.counts > 0).sum())
        found = float(self.width) ** 2
        return found * total / (total - classes) if found > 0 else 1.0

    def reset(self, generator: Any = None) -> None:
        """Forget the means, and the classes of an open set."""
        self._forget()


def _direction(x: Tensor) -> Tensor:
    """Bring rows to length 1; a row of zeros stays one."""
    return F.normalize(x, dim=1, eps=torch.finfo(x.dtype).tiny)
