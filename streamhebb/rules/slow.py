"""Slow state of a rule: what neurons remember of their activity, over samples."""

from __future__ import annotations

import torch
from torch import Tensor


def rows(values: Tensor) -> Tensor:
    """Bring ``(n, n_out)``, or ``(g, n, n_out / g)`` with groups, to ``(n, n_out)``."""
    return values.movedim(-2, 0).flatten(1)


def back(values: Tensor, like: Tensor) -> Tensor:
    """Undo ``rows``: bring ``(n, n_out)`` to the shape of ``like``."""
    return values.view(-1, *like.shape[:-2], like.shape[-1]).movedim(0, -2)


def newborn() -> Tensor:
    """The age of a memory that holds nothing yet."""
    return torch.zeros((), dtype=torch.float64)


def share(age: Tensor, tau: float, like: Tensor) -> Tensor:
    r"""Share of the present in a running mean: $a = \max(1 / age, 1 / \tau)$.

    A plain mean while the memory is younger than ``tau`` updates, then exponential.
    """
    return (1 / age).clamp_min(1 / tau).to(like.dtype)
