"""Small nets and parts of data sets for comparisons that take minutes, not hours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from streamhebb.competition import SoftWTA
from streamhebb.init import Normal
from streamhebb.layers import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Layer,
    MaxPool2d,
    RunningNorm,
    Triangle,
)
from streamhebb.net import StreamNet
from streamhebb.rates import NormRate
from streamhebb.readouts import RLSReadout
from streamhebb.scaling import NeuronRMS
from streamhebb.sources import open_source
from streamhebb.values import Sample


@dataclass(frozen=True)
class Data:
    """Samples of the stream, and test images with their labels."""

    name: str
    stream: list[Sample]
    test: Tensor
    wanted: list[Any]


def load(name: str, seed: int, samples: int, tested: int) -> Data:
    """Read a part of a data set.

    Args:
        name: ``"mnist"`` or ``"cifar10"``.
        seed: of the order.
        samples: of the stream.
        tested: test images.
    """
    stream = list(open_source(name, seed=seed, split="train", limit=samples))
    held_out = list(open_source(name, seed=0, split="test", limit=tested))
    return Data(
        name,
        stream,
        torch.stack([torch.as_tensor(sample.x) for sample in held_out]),
        [sample.target for sample in held_out],
    )


def _conv(n_in: int, n_out: int, kernel: int, t: float, lr: float) -> list[Layer]:
    conv = Conv2d(
        n_in,
        n_out,
        kernel_size=kernel,
        padding=kernel // 2,
        competition=SoftWTA(t=t, anti_hebbian=True),
        rate=NormRate(lr),
        scaling=NeuronRMS(),
        init=Normal(2.0),
    )
    return [RunningNorm(n_in), conv, Triangle()]


def mnist_net(seed: int) -> StreamNet:
    """Two convolutions of 16 and 32 neurons."""
    first, second = _conv(1, 16, 5, 4.0, 0.01), _conv(16, 32, 3, 1.0, 0.01)
    return _net([*first, MaxPool2d(2), *second, MaxPool2d(4, stride=3), Flatten()], 28, 1, seed)


def cifar10_net(seed: int) -> StreamNet:
    """Three convolutions of 24, 32 and 48 neurons."""
    # Upper layers learn more slowly: what they learn from is still changing.
    first, second = _conv(3, 24, 5, 1.0, 0.003), _conv(24, 32, 3, 1.0, 0.001)
    third = _conv(32, 48, 3, 1.0, 0.0003)
    pools = MaxPool2d(2), MaxPool2d(2), AvgPool2d(4)
    layers = [*first, pools[0], *second, pools[1], *third, pools[2], Flatten()]
    return _net(layers, 32, 3, seed)


def _net(layers: Sequence[Layer], size: int, channels: int, seed: int) -> StreamNet:
    readout = RLSReadout(classes=10, ridge=100.0)
    return StreamNet(*layers, readout=readout, input_shape=(channels, size, size), seed=seed)


NETS: dict[str, Callable[[int], StreamNet]] = {"mnist": mnist_net, "cifar10": cifar10_net}
