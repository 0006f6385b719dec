from __future__ import annotations

import torch

from streamhebb import StreamNet
from streamhebb.benchmark.schedule.overhead import Nothing, empty_plan, of_nets, of_plans
from streamhebb.benchmark.schedule.untraced import SerialWithoutTrace, untraced
from streamhebb.schedule import QUIET, Serial, Task, make_plan


def test_empty_tasks_through_every_scheduler() -> None:
    found = of_plans(rounds=1, frames=20, depths=(2, 4))
    assert all(row.us > 0 and row.what == "plan" for row in found)
    keys = [(row.way, row.in_flight, row.traced) for row in found]
    assert keys[0] == ("bare loop", 1, False)
    lanes = [(f"Threads({n})", depth) for depth in (2, 4) for n in (1, 2)]
    for traced in (False, True):
        assert {key[:2] for key in keys[1:] if key[2] is traced} == {("Serial", 1), *lanes}
    assert len(keys) == len(set(keys)) == 11


def test_a_net_of_layers_that_do_nothing() -> None:
    found = of_nets(rounds=1, samples=5, layers=(1, 3))
    assert [row.way for row in found] == [
        "bare layers", "bare loop", "Serial", "Threads(1)", "Threads(2)",
    ]  # fmt: skip
    assert [row.in_flight for row in found] == [1, 1, 1, 5, 5]
    assert [row.added for row in found if row.way == "bare loop"] == [0.0]


def test_every_empty_layer_is_a_stage_of_two_tasks() -> None:
    net = StreamNet(Nothing(), Nothing())
    x = torch.rand(3)
    result = net.step(x, activity=True)
    assert all(torch.equal(out, x) for out in result.activity.values())
    assert len(net.planner.stages) == 2
    assert [task.lane for task in empty_plan(2)] == [0, 0, 1, 1]
    assert empty_plan(3)[4].after == (2,)


def test_the_loop_without_traces_is_that_of_serial() -> None:
    def run(scheduler) -> list[str]:
        done: list[str] = []

        def note(name, answer=None):
            return lambda frame: done.append(f"{name} {frame}") or answer

        plan = make_plan([
            Task("a", 0, (), note("a")),
            Task("b", 0, (0,), note("b", QUIET)),
            Task("c", 1, (1,), note("c")),
            Task("d", 1, (2,), note("d"), always=True),
        ])  # fmt: skip
        scheduler.submit(plan, 0)
        scheduler.submit(plan, 1)
        return done

    assert run(SerialWithoutTrace()) == run(Serial()) == ["a 0", "b 0", "d 0", "a 1", "b 1", "d 1"]


def test_tracing_off_is_measured() -> None:
    off = untraced(rounds=3, tasks=400)
    assert off.clock > 0
    assert abs(off.serial) < 1e6
