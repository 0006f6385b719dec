"""The book of what may start: all promises kept, whatever is taken first; nothing forgotten."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamhebb.schedule import Plan, Serial, make_plan
from streamhebb.schedule._flight import Book, Flight
from tests.schedule.promises import Log, Page, Story, draw_story, noting, runs, stories


def play(book: Book, story: Story, seed: int, hands: int, oldest: bool = False) -> Log:
    """Up to ``hands`` tasks at once; what comes next (a frame, a start, an end) is chance."""
    chance = random.Random(seed)
    log, coming = story.fresh()
    coming.reverse()
    running: list[tuple[Flight, int]] = []
    while True:
        moves = ["submit"] * bool(coming)
        moves += ["start"] * (bool(book) and len(running) < hands)
        moves += ["end"] * bool(running)
        if not moves:
            return log
        move = chance.choice(moves)
        if move == "submit":
            book.submit(*coming.pop())
        elif move == "start":
            found = book.take() if oldest else book.take(chance.randrange(book.ready))
            assert found is not None
            flight, position = found
            log.marks.append(("start", flight.frame.number, position))
            running.append(found)
        else:
            flight, position = running.pop(chance.randrange(len(running)))
            log.marks.append(("end", flight.frame.number, position))
            book.end(flight, position, position in flight.frame.quiet)


def assert_empty(book: Book) -> None:
    assert not book
    assert not book.ready
    assert book.flights == {}
    assert not any(book._lines.values())


@given(stories, st.integers(0, 1000), st.integers(1, 4), st.booleans())
def test_every_order_keeps_the_promises(story, seed, hands, oldest):
    book = Book()
    for again in range(4):
        log = play(book, story, seed + again, hands, oldest)
        story.check(log)
        assert_empty(book)
        assert book.submitted == (again + 1) * len(story.pages)


def test_thousands_of_orders_keep_the_promises():
    for seed in range(1500):
        story, book = draw_story(seed), Book()
        story.check(play(book, story, seed, 1 + seed % 4))
        assert_empty(book)


@given(stories)
def test_what_is_passed_over_is_what_serial_passes_over(story):
    log, frames = story.fresh()
    scheduler = Serial()
    for plan, page in frames:
        scheduler.submit(plan, page)
    expected = {(n, p) for n, (plan, quiet) in enumerate(story.pages) for p in runs(plan, quiet)}
    assert {mark[1:] for mark in log.marks} == expected
    mine = play(Book(), story, 0, 2)
    assert {mark[1:] for mark in mine.marks} == expected


@given(stories, st.integers(0, 1000), st.integers(0, 30))
def test_after_a_loss_those_before_it_still_end_and_the_rest_is_let_go(story, seed, moves):
    chance, book = random.Random(seed), Book()
    log, frames = story.fresh()
    flights = [book.submit(plan, page) for plan, page in frames]
    for _ in range(moves):
        if book:
            flight, position = book.take(chance.randrange(book.ready))
            book.end(flight, position, position in flight.frame.quiet)
    lost = chance.randrange(len(flights))
    under_way = book.take()
    book.drop_from(lost)
    for flight in flights[lost:]:
        assert flight.lost or flight.has(None)
    if under_way is not None:
        book.end(*under_way)  # what ran may still end
    while book:
        flight, position = book.take(chance.randrange(book.ready))
        assert flight.number < lost
        book.end(flight, position, position in flight.frame.quiet)
    assert all(flight.has(None) for flight in flights[:lost])
    book.forget()
    assert_empty(book)
    story.check(play(book, story, seed, 2))  # as new


# -- by hand -----------------------------------------------------------------------------------


def page(number: int, *quiet: int) -> Page:
    return Page(number, frozenset(quiet), Log())


def taken(book: Book) -> list[tuple[int, int]]:
    found = []
    while (next_ := book.take()) is not None:
        found.append((next_[0].number, next_[1]))
    return found


def two_stages() -> Plan:
    return make_plan([noting(0, 0), noting(1, 0, (0,)), noting(2, 1, (0,)), noting(3, 1, (2,))])


def test_the_oldest_frame_comes_first_then_the_place_in_the_plan():
    book, plan = Book(), make_plan([noting(0, 2), noting(1, 1), noting(2, 3, past=())])
    for number in range(2):
        book.submit(plan, page(number))
    assert taken(book) == [(0, 0), (0, 1), (0, 2), (1, 2)]


def test_layers_work_on_different_samples():
    book, plan = Book(), two_stages()
    flights = [book.submit(plan, page(n)) for n in range(3)]
    assert taken(book) == [(0, 0)]
    book.end(flights[0], 0)
    assert taken(book) == [(0, 1), (0, 2)]
    book.end(flights[0], 1)
    assert taken(book) == [(1, 0)]
    book.end(flights[1], 0)
    assert taken(book) == [(1, 1)], "the stage above has not ended with the frame before"
    book.end(flights[0], 2)
    assert taken(book) == [(0, 3)]
    book.end(flights[0], 3)
    assert flights[0].has(None)
    assert taken(book) == [(1, 2)]


def test_a_lane_goes_in_order_also_where_nothing_names_it():
    book, plan = Book(), make_plan([noting(0, 0), noting(1, 0)])
    flight = book.submit(plan, page(0))
    assert taken(book) == [(0, 0)]
    book.end(flight, 0)
    assert taken(book) == [(0, 1)]


@pytest.mark.parametrize("lag", range(4))
def test_a_lag_lets_so_many_be_unfinished(lag):
    book = Book()
    plan = make_plan([noting(0, 0, past=()), noting(1, 1, past=((0, lag),))])
    flights = [book.submit(plan, page(n)) for n in range(5)]
    # Of task 0 of frames 0 to n, submitted before task 1 of frame n, all but `lag` must have ended.
    assert [n for n, p in taken(book) if p == 1] == [n for n in range(5) if n + 1 <= lag]
    book.end(flights[0], 0)
    assert [n for n, p in taken(book) if p == 1] == [lag] * (lag < 5)


def test_what_follows_a_loose_task_waits_for_the_whole_lane():
    book = Book()
    plan = make_plan([noting(0, 0, past=()), noting(1, 0)])
    first, second = book.submit(plan, page(0)), book.submit(plan, page(1))
    assert taken(book) == [(0, 0), (1, 0)]
    book.end(second, 0)
    assert taken(book) == [], "the task of frame 0 in the same lane has not ended"
    book.end(first, 0)
    assert taken(book) == [(0, 1)]
    book.end(first, 1)
    assert taken(book) == [(1, 1)]


def test_quiet_passes_over_all_that_wait_and_wakes_always():
    book = Book()
    plan = make_plan(
        [noting(0, 0), noting(1, 1, (0,)), noting(2, 2, (1,)), noting(3, 3, (2,), always=True)]
    )
    flight = book.submit(plan, page(0))
    book.end(*book.take(), quiet=True)
    assert taken(book) == [(0, 3)]
    assert flight.has(1)
    assert flight.has(2)
    assert not flight.has(None)
    book.end(flight, 3)
    assert flight.has(None)
    assert_empty(book)


def test_what_is_passed_over_keeps_its_place_in_its_lane():
    """It ends when its turn comes, so what is behind it cannot overtake what is before it."""
    book = Book()
    slow = make_plan([noting(0, 0)])
    quiet = make_plan([noting(0, 1), noting(1, 0, (0,))])
    first = book.submit(slow, page(0))
    book.submit(quiet, page(1, 0))
    last = book.submit(slow, page(2))
    assert taken(book) == [(0, 0), (1, 0)]
    book.end(book.flights[1], 0, quiet=True)
    assert taken(book) == []
    assert 1 in book.flights
    book.end(first, 0)
    assert taken(book) == [(2, 0)]
    book.end(last, 0)
    assert_empty(book)


def test_quiet_does_not_reach_the_next_frame():
    book, plan = Book(), two_stages()
    first = book.submit(plan, page(0))
    book.submit(plan, page(1))
    book.end(*book.take(), quiet=True)
    assert first.has(None)
    assert taken(book) == [(1, 0)]


def test_an_empty_plan_has_ended_at_once():
    book = Book()
    flight = book.submit((), page(0))
    assert flight.has(None)
    assert_empty(book)


def test_news_is_told_only_of_what_is_waited_for():
    book, plan = Book(), make_plan([noting(0, 0), noting(1, 1), noting(2, 2)])
    flight = book.submit(plan, page(0))
    flight.watched.append(1)
    book.end(flight, 0)
    assert not book.news
    book.end(flight, 1)
    assert book.news
    book.news = False
    flight.watched[:] = [None]
    book.end(flight, 2)
    assert book.news


def test_any_ready_task_can_be_taken():
    book, plan = Book(), make_plan([noting(p, p) for p in range(5)])
    book.submit(plan, page(0))
    left = list(range(5))
    for which in (3, 0, 2, 1, 0):
        assert book.ready == len(left)
        _, position = book.take(which)
        left.remove(position)
    assert left == []
    assert book.take() is None


def test_tasks_taken_from_the_middle_leave_the_others_in_order():
    for seed in range(50):
        chance, book = random.Random(seed), Book()
        plan = make_plan([noting(p, p) for p in range(9)])
        book.submit(plan, page(0))
        for _ in range(chance.randrange(6)):
            book.take(chance.randrange(book.ready))
        rest = taken(book)
        assert rest == sorted(rest)
