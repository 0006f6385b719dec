"""The race detector: silent where promises are kept, loud where one is broken."""

from __future__ import annotations

import copy
import random
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import streamhebb as sh
from streamhebb.errors import ConfigError, RaceError
from streamhebb.frames import Frame, Mode
from streamhebb.order import Hogwild, Multirate, Order, Stale
from streamhebb.races import UNCHECKED, VARIABLE
from streamhebb.schedule import QUIET, Plan, Scheduler, Serial, Threads
from streamhebb.wake import OnChange


class ByHand:
    """Runs one ready task at a time, any of them. Keeps all promises, unless told otherwise.

    Args:
        seed: of the order.
        flight: frames that may be unfinished when another is accepted.
        lanes: whether tasks of a lane wait for each other.
        after: whether tasks wait for those named in ``after``.
    """

    def __init__(
        self, seed: int = 0, flight: int = 3, *, lanes: bool = True, after: bool = True
    ) -> None:
        self.random = random.Random(seed)
        self.flight = flight
        self.lanes = lanes
        self.after = after
        self.left: list[tuple[Plan, Any, list[int], set[int]]] = []  # positions left, quiet ones

    def submit(self, plan: Plan, frame: Any) -> Landing:
        self.left.append((plan, frame, list(range(len(plan))), set()))
        for _ in range(self.random.randrange(len(plan) + 1)):
            self.run_one()
        while len(self.left) > self.flight:
            self.run_one()
        return Landing(self, frame)

    def ready(self) -> list[tuple[int, int]]:
        found, busy = [], set()
        for row, (plan, _, left, _) in enumerate(self.left):
            for position in left:
                task = plan[position]
                waits = self.after and not set(left).isdisjoint(task.after)
                if not waits and not (self.lanes and task.lane in busy):
                    found.append((row, position))
                busy.add(task.lane)
        return found

    def run_one(self) -> None:
        if self.left:
            row, position = self.random.choice(self.ready())
            plan, frame, left, quiet = self.left[row]
            task = plan[position]
            skipped = not (task.always or quiet.isdisjoint(task.after))
            if skipped or task.run(frame) is QUIET:
                quiet.add(position)
            left.remove(position)
            if not left:
                del self.left[row]

    def join(self) -> None:
        while self.left:
            self.run_one()

    def clear(self) -> None:
        self.left.clear()

    def close(self) -> None:
        self.clear()


class Landing:
    def __init__(self, scheduler: ByHand, frame: Any) -> None:
        self.scheduler, self.frame = scheduler, frame

    def done(self, position: int | None = None) -> bool:
        return all(frame is not self.frame for _, frame, _, _ in self.scheduler.left)

    def wait(self, position: int | None = None) -> None:
        while not self.done():
            self.scheduler.run_one()


def dense(
    scheduler: Scheduler | None = None, check_races: bool = True, **wishes: Any
) -> sh.StreamNet:
    return sh.StreamNet(
        sh.RunningNorm(6),
        sh.Dense(6, 8, rule=sh.Oja()),
        sh.ReLU(),
        sh.Dense(8, 5),
        sh.Triangle(),
        readout=sh.SoftmaxReadout(5),
        seed=0,
        scheduler=scheduler,
        check_races=check_races,
        **wishes,
    )


def conv(
    scheduler: Scheduler | None = None, check_races: bool = True, **wishes: Any
) -> sh.StreamNet:
    return sh.StreamNet(
        sh.Conv2d(1, 4, 3, padding=1, competition=sh.SoftWTA(0.5, anti_hebbian=True)),
        sh.Triangle(0.7),
        sh.MaxPool2d(2),
        sh.Flatten(),
        sh.Delay(1),
        sh.RunningNorm(36),
        sh.Dense(36, 4, scaling=sh.LayerMax(), bias=sh.PriorBias()),
        readout=sh.RLSReadout(4, classes=["a", "b", "c"]),
        input_shape=(1, 6, 6),
        seed=0,
        scheduler=scheduler,
        check_races=check_races,
        **wishes,
    )


def stream(count: int, *shape: int) -> list[tuple[Tensor, str | None]]:
    chance = torch.Generator().manual_seed(1)
    labels = ("a", "b", None, "c", "a")
    return [(torch.rand(shape, generator=chance), labels[t % 5]) for t in range(count)]


SCHEDULERS: dict[str, Callable[[], Scheduler]] = {
    "serial": Serial,
    "1 thread": lambda: Threads(1),
    "2 threads": lambda: Threads(2),
    "3 threads": lambda: Threads(3),
    "by hand": lambda: ByHand(1),
    "by hand, 6 in flight": lambda: ByHand(2, flight=6),
}


