"""Memory does not grow with the stream."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import streamhebb as sh

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")


def resident() -> float:
    """Resident memory of this process in MB, after giving free pages back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def tensors() -> int:
    gc.collect()
    return sum(issubclass(type(item), Tensor) for item in gc.get_objects())


def conv_net(readout: sh.Readout) -> sh.StreamNet:
    return sh.StreamNet(
        sh.RunningNorm(1),
        sh.Conv2d(1, 8, 3, bias=sh.PriorBias()),
        sh.Triangle(),
        sh.MaxPool2d(2),
        sh.Flatten(),
        readout=readout,
        input_shape=(1, 8, 8),
        on_bad="skip",
    )


def dense_net(readout: sh.Readout) -> sh.StreamNet:
    return sh.StreamNet(
        sh.Dense(64, 40, scaling=sh.NeuronMax()),
        sh.Triangle(),
        readout=readout,
        input_shape=(64,),
        on_bad="skip",
    )


def feed(net: sh.StreamNet, steps: int) -> None:
    """All that may happen in a stream: labels, none, bad samples, activity, answers asked for."""
    shape = net.input_shape
    assert shape is not None
    for number in range(steps):
        x = torch.rand(shape, requires_grad=number % 5 == 0)
        if number % 50 == 7:
            x = x * float("nan")
        label = None if number % 3 == 0 else number % 10
        result = net.step(x, label, activity=number % 4 == 0)
        if number % 10 == 0:
            net.respond(x)
        del result


CASES: list[Any] = [
    pytest.param(dense_net, lambda: sh.SoftmaxReadout(), id="dense-softmax"),
    pytest.param(conv_net, lambda: sh.RLSReadout(forget=0.999), id="conv-rls"),
]


@linux
@pytest.mark.parametrize(("build", "readout"), CASES)
def test_memory_is_flat(
    build: Callable[[sh.Readout], sh.StreamNet], readout: Callable[[], sh.Readout]
) -> None:
    net = build(readout())
    feed(net, 400)
    before, alive = resident(), tensors()
    feed(net, 2000)
    assert abs(resident() - before) < 5
    assert tensors() <= alive


@linux
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("build", "readout"), CASES[:1])
def test_memory_is_flat_over_100_000_steps(
    build: Callable[[sh.Readout], sh.StreamNet], readout: Callable[[], sh.Readout]
) -> None:
    net = build(readout())
    feed(net, 1000)
    before, alive = resident(), tensors()
    for _ in range(10):
        feed(net, 10_000)
        assert abs(resident() - before) < 5
        assert tensors() <= alive


@linux
def test_saving_and_loading_again_and_again_keeps_nothing(tmp_path: Any) -> None:
    net = dense_net(sh.SoftmaxReadout())
    feed(net, 50)

    def turn(times: int) -> None:
        for _ in range(times):
            net.save(tmp_path / "snap")
            net.load(tmp_path / "snap")

    turn(20)
    before, alive = resident(), tensors()
    turn(100)
    assert abs(resident() - before) < 5
    assert tensors() <= alive
    assert [entry.name for entry in tmp_path.iterdir()] == ["snap"]


def test_a_long_stream_of_new_classes_costs_one_row_each() -> None:
    net = dense_net(sh.SoftmaxReadout())
    for number in range(300):
        net.step(torch.rand(64), f"class {number}")
    assert net.readout is not None
    assert net.readout.weight.shape == (300, 40)
    assert net.readout.weight.untyped_storage().nbytes() == 300 * 40 * 4
