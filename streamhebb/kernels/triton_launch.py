"""Sizes and launches of the Triton kernels: how work is cut depends on shapes only.

Nothing is tuned by trial, so that a launch can be recorded into a CUDA graph, and nothing depends
on the card's number of processors, so that sums are cut alike everywhere. Tensors are float32, on
one device, and of the right shapes: `streamhebb.kernels.triton_backend` sees to that.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from streamhebb.kernels import triton_kernels as on_card
from streamhebb.kernels._triton import interpreted, launch
from streamhebb.kernels.patches import Patches
from streamhebb.lazy import made

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
TALL, WIDE = 16, 64
"""Of a tile of a matrix that is gone through number by number."""


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
    inner = power_of_2(k, 16, 64 if precision == "bf16" else 32)
    if min(m, n) >= 128 and pieces(m, 128) * pieces(n, 128) >= PROGRAMS:
        return Tiles(128, 128, min(inner, 32), 1, 8, 3)  # more does not fit into small cards
    rows, cols = power_of_2(m, 16, 64), power_of_2(n, 16, 64)
    found = pieces(m, rows) * pieces(n, cols)
    parts = max(1, min(pieces(PROGRAMS, found), k // INNER, PARTS))
    return Tiles(rows, cols, inner, parts, 4, 3)


class Cut(NamedTuple):
    """A product, cut: what is launched.

    Args:
        tiles: how.
        grid: tiles, and parts of the inner dimension.
        parts: of it.
        each: numbers of it that are in a part.
    """

    tiles: Tiles
    grid: tuple[int, int]
    parts: int
    each: int

    @classmethod
    def of(cls, m: int, n: int, k: int, precision: str) -> Cut:
        """Cut a product ``(m, k) @ (k, n)`` as `tiles` says."""
        cut = tiles(m, n, k, precision)
        each = pieces(pieces(k, cut.parts), cut.k) * cut.k
        count = pieces(k, each) if k else 1
        return cls(cut, (pieces(m, cut.m) * pieces(n, cut.n), count), count, each)

    def sizes(self, precision: str) -> dict[str, Any]:
        """What is compiled in."""
        return {
            "PRECISION": precision,
            "EMULATED": interpreted(on_card.product),
            "BLOCK_M": self.tiles.m,
            "BLOCK_N": self.tiles.n,
            "BLOCK_K": self.tiles.k,
            "num_warps": self.tiles.warps,
            "num_stages": self.tiles.stages,
        }


class Seen(NamedTuple):
    """What competitions see, as a kernel reads it: a matrix, or windows of images.

    Args:
        memory: the matrix ``(n, n_in)``, or the images.
        n: competitions.
        n_in: numbers that each sees.
        strides: of the matrix.
        places: where windows begin, and where their numbers lie; see `triton_kernels`.
        run: so many numbers of a window lie side by side, at least; 0 for a matrix.
    """

    memory: Tensor
    n: int
    n_in: int
    strides: tuple[int, int]
    places: tuple[int, ...]
    run: int


def seen(pre: Tensor) -> Seen:
    """Say how to read what competitions see; windows are read where they lie, in the images."""
    n, n_in = pre.shape
    if not isinstance(pre, Patches) or n >= 1 << 31:
        pre = made(pre)
        return Seen(pre, n, n_in, (pre.stride(0), pre.stride(1)), (1,) * 9, 0)
    image, step, apart = pre.image, pre.step, pre.dilation
    _, height, width, channels = image.shape
    high, wide = pre.sides
    line = width * channels
    begins = high * wide, wide, height * line, step * line, step * channels
    within = pre.kernel[1] * channels, channels, apart * line, apart * channels
    return Seen(image, n, n_in, (0, 0), begins + within, min(32, channels & -channels))


def drive(pre: Tensor, weight: Tensor, precision: str) -> Tensor:
    """``pre (n, n_in)``, ``weight (n_out, n_in)`` to ``(n, n_out)``."""
    u = weight.new_empty(len(pre), len(weight))
    if u.numel():
        _product(weight, seen(pre), u.mT, precision, inner=True)
    return u


def change(
    post: Tensor, pre: Tensor, decay: Tensor | None, weight: Tensor, out: Tensor, precision: str
) -> None:
    """Write ``post.mT @ pre - decay w``; ``decay (n_out,)`` is summed already."""
    if out.numel():
        _product(post.mT, seen(pre), out, precision, weight, decay)


def _product(
    a: Tensor,
    b: Seen,
    out: Tensor,
    precision: str,
    weight: Tensor | None = None,
    decay: Tensor | None = None,
    inner: bool = False,
) -> None:
    """Launch what `tiles` says.

    Args:
        a: shape ``(m, k)``.
        b: the other side, ``(k, n)``.
        out: shape ``(m, n)``; written.
        precision: of the product.
        weight: shape ``(m, n)``.
        decay: that many of the weights are taken off, ``(m,)``.
        inner: whether the inner dimension is what each competition sees; else that of competitions.
    """
    (m, k), n = a.shape, out.shape[1]
    cut = Cut.of(m, n, k, precision)
    parts = out[None] if cut.parts == 1 else out.new_empty(cut.parts, m, n)
    # An argument that is not there is another one.
    own = out if decay is None else decay.contiguous()  # has no stride on the card
    weight = out if weight is None else weight
    decays = decay is not None
    launch(
        on_card.product, cut.grid,
        a, b.memory, parts, weight, own, m, n, k, cut.each,
        *a.stride(), *(b.strides[::-1] if inner else b.strides), *b.places,
        *parts.stride(), *weight.stride(),
        DECAYS=decays and cut.parts == 1, **reading(b, inner), **cut.sizes(precision),
        flops=2 * m * n * k,
    )  # fmt: skip
    if cut.parts > 1:
        tall, wide = TALL, WIDE
        launch(
            on_card.finish, (pieces(m, tall) * pieces(n, wide),),
            parts, cut.parts, parts.stride(0), out, weight, own, m, n,
            *out.stride(), *weight.stride(), DECAYS=decays, BLOCK_M=tall, BLOCK_N=wide,
        )  # fmt: skip


def reading(b: Seen, inner: bool) -> dict[str, Any]:
    """How a product reads its other side, compiled in."""
    kind = "matrix" if not b.run else "inner" if inner else "outer"
    return {"SEEN": kind, "RUN": max(1, b.run)}


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
        wide = power_of_2(k, 16, WHOLE)
        tall = max(1, AT_ONCE // wide)
        launch(
            on_card.soft_wta, (pieces(n, tall),), drive, out, n, k, *drive.stride(), t,
            ANTI_HEBBIAN=anti_hebbian, BLOCK_N=tall, BLOCK_K=wide, num_warps=4,
        )  # fmt: skip
    return out


def pieces(length: int, step: int) -> int:
    """Pieces of a length."""
    return -(-length // max(step, 1))


def power_of_2(length: int, least: int, most: int) -> int:
    """The first power of 2 that is not smaller, within bounds."""
    return min(most, max(least, 1 << max(length - 1, 0).bit_length()))
