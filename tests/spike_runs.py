"""Spike trains, and a rule run over them through the kernel, one instant after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

import streamhebb as sh
from streamhebb import kernels
from streamhebb.rules.base import traces

F64 = torch.float64


@dataclass(frozen=True)
class Leaky:
    """The smallest neuron that spikes: a leaky sum, less 1 for each spike."""

    tau: float = 0.02
    dt: float = 1e-3
    spikes: ClassVar[bool] = True

    def init(self, n_out: int) -> dict[str, Tensor]:
        return {"v": torch.zeros(n_out)}

    def step(self, drive: Tensor, state: dict[str, Tensor], threshold: Any) -> Any:
        v = math.exp(-self.dt / self.tau) * state["v"] + drive
        z = (v >= 1).to(v)
        return z, v, {"v": v - z}


def trains(seed: int, *size: int, p: float = 0.3) -> Tensor:
    """Random spikes, 0 or 1, in float64."""
    chance = torch.Generator().manual_seed(seed)
    return torch.zeros(size, dtype=F64).bernoulli_(p, generator=chance)


def normal(seed: int, *size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=F64)


def at_rest(
    rule: Any, n: int, n_in: int, n_out: int, dtype: torch.dtype = F64
) -> dict[str, Tensor]:
    state = {k: v.to(dtype) for k, v in rule.init(n_in, n_out).items()}
    rest = traces(rule, n_in, n_out)
    return state | {k: v.to(dtype).expand(n, -1).clone() for k, v in rest.items()}


def changes(
    rule: Any, x: Tensor, y: Tensor, w: Tensor, *, voltage: Tensor | None = None,
    follow: bool = False,
) -> Tensor:  # fmt: skip
    """Raw change of every instant, ``(T, n_out, n_in)``; trains are ``(T, n, units)``.

    With ``follow`` the weights are changed after each instant, else they stay.
    """
    state, w, found = at_rest(rule, x.shape[1], x.shape[2], y.shape[2], w.dtype), w.clone(), []
    for t in range(len(x)):
        seen = sh.Activity(x[t], y[t], y[t], w, None if voltage is None else voltage[t])
        update, state = rule.terms(seen, state)
        found.append(kernels.accumulate(update, w, torch.empty_like(w)))
        if follow:
            w = w + found[-1]
    return torch.stack(found)


def rewarded(dw: Tensor, modulator: list[float], keep: float = 0.0) -> Tensor:
    """What a third factor makes of the change of every instant, ``keep`` of which is remembered."""
    trace, total = torch.zeros_like(dw[0]), torch.zeros_like(dw[0])
    for change, factor in zip(dw, modulator, strict=True):
        trace = keep * trace + change
        total = total + factor * trace
    return total


def summed(oracle: Any, *per_sample: Tensor, **more: Any) -> Tensor:
    """Changes of each instant by a scalar oracle, summed over the samples."""
    each = zip(*(value.transpose(0, 1).tolist() for value in per_sample), strict=True)
    return torch.tensor([oracle(*values, **more) for values in each], dtype=F64).sum(0)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
