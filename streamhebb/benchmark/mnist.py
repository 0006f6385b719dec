"""One pass over MNIST, one sample at a time, then a linear probe on the frozen features.

Labels are used by the readout only, and only after its prediction. Training images come shuffled;
the test images are predicted afterwards with learning off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamhebb import spec
from streamhebb.evaluate import Prequential, linear_probe
from streamhebb.sources import ArraySource, mnist


@dataclass(frozen=True)
class StreamAccuracy:
    """What one seed reached; accuracies are shares between 0 and 1.

    Args:
        seed: of the weights and of the order of the samples.
        samples: learned from, one at a time.
        prequential: accuracy of the predictions made in the stream.
        last_quarter: the same over its last quarter.
        test: accuracy of the online readout on the test images.
        probe: accuracy of the linear probe on the test images, ``None`` without one.
        stream_seconds: for the pass.
        probe_seconds: for features and probe.
    """

    seed: int
    samples: int
    prequential: float
    last_quarter: float
    test: float
    probe: float | None
    stream_seconds: float
    probe_seconds: float

    def row(self) -> dict[str, Any]:
        """The result as plain data."""
        return asdict(self)


def whole_set(source: ArraySource) -> tuple[Tensor, list[Any]]:
    """All images of a source as ``(N, 1, 28, 28)`` in [0, 1], and their labels."""
    rows = slice(len(source))
    pixels = torch.from_numpy(np.asarray(source.x[rows])).float() / 255
    return pixels.reshape(len(pixels), *source.shape), list(source.y or ())[rows]


def run_seed(
    seed: int,
    *,
    net: str = "mnist",
    limit: int | None = None,
    probe_epochs: int = 50,
    probe_samples: int | None = None,
    on_progress: Callable[[int, float], None] | None = None,
) -> StreamAccuracy:
    """Stream, test, probe.

    Args:
        seed: draws the weights and the order.
        net: a built-in net or a file.
        limit: samples; ``None`` for all 60,000.
        probe_epochs: 50 as published, 0 for no probe.
        probe_samples: training images of the probe, and test images; ``None`` for all.
        on_progress: called every 5,000 samples with their number and the accuracy so far.
    """
    source = mnist("train", seed=seed, limit=limit)
    model = spec.build(net, input_shape=source.shape, seed=seed)
    total = len(source)
    overall, last = Prequential(), Prequential()
    start = time.perf_counter()
    for number, sample in enumerate(source, 1):
        prediction = model.step(sample).prediction
        overall.update(sample.target, prediction)
        if number > 0.75 * total:
            last.update(sample.target, prediction)
        if on_progress is not None and number % 5000 == 0:
            on_progress(number, overall.accuracy)
    streamed = time.perf_counter() - start

    test = whole_set(mnist("test", limit=probe_samples))
    accuracy = model.score(*test)
    start = time.perf_counter()
    probe = None
    if probe_epochs:
        whole = whole_set(mnist("train", limit=probe_samples))
        found = linear_probe(model, whole, test, epochs=probe_epochs, seed=seed)
        probe = found.test_accuracy
    return StreamAccuracy(
        seed,
        total,
        overall.accuracy,
        last.accuracy,
        accuracy,
        probe,
        streamed,
        time.perf_counter() - start,
    )
