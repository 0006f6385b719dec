"""The kernels with torch operators: any device, any precision, always there.

Shapes: without groups ``pre (n, n_in)``, ``post (n, n_out)``; with ``g`` groups
``pre (g, n, n_in)``, ``post (g, n, n_out / g)``. Weights are ``(n_out, n_in)`` in both cases, and
``(n_out, fan_in)`` with an ``index`` of the same shape for a sparse synapse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from streamhebb.kernels.coarse import product as write_product
from streamhebb.kernels.coarse import round_into, rounded
from streamhebb.kernels.memory import fresh
from streamhebb.kernels.passes import cut_rows
from streamhebb.kernels.patches import Patches
from streamhebb.kernels.renewal import Renewal
from streamhebb.sharing import in_pieces
from streamhebb.values import LocalUpdate, Outer

Multiply = Callable[[Tensor, Tensor, Tensor, Tensor | None, bool, slice], Tensor]
"""As `product`."""

AT_ONCE = 1 << 22  # numbers gathered at a time for sparse synapses: 16 MiB in float32
AT_ONE_TIME = 256  # competitions whose absolute factors are written out: they stay in the cache
LITTLE = 16  # competitions; so few windows may be copied
ALL = slice(None)


def by_group(matrix: Tensor, like: Tensor) -> Tensor:
    """Rows for all neurons, (n_out, m), seen as (n_out, m) or (g, n_out / g, m)."""
    return matrix if like.ndim == 2 else matrix.view(like.shape[0], -1, matrix.shape[1])


def drive(pre: Tensor, weight: Tensor, coarse: bool = False) -> Tensor:
    """See `streamhebb.kernels.drive`."""
    tiles, kind = None, pre.dtype
    if isinstance(pre, Patches):  # made here, not in a piece
        tiles, pre = (pre.tiles, pre) if pre.side else (None, pre.made)
    if coarse and tiles is None:
        pre, weight = rounded(pre), rounded(weight)
    if pre.ndim != 2 or torch.is_grad_enabled():  # an ``out`` has no gradient
        return (pre @ by_group(weight, pre).mT).to(kind)
    rows = cut_rows(weight, pre.numel() * weight.shape[0])
    u = fresh((pre.shape[0], weight.shape[0]), weight, kind)

    def piece(number: int) -> None:
        neurons = rows[number]
        if tiles is not None:
            tiles.respond(weight[neurons], u[:, neurons])
        else:
            write_product(pre, weight[neurons].mT, u[:, neurons])

    in_pieces(piece, len(rows))
    return u


def sparse_drive(pre: Tensor, weight: Tensor, index: Tensor) -> Tensor:
    """See `streamhebb.kernels.sparse_drive`."""
    weights = by_group(weight, pre) if pre.ndim == 3 else weight[None]
    u = pre.new_empty(*weights.shape[:1], pre.shape[-2], weights.shape[1])
    for group, rows, seen in _gathered(pre, index):
        u[group, rows] = (seen * weights[group]).sum(-1)
    return u if pre.ndim == 3 else u[0]


def soft_wta(drive: Tensor, t: float, anti_hebbian: bool) -> Tensor:
    """See `streamhebb.kernels.soft_wta`."""
    share = torch.softmax(drive * t, -1)
    return reverse_losers(share, drive) if anti_hebbian else share


def reverse_losers(share: Tensor, drive: Tensor) -> Tensor:
    """Change, in place, the sign of every share but the winner's."""
    # The winner is taken from the drive itself: shares may tie after rounding.
    winner = drive.argmax(-1, keepdim=True)
    won = share.gather(-1, winner)
    return share.neg_().scatter_(-1, winner, won)


def summed_products(one: Tensor, two: Tensor) -> Tensor:
    """Sum of products over competitions, for every neuron, shape ``(n_out,)``.

    Args:
        one: shape ``(n, n_out)``, or ``(g, n, n_out / g)``.
        two: the same shape.
    """
    return (one * two).sum(-2).reshape(-1)


def tops(pre: Tensor) -> Tensor:
    """Largest absolute input of every competition, ``(n, n_in) -> (n,)``; NaN if one is."""
    if isinstance(pre, Patches):
        return pre.tops
    if pre.shape[0] <= LITTLE:
        return pre.abs().amax(1)
    return torch.maximum(pre.amax(1), pre.amin(1).neg_())  # without a copy of all windows


def bounds(post: Tensor, tops: Tensor, decay: Tensor | None, top: Tensor, slack: float) -> Tensor:
    """What no change of a neuron exceeds, shape ``(n_out,)``; see `changing`.

    Args:
        post: shape ``(n, n_out)``.
        tops: largest absolute input of every competition, ``(n,)``.
        decay: shape ``(n_out,)``, or ``None``.
        top: largest absolute weight of each neuron or a bound of it, shape ``(n_out,)``.
        slack: what bounds are multiplied with, as they are rounded.
    """
    parts = torch.split(post, AT_ONE_TIME), torch.split(tops, AT_ONE_TIME)
    found = reduce(Tensor.add_, (own @ few.abs() for few, own in zip(*parts, strict=True)))
    if decay is not None:
        found.addcmul_(decay.abs(), top)
    return found.mul_(slack)


