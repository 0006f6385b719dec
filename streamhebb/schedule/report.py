"""A trace in a few lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from streamhebb.schedule.trace import Trace

COLUMNS = ("respond", "learn", "other")
SHOWN = {*range(0x2B0), *range(0x380, 0x500), ord("…")}
"""Latin, Greek and Cyrillic: what the font of pictures has."""


def plain(text: str, longest: int = 28) -> str:
    """What of a name can safely be shown anywhere: printable letters of Europe, and not too many.

    Example:
        >>> plain("2:Conv2d" + chr(27))
        '2:Conv2d?'
    """
    short = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(c if c.isprintable() and ord(c) in SHOWN else "?" for c in short)


def report(trace: Trace) -> list[str]:
    """Return lines: for each lane how many tasks and how long they take, and how busy who was.

    Args:
        trace: of a run.

    Example:
        >>> trace = Trace()
        >>> trace.add("respond 0:Dense", 0, 0, "worker 0", 0.0, 0.0001)
        >>> trace.add("learn 0:Dense", 0, 0, "worker 0", 0.0001, 0.0004)
        >>> for line in report(trace):
        ...     print(line)
        lane        tasks  respond µs  learn µs
        0  0:Dense      2       100.0     300.0
        <BLANKLINE>
        worker         busy
        worker 0    100.0 %
        <BLANKLINE>
        1 sample in 0.4 ms; two or more workers at once in 0.0 % of the busy time
    """
    times: dict[int, dict[str, list[float]]] = {lane: {} for lane in trace.lanes()}
    for event in trace.events:
        if not event.part:
            verb = event.name.partition(" ")[0]
            column = verb if verb in COLUMNS else "other"
            times[event.lane].setdefault(column, []).append(event.end - event.start)
    columns = [name for name in COLUMNS if any(name in lane for lane in times.values())]
    lanes = [("lane", "tasks", *(f"{name} µs" for name in columns))]
    for lane, name in trace.lanes().items():
        means = [f"{1e6 * fmean(times[lane][c]):,.1f}" if c in times[lane] else "" for c in columns]
        count = sum(map(len, times[lane].values()))
        lanes.append((f"{lane}  {plain(name)}", f"{count:,}", *means))
    workers = [("worker", "busy")]
    workers += [
        (plain(worker), f"{share:.1%}"[:-1] + " %") for worker, share in trace.busy().items()
    ]
    width = max((len(row[0]) for row in (*lanes, *workers)), default=0)
    first, last = trace.span()
    frames = len({event.frame for event in trace.events})
    lines = [
        *_aligned(lanes, width),
        "",
        *_aligned(workers, width),
        "",
        f"{frames:,} sample{'s' * (frames != 1)} in {1e3 * (last - first):,.1f} ms; two or more "
        f"workers at once in {100 * trace.overlap():.1f} % of the busy time",
    ]
    if trace.lost:
        lines.append(f"{trace.lost:,} later tasks were not recorded: the limit was {trace.limit:,}")
    return lines


def _aligned(rows: Sequence[tuple[str, ...]], first: int) -> list[str]:
    """Columns, the first to the left and the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            [
                row[0].ljust(first),
                *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for row in rows
    ]
