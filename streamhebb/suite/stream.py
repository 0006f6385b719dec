"""The published nets as a stream: one sample at a time, one pass, every neuron by itself.

Nobody published such figures. What changes against the published way: batch size 1; all layers
learn at once; normalisation by running statistics in place of the mini-batch's; and each neuron
scales its own changes, where the published rule divides those of a layer by the largest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from streamhebb.presets import Built, Streaming
from streamhebb.presets.streaming import RATES
from streamhebb.suite.experiment import Cell, Experiment
from streamhebb.suite.offline import OfflineTrial

FASTER = (0.0025, 0.00025, 0.0003)
"""Rates by which upper layers turn far."""
SECOND = (0.0001, 0.00005, 0.00002)
"""Other rates of the second layer alone."""


class StreamTrial(OfflineTrial):
    """A preset that learns from one sample at a time, in one pass; then a readout, as published.

    Attributes:
        scaling: of changes: ``"NeuronRMS"`` is local; ``"LayerMax"`` is the published one.
        memory: samples that a neuron's own scale reaches back.
        tau: samples that the statistics of inputs reach back.
        rates: of the hidden blocks; empty keeps those of the preset.

    Example:
        >>> built = StreamTrial(net="softhebb-cifar-1conv").build()
        >>> built.net.layers[0], built.stages[0].phase.batch_size
        (RunningNorm(n_in=3, tau=100.0, eps=1e-05), 1)
    """

    kind: Literal["stream"] = "stream"  # type: ignore[assignment]
    mode: Literal["consecutive"] = "consecutive"
    scaling: Literal["NeuronRMS", "NeuronMax", "LayerMax"] = "NeuronRMS"
    memory: float = Field(default=100.0, ge=1)
    tau: float = Field(default=100.0, ge=1)
    rates: tuple[float, ...] = RATES

    def label(self) -> str:
        """A few words that name it."""
        return f"{super().label()} stream {self.scaling}"

    def make(self) -> Built:
        """Build the net, with the changes that a stream asks for, and plan its training."""
        preset = self.preset()
        without, with_labels = self.chosen(preset)
        return preset.build(
            unsupervised=without,
            supervised=with_labels,
            mode="stream",
            hidden=self.hidden,
            seed=self.seed,
            streaming=Streaming(self.scaling, self.memory, self.tau, self.rates),
        )


def _cells() -> Iterator[Cell]:
    published = {1: 71.10, 2: 77.70, 3: 80.31}
    for depth, figure in published.items():
        net = f"softhebb-cifar-{depth}conv"
        yield Cell("batch 1, local", depth, StreamTrial(net=net))
        if depth > 1:
            yield Cell("batch 1, faster above", depth, StreamTrial(net=net, rates=FASTER))
            for rate in SECOND:
                trial = StreamTrial(net=net, rates=(RATES[0], rate, *RATES[2:]))
                yield Cell(f"batch 1, layer 2 at {rate:f}".rstrip("0"), depth, trial)
        shared = StreamTrial(net=net, scaling="LayerMax", rates=())
        yield Cell("batch 1, published scaling", depth, shared)
        yield Cell("batch 10, published", depth, OfflineTrial(net=net, mode="consecutive"), figure)


EXPERIMENTS = (
    Experiment(
        name="stream",
        title="CIFAR-10, one sample at a time, one pass, all layers at once",
        about=(
            "Each sample is seen once and alone. *Local*: every neuron scales its changes by "
            "itself; what is left that one synapse does not see is the sharing of weights over "
            "the picture. *Faster above* and *layer 2 at*: the same, with such rates. "
            "Published figures are of layers that learned one after the other."
        ),
        cells=tuple(_cells()),
        source="Journé et al., ICLR 2023 (batch 10)",
        cost="5 h",
    ),
)
"""In the order in which they are listed."""
