"""Ctrl-C at every instant: an exception wherever Python would look for a signal."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

_LOOKS = {
    dis.opmap[name]
    for name in ("CALL", "CALL_KW", "CALL_FUNCTION_EX", "JUMP_BACKWARD", "RESUME")
    if name in dis.opmap
}
"""Python looks for signals at the end of these instructions."""


class Cut(KeyboardInterrupt):
    """What is raised, told apart from a real Ctrl-C."""


@contextmanager
def cut_at(number: int, files: tuple[str, ...]) -> Iterator[list[str]]:
    """Raise [`Cut`] in this thread at the instant of that number, counted from 0.

    Args:
        number: of the instant; if there are fewer, nothing is raised.
        files: ends of the names of the files where instants count.

    Yields:
        A list that holds where it was raised, once it was.
    """
    count, where = 0, []
    last: dict[FrameType, int] = {}
    wanted: dict[CodeType, bool] = {}

    def trace(frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        nonlocal count
        code = frame.f_code
        if code not in wanted:
            wanted[code] = code.co_filename.endswith(files)
        if not wanted[code]:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            before = last.get(frame)
            last[frame] = code.co_code[frame.f_lasti]
            if before in _LOOKS:
                count += 1
                if count == number + 1:
                    where.append(f"{code.co_qualname}:{frame.f_lineno}")
                    sys.settrace(None)
                    raise Cut
        elif event == "return":
            last.pop(frame, None)
        return trace

    outer = sys.gettrace()
    sys.settrace(trace)
    try:
        yield where
    finally:
        sys.settrace(outer)
