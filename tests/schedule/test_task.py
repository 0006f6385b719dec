from __future__ import annotations

import pytest

from streamhebb.errors import ConfigError
from streamhebb.schedule import Task, make_plan


def task(name: str, *after: int) -> Task:
    return Task(name, 0, after, lambda frame: None)


def test_a_plan_keeps_its_tasks_in_order_and_is_frozen() -> None:
    tasks = [task("a"), task("b", 0), task("c", 0, 1)]
    plan = make_plan(tasks)
    tasks.pop()
    assert [item.name for item in plan] == ["a", "b", "c"]
    with pytest.raises(AttributeError):
        plan[0].lane = 1  # type: ignore[misc]


def test_an_empty_plan_is_a_plan() -> None:
    assert make_plan([]) == ()


@pytest.mark.parametrize("after", [(1,), (2,), (0, 1), (-1,)])
def test_waiting_for_itself_or_a_later_task_is_refused(after: tuple[int, ...]) -> None:
    tasks = [task("first"), task("second", *after), task("third")]
    late = [other for other in after if other != 0]
    with pytest.raises(ConfigError) as caught:
        make_plan(tasks)
    assert str(caught.value) == (
        f"task 'second' at position 1 waits for {late}; it may wait only for [0]: "
        f"put it after the tasks it needs"
    )
