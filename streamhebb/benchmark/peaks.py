"""What a machine can do at best, each as a side that takes its turn among those measured."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import torch

from streamhebb.benchmark.beside import wait
from streamhebb.benchmark.schedule.turns import Side

PEAK = 1024
"""Side of the matrices whose product tells the peak."""


def product(side: int = PEAK, device: str = "cpu") -> Side:
    """Seconds of one multiplication and addition, in a product of large square matrices."""
    a, b = torch.rand(side, side, device=device), torch.rand(side, side, device=device)
    out = torch.empty(side, side, device=device)
    return _repeated(lambda: torch.mm(a, b, out=out), 4, side**3, device)


def copy(rows: int, columns: int) -> Side:
    """Seconds in which a float32 matrix is copied: all of it read once, and written once.

    Again and again the same one, as weights are used: what fits into a cache stays there.
    """
    source, target = torch.rand(rows, columns), torch.empty(rows, columns)
    return _repeated(lambda: target.copy_(source), 16, 1)


def weighing(rows: int, columns: int) -> Side:
    """Seconds in which a float32 matrix is multiplied with a vector: all of it read once."""
    matrix, vector, out = torch.rand(rows, columns), torch.rand(columns), torch.empty(rows)
    return _repeated(lambda: torch.mv(matrix, vector, out=out), 16, 1)


def _repeated(work: Callable[[], object], times: int, each: float, device: str = "cpu") -> Side:
    def side() -> float:
        work()
        wait(device)
        start = perf_counter()
        for _ in range(times):
            work()
        wait(device)
        return (perf_counter() - start) / times / each

    return side
