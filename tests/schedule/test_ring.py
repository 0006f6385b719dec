"""On a device that works late and in the worst legal order. No card is needed, and none is used."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from streamhebb.errors import ConfigError, DeviceError
from streamhebb.schedule.ring import InputRing
from tests.schedule.fake_device import FakeDevice


def read_all(device: FakeDevice, ring: InputRing, xs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Put each, and read it late on another stream; the caller writes its own buffer again."""
    lane = device.stream()
    found: list[torch.Tensor] = []
    for x in xs:
        mine = x.clone()
        there, ready = ring.put(mine)
        mine.zero_()
        device.wait(lane, ready)
        with device.on(lane):
            device.kernel(partial(lambda t: found.append(t.clone()), there))
        end = device.event()
        device.record(end, lane)
        ring.used_until(there, end)
    device.synchronize(end)
    return found


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_what_is_read_late_is_what_was_put(slots: int) -> None:
    for seed in range(30):
        device = FakeDevice(seed)
        xs = [torch.full((4,), float(t)) for t in range(12)]
        found = read_all(device, InputRing(slots, device), xs)
        assert all(torch.equal(a, b) for a, b in zip(found, xs, strict=True)), seed


@pytest.mark.parametrize(("waiting", "origin"), [(1, 2), (2, 1)])
def test_without_its_events_it_is_not(waiting: int, origin: int) -> None:
    wrong = 0
    for seed in range(30):
        device = FakeDevice(seed, lambda w, o: (w, o) == (waiting, origin))
        xs = [torch.full((4,), float(t)) for t in range(12)]
        found = read_all(device, InputRing(2, device), xs)
        wrong += not all(torch.equal(a, b) for a, b in zip(found, xs, strict=True))
    assert wrong > 0


def test_another_shape_or_type_gets_buffers_of_its_own() -> None:
    for seed in range(20):
        device = FakeDevice(seed)
        xs = [
            torch.full((2 + t % 3,), t, dtype=torch.float64 if t % 2 else torch.uint8)
            for t in range(12)
        ]
        found = read_all(device, InputRing(2, device), xs)
        assert [x.dtype for x in found] == [x.dtype for x in xs]
        assert all(torch.equal(a, b) for a, b in zip(found, xs, strict=True))


def test_buffers_of_the_same_shape_are_kept() -> None:
    device = FakeDevice(None)
    ring = InputRing(2, device)
    seen = set()
    for t in range(6):
        there, ready = ring.put(torch.full((3,), float(t)))
        seen.add(there.data_ptr())
        ring.used_until(there, ready)
    assert len(seen) == 2


def test_the_host_waits_for_copies_a_round_old_and_for_no_consumer() -> None:
    device = FakeDevice(0)
    ring = InputRing(2, device)
    waits = []
    for _t in range(5):
        there, ready = ring.put(torch.zeros(3))
        ring.used_until(there, ready)
        waits.append(device.synchronized)
    assert waits == [0, 0, 1, 2, 3]


def test_a_tensor_nobody_has_finished_with_is_not_overwritten() -> None:
    ring = InputRing(2, FakeDevice(0))
    ring.put(torch.zeros(3))
    ring.put(torch.zeros(3))
    with pytest.raises(ConfigError, match="2 slots has come round.*call used_until"):
        ring.put(torch.zeros(3))


def test_what_makes_no_sense_is_refused() -> None:
    device = FakeDevice(0)
    with pytest.raises(ConfigError, match="slots"):
        InputRing(0, device)
    ring = InputRing(2, device)
    with pytest.raises(DeviceError, match="not on meta"):
        ring.put(torch.zeros(3, device="meta"))
    there, ready = ring.put(torch.zeros(3))
    with pytest.raises(ConfigError, match="at least one event"):
        ring.used_until(there)
    with pytest.raises(ConfigError, match="in no slot"):
        ring.used_until(there.clone(), ready)
