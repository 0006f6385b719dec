"""Blocks on a device that works late and in the worst legal order: the bits of step after step."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import streamhebb as sh
from streamhebb import learning
from streamhebb.blocks import Block
from streamhebb.frames import Mode
from streamhebb.races import UNCHECKED
from streamhebb.schedule import (
    CudaGraphs,
    CudaLanes,
    Plan,
    Replay,
    Serial,
    Shuffled,
    Task,
    Threads,
    Trace,
)
from tests.schedule.fake_device import DeviceError, FakeDevice
from tests.schedule.random_nets import differences, learned


def make_net() -> sh.StreamNet:
    return sh.StreamNet(
        sh.RunningNorm(1),
        sh.Conv2d(1, 4, 3, rate=0.05, scaling=sh.NeuronRMS()),
        sh.Triangle(0.7),
        sh.Conv2d(4, 5, 3, rule=sh.Oja(), scaling=sh.NeuronMax(), rate=0.02),
        sh.ReLU(),
        sh.Flatten(),
        sh.Dense(20, 6, scaling=sh.LayerMax()),
        readout=sh.SoftmaxReadout(6, classes=3),
        input_shape=(1, 6, 6),
        seed=0,
    )


def carrying() -> sh.StreamNet:
    """State that is there only once the first sample has come."""
    return sh.StreamNet(
        sh.ConstantCurrent(3),
        sh.Dense(5, 4, neuron=sh.LIF(), rule=sh.Oja(), carry=True, rate=0.01),
        sh.Spiking(carry=True),
        sh.Dense(4, 3, neuron=sh.LIF(), rule=sh.Oja(), rate=0.01),
        sh.SpikeRate(),
        input_shape=(5,),
        seed=0,
    )


class LateBlock(Block):
    """A block whose copies the simulated device makes when it likes."""

    __slots__ = ("device",)

    def __init__(self, device: FakeDevice, x: Tensor, layers: int) -> None:
        super().__init__(x, layers)
        self.device = device

    def twin(self) -> LateBlock:
        made = super().twin()
        twin = LateBlock(self.device, made.x, made.layers)
        twin.settings, twin.checked = made.settings, made.checked
        return twin

    def load(self, block: Block) -> None:
        self.device.kernel(partial(super().load, block))

    def hand_over(self, block: Block) -> None:
        self.device.kernel(partial(super().hand_over, block))


def late(device: FakeDevice, plan: Plan) -> Plan:
    """Tasks of torch on the CPU, run as if they were device work."""

    def run(task: Task, block: Block) -> None:
        device.kernel(partial(task.run, block))

    return tuple(dataclasses.replace(task, run=partial(run, task)) for task in plan)


def on_device(
    monkeypatch: pytest.MonkeyPatch, net: sh.StreamNet, device: FakeDevice, scheduler: Any
) -> None:
    """Let a net's blocks be learned from on a simulated device."""
    block, known = net.planner.block, {}

    def planned(count: int, fine: bool) -> Plan:
        found = block(count, fine)
        if id(found) not in known:
            known[id(found)] = found, late(device, found)
        return known[id(found)][1]

    monkeypatch.setattr(learning, "Block", partial(LateBlock, device))
    net.planner.block = planned  # type: ignore[method-assign]
    net.scheduler = scheduler


def set_of(count: int, *shape: int) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


