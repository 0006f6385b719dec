from __future__ import annotations

import copy

import pytest

from streamhebb.errors import ConfigError
from streamhebb.schedule import QUIET, Serial, Task, make_plan


def test_runs_every_task_at_once_in_plan_order_whatever_the_lanes() -> None:
    def note(word: str, lane: int, *after: int) -> Task:
        return Task(word, lane, after, lambda frame: frame.append(word))

    plan = make_plan([note("a", 2), note("b", 0), note("c", 1, 0), note("d", 0, 1, 2)])
    scheduler, frame = Serial(), []
    for _ in range(2):
        scheduler.submit(plan, frame)
    assert frame == ["a", "b", "c", "d"] * 2
    scheduler.join()
    scheduler.close()


def test_an_error_reaches_the_caller_and_stops_the_plan() -> None:
    def fail(frame: list[str]) -> None:
        raise RuntimeError("from the task")

    ran: list[str] = []
    plan = make_plan([Task("bad", 0, (), fail), Task("later", 0, (0,), lambda f: ran.append("x"))])
    with pytest.raises(RuntimeError, match="from the task"):
        Serial().submit(plan, ran)
    assert ran == []


def test_a_copy_of_a_closed_one_is_open() -> None:
    """A net whose scheduler was closed goes on with a copy of it."""
    scheduler, ran = Serial(), []
    plan = make_plan([Task("note", 0, (), lambda frame: frame.append(1))])
    scheduler.close()
    scheduler.close()
    with pytest.raises(ConfigError, match="closed"):
        scheduler.submit(plan, ran)
    for twin in (copy.copy(scheduler), copy.deepcopy(scheduler)):
        twin.submit(plan, ran).wait()
    assert ran == [1, 1]


def test_an_error_names_task_and_frame() -> None:
    def fail(frame: str) -> None:
        raise RuntimeError("from the task")

    scheduler = Serial()
    with pytest.raises(RuntimeError) as caught:
        scheduler.submit(make_plan([Task("bad", 0, (), fail)]), "sample 3")
    assert caught.value.__notes__ == ["in 'bad' of sample 3"]
    scheduler.join()
    scheduler.clear()


def test_what_is_quiet_wakes_nobody_but_always() -> None:
    def note(word: str, *after: int, answer: object = None, always: bool = False) -> Task:
        def run(frame: list[str]) -> object:
            frame.append(word)
            return answer

        return Task(word, 0, after, run, always=always)

    plan = make_plan(
        [note("a", answer=QUIET), note("b", 0), note("c", 1), note("d", 2, always=True), note("e")]
    )
    ran: list[str] = []
    handle = Serial().submit(plan, ran)
    assert ran == ["a", "d", "e"]
    assert handle.done(1)
    handle.wait(2)
