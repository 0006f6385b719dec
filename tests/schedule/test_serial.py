from __future__ import annotations

import pytest

from streamhebb.schedule import Serial, Task, make_plan


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
