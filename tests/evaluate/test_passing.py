"""Phases without labels by the tasks of a stream: the same bits, whoever runs them."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
import torch
from torch import Tensor

import streamhebb as sh
from streamhebb.errors import RaceError
from streamhebb.evaluate import Phase, train_phases
from streamhebb.evaluate.passing import Passing
from streamhebb.schedule import Scheduler, Serial, Shuffled, Trace

X = torch.randn(60, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def made(**settings: Any) -> sh.StreamNet:
    parts: dict[str, Any] = {"scaling": sh.LayerMax(), "rate": sh.NormRate(0.05)}
    return sh.StreamNet(
        sh.BatchNorm(2), sh.Conv2d(2, 4, 3, padding=1, **parts), sh.Triangle(), sh.MaxPool2d(2),
        sh.BatchNorm(4), sh.Conv2d(4, 5, 2, **parts), sh.Triangle(),
        sh.BatchNorm(5), sh.Conv2d(5, 6, 2, **parts), sh.Flatten(),
        input_shape=(2, 6, 6), seed=3, **settings,
    )  # fmt: skip


def plainly(net: sh.StreamNet, phase: Phase) -> None:
    """The phase as a loop: all respond, then all learn, from the weights before."""
    layers: list[Any] = list(net.layers)
    blocks = (range(4), range(4, 7), range(7, 10))
    active = {i for n in phase.blocks for i in blocks[n]}
    chance = torch.Generator().manual_seed(phase.seed)
    with torch.no_grad():
        for _ in range(phase.epochs):
            order = torch.randperm(len(X), generator=chance)
            for part in order.split(phase.batch_size):
                x, seen = X[part], []
                for i, layer in enumerate(layers[: max(active) + 1]):
                    if i in active and layer.learns:
                        x, kept = layer.observe(x)
                        seen.append((layer, kept))
                    else:
                        x = layer.respond(x)
                for layer, kept in seen:
                    layer.learn(kept)


def same(one: sh.StreamNet, other: sh.StreamNet) -> bool:
    pairs = zip(one.named_buffers(), other.named_buffers(), strict=True)
    return all(torch.equal(a, b) for (_, a), (_, b) in pairs)


SCHEDULERS: dict[str, Any] = {
    "none": lambda: None,
    "serial": Serial,
    "threads": lambda: sh.Threads(2),
    "four threads": lambda: sh.Threads(4),
    "shuffled": lambda: Shuffled(seed=5),
}


@pytest.mark.parametrize("blocks", [(0, 1, 2), (0, 2), (1, 2), (1,)], ids=str)
@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_leaves_the_bits_of_a_plain_loop(name: str, blocks: Any) -> None:
    phase = Phase(blocks, epochs=2, batch_size=7, seed=4)
    wanted, net = made(), made(check_races=True)
    plainly(wanted, phase)
    scheduler: Scheduler | None = SCHEDULERS[name]()
    train_phases(net, phase, (X, None), scheduler=scheduler)
    assert same(net, wanted)
    assert not same(net, made())
    assert net.counts["learned"] == net.counts["samples"] == 120
    if scheduler is not None:
        train_phases(net, phase, (X, None), scheduler=scheduler)  # left open
        scheduler.close()


def test_layers_really_work_at_the_same_time() -> None:
    """The second stage waits, with the first mini-batch, until the first one has the second."""
    seen, came = [], threading.Event()

    class First(sh.Triangle):
        def respond(self, x: Tensor) -> Tensor:
            seen.append(len(x))
            if seen.count(20) == 2:
                came.set()
            return super().respond(x)

    class Second(sh.Triangle):
        def respond(self, x: Tensor) -> Tensor:
            assert len(x) < 20 or came.wait(timeout=30)
            return super().respond(x)

    net = made()
    net.layers[2].__class__, net.layers[6].__class__ = First, Second
    threads = sh.Threads(2, trace=Trace())
    train_phases(net, Phase((0, 1), batch_size=20), (X, None), scheduler=threads)
    assert sorted(threads.trace.busy()) == ["worker 0", "worker 1"]
    threads.close()


def test_labels_are_learned_one_mini_batch_after_the_other() -> None:
    y = [n % 3 for n in range(len(X))]
    nets = []
    for scheduler in (None, sh.Threads(2)):
        net = made(readout=sh.SoftmaxReadout(classes=3, lr=0.01))
        phases = [Phase((0, 1, 2), batch_size=7), Phase((3,), epochs=2), Phase((0, 3))]
        train_phases(net, phases, (X, y), scheduler=scheduler)
        nets.append(net)
        if scheduler is not None:
            scheduler.close()
    assert same(*nets)


@pytest.mark.parametrize("name", ["serial", "threads"])
def test_an_error_comes_out_and_what_was_learned_is_counted(name: str) -> None:
    class Failing(sh.BatchNorm):
        calls = 0

        def learn(self, seen: Any, modulator: Any = 1.0) -> None:
            Failing.calls += 1
            if Failing.calls == 5:
                raise ValueError("no more")
            super().learn(seen, modulator)

    Failing.calls = 0
    net, scheduler = made(), SCHEDULERS[name]()
    net.layers[7].__class__ = Failing
    with pytest.raises(ValueError, match="no more") as caught:
        train_phases(net, Phase((0, 1, 2), batch_size=6), (X, None), scheduler=scheduler)
    assert "'learn 7:BatchNorm" in caught.value.__notes__[0]
    assert "samples 24 to 29" in caught.value.__notes__[0]
    assert net.counts["learned"] == net.counts["samples"] == 24
    train_phases(net, Phase((0, 1, 2), batch_size=6), (X, None), scheduler=scheduler)
    assert net.counts["learned"] == 24 + 60
    scheduler.close()


def test_frozen_layers_are_still_whatever_they_are() -> None:
    """One in the middle that would go on from sample to sample; nothing of it does."""
    net = sh.StreamNet(
        sh.Dense(4, 3), sh.Delay(2), sh.Dense(3, 5), sh.Dense(5, 2), input_shape=(4,), seed=0
    )
    before = copy.deepcopy(dict(net.named_buffers()))
    passing = Passing(list(net.layers), net.names, {0, 3}, Serial())  # type: ignore[arg-type]
    for n in range(3):
        passing.push(torch.rand(4, 4), 4 * n)
    passing.drain()
    assert passing.learned == 12
    changed = {n.split(".")[1] for n, v in net.named_buffers() if not torch.equal(v, before[n])}
    assert changed == {"0", "3"}


def test_somebody_who_writes_meanwhile_is_noticed() -> None:
    net = made(check_races=True)

    class Rude(sh.Triangle):
        def respond(self, x: Tensor) -> Tensor:
            net.layers[1].weight.add_(1)
            return super().respond(x)

    net.layers[2].__class__ = Rude
    with pytest.raises(RaceError, match="1:Conv2d"):
        train_phases(net, Phase((0,), batch_size=20), (X, None))


# ---- the fastest kernels -----------------------------------------------------------------------


def test_tuning_chooses_for_those_that_learn_and_those_that_respond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from streamhebb.evaluate import work

    asked: list[tuple[str, int, int]] = []

    def choose(layers: Any, x: Tensor, learning: bool) -> None:
        for layer in layers:
            if getattr(layer, "method", None) and len(layer.synapse.methods) > 1:
                asked.append(("learn" if learning else "respond", layer.n_out, len(x)))
                layer.method = "winograd2"

    monkeypatch.setattr(work, "choose", choose)
    net = sh.StreamNet(
        sh.Conv2d(2, 4, 3, padding=1), sh.ReLU(), sh.Conv2d(4, 5, 3, padding=1), sh.ReLU(),
        sh.Conv2d(5, 3, 3), input_shape=(2, 6, 6),
    )  # fmt: skip
    train_phases(net, Phase((1,), batch_size=9), (X, None))
    assert not asked
    assert set(net.kernels().values()) == {"direct"}
    train_phases(net, Phase((1,), batch_size=9), (X, None), tune=True)
    assert asked == [("respond", 4, 9), ("learn", 5, 9)]
    assert list(net.kernels().values()) == ["winograd2", "winograd2", "direct"]


def test_tuned_phases_differ_by_rounding_only() -> None:
    one, other = made(), made()
    phase = Phase((0, 1, 2), batch_size=20)
    train_phases(one, phase, (X, None))
    train_phases(other, phase, (X, None), tune=True)
    assert int(other.layers[1].updates) == 3, "copies were measured"
    for (name, a), b in zip(one.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3, msg=name)
