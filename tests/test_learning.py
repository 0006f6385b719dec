"""net.learn: the bits of step after step, whatever the block; nothing lost, nothing kept."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import streamhebb as sh
from streamhebb import learning
from streamhebb.benchmark.schedule.host import Idle
from streamhebb.errors import (
    ConfigError,
    DivergedError,
    DTypeError,
    InputError,
    NonFiniteError,
    RunawayWarning,
    ShapeError,
)
from streamhebb.feeding import Feed
from streamhebb.schedule import CudaGraphs, CudaLanes, Serial, Shuffled, Threads
from tests.schedule.fake_device import FakeDevice
from tests.schedule.random_nets import differences, draw_net, learned


def conv() -> sh.StreamNet:
    return sh.StreamNet(
        sh.BatchNorm(2),
        sh.Conv2d(2, 6, 3, rate=sh.NormRate(0.05), scaling=sh.LayerMax()),
        sh.Triangle(0.7),
        sh.MaxPool2d(2),
        sh.BatchNorm(6),
        sh.Conv2d(6, 5, 3, rule=sh.Oja(), rate=0.01),
        sh.ReLU(),
        sh.Flatten(),
        readout=sh.SoftmaxReadout(classes=2),
        input_shape=(2, 10, 10),
        seed=1,
    )


def dense() -> sh.StreamNet:
    return sh.StreamNet(
        sh.RunningNorm(6),
        sh.Dense(6, 9, scaling=sh.NeuronRMS(), bias=sh.PriorBias()),
        sh.ReLU(),
        sh.RunningNorm(9),
        sh.Dense(9, 5, rule=sh.BCM(), rate=0.002),
        seed=2,
    )


def carrying() -> sh.StreamNet:
    """Membranes that go on from sample to sample, in front of weights and behind them."""
    return sh.StreamNet(
        sh.ConstantCurrent(4),
        sh.Spiking(carry=True),
        sh.Dense(6, 5, neuron=sh.LIF(), rule=sh.Oja(), carry=True, rate=0.01),
        sh.SpikeRate(),
        input_shape=(6,),
        seed=3,
    )


def fading() -> sh.StreamNet:
    """A rate that counts updates."""
    return sh.StreamNet(sh.Dense(6, 7, rate=sh.LinearDecay(0.1, 30)), sh.Dense(7, 3), seed=4)


NETS: dict[str, tuple[Callable[[], sh.StreamNet], tuple[int, ...]]] = {
    "conv": (conv, (2, 10, 10)),
    "dense": (dense, (6,)),
    "carrying": (carrying, (6,)),
    "fading": (fading, (6,)),
}
SCHEDULERS: dict[str, Callable[[], Any]] = {
    "Serial": Serial,
    "Threads(2)": lambda: Threads(2),
    "Shuffled": lambda: Shuffled(seed=5, flight=2),
}


def set_of(count: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


def by_steps(net: sh.StreamNet, xs: Tensor, batch: int) -> sh.StreamNet:
    for x in xs.split(batch):
        net.step(x)
    return net


def assert_same(found: sh.StreamNet, right: sh.StreamNet) -> None:
    assert differences(learned(found), learned(right)) == []


# -- the same bits -------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("name", NETS)
def test_the_bits_are_those_of_steps(name: str, scheduler: str) -> None:
    make, shape = NETS[name]
    for count, batch, block in ((24, 4, 3), (26, 2, 32), (21, 3, 4), (6, 2, 1)):
        xs = set_of(count, *shape)
        right = by_steps(make(), xs, batch)
        with make() as net:
            net.scheduler = SCHEDULERS[scheduler]()
            assert net.learn(xs, batch_size=batch, block=block) == count
            assert_same(net, right)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("name", ["conv", "dense", "fading"])
def test_the_last_step_may_be_smaller(name: str, scheduler: str) -> None:
    make, shape = NETS[name]
    xs = set_of(29, *shape)
    right = by_steps(make(), xs, 3)
    with make() as net:
        net.scheduler = SCHEDULERS[scheduler]()
        assert net.learn(xs, batch_size=3, block=4) == 29
        assert_same(net, right)


@given(
    st.integers(0, 10_000),
    st.sampled_from(sorted(SCHEDULERS)),
    st.integers(0, 13),
    st.integers(1, 4),
    st.integers(1, 6),
    st.lists(st.integers(0, 12), max_size=2),
    st.booleans(),
)
def test_any_net_any_block_any_order(
    seed: int, scheduler: str, count: int, batch: int, block: int, bad: list[int], checked: bool
) -> None:
    make = draw_net(seed)
    right, net = make(), make()
    if (
        any(isinstance(layer, sh.BatchNorm) for layer in right.layers)
        and len(right.input_shape) < 3
    ):
        batch = max(batch, 2)
    xs = set_of(count, *right.input_shape, seed=seed)
    for row in bad:
        xs[row:][:1] = float("nan")
    net.check_races = checked
    net.planner = net._make_planner()
    with net:
        net.scheduler = SCHEDULERS[scheduler]()
        told = []
        for work in (
            lambda: net.learn(xs, batch_size=batch, block=block),
            lambda: by_steps(right, xs, batch) if count else None,
        ):
            try:
                work()
                told.append("")
            except DivergedError as error:  # some nets do
                told.append(str(error).partition(" is no")[0])
        assert told[0] == told[1]
        if not told[0]:
            assert_same(net, right)


def test_it_goes_on_from_call_to_call_and_from_steps() -> None:
    xs = set_of(40, 6)
    right = by_steps(dense(), xs, 1)
    net = dense()
    net.learn(xs[:9], block=4)
    by_steps(net, xs[9:12], 1)
    for _ in net.run(xs[12:20]):
        pass
    net.learn(xs[20:], block=4)
    assert_same(net, right)


def test_lanes_that_lagged_before_do_not_lag_here() -> None:
    """Once learning has had lanes of its own, plans of blocks wait for both."""
    xs = set_of(30, 6)
    for seed in range(5):
        net, right = dense(), dense()
        net.scheduler = Shuffled(seed=seed, flight=3)
        net.learn(xs, block=4)
        by_steps(right, xs, 1)
        assert all(task.past is None for task in net.planner.block(4))
        for each in (net, right):
            for _ in each.run(xs[:1], order=sh.Stale(2)):
                pass
        net.learn(xs[1:], block=4)
        net.learn(xs, block=3)
        assert_same(net, by_steps(right, torch.cat([xs[1:], xs]), 1))
        assert all(len(task.waits_for) == 2 for task in net.planner.block(4)[:-1:2])


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_arrays_and_other_precisions(kind: Any) -> None:
    xs = set_of(11, 6).numpy().astype(kind)
    net = dense()
    net.learn(xs, block=4)
    assert_same(net, by_steps(dense(), torch.from_numpy(xs), 1))


def test_a_view_of_any_strides() -> None:
    xs = set_of(6, 20).T[::2]
    net = dense()
    net.learn(xs, batch_size=3, block=2)
    assert_same(net, by_steps(dense(), xs, 3))


def test_a_readout_is_not_asked() -> None:
    calls: list[str] = []

    class Spy(sh.SoftmaxReadout):
        def observe(self, x: Tensor) -> Any:
            calls.append("observe")
            return super().observe(x)

    net = sh.StreamNet(sh.Dense(4, 8), readout=Spy(8))
    net.learn(set_of(5, 4))
    assert calls == []
    assert net.labels == ()


def test_a_set_of_nothing() -> None:
    net = dense()
    assert net.learn(torch.empty(0, 6)) == 0
    assert net.input_shape is None
    assert net.counts["samples"] == 0
    assert conv().learn(torch.empty(0, 2, 10, 10), batch_size=3) == 0


def test_the_first_set_fixes_the_shape() -> None:
    net = dense()
    net.learn(set_of(3, 6))
    assert net.input_shape == (6,)


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("xs", "error", "words"),
    [
        (torch.rand(6), ShapeError, "as x\\[None\\]"),
        (torch.rand(4, 5), ShapeError, "5"),
        (torch.rand(2, 3, 6), ShapeError, "set of samples"),
        (torch.ones(3, 6, dtype=torch.int64), DTypeError, "floating point"),
        (np.ones((3, 6), dtype=np.uint8), DTypeError, "255"),
        (torch.rand(()), ShapeError, "set of samples"),
        ("text", InputError, "str"),
        (torch.rand(3, 6, device="meta"), InputError, "meta"),
    ],
)
def test_sets_that_are_no_sets_are_refused(xs: Any, error: Any, words: str) -> None:
    for net in (dense(), by_steps(dense(), set_of(1, 6), 1)):
        before = learned(net)
        with pytest.raises(error, match=words):
            net.learn(xs)
        assert differences(learned(net), before) == []


@pytest.mark.parametrize("given", [{"batch_size": 0}, {"block": 0}, {"block": 1.5}])
def test_numbers_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        dense().learn(set_of(3, 6), **given)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_what_is_not_finite_is_skipped_and_counted(scheduler: str) -> None:
    xs = set_of(40, 6)
    xs[13, 2], xs[14, 1], xs[39, 0] = float("nan"), float("inf"), float("-inf")
    for batch, block in ((1, 8), (3, 4), (1, 1)):
        right, net = dense(), dense()
        right.on_bad = net.on_bad = "skip"
        with net:
            net.scheduler = SCHEDULERS[scheduler]()
            got = net.learn(xs, batch_size=batch, block=block)
            assert_same(net, by_steps(right, xs, batch))
        assert got == net.counts["learned"] < 40 == net.counts["samples"]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_what_is_not_finite_raises_once_all_before_it_is_learned(scheduler: str) -> None:
    xs = set_of(40, 6)
    xs[29, 2] = float("nan")
    for batch, first in ((1, 29), (3, 27)):
        right, net = dense(), dense()
        with pytest.raises(NonFiniteError) as wanted:
            by_steps(right, xs, batch)
        with net:
            net.scheduler = SCHEDULERS[scheduler]()
            with pytest.raises(NonFiniteError, match=f"sample {first} ") as found:
                net.learn(xs, batch_size=batch, block=4)
            assert str(found.value) == str(wanted.value)
            assert_same(net, right)
            net.learn(xs[30:])  # it goes on
        assert_same(net, by_steps(right, xs[30:], 1))


# -- what goes wrong -----------------------------------------------------------------------------


class Fails(sh.Layer):
    """Counts what it learns; raises at chosen samples, which hold their number."""

    learns = True
    plastic = True
    sample_ndim = 1

    def __init__(self, at: set[int], where: str) -> None:
        super().__init__()
        self.at, self.where = at, where
        self.register_buffer("sums", torch.zeros(3))

    def respond(self, x: Tensor) -> Tensor:
        self._meet(x, "respond")
        return x

    def observe(self, x: Tensor) -> tuple[Tensor, Any]:
        return self.respond(x), x

    def learn(self, seen: Tensor, modulator: Any = 1.0) -> None:
        self._meet(seen, "learn")
        self.sums.mul_(0.5).add_(seen.sum(0))

    def _meet(self, x: Tensor, where: str) -> None:
        found = self.at & {int(number) for number in x[:, 0]}
        if found and where == self.where:
            raise ValueError(f"{where} of {min(found)}")


def failing(at: list[set[int]], where: str) -> sh.StreamNet:
    return sh.StreamNet(*(Fails(numbers, where) for numbers in at), seed=None)


@pytest.mark.parametrize("where", ["respond", "learn"])
@pytest.mark.parametrize("scheduler", ["Serial", "Threads(2)", "Shuffled"])
@pytest.mark.parametrize(
    "at",
    [
        [set(), {13}, set()],
        [{13}, set(), set()],
        [set(), set(), {13}],
        [{15, 14}, set(), {13}],  # the lower lane may come to its error first
        [{27}, {22}, {13}],
        [{0}, set(), set()],
    ],
)
def test_a_layer_that_raises(at: list[set[int]], scheduler: str, where: str) -> None:
    xs = torch.arange(40.0)[:, None].expand(40, 3)
    first = min(set().union(*at))
    for turn in range(6):
        right = failing(at, where)
        with pytest.raises(ValueError, match="of") as wanted:
            by_steps(right, xs, 1)
        with failing(at, where) as net:
            net.scheduler = (
                Shuffled(turn, 2) if scheduler == "Shuffled" else SCHEDULERS[scheduler]()
            )
            with pytest.raises(ValueError, match="of") as found:
                net.learn(xs, block=5)
            assert str(found.value) == str(wanted.value) == f"{where} of {first}"
            assert any(f"of sample {first}" in note for note in found.value.__notes__)
            assert net.counts == right.counts
            assert net.counts["samples"] == first
            top = next(n for n, numbers in enumerate(at) if first in numbers)
            assert torch.equal(net.layers[top].sums, right.layers[top].sums)
            with_it = by_steps(failing([set()] * 3, where), xs[: first + 1], 1)
            for above in range(top + 1, 3):  # those below may know of a few more
                allowed = [right.layers[above].sums]
                if where == "learn" and scheduler != "Serial":  # it was there already
                    allowed.append(with_it.layers[above].sums)
                assert any(torch.equal(net.layers[above].sums, each) for each in allowed)
            for layer in net.layers:
                layer.at = set()
            assert net.learn(xs, block=5) == 40


@pytest.mark.parametrize(
    "make",
    [
        Serial,
        lambda: Shuffled(1),
        lambda: CudaLanes(device=Idle()),
        lambda: CudaGraphs(device=Idle()),
        lambda: CudaGraphs(per="wavefront", slots=1, device=Idle()),
    ],
    ids=["serial", "shuffled", "lanes", "tasks", "wavefront"],
)
def test_an_interrupted_step_does_not_count(make: Any) -> None:
    net = failing([set(), set()], "learn")
    net.scheduler = make()
    done: list[int] = []

    def interrupt(seen: Any, modulator: Any = 1.0) -> None:
        if int(seen[0, 0]) == 7 and not done:
            done.append(1)
            raise KeyboardInterrupt
        Fails.learn(net.layers[1], seen)

    net.layers[1].learn = interrupt
    xs = torch.arange(12.0)[:, None].expand(12, 3)
    with pytest.raises(KeyboardInterrupt):
        net.learn(xs, block=5)
    assert net.counts["samples"] == net.counts["learned"] == 7
    assert net.step(xs[7]).sample == 7  # the scheduler has forgotten it


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_weights_that_diverge_are_told(scheduler: str) -> None:
    net = sh.StreamNet(
        sh.Dense(4, 5, rule=sh.Hebb(), rate=1e3, scaling=sh.NoScaling()), sh.Dense(5, 3)
    )
    with net:
        net.scheduler = SCHEDULERS[scheduler]()
        with pytest.raises(DivergedError, match="0:Dense is no longer finite"):
            net.learn(set_of(2000, 4), block=16)
    assert net.counts["learned"] < 200


def test_weights_that_run_away_are_told() -> None:
    net = sh.StreamNet(sh.Dense(4, 5, rate=0.01), seed=0)
    net.learn(set_of(990, 4))
    net.layers[0].weight.mul_(1e4)
    with pytest.warns(RunawayWarning, match="run away") as told:
        net.learn(set_of(20, 4))
    assert [w.filename for w in told] == [__file__]


def test_a_step_still_warns_where_it_was_called() -> None:
    net = sh.StreamNet(sh.Dense(4, 5, rate=0.01), seed=0)
    net.learn(set_of(999, 4))
    net.layers[0].weight.mul_(1e4)
    with pytest.warns(RunawayWarning, match="run away") as told:
        net.step(set_of(1, 4))
    assert [w.filename for w in told] == [__file__]


def test_silent_neurons_with_weights_that_are_not_finite_are_told() -> None:
    net = carrying()
    net.learn(set_of(990, 6), block=100)
    net.layers[2].weight.fill_(float("nan"))
    with pytest.raises(DivergedError):
        net.learn(set_of(20, 6))


# -- where each step must be seen by itself --------------------------------------------------------


def test_with_a_wake_it_is_a_loop() -> None:
    def make() -> sh.StreamNet:
        return sh.StreamNet(sh.Dense(6, 5), sh.ReLU(), sh.Dense(5, 4), wake=sh.OnChange(0.5))

    xs = set_of(30, 6)
    xs[10:20] = xs[9]
    net = make()
    assert net.learn(xs, batch_size=2) == 30
    right = by_steps(make(), xs, 2)
    assert_same(net, right)
    assert net.passed == right.passed
    assert sum(net.passed.values()) > 0


def test_peers_make_the_same_steps() -> None:
    class Alone:
        rank, size = 0, 1
        asked = 0

        def agree(self, parts: Any) -> None:
            self.asked += 1

        def share(self, x: Tensor) -> Tensor:
            return x

        def gather(self, x: Tensor, rows: int) -> Tensor:
            return x

        def add_up(self, *values: Tensor) -> None:
            pass

    net = fading()
    net.peers = net.planner.peers = peers = Alone()
    net.learn(set_of(7, 6), batch_size=2)
    assert peers.asked == 4


def test_watchers_see_every_step() -> None:
    seen: list[int] = []
    net = dense()
    net.layers[1].watchers = (lambda what, post: seen.append(len(post)),)
    net.learn(set_of(7, 6), batch_size=2)
    assert seen == [2, 2, 2, 1]


def test_a_rate_that_counts_updates_cannot_be_recorded_and_nothing_is_counted() -> None:
    net = fading()
    net.scheduler = CudaGraphs(per="wavefront", slots=1, device=FakeDevice(0))
    with pytest.raises(ConfigError, match="counts updates"):
        net.learn(set_of(7, 6))
    assert net.counts == {"samples": 0, "learned": 0, "non-finite": 0}


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["Serial", "Threads(2)"])
def test_a_block_lets_go_of_what_has_been_learned_from(scheduler: str) -> None:
    alive: weakref.WeakSet[Tensor] = weakref.WeakSet()
    most = 0

    class Grows(sh.Layer):
        learns = plastic = True
        sample_ndim = 1

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.zeros(()))

        def respond(self, x: Tensor) -> Tensor:
            out = x + 1
            alive.add(out)
            return out

        def observe(self, x: Tensor) -> tuple[Tensor, Any]:
            kept = x * 2
            alive.add(kept)
            return self.respond(x), kept

        def learn(self, seen: Any, modulator: Any = 1.0) -> None:
            nonlocal most
            most = max(most, len(alive))

    net = sh.StreamNet(Grows(), sh.ReLU(), Grows(), sh.ReLU())
    with net:
        net.scheduler = SCHEDULERS[scheduler]()
        net.learn(set_of(192, 4), block=64)
    gc.collect()
    assert len(alive) == 0
    steps = 2 * 4  # as many as there are stages, and two; and as many of the next block
    assert most < 3 * steps


def test_plans_of_blocks_are_made_once() -> None:
    net = dense()
    assert net.planner.block(4) is net.planner.block(4)
    assert len(net.planner.block(4)) == 4 * 4 + 1


def test_samples_from_the_host_come_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """As to a card: through pinned memory that is used again."""
    sent: list[tuple[int, ...]] = []
    begin = learning._Blocks.__init__

    class Noting(Feed):
        def send(self, x: Tensor) -> Tensor:
            sent.append(tuple(x.shape))
            return super().send(x)

    def with_feed(self: Any, net: Any, home: torch.device) -> None:
        begin(self, net, home)
        self.feed = Noting(self.depth, self.dtype, FakeDevice(None))

    monkeypatch.setattr(learning._Blocks, "__init__", with_feed)
    xs = set_of(23, 6)
    net = dense()
    net.learn(xs.double(), batch_size=2, block=4)
    assert_same(net, by_steps(dense(), xs, 2))
    assert sent == [(4, 2, 6), (4, 2, 6), (3, 2, 6), (1, 1, 6)]