def rates(radius: Tensor, lr: float, power: float) -> Tensor:
    """See `streamhebb.kernels.rates`."""
    return (radius - 1).abs_().add_(1e-10).pow_(power).mul_(lr)


def change_events(outers: tuple[Outer, ...], weight: Tensor, step: Tensor) -> bool:
    """See `streamhebb.kernels.change_events`; ``step (n_out,)``."""
    return False


def largest(matrix: Tensor) -> Tensor | float:
    """The largest absolute value in a matrix; NaN if one is."""
    # One vectorised pass without a temporary; 25x faster than an infinity norm on a CPU.
    low, high = torch.aminmax(matrix)
    return torch.maximum(-low, high)


def fuses(x: Tensor) -> bool:
    """Whether there are passes of several steps for images ``(B, C, H, W)`` like these."""
    return False


def statistics(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor] | None:
    """See `streamhebb.kernels.statistics`; ``None`` if there is no such pass."""
    return None


def running_moments(
    x: Tensor, past: tuple[Tensor, Tensor, Tensor], least: float, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """See `streamhebb.kernels.running_moments`; ``None`` if there is no such pass."""
    return None


def follow(past: tuple[Tensor, Tensor, Tensor], mean: Tensor, var: Tensor, least: float) -> bool:
    """See `streamhebb.kernels.follow`; if there is no such pass, nothing was done."""
    return False


def move(mean: Tensor, var: Tensor, to: tuple[Tensor, Tensor], share: float) -> None:
    """See `streamhebb.kernels.move`."""
    mean.lerp_(to[0], share)
    var.lerp_(to[1], share)


def scaled(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor | None:
    """See `streamhebb.kernels.scaled`; ``None`` if there is no such pass."""
    return None


def rectified(x: Tensor, power: float) -> Tensor | None:
    """See `streamhebb.kernels.rectified`; ``None`` if there is no such pass."""
    return None


def powers(x: Tensor, power: float) -> Tensor:
    """See `streamhebb.kernels.powers`."""
    return raised(x.relu(), power)


def raised(x: Tensor, power: float) -> Tensor:
    """Raise what may be overwritten to a power; a gradient needs it as it was."""
    if power == 1:
        return x
    return x**power if x.requires_grad else x.pow_(power)


def accumulate(
    update: LocalUpdate,
    weight: Tensor,
    out: Tensor,
    index: Tensor | None = None,
    coarse: bool = False,
    multiply: Multiply | None = None,
    pieces: Sequence[slice] = (),
) -> Tensor:
    """See `streamhebb.kernels.accumulate`.

    Args:
        update: see there, as all that is not here.
        weight: see there.
        out: see there.
        index: see there.
        coarse: see there.
        multiply: makes the products, as `product` does, which it stands for.
        pieces: of the neurons, for those products.
    """
    outers = [outer._replace(factor=outer.at(weight)) for outer in update.outer]
    decay = None if update.decay is None else _summed(update.decay)[:, None]
    whole = index is not None or any(outer.pre.ndim != 2 for outer in outers)
    work = out.numel() * sum(len(outer.pre) for outer in outers)
    rows = [ALL] if whole else pieces or cut_rows(weight, work)
    for outer in outers if multiply is None and len(rows) > 1 else ():
        if isinstance(outer.pre, Patches):
            outer.pre.ready()
    multiply = product if multiply is None else multiply

    def piece(number: int) -> None:
        own = rows[number]
        made = out[own]
        if not outers:
            made.zero_()
        for place, (post, pre, factor) in enumerate(outers):
            into = made if place == 0 else torch.empty_like(made)
            multiply(post, pre, into, index, coarse, own)
            if isinstance(factor, Tensor):
                into *= factor[own]
            if place:
                made.add_(into)
        if decay is not None:
            made.addcmul_(weight[own], decay[own], value=-1)
        if update.dense is not None:
            made.add_(update.dense[own])

    in_pieces(piece, len(rows))
    return out


def _summed(decay: Tensor) -> Tensor:
    """Over competitions, unless that has been done, for all neurons."""
    return (decay if decay.shape[-2] == 1 else decay.sum(-2)).reshape(-1)


def add(change: Tensor, rows: Renewal) -> None:
    """Add ``step * (change - decay * weight)`` in place, and look at the result.

    Args:
        change: of some neurons, ``(k, n_in)``; overwritten.
        rows: these neurons.
    """
    if rows.decay is not None:
        change.addcmul_(rows.weight, rows.decay[:, None], value=-1)
    rows.weight.addcmul_(change, rows.step[:, None])
    look(rows.weight, rows.norm, rows.top)
    if rows.memory is not None:
        round_into(rows.weight, rows.memory)


def look(weight: Tensor, norm: Tensor, top: Tensor | None = None) -> None:
    """Write the length of every neuron and, if wanted, its largest absolute weight, ``(k,)``."""
    torch.linalg.vector_norm(weight, 2, dim=1, out=norm)
    if top is not None:
        # Two plain passes: torch's one for both, or for absolute values, is 10x slower by rows.
        torch.maximum(weight.amax(1), weight.amin(1).neg_(), out=top)


def renews(
    post: Tensor, pre: Tensor, decay: Tensor | None, weight: Tensor,
    coarse: bool = False, searched: bool = True,
) -> bool:  # fmt: skip
    """Whether `renew` does these in less time than a change written out takes.

    Args:
        post: shape ``(n, n_out)``.
        pre: shape ``(n, n_in)``.
        decay: of any shape that a rule gives, or ``None``.
        weight: shape ``(n_out, n_in)``.
        coarse: whether the factors of the product are rounded first.
        searched: whether `largest_change` must do these, too.
    """
    return False


def renew(post: Tensor, pre: Tensor, rows: Renewal, coarse: bool = False) -> bool:
    """Change weights in one pass, as `add` does with the change that this would make.

    Args:
        post: shape ``(n, n_out)``.
        pre: shape ``(n, n_in)``.
        rows: the weights, and what is to be known of them.
        coarse: whether the factors of the product are rounded first.

    Returns:
        Whether there is such a pass for these; if not, nothing was done.
    """
    return False


def largest_change(
    post: Tensor, pre: Tensor, decay: Tensor | None, weight: Tensor, top: Tensor,
    coarse: bool, most: int,
) -> Tensor | bool | None:  # fmt: skip
    """The largest absolute change of all neurons, if there is a quick way to find it.

    Args:
        post: shape ``(n, n_out)``.
        pre: shape ``(n, n_in)``.
        decay: shape ``(n_out,)``, or ``None``.
        weight: shape ``(n_out, n_in)``.
        top: largest absolute weight of each neuron or a bound of it, shape ``(n_out,)``.
        coarse: whether the factors of the product are rounded first.
        most: neurons that are looked at, those of the highest bounds, if not all are.

    Returns:
        A scalar; ``None`` if others may change more; ``False`` if there is no quick way.
    """
    return False


def keeps(weight: Tensor) -> bool:
    """See `streamhebb.kernels.keeps`; graphs of a card change weights uncounted."""
    return weight.device.type == "cpu"


def at_once(
    update: LocalUpdate, weight: Tensor, step: Tensor, by: str, tiny: float,
    running: Any, coarse: bool,
) -> bool:  # fmt: skip
    """See `streamhebb.kernels.at_once`; shapes are checked."""
    return False


def product(
    post: Tensor,
    pre: Tensor,
    out: Tensor,
    index: Tensor | None = None,
    coarse: bool = False,
    own: slice = ALL,
) -> Tensor:
    """Write the sum of post times pre over competitions into ``out``.

    Args:
        post: of all neurons, ``(n, n_out)`` or ``(g, n, n_out / g)``.
        pre: shape ``(n, n_in)`` or ``(g, n, n_in)``.
        out: shape ``(n_out, n_in)``, or that of the neurons ``own``.
        index: of a sparse synapse.
        coarse: whether both are rounded first.
        own: some of the neurons, where there are no groups.
    """
    if own != ALL:
        post = post[:, own]
    if isinstance(pre, Patches):
        if pre.side:
            pre.tiles.learn(post, out)
            return out
        pre = pre.made
    if coarse:
        post, pre = rounded(post), rounded(pre)
    if index is None and post.shape[-2] == 1 and post.dtype == out.dtype:
        torch.mul(post.mT, pre, out=by_group(out, pre))  # a pass; as a product 2x slower
        return out
    if index is None:
        write_product(post.mT, pre, by_group(out, pre))
        return out
    out.zero_()
    sums = by_group(out, pre) if pre.ndim == 3 else out[None]
    posts = post if post.ndim == 3 else post[None]
    for group, rows, seen in _gathered(pre, index):
        sums[group] += (seen * posts[group, rows, :, None]).sum(0)
    return out


def _gathered(pre: Tensor, index: Tensor) -> Iterator[tuple[int, slice, Tensor]]:
    """Group, rows, and what the neurons see in them, ``(rows, n_out / g, fan_in)``; few at once."""
    pres = pre if pre.ndim == 3 else pre[None]
    indices = index.view(len(pres), -1, index.shape[1])
    step = max(1, AT_ONCE // max(1, indices[0].numel()))
    for group in range(len(pres)):
        for start in range(0, pre.shape[-2], step):
            rows = slice(start, start + step)
            yield group, rows, pres[group, rows][:, indices[group]]