@pytest.fixture(params=["serial", "2 threads", "by hand"])
def scheduler(request: pytest.FixtureRequest) -> Any:
    made = SCHEDULERS[request.param]()
    yield made
    made.close()


# -- nothing to complain about -----------------------------------------------------------------


def use(net: sh.StreamNet, shape: tuple[int, ...]) -> None:
    """Runs and steps, with and without learning, and somebody who only looks."""
    samples = stream(24, *shape)
    for learn in (True, False, True):
        with net.run(samples, learn=learn) as run:
            for number, result in enumerate(run):
                if number % 12 == 0:
                    net.respond(samples[number][0])
                assert result.skipped is None
    for number, (x, label) in enumerate(samples[:9]):
        net.step(x, label, learn=number % 3 > 0)


@cache
def used(make: Callable[..., sh.StreamNet], shape: tuple[int, ...], wake: Any) -> sh.StreamNet:
    net = make(wake=wake, check_races=False)
    use(net, shape)
    return net


@pytest.mark.parametrize("scheduler", SCHEDULERS, indirect=True)
@pytest.mark.parametrize("wake", [None, OnChange(0.1)], ids=["", "on change"])
@pytest.mark.parametrize(("make", "shape"), [(dense, (6,)), (conv, (1, 6, 6))])
def test_what_is_lawful_passes(
    make: Callable[..., sh.StreamNet], shape: tuple[int, ...], wake: Any, scheduler: Scheduler
) -> None:
    net = make(scheduler, wake=wake)
    use(net, shape)
    assert_same(net, used(make, shape, wake))


def test_micro_batches_pass(scheduler: Scheduler) -> None:
    net = dense(scheduler)
    chance = torch.Generator().manual_seed(0)
    batches = [(torch.rand(5, 6, generator=chance), list("abcab")) for _ in range(20)]
    for x, labels in batches[:5]:
        net.step(x, labels)
    with net.run(batches) as run:
        assert len(list(run)) == 20


@pytest.mark.parametrize("order", [Stale(2), Hogwild(2), Multirate(2)], ids=str)
def test_orders_that_let_samples_overlap_pass(order: Order, scheduler: Scheduler) -> None:
    net, samples = dense(scheduler), stream(20, 6)
    with net.run(samples, order=order) as run:
        for number, _ in enumerate(run):
            if number % 10 == 0:
                net.respond(samples[0][0])
    for x, label in samples[:5]:
        net.step(x, label)
    with net.run(samples) as run:
        assert len(list(run)) == 20


def test_spiking_layers_that_carry_on_pass(scheduler: Scheduler) -> None:
    pytest.importorskip("norse", reason="the extra 'spiking' is not installed")
    net = sh.StreamNet(
        sh.Dense(4, 6, rule=sh.STDP(), neuron=sh.LIF(), carry=True),
        sh.Dense(6, 3, rule=sh.STDP(), neuron=sh.LIF()),
        sh.SpikeCount(),
        readout=sh.SoftmaxReadout(3),
        input_shape=(5, 4),
        seed=0,
        scheduler=scheduler,
        check_races=True,
    )
    samples = [((x > 0.5).float(), label) for x, label in stream(20, 5, 4)]
    with net.run(samples) as run:
        assert len(list(run)) == 20
    net.reset_state()
    with net.run(samples, learn=False) as run:
        assert len(list(run)) == 20


def test_what_users_do_between_samples_passes(scheduler: Scheduler, tmp_path: Path) -> None:
    net = conv(scheduler)
    samples = stream(12, 1, 6, 6)
    layer: Any = net.layers[0]

    def replace() -> None:
        layer.weight = layer.weight.clone()

    changes: list[Callable[[], object]] = [
        lambda: layer.weight.mul_(0.5),
        replace,
        lambda: net.save(tmp_path / "net"),
        lambda: net.load(tmp_path / "net"),
        net.reset_state,
        lambda: layer.reset(torch.Generator().manual_seed(3)),
        lambda: net.load_state_dict(copy.deepcopy(net.state_dict())),
        net.double,
        net.float,
        lambda: net.readout.reset() if net.readout is not None else None,
    ]
    for change in changes:
        for x, label in samples[:3]:
            net.step(x, label)
        change()
        net.respond(samples[0][0].to(layer.weight.dtype))
        change()
        with net.run([(x.to(layer.weight.dtype), label) for x, label in samples]) as run:
            for number, _ in enumerate(run):
                if number == 5:
                    net.scheduler.join()
                    layer.weight.mul_(0.9)
        net.float()


