"""Inputs on their way from the host to a device, while the device is busy with earlier ones."""

from __future__ import annotations

import torch
from torch import Tensor

from streamhebb.errors import ConfigError, DeviceError
from streamhebb.parts import require
from streamhebb.schedule.device import Device, Event, as_device


class _Slot:
    """A pinned buffer on the host and one on the device."""

    def __init__(self) -> None:
        self.host: Tensor | None = None
        self.there: Tensor | None = None
        self.ready: Event = None  # the copy has ended
        self.used: tuple[Event, ...] | None = ()  # whoever read it; None: nobody has said yet


class InputRing:
    """A few pairs of buffers, used in turn: a pinned one on the host, and one on the device.

    ``put`` waits on the host only for a copy that is a whole round old. The buffer on the device is
    written again after the events that its consumers have named; the copy waits for them, not the
    host.

    Args:
        slots: pairs of buffers; at least as many as there are frames in flight, to be of use.
        device: number of the card.

    Raises:
        ConfigError: if there is no such card, or ``slots`` is no whole number from 1.
    """

    def __init__(self, slots: int = 4, device: Device | int = 0) -> None:
        require("InputRing", "slots", slots, at_least=1, whole=True)
        self.device = as_device(device)
        self._slots = [_Slot() for _ in range(slots)]
        self._next = 0
        self._stream = self.device.stream()

    def put(self, x: Tensor) -> tuple[Tensor, Event]:
        """Send one input to the device.

        Args:
            x: on the host, of any shape and type; may be written again at once.

        Returns:
            The tensor on the device, and the event after which it holds ``x``: let the stream that
            reads it wait for that. It holds ``x`` until the slot comes round again.

        Raises:
            DeviceError: if ``x`` is not on the host.
            ConfigError: if the slot's last tensor is still in use for all the ring knows.
        """
        if x.device.type != "cpu":
            raise DeviceError(f"an InputRing takes tensors on the host, not on {x.device}")
        slot, device = self._slots[self._next], self.device
        if slot.used is None:
            raise ConfigError(
                f"the ring of {len(self._slots)} slots has come round to a tensor nobody has "
                f"finished with; call used_until(tensor, event) for each that put returned"
            )
        self._next = (self._next + 1) % len(self._slots)
        if slot.ready is not None:
            device.synchronize(slot.ready)  # the device may still be reading the pinned buffer
        for event in slot.used:
            device.wait(self._stream, event)
        with device.on(self._stream):
            host, there = slot.host, slot.there
            if host is None or there is None or (host.shape, host.dtype) != (x.shape, x.dtype):
                # The old buffer may go back to the allocator: it is memory of this stream, which
                # now waits for all who read it.
                host = slot.host = device.pinned(x.shape, x.dtype)
                there = slot.there = device.empty(x.shape, x.dtype)
            with torch.no_grad():
                host.copy_(x)
                device.copy(there, host)
            slot.ready = device.event()
            device.record(slot.ready, self._stream)
        slot.used = None
        return there, slot.ready

    def used_until(self, x: Tensor, *events: Event) -> None:
        """Say when a tensor that ``put`` returned may be overwritten.

        Args:
            x: the tensor.
            events: all of them must be reached; recorded after the last work that reads ``x``. See
                [`Flight.events`][streamhebb.schedule.cuda_flights.Flight].

        Raises:
            ConfigError: if ``x`` is not from this ring, or no event is given.
        """
        if not events:
            raise ConfigError("used_until needs at least one event, recorded after x was read")
        for slot in self._slots:
            if slot.there is x:
                slot.used = events
                return
        raise ConfigError("this tensor is in no slot of the ring; give the one that put returned")
