"""The kernels compiled for the CPU by numba, where that was measured to be faster.

* Updates of few competitions, which is what a stream of single samples gives a dense layer: one
  fused pass over the weights where torch makes several.
* Updates of many competitions in which little is active (spikes, one winner a time step): the work
  is proportional to what is active.
* Products of many competitions with windows of images or with vectors, and by tiles: windows are
  written nowhere, sums stay in registers, and weights change while they are near.
* Soft winner-take-all: one pass over each competition, with an exponential of its own.
* Sparse synapses: nothing is gathered into memory first.

All else goes to torch: groups, other devices and precisions, tensors that need gradients, and
inputs whose sizes do not fit vectors.

Loops are compiled when first called. Compiled code is not kept on disk: numba would write it as
pickles beside the package, and a full disk would then stop a run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from streamhebb.kernels import (
    loops,
    numba_events,
    numba_images,
    numba_inputs,
    numba_layouts,
    numba_zeros,
    row_loops,
    soft_loops,
    torch_backend,
)
from streamhebb.kernels.coarse import margin
from streamhebb.kernels.memory import fresh
from streamhebb.kernels.numba_inputs import Inputs, arrays, inputs
from streamhebb.kernels.passes import WORTH
from streamhebb.kernels.patches import Patches
from streamhebb.kernels.renewal import Renewal
from streamhebb.kernels.vector_code import WIDTH
from streamhebb.lazy import made
from streamhebb.sharing import at_work, cut, in_pieces
from streamhebb.values import LocalUpdate, Outer

# Measured on two cores of a server processor, one thread, float32.
FEW = 4  # rows; beyond, a matrix product and a pass over the weights are faster
PASS = 4  # multiplications that a number of a softmax costs as much as
EVENTFUL = 1 << 16  # weights; below, looking for what spiked costs what it saves
keeps, at_once = torch_backend.keeps, torch_backend.at_once

_NONE = loops.NONE["torch.float32"][0]


def drive(pre: Tensor, weight: Tensor, coarse: bool = False) -> Tensor:
    """See `streamhebb.kernels.drive`."""
    seen = _inputs(pre, weight, coarse)
    if seen is None:
        return torch_backend.drive(pre, weight, coarse)
    seen.ready()
    u = fresh((len(pre), len(weight)), pre)
    pieces = _neurons(len(weight), len(pre) * weight.numel())
    in_pieces(lambda number: seen.respond(weight, u, pieces[number]), len(pieces))
    return u


def product(
    post: Tensor,
    pre: Tensor,
    out: Tensor,
    index: Tensor | None = None,
    coarse: bool = False,
    own: slice = torch_backend.ALL,
) -> Tensor:
    """See `torch_backend.product`."""
    seen = _inputs(pre, out, coarse) if index is None else None
    if seen is None or not _serves(post, out):
        return torch_backend.product(post, pre, out, index, coarse, own)
    post = post.contiguous()
    seen.ready(post)
    start, stop, _ = own.indices(post.shape[1])
    seen.product(post, out, slice(start, stop))
    return out


def _inputs(pre: Tensor, weight: Tensor, coarse: bool) -> Inputs | None:
    """What competitions see, if loops make products with it and such weights."""
    if torch.is_grad_enabled() or not _single(pre) or not pre.is_cpu or not weight.is_contiguous():
        return None
    if weight.dtype != torch.float32 and not (coarse and weight.dtype == torch.bfloat16):
        return None
    seen = inputs(pre, coarse)
    return None if seen is None or len(weight) < seen.least else seen


def _neurons(count: int, work: int) -> list[slice]:
    """Cut neurons into pieces of full tiles, but for the last one, if somebody can share them.

    What is found of a neuron does not depend on the others, nor on the cut.
    """
    if not at_work():
        return [slice(0, count)]
    pieces = cut(max(1, count // WIDTH), work)
    ends = [WIDTH * own.stop for own in pieces[:-1]] + [count]
    return [slice(a, b) for a, b in itertools.pairwise([0, *ends])]


fuses, moments, padded, pooled, powers = (
    numba_images.fuses,
    numba_images.moments,
    numba_images.padded,
    numba_images.pooled,
    numba_images.powers,
)
statistics, running_moments = torch_backend.statistics, torch_backend.running_moments
follow, move = torch_backend.follow, torch_backend.move
scaled, rectified = torch_backend.scaled, torch_backend.rectified


def _of_images(update: LocalUpdate, weight: Tensor, out: Tensor, coarse: bool) -> Tensor:
    """As `accumulate`, by products."""
    if not all(_inputs(outer.pre, out, coarse) for outer in update.outer):
        return torch_backend.accumulate(update, weight, out, None, coarse)
    pieces = _neurons(len(out), sum(len(outer.pre) for outer in update.outer) * out.numel())
    return torch_backend.accumulate(update, weight, out, None, coarse, product, pieces)


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
    if index is None and any(isinstance(outer.pre, Patches) for outer in update.outer):
        return _of_images(update, weight, out, coarse)  # nothing is 0 there
    factors = [outer.at(weight) for outer in update.outer]
    parts = [part for outer in update.outer for part in (outer.post, outer.pre)]
    tensors = [v for v in (*parts, *factors, update.decay, update.dense) if v is not None]
    serves = not coarse and out.is_contiguous() and _serves(out, weight, *tensors)
    outers = update.outer or (Outer(out.new_empty(0, len(out)), out.new_empty(0, out.shape[1])),)
    plain = len(tensors) == 2 * len(outers) == 2  # one product, nothing to fuse it with
    plans = (
        [numba_zeros.plan_of(outer, weight, index, plain, FEW) for outer in outers]
        if serves
        else [None]
    )
    if None in plans:
        if index is None:
            return _of_images(update, weight, out, coarse)
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
    if drive.dtype != torch.float32 or not _serves(drive) or not drive.numel() or t <= 0:
        return torch_backend.soft_wta(drive, t, anti_hebbian)
    flat = drive.reshape(-1, drive.shape[-1])
    out = fresh(tuple(flat.shape), flat)
    rows = cut(len(flat), PASS * flat.numel())
    sums = flat.new_empty(len(rows), flat.shape[1])
    drives, outs, parts = _array(flat), out.numpy(), sums.numpy()

    def piece(number: int) -> None:
        own = rows[number]
        soft_loops.soft_wta(drives, t, anti_hebbian, own.start, own.stop, outs, parts[number])

    in_pieces(piece, len(rows))
    found = out.view(drive.shape)
    if drive.ndim == 2 and not drive.is_inference():  # its versions are not counted
        found.of_drive = drive, drive._version, sums  # type: ignore[attr-defined]
    return found


def summed_products(one: Tensor, two: Tensor) -> Tensor:
    """See `torch_backend.summed_products`; of shares and their drive, it is known already."""
    of, version, sums = getattr(one, "of_drive", (None, 0, one))
    if of is two and version == two._version and one._version == 0:
        return sums[0] if len(sums) == 1 else sums.sum(0)
    if one.ndim != 2 or one.dtype != torch.float32 or not _serves(one, two):
        return torch_backend.summed_products(one, two)
    ones, twos = _array(one), _array(two)

    def work(own: slice, out: loops.Array) -> None:
        soft_loops.summed_products(ones, twos, own.start, own.stop, out)

    return _over_rows(work, one)


def tops(pre: Tensor) -> Tensor:
    """See `torch_backend.tops`."""
    found = numba_layouts.tops(pre)
    return torch_backend.tops(pre) if found is None else found


def bounds(post: Tensor, tops: Tensor, decay: Tensor | None, top: Tensor, slack: float) -> Tensor:
    """See `torch_backend.bounds`."""
    if post.dtype != torch.float32 or not _serves(post, tops, top):
        return torch_backend.bounds(post, tops, decay, top, slack)
    posts, less = _array(post), _NONE if decay is None else _array(decay)
    rest = _array(tops), less, _array(top), slack

    def work(own: slice, out: loops.Array) -> None:
        soft_loops.bounds(posts, *rest, own.start, own.stop, out)

    return _over_rows(work, post)


def _over_rows(work: Callable[[slice, loops.Array], None], rows: Tensor) -> Tensor:
    """A number for each column of a matrix, by work on some columns at a time."""
    out = rows.new_empty(rows.shape[1])
    array, pieces = out.numpy(), _neurons(rows.shape[1], WORTH * rows.numel())
    in_pieces(lambda number: work(pieces[number], array), len(pieces))
    return out


def add(change: Tensor, rows: Renewal) -> None:
    """See `torch_backend.add`."""
    if not _single(rows.weight) or not _serves(rows.weight, change, rows.step):
        torch_backend.add(change, rows)
        return
    numba_inputs.add(change.contiguous(), rows)
    torch.autograd.graph.increment_version(rows.weight)  # torch cannot know that it was changed


def renews(
    post: Tensor, pre: Tensor, decay: Tensor | None, weight: Tensor,
    coarse: bool = False, searched: bool = True,
) -> bool:  # fmt: skip
    """See `torch_backend.renews`."""
    if not _single(weight) or not weight.numel() or not _serves(weight, post):
        return False
    if _few(pre, weight, coarse):
        return True
    seen = _inputs(pre, weight, coarse)
    if seen is None or (searched and not seen.searches):
        return False
    # Where little is active, to leave out the rest is worth more than one pass.
    dense = isinstance(pre, Patches) or weight.numel() < numba_zeros.LARGE
    return dense or not numba_zeros.looks_sparse(post, pre)


def _few(pre: Tensor, weight: Tensor, coarse: bool) -> bool:
    """Whether competitions are so few that rows are worked on as they are."""
    return not coarse and 0 < len(pre) <= FEW and _serves(weight, made(pre))


def renew(post: Tensor, pre: Tensor, rows: Renewal, coarse: bool = False) -> bool:
    """See `torch_backend.renew`."""
    weight = rows.weight
    if not _single(weight) or not weight.numel() or not _serves(weight, post, rows.step):
        return False
    post = post.contiguous()
    if _few(pre, weight, coarse):
        values, seen = _array(made(pre)), None
    else:
        seen = _inputs(pre, weight, coarse)
        if seen is None:
            return False
        seen.ready(post)
    pieces = _neurons(len(weight), weight.numel() * len(pre))

    def piece(number: int) -> None:
        own = pieces[number]
        if seen is not None:
            seen.renew(post, rows, own)
        else:
            row_loops.renew(post.numpy(), own.start, values, *arrays(rows.of(own)))

    in_pieces(piece, len(pieces))
    torch.autograd.graph.increment_version(weight)
    return True


def largest_change(
    post: Tensor, pre: Tensor, decay: Tensor | None, weight: Tensor, top: Tensor,
    coarse: bool, most: int,
) -> Tensor | bool | None:  # fmt: skip
    """See `torch_backend.largest_change`; of few competitions it is always found."""
    if not _single(weight) or not _serves(weight, post, top):
        return False
    if weight.numel() > 0 and _few(pre, weight, coarse):
        less, found = _NONE if decay is None else _array(decay), weight.new_empty(1)
        arrays = _array(post), _array(made(pre)), less, _array(weight), _array(top)
        row_loops.largest_change(*arrays, found.numpy())
        return found[0]
    seen = _inputs(pre, weight, coarse)
    if seen is None or not seen.searches:
        return False
    post = post.contiguous()
    seen.ready(post)
    bound = bounds(post, tops(pre), decay, top, margin(coarse))
    return seen.largest(post, decay, weight, bound, most)


def rates(radius: Tensor, lr: float, power: float) -> Tensor:
    """See `streamhebb.kernels.rates`."""
    if radius.dtype != torch.float32 or not _serves(radius) or not radius.is_contiguous():
        return torch_backend.rates(radius, lr, power)
    found = torch.empty_like(radius)
    row_loops.rates(radius.numpy(), float(lr), float(power), found.numpy())
    return found


def change_events(outers: tuple[Outer, ...], weight: Tensor, step: Tensor) -> bool:
    """See `streamhebb.kernels.change_events`."""
    if weight.numel() < EVENTFUL or not weight.is_contiguous():
        return False
    if not _serves(weight, step, *(part for outer in outers for part in outer[:2])):
        return False
    return numba_events.change_events(outers, weight, step)


def largest(matrix: Tensor) -> Tensor | float:
    """See `torch_backend.largest`."""
    if not _single(matrix) or not _serves(matrix):
        return torch_backend.largest(matrix)
    found: float = row_loops.largest(_array(matrix.view(-1)))
    return found


def look(weight: Tensor, norm: Tensor, top: Tensor | None = None) -> None:
    """See `torch_backend.look`."""
    if not _single(weight) or not _serves(weight):
        torch_backend.look(weight, norm, top)
        return
    tops = loops.NONE["torch.float32"][0] if top is None else top.numpy()
    row_loops.look(weight.numpy(), norm.numpy(), tops)


def _single(weight: Tensor) -> bool:
    """Whether loops over rows can work on these weights."""
    return weight.dtype == torch.float32 and weight.is_contiguous()


def _array(value: Tensor) -> loops.Array:
    """The same memory, as loops take it."""
    if value.requires_grad:
        value = value.detach()
    return value.contiguous().numpy()


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
