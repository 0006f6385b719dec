"""Any legal order of the tasks gives the same weights: the promise concurrency rests on."""

from __future__ import annotations

import copy
import itertools
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import streamhebb as sh
from streamhebb.errors import DivergedError
from streamhebb.frames import Frame, Mode
from streamhebb.schedule import Plan, Scheduler, Serial, Shuffled, Task, Threads, Trace, make_plan
from tests.schedule.random_nets import (
    differences,
    draw_net,
    draw_stream,
    hold_up,
    learned,
    said,
)

# -- one net, many orders ------------------------------------------------------------------------


def plan_of(net: sh.StreamNet) -> Plan:
    return net.planner.step(Mode.LEARN).plan


def make_net() -> sh.StreamNet:
    return sh.StreamNet(
        sh.RunningNorm(2),
        sh.Conv2d(2, 6, 3, padding=1, competition=sh.SoftWTA(0.5, anti_hebbian=True), rate=0.05),
        sh.Triangle(0.7),
        sh.MaxPool2d(2),
        sh.RunningNorm(6),
        sh.Conv2d(6, 8, 3, padding=1, rule=sh.Oja(), scaling=sh.NeuronMax(), rate=0.02),
        sh.Triangle(),
        sh.Conv2d(8, 10, 3, groups=2, scaling=sh.LayerMax(), bias=sh.PriorBias()),
        sh.ReLU(),
        sh.Flatten(),
        readout=sh.SoftmaxReadout(40, classes=3),
        input_shape=(2, 8, 8),
        seed=0,
    )


@pytest.fixture(scope="module")
def stream() -> list[tuple[Tensor, int]]:
    chance = torch.Generator().manual_seed(1)
    return [(torch.rand(2, 8, 8, generator=chance), t % 3) for t in range(40)]


@pytest.fixture(scope="module")
def serial(stream: list[tuple[Tensor, int]]) -> sh.StreamNet:
    net = make_net()
    for x, label in stream:
        net.step(x, label)
    return net


def buffers(net: sh.StreamNet) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.named_buffers()}


def assert_same(net: sh.StreamNet, reference: sh.StreamNet) -> None:
    assert differences(buffers(net), buffers(reference)) == []


def in_flight(net: sh.StreamNet, x: Tensor, label: int) -> Frame:
    return Frame(x[None], len(net.layers), [label], [1.0] * len(net.layers))


def order_of(scheduler: Shuffled) -> list[tuple[int, str]]:
    assert scheduler.trace is not None
    return [(event.frame, event.name) for event in scheduler.trace.events]


def test_the_net_learns_at_all(serial: sh.StreamNet) -> None:
    fresh, taught = buffers(make_net()), buffers(serial)
    same = [name for name in fresh if torch.equal(fresh[name], taught[name])]
    assert same == []


@pytest.mark.parametrize("seed", range(4))
def test_any_order_within_a_step_gives_the_same_bits(
    seed: int, serial: sh.StreamNet, stream: list[tuple[Tensor, int]]
) -> None:
    net = make_net()
    net.scheduler = Shuffled(seed)
    for x, label in stream:
        net.step(x, label)
    assert_same(net, serial)


@pytest.mark.parametrize("seed", range(12))
def test_any_order_across_samples_gives_the_same_bits(
    seed: int, serial: sh.StreamNet, stream: list[tuple[Tensor, int]]
) -> None:
    net = make_net()
    plan = plan_of(net)
    scheduler = Shuffled(seed, flight=1 + seed % 7, trace=Trace())
    with torch.no_grad():
        for x, label in stream:
            scheduler.submit(plan, in_flight(net, x, label))
        scheduler.join()
    order, names = order_of(scheduler), [task.name for task in plan]
    in_turn = [(t, name) for t in range(40) for name in names]
    assert sorted(order) == sorted(in_turn)
    assert order != in_turn, "the order was no other than the serial one"
    assert_same(net, serial)


def test_samples_do_overtake_each_other() -> None:
    """The scheduler of this test is worth its name: a sample starts before the last has ended."""
    net, scheduler = make_net(), Shuffled(3, flight=4, trace=Trace())
    with torch.no_grad():
        for _ in range(10):
            scheduler.submit(plan_of(net), in_flight(net, torch.rand(2, 8, 8), 0))
        scheduler.join()
    numbers = [number for number, _ in order_of(scheduler)]
    assert any(later < earlier for earlier, later in itertools.pairwise(numbers))


