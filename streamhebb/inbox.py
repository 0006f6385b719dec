"""The waiting room between a source that keeps its own pace and a net that keeps another."""

from __future__ import annotations

import operator
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from streamhebb.clock import Clock
from streamhebb.errors import ConfigError

T = TypeVar("T")

CAUSES: Mapping[str, str | None] = {
    "block": None,
    "drop_oldest": "dropped",
    "latest": "overtaken",
    "skip_learning": None,
}
"""Policy -> the cause under which it counts what it does not hand out; ``None`` if it hands out
everything."""

_SLICE = 1.0
"""Seconds: a wait without end cannot be interrupted on every system, a sliced one can."""


class Arrived(NamedTuple, Generic[T]):
    """An item, and what happened at the door before it was handed out.

    Args:
        item: what was put in.
        at: when it came, in seconds on the clock of the inbox.
        missed: how many were lost since the item handed out before, by cause.
    """

    item: T
    at: float
    missed: Mapping[str, int]


class Inbox(Generic[T]):
    """Holds what a source has sent and a net has not yet taken; never more than ``size`` items.

    One thread puts, another gets; more of either are allowed. What comes out is in the order in
    which it went in. Every item is handed out once, or counted:

    | policy | when it is full | counted as |
    | --- | --- | --- |
    | ``"block"``, ``"skip_learning"`` | ``put`` waits for room | |
    | ``"drop_oldest"`` | the item that waits longest makes room | ``"dropped"`` |
    | ``"latest"`` | the newest alone waits, whatever ``size`` says | ``"overtaken"`` |

    Args:
        policy: one of the above.
        size: items that may wait, at least 1.
        clock: tells when an item came.

    Raises:
        ConfigError: another policy, or a size that is no whole number from 1.

    Example:
        >>> from streamhebb.clock import VirtualClock
        >>> inbox = Inbox("drop_oldest", 2, VirtualClock())
        >>> [inbox.put(frame) for frame in "abc"]
        [True, True, True]
        >>> inbox.close()
        >>> inbox.get()
        Arrived(item='b', at=0.0, missed={'dropped': 1})
        >>> inbox.get().item, inbox.get()
        ('c', None)
    """

    def __init__(self, policy: str, size: int, clock: Clock) -> None:
        if policy not in tuple(CAUSES):  # a tuple may be asked for what cannot be hashed
            raise ConfigError(f"policy={policy!r} is not known; give one of {list(CAUSES)}")
        size = _size(size)
        self.policy = policy
        self.size = 1 if policy == "latest" else size
        self._cause = CAUSES[policy]
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[tuple[T, float]] = deque()
        self._counts = {} if self._cause is None else {self._cause: 0}
        self._missed: dict[str, int] = {}
        self._closed = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Leave an item; its time of arrival is now, also if it has to wait for room.

        Returns:
            Whether it was taken: ``False`` once the inbox is closed, also while waiting for room.
        """
        with self._changed:
            at = self._clock.now()
            while self._cause is None and len(self._waiting) >= self.size and not self._closed:
                self._changed.wait(_SLICE)
            if self._closed:
                return False
            if self._cause is not None and len(self._waiting) >= self.size:
                self._waiting.popleft()
                self._counts[self._cause] += 1
                self._missed[self._cause] = self._missed.get(self._cause, 0) + 1
            self._waiting.append((item, at))
            self._changed.notify_all()
            return True

    def get(self, timeout: float | None = None) -> Arrived[T] | None:
        """Take the item that has waited longest; wait for one if there is none.

        Args:
            timeout: seconds to wait, of real time whatever the clock; ``None`` for no end, 0 to
                take only what is there.

        Returns:
            The item, or ``None`` at the end: closed, and everything handed out.

        Raises:
            TimeoutError: nothing came in time, and the inbox is open.
            BaseException: what ``close`` was given, after the last item; each time it is asked.
        """
        end = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._waiting and not self._closed:
                left = _SLICE if end is None else end - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"nothing came into the inbox within {timeout} s")
                self._changed.wait(min(left, _SLICE))
            if self._waiting:
                item, at = self._waiting.popleft()
                missed, self._missed = self._missed, {}
                self._changed.notify_all()
                return Arrived(item, at, missed)
            if self._error is not None:
                raise self._error
            return None

    def close(self, error: BaseException | None = None) -> None:
        """Take nothing more. What waits is still handed out; a ``put`` that waits is let go.

        Closing again changes nothing.

        Args:
            error: why the stream ended, raised by ``get`` after the last item.
        """
        with self._changed:
            if not self._closed:
                self._closed, self._error = True, error
                self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken."""
        return self._closed

    @property
    def counts(self) -> dict[str, int]:
        """Items lost so far, by cause."""
        with self._changed:
            return dict(self._counts)

    @property
    def missed(self) -> dict[str, int]:
        """Items lost since the one handed out last, by cause; they are in ``counts`` too."""
        with self._changed:
            return dict(self._missed)

    def __len__(self) -> int:
        """Items that wait."""
        return len(self._waiting)


def _size(size: Any) -> int:
    try:
        number = operator.index(size)
    except TypeError:
        raise ConfigError(f"size={size!r} is not a whole number; give an int from 1") from None
    if isinstance(size, bool) or number < 1:
        raise ConfigError(f"size={size!r} is not allowed; give an int of at least 1")
    return number
