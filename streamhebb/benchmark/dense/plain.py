"""The published step of a dense layer as torch calls: nothing in the library uses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

TINY = 1e-30  # as published


@dataclass
class Law:
    """The numbers of SoftHebb with anti-Hebbian losers.

    Args:
        t: inverse temperature.
        lr: base rate.
        power: exponent of the rate that depends on the radius.
    """

    t: float = 1.0
    lr: float = 0.08
    power: float = 0.5

    def post(self, u: Tensor) -> Tensor:
        """Shares, with the sign of all but the winner's reversed."""
        share = torch.softmax(self.t * u, 1)
        winner = u.argmax(1, keepdim=True)
        return (-share).scatter_(1, winner, share.gather(1, winner))

    def rate(self, weight: Tensor) -> Tensor:
        """Rate of every neuron, shape ``(n_out, 1)``."""
        radius = weight.norm(dim=1, keepdim=True)
        rate: Tensor = self.lr * ((radius - 1).abs() + 1e-10) ** self.power
        return rate


Step = Callable[[Tensor], Tensor]
"""From a batch ``(B, n_in)`` to its drive; the weights change."""


def plain(weight: Tensor, law: Law) -> Step:
    """Return the step as somebody writes it who reads the paper: a call for each thing it says."""

    @torch.no_grad()
    def step(x: Tensor) -> Tensor:
        u = x @ weight.T
        y = law.post(u)
        delta = y.T @ x - (y * u).sum(0)[:, None] * weight
        delta = delta / (delta.abs().max() + TINY)
        weight.add_(law.rate(weight) * delta)
        return u

    return step


def in_place(weight: Tensor, law: Law) -> Step:
    """Return the step as somebody writes it who counts passes: the change has memory of its own."""
    delta = torch.empty_like(weight)

    @torch.no_grad()
    def step(x: Tensor) -> Tensor:
        u = x @ weight.T
        y = law.post(u)
        torch.mm(y.T, x, out=delta)
        delta.addcmul_(weight, (y * u).sum(0)[:, None], value=-1)
        low, high = torch.aminmax(delta)
        rate = law.rate(weight)
        weight.addcmul_(delta, rate / (torch.maximum(-low, high) + TINY))
        return u

    return step
