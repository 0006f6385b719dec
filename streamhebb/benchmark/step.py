"""What a step costs against the same arithmetic written as plain torch calls.

Both sides learn 784 -> 2000 SoftHebb neurons (anti-Hebbian losers, published scaling and
norm-dependent rate) with a triangle activation and a softmax readout, one sample at a time, from
the same weights and samples. They take turns in one process. Before that, both learn a few steps
in float64 and their weights are compared: the arithmetic must be the same.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from streamhebb.layers import Dense, Triangle
from streamhebb.net import StreamNet
from streamhebb.rates import NormRate
from streamhebb.readouts import SoftmaxReadout
from streamhebb.scaling import LayerMax

N_IN, N_OUT, CLASSES = 784, 2000, 10
RATE, READOUT_RATE = 0.08, 1e-3


@dataclass(frozen=True)
class StepCost:
    """Medians of one comparison.

    Args:
        threads: intra-op threads of torch.
        net_us: microseconds of ``StreamNet.step``.
        plain_us: microseconds of the plain calls.
        ratio: median over rounds of net / plain.
        apart: largest relative difference of the weights after 20 steps in float64.
    """

    threads: int
    net_us: float
    plain_us: float
    ratio: float
    apart: float


def plain_step(weight: Tensor, head: Tensor, bias: Tensor) -> Callable[[Tensor, int], int]:
    """Return one step as a user of torch would write it down, on the given weights."""

    def step(x: Tensor, label: int) -> int:
        with torch.no_grad():
            if not torch.isfinite(x).all():
                raise ValueError("x is not finite")
            u = weight @ x
            share = torch.softmax(u, 0)
            y = -share
            winner = u.argmax()
            y[winner] = share[winner]
            z = torch.relu(u - u.mean())
            logits = head @ z + bias
            prediction = int(logits.argmax())

            delta = torch.outer(y, x) - (y * u)[:, None] * weight
            delta /= delta.abs().max() + 1e-30
            rate = RATE * ((weight.norm(dim=1) - 1).abs() + 1e-10) ** 0.5
            weight.add_(rate[:, None] * delta)

            error = -torch.softmax(logits, 0)
            error[label] += 1
            head.add_(torch.outer(error, z), alpha=READOUT_RATE)
            bias.add_(error, alpha=READOUT_RATE)
        return prediction

    return step


def make_net(seed: int = 0) -> StreamNet:
    """The same net as library parts."""
    layer = Dense(N_IN, N_OUT, rate=NormRate(RATE), scaling=LayerMax())
    head = SoftmaxReadout(N_OUT, CLASSES, lr=READOUT_RATE, step="plain")
    return StreamNet(layer, Triangle(), readout=head, seed=seed)


def _sides(net: StreamNet) -> tuple[Tensor, Callable[[Tensor, int], int]]:
    """Return a copy of the net's weights, and the plain step on that copy."""
    state = net.state_dict()
    weight, head, bias = (
        state[name].clone() for name in ("layers.0.weight", "readout.weight", "readout.bias")
    )
    return weight, plain_step(weight, head, bias)


def difference(steps: int = 20) -> float:
    """Let both sides learn the same samples in float64, and compare their weights."""
    net = make_net().double()
    weight, plain = _sides(net)
    xs = torch.rand(steps, N_IN, generator=torch.Generator().manual_seed(2)).double()
    for i, x in enumerate(xs):
        net.step(x, i % CLASSES)
        plain(x, i % CLASSES)
    ours = net.state_dict()["layers.0.weight"]
    return float((ours - weight).abs().max() / weight.abs().max())


def compare(threads: int = 1, rounds: int = 40, steps: int = 25, warmup: int = 50) -> StepCost:
    """Measure both sides, taking turns of ``steps`` steps for ``rounds`` rounds."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        net = make_net()
        _, plain = _sides(net)
        chance = torch.Generator().manual_seed(1)
        total = warmup + rounds * steps
        xs = torch.rand(total, N_IN, generator=chance)
        labels = torch.randint(CLASSES, (total,), generator=chance).tolist()
        for i in range(warmup):
            net.step(xs[i], labels[i])
            plain(xs[i], labels[i])
        ours: list[float] = []
        theirs: list[float] = []
        for turn in range(rounds):
            block = range(warmup + turn * steps, warmup + (turn + 1) * steps)
            sides: list[tuple[Callable[[Tensor, int], object], list[float]]] = [
                (net.step, ours),
                (plain, theirs),
            ]
            for step, times in sides if turn % 2 else sides[::-1]:
                start = time.perf_counter()
                for i in block:
                    step(xs[i], labels[i])
                times.append((time.perf_counter() - start) / steps * 1e6)
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        return StepCost(
            threads, statistics.median(ours), statistics.median(theirs), ratio, difference()
        )
    finally:
        torch.set_num_threads(before)
