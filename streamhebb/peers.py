"""Processes that learn the same weights together: what a layer needs to know of them.

Who they are and how they talk is none of a layer's business; see [`streamhebb.distributed`][].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class Peers(Protocol):
    """Processes that each see a share of every mini-batch, and keep the same weights.

    All of them must ask for the same things in the same order.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
    """

    rank: int
    size: int

    def share(self, x: Tensor) -> Tensor:
        """Return this process's rows of a mini-batch, perhaps none."""
        ...

    def gather(self, x: Tensor, rows: int) -> Tensor:
        """Return the rows of all processes, in the order of the mini-batch, which has ``rows``."""
        ...

    def add_up(self, *values: Tensor) -> None:
        """Replace each tensor by its sum over all processes, in place."""
        ...

    def agree(self, parts: Mapping[str, bytes]) -> None:
        """Raise ``PeerError`` unless every part is the same in all processes."""
        ...

    def check(self) -> None:
        """Raise ``PeerError`` unless all processes have the same weights."""
        ...


def rows_of(rank: int, size: int, rows: int) -> slice:
    """Which rows of a mini-batch a process sees: shares differ by one row at most.

    Example:
        >>> [rows_of(rank, 3, 10) for rank in range(3)]
        [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
    """
    return slice(rows * rank // size, rows * (rank + 1) // size)
