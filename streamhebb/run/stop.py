"""Ctrl-C: the first asks a run to end cleanly, the second ends it at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
BROKEN_PIPE = 13  # SIGPIPE, which Windows does not name


class Stop:
    """Notes the first SIGINT or SIGTERM of a ``with`` block; a second one kills the process.

    Outside the main thread Python accepts no handlers; there only ``ask`` stops a run.

    Args:
        told: called with the number of the signal when it comes, from the handler.

    Example:
        >>> with Stop() as stop:
        ...     stop.ask(2)
        ...     stop.exit_code
        130
    """

    def __init__(self, told: Callable[[int], None] | None = None) -> None:
        self.signal: int | None = None
        self._told = told
        self._before: dict[int, Any] = {}

    @property
    def exit_code(self) -> int:
        """0, or 128 and the signal, as shells have it."""
        return 0 if self.signal is None else 128 + self.signal

    def ask(self, signum: int) -> None:
        """Ask the run to end after the present sample."""
        self.signal = signum

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), b"\x1b[?25h\n")  # give the cursor back
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)
        self.ask(signum)
        if self._told is not None:
            self._told(signum)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for signum in SIGNALS:
                self._before[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before.clear()
