"""Samples from the host to a net on a GPU, without the host waiting for the GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from streamhebb import inputs
from streamhebb.schedule.device import Device, as_device, mark
from streamhebb.schedule.ring import InputRing


class Feed:
    """Sends samples through a ring of pinned memory to where the net is. Not yet run on a card.

    Args:
        depth: samples in flight.
        dtype: the net's precision.
        device: number of the card.
    """

    def __init__(self, depth: int, dtype: torch.dtype, device: Device | int) -> None:
        self.device = as_device(device)
        self.dtype = dtype
        self._ring = InputRing(depth + 1, self.device)

    def __call__(self, x: Any) -> Any:
        """Return a sample on the net's device; one that is there already, or is bad, as it is.

        Bad ones go on to where they are counted or refused: a look at values on the host costs
        nothing, the same look on the device would make the host wait.
        """
        tensor = inputs.to_tensor(x)
        if tensor.device.type != "cpu" or not inputs.all_finite(tensor):
            return x
        return self.send(tensor.to(self.dtype))

    def send(self, x: Tensor) -> Tensor:
        """Return what lies on the host, on the device; the host's memory may be used again."""
        there, ready = self._ring.put(x)
        stream = self.device.current()
        self.device.wait(stream, ready)
        mine: Tensor = there.clone()
        self._ring.used_until(there, mark(self.device, stream))
        return mine
