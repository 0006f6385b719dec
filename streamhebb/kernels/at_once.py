"""All that follows the competition, handed to a card at once: nobody waits for an answer.

A layer that asks step by step how fast its neurons may learn, how large its change is, and what
is left of it when it is divided, launches a kernel for each of these. A card is done with most of
them before the next one is there. So a backend may take the whole: the products, the decay, what
the change is divided by, and rates that depend on how long weights are now.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from streamhebb.errors import ConfigError
from streamhebb.kernels.choice import active
from streamhebb.kernels.dispatch import check_update
from streamhebb.values import LocalUpdate

DIVISORS = ("no", "largest", "squares")
"""What a change is divided by: nothing; the largest absolute change of all neurons, plus a tiny
number; or the root of the running mean square of each neuron's own changes, plus one."""


class Running(NamedTuple):
    r"""The running mean square of each neuron's changes, $m \leftarrow (1 - a)\,m + a\,present$.

    Args:
        mean: so far, shape ``(n_out,)``.
        age: changes that are in it, a scalar in float64.
        memory: changes it reaches back, $a = \max(1 / memory, 1 / (age + 1))$.
        moved: the next one, ``(n_out,)``; written.
    """

    mean: Tensor
    age: Tensor
    memory: float
    moved: Tensor


def keeps(weight: Tensor) -> bool:
    """Whether it is known of a matrix when it changes, so that what was seen of it may be kept.

    Example:
        >>> keeps(torch.zeros(1, 2))
        True
    """
    found: bool = active().keeps(weight)
    return found


def at_once(
    update: LocalUpdate,
    weight: Tensor,
    step: Tensor,
    by: str,
    tiny: float = 0.0,
    running: Running | None = None,
    coarse: bool = False,
) -> bool:
    r"""Change weights in place as an update asks for, with all that a step depends on.

    $$w_{ji} \leftarrow w_{ji} + \frac{s_j}{c_j} \Big(\sum_n post_{nj}\, pre_{ni}
      - \big(\textstyle\sum_n decay_{nj}\big) w_{ji}\Big)$$

    Args:
        update: one outer product, and perhaps a decay.
        weight: shape ``(n_out, n_in)``; changed.
        step: $s$, shape ``(n_out, 1)``; or `Rates` by the lengths of these weights, ``(n_out,)``.
        by: what $c$ is, one of `DIVISORS`.
        tiny: what is added to the largest change, or to a mean square.
        running: what a change is divided by if that is ``"squares"``.
        coarse: whether the factors of the product are rounded first.

    Returns:
        Whether the backend has such kernels for these; if not, nothing was done.

    Raises:
        ConfigError: for an update whose shapes are not those of the weights.

    Example:
        >>> from streamhebb.values import Outer
        >>> update = LocalUpdate((Outer(torch.ones(1, 1), torch.ones(1, 2)),))
        >>> at_once(update, torch.zeros(1, 2), torch.ones(1, 1), "no")  # torch has none
        False
    """
    if by not in DIVISORS:
        raise ConfigError(f"by={by!r} is not allowed; choose one of {DIVISORS}")
    if len(update.outer) != 1 or update.dense is not None or torch.is_grad_enabled():
        return False
    if update.outer[0].factor is not None or update.outer[0].pre.ndim != 2:
        return False
    check_update(update, weight, weight, None)
    found: bool = active().at_once(update, weight, step, by, tiny, running, coarse)
    return found
