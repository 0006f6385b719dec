"""What schedulers promise, checked on a log of starts and ends; and plans drawn at random."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st

from streamhebb.schedule import QUIET, Plan, Task, make_plan

Mark = tuple[str, int, int]
"""``"start"`` or ``"end"``, number of the frame, position in its plan."""


@dataclass
class Log:
    """What happened, in the order in which it did; appending to a list is one step of Python."""

    marks: list[Mark] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.marks)


@dataclass
class Page:
    """A frame: its number, the positions that answer QUIET, and where to write what happened.

    Args:
        between: called between start and end, with the position.
    """

    number: int
    quiet: frozenset[int]
    log: Log
    between: Callable[[int], None] = lambda position: None

    def __str__(self) -> str:
        return f"page {self.number}"


def noting(
    position: int,
    lane: int,
    after: tuple[int, ...] = (),
    past: tuple[tuple[int, int], ...] | None = None,
    always: bool = False,
) -> Task:
    """A task that writes down that it ran."""

    def run(page: Page) -> object:
        page.log.marks.append(("start", page.number, position))
        page.between(position)
        page.log.marks.append(("end", page.number, position))
        return QUIET if position in page.quiet else None

    return Task(f"task {position}", lane, after, run, past, always)


def runs(plan: Plan, quiet: frozenset[int]) -> set[int]:
    """Positions that are not passed over, by promise 3."""
    found: set[int] = set()
    for position, task in enumerate(plan):
        woken = all(other in found and other not in quiet for other in task.after)
        if woken or task.always:
            found.add(position)
    return found


def assert_promises_kept(pages: list[tuple[Plan, frozenset[int]]], log: Log) -> None:
    """Check a finished run: each promise, that nothing ran twice, and that nothing was forgotten.

    A task that is passed over counts as ended when its turn has come: when it could have started.
    """
    running = {
        (number, position)
        for number, (plan, quiet) in enumerate(pages)
        for position in runs(plan, quiet)
    }
    for word in ("start", "end"):
        marks = [mark[1:] for mark in log.marks if mark[0] == word]
        assert len(marks) == len(set(marks)), f"more than one {word}"
        assert set(marks) == running, f"not those that are woken have a {word}"
    when = {mark: at for at, mark in enumerate(log.marks)}
    earlier: dict[int, list[tuple[int, int]]] = {}
    over: dict[tuple[int, int], float] = {}  # when it had ended, or could have
    for number, (plan, _) in enumerate(pages):
        for position, task in enumerate(plan):
            key = number, position
            needs = [over[number, other] for other in task.after]
            started = when.get(("start", *key))
            for lane, lag in task.waits_for:
                before = sorted(over[other] for other in earlier.get(lane, ()))
                kept = len(before) - lag
                if kept > 0:
                    needs.append(before[kept - 1])
                if started is not None:
                    open_ = [other for other in earlier.get(lane, ()) if over[other] > started]
                    assert len(open_) <= lag, f"{key} started while {open_} of lane {lane} ran"
            if started is None:
                over[key] = max(needs, default=-1.0)
            else:
                late = [other for other in task.after if over[number, other] > started]
                assert not late, f"{key} started before {late} had ended"
                over[key] = when["end", *key]
            earlier.setdefault(task.lane, []).append(key)


# -- at random ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Story:
    """Plans and what becomes of each frame."""

    pages: tuple[tuple[Plan, frozenset[int]], ...]
    seed: int

    def fresh(self) -> tuple[Log, list[tuple[Plan, Page]]]:
        """Frames to be submitted, in this order, and the log they write."""
        log = Log()
        pages = enumerate(self.pages)
        return log, [(plan, Page(number, quiet, log)) for number, (plan, quiet) in pages]

    def check(self, log: Log) -> None:
        """Look whether the promises were kept."""
        assert_promises_kept(list(self.pages), log)


def _past(lanes: int, chance: random.Random) -> tuple[tuple[int, int], ...] | None:
    if chance.random() < 0.6:
        return None
    count = chance.randrange(3)
    return tuple((chance.randrange(lanes + 1), chance.randrange(3)) for _ in range(count))


def draw_plan(chance: random.Random, longest: int = 6, lanes: int = 3) -> Plan:
    """A plan of up to ``longest`` tasks with random edges, lanes, pasts and ``always``."""
    return make_plan(
        [
            noting(
                position,
                chance.randrange(lanes),
                tuple(other for other in range(position) if chance.random() < 0.35),
                _past(lanes, chance),
                chance.random() < 0.2,
            )
            for position in range(chance.randint(1, longest))
        ]
    )


def draw_story(seed: int, frames: int = 8) -> Story:
    """Up to ``frames`` frames of up to three plans; some tasks answer QUIET."""
    chance = random.Random(seed)
    plans = [draw_plan(chance) for _ in range(chance.randint(1, 3))]
    pages = []
    for _ in range(chance.randint(1, frames)):
        plan = chance.choice(plans)
        quiet = frozenset(p for p in range(len(plan)) if chance.random() < 0.15)
        pages.append((plan, quiet))
    return Story(tuple(pages), seed)


stories = st.integers(0, 2**32).map(draw_story)
