"""The kernels compiled for the CPU by numba, where that was measured to be faster.

* Updates of few competitions, which is what a stream of single samples gives a dense layer: one
  fused pass over the weights where torch makes several.
* Updates of many competitions in which little is active (spikes, one winner a time step): the work
  is proportional to what is active.
* Soft winner-take-all: one pass over each competition, with an exponential of its own.
* Sparse synapses: nothing is gathered into memory first.

All else is matrix products of many rows, which torch's own library does best, so it goes there:
`drive`, and `accumulate` for convolutions. So do other devices and precisions, and tensors that
need gradients.

Loops are compiled when first called. Compiled code is not kept on disk: numba would write it as
pickles beside the package, and a full disk would then stop a run.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from streamhebb.kernels import loops, row_loops, tile2_loops, tile4_loops, torch_backend
from streamhebb.kernels.patches import Patches
from streamhebb.kernels.winograd import Grid, Maps
from streamhebb.sharing import cut, in_pieces
from streamhebb.values import LocalUpdate, Outer

# Measured on two cores of a server processor, one thread, float32.
FEW = 4  # rows; beyond, a matrix product and a pass over the weights are faster
EVENTS = 1 / 8  # share of products that are not 0; beyond, a dense matrix product is faster
PASS = 16  # multiplications that a number of a softmax costs as much as
LARGE = 1 << 18  # weights; below, handing arrays to compiled code costs what the loops save

drive = torch_backend.drive
_TILES = {2: tile2_loops, 4: tile4_loops}


class _Loops:
    """The maps of tiles as loops; see [`Maps`][streamhebb.kernels.winograd.Maps]."""

    def __init__(self, side: int) -> None:
        self.side = side
        self._loops = _TILES[side]

    def inputs(self, image: Tensor, grid: Grid) -> Tensor:
        positions = (self.side + 2) ** 2
        tiles = image.new_empty(positions, len(image) * grid[0] * grid[1], image.shape[3])
        self._loops.inputs(_array(image), *grid, tiles.numpy())
        return tiles

    def weights(self, weight: Tensor, out: Tensor) -> None:
        self._loops.weights(_array(weight.view(len(weight), 9, -1)), out.numpy())

    def weights_back(self, products: Tensor, out: Tensor) -> None:
        self._loops.weights_back(products.numpy(), out.view(len(out), 9, -1).numpy())

    def outputs(self, products: Tensor, grid: Grid, out: Tensor) -> None:
        self._loops.outputs(products.numpy(), *grid, out.numpy())

    def outputs_back(self, images: Tensor, grid: Grid, out: Tensor) -> None:
        self._loops.outputs_back(images.numpy(), *grid, out.numpy())


def maps(side: int, dtype: torch.dtype, device: torch.device) -> Maps:
    """The maps of a tile's side."""
    if dtype == torch.float32 and device.type == "cpu":
        return _Loops(side)
    return torch_backend.maps(side, dtype, device)


class _Plan(NamedTuple):
    """How loops go through one outer product: what may be left out because it is 0."""

    skip: bool = False
    inputs: Tensor | None = None


