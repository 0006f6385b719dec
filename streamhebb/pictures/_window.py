"""Which part of a trace a picture shows."""

from __future__ import annotations

from collections.abc import Sequence

from streamhebb.errors import ConfigError
from streamhebb.parts import require
from streamhebb.schedule.trace import Event

FRAMES = 8
"""Samples shown when nothing is asked for."""
UNITS = ((10.0, 1.0, "s"), (1e-3, 1e3, "ms"), (0.0, 1e6, "µs"))


def choose(
    events: Sequence[Event],
    spans: Sequence[tuple[float, float]],
    first: int | None,
    frames: int | None,
    start: float | None,
    end: float | None,
) -> tuple[float, float, str]:
    """Where the picture begins and ends, and how to say it.

    Args:
        events: of the whole run.
        spans: start and end of each, in seconds after the first start.
        first: number of the first sample to show.
        frames: how many samples to show.
        start: seconds where to begin, instead.
        end: seconds where to end.
    """
    whole = max(b for _, b in spans)
    numbers = sorted({event.frame for event in events})
    if start is not None or end is not None:
        if first is not None or frames is not None:
            raise ConfigError("timeline: choose by first and frames, or by start and end, not both")
        begin, stop = 0.0 if start is None else start, whole if end is None else end
        if not 0 <= begin < stop or begin > whole:
            raise ConfigError(
                f"timeline: start={start} and end={end} are not allowed; they must be in this "
                f"order, and lie between 0 and {whole:g} s"
            )
        return begin, stop, f"Shown: {length(begin)} to {length(stop)}."
    if first is not None:
        require("timeline", "first", first, at_least=0, whole=True)
    if frames is not None:
        require("timeline", "frames", frames, at_least=1, whole=True)
    count = FRAMES if frames is None else frames
    if first is None:
        at = max(0, (len(numbers) - count) // 2)
        chosen = numbers[at : at + count]
    else:
        chosen = [number for number in numbers if first <= number < first + count]
    if not chosen:
        raise ConfigError(
            f"timeline: the trace has nothing of {count} samples from first={first} on; it holds "
            f"samples {numbers[0]} to {numbers[-1]}"
        )
    wanted = set(chosen)
    mine = [span for event, span in zip(events, spans, strict=True) if event.frame in wanted]
    begin, stop = min(a for a, _ in mine), max(b for _, b in mine)
    stop = max(stop, begin + 1e-9)  # tasks that took no time
    what = f"sample {chosen[0]}" if len(chosen) == 1 else f"samples {chosen[0]} to {chosen[-1]}"
    where = ", from the middle of the run" if first is None and len(chosen) < len(numbers) else ""
    part = f" of {len(numbers):,}" if len(chosen) < len(numbers) else ""
    return begin, stop, f"Shown: {what}{part} ({length(stop - begin)}{where})."


def unit_of(seconds: float) -> tuple[float, str]:
    """Unit in which a time reads well, and how many of it a second has."""
    return next((factor, unit) for least, factor, unit in UNITS if seconds >= least)


def length(seconds: float) -> str:
    """A time with its unit, to three digits."""
    factor, unit = unit_of(seconds)
    value = seconds * factor
    return f"{value:,.0f} {unit}" if value >= 1000 else f"{value:.3g} {unit}"
