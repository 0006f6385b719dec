"""The kernels written in Triton, for float32 on CUDA cards of compute capability 8.0 or newer.

* Products, to respond and to learn, with the decay taken off where the sum ends, so that the change
  is written once.
* Soft winner-take-all: one pass over each competition.
* A whole step of learning in one pass over the weights: the change is added where the sum ends.
  What it is divided by, the largest change of a layer or the size of each neuron's, is found by
  making it once before and writing it nowhere, which takes less than writing and reading it as long
  as competitions are `FEW`.

Products are made of three in TF32, which is about as exact as float32, or of numbers rounded to
bfloat16 in layers of that precision; see `PRECISIONS`. All else
goes to torch: the CPU, other precisions, inputs that need gradients, groups, sparse synapses, tiles
of convolutions, several outer products or factors. With ``TRITON_INTERPRET=1`` set before Triton is
imported, kernels run on the CPU as Python, very slowly: that is for tests.

A kernel is compiled when a card first runs it. Do that before a CUDA graph is recorded; the
library's own recorder does.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from streamhebb.errors import ConfigError
from streamhebb.kernels import torch_backend, triton_images, triton_launch
from streamhebb.kernels import triton_kernels as on_card
from streamhebb.kernels._triton import interpreted, triton
from streamhebb.kernels.patches import Patches
from streamhebb.kernels.renewal import Renewal
from streamhebb.values import LocalUpdate

PRECISIONS = ("tf32x3", "ieee", "bf16")
"""How products are made: three in TF32, with operands cut in two, which is about as exact as
float32; in float32, without the fast units for matrices; or of operands rounded to bfloat16. Sums
are float32 throughout, and so are the weights."""

FEW = 256
"""Competitions, of which a product made twice takes less than passes over the change. From a
count of bytes and operations, not measured on a card."""

BOUNDED = False
sparse_drive = torch_backend.sparse_drive
product, add, look = torch_backend.product, torch_backend.add, torch_backend.look
summed_products, bounds = torch_backend.summed_products, torch_backend.bounds
tops, rates = torch_backend.tops, torch_backend.rates
largest = torch_backend.largest
statistics, moments, padded = triton_images.statistics, triton_images.moments, triton_images.padded
pooled, rectified, scaled = triton_images.pooled, triton_images.rectified, triton_images.scaled
change_events = torch_backend.change_events


def drive(
    pre: Tensor, weight: Tensor, coarse: bool = False, precision: str = PRECISIONS[0]
) -> Tensor:
    """See `streamhebb.kernels.drive`."""
    _check_precision(precision)
    pre = _written(pre)
    if pre.ndim != 2 or not _serves(weight, pre):
        return torch_backend.drive(pre, weight, coarse)
    return triton_launch.drive(pre, weight, "bf16" if coarse else precision)


def soft_wta(drive: Tensor, t: float, anti_hebbian: bool) -> Tensor:
    """See `streamhebb.kernels.soft_wta`."""
    if not drive.numel() or not drive.ndim or not _serves(drive):
        return torch_backend.soft_wta(drive, t, anti_hebbian)
    flat = drive.reshape(-1, drive.shape[-1])
    return triton_launch.soft_wta(flat, float(t), anti_hebbian).view(drive.shape)


def accumulate(
    update: LocalUpdate,
    weight: Tensor,
    out: Tensor,
    index: Tensor | None = None,
    coarse: bool = False,
    precision: str = PRECISIONS[0],
) -> Tensor:
    """See `streamhebb.kernels.accumulate`."""
    _check_precision(precision)
    plain = index is None and update.dense is None and len(update.outer) == 1
    if plain and update.outer[0].factor is None:
        post, pre, decay = update.outer[0].post, _written(update.outer[0].pre), update.decay
        if _flat(post, pre, decay) and _serves(weight, out, post, pre, decay):
            exact = "bf16" if coarse else precision
            triton_launch.change(post, pre, _summed(decay), weight, out, exact)
            return out
    return torch_backend.accumulate(update, weight, out, index, coarse)


def renews(
    post: Tensor, pre: Tensor, decay: Tensor | None, weight: Tensor,
    coarse: bool = False, searched: bool = True,
) -> bool:  # fmt: skip
    """See `torch_backend.renews`."""
    return len(pre) <= FEW and pre.ndim == 2 and _serves(weight, post, _written(pre), decay)


def renew(post: Tensor, pre: Tensor, rows: Renewal, coarse: bool = False) -> bool:
    """See `torch_backend.renew`."""
    known, pre = rows.top is rows.memory is None, _written(pre)
    if not known or not _serves(rows.weight, post, pre, rows.decay, rows.step, rows.running):
        return False
    precision, step = "bf16" if coarse else PRECISIONS[0], rows.step
    if rows.running is not None:
        present = triton_launch.squares(post, pre, rows.decay, rows.weight, precision)
        mean, share = rows.running.unbind(1)
        mean.lerp_(present / pre.shape[1], share)
        step = step / (mean + torch.finfo(mean.dtype).tiny).sqrt_()  # as `NeuronRMS` has it
    squares = triton_launch.update(post, pre, rows.decay, rows.weight, step, precision)
    torch.sqrt(squares, out=rows.norm)
    torch.autograd.graph.increment_version(rows.weight)
    return True


def largest_change(
    post: Tensor, pre: Tensor, decay: Tensor | None, weight: Tensor, top: Tensor,
    coarse: bool, most: int,
) -> Tensor | bool | None:  # fmt: skip
    """See `torch_backend.largest_change`; all are looked at, and ``top`` is not asked for."""
    if not renews(post, pre, decay, weight):
        return False
    precision = "bf16" if coarse else PRECISIONS[0]
    return triton_launch.largest_change(post, _written(pre), decay, weight, precision)


def fuses(x: Tensor) -> bool:
    """See `torch_backend.fuses`."""
    return triton_images.fuses(x) and not torch.is_grad_enabled() and _serves(x)


def running_moments(
    x: Tensor, past: tuple[Tensor, Tensor, Tensor], least: float, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """See `torch_backend.running_moments`."""
    serves = _serves(x, *past[:2])
    return triton_images.running_moments(x, past, least, eps) if serves else None


def follow(past: tuple[Tensor, Tensor, Tensor], mean: Tensor, var: Tensor, least: float) -> bool:
    """See `torch_backend.follow`."""
    serves = bool(mean.numel()) and _serves(mean, var, *past[:2])
    if serves:
        triton_images.follow(past, mean, var, least)
    return serves


def move(mean: Tensor, var: Tensor, to: tuple[Tensor, Tensor], share: float) -> None:
    """See `torch_backend.move`."""
    serves = _serves(mean, var, *to)
    (triton_images if serves else torch_backend).move(mean, var, to, share)


def powers(x: Tensor, power: float) -> Tensor:
    """See `streamhebb.kernels.powers`; a power of 1 is one launch of torch's."""
    whole = x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
    serves = power > 0 and power != 1 and whole and bool(x.numel()) and _serves(x)
    return triton_images.powers(x, power) if serves else torch_backend.powers(x, power)


