"""The experiments of the SoftHebb paper that are pictures of what neurons have learned.

Published: A. Journé et al., Hebbian deep learning without feedback, ICLR 2023,
https://arxiv.org/abs/2209.11883.
"""

from __future__ import annotations

from streamhebb.suite.experiment import Cell, Experiment
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

EXPERIMENTS = (_B3B,)
"""In the order in which they are listed."""
