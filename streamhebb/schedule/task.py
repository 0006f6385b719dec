"""Tasks, lanes and the scheduler interface.

A net turns each sample into one *frame* (its values) and runs a fixed *plan* of tasks over it. A
scheduler knows tasks only: not layers, not rules. It may run them in any order that keeps three
promises:

1. a task starts after the tasks named in its ``after`` have ended, for the same frame;
2. a task starts after the earlier tasks of the lanes named in its ``past`` have ended, those of
   frames submitted before included; all but the last few, where it allows a lag. Unless it says
   otherwise, that is its own lane without a lag: tasks of a lane run one at a time, in the order in
   which they were submitted;
3. a task is passed over if one it waits for in its frame was passed over or returned ``QUIET``.

Each layer's state is touched by one lane only, so every legal order gives the same weights, bit
for bit, as long as no task allows a lag.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, Protocol, TypeAlias

from streamhebb.errors import ConfigError
from streamhebb.schedule.trace import Trace

Frame: TypeAlias = Any
"""The values of one sample on its way through a plan; only tasks look inside. ``str(frame)`` names
it in errors."""


class _Answer(Enum):
    QUIET = "nothing came of it"

    def __repr__(self) -> str:
        return self.name


QUIET: Literal[_Answer.QUIET] = _Answer.QUIET
"""What a task returns that wakes nobody: what waits for it, and what waits for that, is passed
over."""


@dataclass(frozen=True, slots=True)
class Task:
    """A unit of work.

    Args:
        name: what it does and where, for people: ``"respond 2:Conv2d"``.
        lane: the ordered queue it belongs to.
        after: positions, in the plan, of the tasks it waits for; all earlier than its own.
        run: does the work on a frame; may return ``QUIET``.
        past: pairs of a lane and a lag: it starts when at most that many of the tasks submitted
            earlier to that lane are unfinished. ``None`` is its own lane, and none of them.
        always: runs even if what it waits for was quiet.
        by_hand: needs Python each time (labels, counting), so it cannot be recorded once and played
            back by a device.
    """

    name: str
    lane: int
    after: tuple[int, ...]
    run: Callable[[Frame], object]
    past: tuple[tuple[int, int], ...] | None = None
    always: bool = False
    by_hand: bool = False

    @property
    def waits_for(self) -> tuple[tuple[int, int], ...]:
        """``past``, with the default filled in."""
        return ((self.lane, 0),) if self.past is None else self.past


Plan: TypeAlias = tuple[Task, ...]


def make_plan(tasks: Sequence[Task]) -> Plan:
    """Check that tasks wait only for earlier ones, and freeze them.

    Raises:
        ConfigError: naming the task that waits for a later one or for itself, or its lag.
    """
    for position, task in enumerate(tasks):
        late = [other for other in task.after if not 0 <= other < position]
        if late:
            raise ConfigError(
                f"task {task.name!r} at position {position} waits for {late}; it may wait only for "
                f"{list(range(position))}: put it after the tasks it needs"
            )
        if any(lag < 0 for _, lag in task.waits_for):
            raise ConfigError(
                f"task {task.name!r} has past={task.past}; a lag is 0 or more: a task cannot wait "
                f"for those submitted after it"
            )
    return tuple(tasks)


class Pending(Protocol):
    """A frame on its way."""

    def wait(self, position: int | None = None) -> None:
        """Return when the task at that position of the plan, or the whole plan, has ended.

        Raises:
            Exception: what a task raised, of this frame or of one before it, with a note that
                names task and frame.
        """
        ...

    def done(self, position: int | None = None) -> bool:
        """Whether ``wait`` would return, or raise, at once."""
        ...


class Scheduler(Protocol):
    """Runs plans. See the module for the promises it keeps.

    Attributes:
        trace: is told of every task, if there is one.
    """

    trace: Trace | None

    def submit(self, plan: Plan, frame: Frame) -> Pending:
        """Accept a plan over a frame; it may still be running on return.

        Frames are accepted by one thread at a time. After a task has raised, nothing more is
        started: what it raised comes out of ``submit``, ``wait`` and ``join`` until the scheduler
        is closed or ``clear`` is called.
        """
        ...

    def join(self) -> None:
        """Return when everything submitted has ended; raise what went wrong in a task."""
        ...

    def clear(self) -> None:
        """Forget an error, and what was not started because of it, so that work can go on."""
        ...

    def close(self) -> None:
        """Let what is running end, drop what is not, give back threads and streams.

        Never raises. Nothing can be submitted afterwards. Closing twice does nothing.
        """
        ...
