"""On a device that works late and in the worst legal order. No card is needed, and none is used."""

from __future__ import annotations

import random
import weakref
from functools import partial
from typing import Any

import pytest
import torch

from streamhebb.errors import ConfigError
from streamhebb.frames import Frame, Mode
from streamhebb.schedule import CudaGraphs, Serial, Task, make_plan
from streamhebb.schedule.task import QUIET
from streamhebb.schedule.trace import Trace
from tests.schedule.fake_device import DeviceError, FakeDevice
from tests.schedule.test_cuda_lanes import (
    chain,
    failing_at,
    frames_of,
    half_done,
    make_net,
    odd,
    run_toy,
)
from tests.schedule.toys import ToyFrame, ToyNet, draw_plan_shape, inputs

FRAMES = 9
Lose = Any


def run_kinds(scheduler: Any, net: ToyNet, kinds: list[int]) -> list[list[int]]:
    """Frames of several kinds, waited for now and then."""
    pairs = zip(kinds, inputs(len(kinds)), strict=True)
    frames = [ToyFrame(net, t, x, kind) for t, (kind, x) in enumerate(pairs)]
    for t, frame in enumerate(frames):
        pending = scheduler.submit(net.plan, frame)
        if t % 5 == 3:
            pending.wait(0)
    scheduler.join()
    found = [state.tolist() for _, state in sorted(net.state.items())]
    return found + [frame.values.flatten().tolist() for frame in frames]


@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize("block", range(2))
def test_any_interleaving_of_task_graphs_gives_the_bits_of_serial(block: int, slots: int) -> None:
    for seed in range(25 * block, 25 * block + 25):
        chance = random.Random(seed)
        shape = draw_plan_shape(chance)
        right = run_toy(Serial(), ToyNet(None, shape, odd), FRAMES)
        device = FakeDevice(seed)
        graphs = CudaGraphs(
            slots=slots, depth=chance.randint(1, 6), warm_up=chance.randint(1, 2), device=device
        )
        assert run_toy(graphs, ToyNet(device, shape, odd), FRAMES) == right, seed
        assert graphs.counts["played"] == FRAMES - graphs.warm_up
        assert device.recorded == slots * sum(not item["by_hand"] for item in shape)
        graphs.close()


