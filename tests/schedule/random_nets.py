"""Nets, streams and settings drawn at random, and nets whose tasks are held up at random."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import streamhebb as sh
from streamhebb.planner import Step
from streamhebb.schedule import Task
from streamhebb.values import StepResult
from streamhebb.wake import OnChange, OnSpike

RULES = (
    sh.SoftHebb,
    sh.Hebb,
    sh.Oja,
    sh.Instar,
    sh.Outstar,
    sh.BCM,
    lambda: sh.Both(sh.Oja(), sh.Hebb()),
)
COMPETITIONS = (
    lambda: sh.SoftWTA(1.0),
    lambda: sh.SoftWTA(0.5, anti_hebbian=True),
    sh.HardWTA,
    lambda: sh.RankedHardWTA(2),
    sh.Independent,
)
SCALINGS = (sh.NeuronRMS, sh.NeuronMax, sh.LayerMax, sh.NoScaling)


def _parts(chance: random.Random) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "rule": chance.choice(RULES)(),
        "competition": chance.choice(COMPETITIONS)(),
        "scaling": chance.choice(SCALINGS)(),
    }
    parts["rate"] = 0.002 if isinstance(parts["scaling"], sh.NoScaling) else 0.05
    if chance.random() < 0.2:
        parts["bias"] = sh.PriorBias()
    if chance.random() < 0.15:
        parts["threshold"] = sh.AdaptiveThreshold(0.2)
    if chance.random() < 0.15:
        parts["constraint"] = sh.Clip(-1.0, 1.0)
    return parts


def _stage(chance: random.Random, shape: tuple[int, ...]) -> list[sh.Layer]:
    """One plastic layer that takes a shape, with what may stand around it."""
    layers: list[sh.Layer] = []
    if chance.random() < 0.5:
        norms = (sh.RunningNorm, sh.BatchNorm) if len(shape) == 3 else (sh.RunningNorm,)
        layers.append(chance.choice(norms)(shape[0]))
    if len(shape) == 3:
        if chance.random() < 0.75 and shape[1] >= 3:
            settings = {"padding": chance.choice((0, 1)), "stride": chance.choice((1, 1, 2))}
            layers.append(
                sh.Conv2d(shape[0], chance.randint(3, 6), 3, **settings, **_parts(chance))
            )
        else:
            inputs = shape[0] * shape[1] * shape[2]
            layers += [sh.Flatten(), sh.Dense(inputs, chance.randint(3, 9), **_parts(chance))]
    elif chance.random() < 0.3:
        fan_in = chance.randint(1, shape[0])
        parts = {"seed": chance.randrange(9), **_parts(chance)}
        layers.append(sh.Sparse(shape[0], chance.randint(3, 9), fan_in, **parts))
    else:
        layers.append(sh.Dense(shape[0], chance.randint(3, 9), **_parts(chance)))
    layers.append(chance.choice((sh.ReLU, sh.Triangle, sh.Tanh, sh.Winner))())
    return layers


def draw_net(seed: int, wake: bool | None = None) -> Callable[[], sh.StreamNet]:
    """A function that makes the same net each time: one to three stages.

    Args:
        seed: of what it is made of.
        wake: whether layers wait for news; ``None`` leaves that to chance, too.
    """

    def make() -> sh.StreamNet:
        chance = random.Random(seed)
        shape: tuple[int, ...] = (2, 6, 6) if chance.random() < 0.4 else (7,)
        first, layers = shape, []
        for _ in range(chance.randint(1, 3)):
            stage = _stage(chance, shape)
            for layer in stage:
                shape = layer.shape(shape)
            layers += stage
        readout = None
        if chance.random() < 0.7:
            if len(shape) == 3:
                layers.append(sh.Flatten())
            kinds = (sh.SoftmaxReadout, sh.NCMReadout, sh.RLSReadout, sh.DeltaReadout)
            readout = chance.choice(kinds)()
        gated = chance.random() < 0.4 if wake is None else wake
        rule = chance.choice((OnChange(), OnChange(0.2), OnSpike()))
        return sh.StreamNet(
            *layers,
            readout=readout,
            input_shape=first,
            seed=seed % 1000,
            on_bad="skip",
            wake=rule if gated else None,
        )

    return make


def draw_stream(seed: int, shape: tuple[int, ...], count: int) -> list[sh.Sample]:
    """Samples, some of them micro-batches, some as before, some zero, some not finite."""
    chance = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    batch = chance.choice((0, 0, 0, 1, 3))
    found: list[sh.Sample] = []
    for _ in range(count):
        size = (*((batch,) if batch else ()), *shape)
        x = torch.rand(size, generator=generator)
        kind = chance.random()
        if kind < 0.15 and found:
            x = found[-1].x.clone()
        elif kind < 0.25 and found:
            x = torch.nan_to_num(found[-1].x) + 0.01 * x
        elif kind < 0.35:
            x = torch.zeros(size)
        elif kind < 0.4:
            x.view(-1)[0] = float("nan")
        labels = [chance.choice((None, 0, 1, 2)) for _ in range(batch or 1)]
        found.append(sh.Sample(x, labels if batch else labels[0]))
    return found


# -- what came of it -----------------------------------------------------------------------------


def learned(net: sh.StreamNet) -> dict[str, Any]:
    """All a net knows: buffers, counters, and what its wake remembers."""
    found: dict[str, Any] = {}
    for name, value in net.state_dict().items():
        if isinstance(value, Tensor):
            found[name] = value.clone()
        else:
            found |= {f"{name} {key}": item for key, item in value.items()}
    return found


def said(result: StepResult) -> dict[str, Any]:
    """All a result says but times."""
    names = ("prediction", "scores", "sample", "skipped", "learned", "passed")
    found = {name: getattr(result, name) for name in names}
    return found | {f"activity {name}": out for name, out in result.activity.items()}


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Names of what is not the same to the bit; NaN is NaN."""
    return [name for name in sorted(a.keys() | b.keys()) if not _same(a.get(name), b.get(name))]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
        )
    return type(a) is type(b) and bool(a == b)


# -- held up -------------------------------------------------------------------------------------


def spin(seconds: float) -> None:
    """Work for so long; others run in between as Python's threads do."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def hold_up(net: sh.StreamNet, seed: int, longest: float = 2e-4) -> None:
    """Let some tasks of a net take up to ``longest`` seconds more, before and after their work."""
    chance, known, step = random.Random(seed), {}, net.planner.step

    def held(task: Task) -> Task:
        def run(frame: Any) -> object:
            spin(max(0.0, chance.uniform(-longest, longest)))
            answer = task.run(frame)
            spin(max(0.0, chance.uniform(-longest, longest)))
            return answer

        return dataclasses.replace(task, run=run)

    def slow_step(*args: Any, **more: Any) -> Step:
        found = step(*args, **more)
        if id(found.plan) not in known:
            known[id(found.plan)] = found._replace(plan=tuple(held(task) for task in found.plan))
        return known[id(found.plan)]

    net.planner.step = slow_step  # type: ignore[method-assign]