SCHEDULERS = {
    "lanes": lambda device, seed: CudaLanes(depth=1 + seed % 3, device=device),
    "tasks": lambda device, seed: CudaGraphs(
        slots=1 + seed % 3, warm_up=1 + seed % 2, device=device
    ),
    "wavefront": lambda device, seed: CudaGraphs(
        per="wavefront", slots=1, warm_up=1 + seed % 2, device=device
    ),
    "wide wavefront": lambda device, seed: CudaGraphs(
        per="wavefront", slots=2, warm_up=1, device=device
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("batch", [1, 2])
def test_any_interleaving_gives_the_bits_of_steps(
    name: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    xs = set_of(43, 1, 6, 6)
    right = make_net()
    for x in xs.split(batch):
        right.step(x)
    for seed in range(8):
        net, device = make_net(), FakeDevice(seed)
        scheduler = SCHEDULERS[name](device, seed)
        on_device(monkeypatch, net, device, scheduler)
        assert net.learn(xs[:20], batch_size=batch, block=3) == 20
        assert net.learn(xs[20:], batch_size=batch, block=3) == 23
        assert differences(learned(net), learned(right)) == [], seed
        assert net.counts == right.counts
        if name != "lanes":
            assert scheduler.counts["played"] > 0
            assert device.played > 0
        scheduler.close()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_state_that_appears_with_the_first_sample_is_recorded_where_it_is(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    xs = set_of(24, 5)
    right = carrying()
    for turn in range(3):
        right.reset_state()
        for x in xs[turn:]:
            right.step(x)
    for seed in range(4):
        net, device = carrying(), FakeDevice(seed)
        on_device(monkeypatch, net, device, SCHEDULERS[name](device, seed))
        for turn in range(3):
            net.reset_state()
            net.learn(xs[turn:], block=2)
        assert differences(learned(net), learned(right)) == [], seed


def test_a_bad_sample_among_recorded_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    xs = set_of(60, 1, 6, 6)
    xs[37, 0, 2, 2] = float("nan")
    right = make_net()
    right.on_bad = "skip"
    for x in xs:
        right.step(x)
    for seed in range(6):
        net, device = make_net(), FakeDevice(seed)
        net.on_bad = "skip"
        scheduler = CudaGraphs(per="wavefront", slots=1, warm_up=1, device=device)
        on_device(monkeypatch, net, device, scheduler)
        assert net.learn(xs, block=4) == 59
        assert differences(learned(net), learned(right)) == [], seed


def test_a_block_is_one_graph_one_copy_in_and_one_handing_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, device = make_net(), FakeDevice(None)
    scheduler = CudaGraphs(per="wavefront", slots=1, warm_up=1, device=device)
    on_device(monkeypatch, net, device, scheduler)
    told: list[str] = []
    for name in ("load", "hand_over"):
        do = getattr(LateBlock, name)
        monkeypatch.setattr(
            LateBlock, name, lambda s, b, do=do, name=name: (told.append(name), do(s, b))
        )
    net.learn(set_of(80, 1, 6, 6), block=8)
    assert (device.recorded, device.played) == (1, 9)
    assert told == ["load", "hand_over"] * 9


def test_another_rate_or_backend_is_recorded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    net, device = make_net(), FakeDevice(None)
    scheduler = CudaGraphs(per="wavefront", slots=1, warm_up=1, device=device)
    on_device(monkeypatch, net, device, scheduler)
    right = make_net()
    xs = set_of(12, 1, 6, 6)
    for rate in (0.05, 0.01):
        net.layers[1].rate = right.layers[1].rate = rate
        net.learn(xs, block=4)
        for x in xs:
            right.step(x)
    assert scheduler.counts["recorded"] == 2
    assert differences(learned(net), learned(right)) == []
    before = net.planner.settings()
    with sh.kernels.use("numba"):
        assert net.planner.settings() != before
    assert net.planner.settings() == before


def test_without_the_waits_of_a_block_the_bits_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests would notice: edges between lanes are needed inside a block, too."""
    xs = set_of(20, 1, 6, 6)
    right = make_net()
    for x in xs:
        right.step(x)
    wrong = 0
    for seed in range(10):
        device = FakeDevice(seed, lambda waiting, origin: 0 < origin < waiting)
        net = make_net()
        on_device(monkeypatch, net, device, CudaLanes(device=device))
        try:
            net.learn(xs, block=5)
            wrong += bool(differences(learned(net), learned(right)))
        except (DeviceError, AttributeError):
            wrong += 1
    assert wrong > 0


# -- the plan ------------------------------------------------------------------------------------


def test_the_plan_is_the_steps_in_a_row_and_a_look() -> None:
    net = make_net()
    plan = net.planner.block(3)
    step = [task for task in net.planner.step(Mode.LEARN).plan if "readout" not in task.name]
    assert [task.name for task in plan] == [task.name for task in step] * 3 + ["look"]
    assert [task.lane for task in plan[: len(step)]] == [task.lane for task in step]
    assert all(not task.by_hand for task in plan)
    for place in range(3):
        for task, one in zip(plan[place * len(step) :], step, strict=False):
            assert task.after == tuple(place * len(step) + other for other in one.after)


def test_each_layer_that_learns_has_a_lane_of_its_own_where_lanes_cost_nothing() -> None:
    net = make_net()
    step, plan = net.planner.step(Mode.LEARN).plan, net.planner.block(2, fine=True)
    names = [
        *("respond 0:RunningNorm", "learn 0:RunningNorm", "respond 1:Conv2d", "learn 1:Conv2d"),
        *("respond 2:Triangle", "respond 3:Conv2d", "learn 3:Conv2d", "respond 4:ReLU+5:Flatten"),
        *("respond 6:Dense", "learn 6:Dense"),
    ]
    assert [task.name for task in plan] == [*names * 2, "look"]
    lanes = {task.name.partition(" ")[2]: task.lane for task in plan[: len(names)]}
    assert len(set(lanes.values())) == len(lanes) == 6
    assert not {task.lane for task in step} & set(lanes.values())
    assert plan[4].after == (2,)  # what follows a layer does not wait until it has learned


def test_frames_in_flight_end_before_lanes_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    device = FakeDevice(5)
    with make_net() as net:
        graphs = CudaGraphs(per="wavefront", slots=1, device=device)
        assert graphs.fine
        assert not any(getattr(each, "fine", False) for each in (Serial(), Shuffled(0), Threads(1)))
        net.scheduler = graphs
        joined: list[int] = []
        join = graphs.join
        monkeypatch.setattr(graphs, "join", lambda: (joined.append(1), join())[1])
        net.learn(set_of(1, 1, 6, 6)[:0])
        assert len(joined) == 2  # before, and after


def test_a_part_begins_when_one_before_it_has_ended_in_all_lanes() -> None:
    net = make_net()
    plan, each, ahead = net.planner.block(8), 6, len(net.planner.stages) + 2
    assert [plan[place * each].after for place in range(8)] == [
        *[()] * ahead,
        *[(place * each + 3, place * each + 5) for place in range(8 - ahead)],
    ]


def test_layers_overlap_within_a_block() -> None:
    """A lower lane goes on to the next part while the upper one still learns from this one."""
    trace = Trace()
    device = FakeDevice(3)
    net = make_net()
    order: list[tuple[int, str]] = []

    def noting(task: Task, number: int) -> Task:
        def run(block: Block) -> None:
            device.kernel(lambda: (order.append((number, task.name)), task.run(block)))

        return dataclasses.replace(task, run=run)

    each = len(net.planner.block(6)) // 6
    plan = tuple(noting(task, p // each) for p, task in enumerate(net.planner.block(6)))
    lanes = CudaLanes(device=device, trace=trace)
    with torch.no_grad():
        lanes.submit(plan, Block(set_of(6, 1, 6, 6)[:, None], len(net.layers)))
        lanes.join()
    numbers = [number for number, _ in order]
    assert numbers != sorted(numbers)
    for lane in {task.lane for task in plan}:
        mine = [
            number for number, name in order if name in {t.name for t in plan if t.lane == lane}
        ]
        assert mine == sorted(mine)


def test_a_recorded_run_of_blocks_comes_again() -> None:
    trace, xs = Trace(), set_of(20, 1, 6, 6)
    with make_net() as net:
        net.scheduler = Threads(2, trace=trace)
        net.learn(xs, block=6)
    again = make_net()
    again.scheduler = Replay(trace)
    again.learn(xs, block=6)
    assert differences(learned(again), learned(net)) == []


def test_a_twin_is_a_block_of_the_same_kind_that_nobody_checks() -> None:
    net = make_net()
    block = Block(set_of(6, 1, 6, 6).view(3, 2, 1, 6, 6), len(net.layers))
    block.settings, block.number = net.planner.settings, 7
    assert str(block) == "samples 7 to 12"
    assert len(block) == 6
    twin = block.twin()
    assert twin.key == block.key
    assert twin.x.data_ptr() != block.x.data_ptr()
    twin.load(block)
    assert torch.equal(twin.x, block.x)
    with torch.no_grad():
        for task in net.planner.block(3):
            task.run(twin)
    assert [part.born for part in twin.parts] == [UNCHECKED] * 3
    assert [part.number for part in twin.parts] == [7, 9, 11]
    twin.hand_over(block)
    assert bool(block.finite)
    assert block.parts == [None] * 3
    wider = Block(block.x.transpose(-1, -2), block.layers)
    wider.settings = block.settings
    assert wider.key != block.key


@pytest.mark.parametrize("scheduler", [Serial(), Shuffled(1, 2)], ids=str)
def test_what_is_kept_of_a_block_is_what_stages_hand_on_in_a_few_steps(scheduler: Any) -> None:
    net = make_net()
    ends = {0, *(span.stop for span in net.planner.stages)}
    block = Block(set_of(9, 1, 6, 6)[:, None], len(net.layers))
    most = 0

    def counting(task: Task) -> Task:
        def run(block: Block) -> object:
            nonlocal most
            answer = task.run(block)
            most = max(most, sum(part is not None for part in block.parts))
            return answer

        return dataclasses.replace(task, run=run)

    with torch.no_grad():
        scheduler.submit(tuple(map(counting, net.planner.block(9))), block).wait()
    left = block.parts[4:]
    assert block.parts[:4] == [None] * 4
    assert most == len(net.planner.stages) + 2
    for part in left:
        assert [n for n, out in enumerate(part.out) if out is not None] == sorted(ends)
        assert all(seen is None for seen in part.seen)
