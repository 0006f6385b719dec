"""Any legal order of the tasks gives the same weights: the promise concurrency rests on."""

from __future__ import annotations

import copy
import itertools
import random
from typing import Any

import pytest
import torch
from torch import Tensor

import streamhebb as sh
from streamhebb.frames import Frame, Mode
from streamhebb.schedule import Plan, Task, make_plan


class OnItsWay:
    def __init__(self, scheduler: RandomOrder, frame: Any) -> None:
        self.scheduler = scheduler
        self.frame = frame

    def done(self, position: int | None = None) -> bool:
        return all(frame is not self.frame for _, frame, _, _ in self.scheduler.pending)

    def wait(self, position: int | None = None) -> None:
        while not self.done():
            self.scheduler._run_one()


class RandomOrder:
    """Runs one ready task at a time, any of them; later frames may overtake earlier ones.

    Keeps the two promises of ``streamhebb.schedule.task`` and nothing else.

    Args:
        seed: of the order.
        flight: frames that may be unfinished when a new one is accepted; 0 drains each frame.
    """

    def __init__(self, seed: int, flight: int = 0) -> None:
        self.random = random.Random(seed)
        self.flight = flight
        self.pending: list[tuple[Plan, Any, set[int], set[int]]] = []  # plan, frame, done, left
        self.log: list[tuple[int, int]] = []  # (frame number, position), in the order they ran
        self.numbers: dict[int, int] = {}

    def submit(self, plan: Plan, frame: Any) -> OnItsWay:
        self.numbers[id(frame)] = len(self.numbers)
        self.pending.append((plan, frame, set(), set(range(len(plan)))))
        for _ in range(self.random.randrange(len(plan) + 1)):  # some work now, some later
            self._run_one()
        while len(self.pending) > self.flight:
            self._run_one()
        return OnItsWay(self, frame)

    def clear(self) -> None:
        self.pending.clear()

    def join(self) -> None:
        while self.pending:
            self._run_one()

    def close(self) -> None:
        self.join()

    def ready(self) -> list[tuple[int, int]]:
        found, busy = [], set()
        for row, (plan, _, done, left) in enumerate(self.pending):
            for position in sorted(left):
                lane = plan[position].lane
                if lane not in busy and done.issuperset(plan[position].after):
                    found.append((row, position))
                busy.add(lane)  # whatever is later in this lane waits for this task
        return found

    def _run_one(self) -> None:
        choices = self.ready()
        if not choices:
            return
        row, position = self.random.choice(choices)
        plan, frame, done, left = self.pending[row]
        plan[position].run(frame)
        self.log.append((self.numbers[id(frame)], position))
        done.add(position)
        left.discard(position)
        if not left:
            del self.pending[row]


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


def learned(net: sh.StreamNet) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.named_buffers()}


def assert_same(net: sh.StreamNet, reference: sh.StreamNet) -> None:
    left, right = learned(net), learned(reference)
    assert left.keys() == right.keys()
    different = [name for name in left if not torch.equal(left[name], right[name])]
    assert not different


def test_the_net_learns_at_all(serial: sh.StreamNet) -> None:
    fresh, taught = learned(make_net()), learned(serial)
    same = [name for name in fresh if torch.equal(fresh[name], taught[name])]
    assert same == []


@pytest.mark.parametrize("seed", range(4))
def test_any_order_within_a_step_gives_the_same_bits(
    seed: int, serial: sh.StreamNet, stream: list[tuple[Tensor, int]]
) -> None:
    net = make_net()
    net.scheduler = RandomOrder(seed)
    for x, label in stream:
        net.step(x, label)
    assert_same(net, serial)


@pytest.mark.parametrize("seed", range(12))
def test_any_order_across_samples_gives_the_same_bits(
    seed: int, serial: sh.StreamNet, stream: list[tuple[Tensor, int]]
) -> None:
    net = make_net()
    plan = plan_of(net)
    scheduler = RandomOrder(seed, flight=1 + seed % 7)
    frames = [
        Frame(x[None], len(net.layers), [label], [1.0] * len(net.layers)) for x, label in stream
    ]
    with torch.no_grad():
        for frame in frames:
            scheduler.submit(plan, frame)
        scheduler.join()
    assert sorted(scheduler.log) == [(t, p) for t in range(40) for p in range(len(plan))]
    assert scheduler.log != sorted(scheduler.log), "the order was no other than the serial one"
    assert_same(net, serial)


def test_samples_do_overtake_each_other() -> None:
    """The scheduler of this test is worth its name: a sample starts before the last has ended."""
    net, scheduler = make_net(), RandomOrder(3, flight=4)
    frames = [
        Frame(torch.rand(1, 2, 8, 8), len(net.layers), [0], [1.0] * len(net.layers))
        for _ in range(10)
    ]
    with torch.no_grad():
        for frame in frames:
            scheduler.submit(plan_of(net), frame)
        scheduler.join()
    numbers = [number for number, _ in scheduler.log]
    assert any(later < earlier for earlier, later in itertools.pairwise(numbers))


def test_an_illegal_order_would_be_noticed(
    serial: sh.StreamNet, stream: list[tuple[Tensor, int]]
) -> None:
    """Without the promise about lanes the weights do differ, so the tests above can fail."""
    net, scheduler = make_net(), RandomOrder(0, flight=3)
    lanes = iter(range(1000))
    loose = make_plan([Task(t.name, next(lanes), t.after, t.run) for t in plan_of(net)])
    with torch.no_grad():
        for x, label in stream:
            scheduler.submit(
                loose, Frame(x[None], len(net.layers), [label], [1.0] * len(net.layers))
            )
        scheduler.join()
    with pytest.raises(AssertionError):
        assert_same(net, serial)


def test_a_copy_of_a_net_has_plans_of_its_own(stream: list[tuple[Tensor, int]]) -> None:
    net = make_net()
    net.step(*stream[0])
    twin = copy.deepcopy(net)
    before = learned(net)
    twin.step(*stream[1])
    assert all(torch.equal(before[name], value) for name, value in learned(net).items())
