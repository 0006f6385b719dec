"""What readouts with weights and an error share."""

from __future__ import annotations

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.rules import Delta
from streamhebb.values import Activity


def change(rule: Delta, x: Tensor, error: Tensor, scores: Tensor, weight: Tensor) -> Tensor:
    """The raw change of the weights that an error asks for, shape ``(n_classes, n_in)``."""
    update, _ = rule.terms(Activity(x, error, scores, weight), {})
    return kernels.accumulate(update, weight, torch.empty_like(weight))


def as_shares(estimates: Tensor) -> Tensor:
    """Clip estimates of one-hot targets to positive numbers and bring their sum to 1.

    Example:
        >>> as_shares(torch.tensor([0.6, -0.1, 0.2]))
        tensor([7.5000e-01, 1.2500e-09, 2.5000e-01])
    """
    clipped = estimates.clamp(1e-9, None)
    return clipped / clipped.sum(-1, keepdim=True)
