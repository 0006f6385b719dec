"""Running means of classes, shared by the readouts that rest on them."""

from __future__ import annotations

import torch
from torch import Tensor


def take(x: Tensor, hot: Tensor, counts: Tensor, means: Tensor) -> Tensor:
    r"""Move counts and means by labelled samples; return by what the scatter within classes grows.

    With $n$ new samples of mean $\bar x$ for a class of $c$ samples and mean $\mu$:

    $$\mu \leftarrow \mu + \frac{n}{c + n} (\bar x - \mu), \qquad
      S \leftarrow S + \sum_i (x_i - \bar x)(x_i - \bar x)^T
        + \frac{c\,n}{c + n} (\bar x - \mu)(\bar x - \mu)^T$$

    Args:
        x: samples, shape ``(B, n_in)``.
        hot: their classes, one-hot, shape ``(B, n_classes)``.
        counts: samples so far, shape ``(n_classes,)``; written to.
        means: of these, shape ``(n_classes, n_in)``; written to.

    Returns:
        Rows $r$, shape ``(m, n_in)``, such that $S$ grows by $\sum r r^T$.

    Reference:
        T. F. Chan, G. H. Golub, R. J. LeVeque, Updating formulae and a pairwise algorithm for
        computing sample variances, 1982. https://doi.org/10.1007/978-3-642-51461-6_3
    """
    rows = hot.any(0).nonzero()[:, 0]
    hot = hot[:, rows].to(x.dtype)
    new, old = hot.sum(0), counts[rows].to(x.dtype)
    centre = hot.mT @ x / new[:, None]
    apart = centre - means[rows]
    means[rows] += apart * (new / (old + new))[:, None]
    counts[rows] += new.to(counts.dtype)
    between = apart * (old * new / (old + new)).sqrt()[:, None]
    if len(x) == len(rows):  # one sample a class is its own mean
        return between
    return torch.cat([between, x - hot @ centre])


def only_seen(scores: Tensor, counts: Tensor, low: float) -> Tensor:
    """Give classes without a sample the score ``low``, as long as another one has some."""
    seen = counts > 0
    return torch.where(seen | ~seen.any(), scores, low)