@pytest.mark.parametrize("loose", ["lanes", "lags"])
def test_an_illegal_order_would_be_noticed(
    loose: str, serial: sh.StreamNet, stream: list[tuple[Tensor, int]]
) -> None:
    """Without the promise about lanes the weights do differ, so the tests here can fail."""
    net, scheduler, lanes = make_net(), Shuffled(0, flight=3), iter(range(1000))
    if loose == "lanes":
        tasks = [Task(t.name, next(lanes), t.after, t.run) for t in plan_of(net)]
    else:
        tasks = [Task(t.name, t.lane, t.after, t.run, ((t.lane, 1),)) for t in plan_of(net)]
    plan = make_plan(tasks)
    with torch.no_grad():
        for x, label in stream:
            scheduler.submit(plan, in_flight(net, x, label))
        scheduler.join()
    with pytest.raises(AssertionError):
        assert_same(net, serial)


def test_a_copy_of_a_net_has_plans_of_its_own(stream: list[tuple[Tensor, int]]) -> None:
    net = make_net()
    net.step(*stream[0])
    twin = copy.deepcopy(net)
    before = buffers(net)
    twin.step(*stream[1])
    assert all(torch.equal(before[name], value) for name, value in buffers(net).items())


# -- many nets, many orders ----------------------------------------------------------------------


class Told:
    """A net drawn at random, and what became of a stream with ``step``, one sample by one."""

    def __init__(self, seed: int, count: int, wake: bool | None = None) -> None:
        self.make = draw_net(seed, wake)
        net = self.make()
        assert net.input_shape is not None
        self.stream = draw_stream(seed, net.input_shape, count)
        self.results = [said(net.step(s.x, s.target, activity=True)) for s in self.stream]
        self.end = learned(net)

    def check(self, scheduler: Scheduler, depth: int, delays: int | None = None) -> Trace:
        """Run the stream with a scheduler; compare every bit."""
        net = self.make()
        net.scheduler, scheduler.trace = scheduler, Trace()
        if delays is not None:
            hold_up(net, delays)
        with net:
            results = [said(r) for r in net.run(self.stream, depth=depth, activity=True)]
        assert len(results) == len(self.results)
        for number, (mine, theirs) in enumerate(zip(results, self.results, strict=True)):
            assert differences(mine, theirs) == [], f"result {number}"
        assert differences(learned(net), self.end) == []
        return scheduler.trace


def tell(seed: int, count: int, wake: bool | None = None) -> Told:
    """The next net from that seed on whose weights stay finite."""
    for again in itertools.count():
        try:
            return Told(seed + 1_000_003 * again, count, wake)
        except DivergedError:
            continue
    raise AssertionError


def check_orders(seed: int, orders: int, count: int = 3) -> int:
    """Hold one random net against so many random orders; return how many were overtaking."""
    told, overtaking = tell(seed, count), 0
    for order in range(orders):
        chance = random.Random(seed + order)
        flight, depth = chance.randrange(6), chance.randint(1, 8)
        trace = told.check(Shuffled(order, flight), depth)
        numbers = [event.frame for event in trace.events]
        overtaking += numbers != sorted(numbers)
    return overtaking


def check_threads(seed: int, count: int = 5) -> None:
    """Hold one random net against threads whose tasks are held up at random."""
    told, chance = tell(seed, count), random.Random(seed)
    for workers in (1, 2, 3):
        told.check(Threads(workers), depth=chance.randint(1, 8), delays=seed + workers)


def test_random_nets_in_random_orders() -> None:
    overtaking = sum(check_orders(seed, orders=20) for seed in range(50))
    assert overtaking > 250, "most orders were that of the samples"


@settings(max_examples=15)
@given(st.integers(0, 2**31))
def test_random_nets_in_random_orders_searched(seed: int) -> None:
    check_orders(seed, orders=6)


def test_random_nets_in_threads_that_are_held_up() -> None:
    for seed in range(45):
        check_threads(seed)


@pytest.mark.parametrize("wake", [True, False])
def test_a_long_stream_in_threads_that_are_held_up(wake: bool) -> None:
    for seed in range(2):
        told = tell(seed + 77, 60, wake)
        assert any(result["passed"] for result in told.results) == wake
        told.check(Threads(2), depth=8, delays=seed)
        told.check(Shuffled(seed, 7), depth=8)


def test_serial_runs_are_steps() -> None:
    for seed in range(20):
        tell(seed, 5).check(Serial(), depth=1 + seed % 8)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_more_random_nets_in_random_orders() -> None:
    for seed in range(1000, 1500):
        check_orders(seed, orders=30)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_more_random_nets_in_threads_that_are_held_up() -> None:
    for seed in range(1000, 1500):
        check_threads(seed)
