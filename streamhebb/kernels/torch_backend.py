"""The kernels with torch operators: any device, any precision, always there.

Shapes: without groups ``pre (n, n_in)``, ``post (n, n_out)``; with ``g`` groups
``pre (g, n, n_in)``, ``post (g, n, n_out / g)``. Weights are ``(n_out, n_in)`` in both cases, and
``(n_out, fan_in)`` with an ``index`` of the same shape for a sparse synapse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from streamhebb.kernels import winograd
from streamhebb.kernels.coarse import product as write_product
from streamhebb.kernels.coarse import rounded
from streamhebb.kernels.patches import Patches
from streamhebb.sharing import cut, in_pieces
from streamhebb.values import LocalUpdate, Outer

maps = winograd.products

AT_ONCE = 1 << 22  # numbers gathered at a time for sparse synapses: 16 MiB in float32


def by_group(matrix: Tensor, like: Tensor) -> Tensor:
    """Rows for all neurons, (n_out, m), seen as (n_out, m) or (g, n_out / g, m)."""
    return matrix if like.ndim == 2 else matrix.view(like.shape[0], -1, matrix.shape[1])


def drive(pre: Tensor, weight: Tensor, coarse: bool = False) -> Tensor:
    """See `streamhebb.kernels.drive`."""
    tiles = pre.tiles if isinstance(pre, Patches) else None  # made here, not in a piece
    kind = pre.dtype
    if coarse and tiles is None:
        pre, weight = rounded(pre), rounded(weight)
    if pre.ndim != 2 or torch.is_grad_enabled():  # an ``out`` has no gradient
        return (pre @ by_group(weight, pre).mT).to(kind)
    rows = cut(weight.shape[0], pre.numel() * weight.shape[0])
    u = weight.new_empty(pre.shape[0], weight.shape[0], dtype=kind)

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


def accumulate(
    update: LocalUpdate,
    weight: Tensor,
    out: Tensor,
    index: Tensor | None = None,
    coarse: bool = False,
) -> Tensor:
    """See `streamhebb.kernels.accumulate`."""
    outers = [outer._replace(factor=outer.at(weight)) for outer in update.outer]
    decay = None if update.decay is None else update.decay.sum(-2).reshape(-1, 1)
    if index is not None or any(outer.pre.ndim != 2 for outer in outers):
        _accumulate(outers, decay, update.dense, weight, out, index, coarse)
        return out
    rows = cut(len(weight), out.numel() * sum(len(outer.pre) for outer in outers))

    def piece(number: int) -> None:
        own = rows[number]
        _accumulate(
            [Outer(o.post[:, own], o.pre, _of(o.at(weight), own)) for o in outers],
            _of(decay, own),
            _of(update.dense, own),
            weight[own],
            out[own],
            None,
            coarse,
        )

    in_pieces(piece, len(rows))
    return out


def _of(value: Tensor | None, rows: slice) -> Tensor | None:
    return None if value is None else value[rows]


def _accumulate(
    outers: Sequence[Outer],
    decay: Tensor | None,
    dense: Tensor | None,
    weight: Tensor,
    out: Tensor,
    index: Tensor | None,
    coarse: bool,
) -> None:
    if not outers:
        out.zero_()
    for number, outer in enumerate(outers):
        post, pre, factor = outer.post, outer.pre, outer.at(weight)
        if number == 0:
            product(post, pre, out, index, coarse)
            if factor is not None:
                out *= factor
        else:
            more = product(post, pre, torch.empty_like(out), index, coarse)
            out += more if factor is None else more.mul_(factor)
    if decay is not None:
        out.addcmul_(weight, decay, value=-1)
    if dense is not None:
        out += dense


def add(
    change: Tensor,
    decay: Tensor | None,
    step: Tensor,
    weight: Tensor,
    norm: Tensor,
    top: Tensor | None = None,
) -> None:
    """Add ``step * (change - decay * weight)`` in place, and look at the result.

    Args:
        change: shape ``(k, n_in)``; overwritten.
        decay: shape ``(k, 1)``, or ``None``.
        step: shape ``(k, 1)``.
        weight: shape ``(k, n_in)``.
        norm: see `look`.
        top: see `look`.
    """
    if decay is not None:
        change.addcmul_(weight, decay, value=-1)
    weight.addcmul_(change, step)
    look(weight, norm, top)


def look(weight: Tensor, norm: Tensor, top: Tensor | None = None) -> None:
    """Write the length of every neuron and, if wanted, its largest absolute weight, ``(k,)``."""
    torch.linalg.vector_norm(weight, 2, dim=1, out=norm)
    if top is not None:
        # Two plain passes: torch's one for both, or for absolute values, is 10x slower by rows.
        torch.maximum(weight.amax(1), weight.amin(1).neg_(), out=top)


def renew(
    post: Tensor,
    pre: Tensor,
    decay: Tensor | None,
    step: Tensor,
    weight: Tensor,
    norm: Tensor,
    top: Tensor | None = None,
) -> bool:
    """Change rows of weights in one pass, as `add` does with the change that this would make.

    Args:
        post: shape ``(n, k)``.
        pre: shape ``(n, n_in)``.
        decay: shape ``(k, 1)``, or ``None``.
        step: shape ``(k, 1)``.
        weight: shape ``(k, n_in)``.
        norm: see `look`.
        top: see `look`.

    Returns:
        Whether there is such a pass for these; if not, nothing was done.
    """
    return False


def largest_change(
    post: Tensor, pre: Tensor, decay: Tensor | None, weight: Tensor, top: Tensor
) -> Tensor | None:
    """The largest absolute change of all rows, if there is a quick way; shapes as for `renew`.

    Args:
        post: shape ``(n, k)``.
        pre: shape ``(n, n_in)``.
        decay: shape ``(k,)``, or ``None``.
        weight: shape ``(k, n_in)``.
        top: largest absolute weight of each row or a bound of it, shape ``(k,)``.
    """
    return None


def product(
    post: Tensor,
    pre: Tensor,
    out: Tensor,
    index: Tensor | None = None,
    coarse: bool = False,
) -> Tensor:
    """Write the sum of post times pre over competitions into ``out``."""
    if isinstance(pre, Patches):
        pre.tiles.learn(post, out)
        return out
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