def _written(pre: Tensor) -> Tensor:
    """The matrix of all windows, made once for a step, where they are not worked on as tiles."""
    return pre.made if isinstance(pre, Patches) and not pre.side else pre


def _summed(decay: Tensor | None) -> Tensor | None:
    return None if decay is None else decay.sum(0)


def _flat(*tensors: Tensor | None) -> bool:
    """Whether there are no groups."""
    return all(value is None or value.ndim == 2 for value in tensors)


def _check_precision(precision: str) -> None:
    if precision not in PRECISIONS:
        raise ConfigError(f"precision={precision!r} is not allowed; choose one of {PRECISIONS}")


def _serves(first: Tensor, *others: Tensor | None) -> bool:
    """Whether kernels can work on these: float32, together on a card, no gradients."""
    return _runs(first.device) and all(
        value is None
        or (
            value.dtype == torch.float32
            and value.device == first.device
            and not isinstance(value, Patches)
            and not (value.requires_grad and torch.is_grad_enabled())
        )
        for value in (first, *others)
    )


@cache
def _runs(device: torch.device) -> bool:
    """Whether kernels run on a device; on tensors without memory they would."""
    if device.type == "meta":
        return triton is not None
    if device.type == "cpu" or interpreted(on_card.product):
        return device.type == "cpu" and interpreted(on_card.product)
    nvidia = triton is not None and device.type == "cuda" and torch.version.hip is None
    return nvidia and torch.cuda.get_device_capability(device) >= (8, 0)
