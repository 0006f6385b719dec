"""A thread that reads a capture device and keeps only its newest frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from streamhebb.clock import Clock

_PAUSE = 0.02
"""Seconds between two failed reads: a dead capture fails at once, for ever."""


class Capture(Protocol):
    """The part of ``cv2.VideoCapture`` that is used."""

    def isOpened(self) -> bool:
        """Whether there is a device."""
        ...

    def read(self) -> tuple[bool, Any]:
        """The next frame ``(H, W, 3)``, BGR; blocks until there is one."""
        ...

    def release(self) -> None:
        """Let go of the device."""
        ...


class Frame(NamedTuple):
    """One frame, its running number and when it arrived."""

    number: int
    t: float
    pixels: np.ndarray[Any, Any]


class NewestFrame:
    """A slot for one frame, filled by a reader thread, emptied by `take`.

    The thread alone opens, reads and releases the capture: releasing it from outside while a read
    is under way crashes OpenCV.

    Args:
        open: opens the capture.
        clock: gives the time of arrival.
        counts: ``"dropped"`` and ``"failed"`` are counted up in it.
    """

    def __init__(
        self, open: Callable[[], Capture], clock: Clock, counts: dict[str, int], name: str
    ) -> None:
        self._open = open
        self._clock = clock
        self._counts = counts
        self._changed = threading.Condition()
        self._slot: Frame | None = None
        self._error: Exception | None = None
        self._stopping = False
        self._first_shape: tuple[int, ...] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    def first_shape(self, timeout: float) -> tuple[int, ...] | None:
        """Wait for a frame and tell its shape, without taking it; ``None`` after the timeout."""
        with self._changed:
            self._wait(lambda: self._first_shape is not None, timeout)
            return self._first_shape

    def take(self, timeout: float) -> Frame | None:
        """The newest frame not yet taken; ``None`` after the timeout or once stopped."""
        with self._changed:
            self._wait(lambda: self._slot is not None, timeout)
            if self._stopping:
                return None
            frame, self._slot = self._slot, None
            return frame

    def stop(self, timeout: float) -> bool:
        """End the thread; ``False`` if a blocking read keeps it beyond the timeout."""
        with self._changed:
            self._stopping = True
            if self._slot is not None:
                self._counts["dropped"] += 1
                self._slot = None
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _wait(self, ready: Callable[[], bool], timeout: float) -> None:
        end = time.monotonic() + timeout
        while not ready() and not self._stopping:
            if self._error is not None:
                raise self._error
            left = end - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(left)

    def _run(self) -> None:
        try:
            capture = self._open()
            try:
                self._read(capture)
            finally:
                capture.release()
        except Exception as error:  # noqa: BLE001 - handed to whoever takes the next frame
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _read(self, capture: Capture) -> None:
        if not capture.isOpened():
            raise OSError("it cannot be opened")
        number = 0
        while not self._stopping:
            ok, pixels = capture.read()
            with self._changed:
                if self._stopping:
                    if ok:  # type: ignore[unreachable]
                        self._counts["dropped"] += 1
                    return
                if not ok or pixels is None:
                    self._counts["failed"] += 1
                    self._changed.wait(_PAUSE)
                    continue
                if self._slot is not None:
                    self._counts["dropped"] += 1
                self._slot = Frame(number, self._clock.now(), pixels)
                self._first_shape = self._first_shape or pixels.shape
                self._changed.notify_all()
            number += 1
