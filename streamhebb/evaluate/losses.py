"""Losses that are measured, never followed: nothing flows back in these networks."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from streamhebb.errors import LabelError, ShapeError
from streamhebb.parts import require


def power_loss(scores: Tensor, target: Tensor, power: float = 6.0) -> Tensor:
    r"""Sum of powers of the distance between scores and targets of +1 and -1.

    $$L = \sum_n \sum_k |c_{nk} - z_{nk}|^m, \qquad z_{nk} = \begin{cases} 1 & k = target_n \\
      -1 & \text{else} \end{cases}$$

    Args:
        scores: $c$, shape ``(..., n_classes)``.
        target: the right class of each sample, whole numbers of shape ``(...)``.
        power: $m$.

    Returns:
        A scalar.

    Raises:
        ShapeError: if there is not one target for each row of scores.
        LabelError: for a target outside the classes.

    Example:
        >>> import torch
        >>> power_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
        tensor(1.)

    Reference:
        D. Krotov, J. Hopfield, PNAS 116, 7723, 2019. https://doi.org/10.1073/pnas.1820458116
    """
    require("power_loss", "power", power, above=0)
    if scores.ndim == 0 or target.shape != scores.shape[:-1]:
        raise ShapeError(
            f"power_loss got scores of shape {tuple(scores.shape)} and targets of shape "
            f"{tuple(target.shape)}; it needs (..., n_classes) and (...)"
        )
    classes = scores.shape[-1]
    if target.is_floating_point() or bool(((target < 0) | (target >= classes)).any()):
        raise LabelError(
            f"power_loss got targets {target.dtype} that are not whole numbers from 0 to "
            f"{classes - 1}; one-hot targets are not taken"
        )
    hot = F.one_hot(target.long(), classes).to(scores.dtype)
    return (scores - (2 * hot - 1)).abs().pow(power).sum()