def test_a_copy_is_watched_by_itself(scheduler: Scheduler) -> None:
    net = dense(scheduler)
    net.step(torch.rand(6), "a")
    twin = copy.deepcopy(net)
    twin.scheduler = Serial()
    assert twin.planner.races is not None
    assert twin.planner.races is not net.planner.races
    for _ in range(3):
        net.step(torch.rand(6), "a")
        twin.step(torch.rand(6), "b")


def test_recordings_are_not_checked() -> None:
    """A frame that stands for others comes again and again, whatever was there in between."""
    net = dense()
    plan = net.planner.step(Mode.LEARN).plan
    frame = frame_of(net, torch.rand(1, 6))
    frame.born = UNCHECKED
    with torch.no_grad():
        for _ in range(3):
            for task in plan:
                task.run(frame)
            net.step(torch.rand(6), "a")


# -- schedulers that break a promise -----------------------------------------------------------


def frame_of(net: sh.StreamNet, x: Tensor, label: Any = "a") -> Frame:
    count = len(net.layers)
    return Frame(x, count, [label] * len(x), [1.0] * count)


def submit(net: sh.StreamNet, count: int) -> list[Frame]:
    """Have frames in flight that have all begun before the first passes."""
    plan = net.planner.step(Mode.LEARN).plan
    frames = [frame_of(net, x[None], label or "a") for x, label in stream(count, 6)]
    with torch.no_grad():
        for number, frame in enumerate(frames):
            frame.number = number
            net.scheduler.submit(plan, frame)
    return frames


def drain(net: sh.StreamNet) -> None:
    with torch.no_grad():
        net.scheduler.join()


def assert_same(net: sh.StreamNet, reference: sh.StreamNet) -> None:
    left, right = dict(net.named_buffers()), dict(reference.named_buffers())
    assert left.keys() == right.keys()
    assert not [name for name in left if not torch.equal(left[name], right[name])]


@pytest.mark.parametrize("seed", range(5))
def test_a_scheduler_that_ignores_lanes_is_caught(seed: int) -> None:
    net = dense(ByHand(seed, lanes=False))
    with pytest.raises(RaceError, match=r"turn \d+\) comes to .*order .* submitted.*report it"):
        submit(net, 8)
        drain(net)


@pytest.mark.parametrize("seed", range(5))
def test_a_scheduler_that_ignores_what_a_task_waits_for_is_caught(seed: int) -> None:
    net = dense(ByHand(seed, after=False))
    with pytest.raises(RaceError, match="'after'.*report it|without having responded"):
        submit(net, 8)
        drain(net)


@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_a_silent_run_has_the_right_bits(seed: int, lanes: bool, after: bool) -> None:
    """Whatever the order: either somebody complains, or weights are as they should be."""
    net, reference = dense(ByHand(seed, 2, lanes=lanes, after=after)), dense()
    submit(reference, 2)
    try:
        submit(net, 2)
        drain(net)
    except RaceError:
        assert not (lanes and after), "nothing was wrong"
    else:
        assert_same(net, reference)


def test_a_sample_that_overtakes_another_is_caught_though_nothing_is_written() -> None:
    net = dense()
    plan = net.planner.step(Mode.LOOK).plan
    first, second = frame_of(net, torch.rand(1, 6)), frame_of(net, torch.rand(1, 6))
    second.number = 1
    with torch.no_grad():
        plan[0].run(second)
        with pytest.raises(RaceError) as caught:
            plan[0].run(first)
    turn = first.born[0]
    assert str(caught.value) == (
        f"0:RunningNorm+1:Dense+2:ReLU: sample 0 (turn {turn}) comes to respond after sample 1 "
        f"(turn {turn + 1}); tasks of a lane run one at a time, in the order in which they were "
        f"submitted. The scheduler broke a promise of streamhebb.schedule.task: report it"
    )


def test_two_tasks_at_once_in_one_stage_are_caught() -> None:
    class Reentering(sh.ReLU):
        then: Callable[[], object] | None = None

        def respond(self, x: Tensor) -> Tensor:
            if self.then is not None:
                self.then()
            return super().respond(x)

    layer = Reentering()
    net = sh.StreamNet(sh.Dense(6, 3), layer, seed=0, check_races=True)
    plan = net.planner.step(Mode.LEARN).plan
    first, second = frame_of(net, torch.rand(1, 6)), frame_of(net, torch.rand(1, 6))
    layer.then = lambda: plan[0].run(second)
    with torch.no_grad(), pytest.raises(RaceError, match="while sample 0 .* is there to respond"):
        plan[0].run(first)


