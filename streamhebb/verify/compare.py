"""How far the library's numbers are from the reference's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamhebb.errors import SourceError
from streamhebb.rates import Rate
from streamhebb.verify.cases import Array, Case, Difference

LIMIT = 2e-5
"""For float32 arrays."""
LOOSE = 1e-4
"""For float32 arrays that amplify round-off: powers below 1, sharp softmax."""
LIMIT_TWIN = 1e-8
"""For float64 arrays against float64 ones."""
ROUND_OFF = 2e-6
"""What float32 may do to a radius near 1 in a run of 20 steps."""

PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


def relative(ours: Array, reference: Array, floor: float = 0.0) -> float:
    r"""Return the largest difference relative to the reference's largest entry.

    $$\max|a - b| / \max(\max|b|,\ floor)$$

    Args:
        ours: $a$.
        reference: $b$, same shape.
        floor: the natural scale of values that may all be close to 0.

    Returns:
        0 where both are zero throughout; infinity if anything is not a finite number.

    Example:
        >>> relative(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
        0.5
    """
    difference = float(np.abs(ours - reference).max(initial=0.0))
    scale = max(float(np.abs(reference).max(initial=0.0)), floor)
    if difference == 0:
        return 0.0
    size = difference / scale if scale else math.inf
    return size if math.isfinite(size) else math.inf


def plain(value: Any) -> Array:
    """Bring a tensor, number or array to a float64 array."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    return np.asarray(value, dtype=np.float64)


def rate_slack(rate: Rate, radius: Tensor) -> Array | float:
    """Return what float32 round-off of the radius does to rates where the radius is close to 1.

    A rate by radius is a small power of the distance from 1, with infinite slope at 1: the last
    digit of such a radius moves its rate by per cents.

    Args:
        rate: any rate; those that do not look at the radius have no slack.
        radius: shape ``(n_out,)``.
    """
    if not rate.by_radius:
        return 0.0
    apart = (radius.double() - 1).abs()
    upper = plain(rate(1 + apart + ROUND_OFF, 0))
    lower = plain(rate(1 + (apart - ROUND_OFF).clamp_min(0), 0))
    return np.where(plain(apart) < 1e-3, upper - lower, 0.0)


class Comparison:
    """Collects the differences of one case in one precision.

    In float64, a case that has float64 results is compared with those, and one that has none
    with its float32 ones.

    Args:
        case: the reference.
        precision: ``"float32"`` or ``"float64"``.

    Attributes:
        skip_nan: leave out arrays in which the reference has NaN; a failure otherwise.
    """

    def __init__(self, case: Case, precision: str) -> None:
        self.case = case
        self.precision = precision
        self.dtype = PRECISIONS[precision]
        self.differences: list[Difference] = []
        self.seen: set[str] = set()
        self.notes: list[str] = []
        self.skip_nan = False

    def used(self, *keys: str) -> None:
        """Mark arrays that went in, so that they do not count as left out."""
        self.seen.update(keys)

    def tensor(self, array: Array) -> Tensor:
        """Bring an input to the precision of this run, by way of float32 as the reference did."""
        return torch.tensor(array, dtype=torch.float32).to(self.dtype)

    def add(self, key: str, size: float, limit: float = LIMIT) -> None:
        """Note a difference that was measured elsewhere."""
        self.seen.add(key)
        self.differences.append(Difference(key, size, limit))

    def check(
        self,
        key: str,
        ours: Any,
        *,
        limit: float = LIMIT,
        floor: float = 0.0,
        nan: bool = False,
        slack: Array | float = 0.0,
    ) -> None:
        """Compare one result, if the reference has it.

        Args:
            key: name of the array.
            ours: the library's result.
            limit: what is allowed against a float32 array.
            floor: see [`relative`][streamhebb.verify.compare.relative].
            nan: whether the reference may hold NaN (0 / 0); the library must give 0 there.
            slack: what round-off alone may do to each entry of a float32 array.

        Raises:
            SourceError: if the shapes differ.
        """
        wide = self.precision == "float64" and self.case.twins
        self.seen.update((key, f"{key}_f64"))
        name = f"{key}_f64" if wide else key
        if name not in self.case:
            return
        reference = self.case[name].astype(np.float64)
        mine = plain(ours)
        if reference.shape != mine.shape:
            raise SourceError(f"{name} has shape {reference.shape}; the library gives {mine.shape}")
        if nan:
            reference = np.where(np.isnan(reference), 0.0, reference)
        elif self.skip_nan and np.isnan(reference).any():
            return
        with np.errstate(all="ignore"):  # infinite values are a difference, not a warning
            if not wide:
                apart = mine - reference
                mine = reference + np.sign(apart) * np.maximum(np.abs(apart) - slack, 0)
            self.add(name, relative(mine, reference, floor), LIMIT_TWIN if wide else limit)

    @property
    def worst(self) -> Difference | None:
        """The difference closest to, or furthest beyond, its limit."""
        if not self.differences:
            return None
        return max(self.differences, key=lambda difference: difference.size / difference.limit)

    def left_out(self) -> list[str]:
        """Return the arrays that were neither used nor compared."""
        return sorted(key for key in self.case.arrays if key not in self.seen)
