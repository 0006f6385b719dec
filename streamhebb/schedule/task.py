"""Tasks, lanes and the scheduler interface.

A net turns each sample into one *frame* (its values) and runs a fixed *plan* of tasks over it. A
scheduler knows tasks only: not layers, not rules. It may run them in any order that keeps two
promises:

1. a task starts after the tasks named in its ``after`` have ended, for the same frame;
2. tasks of the same lane run one at a time, in the order in which they were submitted, also from
   one frame to the next.

Each layer's state is touched by one lane only, so every legal order gives the same weights, bit
for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from streamhebb.errors import ConfigError

Frame: TypeAlias = Any
"""The values of one sample on its way through a plan; only tasks look inside."""


@dataclass(frozen=True, slots=True)
class Task:
    """A unit of work.

    Args:
        name: what it does, for people: ``"respond 2:Conv2d"``.
        lane: the ordered queue it belongs to.
        after: positions, in the plan, of the tasks it waits for; all earlier than its own.
        run: does the work on a frame.
    """

    name: str
    lane: int
    after: tuple[int, ...]
    run: Callable[[Frame], None]


Plan: TypeAlias = tuple[Task, ...]


def make_plan(tasks: Sequence[Task]) -> Plan:
    """Check that tasks wait only for earlier ones, and freeze them.

    Raises:
        ConfigError: naming the task that waits for a later one or for itself.
    """
    for position, task in enumerate(tasks):
        late = [other for other in task.after if not 0 <= other < position]
        if late:
            raise ConfigError(
                f"task {task.name!r} at position {position} waits for {late}; it may wait only for "
                f"{list(range(position))}: put it after the tasks it needs"
            )
    return tuple(tasks)


class Scheduler(Protocol):
    """Runs plans. See the module for the two promises it keeps."""

    def submit(self, plan: Plan, frame: Frame) -> None:
        """Accept a plan over a frame; it may still be running on return."""
        ...

    def join(self) -> None:
        """Return when everything submitted has ended; raise what went wrong in a task."""
        ...

    def close(self) -> None:
        """Join, and give back threads and streams. Nothing can be submitted afterwards."""
        ...
