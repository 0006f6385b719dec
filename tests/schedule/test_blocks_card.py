"""On a real card: blocks learn the bits of steps there. Skipped where there is none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import streamhebb as sh
from streamhebb.errors import ConfigError, NonFiniteError
from streamhebb.schedule import CudaGraphs, CudaLanes, Serial

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")

COUNT = 150


def dense() -> sh.StreamNet:
    return sh.StreamNet(
        sh.Flatten(),
        sh.RunningNorm(192),
        sh.Dense(192, 128, scaling=sh.NeuronRMS()),
        sh.Triangle(),
        sh.RunningNorm(128),
        sh.Dense(128, 96, scaling=sh.LayerMax()),
        sh.ReLU(),
        sh.Dense(96, 64, rule=sh.Oja(), rate=0.01),
        readout=sh.SoftmaxReadout(64, classes=2),
        input_shape=(3, 8, 8),
        seed=0,
    ).to("cuda")


def conv() -> sh.StreamNet:
    return sh.StreamNet(
        sh.BatchNorm(3),
        sh.Conv2d(3, 32, 3, padding=1, scaling=sh.LayerMax()),
        sh.Triangle(),
        sh.MaxPool2d(2),
        sh.BatchNorm(32),
        sh.Conv2d(32, 48, 3, padding=1),
        sh.Triangle(),
        input_shape=(3, 8, 8),
        seed=0,
    ).to("cuda")


NETS = {"dense": dense, "conv": conv}
SCHEDULERS = {
    "Serial": Serial,
    "lanes": CudaLanes,
    "tasks": lambda: CudaGraphs(warm_up=1),
    "wavefront": lambda: CudaGraphs(per="wavefront", slots=1, warm_up=1),
}


def samples() -> Tensor:
    return torch.rand(COUNT, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def kept(net: sh.StreamNet) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in net.named_buffers()}


@pytest.fixture(scope="module")
def right() -> dict[Any, dict[str, Tensor]]:
    found = {}
    for name, make in NETS.items():
        for batch in (1, 4):
            net = make()
            for x in samples().cuda().split(batch):
                net.step(x)
            found[name, batch] = kept(net)
    return found


@pytest.mark.parametrize("home", ["cpu", "cuda"])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("name", NETS)
def test_blocks_learn_the_bits_of_steps(
    name: str, scheduler: str, batch: int, home: str, right: Any
) -> None:
    with NETS[name]() as net:
        net.scheduler = SCHEDULERS[scheduler]()
        assert net.learn(samples().to(home), batch_size=batch, block=8) == COUNT
        found = kept(net)
        if isinstance(net.scheduler, CudaGraphs):
            assert net.scheduler.counts["played"] > 0
    wanted = right[name, batch]
    assert [key for key in wanted if not torch.equal(found[key], wanted[key])] == []


def test_memory_does_not_grow_with_the_set() -> None:
    with dense() as net:
        net.scheduler = CudaGraphs(per="wavefront", slots=1, warm_up=1)
        xs = samples().cuda()
        net.learn(xs, block=8)
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        for _ in range(5):
            net.learn(xs, block=8)
        torch.cuda.synchronize()
        assert torch.cuda.memory_allocated() <= before + (1 << 20)


def test_what_is_not_finite_is_refused_with_its_number() -> None:
    xs = samples().cuda()
    xs[77, 0, 0, 0] = float("nan")
    with dense() as net:
        net.scheduler = CudaGraphs(per="wavefront", slots=1, warm_up=1)
        with pytest.raises(NonFiniteError, match="sample 77 "):
            net.learn(xs, block=8)
        assert net.counts == {"samples": 78, "learned": 77, "non-finite": 1}
        assert net.learn(xs[78:], block=8) == COUNT - 78


def test_a_rate_that_counts_updates_cannot_be_recorded() -> None:
    net = sh.StreamNet(sh.Dense(4, 3, rate=sh.LinearDecay(0.1, 30)), seed=0).to("cuda")
    net.scheduler = CudaGraphs(per="wavefront", slots=1)
    with pytest.raises(ConfigError, match="counts updates"):
        net.learn(torch.rand(3, 4))
