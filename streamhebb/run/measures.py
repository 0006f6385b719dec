"""What is watched while a net learns; all of it bounded, and part of the snapshot."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamhebb.layers import PlasticLayer
from streamhebb.layers.wins import wins
from streamhebb.net import StreamNet

Array = np.ndarray[Any, Any]


def plastic_layers(net: StreamNet) -> dict[str, PlasticLayer]:
    """The layers that learn weights, by name, from input to output."""
    pairs = zip(net.names, net.layers, strict=True)
    return {name: layer for name, layer in pairs if isinstance(layer, PlasticLayer)}


class Convergence:
    """Share of neurons whose weight radius has settled.

    A neuron counts as converged when its radius has changed by less than 10 % over the last 500
    samples. The share is taken every 100 samples and is unknown before sample 500. (The distance
    of the radius from 1, its fixed point, would be no measure: in good runs most radii stop well
    before.)

    Args:
        layers: the plastic layers; neurons that do not learn are left out.
    """

    SPAN = 500
    EVERY = 100
    TOLERANCE = 0.1

    def __init__(self, layers: Mapping[str, PlasticLayer]) -> None:
        self._layers = tuple(layers.values())
        self._marks: deque[Tensor] = deque(maxlen=self.SPAN // self.EVERY + 1)
        self.share: float | None = None
        self.neurons = sum(layer.trained or layer.synapse.n_out for layer in self._layers)
        self.observe(0)

    def observe(self, position: int) -> None:
        """Look at the radii after so many samples; does nothing between the marks."""
        if position % self.EVERY or not self._layers:
            return
        radii = [layer.radius()[: layer.trained].double().cpu() for layer in self._layers]
        self._marks.append(torch.cat(radii))
        if len(self._marks) == self._marks.maxlen:
            old, new = self._marks[0], self._marks[-1]
            steady = (new - old).abs() < self.TOLERANCE * old
            self.share = float(steady.double().mean())

    def state(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {"share": self.share, "marks": [pack(mark.numpy()) for mark in self._marks]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.share = state["share"]
        self._marks.clear()
        self._marks.extend(torch.from_numpy(unpack(mark)) for mark in state["marks"])


class Timeline:
    """How often each neuron won, over the whole stream, in a fixed amount of memory.

    When all bins are full, neighbours are merged and each bin from then on holds twice the time.

    Args:
        layers: the plastic layers.
    """

    BINS = 160
    NEURONS = 128
    """Neurons of a layer that are followed over time, the first ones."""

    def __init__(self, layers: Mapping[str, PlasticLayer]) -> None:
        self.layers = dict(layers)
        self.totals = {name: np.zeros(layer.synapse.n_out) for name, layer in layers.items()}
        self.active: float | None = None  # share of neurons that won at the last record
        self._sums: dict[str, list[Array]] = {name: [] for name in layers}
        self._ends: list[int] = []  # position after the last record of each bin
        self._in_last = 0
        self._per_bin = 1

    def record(self, position: int, activity: Mapping[str, Tensor]) -> None:
        """Note who won at one sample.

        Args:
            position: samples seen, this one included.
            activity: outputs by layer name, as ``step(..., activity=True)`` gives them.
        """
        if not self.totals:
            return
        fresh = not self._ends or self._in_last == self._per_bin
        if fresh and len(self._ends) == self.BINS:
            self._merge()
        winners = 0
        for name, total in self.totals.items():
            won = wins(self.layers[name], activity[name]).double()
            share = (won / won.sum().clamp_min(1)).cpu().numpy()  # perhaps nobody spiked
            winners += int((share > 0).sum())
            total += share
            if fresh:
                self._sums[name].append(share[: self.NEURONS].astype(np.float32))
            else:
                self._sums[name][-1] += share[: self.NEURONS].astype(np.float32)
        self.active = winners / sum(map(len, self.totals.values()))
        if fresh:
            self._ends.append(position)
            self._in_last = 1
        else:
            self._ends[-1] = position
            self._in_last += 1

    def _merge(self) -> None:
        for name, sums in self._sums.items():
            self._sums[name] = [a + b for a, b in zip(sums[::2], sums[1::2], strict=True)]
        self._ends = self._ends[1::2]
        self._per_bin *= 2
        self._in_last = self._per_bin

    def shares(self) -> tuple[list[int], dict[str, Array]]:
        """Positions, and for each layer shares of wins ``(n, neurons)``."""
        counts = np.full((len(self._ends), 1), self._per_bin)
        counts[-1:] = max(1, self._in_last)
        return self._ends, {
            name: np.stack(sums) / counts for name, sums in self._sums.items() if sums
        }

    def state(self) -> dict[str, Any]:
        """Plain JSON data."""
        sums = {name: pack(np.stack(rows)) for name, rows in self._sums.items() if rows}
        totals = {name: pack(total) for name, total in self.totals.items()}
        return {
            "sums": sums,
            "totals": totals,
            "ends": [*self._ends],
            "in_last": self._in_last,
            "per_bin": self._per_bin,
            "active": self.active,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.totals = {name: unpack(total) for name, total in state["totals"].items()}
        rows = {name: list(unpack(sums)) for name, sums in state["sums"].items()}
        self._sums = {name: rows.get(name, []) for name in self.totals}
        self._ends = list(state["ends"])
        self._in_last = state["in_last"]
        self.active = state["active"]
        self._per_bin = state["per_bin"]


def pack(array: Array) -> dict[str, Any]:
    """An array as JSON data, bit for bit.

    Example:
        >>> unpack(pack(np.arange(3.0)))
        array([0., 1., 2.])
    """
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": str(array.dtype), "shape": list(array.shape), "data": data}


def unpack(packed: Mapping[str, Any]) -> Array:
    """Undo ``pack``; the array may be written to."""
    data = base64.b64decode(packed["data"])
    return np.frombuffer(data, packed["dtype"]).reshape(packed["shape"]).copy()
