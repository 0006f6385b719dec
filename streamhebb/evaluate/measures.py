"""What is measured of each Hebbian layer after an epoch, as published: radii, weights, winners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from streamhebb.evaluate.tally import Tally

FIRST = {True: 20, False: 30}
"""Neurons that are told one by one, as published; dense layers, convolutions."""
NEAR = {True: 0.005, False: 0.01}
"""A radius this close to 1 has converged, as published; dense layers, convolutions."""


@dataclass(frozen=True, slots=True)
class LayerMeasures:
    r"""Measures of one Hebbian layer, with the radii $r_i$ and weights $w_{ij}$ of its neurons.

    Standard deviations are those of samples (divided by $n - 1$), as torch computes them.

    ``wins`` and ``ranked`` are counted in every mini-batch that the layer learned from, reported or
    not, since the call of [`train_phases`][streamhebb.evaluate.phases.train_phases] began, by the
    weights as they were before it. Published code counts since the layer was made, and while it
    evaluates, too.

    Args:
        name: of the layer.
        neurons: how many.
        mean_radius: $\bar r$ (published as MR).
        std_radius: standard deviation of $r_i$ (SR).
        mean_deviation: mean of $|r_i - \bar r|$ (MeD).
        max_deviation: the largest of these (MaD).
        mean_weight: mean over neurons of their mean weight (MW).
        std_weight: standard deviation of all weights (SW).
        mean_bias: mean bias (MB), ``None`` without one.
        std_bias: its standard deviation (SB).
        hebbian: share of Hebbian learning: of the winner in the soft activity $S$ of its
            competition, the mean over the last ten mini-batches of a convolution, and over all
            since the last report of a dense layer, as published. Where only one ranked neuron is
            anti-Hebbian: 1 minus its $S$. ``None`` where nobody is, or nothing was counted.
        anti_hebbian: 1 minus ``hebbian``.
        rates: $\eta_i$ of the first neurons: 20 of a dense layer, 30 of a convolution.
        radii: $r_i$ of the first neurons.
        wins: their shares in percent, $100\, W_i / \sum_k W_k$, where $W_i$ is the sum of $S_i$ in
            soft competitions, and how often neuron $i$ won in all others; of spiking neurons every
            spike counts. Empty for layers that do not learn in the phase, and for readouts.
        ranked: how often each was the neuron of the rank that the competition turns against, in
            percent of all; empty where there is no such rank.

    Reference:
        A. Journé et al., ICLR 2023. https://arxiv.org/abs/2209.11883
    """

    name: str
    neurons: int
    mean_radius: float
    std_radius: float
    mean_deviation: float
    max_deviation: float
    mean_weight: float
    std_weight: float
    mean_bias: float | None = None
    std_bias: float | None = None
    hebbian: float | None = None
    anti_hebbian: float | None = None
    rates: tuple[float, ...] = ()
    radii: tuple[float, ...] = ()
    wins: tuple[float, ...] = ()
    ranked: tuple[float, ...] = ()

    @classmethod
    def of(cls, data: dict[str, Any]) -> Self:
        """Build it from ``dataclasses.asdict``, also after a round trip by JSON."""
        lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
        return cls(**data | lists)


def measure_layer(name: str, layer: Any, first: int, tally: Tally | None = None) -> LayerMeasures:
    """Measure a layer as it is.

    Args:
        name: of the layer.
        layer: a plastic layer, or a readout that has a radius.
        first: so many neurons are told one by one.
        tally: who won; ``None`` if nobody counted.

    Example:
        >>> import torch
        >>> from streamhebb import Dense
        >>> layer = Dense(2, 2)
        >>> layer.set_weight(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
        >>> found = measure_layer("0:Dense", layer, 20)
        >>> found.radii, found.mean_radius, found.max_deviation, found.mean_weight
        ((5.0, 1.0), 3.0, 2.0, 2.0)
    """
    radius, weight = layer.radius(), layer.weight
    apart = (radius - radius.mean()).abs()
    prior = layer.prior if getattr(layer, "bias", None) is not None else None
    rate = layer.current_rate()
    rates = rate[:first].tolist() if isinstance(rate, Tensor) else [rate] * len(radius[:first])
    hebbian = None if tally is None else tally.hebbian
    return LayerMeasures(
        name,
        len(radius),
        float(radius.mean()),
        _std(radius),
        float(apart.mean()),
        float(apart.max()),
        float(weight.reshape(len(radius), -1).mean(1).mean()),
        _std(weight),
        None if prior is None else float(prior.mean()),
        None if prior is None else _std(prior),
        hebbian,
        None if hebbian is None else 1 - hebbian,
        tuple(rates),
        tuple(radius[:first].tolist()),
        () if tally is None else _percent(tally.won, first),
        () if tally is None or tally.rank is None else _percent(tally.ranked, first),
    )


def _percent(counted: Tensor, first: int) -> tuple[float, ...]:
    """Shares of the first neurons; 0 for all where nothing was counted."""
    return tuple((100 * counted / (counted.sum() or 1))[:first].tolist())


def _std(values: Tensor) -> float:
    return float(values.std()) if values.numel() > 1 else 0.0
