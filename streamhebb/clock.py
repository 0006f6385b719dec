"""Time as an object, so that tests never sleep and a recorded run can be replayed."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Anything with a monotonic ``now()`` in seconds, and a ``sleep`` that lets it go on."""

    def now(self) -> float:
        """Seconds since some fixed instant."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return when that many seconds have gone by; at once for 0 or less."""
        ...


class WallClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Seconds since some fixed instant."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Wait for that many seconds; not at all for 0 or less."""
        if seconds > 0:
            time.sleep(seconds)


class VirtualClock:
    """A clock that moves only when told to, or slept on.

    Example:
        >>> clock = VirtualClock()
        >>> clock.advance(0.5)
        >>> clock.now()
        0.5
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """Seconds advanced so far."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        if seconds < 0:
            raise ValueError(f"a clock cannot go back: advance({seconds})")
        self._now += seconds

    def sleep(self, seconds: float) -> None:
        """Move the clock forward instead of waiting; not at all for 0 or less."""
        if seconds > 0:
            self.advance(seconds)
