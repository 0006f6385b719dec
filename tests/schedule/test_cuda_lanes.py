"""On a device that works late and in the worst legal order. No card is needed, and none is used."""

from __future__ import annotations

import itertools
import random
import weakref
from functools import partial
from typing import Any

import pytest
import torch

import streamhebb as sh
from streamhebb.errors import ConfigError
from streamhebb.frames import Frame, Mode
from streamhebb.schedule import CudaLanes, Serial, Task, make_plan
from streamhebb.schedule.task import QUIET
from streamhebb.schedule.trace import Trace
from tests.schedule.fake_device import DeviceError, FakeDevice
from tests.schedule.toys import ToyFrame, ToyNet, draw_plan_shape, inputs

FRAMES = 7


def run_toy(scheduler: Any, net: ToyNet, count: int = FRAMES) -> list[list[int]]:
    frames = [ToyFrame(net, t, x) for t, x in enumerate(inputs(count))]
    for frame in frames:
        scheduler.submit(net.plan, frame)
    scheduler.join()
    found = [state.tolist() for _, state in sorted(net.state.items())]
    return found + [frame.values.flatten().tolist() for frame in frames]


def odd(number: int) -> bool:
    return number % 2 == 1


@pytest.mark.parametrize("block", range(5))
def test_any_interleaving_gives_the_bits_of_serial(block: int) -> None:
    for seed in range(40 * block, 40 * block + 40):
        chance = random.Random(seed)
        shape = draw_plan_shape(chance)
        right = run_toy(Serial(), ToyNet(None, shape, odd))
        device = FakeDevice(seed)
        lanes = CudaLanes(depth=chance.randint(1, 5), device=device)
        assert run_toy(lanes, ToyNet(device, shape, odd)) == right, seed
        lanes.close()


def test_the_fake_device_overlaps_frames() -> None:
    """It is worth its name: pieces of a later frame run before pieces of an earlier one."""
    shape = [{"lane": i, "after": (i - 1,) if i else (), "past": None, "by_hand": False}
             for i in range(3)]  # fmt: skip
    overtaken = 0
    for seed in range(10):
        device = FakeDevice(seed)
        net = ToyNet(device, shape)
        run_toy(CudaLanes(device=device), net)
        numbers = [number for number, _ in net.log]
        overtaken += any(later < earlier for earlier, later in itertools.pairwise(numbers))
    assert overtaken > 5


def chain(*lanes: int) -> list[dict[str, Any]]:
    return [{"lane": lane, "after": (i - 1,) if i else (), "past": None, "by_hand": False}
            for i, lane in enumerate(lanes)]  # fmt: skip


def goes_wrong(shape: list[dict[str, Any]], lose: Any) -> int:
    """How many of 20 interleavings give other bits when some waits are forgotten."""
    right = run_toy(Serial(), ToyNet(None, shape))
    wrong = 0
    for seed in range(20):
        device = FakeDevice(seed, lose)
        try:
            wrong += run_toy(CudaLanes(device=device), ToyNet(device, shape)) != right
        except DeviceError:
            wrong += 1
    return wrong


def test_without_the_edges_of_a_frame_the_bits_differ() -> None:
    assert goes_wrong(chain(0, 1), lambda waiting, origin: origin == 1) > 0


def test_without_the_edges_of_the_past_the_bits_differ() -> None:
    linked = [
        {"lane": 0, "after": (), "past": ((0, 0), (1, 0)), "by_hand": False},
        {"lane": 1, "after": (), "past": ((0, 0), (1, 0)), "by_hand": False},
    ]
    assert goes_wrong(linked, lambda waiting, origin: False) == 0
    for lost in (1, 2):
        assert goes_wrong(linked, lambda waiting, origin, lost=lost: origin == lost) > 0


def test_tasks_come_after_what_the_caller_had_enqueued() -> None:
    def last_word(seed: int, lose: Any = None) -> list[int]:
        device = FakeDevice(seed, lose)
        net = ToyNet(device, chain(0, 1))
        lanes = CudaLanes(device=device)
        frames = []
        for t, x in enumerate(inputs(3)):
            frame = ToyFrame(net, t)
            device.kernel(partial(frame.x.copy_, x))
            lanes.submit(net.plan, frame)
            frames.append(frame)
        lanes.join()
        return net.state[1].tolist()

    right = {tuple(last_word(seed)) for seed in range(20)}
    assert len(right) == 1
    wrong = {tuple(last_word(seed, lambda waiting, origin: origin == 0)) for seed in range(20)}
    assert wrong - right


