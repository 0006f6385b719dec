"""On a real card: the same bits from every scheduler. Skipped where there is none."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from streamhebb.schedule import CudaGraphs, CudaLanes, Plan, Serial, Task, make_plan
from streamhebb.schedule.device import CudaDevice, mark
from streamhebb.schedule.ring import InputRing
from streamhebb.schedule.trace import Trace

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")

SIZES = (64, 96, 128, 32)
COUNT = 24


class Net:
    """Three layers that learn, written out in torch, and a look at the host after each frame."""

    def __init__(self) -> None:
        chance = torch.Generator().manual_seed(0)
        pairs = itertools.pairwise(SIZES)
        self.weights = [torch.randn(m, n, generator=chance).cuda() / n**0.5 for n, m in pairs]
        self.looked: list[float] = []
        tasks = []
        for lane in range(len(self.weights)):
            before = (2 * lane - 2,) if lane else ()
            tasks.append(Task(f"respond {lane}", lane, before, self._respond(lane)))
            tasks.append(Task(f"learn {lane}", lane, (2 * lane,), self._learn(lane)))
        last = len(tasks) - 2
        tasks.append(Task("look", len(self.weights), (last,), self._look, by_hand=True))
        self.plan: Plan = make_plan(tasks)

    def _respond(self, lane: int) -> Any:
        def run(frame: CardFrame) -> None:
            frame.out[lane + 1] = torch.relu(self.weights[lane] @ frame.out[lane])

        return run

    def _learn(self, lane: int) -> Any:
        def run(frame: CardFrame) -> None:
            pre, post = frame.out[lane], frame.out[lane + 1]
            change = torch.outer(post, pre) - (post * post)[:, None] * self.weights[lane]
            self.weights[lane].add_(change, alpha=0.01)

        return run

    def _look(self, frame: CardFrame) -> None:
        self.looked.append(float(frame.out[-1].sum()))


class CardFrame:
    def __init__(self, x: Tensor) -> None:
        self.out: list[Any] = [x] + [None] * (len(SIZES) - 1)

    @property
    def key(self) -> Any:
        return tuple(self.out[0].shape), self.out[0].dtype

    def twin(self) -> CardFrame:
        return CardFrame(torch.zeros_like(self.out[0]))

    def load(self, frame: CardFrame) -> None:
        self.out[0].copy_(frame.out[0])

    def hand_over(self, frame: CardFrame) -> None:
        frame.out[-1] = self.out[-1].clone()


def run(scheduler: Any) -> list[Tensor]:
    net = Net()
    chance = torch.Generator().manual_seed(1)
    with torch.no_grad():
        frames = [
            CardFrame(torch.rand(SIZES[0], generator=chance).cuda() / 4) for _ in range(COUNT)
        ]
        for frame in frames:
            scheduler.submit(net.plan, frame)
        scheduler.join()
        torch.cuda.synchronize()
    found = [w.cpu() for w in net.weights] + [f.out[-1].cpu() for f in frames]
    scheduler.close()
    return [*found, torch.tensor(net.looked)]


@pytest.fixture(scope="module")
def right() -> list[Tensor]:
    found = run(Serial())
    assert all(torch.isfinite(value).all() for value in found)
    fresh = Net().weights
    assert not any(torch.equal(a.cpu(), b) for a, b in zip(fresh, found, strict=False))
    return found


def assert_same(found: list[Tensor], right: list[Tensor]) -> None:
    assert [torch.equal(a, b) for a, b in zip(found, right, strict=True)] == [True] * len(right)


@pytest.mark.parametrize("depth", [1, 4, 16])
def test_lanes_give_the_bits_of_serial(depth: int, right: list[Tensor]) -> None:
    assert_same(run(CudaLanes(depth=depth)), right)


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_task_graphs_give_the_bits_of_serial(slots: int, right: list[Tensor]) -> None:
    graphs = CudaGraphs(slots=slots, depth=6)
    assert_same(run(graphs), right)
    assert graphs.counts["played"] == COUNT - graphs.warm_up


@pytest.mark.parametrize("slots", [1, 4, 8])
def test_wavefronts_give_the_bits_of_serial(slots: int, right: list[Tensor]) -> None:
    graphs = CudaGraphs(per="wavefront", slots=slots)
    assert_same(run(graphs), right)
    assert graphs.counts["played"] == (COUNT - graphs.warm_up) // slots * slots


def test_a_task_that_looks_cannot_be_recorded_and_is_named() -> None:
    graphs = CudaGraphs(warm_up=1)
    plan = make_plan([Task("peek", 0, (), lambda frame: float(frame.out[0].sum()))])
    graphs.submit(plan, CardFrame(torch.ones(4, device="cuda")))
    stream = torch.cuda.current_stream()
    with pytest.raises(RuntimeError) as caught:
        graphs.submit(plan, CardFrame(torch.ones(4, device="cuda")))
    assert "while recording 'peek'" in caught.value.__notes__[0]
    assert torch.cuda.current_stream() == stream
    graphs.clear()
    graphs.close()


def test_the_times_of_a_trace_are_in_order() -> None:
    trace = Trace()
    run(CudaLanes(trace=trace))
    assert len(trace.events) == COUNT * 7
    for lane in range(4):
        times = [time for e in trace.events if e.lane == lane for time in (e.start, e.end)]
        assert all(b > a - 2e-6 for a, b in itertools.pairwise(times))


def test_a_ring_brings_inputs_there_whole() -> None:
    device = CudaDevice()
    ring, lane = InputRing(2, device), device.stream()
    found, xs = [], [torch.full((1 << 16,), float(t)) for t in range(20)]
    for x in xs:
        there, ready = ring.put(x)
        device.wait(lane, ready)
        with device.on(lane):
            found.append(there.clone())
        ring.used_until(there, mark(device, lane))
    torch.cuda.synchronize()
    assert_same([value.cpu() for value in found], xs)


def test_importing_starts_no_cuda() -> None:
    code = "import streamhebb.schedule, torch; print(torch.cuda.is_initialized())"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "False"
