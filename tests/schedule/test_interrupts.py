"""Ctrl-C at any instant: nobody waits for ever, no frame is half accepted, work can go on."""

from __future__ import annotations

import sys
import threading

import pytest

from streamhebb.schedule import Plan, Threads, make_plan
from tests.schedule.interrupts import Cut, cut_at
from tests.schedule.promises import Log, Page, assert_promises_kept, noting

FILES = ("_pool.py", "_flight.py", "threads.py", "_shape.py", "threading.py")
PATIENT = 20.0

pytestmark = [
    pytest.mark.timeout(100),
    pytest.mark.skipif(sys.version_info >= (3, 14), reason="other places where signals come"),
]


def plan_of_two() -> Plan:
    return make_plan(
        [
            noting(0, 0),
            noting(1, 0, (0,)),
            noting(2, 1, (0,), past=((1, 0), (0, 2))),
            noting(3, 1, (2,), always=True),
        ]
    )


def submit(threads: Threads, log: Log, plan: Plan, quiet: frozenset[int]) -> None:
    """Three frames; waits for some of it, then for all."""
    pages = [Page(number, quiet, log) for number in range(3)]
    handles = [threads.submit(plan, page) for page in pages]
    handles[0].wait(2)
    handles[2].wait()
    threads.join()


def assert_nothing_is_stuck(threads, log, plan, quiet) -> None:
    """After a cut: what was accepted ran as promised, and nothing is left."""
    book = threads._pool._book
    assert not book.flights
    assert not book
    assert not any(book._lines.values())
    count = 1 + max((number for _, number, _ in log.marks), default=-1)
    assert_promises_kept([(plan, quiet)] * count, log)


@pytest.mark.parametrize("quiet", [frozenset(), frozenset([0])], ids=["", "quiet"])
@pytest.mark.parametrize("started", [False, True])
def test_an_interrupt_anywhere_in_submit_wait_and_join(started, quiet):
    plan, places = plan_of_two(), set()
    before = set(threading.enumerate())
    number = 0
    while True:
        threads, log = Threads(2), Log()
        if started:
            threads.submit(make_plan([noting(0, 0)]), Page(0, quiet, Log())).wait()
        try:
            # How Python starts a thread is its own affair.
            with cut_at(number, FILES if started else FILES[:-1]) as where:
                submit(threads, log, plan, quiet)
        except Cut:
            pass
        if not where:
            assert len(log) > 0
            threads.close()
            break
        places.update(where)
        threads.join()
        again = Log()
        submit(threads, again, plan, quiet)
        assert_promises_kept([(plan, quiet)] * 3, again)
        assert_nothing_is_stuck(threads, log, plan, quiet)
        threads.close()
        number += 1
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENT)
    assert set(threading.enumerate()) <= before
    assert number > 100
    assert len(places) > 30, "these are few places"