@pytest.mark.parametrize("lag", [0, 1, 2, 70])
def test_a_lag_is_kept_and_used(lag: int) -> None:
    """At most `lag` tasks of the other lane are unfinished; and sometimes that many are."""
    shape = [
        {"lane": 0, "after": (), "past": None, "by_hand": False},
        {"lane": 1, "after": (), "past": ((1, 0), (0, lag)), "by_hand": False},
    ]
    count, most = 8 if lag < 9 else 90, 0
    for seed in range(20 if lag < 9 else 3):
        device = FakeDevice(seed)
        net = ToyNet(device, shape)
        run_toy(CudaLanes(depth=count, device=device), net, count)
        ended = {entry: when for when, entry in enumerate(net.log)}
        for t in range(count):
            open_then = sum(ended[other, 0] > ended[t, 1] for other in range(t + 1))
            assert open_then <= lag
            most = max(most, open_then)
    assert most == lag or lag > 8


def test_quiet_tasks_wake_nobody_but_those_that_always_run() -> None:
    device = FakeDevice(3)
    ran: list[str] = []

    def look(frame: list[int]) -> object:
        device.kernel(lambda: ran.append("look"))
        device.look()
        return QUIET

    def note(word: str, *after: int, always: bool = False) -> Task:
        return Task(word, 1, after, lambda f: device.kernel(lambda: ran.append(word)), None, always)

    plan = make_plan(
        [Task("look", 0, (), look), note("a", 0), note("b", 1), note("c", 2, always=True)]
    )
    lanes = CudaLanes(device=device)
    pending = lanes.submit(plan, [])
    pending.wait()
    assert ran == ["look", "c"]
    assert pending.done(1)


def test_what_always_runs_comes_after_what_those_passed_over_waited_for() -> None:
    for seed in range(20):
        device = FakeDevice(seed)
        ran: list[str] = []

        def say(word: str, answer: object = None, ran=ran, device=device) -> Any:
            def run(frame: object) -> object:
                device.kernel(partial(ran.append, word))
                return answer

            return run

        plan = make_plan(
            [
                Task("a", 0, (), say("a", QUIET)),
                Task("b", 1, (0,), say("b")),
                Task("c", 2, (1,), say("c"), None, True),
            ]
        )
        lanes = CudaLanes(device=device)
        lanes.submit(plan, ())
        lanes.join()
        assert ran == ["a", "c"]


# -- a real net --------------------------------------------------------------------------------


def make_net() -> sh.StreamNet:
    return sh.StreamNet(
        sh.RunningNorm(1),
        sh.Conv2d(1, 4, 3, competition=sh.SoftWTA(0.5, anti_hebbian=True), rate=0.05),
        sh.Triangle(0.7),
        sh.Conv2d(4, 5, 3, rule=sh.Oja(), scaling=sh.NeuronMax(), rate=0.02),
        sh.ReLU(),
        sh.Flatten(),
        readout=sh.SoftmaxReadout(20, classes=3),
        input_shape=(1, 6, 6),
        seed=0,
    )


def late(device: FakeDevice, task: Task) -> Task:
    """A task of torch on the CPU, run as if it were device work."""

    def run(frame: Frame) -> None:
        device.kernel(partial(task.run, frame))

    return Task(task.name, task.lane, task.after, run, task.past, task.always, task.by_hand)


def stream(count: int) -> list[tuple[torch.Tensor, int]]:
    chance = torch.Generator().manual_seed(1)
    return [(torch.rand(1, 6, 6, generator=chance), t % 3) for t in range(count)]


def frames_of(net: sh.StreamNet, count: int) -> list[Frame]:
    layers = len(net.layers)
    return [Frame(x[None], layers, [label], [1.0] * layers) for x, label in stream(count)]


def test_a_net_learns_the_bits_of_serial_in_any_interleaving() -> None:
    right = make_net()
    for x, label in stream(6):
        right.step(x, label)
    for seed in range(25):
        net, device = make_net(), FakeDevice(seed)
        plan = net.planner.step(Mode.LEARN).plan
        plan = make_plan([late(device, task) for task in plan])
        lanes = CudaLanes(depth=1 + seed % 5, device=device)
        with torch.no_grad():
            for frame in frames_of(net, 6):
                lanes.submit(plan, frame)
            lanes.join()
        wanted = dict(right.named_buffers())
        assert all(torch.equal(value, wanted[name]) for name, value in net.named_buffers()), seed


# -- waiting, depth, letting go ----------------------------------------------------------------


