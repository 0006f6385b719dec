"""Threads keep the promises for any plan and any number of workers, and end when they should."""

from __future__ import annotations

import contextlib
import copy
import gc
import random
import threading
import time
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamhebb import sharing
from streamhebb.errors import ConfigError
from streamhebb.schedule import Serial, Task, Threads, Trace, make_plan
from tests.schedule.promises import Page, Story, draw_story, stories

PATIENT = 20.0
"""Seconds after which a test fails instead of waiting; none is ever waited for."""

pytestmark = pytest.mark.timeout(60)


def spin(seconds: float) -> None:
    """Work for about so long, letting others run in between."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def workers_of(threads: Threads) -> list[threading.Thread]:
    return list(threads._pool._threads)


def assert_idle(threads: Threads) -> None:
    """Nothing is kept of what has passed."""
    book = threads._pool._book
    with threads._pool._lock:
        assert book.flights == {}
        assert not book
        assert not any(book._lines.values())
        assert not threads._pool._shared
        assert threads._pool._running == 0


@pytest.fixture(params=[1, 2, 3, 4])
def threads(request):
    made = Threads(request.param)
    yield made
    made.close()


def tell(word: str, lane: int = 0, *after: int, **more: object) -> Task:
    return Task(word, lane, after, lambda frame: frame.append(word), **more)


def failing(error: BaseException) -> Task:
    def run(frame: object) -> None:
        raise error

    return Task("fails", 0, (), run)


class Gate:
    """A task that waits until it is let through; tells that it is in."""

    def __init__(self, name: str = "gate", lane: int = 0) -> None:
        self.inside, self.open = threading.Event(), threading.Event()
        self.task = Task(name, lane, (), self.run)

    def run(self, frame: object) -> None:
        self.inside.set()
        assert self.open.wait(PATIENT)


# -- the promises --------------------------------------------------------------------------------


def play(threads: Threads, story: Story, slow: bool = False) -> None:
    chance = random.Random(story.seed)
    log, frames = story.fresh()
    for plan, page in frames:
        if slow:
            waits = [chance.choice((0, 0, 5e-5, 2e-4)) for _ in plan]
            page.between = lambda position, waits=waits: spin(waits[position])
        threads.submit(plan, page)
        if chance.random() < 0.1:
            threads.join()
    threads.join()
    story.check(log)
    assert_idle(threads)


@settings(max_examples=30)
@given(stories, st.booleans())
def test_every_plan_keeps_the_promises(story, slow):
    for workers in (1, 2, 3, 4):
        threads = Threads(workers)
        try:
            play(threads, story, slow)
        finally:
            threads.close()


def test_many_plans_one_after_the_other_keep_the_promises(threads):
    for seed in range(150):
        play(threads, draw_story(seed + 10_000 * threads.workers), slow=seed % 3 == 0)


def test_every_task_and_every_frame_can_be_waited_for(threads):
    for seed in range(40):
        chance, story = random.Random(seed), draw_story(seed)
        log, frames = story.fresh()
        handles = [(plan, page, threads.submit(plan, page)) for plan, page in frames]
        chance.shuffle(handles)
        for plan, page, handle in handles:
            position = chance.choice([None, *range(len(plan))])
            handle.wait(position)
            assert handle.done(position)
            ended = {p for word, n, p in log.marks if word == "end" and n == page.number}
            started = {p for word, n, p in log.marks if word == "start" and n == page.number}
            assert started - ended <= (set() if position is None else started - {position})
        threads.join()
        story.check(log)
        assert_idle(threads)


def test_an_empty_plan_has_ended_at_once(threads):
    handle = threads.submit((), Page(0, frozenset(), None))
    assert handle.done()
    handle.wait()
    threads.join()


def test_two_workers_do_work_at_the_same_time():
    threads, both = Threads(2), threading.Barrier(2)
    plan = make_plan([Task(f"{n}", n, (), lambda frame: both.wait(PATIENT)) for n in range(2)])
    threads.submit(plan, None).wait()
    threads.close()


def test_workers_are_woken_for_what_comes_later():
    """A worker in a long task must not keep what becomes ready from the others."""
    threads = Threads(2)
    for _ in range(30):
        gate, done = Gate(lane=0), []
        threads.submit(make_plan([gate.task]), None)
        assert gate.inside.wait(PATIENT)
        threads.submit(make_plan([tell("other", 1)]), done).wait()
        assert done == ["other"]
        gate.open.set()
        threads.join()
    threads.close()


# -- errors --------------------------------------------------------------------------------------


class Broken(Exception):
    pass


def test_an_error_names_task_and_frame_and_comes_out_everywhere_until_cleared(threads):
    error, after = Broken("no"), []
    page = Page(7, frozenset(), None)
    handle = threads.submit(make_plan([failing(error), tell("later", 0, 0)]), page)
    with pytest.raises(Broken) as caught:
        handle.wait()
    assert caught.value is error
    assert error.__notes__ == ["in 'fails' of page 7"]
    assert handle.done()
    plan = make_plan([tell("next")])
    for ask in (threads.join, lambda: threads.submit(plan, after), handle.wait):
        with pytest.raises(Broken):
            ask()
    threads.clear()
    threads.join()
    threads.submit(plan, after).wait()
    assert after == ["next"]
    assert_idle(threads)


@pytest.mark.parametrize("kind", [Broken, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_any_kind_of_error_is_handed_over(kind, threads):
    with pytest.raises(kind):
        threads.submit(make_plan([failing(kind())]), None).wait()
    threads.clear()
    threads.submit(make_plan([tell("fine")]), []).wait()


def test_frames_before_the_one_that_failed_still_end():
    threads, gate, ran = Threads(2), Gate(lane=0), []
    first = make_plan([gate.task, tell("end of first", 0, 0)])
    handle = threads.submit(first, ran)
    assert gate.inside.wait(PATIENT)
    bad = threads.submit(make_plan([Task("fails", 1, (), failing(Broken()).run)]), None)
    with pytest.raises(Broken):
        bad.wait()
    assert not handle.done()
    gate.open.set()
    handle.wait()
    assert ran == ["end of first"]
    with pytest.raises(Broken):
        threads.join()
    threads.close()


def test_the_error_of_the_oldest_frame_is_the_one():
    threads, gate = Threads(2), Gate(lane=0)
    older, newer = Broken("older"), Broken("newer")
    plan = make_plan([gate.task, Task("fails", 0, (0,), failing(older).run)])
    first = threads.submit(plan, None)
    assert gate.inside.wait(PATIENT)
    second = threads.submit(make_plan([Task("fails", 1, (), failing(newer).run)]), None)
    with pytest.raises(Broken, match="newer"):
        second.wait()
    gate.open.set()
    with pytest.raises(Broken, match="older"):
        first.wait()
    with pytest.raises(Broken, match="older"):
        threads.join()
    threads.close()


def test_nothing_after_an_error_is_started():
    threads, ran = Threads(1), []
    gate = Gate()
    threads.submit(make_plan([gate.task, failing(Broken())]), None)
    assert gate.inside.wait(PATIENT)
    handles = [threads.submit(make_plan([tell("later", 1)]), ran) for _ in range(9)]
    gate.open.set()
    for handle in handles:
        with pytest.raises(Broken):
            handle.wait()
        assert handle.done()
    assert ran == []
    threads.clear()
    assert_idle(threads)
    threads.close()


def test_clear_without_an_error_waits_and_loses_nothing(threads):
    ran = []
    for _ in range(20):
        threads.submit(make_plan([tell("a"), tell("b", 1, 0)]), ran)
    threads.clear()
    assert len(ran) == 40


# -- pieces --------------------------------------------------------------------------------------


def in_task(threads: Threads, work: object) -> None:
    threads.submit(make_plan([Task("cut", 0, (), lambda frame: work())]), None).wait()


def test_all_pieces_have_ended_when_in_pieces_returns(threads):
    for count in (1, 2, 3, 8, 40):
        done: list[int] = []

        def piece(number: int, done=done) -> None:
            spin(2e-5 * (number % 3))
            done.append(number)

        def work(count=count, done=done, piece=piece) -> None:
            sharing.in_pieces(piece, count)
            assert sorted(done) == list(range(count))

        for _ in range(10):
            done.clear()
            in_task(threads, work)
    assert_idle(threads)


def test_idle_workers_do_take_pieces():
    threads, meet = Threads(3), threading.Barrier(3)
    in_task(threads, lambda: sharing.in_pieces(lambda number: meet.wait(PATIENT), 3))
    threads.close()


def test_the_owner_waits_for_a_piece_that_another_has():
    threads, owner = Threads(2), []
    taken, late = threading.Event(), []

    def piece(number: int) -> None:
        if threading.current_thread() is owner[0]:
            assert taken.wait(PATIENT)  # until the other has one
        else:
            taken.set()
            spin(2e-3)
            late.append(number)

    def work() -> None:
        owner.append(threading.current_thread())
        sharing.in_pieces(piece, 2)
        assert len(late) == 1

    in_task(threads, work)
    threads.close()


def test_an_error_in_a_piece_comes_out_of_the_task_once_all_pieces_have_ended(threads):
    inside = []

    def piece(number: int) -> None:
        inside.append(1)
        try:
            spin(5e-5)
            if number == 1:
                raise Broken("in a piece")
        finally:
            inside.pop()

    def work() -> None:
        try:
            sharing.in_pieces(piece, 6)
        finally:
            assert inside == []

    with pytest.raises(Broken, match="in a piece"):
        in_task(threads, work)
    threads.clear()
    assert_idle(threads)


def test_a_piece_that_another_took_may_be_cut_again():
    threads, meet, found = Threads(2), threading.Barrier(2), []

    def outer(number: int) -> None:
        meet.wait(PATIENT)  # so each worker has one
        sharing.in_pieces(lambda n: found.append((number, n)), 3)

    in_task(threads, lambda: sharing.in_pieces(outer, 2))
    assert sorted(found) == [(a, b) for a in range(2) for b in range(3)]
    threads.close()


def test_pieces_may_cut_pieces(threads):
    for _ in range(20):
        found = []

        def outer(number: int, found=found) -> None:
            sharing.in_pieces(lambda n: (spin(1e-5), found.append((number, n))), 3)

        in_task(threads, lambda outer=outer: sharing.in_pieces(outer, 4))
        assert sorted(found) == [(a, b) for a in range(4) for b in range(3)]
    assert_idle(threads)


def test_two_tasks_may_be_cut_at_once(threads):
    sums = [0] * 4

    def cut(lane: int) -> Task:
        def run(frame: object) -> None:
            found: list[int] = []
            sharing.in_pieces(lambda n: (spin(1e-5), found.append(n)), 5)
            sums[lane] += sum(found)

        return Task(f"{lane}", lane, (), run)

    plan = make_plan([cut(lane) for lane in range(4)])
    for _ in range(25):
        threads.submit(plan, None)
    threads.join()
    assert sums == [250] * 4


def test_pieces_that_others_took_are_in_the_trace():
    trace, meet = Trace(), threading.Barrier(2)
    threads = Threads(2, trace=trace)
    in_task(threads, lambda: sharing.in_pieces(lambda number: meet.wait(PATIENT), 2))
    threads.close()
    parts = [event for event in trace.events if event.part]
    assert [(event.name, event.frame) for event in parts] == [("cut", 0)]
    (whole,) = [event for event in trace.events if not event.part]
    assert parts[0].worker != whole.worker


# -- settings --------------------------------------------------------------------------------------


def test_workers_have_one_thread_of_torch_and_no_grad():
    before = torch.get_num_threads()
    threads, seen = Threads(2), []
    run = lambda frame: seen.append((torch.get_num_threads(), torch.is_grad_enabled()))  # noqa: E731
    threads.submit(make_plan([Task("look", 0, (), run)]), None).wait()
    threads.close()
    assert seen == [(1, False)]
    assert torch.get_num_threads() == before


def test_the_number_of_threads_outside_stays():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        threads = Threads(2)
        threads.submit(make_plan([tell("a")]), []).wait()
        assert torch.get_num_threads() == 3
        threads.close()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2", float("nan")])
def test_a_bad_number_of_workers_is_refused(workers):
    with pytest.raises(ConfigError, match="workers"):
        Threads(workers)


def test_one_worker_for_each_processor_by_default():
    assert Threads().workers >= 1


def test_a_copy_has_workers_of_its_own():
    threads = Threads(2)
    threads.submit(make_plan([tell("a")]), []).wait()
    for twin in (copy.copy(threads), copy.deepcopy(threads)):
        assert twin.workers == 2
        assert repr(twin) == "Threads(2)"
        threads.close()
        ran: list[str] = []
        twin.submit(make_plan([tell("b")]), ran).wait()
        assert ran == ["b"]
        twin.close()


def test_a_trace_knows_every_task_that_ran():
    for seed in range(20):
        trace, story = Trace(), draw_story(seed)
        threads, serial = Threads(2, trace=trace), Serial(Trace())
        for scheduler in (threads, serial):
            _, frames = story.fresh()
            for plan, page in frames:
                scheduler.submit(plan, page)
            scheduler.join()
        threads.close()
        mine = sorted((event.frame, event.name, event.lane) for event in trace.events)
        assert mine == sorted((e.frame, e.name, e.lane) for e in serial.trace.events)
        assert all(event.start <= event.end for event in trace.events)


# -- the end ---------------------------------------------------------------------------------------


def test_threads_start_with_the_first_frame_and_end_with_close():
    before = set(threading.enumerate())
    threads = Threads(3)
    assert set(threading.enumerate()) == before
    threads.submit(make_plan([tell("a")]), []).wait()
    assert len(set(threading.enumerate()) - before) == 3
    threads.close()
    assert set(threading.enumerate()) == before
    threads.close()
    threads.join()
    threads.clear()
    with pytest.raises(ConfigError, match="closed"):
        threads.submit(make_plan([tell("a")]), [])


def test_closed_before_the_first_frame():
    threads = Threads(2)
    threads.close()
    with pytest.raises(ConfigError, match="closed"):
        threads.submit(make_plan([tell("a")]), [])
    threads.join()


def test_close_lets_what_runs_end_and_drops_the_rest():
    threads, ran, gate = Threads(1), [], Gate()
    first = threads.submit(make_plan([gate.task, tell("rest", 0, 0)]), ran)
    assert gate.inside.wait(PATIENT)
    later = [threads.submit(make_plan([tell("later", 1)]), ran) for _ in range(5)]
    pool = threads._pool
    let_go = pool.let_go
    pool.let_go = lambda: (let_go(), gate.open.set())  # so it runs on when it is closing only
    threads.close()
    assert ran == []
    assert first.done(0)
    first.wait(0)
    for handle in (first, *later):
        assert handle.done()
        with pytest.raises(ConfigError, match="closed"):
            handle.wait()


def test_who_waits_in_another_thread_is_told_of_the_close():
    threads, gate, told = Threads(1), Gate(), []
    handle = threads.submit(make_plan([gate.task, tell("rest", 0, 0)]), [])
    assert gate.inside.wait(PATIENT)

    def wait() -> None:
        try:
            handle.wait()
        except ConfigError as error:
            told.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    gate.open.set()
    threads.close()
    waiting.join(PATIENT)
    assert not waiting.is_alive()
    assert len(told) == 1 or handle.done()


def test_a_task_may_close_its_own_scheduler():
    threads = Threads(2)
    handle = threads.submit(make_plan([Task("closes", 0, (), lambda f: threads.close())]), None)
    handle.wait(0)
    for worker in workers_of(threads):
        worker.join(PATIENT)
        assert not worker.is_alive()


def test_a_scheduler_that_nobody_holds_ends_its_threads():
    threads = Threads(2)
    threads.submit(make_plan([tell("a")]), []).wait()
    workers, pool = workers_of(threads), weakref.ref(threads._pool)
    del threads
    for worker in workers:
        worker.join(PATIENT)
        assert not worker.is_alive()
    del workers, worker
    gc.collect()
    assert pool() is None


def test_a_scheduler_may_be_collected_by_one_of_its_own_workers():
    """Even while that worker holds the lock: a collection may come at any allocation."""

    class Collects(Trace):
        def add(self, *what: object) -> None:
            gc.collect()
            super().add(*what)

    threads, gate = Threads(2, trace=Collects()), Gate()
    threads.submit(make_plan([gate.task]), None)
    assert gate.inside.wait(PATIENT)
    workers = workers_of(threads)
    gc.disable()
    try:
        cycle = [threads]
        cycle.append(cycle)
        del cycle, threads
        gate.open.set()
        for worker in workers:
            worker.join(PATIENT)
            assert not worker.is_alive()
    finally:
        gc.enable()


def test_a_scheduler_may_be_collected_while_its_owner_waits():
    threads, gate = Threads(1), Gate()
    handle = threads.submit(make_plan([gate.task]), None)
    assert gate.inside.wait(PATIENT)
    gate.open.set()
    del threads
    with contextlib.suppress(ConfigError):  # closed before the end: it may be
        handle.wait()
    assert handle.done()