@pytest.mark.parametrize("slots", [1, 2, 3, 4])
@pytest.mark.parametrize("block", range(2))
def test_any_interleaving_of_wavefronts_gives_the_bits_of_serial(block: int, slots: int) -> None:
    for seed in range(25 * block, 25 * block + 25):
        chance = random.Random(seed)
        shape = draw_plan_shape(chance, tail=True)
        right = run_toy(Serial(), ToyNet(None, shape, odd), FRAMES)
        device = FakeDevice(seed)
        graphs = CudaGraphs(
            per="wavefront",
            slots=slots,
            depth=slots + chance.randint(0, 4),
            warm_up=1,
            device=device,
        )
        assert run_toy(graphs, ToyNet(device, shape, odd), FRAMES) == right, seed
        assert (device.recorded, device.played) == (1, (FRAMES - 1) // slots)
        assert graphs.counts["short"] == (FRAMES - 1) % slots
        graphs.close()


@pytest.mark.parametrize("per", ["task", "wavefront"])
def test_frames_come_after_what_the_caller_had_enqueued(per: Any) -> None:
    def last_word(scheduler: Any, device: FakeDevice | None) -> list[int]:
        net = ToyNet(device, chain(0, 1))
        for t, x in enumerate(inputs(5)):
            frame = ToyFrame(net, t)
            net.kernel(partial(frame.x.copy_, x))  # the input is made on the device, too
            scheduler.submit(net.plan, frame)
        scheduler.join()
        return net.state[1].tolist()

    right = last_word(Serial(), None)
    for seed in range(12):
        device = FakeDevice(seed)
        device.default.speed = 0.0
        assert last_word(CudaGraphs(per=per, warm_up=1, device=device), device) == right


@pytest.mark.parametrize("per", ["task", "wavefront"])
def test_kinds_of_frames_may_mix(per: Any) -> None:
    for seed in range(12):
        chance = random.Random(seed)
        shape = draw_plan_shape(chance, tail=True)
        kinds = [chance.choice([0, 0, 0, 1, 2]) for _ in range(25)]
        right = run_kinds(Serial(), ToyNet(None, shape, odd), kinds)
        device = FakeDevice(seed)
        graphs = CudaGraphs(per=per, warm_up=1, keys=2, device=device)
        assert run_kinds(graphs, ToyNet(device, shape, odd), kinds) == right, seed
        counts = graphs.counts
        assert counts["warm-up"] + counts["played"] + counts["short"] == 25
        assert len(graphs._entries) <= 2


def test_the_kind_not_used_for_longest_is_dropped_and_counted() -> None:
    device = FakeDevice(0)
    graphs = CudaGraphs(warm_up=1, keys=2, device=device)
    net = ToyNet(device, chain(0, 1))
    run_kinds(graphs, net, [1, 1, 2, 2, 1, 3, 3])  # 2 goes
    assert graphs.counts == {"warm-up": 3, "played": 4, "short": 0, "recorded": 3, "dropped": 1}
    run_kinds(graphs, net, [1, 3])
    assert (graphs.counts["played"], graphs.counts["dropped"]) == (6, 1)
    run_kinds(graphs, net, [2])
    assert (graphs.counts["warm-up"], graphs.counts["dropped"]) == (4, 2)


# -- these tests can fail ----------------------------------------------------------------------

OUT = 2  # streams of a CudaGraphs, in the order it makes them: 1 in, 2 out, then the lanes
IN = 1


def goes_wrong(shape: list[dict[str, Any]], lose: Lose, per: Any = "task", slots: int = 2) -> int:
    right = run_toy(Serial(), ToyNet(None, shape), FRAMES)
    wrong = 0
    for seed in range(12):
        device = FakeDevice(seed, lose)
        try:
            graphs = CudaGraphs(per=per, slots=slots, warm_up=1, depth=6, device=device)
            wrong += run_toy(graphs, ToyNet(device, shape), FRAMES) != right
        except DeviceError:
            wrong += 1
    return wrong


@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize(
    ("waiting", "origin"),
    [
        (IN, OUT),  # a slot is loaded again before its results were handed over
        (OUT, 4),  # results are handed over before the last lane has made them
        (3, IN),  # a task starts before its frame is loaded
        (4, 3),  # a lane does not wait for the lane before it
    ],
)
def test_without_one_kind_of_edge_the_bits_differ(waiting: int, origin: int, slots: int) -> None:
    lost = goes_wrong(chain(0, 1), lambda w, o: (w, o) == (waiting, origin), slots=slots)
    assert lost > 0
    assert goes_wrong(chain(0, 1), lambda w, o: False, slots=slots) == 0


@pytest.mark.parametrize(
    ("waiting", "origin"),
    [
        (4, 3),  # inside the recording
        (IN, 4),  # the recording is not joined, or starts before what came before it
        (3, IN),  # the lanes go on before the graph has ended
    ],
)
def test_without_one_kind_of_edge_a_wavefront_goes_wrong(waiting: int, origin: int) -> None:
    tail = [{"lane": 2, "after": (1,), "past": None, "by_hand": True}]
    lose = lambda w, o: (w, o) == (waiting, origin)  # noqa: E731
    assert goes_wrong(chain(0, 1) + tail, lose, "wavefront") > 0


# -- what is recorded, and what is not ---------------------------------------------------------


def test_recording_runs_nothing_and_first_frames_are_run_for_real() -> None:
    device = FakeDevice(None)
    net = ToyNet(device, chain(0, 1))
    graphs = CudaGraphs(warm_up=3, device=device)
    for t, x in enumerate(inputs(3)):
        graphs.submit(net.plan, ToyFrame(net, t, x)).wait()
    assert (device.played, device.recorded) == (0, 0)
    assert [entry[0] for entry in net.log] == [0, 0, 1, 1, 2, 2]
    graphs.submit(net.plan, ToyFrame(net, 3, inputs(4)[3])).wait()
    assert (device.played, device.recorded) == (2, 4)
    assert [entry[0] for entry in net.log[6:]] == [3, 3]


def test_tasks_by_hand_are_called_every_time_and_the_others_are_not() -> None:
    device, called = FakeDevice(4), []
    net = ToyNet(device, chain(0, 1))
    first, second = net.plan

    def count(task: Task, frame: Any) -> object:
        called.append(task.name)
        return task.run(frame)

    plan = make_plan(
        [
            Task(first.name, 0, (), partial(count, first)),
            Task(second.name, 1, (0,), partial(count, second), by_hand=True),
        ]
    )
    graphs = CudaGraphs(slots=2, warm_up=1, device=device)
    for t, x in enumerate(inputs(7)):
        graphs.submit(plan, ToyFrame(net, t, x))
    graphs.join()
    assert called.count("task 0") == 1 + 2  # for real, and once for each slot
    assert called.count("task 1") == 7
    assert len(net.log) == 14


@pytest.mark.parametrize("per", ["task", "wavefront"])
def test_a_recorded_task_that_is_always_quiet_wakes_nobody(per: Any) -> None:
    device, ran = FakeDevice(4), []
    net = ToyNet(device, chain(0, 0, 0))

    def say(word: str, answer: object = None) -> Any:
        def run(frame: Any) -> object:
            device.kernel(partial(ran.append, word))
            return answer

        return run

    plan = make_plan(
        [
            Task("a", 0, (), say("a", QUIET)),
            Task("b", 1, (0,), say("b")),
            Task("c", 2, (1,), say("c"), always=True),
        ]
    )
    graphs = CudaGraphs(per=per, warm_up=1, device=device)
    for t, x in enumerate(inputs(5)):
        graphs.submit(plan, ToyFrame(net, t, x))
    graphs.join()
    assert sorted(ran) == ["a"] * 5 + ["c"] * 5


def test_a_task_that_looks_cannot_be_recorded_and_is_named() -> None:
    device = FakeDevice(4)
    net = ToyNet(device, chain(0))
    plan = make_plan([Task("peek", 0, (), lambda frame: device.look())])
    graphs = CudaGraphs(warm_up=1, device=device)
    graphs.submit(plan, ToyFrame(net, 0))
    with pytest.raises(DeviceError, match="during a capture") as caught:
        graphs.submit(plan, ToyFrame(net, 1))
    assert "while recording 'peek' of frame 1" in caught.value.__notes__[0]
    assert "by_hand=True" in caught.value.__notes__[0]
    with pytest.raises(DeviceError, match="during a capture"):
        graphs.join()
    graphs.clear()
    graphs.submit(net.plan, ToyFrame(net, 2)).wait()
    assert (2, 0) in net.log


# -- wavefronts --------------------------------------------------------------------------------


def test_a_wavefront_is_put_aside_until_it_is_full_or_waited_for() -> None:
    device = FakeDevice(None)
    net = ToyNet(device, chain(0, 1))
    graphs = CudaGraphs(per="wavefront", slots=3, warm_up=1, device=device)
    pending = [graphs.submit(net.plan, ToyFrame(net, t, x)) for t, x in enumerate(inputs(6))]
    assert [p.done() for p in pending] == [True] * 4 + [False] * 2
    assert device.played == 1
    pending[4].wait(1)  # runs what was put aside, one by one
    assert [entry[0] for entry in net.log[-4:]] == [4, 4, 5, 5]
    assert all(p.done() for p in pending)
    assert graphs.counts["short"] == 2
    assert device.played == 1


def test_tasks_by_hand_in_the_middle_of_a_wavefront_are_refused() -> None:
    device = FakeDevice(0)
    middle = chain(0, 1, 2)
    middle[1]["by_hand"] = True
    same_lane = chain(0, 0)
    same_lane[1]["by_hand"] = True
    for shape, words in (
        (middle, "'task 2' would be recorded, and waits for 'task 1', which is by hand"),
        (same_lane, "'task 0' would be recorded, and waits for 'task 1'"),
    ):
        net = ToyNet(device, shape)
        graphs = CudaGraphs(per="wavefront", device=device)
        with pytest.raises(ConfigError, match=words) as caught:
            graphs.submit(net.plan, ToyFrame(net, 0))
        assert "per='task'" in str(caught.value)
        graphs.join()  # nothing has gone wrong
    run_toy(CudaGraphs(device=device), net)  # and per task it may be so


# -- errors, letting go ------------------------------------------------------------------------


def failing_by_hand(net: ToyNet, number: int, position: int) -> Any:
    plan = list(failing_at(net, number, position))
    old = plan[position]
    plan[position] = Task(old.name, old.lane, old.after, old.run, old.past, by_hand=True)
    return make_plan(plan)


def test_an_error_by_hand_stops_everything_until_it_is_cleared() -> None:
    device = FakeDevice(5)
    net = ToyNet(device, chain(0, 1, 2))
    plan = failing_by_hand(net, 4, 2)
    graphs = CudaGraphs(slots=2, warm_up=1, device=device)
    pending = [graphs.submit(plan, ToyFrame(net, t, x)) for t, x in enumerate(inputs(4))]
    with pytest.raises(ValueError, match="from the task") as caught:
        graphs.submit(plan, ToyFrame(net, 4))
    assert caught.value.__notes__ == ["in 'task 2' of frame 4"]
    pending[3].wait()
    for again in (graphs.join, partial(graphs.submit, plan, ToyFrame(net, 5))):
        with pytest.raises(ValueError, match="from the task"):
            again()
    graphs.clear()
    frames = [ToyFrame(net, t, x) for t, x in enumerate(inputs(9)) if t > 5]
    for frame in frames:
        graphs.submit(plan, frame)
    graphs.join()
    assert [t for t, p in net.log if p == 2] == [0, 1, 2, 3, 6, 7, 8]
    assert all(frame.values[2].any() for frame in frames)


@pytest.mark.parametrize("per", ["task", "wavefront"])
def test_a_frame_that_failed_lives_until_what_was_enqueued_of_it_has_ended(per: Any) -> None:
    for seed in range(20):
        device = FakeDevice(seed)
        net = ToyNet(device, chain(0, 1, 2))
        plan = half_done(net, 2, 2, by_hand=True)
        graphs = CudaGraphs(per=per, slots=2, warm_up=1, device=device)
        with pytest.raises(ValueError, match="half done"):
            for t, x in enumerate(inputs(3)):
                graphs.submit(plan, ToyFrame(net, t, x))
        graphs.clear()
        assert len(net.log) == 9  # all of it has ended, so the buffers may be used again
        frames = [ToyFrame(net, t, x) for t, x in enumerate(inputs(6)) if t > 2]
        for frame in frames:
            graphs.submit(plan, frame)
        graphs.join()
        assert len(net.log) == 18
        assert all(frame.values[2].any() for frame in frames)


def test_an_error_in_a_wavefront_is_that_of_its_frame_and_the_later_ones() -> None:
    device = FakeDevice(5)
    net = ToyNet(device, chain(0, 1, 2))
    plan = failing_by_hand(net, 2, 2)
    graphs = CudaGraphs(per="wavefront", slots=3, warm_up=1, device=device)
    pending = [graphs.submit(plan, ToyFrame(net, t, x)) for t, x in enumerate(inputs(3))]
    with pytest.raises(ValueError, match="from the task") as caught:
        graphs.submit(plan, ToyFrame(net, 3))
    assert caught.value.__notes__ == ["in 'task 2' of frame 2"]
    pending[1].wait()  # in the same wavefront, before the fault
    assert pending[2].done()
    with pytest.raises(ValueError, match="from the task"):
        pending[2].wait()
    with pytest.raises(ValueError, match="from the task"):
        graphs.join()
    graphs.clear()
    for t, x in enumerate(inputs(7)):
        if t > 3:
            graphs.submit(plan, ToyFrame(net, t, x))
    graphs.join()
    assert [t for t, p in net.log if p == 2] == [0, 1, 4, 5, 6]


def test_an_error_among_those_put_aside_spares_the_frames_before_it() -> None:
    device = FakeDevice(5)
    net = ToyNet(device, chain(0, 1))
    graphs = CudaGraphs(per="wavefront", slots=4, warm_up=1, device=device)
    plan = failing_at(net, 2, 1)
    pending = [graphs.submit(plan, ToyFrame(net, t, x)) for t, x in enumerate(inputs(4))]
    pending[1].wait()
    for late in pending[2:]:
        assert late.done()
        with pytest.raises(ValueError, match="from the task"):
            late.wait()
    assert (3, 0) not in net.log
    with pytest.raises(ValueError, match="from the task"):
        graphs.join()
    graphs.clear()
    graphs.join()


def test_closing_drops_what_was_put_aside() -> None:
    device = FakeDevice(5)
    net = ToyNet(device, chain(0, 1))
    graphs = CudaGraphs(per="wavefront", slots=4, warm_up=1, device=device)
    pending = [graphs.submit(net.plan, ToyFrame(net, t, x)) for t, x in enumerate(inputs(3))]
    graphs.close()
    graphs.close()
    assert sorted(net.log) == [(0, 0), (0, 1)]
    pending[0].wait()
    with pytest.raises(ConfigError, match="closed before this frame was started"):
        pending[2].wait()
    with pytest.raises(ConfigError, match="closed; make a new one"):
        graphs.submit(net.plan, ToyFrame(net, 3))


@pytest.mark.parametrize("per", ["task", "wavefront"])
def test_no_frame_is_kept_alive_after_join_and_no_twin_after_close(per: Any) -> None:
    device = FakeDevice(7)
    net = ToyNet(device, chain(0, 1, 0))
    graphs = CudaGraphs(per=per, warm_up=1, device=device)
    twins: list[Any] = []
    make = ToyFrame.twin

    class Watched(ToyFrame):
        def twin(self) -> ToyFrame:
            made = make(self)
            twins.append(weakref.ref(made))
            return made

    frames = [Watched(net, t, x) for t, x in enumerate(inputs(6))]
    for frame in frames:
        graphs.submit(net.plan, frame)
    watched = [weakref.ref(frame) for frame in frames]
    del frame
    frames.clear()
    graphs.join()
    assert [ref() for ref in watched] == [None] * 6
    assert len(twins) == 2
    for stream in device.streams:  # what is left of twins being made
        stream.queue.clear()
    graphs.close()
    assert [ref() for ref in twins] == [None] * 2


def test_the_depth_bounds_frames_in_flight() -> None:
    device = FakeDevice(3)
    net = ToyNet(device, chain(0, 1))
    graphs = CudaGraphs(slots=3, depth=2, warm_up=1, device=device)
    for t, x in enumerate(inputs(8)):
        graphs.submit(net.plan, ToyFrame(net, t, x))
        assert len(graphs._flights) <= 2
    graphs.join()
    assert len(graphs._flights) == 0


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"per": "layer"}, "per"),
        ({"slots": 0}, "slots"),
        ({"warm_up": 0}, "warm_up"),
        ({"keys": 0}, "keys"),
        ({"depth": 0}, "depth"),
        ({"per": "wavefront", "slots": 4, "depth": 3}, "depth"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        CudaGraphs(**given, device=FakeDevice())


def test_a_frame_that_cannot_be_recorded_is_refused() -> None:
    graphs = CudaGraphs(device=FakeDevice())
    with pytest.raises(ConfigError, match="a list cannot be recorded: it has no key"):
        graphs.submit((), [])


# -- trace -------------------------------------------------------------------------------------


@pytest.mark.parametrize("per", ["task", "wavefront"])
def test_a_trace_holds_tasks_or_whole_wavefronts(per: Any) -> None:
    device, trace = FakeDevice(2), Trace()
    shape = [*chain(0, 1), {"lane": 2, "after": (1,), "past": None, "by_hand": True}]
    net = ToyNet(device, shape)
    run_toy(CudaGraphs(per=per, warm_up=1, trace=trace, device=device), net, 5)
    found = sorted((e.frame, e.name) for e in trace.events)
    if per == "task":
        assert found == [(t, f"task {p}") for t in range(5) for p in range(3)]
    else:
        whole = [(t, f"task {p}") for t in (0,) for p in range(3)]
        by_hand = [(t, "task 2") for t in range(1, 5)]
        assert found == sorted([*whole, *by_hand, (1, "2 frames"), (3, "2 frames")])
    assert all(e.end >= e.start for e in trace.events)


# -- a real net --------------------------------------------------------------------------------


class NetFrame(Frame):
    """A frame of a net, whose copies the simulated device makes when it likes."""

    __slots__ = ("device",)

    def __init__(self, device: FakeDevice, frame: Frame) -> None:
        super().__init__(frame.out[0], len(frame.seen), frame.target, frame.modulator)
        self.device = device

    def twin(self) -> NetFrame:
        return NetFrame(self.device, super().twin())

    def load(self, frame: NetFrame) -> None:
        self.device.kernel(partial(super().load, frame))

    def hand_over(self, frame: NetFrame) -> None:
        self.device.kernel(partial(super().hand_over, frame))


@pytest.mark.parametrize("per", ["task", "wavefront"])
def test_a_net_learns_the_bits_of_serial_in_any_interleaving(per: Any) -> None:
    count = 9

    def run(device: Any, scheduler: Any) -> list[torch.Tensor]:
        net = make_net()
        plan = net.planner.step(Mode.LEARN).plan
        frames: list[Any] = frames_of(net, count)
        if device is not None:
            frames = [NetFrame(device, frame) for frame in frames]
            plan = make_plan([late(device, task) for task in plan])
        with torch.no_grad():
            for frame in frames:
                scheduler.submit(plan, frame)
            scheduler.join()
        return [value.clone() for value in net.buffers()] + [f.scores.clone() for f in frames]

    def late(device: FakeDevice, task: Task) -> Task:
        return Task(
            task.name,
            task.lane,
            task.after,
            lambda frame: device.kernel(partial(task.run, frame)),
            by_hand="readout" in task.name,
        )

    right = run(None, Serial())
    for seed in range(12):
        device = FakeDevice(seed)
        graphs = CudaGraphs(per=per, slots=1 + seed % 3, depth=4, warm_up=1, device=device)
        found = run(device, graphs)
        assert device.played > 0
        assert all(torch.equal(a, b) for a, b in zip(found, right, strict=True)), seed
