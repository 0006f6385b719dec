"""Who wins in a layer, and how surely, counted while it learns."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from streamhebb.competition import HardWTA, RankedHardWTA, RankedSoftWTA, ShareWTA, SoftWTA
from streamhebb.layers import PlasticLayer
from streamhebb.layers.plastic import Seen
from streamhebb.layers.rows import per_neuron
from streamhebb.peers import Peers

LAST = 10
"""Mini-batches, the last ones, that the Hebbian share of a convolution is about, as published."""


class Tally:
    r"""Who wins in one layer, and how surely; for a layer's ``watchers``.

    It adds to what it has in place, on the layer's device, and waits for nothing there: a graph of
    a card that was recorded with it counts whenever it is played.

    Args:
        layer: the layer. It is not changed, and is asked nothing: a mini-batch counts by the drive
            and the factors that it is learned from.

    Attributes:
        won: $W_i$ so far, shape ``(n_out,)``, ``float64``; see
            [`LayerMeasures`][streamhebb.evaluate.measures.LayerMeasures].
        ranked: how often each neuron had the rank that the competition turns against.

    Example:
        >>> from streamhebb import Dense
        >>> layer = Dense(2, 2, competition=HardWTA(), rate=0.0)
        >>> layer.set_weight(torch.eye(2))
        >>> layer.watchers = (tally := Tally(layer),)
        >>> layer.learn(layer.observe(torch.tensor([[0.9, 0.1], [0.2, 0.4], [0.0, 0.3]]))[1])
        >>> tally.won.tolist()
        [1.0, 2.0]
    """

    def __init__(self, layer: PlasticLayer) -> None:
        self.layer = layer
        device = layer.weight.device
        self.won = torch.zeros(layer.synapse.n_out, dtype=torch.float64, device=device)
        self.ranked = torch.zeros_like(self.won)
        # Summed shares of Hebbian learning and number of competitions, of each of the last
        # mini-batches of a convolution, and of all mini-batches of a dense layer.
        rows = LAST if layer.sample_ndim == 3 else 1
        self._shares = torch.zeros(rows, 2, dtype=torch.float64, device=device)

    @property
    def rank(self) -> int | None:
        """The rank that the competition turns against, ``None`` if there is none."""
        match self.layer.competition:
            case RankedSoftWTA(rank=rank) | RankedHardWTA(rank=rank) if self.layer.neuron is None:
                return rank
        return None

    @property
    def hebbian(self) -> float | None:
        """Mean share of Hebbian learning, ``None`` where nobody is anti-Hebbian."""
        total, count = self._shares.sum(0).tolist()
        return total / count if count else None

    def reported(self) -> None:
        """A report was made: ``hebbian`` of a dense layer is about what comes after it."""
        if len(self._shares) == 1:
            self._shares.zero_()

    def clear(self) -> None:
        """Begin anew with everything."""
        for value in self.state().values():
            value.zero_()

    def state(self) -> dict[str, Tensor]:
        """What was counted."""
        return {"won": self.won, "ranked": self.ranked, "shares": self._shares}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        for name, value in self.state().items():
            value.copy_(state[name])

    def __call__(self, seen: Seen, post: Tensor) -> None:
        """Add one mini-batch.

        Args:
            seen: what the layer observed.
            post: the factors that it learns with, shape ``(..., rows, n_out / groups)``.
        """
        competition, neuron = self.layer.competition, self.layer.neuron
        if neuron is not None and seen.out is not None:
            self._add(self.won, seen.out if neuron.spikes else HardWTA()(seen.out))
            return
        match competition:
            case SoftWTA(anti_hebbian=anti):
                self._add(self.won, post.abs() if anti else post)
                if anti:
                    self._share(post.amax(-1))  # all others are negative
            case ShareWTA(anti_hebbian=False) | HardWTA():
                self._add(self.won, post)
            case ShareWTA():
                decides = self._decides(seen)
                soft = dataclasses.replace(competition, anti_hebbian=False)(decides)
                self._add(self.won, soft)
                self._share(soft.gather(-1, decides.argmax(-1, keepdim=True)))
            case RankedHardWTA():
                self._add(self.won, post > 0)
                self._add(self.ranked, post.signbit())  # also where delta is 0
            case RankedSoftWTA(t=t):
                soft, against = SoftWTA(t)(self._decides(seen)), post.signbit()
                self._add(self.won, soft)
                self._add(self.ranked, against)
                self._share(1 - (soft * against).sum(-1))
            case _:
                self._add(self.won, HardWTA()(self._decides(seen)))

    def _add(self, to: Tensor, found: Tensor) -> None:
        """Add up over competitions: the last dimension but one."""
        to += found.sum(-2).reshape(-1)

    def _share(self, of: Tensor) -> None:
        """Note the share of Hebbian learning in each competition of a mini-batch."""
        now = torch.cat((of.sum()[None], of.new_full((1,), of.numel()))).double()
        kept = self._shares
        if len(kept) == 1:
            kept += now
        else:
            kept.copy_(torch.cat((kept[1:], now[None])))

    def _decides(self, seen: Seen) -> Tensor:
        """What the neurons compete with."""
        level = self.layer.level
        return seen.drive if level is None else seen.drive - per_neuron(level, seen.drive)


@contextmanager
def counting(tallies: Collection[Tally], peers: Peers | None = None) -> Iterator[None]:
    """Let them count what their layers learn from.

    Args:
        tallies: of one layer each.
        peers: processes that each count their share of every mini-batch, or ``None``; in the end
            all of them have the sum.
    """
    for tally in tallies:
        if peers is not None and peers.rank:
            tally.clear()  # process 0 has what all had before
        tally.layer.watchers += (tally,)
    try:
        yield
    finally:
        for tally in tallies:
            left = (one for one in tally.layer.watchers if one is not tally)
            tally.layer.watchers = tuple(left)
    if peers is not None:
        for tally in tallies:
            peers.add_up(*tally.state().values())
