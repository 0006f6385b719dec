"""Passes over a weight matrix, row by row, cut into pieces where it is large."""

from __future__ import annotations

import torch
from torch import Tensor

from streamhebb.kernels.choice import active
from streamhebb.lazy import Lazy
from streamhebb.sharing import cut, in_pieces

WORTH = 8
"""Reading or writing a number in memory costs about as much as this many multiplications."""


def row_norms(matrix: Tensor, p: float = 2.0) -> Tensor:
    r"""Norm of each row, $(\sum_i |m_{ji}|^p)^{1/p}$, shape ``(rows,)``.

    Example:
        >>> row_norms(torch.tensor([[3.0, 4.0]]))
        tensor([5.])
    """
    rows = cut_rows(matrix, WORTH * matrix.numel())
    if len(rows) == 1 or torch.is_grad_enabled():
        norms: Tensor = torch.linalg.vector_norm(matrix, p, dim=1)
        return norms
    found = matrix.new_empty(len(matrix))

    def piece(number: int) -> None:
        own = rows[number]
        torch.linalg.vector_norm(matrix[own], p, dim=1, out=found[own])

    in_pieces(piece, len(rows))
    return found


def cut_rows(matrix: Tensor, work: int) -> list[slice]:
    """Rows of a matrix in pieces to be shared; a card is given all of them at once.

    Args:
        matrix: shape ``(rows, ...)``.
        work: multiplications that all rows cost.

    Example:
        >>> cut_rows(torch.zeros(4, 1), 1 << 25)
        [slice(0, 2, None), slice(2, 4, None)]
    """
    return cut(len(matrix), work if matrix.is_cpu else 0)


class Lengths(Lazy):
    """The length of each row of a matrix, ``(rows,)``; must be made before the matrix changes."""

    matrix: Tensor

    def make(self) -> Tensor:
        """Look at the matrix."""
        return row_norms(self.matrix)


class Rates(Lazy):
    """Rates by the lengths of rows, ``(rows,)``; must be made before the matrix changes."""

    radius: Lengths
    lr: float
    power: float

    def make(self) -> Tensor:
        """Look at the matrix."""
        return rates(self.radius.made, self.lr, self.power)


def lengths(matrix: Tensor) -> Tensor:
    """As `row_norms`, but still to be made, for whoever goes through the matrix anyway.

    Example:
        >>> lengths(torch.tensor([[3.0, 4.0]])) + 0
        tensor([5.])
    """
    found = Lengths.like(matrix, matrix.shape[:1])
    found.matrix = matrix
    return found


def rates(radius: Tensor, lr: float, power: float) -> Tensor:
    r"""Rate of each row by the distance of its radius from 1, $lr\,(|r_j - 1| + 10^{-10})^{power}$.

    Args:
        radius: shape ``(rows,)``.
        lr: see above.
        power: see above.

    Example:
        >>> rates(torch.tensor([5.0]), 0.1, 0.5)
        tensor([0.2000])
    """
    if isinstance(radius, Lengths):
        wanted = Rates.like(radius)
        wanted.radius, wanted.lr, wanted.power = radius, lr, power
        return wanted
    found: Tensor = active().rates(radius, lr, power)
    return found


def largest(matrix: Tensor) -> Tensor:
    r"""Largest absolute value in a matrix, a scalar.

    Example:
        >>> largest(torch.tensor([[3.0, -4.0]]))
        tensor(4.)
    """
    rows = cut_rows(matrix, WORTH * matrix.numel())
    found = matrix.new_empty(len(rows))

    def piece(number: int) -> None:
        found[number] = active().largest(matrix[rows[number]])

    in_pieces(piece, len(rows))
    return found[0] if len(rows) == 1 else found.amax()


def add_scaled(matrix: Tensor, change: Tensor, step: Tensor | float) -> None:
    r"""Add a change in place, $m_{ji} \leftarrow m_{ji} + s_j\, c_{ji}$.

    Args:
        matrix: shape ``(rows, n)``.
        change: same shape.
        step: one number, or shape ``(rows, 1)``.
    """
    rows = cut_rows(matrix, WORTH * matrix.numel())

    def piece(number: int) -> None:
        own = rows[number]
        if isinstance(step, Tensor):
            matrix[own].addcmul_(change[own], step[own] if step.ndim > 1 else step)
        else:
            matrix[own].add_(change[own], alpha=step)

    in_pieces(piece, len(rows))
