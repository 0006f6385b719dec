"""What ran where and when: a bounded record of every task."""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    """One task, or one part of a task that was split.

    Args:
        name: of the task.
        lane: the lane it belongs to.
        frame: running number of the frame, counted from 0 in the order of submission.
        worker: who ran it: the thread's or stream's name.
        start: seconds.
        end: seconds.
        part: whether it is a part that another worker took over from a task.
    """

    name: str
    lane: int
    frame: int
    worker: str
    start: float
    end: float
    part: bool = False


class Trace:
    """Keeps events up to a limit; counts those beyond it.

    Args:
        limit: events kept, the first ones.
    """

    def __init__(self, limit: int = 1_000_000) -> None:
        self.limit = limit
        self.events: list[Event] = []
        self.lost = 0

    def add(
        self,
        name: str,
        lane: int,
        frame: int,
        worker: str,
        start: float,
        end: float,
        part: bool = False,
    ) -> None:
        """Note what ran; any thread may call this."""
        if len(self.events) < self.limit:
            self.events.append(Event(name, lane, frame, worker, start, end, part))
        else:
            self.lost += 1
