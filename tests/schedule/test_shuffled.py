"""Shuffled runs any legal order, the same one for the same seed."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamhebb.errors import ConfigError
from streamhebb.schedule import Shuffled, Task, Trace, make_plan
from tests.schedule.promises import noting, stories


def told(number: int, lane: int) -> Task:
    return Task(f"{number}", lane, (), lambda frame: frame.append(number))


@given(stories, st.integers(0, 1000), st.integers(0, 6))
def test_every_order_keeps_the_promises(story, seed, flight):
    scheduler = Shuffled(seed, flight)
    log, frames = story.fresh()
    for plan, page in frames:
        scheduler.submit(plan, page)
        assert len(scheduler._book.flights) <= flight
    scheduler.join()
    story.check(log)
    assert not scheduler._book.flights
    assert not any(scheduler._book._lines.values())


@given(stories, st.integers(0, 100))
def test_the_same_seed_gives_the_same_order(story, seed):
    logs = []
    for scheduler in (Shuffled(seed, 3), copy.copy(Shuffled(seed, 3))):
        log, frames = story.fresh()
        for plan, page in frames:
            scheduler.submit(plan, page)
        scheduler.join()
        logs.append(log.marks)
    assert logs[0] == logs[1]


def test_other_seeds_give_all_orders():
    plan, orders = make_plan([told(lane, lane) for lane in range(3)]), set()
    for seed in range(100):
        frame: list[int] = []
        Shuffled(seed).submit(plan, frame).wait()
        orders.add(tuple(frame))
    assert len(orders) == 6


def test_one_can_wait_for_a_task_or_a_frame():
    plan = make_plan([noting(0, 0), noting(1, 1), noting(2, 2)])
    for seed in range(30):
        scheduler, frames = Shuffled(seed, 5), [[] for _ in range(4)]
        plan = make_plan([told(lane, lane) for lane in range(3)])
        handles = [scheduler.submit(plan, frame) for frame in frames]
        handles[2].wait(1)
        assert 1 in frames[2]
        assert handles[2].done(1)
        handles[3].wait()
        assert handles[3].done()
        assert sorted(frames[3]) == [0, 1, 2]
        scheduler.join()
        assert all(handle.done() for handle in handles)


class Broken(Exception):
    pass


def test_an_error_comes_out_everywhere_until_cleared():
    def fail(frame: object) -> None:
        raise Broken

    bad, good = make_plan([Task("fails", 0, (), fail)]), make_plan([told(1, 0), told(2, 0)])
    for seed in range(20):
        ran: list[int] = []
        scheduler = Shuffled(seed, 9)
        before = scheduler.submit(good, ran)
        handles = []
        with pytest.raises(Broken) as caught:
            handles.append(scheduler.submit(bad, "page 1"))
            handles.append(scheduler.submit(good, ran))
            scheduler.join()
        assert caught.value.__notes__ == ["in 'fails' of page 1"]
        before.wait()
        assert ran == [1, 2]
        for ask in (scheduler.join, lambda: scheduler.submit(good, ran)):  # noqa: B023
            with pytest.raises(Broken):
                ask()
        for handle in handles:
            assert handle.done()
            with pytest.raises(Broken):
                handle.wait()
        scheduler.clear()
        scheduler.submit(good, ran).wait()
        assert ran == [1, 2, 1, 2]


def test_close_drops_what_has_not_run():
    ran: list[int] = []
    scheduler = Shuffled(1, 9)
    plan = make_plan([told(n, 0) for n in range(30)])
    handle = scheduler.submit(plan, ran)
    count = len(ran)
    assert count < 30
    scheduler.close()
    scheduler.close()
    with pytest.raises(ConfigError, match="closed"):
        handle.wait()
    assert handle.done()
    assert len(ran) == count
    with pytest.raises(ConfigError, match="closed"):
        scheduler.submit(plan, ran)
    scheduler.join()
    scheduler.clear()


@pytest.mark.parametrize("flight", [-1, 0.5, True, "3"])
def test_a_bad_flight_is_refused(flight):
    with pytest.raises(ConfigError, match="flight"):
        Shuffled(0, flight)


def test_it_tells_its_trace():
    scheduler = Shuffled(5, 2, trace=Trace())
    for _ in range(4):
        scheduler.submit(make_plan([told(n, n) for n in range(3)]), [])
    scheduler.join()
    events = scheduler.trace.events
    assert sorted((e.frame, e.name) for e in events) == [
        (f, str(n)) for f in range(4) for n in range(3)
    ]
    assert repr(scheduler) == "Shuffled(seed=5, flight=2)"
