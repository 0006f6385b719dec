"""A replay keeps the recorded order, or says why it cannot."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.clock import VirtualClock
from streamhebb.errors import ConfigError, TraceError
from streamhebb.schedule import (
    QUIET,
    Plan,
    Replay,
    Serial,
    Task,
    Threads,
    Trace,
    make_plan,
    read_trace,
)

Log = list[tuple[int, str]]
FRAMES = 6


class Shuffled:
    """Runs ready tasks one at a time in a random order, with frames overtaking; keeps a record."""

    def __init__(self, seed: int, trace: Trace) -> None:
        self.random = random.Random(seed)
        self.trace = trace
        self.clock = VirtualClock(7.0)
        self.flights: list[tuple[Plan, Any, set[int], set[int]]] = []  # plan, frame, left, quiet

    def submit(self, plan: Plan, frame: Any) -> None:
        self.flights.append((plan, frame, set(range(len(plan))), set()))
        for _ in range(self.random.randrange(len(plan) + 1)):
            self.run_one()

    def join(self) -> None:
        while self.run_one():
            pass

    def ready(self) -> list[tuple[int, int]]:
        found = []
        for number, (plan, _, left, _) in enumerate(self.flights):
            for position in left:
                task = plan[position]
                if left.isdisjoint(task.after) and all(
                    self.before(lane, number, position) <= lag for lane, lag in task.waits_for
                ):
                    found.append((number, position))
        return found

    def before(self, lane: int, number: int, position: int) -> int:
        return sum(
            (n, p) < (number, position) and plan[p].lane == lane
            for n, (plan, _, left, _) in enumerate(self.flights)
            for p in left
        )

    def run_one(self) -> bool:
        choices = self.ready()
        if not choices:
            return False
        number, position = self.random.choice(choices)
        plan, frame, left, quiet = self.flights[number]
        task = plan[position]
        left.discard(position)
        if not task.always and not quiet.isdisjoint(task.after):
            quiet.add(position)
            return True
        start = self.clock.now()
        if task.run(frame) is QUIET:
            quiet.add(position)
        self.clock.advance(self.random.choice([0, 0.001]))
        self.trace.add(task.name, task.lane, number, "w", start, self.clock.now())
        return True


class Toy:
    """A plan whose result depends on the order across frames, and a log of what ran."""

    def __init__(self, rows: list[tuple[str, int, tuple[int, ...], Any, bool, int]]) -> None:
        self.log: Log = []
        self.state: dict[int, int] = {}
        self.plan = make_plan(
            [
                Task(name, lane, after, self.work(name, lane, quiet), past, always)
                for name, lane, after, past, always, quiet in rows
            ]
        )

    def work(self, name: str, lane: int, quiet: int):
        def run(frame: int) -> object:
            self.log.append((frame, name))
            self.state[lane] = (31 * self.state.get(lane, 1) + 7 * frame + len(name)) % 100_003
            return QUIET if quiet and (frame + self.state[lane]) % quiet == 0 else None

        return run


@st.composite
def plans(draw: st.DrawFn) -> list[tuple[str, int, tuple[int, ...], Any, bool, int]]:
    rows = []
    for position in range(draw(st.integers(1, 6))):
        after = draw(st.sets(st.integers(0, position - 1), max_size=3)) if position else set()
        past = draw(
            st.none() | st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=2)
        )
        name = draw(st.sampled_from(["a", "b", "respond x"]))  # names may stand there twice
        rows.append((
            name, draw(st.integers(0, 2)), tuple(sorted(after)),
            None if past is None else tuple(past), draw(st.booleans()), draw(st.integers(0, 3)),
        ))  # fmt: skip
    return rows


def recorded(rows: list[Any], seed: int) -> tuple[Toy, Trace]:
    toy, trace = Toy(rows), Trace()
    scheduler = Shuffled(seed, trace)
    for frame in range(FRAMES):
        scheduler.submit(toy.plan, frame)
    scheduler.join()
    return toy, trace


def unambiguous(rows: list[Any]) -> list[Any]:
    return [(f"{row[0]}{i}", *row[1:]) for i, row in enumerate(rows)]


@given(plans(), st.integers(0, 10**6))
def test_a_replay_gives_the_same_order_and_the_same_results(rows, seed):
    rows = unambiguous(rows)
    toy, record = recorded(rows, seed)
    again, trace = Toy(rows), Trace()
    replay = Replay(record, trace=trace)
    handles = [replay.submit(again.plan, frame) for frame in range(FRAMES)]
    replay.join()
    assert again.log == toy.log
    assert again.state == toy.state
    assert [e[:3] for e in trace.events] == [e[:3] for e in record.events]
    for handle in handles:
        handle.wait()
        assert handle.done()
        for position in range(len(rows)):
            handle.wait(position)
            assert handle.done(position)


@given(plans(), st.integers(0, 10**6))
def test_names_that_stand_there_twice_find_a_place_that_is_allowed(rows, seed):
    """What is told apart by nothing may be exchanged, but no promise is broken."""
    _, record = recorded(rows, seed)
    again = Toy(rows)
    replay = Replay(record)
    try:
        for frame in range(FRAMES):
            replay.submit(again.plan, frame)
        replay.join()
    except TraceError:  # the exchange has led to a dead end, which is said
        return
    assert sorted(again.log) == sorted((e.frame, e.name) for e in record.events)


def legal(toy: Toy, order: Log) -> bool:
    """Whether an order of (frame, name) keeps all promises; by brute force, no task quiet."""
    left = [(frame, p) for frame in range(FRAMES) for p in range(len(toy.plan))]
    for frame, name in order:
        position = next(p for p, task in enumerate(toy.plan) if task.name == name)
        task = toy.plan[position]
        if any((frame, other) in left for other in task.after):
            return False
        for lane, lag in task.waits_for:
            if sum(x < (frame, position) and toy.plan[x[1]].lane == lane for x in left) > lag:
                return False
        left.remove((frame, position))
    return True


@settings(max_examples=200)
@given(plans(), st.integers(0, 10**6))
def test_an_order_that_breaks_a_promise_is_refused_and_no_other(rows, seed):
    rows = unambiguous([(*row[:5], 0) for row in rows])
    toy, record = recorded(rows, seed)
    chance = random.Random(seed)
    a = chance.randrange(len(record.events))
    b = min(a + chance.choice([1, 1, 2, 5]), len(record.events) - 1)
    events = list(record.events)
    events[a], events[b] = events[b], events[a]
    forged = Trace()
    for moment, event in enumerate(events):
        forged.add(*event[:4], moment, moment + 1)
    again = Toy(rows)
    replay = Replay(forged)

    def play() -> None:
        for frame in range(FRAMES):
            replay.submit(again.plan, frame)
        replay.join()

    order = [(event.frame, event.name) for event in events]
    if legal(toy, order):
        play()
        assert again.log == order
    else:
        with pytest.raises(TraceError, match="cannot be next, as the record says"):
            play()
        assert legal(toy, again.log)
        assert again.log == order[: len(again.log)]


# --------------------------------------------------------------------------------- small cases


def note(name: str, lane: int, *after: int, **more: Any) -> Task:
    return Task(name, lane, after, lambda frame: frame.append(name), **more)


def record_of(*rows: tuple[str, int, int]) -> Trace:
    trace = Trace()
    for moment, (name, lane, frame) in enumerate(rows):
        trace.add(name, lane, frame, "w", moment, moment + 1)
    return trace


PLAN = make_plan([note("a", 0), note("b", 1, 0), note("c", 0, 0)])


def test_submit_runs_what_is_next_and_has_its_frame():
    replay = Replay(
        record_of(("a", 0, 0), ("c", 0, 0), ("a", 0, 1), ("b", 1, 0), ("b", 1, 1), ("c", 0, 1))
    )
    one, two = [], []
    first = replay.submit(PLAN, one)
    assert one == ["a", "c"]  # "b" comes after the next frame's "a"
    assert (first.done(0), first.done(2), first.done(1), first.done()) == (True, True, False, False)
    first.wait(2)
    with pytest.raises(
        TraceError, match=r"'b' of frame 0 has not run: 'a' of frame 1, lane 0, com"
    ):
        first.wait()
    with pytest.raises(TraceError, match="Submit as many frames ahead as the recorded run did"):
        replay.join()
    second = replay.submit(PLAN, two)
    assert (one, two) == (["a", "c", "b"], ["a", "b", "c"])
    assert first.done()
    assert second.done()
    replay.join()


def test_parts_are_no_tasks_and_the_order_is_that_of_starts():
    trace = Trace()
    trace.add("c", 0, 0, "w", 5, 6)
    trace.add("a", 0, 0, "w", 1, 2, True)
    trace.add("b", 1, 0, "w", 3, 9)
    trace.add("a", 0, 0, "v", 0, 3)
    frame: list[str] = []
    Replay(trace).submit(PLAN, frame).wait()
    assert frame == ["a", "b", "c"]


def test_of_two_that_began_together_the_one_that_took_no_time_came_first():
    trace = Trace()
    trace.add("c", 0, 0, "w", 1, 2)
    trace.add("b", 1, 0, "w", 1, 2)
    trace.add("a", 0, 0, "w", 1, 1)
    frame: list[str] = []
    Replay(trace).submit(PLAN, frame).wait()
    assert frame == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "the record ends before 'a' of frame 0 has run"),
        ([("a", 0, 0), ("c", 0, 0)], "the record ends before 'b' of frame 0 has run"),
        ([("x", 0, 0)], "'x' of frame 0, lane 0, is next in the record, but has nothing left"),
        ([("a", 7, 0)], "'a' of frame 0, lane 7, is next in the record, but has nothing left"),
        ([("a", 0, 0), ("a", 0, 0)], "it has run already"),
        ([("b", 1, 0)], "'b' of frame 0, lane 1, cannot be next, as .* waits for 'a', which has"),
        ([("c", 0, 0), ("a", 0, 0)], "'c' of frame 0, lane 0, cannot be next"),
        ([("a", 0, 3)], "'a' of frame 0 has not run: 'a' of frame 3"),
        (
            [("a", 0, 0), ("b", 1, 0), ("c", 0, 0), ("b", 1, 0)],
            "'b' of frame 0, lane 1, is next in the record, but has nothing left",
        ),
    ],
)
def test_a_record_of_something_else_is_refused(rows, said):
    replay = Replay(record_of(*rows))
    with pytest.raises(TraceError, match=said):
        replay.submit(PLAN, [])
        replay.join()


def test_the_past_of_a_lane_is_kept_up_to_its_lag():
    frames: list[list[str]] = [[], [], []]
    plan = make_plan([note("a", 0, past=((0, 1),))])
    allowed = Replay(record_of(("a", 0, 1), ("a", 0, 0), ("a", 0, 2)))
    for frame in frames:
        allowed.submit(plan, frame)
    allowed.join()
    assert frames == [["a"], ["a"], ["a"]]
    too_early = Replay(record_of(("a", 0, 2), ("a", 0, 0), ("a", 0, 1)))
    with pytest.raises(
        TraceError, match="2 earlier tasks of lane 0 have not ended, and it allows 1; .*'a' of f"
    ):
        for frame in frames:
            too_early.submit(plan, frame)


def test_a_replay_can_begin_at_a_later_frame():
    record = record_of(("a", 0, 6), ("b", 1, 6), ("a", 0, 7), ("b", 1, 7), ("c", 0, 7))
    frame: list[str] = []
    Replay(record, first=7).submit(PLAN, frame).wait()
    assert frame == ["a", "b", "c"]
    for first in (-1, 0.5):
        with pytest.raises(ConfigError, match=f"first={first}"):
            Replay(record, first=first)  # type: ignore[arg-type]


def test_lost_events_are_mentioned():
    record = record_of(("a", 0, 0))
    record.lost = 1234
    replay = Replay(record)
    handle = replay.submit(PLAN, [])
    assert handle.done()  # wait would raise at once
    with pytest.raises(TraceError, match=r"'b' of frame 0 has run \(1,234 events were lost"):
        handle.wait()


def test_what_was_passed_over_must_not_be_in_the_record():
    plan = make_plan(
        [
            Task("quiet", 0, (), lambda frame: QUIET),
            note("asleep", 1, 0),
            note("asleep too", 1, 1),
            note("always", 2, 2, always=True),
        ]
    )
    frame: list[str] = []
    good = Replay(record_of(("quiet", 0, 0), ("always", 2, 0)))
    good.submit(plan, frame).wait()
    assert frame == ["always"]
    with pytest.raises(TraceError, match="'asleep' of frame 0.*was passed over"):
        Replay(record_of(("quiet", 0, 0), ("asleep", 1, 0))).submit(plan, frame)


def test_an_error_comes_where_it_came_and_stops_everything_until_cleared():
    class Stop(Exception):
        pass

    def fail(frame: list[str]) -> None:
        if frame[0] == "bad":
            raise Stop("from the task")
        frame.append("b")

    plan = make_plan([note("a", 0), Task("b", 1, (0,), fail)])
    good, bad, more = ["good"], ["bad"], ["more"]
    replay = Replay(
        record_of(
            ("a", 0, 0),
            ("a", 0, 1),
            ("b", 1, 0),
            ("b", 1, 1),
            ("a", 0, 2),
            ("b", 1, 2),
            ("a", 0, 3),
            ("b", 1, 3),
        )
    )
    first = replay.submit(plan, good)
    with pytest.raises(Stop) as caught:
        replay.submit(plan, bad)
    assert caught.value.__notes__ == ["in 'b' of ['bad', 'a']"]
    for call in (replay.join, lambda: replay.submit(plan, more)):
        with pytest.raises(Stop) as again:
            call()
        assert again.value is caught.value
    assert len(caught.value.__notes__) == 1
    first.wait()  # it had ended, and nothing before it has failed
    assert good == ["good", "a", "b"]
    replay.clear()
    replay.join()
    third = replay.submit(plan, more)  # number 2: the one that was refused has no number
    third.wait()
    assert more == ["more", "a", "b"]
    replay.clear()  # without an error it forgets nothing
    assert replay.submit(plan, ["last"]).done()


def test_frames_given_up_do_not_hang():
    def fail(frame: object) -> None:
        raise RuntimeError

    plan = make_plan([Task("a", 0, (), fail), note("b", 1, past=())])
    replay = Replay(record_of(("b", 1, 1), ("a", 0, 0), ("b", 1, 0)))
    first = replay.submit(plan, [])
    with pytest.raises(RuntimeError):
        replay.submit(plan, [])
    assert first.done()
    with pytest.raises(RuntimeError):
        first.wait(1)
    replay.clear()
    assert first.done()
    with pytest.raises(ConfigError, match="closed or cleared"):
        first.wait()
    replay.close()
    replay.close()
    replay.join()
    with pytest.raises(ConfigError, match="closed; make a new one"):
        replay.submit(plan, [])


def test_an_empty_plan_has_ended():
    replay = Replay(Trace())
    replay.submit((), None).wait()
    replay.join()


def test_what_threads_did_can_be_done_again():
    rows = [
        ("a", 0, (), None, False, 0), ("b", 1, (0,), None, False, 0),
        ("c", 0, (0,), None, False, 0),
        ("d", 2, (1,), None, False, 0), ("e", 1, (1,), None, False, 0),
    ]  # fmt: skip
    toy, record = Toy(rows), Trace()
    threads = Threads(2, trace=record)
    for frame in range(20):
        threads.submit(toy.plan, frame)
    threads.join()
    threads.close()
    again = Toy(rows)
    replay = Replay(record)
    for frame in range(20):
        replay.submit(again.plan, frame)
    replay.join()
    assert again.state == toy.state
    starts = sorted((e.start, e.end, e.frame, e.name) for e in record.events)
    assert again.log == [(frame, name) for _, _, frame, name in starts]


def test_a_net_learns_the_same_from_a_record_on_disk(tmp_path):
    def net(scheduler: Any) -> sh.StreamNet:
        return sh.StreamNet(
            sh.Dense(6, 8), sh.ReLU(), sh.Dense(8, 4), readout=sh.SoftmaxReadout(4, classes=2),
            scheduler=scheduler, seed=0,
        )  # fmt: skip

    chance = torch.Generator().manual_seed(0)
    stream = [(torch.rand(6, generator=chance), n % 2) for n in range(12)]
    trace = Trace()
    one = net(Serial(trace))
    for x, label in stream:
        one.step(x, label)
    two = net(Replay(read_trace(trace.write(tmp_path / "trace.json"))))
    for x, label in stream:
        two.step(x, label)
    for (name, a), (_, b) in zip(one.named_buffers(), two.named_buffers(), strict=True):
        assert torch.equal(a, b), name
    with pytest.raises(TraceError, match="the record ends before"):
        two.step(*stream[0])
