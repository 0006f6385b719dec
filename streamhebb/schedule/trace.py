"""What ran where and when: a bounded record of every task.

A trace is written as a file that <https://ui.perfetto.dev> and ``chrome://tracing`` open, with a
row for each lane and one for each worker. ``streamhebb trace FILE`` draws it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from streamhebb.errors import TraceError
from streamhebb.files import replace
from streamhebb.schedule import _chrome


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

    Attributes:
        events: what ran, in the order in which it ended.
        lost: events beyond the limit.
        lane_names: names of lanes, for people; a lane without one is named after its first task.

    Example:
        >>> from streamhebb.schedule import Serial, Task, make_plan
        >>> trace = Trace()
        >>> plan = make_plan([Task("respond 0:Dense", 0, (), lambda frame: None)])
        >>> handle = Serial(trace).submit(plan, None)
        >>> trace.events[0].name, trace.lanes()
        ('respond 0:Dense', {0: '0:Dense'})
    """

    def __init__(self, limit: int = 1_000_000) -> None:
        self.limit = limit
        self.events: list[Event] = []
        self.lost = 0
        self.lane_names: dict[int, str] = {}

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

    def lanes(self) -> dict[int, str]:
        """Name every lane in which something ran, in their order: ``"2:Conv2d"``."""
        found: dict[int, str] = {}
        for event in list(self.events):
            if event.lane not in found:
                verb, _, what = event.name.partition(" ")
                found[event.lane] = self.lane_names.get(event.lane, what or verb)
        return dict(sorted(found.items()))

    def workers(self) -> list[str]:
        """Name everyone who ran something, in their order."""
        return sorted({event.worker for event in list(self.events)}, key=_chrome.natural)

    def span(self) -> tuple[float, float]:
        """First start and last end, in seconds; ``(0, 0)`` if nothing ran."""
        events = list(self.events)
        if not events:
            return 0.0, 0.0
        return min(event.start for event in events), max(event.end for event in events)

    def busy(self) -> dict[str, float]:
        """For each worker, the share of the whole span in which it was busy, 0 to 1.

        Parts count; what ran inside something else counts once.
        """
        found = self._busy_spans()
        ends = [end for spans in found.values() for end in (spans[0][0], spans[-1][1])]
        whole = max(ends, default=0.0) - min(ends, default=0.0)
        return {
            worker: sum(end - start for start, end in spans) / whole if whole else 0.0
            for worker, spans in found.items()
        }

    def overlap(self) -> float:
        """Of the time in which any worker was busy, the share in which two or more were, 0 to 1."""
        edges = sorted(
            edge
            for spans in self._busy_spans().values()
            for start, end in spans
            for edge in ((start, 1), (end, -1))
        )
        one = several = before = 0.0
        count = 0
        for time, change in edges:
            one += time - before if count >= 1 else 0.0
            several += time - before if count >= 2 else 0.0
            before, count = time, count + change
        return several / one if one else 0.0

    def _busy_spans(self) -> dict[str, list[tuple[float, float]]]:
        """For each worker, the spans in which it was busy, in order and apart."""
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in self.workers()}
        for event in list(self.events):
            found.setdefault(event.worker, []).append((event.start, event.end))
        return {worker: _union(spans) for worker, spans in found.items()}

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the trace for Perfetto and ``chrome://tracing``, whole or not at all.

        Times are kept to the nanosecond, counted from the first start.

        Args:
            path: the file, ``.json`` by custom; its folder is made if needed.

        Raises:
            TraceError: if the disk refuses, or for an event whose times make no sense.
        """
        path = Path(path)
        names = dict(self.lane_names)
        events = list(self.events)  # others may still be adding
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace(path, _chrome.encode(events, self.lanes() | names, names, self.lost))
        except OSError as error:
            raise TraceError(
                f"cannot write the trace {path}: {error}; free some space or choose another folder"
            ) from error
        return path


def read_trace(path: str | os.PathLike[str]) -> Trace:
    """Read a trace that [`write`][streamhebb.schedule.trace.Trace.write] has written.

    Args:
        path: the file.

    Returns:
        The same events, names and counts. Times are seconds after the first start, rounded to
        nanoseconds.

    Raises:
        TraceError: if the file is missing, too large, truncated, damaged, or of another program.
    """
    events, names, lost = _chrome.decode(Path(path))
    trace = Trace(max(len(events), Trace().limit))
    trace.events = [Event(*fields) for fields in events]
    trace.lane_names = names
    trace.lost = lost
    return trace


def _union(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Merge spans that touch or overlap."""
    found: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found
