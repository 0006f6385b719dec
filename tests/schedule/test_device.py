"""The card itself is tested in test_cuda_card.py, where there is one."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from functools import partial

import pytest
import torch

from streamhebb.errors import ConfigError
from streamhebb.schedule.device import CudaDevice, Device, as_device, mark
from tests.schedule.fake_device import DeviceError, FakeDevice


def test_both_devices_offer_what_the_protocol_asks_for() -> None:
    wanted = [name for name in vars(Device) if not name.startswith("_")]
    assert len(wanted) == 15
    for name in wanted:
        asked = inspect.signature(getattr(Device, name)).parameters
        for cls in (CudaDevice, FakeDevice):
            assert list(inspect.signature(getattr(cls, name)).parameters) == list(asked), name


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA card")
def test_without_a_card_the_error_names_the_cure() -> None:
    with pytest.raises(ConfigError, match="cuda:1 is not there.*use the scheduler Threads, or Ser"):
        CudaDevice(1)
    with pytest.raises(ConfigError, match="cuda:0 is not there"):
        as_device(0)


def test_a_card_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for index in (2, -1):
        with pytest.raises(ConfigError, match=f"cuda:{index} is not there: torch sees 2"):
            CudaDevice(index)
    assert CudaDevice(1).name == "cuda:1"


class FailingGraph:
    """What torch does when a capture is broken off: a second, vaguer error on leaving."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *args: object) -> None:
        if args[0] is not None:
            raise RuntimeError("operation failed due to a previous error during capture")


def test_a_broken_recording_raises_what_broke_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "graph", FailingGraph)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda index: None)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    device = CudaDevice()
    with device.capture(None, None) as graph:
        assert graph is not None
    with pytest.raises(ValueError, match="from the task") as caught, device.capture(None, None):
        raise ValueError("from the task")
    assert "previous error" in str(caught.value.__cause__)


# -- the fake one keeps CUDA's rules: else the tests that use it would prove little ---------------


def test_work_is_late_and_a_stream_keeps_its_order() -> None:
    for seed in range(10):
        device, ran = FakeDevice(seed), []
        stream = device.stream()
        with device.on(stream):
            for number in range(5):
                device.kernel(partial(ran.append, number))
        device.synchronize(mark(device, stream))
        assert ran == [0, 1, 2, 3, 4]


def test_streams_overtake_each_other_unless_one_waits() -> None:
    def order(wait: bool) -> set[str]:
        found = set()
        for seed in range(30):
            device, ran = FakeDevice(seed), []
            a, b = device.stream(), device.stream()
            with device.on(a):
                device.kernel(partial(ran.append, "a"))
            if wait:
                device.wait(b, mark(device, a))
            with device.on(b):
                device.kernel(partial(ran.append, "b"))
            device.synchronize(mark(device, b))
            device.synchronize(mark(device, a))
            found.add("".join(ran))
        return found

    assert order(wait=False) == {"ab", "ba"}
    assert order(wait=True) == {"ab"}


def test_recording_enforces_the_rules_of_cuda() -> None:
    device = FakeDevice(0)
    home, other = device.stream(), device.stream()
    outside = mark(device, other)
    pool = device.pool()
    with pytest.raises(DeviceError, match="not joined"), device.capture(home, pool):
        device.wait(other, mark(device, home))
        with device.on(other):
            device.kernel(lambda: None)
    with pytest.raises(DeviceError, match="from outside"), device.capture(home, pool):
        device.wait(home, outside)
    with pytest.raises(DeviceError, match="may not ask"), device.capture(home, pool):
        device.synchronize(outside)
    with device.capture(home, pool):
        inside = mark(device, home)
    with pytest.raises(DeviceError, match="has ended"):
        device.wait(other, inside)


def test_a_graph_plays_what_was_recorded_each_time_and_nothing_before() -> None:
    device, ran = FakeDevice(2), []
    home, other = device.stream(), device.stream()
    with device.capture(home, device.pool()) as graph:
        device.kernel(lambda: ran.append(1))
        device.wait(other, mark(device, home))
        with device.on(other):
            device.kernel(lambda: ran.append(2))
        device.wait(home, mark(device, other))
        device.kernel(lambda: ran.append(3))
    assert ran == []
    with device.on(home):
        device.replay(graph)
        device.replay(graph)
    device.synchronize(mark(device, home))
    assert ran == [1, 2, 3] * 2