def test_learning_twice_is_caught() -> None:
    net = dense()
    (frame,) = submit(net, 1)
    learn = net.planner.step(Mode.LEARN).plan[1]
    with torch.no_grad(), pytest.raises(RaceError, match="comes to learn without having responded"):
        learn.run(frame)


# -- writes of others --------------------------------------------------------------------------


def write(net: sh.StreamNet) -> None:
    weight: Any = net.layers[1].weight
    weight.mul_(0.5)


def replace_buffer(net: sh.StreamNet) -> None:
    layer: Any = net.layers[1]
    layer.weight = layer.weight.clone()


def write_to_readout(net: sh.StreamNet) -> None:
    for value in net.readout.buffers() if net.readout is not None else ():
        value.add_(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (write, r"1:Dense: buffer 'weight' has version (\d+) in place of (?!\1)\d+; found for "),
        (replace_buffer, "1:Dense: buffer 'weight' is another tensor; found for sample"),
        (write_to_readout, "readout: buffer .* has version"),
    ],
)
def test_a_write_while_samples_are_in_flight_is_caught(
    change: Callable[[sh.StreamNet], None], message: str
) -> None:
    scheduler = ByHand(0, flight=9)
    net = dense(scheduler)
    submit(net, 8)
    with torch.no_grad():
        while len(scheduler.left) > 3:  # some have passed, the others have begun
            scheduler.run_one()
        change(net)
    with pytest.raises(RaceError, match=message) as caught:
        drain(net)
    assert "change weights between runs, or after net.scheduler.join()" in str(caught.value)


class Gate(sh.ReLU):
    """Lets the second sample through when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.begun = threading.Event()
        self.opened = threading.Event()

    def respond(self, x: Tensor) -> Tensor:
        self.count += 1
        (self.begun if self.count == 1 else self.opened).wait(10)
        return super().respond(x)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_thread_that_writes_in_the_middle_of_a_run_is_caught(workers: int) -> None:
    gate = Gate()
    net = sh.StreamNet(gate, sh.Dense(6, 3), seed=0, scheduler=Threads(workers), check_races=True)
    plan = net.planner.step(Mode.LEARN).plan
    pending = [net.scheduler.submit(plan, frame_of(net, torch.rand(1, 6))) for _ in range(2)]
    gate.begun.set()
    pending[0].wait()
    layer: Any = net.layers[1]
    layer.weight.mul_(0.5)
    gate.opened.set()
    with pytest.raises(RaceError, match="1:Dense: buffer 'weight' has version") as caught:
        pending[1].wait()
    assert "in 'respond 0:Gate+1:Dense' of sample" in "".join(caught.value.__notes__)
    net.scheduler.clear()
    net.step(torch.rand(6))  # it is over: what was written counts
    net.close()


def test_an_error_ends_with_the_run() -> None:
    scheduler = ByHand(0, flight=9)
    net = dense(scheduler)
    submit(net, 4)
    with torch.no_grad():
        while len(scheduler.left) > 2:
            scheduler.run_one()
    write(net)
    with pytest.raises(RaceError):
        drain(net)
    scheduler.clear()
    for x, label in stream(5, 6):
        net.step(x, label)
    submit(net, 4)
    drain(net)


# -- layers that break a law -------------------------------------------------------------------


class Counting(sh.ReLU):
    """Counts in ``respond``, where nothing may be written."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def respond(self, x: Tensor) -> Tensor:
        self.seen.add_(1)
        return super().respond(x)


class InPlace(sh.ReLU):
    """Changes its input."""

    def respond(self, x: Tensor) -> Tensor:
        return x.relu_()


