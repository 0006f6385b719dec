"""Drive and raw change of a weight matrix, with torch operators.

Shapes: without groups ``pre (n, n_in)``, ``post (n, n_out)``; with ``g`` groups
``pre (g, n, n_in)``, ``post (g, n, n_out / g)``. Weights are ``(n_out, n_in)`` in both cases.
"""

from __future__ import annotations

import torch
from torch import Tensor

from streamhebb.values import LocalUpdate


def _by_group(weight: Tensor, like: Tensor) -> Tensor:
    """Weights (n_out, n_in) seen as (n_out, n_in) or (g, n_out / g, n_in)."""
    return weight if like.ndim == 2 else weight.view(like.shape[0], -1, weight.shape[1])


def drive(pre: Tensor, weight: Tensor, index: Tensor | None = None) -> Tensor:
    r"""Weighted input $u_{nj} = \sum_i w_{ji}\, x_{ni}$.

    Args:
        pre: rows that the competitions see.
        weight: shape ``(n_out, n_in)``, or ``(n_out, fan_in)`` with an index.
        index: for fixed fan-in, which inputs each neuron sees, shape ``(n_out, fan_in)``.

    Example:
        >>> drive(torch.ones(1, 3), torch.ones(2, 3))
        tensor([[3., 3.]])
    """
    if index is not None:
        return (pre[:, index] * weight).sum(-1)
    return pre @ _by_group(weight, pre).mT


def accumulate(
    update: LocalUpdate, weight: Tensor, out: Tensor, index: Tensor | None = None
) -> Tensor:
    r"""Write the raw change that ``update`` asks for into ``out``.

    $$out_{ji} = \sum_k f^k_{ji} \sum_n post^k_{nj}\, pre^k_{ni}
      - \Big(\sum_n decay_{nj}\Big) w_{ji} + dense_{ji}$$

    Args:
        update: what the rule wants.
        weight: shape ``(n_out, n_in)``, read only.
        out: same shape, overwritten. Kept by the caller from step to step: fresh memory of this
            size costs more in page faults than the arithmetic (batch 1, large layers).
        index: for fixed fan-in, which inputs each neuron sees, shape ``(n_out, fan_in)``.

    Returns:
        ``out``.
    """
    if not update.outer:
        out.zero_()
    for number, (post, pre, factor) in enumerate(update.outer):
        if index is not None:
            product = torch.einsum("nj,njk->jk", post, pre[:, index])
        elif number == 0:
            product = torch.matmul(post.mT, pre, out=_by_group(out, pre)).view(out.shape)
        else:
            product = (post.mT @ pre).view(out.shape)
        if factor is not None:
            product = product.mul_(factor)
        if number == 0 and index is not None:
            out.copy_(product)
        elif number:
            out += product
    if update.decay is not None:
        decay = update.decay.sum(-2).reshape(-1, 1)
        out.addcmul_(weight, decay, value=-1)
    if update.dense is not None:
        out += update.dense
    return out
