"""What is measured of each Hebbian layer after an epoch, as published: radii, weights, winners."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from streamhebb.competition import HardWTA, RankedHardWTA, RankedSoftWTA, ShareWTA, SoftWTA
from streamhebb.layers import PlasticLayer
from streamhebb.layers.plastic import Seen
from streamhebb.layers.rows import per_neuron
from streamhebb.layers.wins import wins

LAST = 10
"""Mini-batches of an epoch, the last ones, in which winners are counted, as published."""
FIRST = {True: 20, False: 30}
"""Neurons that are told one by one, as published; dense layers, convolutions."""
NEAR = {True: 0.005, False: 0.01}
"""A radius this close to 1 has converged, as published; dense layers, convolutions."""


@dataclass(frozen=True, slots=True)
class LayerMeasures:
    r"""Measures of one Hebbian layer, with the radii $r_i$ and weights $w_{ij}$ of its neurons.

    Standard deviations are those of samples (divided by $n - 1$), as torch computes them.

    ``hebbian``, ``wins`` and ``ranked`` are counted after a reported epoch, by the weights as they
    are then, in its last ten mini-batches; ``wins`` and ``ranked`` are summed over the reported
    epochs of the phase. Published are sums over every mini-batch since the layer was made,
    evaluation included. To count while learning would slow down every mini-batch, reported or not:
    layers learn without writing down who won.

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
            competition, the mean over the epoch's last ten mini-batches, as published of
            convolutions; published of dense layers is the mean over all since the last report.
            Where only one ranked neuron is anti-Hebbian: 1 minus its $S$. ``None`` where nobody is,
            or nothing was counted.
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


class Tally:
    r"""Who wins in one layer, and how surely; nothing is changed.

    Args:
        layer: the layer.

    Attributes:
        won: $W_i$ so far, shape ``(n_out,)``, ``float64``; see
            [`LayerMeasures`][streamhebb.evaluate.measures.LayerMeasures].
        ranked: how often each neuron had the rank that the competition turns against.

    Example:
        >>> from streamhebb import Dense
        >>> layer = Dense(2, 2, competition=HardWTA())
        >>> layer.set_weight(torch.eye(2))
        >>> tally = Tally(layer)
        >>> tally.count(*layer.observe(torch.tensor([[0.9, 0.1], [0.2, 0.4], [0.0, 0.3]])))
        >>> tally.won.tolist()
        [1.0, 2.0]
    """

    def __init__(self, layer: PlasticLayer) -> None:
        self.layer = layer
        self.won = torch.zeros(layer.synapse.n_out, dtype=torch.float64)
        self.ranked = torch.zeros_like(self.won)
        self._shares: list[float] = []

    @property
    def rank(self) -> int | None:
        """The rank that the competition turns against, ``None`` if there is none."""
        match self.layer.competition:
            case RankedSoftWTA(rank=rank) | RankedHardWTA(rank=rank) if self.layer.neuron is None:
                return rank
        return None

    @property
    def hebbian(self) -> float | None:
        """Mean share of Hebbian learning in the mini-batches since ``begin``."""
        return sum(self._shares) / len(self._shares) if self._shares else None

    def begin(self) -> None:
        """Begin another epoch: ``hebbian`` is about what comes now, the others go on."""
        self._shares.clear()

    def count(self, out: Tensor, seen: Seen) -> None:
        """Add one mini-batch.

        Args:
            out: the first of what ``layer.observe`` returned.
            seen: the second.
        """
        if self.layer.neuron is not None:
            found = wins(self.layer, out)
        else:
            decides = self._decides(seen)
            soft = self._soft(decides)
            place = self._ranked(decides)
            found = (HardWTA()(decides) if soft is None else soft).sum(-2).reshape(-1)
            if soft is not None and (share := self._hebbian(soft, decides, place)) is not None:
                self._shares.append(share)
            if place is not None:
                once = torch.zeros_like(decides).scatter_(-1, place, 1)
                self.ranked += once.sum(-2).reshape(-1).cpu().double()
        self.won += found.cpu().double()

    def _decides(self, seen: Seen) -> Tensor:
        """What the neurons compete with, as while learning."""
        level = self.layer.level
        return seen.drive if level is None else seen.drive - per_neuron(level, seen.drive)

    def _soft(self, decides: Tensor) -> Tensor | None:
        """Soft activity $S$, ``None`` in other competitions."""
        match self.layer.competition:
            case SoftWTA() | ShareWTA() as soft:
                return dataclasses.replace(soft, anti_hebbian=False)(decides)
            case RankedSoftWTA(t=t):
                return SoftWTA(t)(decides)
        return None

    def _ranked(self, decides: Tensor) -> Tensor | None:
        """Index of the neuron of that rank in each competition, shape ``(..., 1)``."""
        if self.rank is None:
            return None
        order = decides.argsort(dim=-1, descending=True, stable=True)
        return order[..., self.rank - 1 : self.rank]

    def _hebbian(self, soft: Tensor, decides: Tensor, ranked: Tensor | None) -> float | None:
        """Share of Hebbian learning in one mini-batch."""
        if ranked is not None:
            return 1 - float(soft.gather(-1, ranked).mean())
        match self.layer.competition:
            case SoftWTA(anti_hebbian=True) | ShareWTA(anti_hebbian=True):
                return float(soft.gather(-1, decides.argmax(-1, keepdim=True)).mean())
        return None
