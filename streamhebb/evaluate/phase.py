"""What a phase of training is, and what is reported of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from streamhebb.errors import ConfigError
from streamhebb.evaluate.measures import LayerMeasures
from streamhebb.parts import require, require_choice


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of training: which blocks learn, and how long.

    Args:
        blocks: numbers of the blocks that learn, counted from 0; all others are frozen, running
            statistics included. Left empty, [`plan_phases`][streamhebb.evaluate.phases.plan_phases]
            fills it in.
        epochs: passes over the data.
        batch_size: samples a change of the weights; the last mini-batch may be smaller.
        lr: rate of a readout that has an ``lr``, and of Adam for layers that have parameters;
            ``None`` is the readout's own, or 0.001.
        halving: which epochs halve it: ``"full"``, ``"demo"`` or ``"none"``; see
            [`halving_epochs`][streamhebb.evaluate.schedule.halving_epochs].
        dropout: share of the readout's features set to 0 while it learns.
        stretch: begin anew, and stretch over this phase, the schedules of Hebbian rates that run
            out (``LinearDecay``, ``ExponentialDecay``), whatever their ``steps``.
        shuffle: a new order every epoch; ``False`` keeps that of the data.
        seed: of order and dropout. Phases of one seed see the same order, as published.

    Raises:
        ConfigError: for a setting out of its range.

    Example:
        >>> Phase((0, 1), epochs=2, batch_size=10).blocks
        (0, 1)
    """

    blocks: tuple[int, ...] = ()
    epochs: int = 1
    batch_size: int = 64
    lr: float | None = None
    halving: str = "full"
    dropout: float = 0.0
    stretch: bool = True
    shuffle: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))
        for number in self.blocks:
            require("Phase", "blocks", number, at_least=0, whole=True)
        if len(set(self.blocks)) != len(self.blocks):
            raise ConfigError(f"Phase: blocks={self.blocks} names a block twice")
        for name in ("epochs", "batch_size"):
            require("Phase", name, getattr(self, name), at_least=1, whole=True)
        require("Phase", "seed", self.seed, at_least=0, whole=True)
        if self.lr is not None:
            require("Phase", "lr", self.lr, at_least=0)
        require_choice("Phase", "halving", self.halving, ("full", "demo", "none"))
        require("Phase", "dropout", self.dropout, at_least=0, at_most=1 - 1e-6)
        for name in ("stretch", "shuffle"):
            require_choice("Phase", name, getattr(self, name), (True, False))


@dataclass(frozen=True, slots=True)
class PhaseEpoch:
    """One reported epoch of a phase.

    Args:
        phase: which phase, counted from 0.
        epoch: which epoch of it, counted from 1.
        train_accuracy: with a readout or gradients in the phase, of the predictions made while
            training; without, if the last Hebbian layer of the phase is dense, of neurons that were
            labelled on the training set after the epoch, see
            [`NeuronLabels`][streamhebb.evaluate.neuron_labels.NeuronLabels]. Else ``None``.
        test_accuracy: of the test set after the epoch, by the readout or by these labels.
        train_loss: mean cross-entropy while training, if labels were learned.
        test_loss: mean cross-entropy of the test set, if labels were learned.
        convergence: mean distance from 1 of the radii, of every Hebbian layer of the net, the
            readout too if it is Hebbian.
        converged: how many radii of each are within 0.01 of 1 (dense layers: 0.005).
        rates: mean rate of each.
        seconds: since the phase began.
        layers: more measures of each, in the same order.
    """

    phase: int
    epoch: int
    train_accuracy: float | None
    test_accuracy: float | None
    train_loss: float | None
    test_loss: float | None
    convergence: tuple[float, ...]
    converged: tuple[int, ...]
    rates: tuple[float, ...]
    seconds: float
    layers: tuple[LayerMeasures, ...] = ()

    @classmethod
    def of(cls, data: dict[str, Any]) -> Self:
        """Build a report from ``dataclasses.asdict(report)``, also after a round trip by JSON."""
        lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
        layers = tuple(LayerMeasures.of(dict(layer)) for layer in data.get("layers", ()))
        return cls(**data | lists | {"layers": layers})
