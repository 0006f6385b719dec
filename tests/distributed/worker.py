"""One of several processes that learn together; test_together.py starts them.

Usage: worker.py RANK SIZE STORE CHECK. Each process also learns alone, and compares.
"""

from __future__ import annotations

import os
import re
import sys
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

import pytest
import torch
import torch.distributed as dist

import streamhebb as sh
from streamhebb.distributed import join
from streamhebb.errors import ConfigError, NonFiniteError, PeerError
from streamhebb.evaluate import Phase, plan_phases, train_phases
from streamhebb.homeostasis import AdaptiveThreshold
from streamhebb.layers import ConstantCurrent, Sparse, SpikeRate
from streamhebb.readouts import SLDAReadout

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
X = torch.randn(24, 2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = ["abc"[i % 3] for i in range(len(X))]


def convolutions() -> sh.StreamNet:
    """The published kind, each scaling, a bias, groups."""
    return sh.StreamNet(
        sh.BatchNorm(2),
        sh.Conv2d(2, 6, 3, padding=1, scaling=sh.LayerMax(), rate=0.05, bias=sh.PriorBias()),
        sh.Triangle(), sh.MaxPool2d(2), sh.BatchNorm(6),
        sh.Conv2d(6, 4, 2, scaling=sh.NeuronRMS(), groups=2),
        sh.ReLU(), sh.Flatten(), sh.BatchNorm(16),
        sh.Dense(16, 5, scaling=sh.NoScaling(), rate=0.001),
        readout=sh.SoftmaxReadout(classes=["a", "b", "c"]), input_shape=(2, 6, 6), seed=1,
    )  # fmt: skip


def vectors() -> sh.StreamNet:
    """Everything else that is summed."""
    return sh.StreamNet(
        sh.Flatten(), sh.RunningNorm(72),
        sh.Dense(72, 8, competition=sh.RankedHardWTA(2), scaling=sh.NeuronMax(), trained=6),
        sh.Dense(8, 6, rule=sh.Sanger(), rate=0.01, threshold=AdaptiveThreshold(0.2, 0.03)),
        Sparse(6, 5, 3, rule=sh.Oja(), eligibility=sh.Eligibility(5.0), rate=sh.NormRate(0.02)),
        readout=SLDAReadout(), input_shape=(2, 6, 6), seed=2,
    )  # fmt: skip


def pictures() -> sh.StreamNet:
    return sh.StreamNet(
        sh.RunningNorm(2), sh.Conv2d(2, 3, 3, rate=0.05, scaling=sh.LayerMax()), seed=3
    )


def spikes() -> sh.StreamNet:
    """Presentations: time within each sample."""
    return sh.StreamNet(
        sh.Flatten(), ConstantCurrent(6),
        sh.Dense(72, 5, rule=sh.STDP(), neuron=sh.LIF(), threshold=AdaptiveThreshold(0.3, 0.02)),
        SpikeRate(), readout=sh.SoftmaxReadout(), input_shape=(2, 6, 6), seed=4,
    )  # fmt: skip


def same(one: sh.StreamNet, two: sh.StreamNet, tolerance: float) -> None:
    """All state of two nets, counters too."""
    assert one.counts == two.counts, (one.counts, two.counts)
    theirs = two.state_dict()
    for name, value in one.state_dict().items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            size = value.abs().max().clamp_min(1e-30)
            error = float((value - theirs[name]).abs().max() / size) if value.numel() else 0.0
            # Moments of the readout are means of errors that nearly cancel.
            allowed = tolerance * (10 if name.startswith("readout") else 1)
            assert error < allowed, f"{name} differs by {error}"
        elif isinstance(value, torch.Tensor):
            assert torch.equal(value, theirs[name]), name


def both(build: Any, dtype: torch.dtype, teach: Any, tolerance: float = 0.0) -> None:
    """Teach a net alone, and its twin together with the other processes; compare."""
    alone, together = build().to(dtype), build().to(dtype)
    first = next(layer for layer in together.layers if layer.plastic)
    before = first.weight.clone()
    answer = teach(alone, X.to(dtype))
    with join(together) as processes:
        shared = teach(together, X.to(dtype))
        processes.check()
    assert together.peers is None
    assert together.layers[1].peers is None
    assert not torch.equal(first.weight, before)  # something was learned
    same(alone, together, tolerance or TOLERANCE[dtype])
    torch.testing.assert_close(
        torch.tensor(shared), torch.tensor(answer), rtol=1e-4, atol=1e-5
    )  # what was reported


def in_phases(mode: str, told: bool = True) -> Any:
    def teach(net: sh.StreamNet, x: torch.Tensor) -> list[float]:
        hebbian, rest = Phase(batch_size=11), Phase(epochs=2, batch_size=11, dropout=0.3)
        plan = plan_phases(net, mode, unsupervised=hebbian, supervised=rest)
        found = train_phases(net, plan, (x, Y), (x[:9], Y[:9]) if told else None)
        return [v for r in found for v in (*r.rates, *r.convergence, r.train_loss or 0.0,
                r.test_loss or 0.0, r.train_accuracy or 0.0, r.test_accuracy or 0.0,
                *(v for own in r.layers for v in (*own.wins, own.hebbian or 0.0)))]  # fmt: skip

    return teach


def in_steps(net: sh.StreamNet, x: torch.Tensor) -> list[float]:
    """Mini-batches of 11, 11 and 2, some without label; then a single sample."""
    labels = [None if i == 3 else label for i, label in enumerate(Y)]
    scores = []
    for first in range(0, len(x), 11):
        part = slice(first, first + 11)
        found = net.step(x[part], labels[part] if net.readout else None, modulator=0.5)
        scores.append(found.scores)
    if net.readout is not None:
        net.learn_one(x[0], "d" if net.readout.open else "a")
    last = net.respond(x[:2]).scores
    return [float(s) for score in scores[1:] for s in score.flatten()] + last.flatten().tolist()


def check_equal(rank: int, size: int) -> None:
    for dtype in TOLERANCE:
        both(convolutions, dtype, in_phases("simultaneous"))
        both(vectors, dtype, in_phases("consecutive", told=False))
    double = torch.float64
    both(convolutions, double, in_phases("successive"))
    both(pictures, double, in_steps)
    both(vectors, double, in_steps, 1e-10)  # the readout solves a system
    if find_spec("norse"):
        both(spikes, double, in_steps)


def refused(error: type[Exception], words: str, call: Any) -> None:
    with pytest.raises(error, match=re.escape(words)):
        call()


def check_errors(rank: int, size: int) -> None:
    dense = lambda seed=0: sh.StreamNet(sh.Dense(4, 3), seed=seed)  # noqa: E731
    refused(PeerError, "weights of 0:Dense (process 1)", lambda: join(dense(rank)))
    other = sh.StreamNet(sh.Dense(4, 3, rate=0.1 * (1 + rank)))
    refused(PeerError, "kind of net", lambda: join(other))
    net, x = dense(), torch.rand(6, 4, generator=torch.Generator().manual_seed(4))
    with join(net) as processes:
        refused(PeerError, "the mini-batch", lambda: net.step(x + rank))
        refused(PeerError, "modulators", lambda: net.step(x, modulator=1.0 + rank))
        mine = x[rank::2]  # as one would hand out data elsewhere
        refused(PeerError, "inputs or labels of train",
                lambda: train_phases(net, Phase((0,)), (mine, None)))  # fmt: skip
        refused(ConfigError, "net.run", lambda: net.run(x))
        refused(ConfigError, "choose_kernels", lambda: net.fit(x, tune=True))
        refused(ConfigError, "tune", lambda: train_phases(net, Phase((0,)), (x, None), tune=True))
        refused(ConfigError, "chance", lambda: train_phases(
            net, Phase((0,)), (x, None), augment=lambda x: x))  # fmt: skip
        refused(ConfigError, "scheduler", lambda: train_phases(
            net, Phase((0,)), (x, None), scheduler=sh.Threads(2)))  # fmt: skip
        refused(ConfigError, "activity", lambda: net.step(x, activity=True))
        refused(ConfigError, "joined already", lambda: join(net))
        x[2, 1] = torch.nan
        refused(NonFiniteError, "sample 0", lambda: net.step(x))
        x[2, 1] = 0
        assert net.counts["learned"] == 0
        net.step(x)
        processes.check()
        net.layers[0].weight[rank, 0] += rank  # what must not happen
        refused(PeerError, "weights of 0:Dense (process 1)", processes.check)
    net = sh.StreamNet(sh.Dense(4, 4), sh.Dense(4, 4))
    with join(net):
        net.layers[0].plasticity = rank == 0  # it would be summed with another layer's change
        refused(PeerError, "what was set of the layers", lambda: net.step(x))
        refused(PeerError, "0:Dense", lambda: train_phases(net, Phase((0, 1)), (x, None)))


def check_lost(rank: int, size: int) -> None:
    impatient = dist.new_group(timeout=timedelta(seconds=4))
    with join(sh.StreamNet(sh.Dense(4, 3))) as processes:
        if rank == 0:  # the other one does not come
            processes.group = impatient
            refused(PeerError, "lost the others after", lambda: processes.add_up(torch.ones(1)))
        dist.all_reduce(torch.ones(1))  # where it waits instead
    with join(sh.StreamNet(sh.Dense(4, 3))) as processes:
        if rank == 1:
            print("ok", flush=True)
            os._exit(0)  # dies
        refused(PeerError, "has ended", lambda: processes.net.step(torch.ones(2, 4)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    rank, size, store, check = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=size,
        timeout=timedelta(seconds=60),
    )  # fmt: skip
    globals()[f"check_{check}"](rank, size)
    print("ok", flush=True)
    if check == "lost":  # a thread of gloo may still wait for the dead one: an end in order aborts
        os._exit(0)
    dist.destroy_process_group()
