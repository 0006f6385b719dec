"""Any source at the pace of a camera."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import Any, Self

import numpy as np
from torch import Tensor

from streamhebb.clock import Clock, WallClock
from streamhebb.errors import ConfigError
from streamhebb.sources.base import samples
from streamhebb.values import Label, Sample, Shape


class Paced:
    """A source that gives so many samples a second, as if they came from the world.

    Sample ``n`` of a pass comes at ``start + n / per_second``, where ``start`` is when the first
    was asked for. Who asks later gets it at once: nothing is dropped, and delays do not add up.
    Samples come through as they are. The next one is read before the wait, so reading takes no time
    as long as it is faster than the pace.

    Name, shape, classes, counts and ``len()`` are those of the wrapped source, so far as it has
    them; so is what ``with`` and ``close`` do.

    Args:
        source: a source, or whatever [`samples`][streamhebb.sources.base.samples] takes.
        per_second: samples per second.
        clock: measures and waits; by default the wall clock.

    Raises:
        ConfigError: a rate that is not above 0 and finite.

    Example:
        >>> import torch
        >>> from streamhebb.clock import VirtualClock
        >>> clock = VirtualClock()
        >>> [clock.now() for _ in Paced(torch.zeros(4, 2), per_second=2, clock=clock)]
        [0.0, 0.5, 1.0, 1.5]
    """

    def __init__(
        self, source: Iterable[Any], per_second: float = 30.0, *, clock: Clock | None = None
    ) -> None:
        if (
            isinstance(per_second, bool)
            or not isinstance(per_second, (int, float))  # type: ignore[redundant-expr]
            or not 0 < per_second < math.inf
        ):
            raise ConfigError(
                f"per_second={per_second!r} is not a rate; give a finite number above 0, "
                "so 0.5 for a sample every two seconds"
            )
        self.source = source
        self.per_second = float(per_second)
        self._clock: Clock = WallClock() if clock is None else clock

    @property
    def name(self) -> str:
        """That of the wrapped source, or the name of its type."""
        return str(getattr(self.source, "name", None) or type(self.source).__name__)

    @property
    def shape(self) -> Shape:
        """Shape of one sample.

        Raises:
            AttributeError: the wrapped source does not tell.
        """
        shape: Shape = getattr(self.source, "shape")  # noqa: B009 - an iterable may have none
        return shape[1:] if isinstance(self.source, (Tensor, np.ndarray)) else shape

    @property
    def classes(self) -> tuple[Label, ...] | None:
        """All labels that may come; ``None`` if there are none, or the source does not tell."""
        classes: tuple[Label, ...] | None = getattr(self.source, "classes", None)
        return classes

    @property
    def counts(self) -> dict[str, int]:
        """What the wrapped source has dropped or refused, by cause."""
        counts: dict[str, int] = getattr(self.source, "counts", {})
        return counts

    def __len__(self) -> int:
        """Samples.

        Raises:
            TypeError: the wrapped source does not tell.
        """
        if not isinstance(self.source, Sized):
            raise TypeError(f"{self.name} does not say how many samples it holds")
        return len(self.source)

    def __iter__(self) -> Iterator[Sample]:
        start = self._clock.now()
        read = samples(self.source)
        try:
            for number, sample in enumerate(read):
                # From the start each time, so that what one wait is off by is not carried on.
                self._clock.sleep(start + number / self.per_second - self._clock.now())
                yield sample
        finally:
            # Leaving early stops a camera now, not when the iterator happens to be collected.
            close = getattr(read, "close", None)
            if close is not None:
                close()

    def __enter__(self) -> Self:
        enter = getattr(self.source, "__enter__", None)
        if enter is not None:
            enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        leave = getattr(self.source, "__exit__", None)
        if leave is not None:
            leave(kind, error, trace)

    def close(self) -> None:
        """Close the wrapped source, if it can be closed."""
        close = getattr(self.source, "close", None)
        if close is not None:
            close()
