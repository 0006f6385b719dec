"""The kernels written in Triton, for float32 on CUDA cards of compute capability 8.0 or newer.

* Products, to respond and to learn, with the decay taken off where the sum ends, so that the change
  is written once.
* Soft winner-take-all: one pass over each competition.
* All that follows the competition, in two passes; see `triton_learning`.

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
from streamhebb.kernels import torch_backend, triton_images, triton_launch, triton_learning
from streamhebb.kernels import triton_kernels as on_card
from streamhebb.kernels._triton import interpreted, triton
from streamhebb.kernels.at_once import Running
from streamhebb.kernels.passes import Rates
from streamhebb.kernels.patches import Patches
from streamhebb.lazy import Times, made
from streamhebb.values import LocalUpdate

PRECISIONS = ("tf32x3", "ieee", "bf16")
"""How products are made: three in TF32, with operands cut in two, which is about as exact as
float32; in float32, without the fast units for matrices; or of operands rounded to bfloat16. Sums
are float32 throughout, and so are the weights."""

sparse_drive = torch_backend.sparse_drive
product, add, look = torch_backend.product, torch_backend.add, torch_backend.look
summed_products, bounds = torch_backend.summed_products, torch_backend.bounds
tops, rates = torch_backend.tops, torch_backend.rates
largest, largest_change = torch_backend.largest, torch_backend.largest_change
renews, renew = torch_backend.renews, torch_backend.renew
change_events = torch_backend.change_events
statistics, moments, padded = triton_images.statistics, triton_images.moments, triton_images.padded
pooled, rectified, scaled = triton_images.pooled, triton_images.rectified, triton_images.scaled


def drive(
    pre: Tensor, weight: Tensor, coarse: bool = False, precision: str = PRECISIONS[0]
) -> Tensor:
    """See `streamhebb.kernels.drive`."""
    _check_precision(precision)
    if not _reads(pre, weight):
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
        post, pre, decay = update.outer[0].post, update.outer[0].pre, made(update.decay)
        flat = post.ndim == 2 and (decay is None or decay.ndim == 2)
        if flat and _reads(pre, weight) and _serves(weight, out, post, decay):
            exact = "bf16" if coarse else precision
            triton_launch.change(post, pre, _summed(decay), weight, out, exact)
            return out
    return torch_backend.accumulate(update, weight, out, index, coarse)


def keeps(weight: Tensor) -> bool:
    """See `streamhebb.kernels.keeps`."""
    return torch_backend.keeps(weight) and not _serves(weight)


def at_once(
    update: LocalUpdate, weight: Tensor, step: Tensor, by: str, tiny: float,
    running: Running | None, coarse: bool,
) -> bool:  # fmt: skip
    """See `streamhebb.kernels.at_once`."""
    (post, pre, _), decay = update.outer[0], update.decay
    if isinstance(decay, Times) and decay.one is not post:
        decay = made(decay)
    parts = (decay.two,) if isinstance(decay, Times) else (decay,)
    steps = None if isinstance(step, Rates) else step
    mean = None if running is None else running.mean
    if not (_serves(weight, post, steps, mean, *parts) and _reads(pre, weight)):
        return False
    decay = decay if isinstance(decay, Times) else _summed(decay)
    precision = "bf16" if coarse else PRECISIONS[0]
    triton_learning.learn(post, pre, decay, weight, step, by, tiny, running, precision)
    torch.autograd.graph.increment_version(weight)
    return True


def _reads(pre: Tensor, weight: Tensor) -> bool:
    """Whether kernels can read what competitions see, where it lies; not as tiles."""
    if isinstance(pre, Patches):
        return not pre.side and _serves(weight, pre.image)
    return pre.ndim == 2 and _serves(weight, pre)


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


def _summed(decay: Tensor | None) -> Tensor | None:
    return None if decay is None else decay.sum(0)


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
