"""The kernels written in Triton, for float32 on CUDA cards of compute capability 8.0 or newer.

* Products, to respond and to learn, with the decay taken off where the sum ends, so that the change
  is written once.
* Soft winner-take-all: one pass over each competition.
* [`fused_update`][streamhebb.kernels.triton_backend.fused_update]: a whole step of learning in one
  pass over the weights, where the divisor is known beforehand.
* [`row_bounds`][streamhebb.kernels.triton_backend.row_bounds], by which the largest change of a
  layer can be found before all changes are known.

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
from streamhebb.kernels import torch_backend, triton_launch
from streamhebb.kernels import triton_kernels as on_card
from streamhebb.kernels._triton import interpreted, triton
from streamhebb.kernels.passes import add_scaled, row_norms
from streamhebb.kernels.patches import Patches
from streamhebb.values import LocalUpdate, Outer

PRECISIONS = ("tf32x3", "ieee", "bf16")
"""How products are made: three in TF32, with operands cut in two, which is about as exact as
float32; in float32, without the fast units for matrices; or of operands rounded to bfloat16. Sums
are float32 throughout, and so are the weights."""

sparse_drive = torch_backend.sparse_drive


product, add, look = torch_backend.product, torch_backend.add, torch_backend.look
summed_products, weighed = torch_backend.summed_products, torch_backend.weighed
fuses, powers, largest = torch_backend.fuses, torch_backend.powers, torch_backend.largest
change_events = torch_backend.change_events
renew, largest_change = torch_backend.renew, torch_backend.largest_change  # matrices of the CPU
largest_among = torch_backend.largest_among


def drive(
    pre: Tensor, weight: Tensor, coarse: bool = False, precision: str = PRECISIONS[0]
) -> Tensor:
    """See `streamhebb.kernels.drive`."""
    _check_precision(precision)
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
        post, pre, decay = *update.outer[0][:2], update.decay
        if _flat(post, pre, decay) and _serves(weight, out, post, pre, decay):
            exact = "bf16" if coarse else precision
            triton_launch.change(post, pre, _summed(decay), weight, out, exact)
            return out
    return torch_backend.accumulate(update, weight, out, index, coarse)


def fused_update(
    post: Tensor,
    pre: Tensor,
    decay: Tensor | None,
    weight: Tensor,
    step: Tensor | float,
    precision: str = "tf32x3",
) -> Tensor:
    r"""Change the weights in one pass, the change itself being written nowhere.

    $$w_{ji} \leftarrow w_{ji} + s_j \Big(\sum_n post_{nj}\, pre_{ni}
      - \Big(\sum_n decay_{nj}\Big) w_{ji}\Big)$$

    For steps that are known before the change is: no divisor, or one from the past or from
    [`row_bounds`][streamhebb.kernels.triton_backend.row_bounds].

    Args:
        post: shape ``(n, n_out)``.
        pre: shape ``(n, n_in)``.
        decay: shape ``(n, n_out)``, or ``None``.
        weight: shape ``(n_out, n_in)``; changed in place.
        step: rate over divisor: one number, a scalar tensor, or shape ``(n_out,)`` or
            ``(n_out, 1)``.
        precision: one of `PRECISIONS`.

    Returns:
        The squared norms of the new rows, $\sum_i w_{ji}^2$, shape ``(n_out,)``.

    Raises:
        ConfigError: for shapes that are not these, or another precision.

    Example:
        >>> import torch
        >>> w = torch.zeros(1, 2)
        >>> fused_update(torch.ones(1, 1), torch.tensor([[3.0, 4.0]]), None, w, 2.0), w
        (tensor([100.]), tensor([[6., 8.]]))
    """
    _check_precision(precision)
    _check("fused_update", post, pre, decay, weight)
    if isinstance(step, Tensor) and step.shape not in ((), (1,), (len(weight),), (len(weight), 1)):
        raise ConfigError(
            f"fused_update: step has shape {tuple(step.shape)}; it must be one number, or one for "
            f"each of the {len(weight)} neurons, ({len(weight)},)"
        )
    if isinstance(step, Tensor):
        steps = step.reshape(-1).to(weight.device, weight.dtype)
    else:
        steps = weight.new_full((1,), step)
    if _serves(weight, post, pre, decay, steps):
        return triton_launch.update(post, pre, _summed(decay), weight, steps, precision)
    wanted = LocalUpdate((Outer(post, pre),), decay)
    change = torch_backend.accumulate(wanted, weight, torch.empty_like(weight))
    add_scaled(weight, change, steps[:, None])
    return row_norms(weight).square_()


def row_bounds(post: Tensor, pre: Tensor, decay: Tensor | None, weight: Tensor) -> Tensor:
    r"""What no entry of a row of the raw change exceeds in size, from vectors and one pass over w.

    $$b_j = \sum_n |post_{nj}|\, \max_i |pre_{ni}|
      + \Big|\sum_n decay_{nj}\Big| \max_i |w_{ji}| \;\ge\; \max_i |\Delta w_{ji}|$$

    Rows tried in descending order of $b$, until one is not above the largest change so far, give
    the layer's largest change exactly. Bounds are raised by what sums of ``n`` numbers can err;
    products of numbers rounded to bfloat16 may exceed them by 1 in 100.

    Args:
        post: shape ``(n, n_out)``.
        pre: shape ``(n, n_in)``.
        decay: shape ``(n, n_out)``, or ``None``.
        weight: shape ``(n_out, n_in)``.

    Returns:
        Shape ``(n_out,)``; NaN where the change may be.

    Raises:
        ConfigError: for shapes that are not these.

    Example:
        >>> import torch
        >>> row_bounds(torch.ones(1, 1), torch.tensor([[3.0, -4.0]]), None, torch.zeros(1, 2))
        tensor([4.0000])
    """
    _check("row_bounds", post, pre, decay, weight)
    if _serves(weight, post, pre, decay):
        found = triton_launch.bounds(post, pre, decay, weight)
    else:
        found = post.abs().mT @ _highest(pre)
        if decay is not None:
            found = found + decay.sum(0).abs() * _highest(weight)
    return found * (1 + 2 * (len(post) + 8) * torch.finfo(weight.dtype).eps)


def _highest(matrix: Tensor) -> Tensor:
    """Largest absolute value of each row; 0 for rows without columns."""
    return matrix.abs().amax(1) if matrix.shape[1] else matrix.new_zeros(len(matrix))


def _summed(decay: Tensor | None) -> Tensor | None:
    return None if decay is None else decay.sum(0)


def _flat(*tensors: Tensor | None) -> bool:
    """Whether there are no groups."""
    return all(value is None or value.ndim == 2 for value in tensors)


def _check(name: str, post: Tensor, pre: Tensor, decay: Tensor | None, weight: Tensor) -> None:
    """Refuse shapes that are not as agreed: a kernel would read beside them."""
    n_out, n_in = weight.shape
    n = len(post)
    needed = {"post": (post, (n, n_out)), "pre": (pre, (n, n_in))}
    if decay is not None:
        needed["decay"] = (decay, (n, n_out))
    for which, (value, shape) in needed.items():
        if value.shape != shape:
            raise ConfigError(
                f"{name}: {which} has shape {tuple(value.shape)}; {shape} is needed for weights "
                f"{(n_out, n_in)} and {n} competitions"
            )


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
    """Whether kernels run on a device."""
    if device.type == "cpu" or interpreted(on_card.product):
        return device.type == "cpu" and interpreted(on_card.product)
    nvidia = triton is not None and device.type == "cuda" and torch.version.hip is None
    return nvidia and torch.cuda.get_device_capability(device) >= (8, 0)
