r"""Traces of spikes: what a synapse remembers of each of its two neurons.

One time step of ``dt`` seconds: the trace decays, and only then hears the spikes of this step.

$$\hat x(t) = e^{-dt/\tau}\, x(t - dt), \qquad x(t) = \hat x(t) + spikes(t)$$

The exponential is exact for any ``dt``; an Euler step, $1 - dt/\tau$, shortens the window.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import hardshrink

from streamhebb.parts import require, require_choice

FORGOTTEN = 1e-30
SIMULTANEOUS = ("potentiate", "ignore", "both")


def decayed(trace: Tensor, tau: float, dt: float) -> Tensor:
    r"""Return the trace after ``dt`` seconds of silence, $e^{-dt/\tau} x$.

    Example:
        >>> decayed(torch.ones(1), tau=0.02, dt=0.02)
        tensor([0.3679])
    """
    # What is left of a spike after 69 tau becomes 0: numbers below 1e-38 are slow on many
    # processors, and in float32 the smallest of them would stay for ever.
    return hardshrink(trace * math.exp(-dt / tau), FORGOTTEN)


def heard(trace: Tensor, spikes: Tensor, nearest: bool = False) -> Tensor:
    """Return the trace after the spikes of this step.

    Args:
        trace: decayed already.
        spikes: 0 for silence, same shape.
        nearest: a spike replaces what was remembered (only the last one counts) instead of being
            added to it (all count).

    Example:
        >>> heard(torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0]), nearest=True)
        tensor([0.5000, 1.0000])
    """
    return torch.where(spikes != 0, spikes, trace) if nearest else trace + spikes


def require_times(owner: str, dt: float, **taus: float) -> None:
    """Check that all times are positive numbers of seconds.

    Raises:
        ConfigError: naming the owner, the value and what is allowed.
    """
    for name, value in (("dt", dt), *taus.items()):
        require(owner, name, value, above=0)


def require_pairing(owner: str, nearest: object, simultaneous: object) -> None:
    """Check how spikes are paired.

    Raises:
        ConfigError: naming the owner, the value and the allowed ones.
    """
    require_choice(owner, "nearest", nearest, (True, False))
    require_choice(owner, "simultaneous", simultaneous, SIMULTANEOUS)


def require_bounds(owner: str, w_min: float, w_max: float) -> None:
    """Check that a range of weights is one.

    Raises:
        ConfigError: naming the owner, the value and what is allowed.
    """
    require(owner, "w_min", w_min)
    require(owner, "w_max", w_max, above=w_min)


def soft_bound(upper: bool, bound: float, mu: float) -> Callable[[Tensor], Tensor] | None:
    """Return the room left to a weight, to the power ``mu``, as a function of the weight.

    A weight beyond its bound has no room, rather than a power of a negative number (NaN).

    Args:
        upper: whether ``bound`` is the upper one.
        bound: where the room ends.
        mu: at least 0; for 0 there is room everywhere, and ``None`` is returned.

    Example:
        >>> soft_bound(True, 1.0, 0.5)(torch.tensor([2.0, 0.75]))
        tensor([0.0000, 0.5000])
    """
    if mu == 0:
        return None

    def room(weight: Tensor) -> Tensor:
        left = bound - weight if upper else weight - bound
        left.clamp_min_(0)
        return left if mu == 1 else left.pow_(mu)

    return room
