"""Published figures that their own settings do not give here: what comes near.

CIFAR-10, hard competition and random weights. The published commands name presets; with these the
figures of the paper do not come out. Each row changes something that a reader may doubt.
"""

from __future__ import annotations

from collections.abc import Iterator

from streamhebb.suite.experiment import Cell, Experiment
from streamhebb.suite.offline import Changes, OfflineTrial
from streamhebb.suite.published import DEPTHS, RANDOM, SOURCE

_NETS, _HARD = zip(*DEPTHS["cifar10"]["hard WTA"], strict=True)
_PUBLISHED = RANDOM["cifar10"]

_POOL: Changes = {"0": {"pool": "max_4_2_1"}}
_TRIANGLE: Changes = {"0": {"pool": "max_4_2_1", "activation": "triangle"}}
_BLOCK: Changes = {"0": {**_TRIANGLE["0"], "padding": 1, "lr": 0.05, "power": 0.75}}
"""The first block of `3HardCnnCIFAR`."""

_OF_ONE: tuple[tuple[str, Changes], ...] = (
    ("hard, maximum pooling", _POOL),
    ("hard, maximum pooling, triangle", _TRIANGLE),
    ("hard, first block of 3HardCnnCIFAR", _BLOCK),
    ("hard, rate 0.005", {"0": {"lr": 0.005}}),
    ("hard, rate 0.0005", {"0": {"lr": 0.0005}}),
    ("hard, radius 5", {"0": {"radius": 5.0}}),
)
_RATES = (0.005, 0.001, 0.0006, 0.0005)
"""Of all three layers, in place of 0.05."""


def _cells() -> Iterator[Cell]:
    one = "softhebb-cifar-1conv"
    for depth, (net, figure) in enumerate(zip(_NETS, _PUBLISHED, strict=True), 1):
        trial = OfflineTrial(net=net, hidden="random")
        yield Cell("random, nets of WTA, not normalised", depth, trial, figure)
    for row, changes in (("", _POOL), (", triangle", _TRIANGLE)):
        trial = OfflineTrial(net=one, hidden="random", changes=changes)
        yield Cell(f"random, maximum pooling{row}", 1, trial, _PUBLISHED[0])
    trial = OfflineTrial(net=_NETS[0], hidden="normed", changes=_BLOCK)
    yield Cell("random, first block of 3HardCnnCIFAR, normalised", 1, trial, _PUBLISHED[0])
    for row, changes in _OF_ONE:
        yield Cell(row, 1, OfflineTrial(net=_NETS[0], changes=changes), _HARD[0])
    at_once = OfflineTrial(net=_NETS[2], mode="consecutive")
    yield Cell("hard, all layers at once", 3, at_once, _HARD[2])
    for rate in _RATES:
        slower = OfflineTrial(net=_NETS[2], changes={block: {"lr": rate} for block in "012"})
        yield Cell(f"hard, rate {rate} in three layers", 3, slower, _HARD[2])


EXPERIMENTS = (
    Experiment(
        name="hard-and-random",
        title="CIFAR-10: hard competition and random weights, with other settings than published",
        about=(
            "The presets that the published commands name do not give these published figures "
            "here (`figure-3-cifar10`). Each row changes one thing or two."
        ),
        cells=tuple(_cells()),
        show="table",
        seeds=(0,),
        source=SOURCE,
        cost="1.5 h",
    ),
)
"""In the order in which they are listed."""
