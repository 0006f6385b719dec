"""How fast neurons converge: radii after every mini-batch of a phase without labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from pydantic import Field

from streamhebb.layers import PlasticLayer
from streamhebb.presets import Built, Prepared, Stage
from streamhebb.suite.about import NetTrial
from streamhebb.suite.trial import Result, Work

NEAR = 0.01
"""Published: a radius this close to 1 is that of an R1 feature, in convolutions."""
POINTS = 300
"""No curve has more."""


class SpeedTrial(NetTrial):
    r"""Count R1 features after every mini-batch.

    $$R1 = \#\{j : |\lVert w_j \rVert - 1| < 0.01\}$$

    The first phase without labels, as
    [`train_phases`][streamhebb.evaluate.phases.train_phases] runs it: the weights are the same, to
    the bit. No labels are learned. The curve is a moving average over a 30th of the mini-batches,
    but no fewer than ``window``.

    Args:
        window: least number of mini-batches that are averaged.

    Example:
        >>> SpeedTrial(net="2HardCnnCIFAR_speed").label()
        'speed 2HardCnnCIFAR_speed'
    """

    kind: Literal["speed"] = "speed"
    window: int = Field(default=50, ge=1)

    def run(self, work: Work) -> Result:
        """Learn, and look at the last layer that does."""
        trial = self.offline(mode="successive")
        built = trial.build()
        built = built._replace(net=built.net.to(work.setup.device))
        stage = built.stages[0]
        data = work.noted(trial.read(stage.data, work.setup.device))
        seen, counts, apart = [], [], []
        layers = learning(built, stage)
        last = [layer for layer in layers if isinstance(layer, PlasticLayer)][-1]
        for samples in mini_batches(built, stage, data):
            distance = (last.radius() - 1).abs()
            seen.append(samples)
            counts.append(float((distance < NEAR).sum()))
            apart.append(float(distance.mean()))
            if len(seen) % 200 == 0:
                work.tell(f"{samples} samples: {counts[-1]:.0f} of {last.synapse.n_out} at 1")
        built.net.save(work.folder.net)
        window = max(self.window, len(seen) // 30)
        return {
            "r1": counts[-1],
            "convergence": apart[-1],
            "samples": seen[-1],
            "curve": thinned(seen, moving_average(counts, window)),
            "convergence_curve": thinned(seen, moving_average(apart, window)),
        }


def learning(built: Built, stage: Stage) -> list[Any]:
    """The layers of the blocks that learn in a stage."""
    return [built.net.layers[i] for n in sorted(stage.phase.blocks) for i in built.blocks[n]]


@torch.no_grad()
def mini_batches(built: Built, stage: Stage, data: Prepared) -> Iterator[int]:
    """Learn mini-batch by mini-batch, in a phase without labels.

    Args:
        built: its net is changed in place.
        stage: blocks, epochs, batch size, order.
        data: to learn from.

    Yields:
        After every mini-batch, how many samples have been learned from.
    """
    phase, layers = stage.phase, learning(built, stage)
    stretched = [each for each in layers if phase.stretch and hasattr(rate_of(each), "steps")]
    kept = [(layer, layer.rate) for layer in stretched]
    for layer, rate in kept:
        steps = phase.epochs * len(data.x) / phase.batch_size
        layer.rate = dataclasses.replace(rate, steps=steps)
        layer.updates.zero_()
    stop = built.blocks[max(phase.blocks)].stop
    below: Sequence[Any] = list(built.net.layers)[:stop]
    chance = torch.Generator().manual_seed(phase.seed)
    done = 0
    try:
        for _ in range(phase.epochs):
            order = torch.arange(len(data.x))
            if phase.shuffle:
                order = torch.randperm(len(order), generator=chance)
            for part in torch.split(order, phase.batch_size):
                x = data.x[part.to(data.x.device)]
                _step(below, layers, x if data.augment is None else data.augment(x))
                done += len(part)
                for name in ("samples", "learned"):
                    built.net.counts[name] += len(part)
                yield done
    finally:
        for layer, rate in kept:
            layer.rate = rate


def _step(below: Sequence[Any], learners: Sequence[Any], x: Any) -> None:
    """All respond, then those that learn do."""
    seen = []
    for layer in below:
        if layer.learns and any(layer is each for each in learners):
            x, kept = layer.observe(x)
            seen.append((layer, kept))
        else:
            x = layer.respond(x)
    for layer, kept in seen:
        layer.learn(kept)


def rate_of(layer: Any) -> Any:
    """The rate of a layer, ``None`` if it has none."""
    return getattr(layer, "rate", None)


def moving_average(values: Sequence[float], window: int) -> list[float]:
    """Mean of each value and those before it, ``window`` together; fewer at the beginning.

    Example:
        >>> moving_average([0, 2, 4, 6], 2)
        [0.0, 1.0, 3.0, 5.0]
    """
    found, total = [], 0.0
    for place, value in enumerate(values):
        total += value
        if place >= window:
            total -= values[place - window]
        found.append(total / min(place + 1, window))
    return found


def thinned(x: Sequence[float], y: Sequence[float], most: int = POINTS) -> list[list[float]]:
    """Pairs of a curve, evenly spread, the first and the last among them.

    Example:
        >>> thinned([1, 2, 3, 4, 5], [0, 0, 1, 1, 2], 3)
        [[1, 0], [3, 1], [5, 2]]
    """
    count = min(most, len(x))
    places = [round(n * (len(x) - 1) / max(count - 1, 1)) for n in range(count)]
    return [[x[place], round(y[place], 4)] for place in places]
