"""Notes what neurons are tuned to while they learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from streamhebb.errors import InputError
from streamhebb.net import StreamNet
from streamhebb.parts import require
from streamhebb.pictures._find import find_layer, find_neurons, sees_input
from streamhebb.pictures._tiles import Array, as_pictures
from streamhebb.pictures.preferred import preferred_inputs
from streamhebb.pictures.style import as_array
from streamhebb.sources import samples


class Tuning(NamedTuple):
    """What neurons were tuned to at one moment.

    Args:
        sample: samples seen by then.
        fields: little pictures, shape ``(neurons, channels, height, width)``.
        radius: of their weights, shape ``(neurons,)``.
        selectivity: 0 to 1, shape ``(neurons,)``; ``None`` without probes.
    """

    sample: int
    fields: Array
    radius: Array
    selectivity: Array | None


class TuningRecorder:
    r"""Notes what a few neurons of a layer are tuned to, again and again while the net learns.

    Memory does not grow with the stream: when there are ``MOST`` snapshots, every second is
    dropped, and from then on snapshots are taken half as often.

    With probes, the selectivity of each neuron is its sparseness over them, from 0 (responds to
    all alike) to 1 (to one only): of its rectified drive $r_i$ for the $n$ samples, at every
    output pixel of a convolution,

    $$S = \frac{1 - (\sum_i r_i / n)^2 / (\sum_i r_i^2 / n)}{1 - 1/n}$$

    Args:
        net: the net.
        layer: name or position of a layer that learns weights; the first one by default.
        every: samples from one snapshot to the next.
        neurons: which; or how many, drawn at random.
        probes: samples, never learned from here, that selectivity is measured on; they are kept.
        steps: of the gradient ascent that finds the fields of a deeper layer: a second or two for
            each snapshot.
        seed: draws the neurons, and the starting points of the ascent.

    Attributes:
        name: of the layer.
        neurons: their numbers.
        snapshots: each a [`Tuning`][streamhebb.pictures.recorder.Tuning], the first of the net as
            it was given.

    Raises:
        ConfigError: if there is no such layer or neuron, or if the layer sees no pictures.
        InputError: if there are no probes in ``probes``.

    Example:
        >>> from streamhebb import Dense
        >>> net = StreamNet(Dense(16, 4), seed=0)
        >>> recorder = TuningRecorder(net, every=10, neurons=2)
        >>> for x in torch.rand(25, 16):
        ...     result = net.step(x)
        ...     noted = recorder.record()
        >>> [snapshot.sample for snapshot in recorder.snapshots]
        [0, 10, 20]

    Reference:
        W. E. Vinje, J. L. Gallant, Science 287, 2000. https://doi.org/10.1126/science.287.5456.1273
    """

    MOST = 24
    """Snapshots kept, at most."""

    def __init__(
        self,
        net: StreamNet,
        layer: str | int | None = None,
        *,
        every: int = 100,
        neurons: int | Sequence[int] = 8,
        probes: Any = None,
        steps: int = 500,
        seed: int = 0,
    ) -> None:
        require("TuningRecorder", "every", every, at_least=1, whole=True)
        require("TuningRecorder", "steps", steps, at_least=1, whole=True)
        require("TuningRecorder", "seed", seed, whole=True)
        self._net = net
        self._position, target = find_layer("TuningRecorder", net, layer)
        self._ascent: dict[str, Any] = {"steps": steps, "seed": seed}
        self._probes = None if probes is None else [sample.x for sample in samples(probes)]
        if self._probes == []:
            raise InputError("TuningRecorder: there are no probes; pass some samples, or None")
        self.name = net.names[self._position]
        self.neurons = find_neurons("TuningRecorder", target.synapse.n_out, neurons, seed)
        self.every = every
        self.snapshots: list[Tuning] = []
        self.record(now=True)

    def record(self, *, now: bool = False) -> bool:
        """Take a snapshot if it is time to; to be called after every step.

        Args:
            now: take one in any case.

        Returns:
            Whether one was taken.

        Raises:
            ConfigError: if weights are no longer finite.
        """
        sample = self._net.counts["samples"]
        before = self.snapshots[-1].sample if self.snapshots else None
        due = before is None or sample // self.every > before // self.every
        if not (due or (now and sample != before)):
            return False
        if len(self.snapshots) == self.MOST:
            self.snapshots = self.snapshots[::2]
            self.every *= 2
            return self.record(now=now)
        _, layer = find_layer("TuningRecorder", self._net, self._position)
        radius = as_array(layer.radius())[self.neurons]
        self.snapshots.append(Tuning(sample, self._fields(layer), radius, self._selectivity()))
        return True

    def _fields(self, layer: Any) -> Array:
        shape = self._net.input_shape
        shape = shape if shape is not None and len(shape) == 3 else None
        if sees_input(self._net, self._position):
            fields = as_array(layer.kernel[self.neurons])
            shape = shape if fields.ndim == 2 else None
        else:
            fields = as_array(
                preferred_inputs(self._net, self._position, self.neurons, **self._ascent)
            )
        return as_pictures(fields, shape).astype(np.float32)

    def _selectivity(self) -> Array | None:
        if self._probes is None:
            return None
        count = 0
        first = second = torch.zeros(())
        for x in self._probes:
            result = self._net.respond(x, activity=True)
            if result.skipped is None:
                rates = _by_neuron(self._net, self._position, result.activity[self.name])
                rates = rates[:, self.neurons].relu().double().cpu()
                count += len(rates)
                first, second = first + rates.sum(0), second + rates.square().sum(0)
        if count < 2:
            return np.full(len(self.neurons), np.nan)
        share = first.square() / (count * second)  # NaN for a neuron that never responds
        return as_array((1 - share) / (1 - 1 / count))


def _by_neuron(net: StreamNet, position: int, drive: Tensor) -> Tensor:
    """Drive of one sample as ``(competitions, n_out)``."""
    dim: Any = net.layers[position].sample_ndim
    return drive.movedim(-dim, -1).flatten(0, -2) if drive.ndim > 1 else drive[None]