def sparse_drive(pre: Tensor, weight: Tensor, index: Tensor) -> Tensor:
    """See `streamhebb.kernels.sparse_drive`."""
    if not _serves(pre, weight):
        return torch_backend.sparse_drive(pre, weight, index)
    pres = pre if pre.ndim == 3 else pre[None]
    u = pre.new_empty(len(pres), pres.shape[1], weight.shape[0] // len(pres))
    loops.sparse_drive(_array(pres), _array(weight), _array(index), u.numpy())
    return u if pre.ndim == 3 else u[0]


def accumulate(
    update: LocalUpdate,
    weight: Tensor,
    out: Tensor,
    index: Tensor | None = None,
    coarse: bool = False,
) -> Tensor:
    """See `streamhebb.kernels.accumulate`."""
    factors = [outer.at(weight) for outer in update.outer]
    parts = [part for outer in update.outer for part in (outer.post, outer.pre)]
    tensors = [v for v in (*parts, *factors, update.decay, update.dense) if v is not None]
    serves = not coarse and out.is_contiguous() and _serves(out, weight, *tensors)
    outers = update.outer or (Outer(out.new_empty(0, len(out)), out.new_empty(0, out.shape[1])),)
    plain = len(tensors) == 2 * len(outers) == 2  # one product, nothing to fuse it with
    plans = [_plan(outer, weight, index, plain) for outer in outers] if serves else [None]
    if None in plans:
        return torch_backend.accumulate(update, weight, out, index, coarse)

    none = loops.NONE[str(out.dtype)]
    decay = none[0] if update.decay is None else _array(update.decay.sum(-2).reshape(-1))
    dense = none if update.dense is None else _array(update.dense)
    weights, outs = _array(weight), _array(out)
    for number, (outer, plan) in enumerate(zip(outers, plans, strict=True)):
        if plan is None:  # cannot be: see above
            continue
        post, pre = outer.post, outer.pre
        factor = factors[number] if factors else None
        posts, pres = (value if value.ndim == 3 else value[None] for value in (post, pre))
        if plan.inputs is not None:
            pres = pres[..., plan.inputs]
        run = loops.accumulate if index is None else loops.sparse_accumulate
        at = plan.inputs if index is None else index
        last = number == len(outers) - 1
        run(
            _array(posts),
            _array(pres),
            loops.ALL if at is None else _array(at),
            plan.skip,
            none if factor is None else _array(factor),
            decay if last else none[0],
            dense if last else none,
            weights,
            outs,
            number > 0,
        )
    return out


def soft_wta(drive: Tensor, t: float, anti_hebbian: bool) -> Tensor:
    """See `streamhebb.kernels.soft_wta`."""
    if drive.dtype != torch.float32 or not _serves(drive) or not drive.numel():
        return torch_backend.soft_wta(drive, t, anti_hebbian)
    flat = drive.reshape(-1, drive.shape[-1])
    out = torch.empty_like(flat)
    drives, outs = _array(flat), out.numpy()
    rows = cut(len(flat), PASS * flat.numel())

    def piece(number: int) -> None:
        loops.soft_wta(drives[rows[number]], t, anti_hebbian, outs[rows[number]])

    in_pieces(piece, len(rows))
    return out.view(drive.shape)


def add(
    change: Tensor,
    decay: Tensor | None,
    step: Tensor,
    weight: Tensor,
    norm: Tensor,
    top: Tensor | None = None,
) -> None:
    """See `torch_backend.add`."""
    if not _single(weight) or not _serves(weight, change, step):
        torch_backend.add(change, decay, step, weight, norm, top)
        return
    row_loops.add(_array(change), *_steps(decay, step), *_rows(weight, norm, top))
    torch.autograd.graph.increment_version(weight)  # torch cannot know that it was changed


def renew(
    post: Tensor,
    pre: Tensor,
    decay: Tensor | None,
    step: Tensor,
    weight: Tensor,
    norm: Tensor,
    top: Tensor | None = None,
) -> bool:
    """See `torch_backend.renew`; for few competitions."""
    if not _few(weight, pre) or not _serves(weight, post, pre, step):
        return False
    row_loops.renew(_array(post), _array(pre), *_steps(decay, step), *_rows(weight, norm, top))
    torch.autograd.graph.increment_version(weight)
    return True


def largest_change(
    post: Tensor, pre: Tensor, decay: Tensor | None, weight: Tensor, top: Tensor
) -> Tensor | None:
    """See `torch_backend.largest_change`; of few competitions it is always found."""
    if not _few(weight, pre) or not _serves(weight, post, pre, top):
        return None
    less = loops.NONE["torch.float32"][0] if decay is None else _array(decay)
    found = weight.new_empty(1)
    arrays = _array(post), _array(pre), less, _array(weight), _array(top)
    row_loops.largest_change(*arrays, found.numpy())
    return found[0]


def look(weight: Tensor, norm: Tensor, top: Tensor | None = None) -> None:
    """See `torch_backend.look`."""
    if not _single(weight) or not _serves(weight):
        torch_backend.look(weight, norm, top)
        return
    row_loops.look(*_rows(weight, norm, top))


def _single(weight: Tensor) -> bool:
    """Whether loops over rows can work on these weights."""
    return weight.dtype == torch.float32 and weight.is_contiguous()


def _few(weight: Tensor, pre: Tensor) -> bool:
    """Whether one pass over the weights is faster than a product of all competitions."""
    return _single(weight) and 0 < pre.shape[0] <= FEW and weight.numel() > 0


def _steps(decay: Tensor | None, step: Tensor) -> tuple[loops.Array, loops.Array]:
    """Decay and step of some neurons, ``(k,)`` each."""
    less = loops.NONE["torch.float32"][0] if decay is None else _array(decay[:, 0])
    return less, _array(step[:, 0])


def _rows(weight: Tensor, norm: Tensor, top: Tensor | None) -> tuple[loops.Array, ...]:
    """The same memory, to be written to."""
    tops = loops.NONE["torch.float32"][0] if top is None else top.numpy()
    return weight.numpy(), norm.numpy(), tops


def _array(value: Tensor) -> loops.Array:
    """The same memory, as loops take it."""
    if value.requires_grad:
        value = value.detach()
    return value.contiguous().numpy()


def _plan(outer: Outer, weight: Tensor, index: Tensor | None, plain: bool) -> _Plan | None:
    """How to go through an outer product; ``None`` if a dense matrix product is better.

    What is 0 may be left out where it meets finite numbers only: else 0 times infinity, which is
    NaN, would be missed.
    """
    post, pre = outer.post, outer.pre
    if index is not None:
        return _Plan(skip=_finite(pre))
    if weight.numel() < LARGE or (plain and pre.shape[-2] <= FEW):
        return None
    if pre.shape[-2] <= FEW:
        return _Plan()
    # One row tells most dense updates apart at once.
    if _share(post[..., 0, :]) * _share(pre[..., 0, :]) > EVENTS:
        return None
    seen = (pre != 0).flatten(0, -2).any(0)
    columns = _share(seen)
    if columns * _share(post) > EVENTS or not _finite(pre) or not _finite(post):
        return None
    if columns >= 0.5:
        return _Plan(skip=True)
    seen[..., :1] = True  # where nothing is seen: an empty list of inputs says all of them
    return _Plan(skip=True, inputs=seen.nonzero().flatten())


def _share(value: Tensor) -> float:
    """How many numbers are not 0, from 0 to 1."""
    return int(value.count_nonzero()) / value.numel()


def _finite(value: Tensor) -> bool:
    """Whether all numbers are finite; says no, too, where their sum overflows."""
    return bool(value.sum().isfinite())


def _serves(*tensors: Tensor) -> bool:
    """Whether loops can work on these: one precision, in memory, no gradients."""
    dtype = tensors[0].dtype
    if dtype != torch.float32 and dtype != torch.float64:
        return False
    for value in tensors:  # a plain loop: this is asked several times a step
        if value.dtype != dtype or not value.is_cpu or value.requires_grad:
            return False
        if isinstance(value, Patches):
            return False
    return True