def test_submit_waits_for_nothing_until_the_depth_is_reached() -> None:
    device = FakeDevice(0)
    net = ToyNet(device, chain(0, 1, 2))
    for stream_ in device.streams:
        stream_.speed = 0
    lanes = CudaLanes(depth=3, device=device)
    frames = [ToyFrame(net, t, x) for t, x in enumerate(inputs(5))]
    pending = []
    for t, frame in enumerate(frames):
        pending.append(lanes.submit(net.plan, frame))
        for stream_ in device.streams:
            stream_.speed = 0
        assert (device.synchronized > 0) == (t >= 3)
        assert sum(not p.over for p in pending) <= 3
    assert pending[1].done()
    assert not pending[4].done()
    pending[4].wait(0)
    assert pending[4].done(0)
    lanes.join()
    assert all(p.done() for p in pending)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_kept_alive_after_join(seed: int) -> None:
    device = FakeDevice(seed)
    net = ToyNet(device, chain(0, 1, 0))
    lanes = CudaLanes(device=device)
    frames = [ToyFrame(net, t, x) for t, x in enumerate(inputs(4))]
    pending = [lanes.submit(net.plan, frame) for frame in frames]
    watched = [weakref.ref(frame) for frame in frames]
    frames.clear()
    del pending[1:]
    lanes.join()
    assert [ref() for ref in watched] == [None] * 4
    pending[0].wait()  # and one who waits late does no harm
    pending[0].wait(2)


def test_frames_that_have_ended_are_let_go_by_the_next_submit() -> None:
    device = FakeDevice(None)
    net = ToyNet(device, chain(0, 1))
    lanes = CudaLanes(depth=9, device=device)
    frames = [ToyFrame(net, t, x) for t, x in enumerate(inputs(3))]
    watched = [weakref.ref(frame) for frame in frames]
    while frames:
        lanes.submit(net.plan, frames.pop(0))
    assert [ref() is None for ref in watched] == [True, True, False]


def test_a_frame_that_the_caller_drops_lives_until_its_last_task_has_run() -> None:
    for seed in range(20):
        device = FakeDevice(seed)
        net = ToyNet(device, chain(0, 1, 2))
        lanes = CudaLanes(device=device)
        for t, x in enumerate(inputs(9)):
            lanes.submit(net.plan, ToyFrame(net, t, x))  # the caller keeps none
        lanes.join()
        assert len(net.log) == 27


def test_frames_let_go_at_once_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamhebb.schedule.cuda_flights import Flight

    sent = Flight.sent
    monkeypatch.setattr(
        Flight, "sent", lambda self, *ends: (sent(self, *ends), setattr(self, "frame", None))
    )
    with pytest.raises(DeviceError):
        for seed in range(20):
            device = FakeDevice(seed)
            net = ToyNet(device, chain(0, 1, 2))
            lanes = CudaLanes(device=device)
            for t, x in enumerate(inputs(5)):
                lanes.submit(net.plan, ToyFrame(net, t, x))
            lanes.join()


# -- errors ------------------------------------------------------------------------------------


def failing_at(net: ToyNet, number: int, position: int) -> Any:
    def fail(frame: ToyFrame) -> object:
        if frame.number == number:
            raise ValueError("from the task")
        return net.plan[position].run(frame)

    tasks = list(net.plan)
    old = tasks[position]
    tasks[position] = Task(old.name, old.lane, old.after, fail, old.past)
    return make_plan(tasks)


def test_a_frame_that_failed_lives_until_what_was_enqueued_of_it_has_ended() -> None:
    for seed in range(20):
        device = FakeDevice(seed)
        net = ToyNet(device, chain(0, 1, 2))
        plan = half_done(net, 1, 2)
        lanes = CudaLanes(device=device)
        lanes.submit(plan, ToyFrame(net, 0))
        with pytest.raises(ValueError, match="half done"):
            lanes.submit(plan, ToyFrame(net, 1))
        lanes.clear()
        lanes.submit(plan, ToyFrame(net, 2)).wait()  # the device would have failed by now
        assert len(net.log) == 9


def half_done(net: ToyNet, number: int, position: int, by_hand: bool = False) -> Any:
    """The net's plan, in which one task fails after it has enqueued its work."""

    def fail(frame: ToyFrame) -> object:
        net.plan[position].run(frame)
        if frame.number == number:
            raise ValueError("half done")
        return None

    tasks = list(net.plan)
    old = tasks[position]
    tasks[position] = Task(old.name, old.lane, old.after, fail, old.past, by_hand=by_hand)
    return make_plan(tasks)