class Returning(sh.ReLU):
    """Passes its input on, and changes it when it learns."""

    carries = True

    def respond(self, x: Tensor) -> Tensor:
        return x

    def observe(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x

    def advance(self, seen: Tensor) -> None:
        seen.mul_(2)


class Holding(sh.Dense):
    """Answers, and keeps, in memory that it uses again for the next sample."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out)
        self.kept: Any = None

    def observe(self, x: Tensor) -> tuple[Tensor, Any]:
        out, seen = super().observe(x)
        if self.kept is None:
            self.kept = seen.pre.clone()
        self.kept.copy_(seen.pre)
        return out, seen._replace(pre=self.kept)


def test_a_layer_that_writes_when_it_responds_is_caught(scheduler: Scheduler) -> None:
    net = sh.StreamNet(sh.Dense(6, 4), Counting(), seed=0, scheduler=scheduler, check_races=True)
    message = "1:Counting: buffer 'seen' has version .* while it responded. Either the layer writes"
    for attempt in (net.step, net.respond):
        with pytest.raises(RaceError, match=message):
            attempt(torch.rand(6))


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_layer_that_changes_its_input_is_caught(before: int, scheduler: Scheduler) -> None:
    layers = [sh.Dense(6, 6), sh.Dense(6, 6)][:before]
    net = sh.StreamNet(
        *layers, InPlace(), sh.Dense(6, 3), seed=0, scheduler=scheduler, check_races=True
    )
    source = f"the output of {before - 1}:Dense" if before else "the input of the net"
    message = f"{source} for sample 0 has version .*it was written to while it responded"
    with pytest.raises(RaceError, match=message):
        net.step(torch.rand(6))


def test_a_layer_that_returns_its_input_and_later_changes_it_is_caught(
    scheduler: Scheduler,
) -> None:
    layers = [sh.Dense(6, 4), Returning(), sh.Dense(4, 3)]
    net = sh.StreamNet(*layers, seed=0, scheduler=scheduler, check_races=True)
    with pytest.raises(RaceError, match=r"the output of [01]:\w+ for sample 0 has version"):
        net.step(torch.rand(6), learn=False)


@pytest.mark.parametrize("order", [Stale(2), Hogwild(2)], ids=str)
def test_memory_used_again_too_early_is_caught_though_samples_may_overlap(order: Order) -> None:
    net = sh.StreamNet(Holding(6, 4), seed=0, check_races=True)
    respond, learn = net.planner.step(Mode.LEARN, order).plan
    first, second = frame_of(net, torch.rand(1, 6)), frame_of(net, torch.rand(1, 6))
    with torch.no_grad():
        for task in (respond, learn):
            task.run(first)
        respond.run(first)
        respond.run(second)
        with pytest.raises(RaceError, match="0:Holding: what it keeps of sample 0 has version"):
            learn.run(first)
        learn.run(second)


def test_a_caller_who_overwrites_an_input_in_flight_is_caught() -> None:
    net = dense(ByHand(0, flight=2))
    x = torch.rand(1, 6)
    plan = net.planner.step(Mode.LEARN).plan
    frame = frame_of(net, x)
    x.zero_()  # before anybody has seen it
    with torch.no_grad(), pytest.raises(RaceError, match="the input of the net .* before it came"):
        plan[0].run(frame)
    frame = frame_of(net, x)
    with torch.no_grad():
        plan[0].run(frame)
        x.add_(1)
        with pytest.raises(RaceError, match="the input of the net .* before it came to learn"):
            plan[1].run(frame)


def test_a_caller_who_writes_to_an_output_in_flight_is_caught() -> None:
    net = dense()
    plan = net.planner.step(Mode.LEARN).plan
    frame = frame_of(net, torch.rand(1, 6))
    with torch.no_grad():
        plan[0].run(frame)
        frame.out[3].mul_(2)
        with pytest.raises(RaceError, match="3:Dense.*: the output of 2:ReLU .* before it came"):
            plan[2].run(frame)


# -- the switch --------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "on"), [(None, False), ("0", False), ("", False), ("1", True)])
def test_the_variable_is_read_when_a_net_is_built(
    value: str | None, on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, value)
    net = sh.StreamNet(sh.Dense(3, 2))
    assert (net.planner.races is not None) == net.check_races == on
    monkeypatch.setenv(VARIABLE, "0" if on else "1")
    assert (copy.deepcopy(net).planner.races is not None) == on
    assert sh.StreamNet(sh.Dense(3, 2), check_races=on).check_races == on


def test_a_variable_that_says_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "perhaps")
    with pytest.raises(ConfigError, match="STREAMHEBB_RACES='perhaps' is not allowed; set it to 1"):
        sh.StreamNet(sh.Dense(3, 2))


def test_switched_off_nothing_is_there() -> None:
    net = sh.StreamNet(sh.Dense(6, 3), seed=0, check_races=False)
    (frame,) = submit(net, 1)
    assert type(frame.out) is list
    assert not [t for t in net.planner.step(Mode.LEARN).plan if "races" in t.run.__module__]
