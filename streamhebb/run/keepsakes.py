"""A few samples of the stream, each with what the first layer kept of it at the time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from streamhebb.layers import Conv2d, PlasticLayer
from streamhebb.net import StreamNet
from streamhebb.run.measures import Array, pack, unpack


class Keepsake(NamedTuple):
    """One sample: its number, the picture as bytes, and the picture rebuilt by the net of then."""

    sample: int
    picture: Array
    rebuilt: Array


class Keepsakes:
    """At most eight samples, spread evenly over the stream however long it gets.

    Args:
        net: its first plastic layer rebuilds the samples.
    """

    MOST = 8
    SIDE = 160
    """Larger pictures are thinned out before they are kept."""

    def __init__(self, net: StreamNet) -> None:
        found = [i for i, layer in enumerate(net.layers) if isinstance(layer, PlasticLayer)]
        self._net = net
        self._layer = found[0] if found else None
        self._seen = 0
        self._step = 1
        self.kept: list[Keepsake] = []

    def record(self, number: int, x: Tensor, activity: Mapping[str, Tensor]) -> None:
        """Keep a sample if it is its turn.

        Args:
            number: of the sample.
            x: the sample, ``(C, H, W)`` in [0, 1]; other samples are not kept.
            activity: outputs by layer name.
        """
        turn = self._seen % self._step == 0
        self._seen += 1
        if not turn or self._layer is None or x.ndim != 3:
            return
        rebuilt = self.rebuild(x, activity)
        if rebuilt is None:
            return
        picture = (self._thin(x).clamp(0, 1) * 255).round().to(torch.uint8)
        thin = self._thin(rebuilt).to(torch.float16)
        self.kept.append(Keepsake(number, picture.cpu().numpy(), thin.cpu().numpy()))
        if len(self.kept) > self.MOST:
            self.kept = self.kept[::2]
            self._step *= 2

    def rebuild(self, x: Tensor, activity: Mapping[str, Tensor]) -> Tensor | None:
        """Rebuild a sample from the winners of the first plastic layer, ``None`` if it cannot."""
        from streamhebb.pictures import reconstruct  # matplotlib: only streams without labels

        if self._layer is None:
            return None
        layer: Any = self._net.layers[self._layer]
        if layer.neuron is not None:
            return None
        names = self._net.names
        given = x if self._layer == 0 else activity[names[self._layer - 1]]
        drive = activity[names[self._layer]]
        if not isinstance(layer, Conv2d):
            made = reconstruct(drive.flatten(), layer.kernel, (given.numel(),))
            return made.view(x.shape) if made.numel() == x.numel() else None
        if layer.groups > 1:
            return None
        return reconstruct(
            drive, layer.kernel, tuple(given.shape),
            stride=layer.stride, padding=layer.padding, dilation=layer.dilation,
        )  # fmt: skip

    def rebuilt_now(self) -> list[Array] | None:
        """The kept samples rebuilt by the net as it is now; ``None`` if they were thinned out."""
        out = []
        for keepsake in self.kept:
            x = torch.from_numpy(keepsake.picture).float() / 255
            if tuple(x.shape) != self._net.input_shape:
                return None
            x = x.to(next(self._net.buffers()).device)
            rebuilt = self.rebuild(x, self._net.respond(x, activity=True).activity)
            if rebuilt is None:
                return None
            out.append(rebuilt.cpu().numpy())
        return out

    def _thin(self, x: Tensor) -> Tensor:
        by = math.ceil(max(x.shape[1:]) / self.SIDE)
        return x[:, ::by, ::by]

    def state(self) -> dict[str, Any]:
        """Plain JSON data."""
        kept = [[k.sample, pack(k.picture), pack(k.rebuilt)] for k in self.kept]
        return {"seen": self._seen, "step": self._step, "kept": kept}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self._seen, self._step = state["seen"], state["step"]
        self.kept = [
            Keepsake(number, unpack(picture), unpack(rebuilt).astype(np.float16))
            for number, picture, rebuilt in state["kept"]
        ]