@pytest.mark.parametrize("seed", range(5))
def test_an_error_stops_everything_and_stays_until_it_is_cleared(seed: int) -> None:
    device = FakeDevice(seed)
    net = ToyNet(device, chain(0, 1, 2))
    plan = failing_at(net, 2, 1)
    lanes = CudaLanes(device=device)
    frames = [ToyFrame(net, t, x) for t, x in enumerate(inputs(5))]
    first, _ = (lanes.submit(plan, frame) for frame in frames[:2])
    with pytest.raises(ValueError, match="from the task") as caught:
        lanes.submit(plan, frames[2])
    assert caught.value.__notes__ == ["in 'task 1' of frame 2"]
    first.wait()  # frames before it are as good as ever
    for again in (lambda: lanes.submit(plan, frames[3]), lanes.join, lanes.join):
        with pytest.raises(ValueError, match="from the task"):
            again()
    assert sorted(net.log) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]
    lanes.clear()
    lanes.submit(plan, frames[4]).wait()
    lanes.join()
    assert (4, 2) in net.log
    assert caught.value.__notes__ == ["in 'task 1' of frame 2"]


def test_a_failure_of_the_device_comes_out_when_it_is_waited_for() -> None:
    device = FakeDevice(1)
    lanes = CudaLanes(device=device)
    plan = make_plan([Task("crash", 0, (), lambda f: device.kernel(lambda: 1 // 0))])
    with pytest.raises(DeviceError) as caught:
        lanes.submit(plan, "frame 0").wait()
        raise AssertionError("the device has not failed")
    if getattr(caught.value, "__notes__", None):
        assert "'crash' of frame 0" in caught.value.__notes__[0]
    for again in (partial(lanes.submit, plan, "x"), lanes.join):
        with pytest.raises(DeviceError):
            again()
    lanes.close()
    lanes.close()
    with pytest.raises(ConfigError, match="closed; make a new one"):
        lanes.submit(plan, "x")


def test_a_late_failure_names_the_task_waited_for() -> None:
    device = FakeDevice(1)
    lanes = CudaLanes(device=device)
    for made in device.streams:
        made.speed = 0.0
    plan = make_plan([Task("crash", 0, (), lambda f: device.kernel(lambda: 1 // 0))])
    device.random.choice = lambda options: options[0]  # no work until somebody waits
    pending = lanes.submit(plan, "frame 0")
    with pytest.raises(DeviceError) as caught:
        pending.wait(0)
    assert "while waiting for 'crash' of frame 0" in caught.value.__notes__[0]
    assert pending.done()
    with pytest.raises(DeviceError):
        pending.wait()


def test_close_lets_what_was_enqueued_end() -> None:
    device = FakeDevice(2)
    net = ToyNet(device, chain(0, 1))
    lanes = CudaLanes(device=device)
    pending = [lanes.submit(net.plan, ToyFrame(net, t, x)) for t, x in enumerate(inputs(3))]
    lanes.close()
    lanes.close()
    assert len(net.log) == 6
    for item in pending:
        item.wait()
        assert item.done()


@pytest.mark.parametrize("depth", [0, -1, 1.5])
def test_a_depth_that_makes_no_sense_is_refused(depth: float) -> None:
    with pytest.raises(ConfigError, match="depth"):
        CudaLanes(depth=depth, device=FakeDevice())  # type: ignore[arg-type]


# -- trace -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_a_trace_has_the_devices_own_times(seed: int) -> None:
    device, trace = FakeDevice(seed), Trace()
    net = ToyNet(device, chain(0, 1, 0))
    lanes = CudaLanes(trace=trace, device=device)
    run_toy(lanes, net, 6)
    assert sorted((e.frame, e.name) for e in trace.events) == [
        (t, f"task {p}") for t in range(6) for p in range(3)
    ]
    assert {(e.lane, e.worker) for e in trace.events} == {(0, "fake lane 0"), (1, "fake lane 1")}
    at = {(e.frame, e.name): e for e in trace.events}
    for t in range(6):
        for p in range(3):
            assert at[t, f"task {p}"].end > at[t, f"task {p}"].start
            if p:
                assert at[t, f"task {p}"].start >= at[t, f"task {p - 1}"].end
    assert max(e.end for e in trace.events) - trace.events[0].start <= device.ticks * 1e-6
    one_lane = sorted((e.start, e.end) for e in trace.events if e.lane == 0)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(one_lane))


# -- without a card ----------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA card")
def test_without_a_card_it_says_what_to_use_instead() -> None:
    with pytest.raises(
        ConfigError, match="sees no CUDA card; use the scheduler Threads, or Serial"
    ):
        CudaLanes()
