"""Times in a histogram of constant size: quantiles to one per cent, however long the stream.

Each octave (a factor of two) is cut into 64 equal buckets, so a bucket is wide where times are long
and narrow where they are short. The middle of a bucket is within 1/128 of all that lies in it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

LOWEST = 1e-9
"""Seconds: the shortest time that has a bucket of its own."""

HIGHEST = 1e6
"""Seconds (eleven and a half days): the longest."""

_PARTS = 64
_FIRST = math.frexp(LOWEST)[1]
_BUCKETS = (math.frexp(HIGHEST)[1] - _FIRST + 1) * _PARTS
_SHIFT = (_FIRST + 1) * _PARTS
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


class Histogram:
    """How long something took, over any number of times.

    Holds 3,200 whole numbers, whatever is added. Quantiles are off by 0.8 % at most for times
    between [`LOWEST`][streamhebb.histogram.LOWEST] and
    [`HIGHEST`][streamhebb.histogram.HIGHEST]; times beyond go to the bucket at the edge and are
    counted in ``below`` and ``above``. ``count``, ``min`` and ``max`` are exact, ``mean`` is so up
    to the rounding of a sum.

    Not guarded by a lock: give each thread its own and ``merge`` them.

    Attributes:
        count: times added.
        min: the shortest, in seconds; infinite as long as there is none.
        max: the longest, in seconds; 0 as long as there is none.
        below: times shorter than ``LOWEST``, 0 among them.
        above: times longer than ``HIGHEST``.

    Example:
        >>> took = Histogram()
        >>> for ms in range(1, 101):
        ...     took.add(ms / 1000)
        >>> print(took)
        p50 50.0 ms, p99 99.1 ms, max 100 ms over 100
    """

    __slots__ = ("_buckets", "_total", "above", "below", "count", "max", "min")

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._buckets = [0] * _BUCKETS
        self._total = 0.0
        self.count = self.below = self.above = 0
        self.min, self.max = math.inf, 0.0

    def add(self, seconds: float, times: int = 1) -> None:
        """Count a time.

        Args:
            seconds: 0 or more.
            times: how often it was seen.

        Raises:
            ValueError: negative, infinite or not a number; or ``times`` below 1.
        """
        seconds = float(seconds)  # a float32 would make the sum one, too
        if not 0.0 <= seconds < math.inf:
            raise ValueError(f"a time of {seconds!r} s cannot be: give 0 or more, and finite")
        if times < 1:
            raise ValueError(f"times={times!r} is not allowed: give 1 or more")
        if seconds < self.min:
            self.min = seconds
        if seconds > self.max:
            self.max = seconds
        self.count += times
        self._total += seconds * times
        if seconds < LOWEST:
            self.below += times
            seconds = LOWEST
        elif seconds > HIGHEST:
            self.above += times
            seconds = HIGHEST
        self._buckets[_bucket(seconds)] += times

    @property
    def mean(self) -> float:
        """Seconds; NaN of nothing."""
        return self._total / self.count if self.count else math.nan

    def quantile(self, q: float) -> float:
        """Seconds that a share ``q`` of all times did not exceed; NaN of nothing.

        Args:
            q: from 0, the shortest time, to 1, the longest; both exact. Between them it is the
                shortest time seen such that at least ``q`` of all are not longer (numpy calls it
                ``"inverted_cdf"``), off by 0.8 % at most.

        Raises:
            ValueError: ``q`` outside 0 to 1.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"q={q!r} is not a share: give 0 to 1, so 0.99 for p99")
        rank = max(1, math.ceil(q * self.count))
        if rank >= self.count:
            # A rank of 1 in a histogram of one is its longest, too.
            return self.max if self.count else math.nan
        if rank == 1:
            return self.min
        bucket = next(i for i, seen in enumerate(accumulate(self._buckets)) if seen >= rank)
        return min(max(_middle(bucket), self.min), self.max)

    @property
    def p50(self) -> float:
        """The median, in seconds."""
        return self.quantile(0.5)

    @property
    def p99(self) -> float:
        """What 99 of 100 times did not exceed, in seconds."""
        return self.quantile(0.99)

    def merge(self, other: Histogram) -> None:
        """Count all times of another histogram, which stays as it is."""
        self._buckets = [a + b for a, b in zip(self._buckets, other._buckets, strict=True)]
        self._total += other._total
        self.count += other.count
        self.below += other.below
        self.above += other.above
        self.min, self.max = min(self.min, other.min), max(self.max, other.max)

    def summary(self) -> dict[str, float | int]:
        """``count``, and in seconds ``p50 p90 p99 p999 max mean``; of nothing the count alone."""
        if not self.count:
            return {"count": 0}
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
        quantiles = {name: self.quantile(q) for name, q in shares.items()}
        return {"count": self.count, **quantiles, "max": self.max, "mean": self.mean}

    def state(self) -> dict[str, Any]:
        """Plain data for a JSON file; only buckets that hold something are in it."""
        return {
            "buckets": [[i, seen] for i, seen in enumerate(self._buckets) if seen],
            "total": self._total,
            "min": self.min if self.count else None,
            "max": self.max if self.count else None,
            "below": self.below,
            "above": self.above,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave.

        Raises:
            ValueError: that is no such state, or contradicts itself; nothing is changed then.
        """
        buckets = [0] * _BUCKETS
        try:
            for i, seen in state["buckets"]:
                if not 0 <= operator.index(i) < _BUCKETS or operator.index(seen) < 1 or buckets[i]:
                    raise ValueError(f"bucket {i!r} holds {seen!r}")
                buckets[i] = seen
            below, above = operator.index(state["below"]), operator.index(state["above"])
            count, total = sum(buckets), float(state["total"])
            least = float(state["min"]) if count else math.inf
            most = float(state["max"]) if count else 0.0
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no state of a Histogram: {error!r}") from error
        fits = (0 <= least <= most < math.inf and total >= 0) if count else total == 0
        if not fits or not 0 <= below <= buckets[_LOW] or not 0 <= above <= buckets[_HIGH]:
            raise ValueError(f"this state of a Histogram contradicts itself: {dict(state)}")
        self._buckets, self._total, self.count = buckets, total, count
        self.min, self.max, self.below, self.above = least, most, below, above

    def __str__(self) -> str:
        if not self.count:
            return "nothing measured"
        parts = (f"{name} {_readable(getattr(self, name))}" for name in ("p50", "p99", "max"))
        return f"{', '.join(parts)} over {self.count}"


def _bucket(seconds: float) -> int:
    mantissa, exponent = math.frexp(seconds)  # mantissa from 1/2 to below 1
    return exponent * _PARTS + int(mantissa * (2 * _PARTS)) - _SHIFT


_LOW, _HIGH = _bucket(LOWEST), _bucket(HIGHEST)


def _middle(bucket: int) -> float:
    octave, part = divmod(bucket, _PARTS)
    return math.ldexp((_PARTS + part + 0.5) / (2 * _PARTS), octave + _FIRST)


def _readable(seconds: float) -> str:
    # Shorter than the smallest unit: in the smallest.
    unit, name = next((pair for pair in _UNITS if seconds >= pair[0]), _UNITS[-1])
    value = seconds / unit
    return f"{value:.1f} {name}" if value < 100 else f"{value:.0f} {name}"
