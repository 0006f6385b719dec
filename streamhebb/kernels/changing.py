r"""Weights changed a few neurons at a time, so that their change never leaves the cache.

$$w_{ji} \leftarrow w_{ji} + s_j \Big(\sum_n post_{nj}\, pre_{ni} - decay_j w_{ji}\Big)$$

Written out whole, the change of a large layer passes through memory several times: to be made, to
be measured, to be added, and once more for the norms that the next rate asks for. This needs the
step $s_j$ before the change of other neurons is known. Where it depends on the largest change of
the layer, that is found first, from a bound that every neuron's change keeps:

$$b_j = \sum_n |post_{nj}| \max_i |pre_{ni}| + |decay_j| \max_i |w_{ji}|$$

The neurons with the highest bounds are computed; when the largest change among them is above the
bounds of all others, it is the largest of all. In the published nets a handful will do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from streamhebb.kernels.choice import active
from streamhebb.kernels.dispatch import check_update
from streamhebb.kernels.patches import Patches
from streamhebb.kernels.spare import Spare
from streamhebb.kernels.torch_backend import product
from streamhebb.sharing import cut, in_pieces
from streamhebb.values import LocalUpdate

LARGE = 1 << 20  # weights; below, a change stays in the cache as it is
AT_ONCE = 1 << 20  # numbers of a change that are made at a time: 4 MiB in float32
TRIED = (4, 16, 64)  # neurons whose change is computed to find the largest, one try after the other
ROUNDING, COARSE = 1.0001, 1.1  # a bound is itself rounded; so are, if coarse, the factors

Step = Tensor | Callable[[slice, Tensor], Tensor]
"""Shape ``(n_out, 1)``; or a function that gives the rows of it, from them and their change."""


class Rows(NamedTuple):
    """What is known of every neuron's weights.

    Attributes:
        norm: length, shape ``(n_out,)``.
        top: largest absolute weight, shape ``(n_out,)``.
    """

    norm: Tensor
    top: Tensor


def rows_of(weight: Tensor) -> Rows:
    """Look at every neuron's weights, ``(n_out, n_in)``.

    Example:
        >>> rows_of(torch.tensor([[3.0, -4.0]]))
        Rows(norm=tensor([5.]), top=tensor([4.]))
    """
    rows = Rows(weight.new_empty(len(weight)), weight.new_empty(len(weight)))
    pieces = cut(len(weight), 8 * weight.numel())

    def piece(number: int) -> None:
        own = pieces[number]
        active().look(weight[own], rows.norm[own], rows.top[own])

    in_pieces(piece, len(pieces))
    return rows


def in_cache(update: LocalUpdate, weight: Tensor, index: Tensor | None) -> bool:
    """Whether an update can be carried out a few neurons at a time, and is worth it."""
    return (
        index is None
        and len(update.outer) == 1
        and update.outer[0].factor is None
        and update.outer[0].pre.ndim == 2
        and update.dense is None
        and by_rows(weight)
        and not torch.is_grad_enabled()
    )


def by_rows(weight: Tensor) -> bool:
    """Whether a matrix is worth changing a few rows at a time."""
    return weight.device.type == "cpu" and weight.numel() >= LARGE


def change(
    update: LocalUpdate, weight: Tensor, step: Step, spare: Spare, coarse: bool = False
) -> Rows:
    """Change weights in place as an update asks for.

    Args:
        update: one outer product, and perhaps a decay.
        weight: shape ``(n_out, n_in)``.
        step: what the change is multiplied with, by neuron.
        spare: memory.
        coarse: whether the factors of the product are rounded first.

    Returns:
        What is known of the new weights.

    Raises:
        ConfigError: for an update whose shapes are not those of the weights.

    Example:
        >>> from streamhebb.values import Outer
        >>> update = LocalUpdate((Outer(torch.ones(1, 1), torch.tensor([[2.0, 3.0]])),))
        >>> weight = torch.zeros(1, 2)
        >>> _ = change(update, weight, torch.tensor([[0.5]]), Spare())
        >>> weight
        tensor([[1.0000, 1.5000]])
    """
    check_update(update, weight, weight, None)
    (outer,), backend = update.outer, active()
    decay = None if update.decay is None else update.decay.sum(-2)[:, None]
    rows = Rows(weight.new_empty(len(weight)), weight.new_empty(len(weight)))
    pieces = cut(len(weight), weight.numel() * len(outer.pre))
    if isinstance(outer.pre, Patches):
        _ = outer.pre.tiles  # made here, not in a piece
    at_once = max(16, AT_ONCE // weight.shape[1] // 16 * 16)

    def piece(number: int) -> None:
        own = pieces[number]
        with spare.lent((min(at_once, own.stop - own.start), weight.shape[1]), weight) as memory:
            for start in range(own.start, own.stop, at_once):
                few = slice(start, min(start + at_once, own.stop))
                made = memory[: few.stop - few.start]
                product(outer.post[:, few], outer.pre, made, None, coarse)
                less = None if decay is None else decay[few]
                if isinstance(step, Tensor):
                    own_step = step[few]
                else:
                    if less is not None:
                        made.addcmul_(weight[few], less, value=-1)
                    less, own_step = None, step(few, made)
                backend.add(made, less, own_step, weight[few], rows.norm[few], rows.top[few])

    in_pieces(piece, len(pieces))
    return rows


def largest_change(
    update: LocalUpdate, weight: Tensor, top: Tensor, coarse: bool = False
) -> Tensor | None:
    """Find the largest absolute change of a layer without computing all of them.

    Args:
        update: one outer product, and perhaps a decay.
        weight: shape ``(n_out, n_in)``.
        top: largest absolute weight of each neuron, shape ``(n_out,)``.
        coarse: whether the factors of the product are rounded first.

    Returns:
        A scalar; ``None`` if many neurons would have to be computed.

    Example:
        >>> from streamhebb.values import Outer
        >>> post = torch.zeros(1, 64)
        >>> post[0, 7] = -2.0
        >>> update = LocalUpdate((Outer(post, torch.tensor([[2.0, 3.0]])),))
        >>> largest_change(update, torch.zeros(64, 2), torch.zeros(64))
        tensor(6.)
    """
    (outer,) = update.outer
    decay = None if update.decay is None else update.decay.sum(-2)
    bound = _weighed(outer.post, _tops(outer.pre))
    if decay is not None:
        bound.addcmul_(decay.abs(), top)
    bound.mul_(COARSE if coarse else ROUNDING)
    order = bound.topk(min(len(bound), sum(TRIED) + 1))
    found, after = weight.new_zeros(()), 0
    for count in TRIED:
        few = order.indices[after : after + count]
        made = weight.new_empty(len(few), weight.shape[1])
        product(outer.post[:, few], outer.pre, made, None, coarse)
        if decay is not None:
            made.addcmul_(weight[few], decay[few, None], value=-1)
        found = torch.maximum(found, made.abs_().amax())
        after += len(few)
        if after == len(bound) or not found < order.values[after]:  # or NaN: nothing is larger
            return found
    return None


def _tops(pre: Tensor) -> Tensor:
    """Largest absolute input of every competition, shape ``(n,)``."""
    if isinstance(pre, Patches):
        return pre.tops
    return torch.maximum(pre.amax(1), pre.amin(1).neg_())


def _weighed(post: Tensor, by: Tensor, at_once: int = 256) -> Tensor:
    """Sum of absolute factors times a number for each competition, shape ``(n_out,)``."""
    total = post.new_zeros(post.shape[1])
    for few, own in zip(
        torch.split(post, at_once), torch.split(by, at_once), strict=True
    ):  # stays in the cache
        total += own @ few.abs()
    return total
