"""The simplest scheduler: everything at once, in order."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from streamhebb.errors import ConfigError
from streamhebb.schedule.task import QUIET, Frame, Pending, Plan
from streamhebb.schedule.trace import Trace


class Done:
    """A frame that has arrived."""

    def wait(self, position: int | None = None) -> None:
        """Return at once."""

    def done(self, position: int | None = None) -> bool:
        """Always."""
        return True


_DONE = Done()


class Serial:
    """Runs each task in the caller's thread, in plan order. The reference for all others.

    Args:
        trace: is told of every task, if given.

    Example:
        >>> from streamhebb.schedule import Task, make_plan
        >>> plan = make_plan([Task("double", 0, (), lambda frame: frame.append(2 * frame[0]))])
        >>> frame = [21]
        >>> Serial().submit(plan, frame).done()
        True
        >>> frame
        [21, 42]
    """

    def __init__(self, trace: Trace | None = None) -> None:
        self.trace = trace
        self._submitted = 0
        self._closed = False

    def submit(self, plan: Plan, frame: Frame) -> Pending:
        """Run the whole plan; an exception of a task reaches the caller from here."""
        if self._closed:
            raise ConfigError("this scheduler is closed; make a new one")
        number, trace = self._submitted, self.trace
        self._submitted += 1
        quiet: set[int] = set()
        for position, task in enumerate(plan):
            if not (task.always or quiet.isdisjoint(task.after)):
                quiet.add(position)
                continue
            start = 0.0 if trace is None else perf_counter()
            try:
                answer = task.run(frame)
            except BaseException as error:
                error.add_note(f"in {task.name!r} of {frame}")
                raise
            finally:
                if trace is not None:
                    trace.add(task.name, task.lane, number, "caller", start, perf_counter())
            if answer is QUIET:
                quiet.add(position)
        return _DONE

    def join(self) -> None:
        """Nothing is ever pending."""

    def clear(self) -> None:
        """Nothing is ever left over."""

    def close(self) -> None:
        """Accept nothing more."""
        self._closed = True

    def __reduce__(self) -> tuple[Any, ...]:
        return Serial, ()  # a copy is open

    def __repr__(self) -> str:
        return "Serial()"
