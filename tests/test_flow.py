"""Samples in flight: how many, when they are learned from, what a paused flow finds."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.clock import VirtualClock
from streamhebb.errors import ConfigError
from streamhebb.flow import Flow
from tests.schedule.random_nets import differences, learned, said
from tests.stream_toys import SCHEDULERS, Toy, numbers, sample, toy_net

ways = st.sampled_from(sorted(SCHEDULERS))


def through(flow: Flow, count: int) -> list[sh.StepResult]:
    results = []
    for number in range(count):
        results += flow.push(sh.Sample(sample(number)))
    return results + flow.drain()


@given(ways, st.integers(1, 6), st.integers(0, 20))
def test_every_sample_has_one_result_and_they_come_in_order(way, depth, count):
    net = toy_net(scheduler=SCHEDULERS[way]())
    with net:
        flow = Flow(net, depth=depth)
        assert numbers(through(flow, count)) == list(range(count))
        assert flow.unanswered == 0
        assert flow.report.samples == flow.report.learned == count
        assert flow.report.latency.count == count


@given(ways, st.integers(1, 5))
def test_never_more_in_flight_than_depth(way, depth):
    lock, under_way, most = threading.Lock(), set(), [0]

    def begins(number):
        with lock:
            under_way.add(number)
            most[0] = max(most[0], len(under_way))

    def ends(number):
        with lock:
            under_way.discard(number)

    net = toy_net(Toy("a", respond=begins), Toy("b", learn=ends), scheduler=SCHEDULERS[way]())
    with net:
        through(Flow(net, depth=depth), 15)
    assert 1 <= most[0] <= depth
    assert not under_way


def test_several_are_in_flight_where_there_is_room():
    """The bound above is not met by doing one after the other."""
    held = threading.Event()
    net = toy_net(Toy("a"), Toy("b", learn=lambda n: held.wait(20)), scheduler=sh.Threads(2))
    with net:
        flow = Flow(net, depth=3)
        for number in range(3):
            flow.push(sh.Sample(sample(number)))  # would wait for ever for a fourth
        assert net.layers[1].numbers == []
        assert net.counts["samples"] == 3
        held.set()
        flow.drain()


def test_a_result_is_given_as_soon_as_its_answer_is_there():
    held = threading.Event()
    net = toy_net(Toy("a"), Toy("b", learn=lambda n: held.wait(20)), scheduler=sh.Threads(2))
    with net, net.run([sample(0), sample(1)], depth=2) as run:
        results = iter(run)
        assert next(results).sample == 0
        assert net.layers[1].numbers == []
        held.set()


@given(ways, st.integers(1, 4), st.integers(1, 6))
def test_a_pause_finds_the_net_exactly_there(way, every, depth):
    net, twin = toy_net(scheduler=SCHEDULERS[way]()), toy_net()
    stream, pause = [sample(number) for number in range(12)], lambda count: count % every == 0
    with net:
        for result in net.run(stream, depth=depth, pause=pause):
            twin.step(sample(result.sample))
            if (result.sample + 1) % every == 0:
                assert differences(learned(net), learned(twin)) == []


@given(ways, st.floats(0, 2, width=32))
def test_the_modulator_is_that_of_steps(way, factor):
    net, twin = toy_net(scheduler=SCHEDULERS[way]()), toy_net()
    with net:
        through(Flow(net, modulator=factor), 6)
    for number in range(6):
        twin.step(sample(number), modulator=factor)
    assert differences(learned(net), learned(twin)) == []


def test_without_learning_nothing_is_learned_and_what_goes_on_goes_on():
    a, b = Toy("a", carries=True), Toy("b")
    net = toy_net(a, b)
    results = through(Flow(net, learn=False), 5)
    assert [result.learned for result in results] == [False] * 5
    assert (a.numbers, b.numbers, int(a.passed)) == ([], [], 5)
    assert (net.counts["samples"], net.counts["learned"]) == (5, 0)


def test_activity_when_it_is_asked_for():
    net = toy_net()
    results = through(Flow(net, activity=lambda count: count % 2 == 0), 4)
    assert [sorted(result.activity) for result in results] == [[], ["0:Toy", "1:Toy"]] * 2


def test_a_sample_is_the_sources_own_again_once_it_is_in_flight():
    """A camera writes its next picture where the last one was."""
    net, twin, x = toy_net(scheduler=sh.Threads(2)), toy_net(), sample(0)
    expected = [said(twin.step(sample(number))) for number in range(10)]
    with net:
        flow, results = Flow(net, depth=4), []
        for number in range(10):
            x.copy_(sample(number))
            results += flow.push(sh.Sample(x))
            x.fill_(99.0)
        results += flow.drain()
    for mine, theirs in zip(results, expected, strict=True):
        assert differences(said(mine), theirs) == []
    assert differences(learned(net), learned(twin)) == []


# -- deadlines -------------------------------------------------------------------------------------


def timed(deadline: float, took: float, count: int = 6, waiting: int = 1):
    """Every sample comes at 0, and learning from one takes so many seconds."""
    clock = VirtualClock()
    net = toy_net(Toy("a", learn=lambda n: clock.advance(took)), clock=clock)
    flow = Flow(net, deadline=deadline)
    flow.waiting = lambda: waiting
    results = []
    for number in range(count):
        if number == count - 1:
            waiting = 0
        results += flow.push(sh.Sample(sample(number)), arrived=0.0)
    return net, flow, results + flow.drain()


def test_what_would_come_too_late_is_predicted_and_not_learned():
    net, flow, results = timed(deadline=250, took=0.1)
    # 0 and 1 are through at 0.1 and 0.2 s, 2 would be at 0.3 s; the last one finds the net idle.
    assert [result.learned for result in results] == [True, True, False, False, False, True]
    assert [result.missed for result in results[2:5]] == [{"deadline": 1}] * 3
    assert net.layers[0].numbers == [0, 1, 5]
    assert net.counts["deadline"] == flow.report.missed["deadline"] == 3
    assert (net.counts["samples"], net.counts["learned"]) == (6, 3)
    assert all(result.scores is not None for result in results)


def test_where_there_is_time_all_are_learned():
    _, flow, results = timed(deadline=2000, took=0.1)
    assert all(result.learned for result in results)
    assert not flow.report.missed


def test_an_idle_net_learns_however_late_it_is():
    _, flow, results = timed(deadline=1e-6, took=10.0, waiting=0)
    assert all(result.learned for result in results)
    assert not flow.report.missed


def test_samples_that_nothing_woke_say_nothing_about_the_time_it_takes():
    clock = VirtualClock()
    net = toy_net(Toy("a", learn=lambda n: clock.advance(0.1)), clock=clock, wake=sh.OnChange())
    flow = Flow(net, deadline=150)
    flow.waiting = lambda: 1
    for number in (0, 0, 0, 0, 1):
        flow.push(sh.Sample(sample(number)))
    flow.drain()
    assert net.layers[0].numbers == [0, 1]
    assert not flow.report.missed


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [0, -1, 1.5, True, "3"])
def test_a_bad_depth_is_refused(depth):
    with pytest.raises(ConfigError, match="depth"):
        Flow(toy_net(), depth=depth)


@pytest.mark.parametrize("deadline", [0, -1.0, float("nan"), "50"])
def test_a_bad_deadline_is_refused(deadline):
    with pytest.raises(ConfigError, match="deadline"):
        Flow(toy_net(), deadline=deadline)


def test_a_sample_that_is_refused_leaves_the_flow_as_it_was():
    net = toy_net()
    flow = Flow(net, depth=2)
    first = flow.push(sh.Sample(sample(0)))
    with pytest.raises(sh.errors.InputError, match="shape"):
        flow.push(sh.Sample(torch.ones(2, 2, 2, 2)))
    results = first + flow.push(sh.Sample(sample(1))) + flow.drain()
    assert numbers(results) == [0, 1]
    assert net.counts["samples"] == 2
