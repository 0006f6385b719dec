"""The experiments of the SoftHebb paper that are pictures of what neurons have learned.

Published: A. Journé et al., Hebbian deep learning without feedback, ICLR 2023,
https://arxiv.org/abs/2209.11883.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streamhebb.suite.experiment import Cell, Experiment
from streamhebb.suite.pictured import ImagesTrial, KernelsTrial, PreferredTrial
from streamhebb.suite.speed import SpeedTrial

SOURCE = "Journé et al., ICLR 2023 (arXiv:2209.11883)"

_B3B = Experiment(
    name="b3b-speed",
    title="CIFAR-10: how fast neurons converge",
    about=(
        "Hard winner-take-all, 96 neurons whose first radius is 10, one pass. R1 features are "
        "neurons whose radius is within 0.01 of 1; the table has their number at the end. "
        "Published is the picture, not its numbers."
    ),
    cells=tuple(
        Cell(row, column, SpeedTrial(net=net), measure=measure)
        for row, net in (
            ("rate by radius", "2HardCnnCIFAR_speed"),
            ("linear decay", "2HardCnnCIFA_speed_linearDecay"),
        )
        for column, measure in (("R1 features", "r1"), ("mean distance from 1", "convergence"))
    ),
    axis="training examples",
    quantity="R1 features",
    show="curves",
    source=SOURCE,
    cost="10 min",
)

_FIELDS = (5, 12, 26, 54)
"""Published: sides of the receptive fields of the layers."""
_DEEP: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("CIFAR-10", "softhebb-cifar-3conv", 3, {}),
    ("STL-10", "5SoftHebbCnnSTL", 4, {"data": "stl10"}),
)


def _preferred(neurons: int) -> Iterator[Cell]:
    for row, net, layers, more in _DEEP:
        for number in range(1, layers + 1):
            trial = PreferredTrial(net=net, neurons=neurons, **more)
            side = _FIELDS[number - 1] if row == "STL-10" else None
            yield Cell(row, f"field {number}, px", trial, side, f"field {number}")


_PREFERRED = tuple(
    Experiment(
        name=name,
        title=f"Preferred inputs of {neurons} neurons of every layer",
        about=(
            "By gradient ascent on the drive, wholly as published: inputs as large as the "
            "receptive field, no padding, 500 steps, absolute values. Published is the STL-10 net. "
            "The table has the side of the receptive fields."
        ),
        cells=tuple(_preferred(neurons)),
        show="table",
        seeds=(0,),
        source=SOURCE,
        cost=cost,
    )
    for name, neurons, cost in (
        ("figure-2", 72, "5 min for CIFAR-10, beside its net"),
        ("b8-b11", 250, "20 min for CIFAR-10, beside its net"),
    )
)


def _images(**changes: Any) -> Iterator[Cell]:
    measures = (
        ("neighbours alike, block 1, %", "first neighbours accuracy"),
        ("neighbours alike, last block, %", "last neighbours accuracy"),
        ("parts of one class of 10, block 1", "first parts alike"),
        ("parts of one class of 10, last block", "last parts alike"),
    )
    for row, net, _, more in _DEEP:
        for column, measure in measures:
            yield Cell(row, column, ImagesTrial(net=net, **more, **changes), measure=measure)


_IMAGES = tuple(
    Experiment(
        name=name,
        title=f"Test pictures at the first and the last block, {weights}",
        about=(
            "Maps: 2,000 test pictures, from 100 principal components of what leaves the block. "
            "Parts: of 5 neurons drawn at random, the ten pictures with the part that drives "
            "each most. The numbers are ours: samples that are of the class most of their ten "
            "nearest neighbours have (by the components), and how many of a neuron's ten parts "
            "are of its most frequent class."
        ),
        cells=tuple(_images(**changes)),
        show="table",
        seeds=(0,),
        source=SOURCE,
        cost="a few minutes for CIFAR-10, beside its net",
    )
    for name, weights, changes in (
        ("figure-5", "learned weights", {}),
        ("b6-b7", "random weights", {"hidden": "normed"}),
    )
)

_TITLES = ("hard WTA", "SoftHebb", "back-propagation")
_KERNELS = KernelsTrial(
    net="2HardCnnCIFAR", others=("softhebb-cifar-1conv", "2CnnCIFAR"), titles=_TITLES
)

_B5 = Experiment(
    name="b5-kernels",
    title="CIFAR-10: kernels of the first layer, by how they were learned",
    about=(
        "One convolution of 96 neurons each. The table has the standard deviation over the places "
        "of a kernel, by its norm, in the mean over kernels."
    ),
    cells=tuple(
        Cell("structure", title, _KERNELS, measure=f"structure {number}")
        for number, title in enumerate(_TITLES, 1)
    ),
    show="table",
    seeds=(0,),
    source=SOURCE,
    cost="5 h, nearly all of it for back-propagation",
)

EXPERIMENTS = (*_PREFERRED, *_IMAGES, _B3B, _B5)
"""In the order in which they are listed."""
