"""What it costs that tasks could be noted in a trace, and are not."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from streamhebb.benchmark.schedule.overhead import empty_plan
from streamhebb.benchmark.schedule.turns import Side, seconds, take_turns
from streamhebb.schedule import QUIET, Frame, Plan, Serial, Trace


@dataclass(frozen=True)
class Untraced:
    """What it costs, a task, that tasks could be noted and are not; nanoseconds.

    Args:
        serial: `Serial` less the same loop without a word about traces, median over rounds.
        check: the question whether there is a trace, as workers of `Threads` ask it.
        clock: the two looks at the clock around each task there. Their first use is to learn
            which tasks are short, so they are not a cost of tracing; they stand here because they
            would be if they were.
    """

    serial: float
    check: float
    clock: float


class SerialWithoutTrace:
    """`Serial` as it would be if there were no traces; what tracing costs is the difference."""

    def __init__(self) -> None:
        self._submitted = 0
        self._closed = False

    def submit(self, plan: Plan, frame: Frame) -> None:
        """Run the whole plan."""
        if self._closed:
            raise RuntimeError("closed")
        self._submitted += 1
        quiet: set[int] = set()
        for position, task in enumerate(plan):
            if not (task.always or quiet.isdisjoint(task.after)):
                quiet.add(position)
                continue
            try:
                answer = task.run(frame)
            except BaseException as error:
                error.add_note(f"in {task.name!r} of {frame}")
                raise
            if answer is QUIET:
                quiet.add(position)


class _Pool:
    """What workers ask for a trace."""

    def __init__(self) -> None:
        self.trace: Trace | None = None


def untraced(rounds: int = 15, tasks: int = 40_000) -> Untraced:
    """Measure what it costs that tasks could be noted.

    Args:
        rounds: turns each side takes.
        tasks: of a turn.
    """
    plan, pool = empty_plan(), _Pool()
    frames = max(1, tasks // len(plan))

    def empty() -> None:
        for _ in range(tasks):
            pass

    def check() -> None:
        for _ in range(tasks):
            if pool.trace is not None:
                raise RuntimeError

    def clock() -> None:
        for _ in range(tasks):
            perf_counter()
            perf_counter()

    def without() -> None:
        scheduler = SerialWithoutTrace()
        for frame in range(frames):
            scheduler.submit(plan, frame)

    def serial() -> None:
        scheduler = Serial()
        for frame in range(frames):
            scheduler.submit(plan, frame)

    works = {"empty": empty, "check": check, "clock": clock, "without": without, "serial": serial}
    took = take_turns({name: _seconds_of(work) for name, work in works.items()}, range(rounds))

    def apart(name: str, base: str, count: int) -> float:
        pairs = zip(took[name], took[base], strict=True)
        return 1e9 * statistics.median(a - b for a, b in pairs) / count

    return Untraced(
        apart("serial", "without", frames * len(plan)),
        apart("check", "empty", tasks),
        apart("clock", "empty", tasks),
    )


def _seconds_of(work: Callable[[], object]) -> Side:
    return lambda: seconds(work)
