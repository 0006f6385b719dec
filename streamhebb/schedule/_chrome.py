"""Traces as files: the Trace Event Format, which Perfetto and chrome://tracing open.

Two processes hold the rows: "lanes" has whole tasks, "workers" has parts as well. So a whole task
stands in the file twice. On reading only the workers count: nothing is missing there.

Times are whole nanoseconds after the first start, written as microseconds with three decimals.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from json.encoder import encode_basestring_ascii as quote
from pathlib import Path
from reprlib import repr as short
from typing import TYPE_CHECKING, Any

from streamhebb.errors import TraceError

if TYPE_CHECKING:
    from streamhebb.schedule.trace import Event

FORMAT = "streamhebb-trace"
VERSION = 1
LANES, WORKERS = 1, 2  # numbers of the processes
FIRST_ROW = 11  # rows are numbered on through both processes, and none like a process
MOST_BYTES = 1 << 29
LONGEST = 4e12
"""Microseconds, 46 days: up to there a float tells two nanoseconds apart."""

MOST = 1 << 53
"""Whole numbers above it are not the same to all readers of JSON."""

Span = tuple[int, int]  # start and end in nanoseconds


# ----------------------------------------------------------------------------------- writing


def encode(
    events: Sequence[Event], names: dict[int, str], lane_names: dict[int, str], lost: int
) -> Iterator[bytes]:
    """Yield the file in pieces.

    Args:
        events: what ran, in any order.
        names: of the rows of lanes; one for each lane.
        lane_names: those that were given and not derived.
        lost: events that were not kept.

    Raises:
        TraceError: naming an event whose times are not finite, or that ends before it starts.
    """
    spans = nanoseconds(events)
    whole = [i for i, event in enumerate(events) if not event.part]
    lanes = rows_apart([spans[i] for i in whole], [events[i].lane for i in whole], nested=False)
    workers = rows_apart(spans, [event.worker for event in events], nested=True)
    other = {
        "format": FORMAT,
        "version": VERSION,
        "events": len(events),
        "lost": lost,
        "lane_names": {str(lane): name for lane, name in lane_names.items()},
    }
    yield b'{"displayTimeUnit": "ms",\n"otherData": ' + json.dumps(other).encode()
    yield b',\n"traceEvents": [\n'
    heads = [_meta("process_name", LANES, 0, name="lanes")]
    heads += [_meta("process_name", WORKERS, 0, name="workers")]
    heads += [_meta("process_sort_index", pid, 0, sort_index=pid) for pid in (LANES, WORKERS)]
    lane_rows = _number(lanes, FIRST_ROW)
    worker_rows = _number(workers, FIRST_ROW + len(lane_rows))
    for pid, rows in ((LANES, lane_rows), (WORKERS, worker_rows)):
        for (key, copy), tid in rows.items():
            name = names[key] if pid == LANES else str(key)
            heads.append(_meta("thread_name", pid, tid, name=name + f" ({copy + 1})" * bool(copy)))
            heads.append(_meta("thread_sort_index", pid, tid, sort_index=tid))
    yield ",\n".join(heads).encode()
    tids = [worker_rows[row] for row in workers]
    for event, span, tid in zip(events, spans, tids, strict=True):
        yield _complete(event, span, WORKERS, tid)
    for i, row in zip(whole, lanes, strict=True):
        yield _complete(events[i], spans[i], LANES, lane_rows[row])
    yield b"\n]}\n"


def nanoseconds(events: Sequence[Event]) -> list[Span]:
    """Start and end of each event, in nanoseconds after the first start."""
    for event in events:
        if not -math.inf < event.start <= event.end < math.inf:
            raise TraceError(
                f"{event.name!r} of frame {event.frame} runs from {event.start} s to "
                f"{event.end} s; times must be finite, and no task ends before it starts"
            )
    first = min((event.start for event in events), default=0.0)
    length = max((event.end for event in events), default=0.0) - first
    if length * 1e6 > LONGEST:
        raise TraceError(f"the trace spans {length:g} s; a file may hold {LONGEST / 1e6:g} s")
    # Rounding keeps what follows and what lies inside in place, if ends are rounded, not lengths.
    return [(round(1e9 * (e.start - first)), round(1e9 * (e.end - first))) for e in events]


def microseconds(time: int) -> float:
    """Whole nanoseconds as microseconds, such that cutting off as well as rounding finds them.

    Readers multiply by 1000 and cut off. Without care a task would then seem to end after the next
    one starts, and be dropped by a reader that takes that for an error.
    """
    value = time / 1000
    return value if int(value * 1000) == time else math.nextafter(value, math.inf)


def _complete(event: Event, span: Span, pid: int, tid: int) -> bytes:
    part = ', "part": true' if event.part else ""
    start, end = span
    return (
        f',\n{{"ph": "X", "name": {quote(event.name)}, "pid": {pid}, "tid": {tid}, '
        f'"ts": {microseconds(start)!r}, "dur": {microseconds(end - start)!r}, '
        f'"args": {{"frame": {event.frame}, "lane": {event.lane}, '
        f'"worker": {quote(event.worker)}{part}}}}}'
    ).encode()


def _meta(what: str, pid: int, tid: int, **args: Any) -> str:
    return json.dumps({"ph": "M", "name": what, "pid": pid, "tid": tid, "ts": 0, "args": args})


def _number(rows: Sequence[tuple[Any, int]], first: int) -> dict[tuple[Any, int], int]:
    ordered = sorted(set(rows), key=lambda row: (natural(row[0]), row[1]))
    return {row: first + number for number, row in enumerate(ordered)}


def natural(key: Any) -> Any:
    """Sort text with numbers in it by these: worker 2 comes before worker 10."""
    if not isinstance(key, str):
        return key
    parts = re.split(r"(\d+)", key)
    # Digits by their number and not their value: there may be more of them than int() takes.
    return [(len(part), part) if i % 2 else (0, part) for i, part in enumerate(parts)]


def rows_apart(spans: Sequence[Span], keys: Sequence[Any], nested: bool) -> list[tuple[Any, int]]:
    """Find a row for each span, ``(key, copy)``, so that none in a row overlap.

    The format wants slices of a row apart or one inside the other. Most keys need one copy; a lane
    that allows a lag may need more.

    Args:
        spans: to be placed.
        keys: the lane or worker of each.
        nested: whether one may lie inside another.
    """
    rows: list[tuple[Any, int]] = [(None, 0)] * len(spans)
    open_ends: dict[Any, list[list[int]]] = {}  # for each copy, the ends of what is open
    sign = -1 if nested else 1  # the outer one first; else the one without length
    for i in sorted(range(len(spans)), key=lambda i: (spans[i][0], sign * spans[i][1])):
        copies = open_ends.setdefault(keys[i], [])
        rows[i] = keys[i], _place(spans[i], copies, nested)
    return rows


def _place(span: Span, copies: list[list[int]], nested: bool) -> int:
    start, end = span
    for copy, ends in enumerate(copies):
        while ends and ends[-1] <= start:
            ends.pop()
        if not ends or (nested and end <= ends[-1]):
            ends.append(end)
            return copy
    copies.append([end])
    return len(copies) - 1


# ----------------------------------------------------------------------------------- reading


def decode(path: Path) -> tuple[list[tuple[Any, ...]], dict[int, str], int]:
    """Read a file that ``encode`` has written.

    Returns:
        The fields of each event, the names that were given to lanes, and the number of lost events.

    Raises:
        TraceError: if it is missing, too large, truncated, or no trace of this library.
    """
    data = _load(path)
    other = data.get("otherData") if isinstance(data, dict) else None
    if not isinstance(other, dict) or other.get("format") != FORMAT:
        raise TraceError(f"{path} is JSON, but not a trace of streamhebb")
    if other.get("version") != VERSION:
        raise TraceError(
            f"{path} has trace version {short(other.get('version'))}; this streamhebb reads "
            f"version {VERSION}. Use the streamhebb that wrote it"
        )
    try:
        rows = _list(data.get("traceEvents"))
        events = [_event(row) for row in rows if row["ph"] == "X" and row["pid"] == WORKERS]
        names = {int(lane): _text(name) for lane, name in other["lane_names"].items()}
        lost, count = _whole(other["lost"]), _whole(other["events"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise TraceError(f"{path} is damaged: {why}; record it again") from error
    if count != len(events):
        raise TraceError(
            f"{path} is damaged: it holds {len(events)} of {count} events; record it again"
        )
    return events, names, lost


def _load(path: Path) -> Any:
    if not path.is_file():
        raise TraceError(f"there is no trace at {path}")
    try:
        content = path.read_bytes() if path.stat().st_size <= MOST_BYTES else None
    except OSError as error:
        raise TraceError(f"cannot read the trace {path}: {error}") from error
    if content is None:
        raise TraceError(
            f"{path} is too large: a trace may have {MOST_BYTES:,} bytes. Record fewer events, "
            f"with Trace(limit=...)"
        )
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{path} is not a whole trace ({error}); record it again") from error


def _event(row: dict[str, Any]) -> tuple[Any, ...]:
    args = row["args"]
    start, length = _time(row["ts"]), _time(row["dur"])
    worker, part = _text(args["worker"]), args.get("part", False)
    if not isinstance(part, bool):
        raise TypeError(f"part is {short(part)}")
    lane, frame = _whole(args["lane"], least=-MOST), _whole(args["frame"])
    return _text(row["name"]), lane, frame, worker, start / 1e9, (start + length) / 1e9, part


def _time(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST:
        raise ValueError(f"a time is {short(value)}")
    return round(value * 1000)


def _whole(value: Any, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{short(value)} is no whole number")
    if not least <= value <= MOST:
        raise ValueError(f"{short(value)} is not between {least} and {MOST}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{short(value)} is no text")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("traceEvents is no list")
    return value
