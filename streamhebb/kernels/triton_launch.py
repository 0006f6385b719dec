"""Sizes and launches of the Triton kernels: how work is cut depends on shapes only.

Nothing is tuned by trial, so that a launch can be recorded into a CUDA graph, and nothing depends
on the card's number of processors, so that sums are cut alike everywhere. Tensors are float32, on
one device, and of the right shapes: `streamhebb.kernels.triton_backend` sees to that.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from streamhebb.kernels import triton_kernels as on_card
from streamhebb.kernels._triton import interpreted, launch

PROGRAMS = 128
"""Programs that fill a large card, about."""
INNER = 256
"""Of an inner dimension that is cut, what a part has at least."""
PARTS = 32
"""Into which an inner dimension is cut at most."""
WHOLE = 4096
"""Neurons whose competition one block holds; more are gone through twice."""
AT_ONCE = 2048
"""Numbers of several short rows that one block takes."""


class Tiles(NamedTuple):
    """How a product ``(m, k) @ (k, n)`` is cut.

    Args:
        m: rows of a tile.
        n: its columns.
        k: of the inner dimension at a time.
        parts: into which the inner dimension is cut.
        warps: that work on a tile.
        stages: blocks under way from memory at a time.
    """

    m: int
    n: int
    k: int
    parts: int
    warps: int
    stages: int


def tiles(m: int, n: int, k: int, precision: str) -> Tiles:
    """Cut a product.

    Tiles of 128 x 128 read each number least often. Where these are too few to fill a card, tiles
    are 64 x 64, or as small as the matrix. Where these are too few, the inner dimension is cut,
    and what its parts came to is added up afterwards.

    Example:
        >>> tiles(4096, 4096, 100, "tf32x3")
        Tiles(m=128, n=128, k=32, parts=1, warps=8, stages=3)
        >>> tiles(1536, 64, 3456, "tf32x3").parts
        6
    """
    inner = _power(k, 16, 64 if precision == "bf16" else 32)
    if min(m, n) >= 128 and _cut(m, 128) * _cut(n, 128) >= PROGRAMS:
        return Tiles(128, 128, min(inner, 32), 1, 8, 3)  # more does not fit into small cards
    rows, cols = _power(m, 16, 64), _power(n, 16, 64)
    found = _cut(m, rows) * _cut(n, cols)
    parts = max(1, min(_cut(PROGRAMS, found), k // INNER, PARTS))
    return Tiles(rows, cols, inner, parts, 4, 3)


def drive(pre: Tensor, weight: Tensor, precision: str) -> Tensor:
    """``pre (n, n_in)``, ``weight (n_out, n_in)`` to ``(n, n_out)``."""
    u = weight.new_empty(len(pre), len(weight))
    if u.numel():
        _product(weight, pre.mT, u.mT, precision)
    return u


def change(
    post: Tensor, pre: Tensor, decay: Tensor | None, weight: Tensor, out: Tensor, precision: str
) -> None:
    """Write ``post.mT @ pre - decay w``; ``decay (n_out,)`` is summed already."""
    if out.numel():
        _product(post.mT, pre, out, precision, weight, decay)


def largest_change(
    post: Tensor, pre: Tensor, decay: Tensor | None, weight: Tensor, precision: str
) -> Tensor:
    """The largest absolute number of that change, which is written nowhere; a scalar."""
    if not weight.numel():
        return weight.new_zeros(())
    return _product(post.mT, pre, weight, precision, weight, decay, end="largest").amax()


def squares(
    post: Tensor, pre: Tensor, decay: Tensor | None, weight: Tensor, precision: str
) -> Tensor:
    """The squares of that change, summed over each row, ``(n_out,)``; it is written nowhere."""
    if not weight.numel():
        return weight.new_zeros(len(weight))
    return _product(post.mT, pre, weight, precision, weight, decay, end="squares").sum(1)


def update(
    post: Tensor, pre: Tensor, decay: Tensor | None, weight: Tensor, step: Tensor, precision: str
) -> Tensor:
    """Add ``step`` times that change; ``step (n_out,)`` or a number. Return squared norms."""
    if not weight.numel():
        return weight.new_zeros(len(weight))
    return _product(post.mT, pre, weight, precision, weight, decay, step, "add").sum(1)


def _product(
    a: Tensor,
    b: Tensor,
    out: Tensor,
    precision: str,
    weight: Tensor | None = None,
    decay: Tensor | None = None,
    step: Tensor | None = None,
    end: str = "write",
) -> Tensor:
    """Launch what `tiles` says; return what was found of each row, by tile, if it ends so."""
    (m, k), n = a.shape, b.shape[1]
    weight = out if weight is None else weight
    cut = tiles(m, n, k, precision)
    each = _cut(_cut(k, cut.parts), cut.k) * cut.k
    count = _cut(k, each) if k else 1
    ends = count == 1  # the last thing that one part does is to end
    parts = out.new_empty(count, m, n) if not ends else out[None]
    wide, tall = (cut.n, cut.m) if ends else (64, 16)
    # An argument that is not there is another one.
    own = weight if decay is None else decay.contiguous()  # has no stride on the card
    steps = weight if step is None else step.expand(m)
    found = weight if end == "write" else out.new_empty(m, _cut(n, wide))
    own_end = {"DECAYS": decay is not None, "END": end}
    first = own_end if ends else {"DECAYS": False, "END": "write"}
    launch(
        on_card.product, (_cut(m, cut.m) * _cut(n, cut.n), count),
        a, b, parts, weight, own, steps, found, m, n, k, each,
        *a.stride(), cut.k * a.stride(1), *b.stride(), cut.k * b.stride(0),
        *parts.stride(), *weight.stride(), steps.stride(0),
        **first,
        PRECISION=precision, EMULATED=interpreted(on_card.product),
        BLOCK_M=cut.m, BLOCK_N=cut.n, BLOCK_K=cut.k,
        num_warps=cut.warps, num_stages=cut.stages, flops=2 * m * n * k,
    )  # fmt: skip
    if not ends:
        launch(
            on_card.finish, (_cut(m, tall) * _cut(n, wide),),
            parts, count, parts.stride(0), out, weight, own, steps, found, m, n,
            *out.stride(), *weight.stride(), steps.stride(0),
            **own_end, BLOCK_M=tall, BLOCK_N=wide,
        )  # fmt: skip
    return found


def soft_wta(drive: Tensor, t: float, anti_hebbian: bool) -> Tensor:
    """``drive (n, k)`` to shares of the same shape."""
    n, k = drive.shape
    out = drive.new_empty(n, k)
    if not out.numel():
        return out
    if k > WHOLE:
        launch(
            on_card.soft_wta_wide, (n,), drive, out, k, *drive.stride(), t,
            ANTI_HEBBIAN=anti_hebbian, BLOCK_K=WHOLE, num_warps=8,
        )  # fmt: skip
    else:
        wide = _power(k, 16, WHOLE)
        tall = max(1, AT_ONCE // wide)
        launch(
            on_card.soft_wta, (_cut(n, tall),), drive, out, n, k, *drive.stride(), t,
            ANTI_HEBBIAN=anti_hebbian, BLOCK_N=tall, BLOCK_K=wide, num_warps=4,
        )  # fmt: skip
    return out


def _cut(length: int, step: int) -> int:
    """Pieces of a length."""
    return -(-length // max(step, 1))


def _power(length: int, least: int, most: int) -> int:
    """The first power of 2 that is not smaller, within bounds."""
    return min(most, max(least, 1 << max(length - 1, 0).bit_length()))
