"""The scheduler that is always late, and never later than it may."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamhebb import Dense, SoftmaxReadout, StreamNet
from streamhebb.benchmark.schedule.late import Late
from streamhebb.errors import ConfigError
from streamhebb.layers import Layer
from streamhebb.order import Hogwild, InOrder, Order, Stale
from streamhebb.schedule import Task, Threads, make_plan


def make_net(layers: int = 3) -> StreamNet:
    dense = [Dense(4, 4, rate=0.01) for _ in range(layers)]
    return StreamNet(*dense, readout=SoftmaxReadout(4, classes=2), seed=0)


def pass_through(net: StreamNet, order: Order, depth: int, count: int = 20) -> dict[str, dict]:
    net.scheduler = Late()
    xs = torch.rand(count, 4, generator=torch.Generator().manual_seed(1))
    run = net.run([(x, n % 2) for n, x in enumerate(xs)], order=order, depth=depth)
    with run as results:
        assert [result.sample for result in results] == list(range(count))
    assert net.counts["learned"] == count
    return {name: dict(behind) for name, behind in run.report.staleness.items()}


@given(layers=st.integers(1, 3), k=st.integers(1, 6), more=st.integers(0, 3))
def test_every_stage_is_as_stale_as_it_may_be(layers: int, k: int, more: int) -> None:
    net = make_net(layers)
    found = pass_through(net, Stale(k), depth=k + 1 + more)
    # The first samples find fewer before them.
    for behind in found.values():
        assert behind == dict.fromkeys(range(k), 1) | {k: 20 - k}


@pytest.mark.parametrize("workers", [2, 4])
def test_hogwild_is_as_stale_as_it_may_be(workers: int) -> None:
    for behind in pass_through(make_net(), Hogwild(workers), depth=8).values():
        assert max(behind) == workers - 1
        assert behind[workers - 1] >= 17


def test_the_depth_bounds_it_too() -> None:
    found = pass_through(make_net(), Stale(50), depth=4)
    assert max(max(behind) for behind in found.values()) == 3


def test_in_order_nothing_is_held_back() -> None:
    late, serial = make_net(), make_net()
    assert pass_through(late, InOrder(), depth=5) == {}
    xs = torch.rand(20, 4, generator=torch.Generator().manual_seed(1))
    for n, x in enumerate(xs):
        serial.step(x, n % 2)
    mine, theirs = late.state_dict(), serial.state_dict()
    assert all(torch.equal(mine[n], theirs[n]) for n in mine if isinstance(mine[n], torch.Tensor))


def test_staleness_changes_weights_and_is_the_same_each_time() -> None:
    first, again, exact = make_net(), make_net(), make_net()
    pass_through(first, Stale(4), depth=6)
    pass_through(again, Stale(4), depth=6)
    pass_through(exact, InOrder(), depth=6)
    weights = [net.layers[0].weight for net in (first, again, exact)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


class Breaks(Layer):
    learns = plastic = True
    sample_ndim = 1
    left = 3

    def respond(self, x):
        return x

    def learn(self, seen, modulator=1.0):
        self.left -= 1
        if not self.left:
            raise ArithmeticError("broken")


def test_an_error_names_task_and_sample_and_can_be_cleared() -> None:
    net = StreamNet(Breaks(), scheduler=Late())
    with pytest.raises(ArithmeticError) as caught, net.run(torch.rand(9, 2), order=Stale(2)) as run:
        list(run)
    assert any("learn 0:Breaks" in note and "sample 2" in note for note in caught.value.__notes__)
    assert net.step(torch.rand(2)).learned


def test_closing_ends_it() -> None:
    late, frame = Late(), []
    plan = make_plan([
        Task("respond", 0, (), lambda f: f.append(1), past=((0, 0), (1, 1))),
        Task("learn", 1, (0,), lambda f: f.append(2), past=((1, 0),)),
    ])  # fmt: skip
    pending = late.submit(plan, frame)
    assert frame == [1]
    assert pending.done(0)
    assert not pending.done()
    late.close()
    late.close()
    assert frame == [1]
    with pytest.raises(ConfigError, match="nothing is left to run"):
        pending.wait()
    with pytest.raises(ConfigError, match="closed"):
        late.submit(plan, [])


def test_threads_are_never_later_than_the_latest() -> None:
    with make_net() as net:
        net.scheduler = Threads(2)
        run = net.run(torch.rand(50, 4), order=Stale(3))
        with run as results:
            assert len(list(results)) == 50
        assert max(max(behind) for behind in run.report.staleness.values()) <= 3
