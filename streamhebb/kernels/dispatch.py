"""Drive and raw change of a weight matrix: what is asked is checked here, then a backend works."""

from __future__ import annotations

import torch
from torch import Tensor

from streamhebb.errors import ConfigError
from streamhebb.kernels.choice import active
from streamhebb.lazy import Times
from streamhebb.values import LocalUpdate


def drive(pre: Tensor, weight: Tensor, index: Tensor | None = None, coarse: bool = False) -> Tensor:
    r"""Weighted input $u_{nj} = \sum_i w_{ji}\, x_{ni}$.

    Args:
        pre: what the competitions see, shape ``(n, n_in)`` or ``(g, n, n_in)``.
        weight: shape ``(n_out, n_in)``, or ``(n_out, fan_in)`` with an ``index``.
        index: for a sparse synapse: see [`sparse_drive`][streamhebb.kernels.sparse_drive].
        coarse: whether both are rounded first; see [`streamhebb.kernels.coarse`][].

    Returns:
        Shape ``(n, n_out)`` or ``(g, n, n_out / g)``.

    Example:
        >>> drive(torch.ones(1, 3), torch.ones(2, 3))
        tensor([[3., 3.]])
    """
    if index is not None:
        if coarse:
            pre, weight = (v.bfloat16().to(v.dtype) for v in (pre, weight))
        return sparse_drive(pre, weight, index)
    u: Tensor = active().drive(pre, weight, coarse)
    return u


def sparse_drive(pre: Tensor, weight: Tensor, index: Tensor) -> Tensor:
    r"""Weighted input of neurons that see a few inputs each.

    $$u_{nj} = \sum_k w_{jk}\, x_{n,index_{jk}}$$

    An input may be listed more than once; each listing is a synapse of its own.

    Args:
        pre: what the competitions see, shape ``(n, n_in)`` or ``(g, n, n_in)``.
        weight: shape ``(n_out, fan_in)``.
        index: which input each weight belongs to, same shape, ``int64``.

    Returns:
        Shape ``(n, n_out)`` or ``(g, n, n_out / g)``.

    Raises:
        ConfigError: for an index of another shape or type, or one that names no input.

    Example:
        >>> x, weight = torch.tensor([[1.0, 10.0, 100.0]]), torch.ones(2, 2)
        >>> sparse_drive(x, weight, torch.tensor([[0, 1], [2, 2]]))
        tensor([[ 11., 200.]])
    """
    _each("pre", pre, len(weight))
    _check_index(index, weight, pre)
    u: Tensor = active().sparse_drive(pre, weight, index)
    return u


def soft_wta(drive: Tensor, t: float, anti_hebbian: bool) -> Tensor:
    r"""Shares $e^{t u_j} / \sum_k e^{t u_k}$ of a soft competition along the last dimension.

    Args:
        drive: shape ``(..., n_out)``.
        t: inverse temperature.
        anti_hebbian: whether the sign of every share is reversed, except that of the first of
            those with the largest drive.

    Example:
        >>> soft_wta(torch.tensor([[0.0, 0.0]]), 1.0, True)
        tensor([[ 0.5000, -0.5000]])
    """
    share: Tensor = active().soft_wta(drive, t, anti_hebbian)
    return share


def accumulate(
    update: LocalUpdate,
    weight: Tensor,
    out: Tensor,
    index: Tensor | None = None,
    coarse: bool = False,
) -> Tensor:
    r"""Write the raw change that ``update`` asks for into ``out``.

    $$out_{ji} = \sum_k f^k_{ji} \sum_n post^k_{nj}\, pre^k_{ni}
      - \Big(\sum_n decay_{nj}\Big) w_{ji} + dense_{ji}$$

    On a sparse synapse $pre_{n,index_{ji}}$ stands for $pre_{ni}$.

    Args:
        update: what the rule wants.
        weight: shape ``(n_out, n_in)``, or ``(n_out, fan_in)`` with an ``index``; read only.
        out: same shape, contiguous, overwritten. Kept by the caller from step to step: fresh
            memory of this size costs more in page faults than the arithmetic (batch 1, large
            layers).
        index: which input each weight of a sparse synapse belongs to, same shape, ``int64``.
        coarse: whether ``post`` and ``pre`` are rounded first, not on a sparse synapse.

    Returns:
        ``out``.

    Raises:
        ConfigError: for an update whose shapes are not those of the weights.

    Example:
        >>> from streamhebb.values import Outer
        >>> update = LocalUpdate((Outer(torch.ones(1, 1), torch.tensor([[2.0, 3.0]])),))
        >>> accumulate(update, torch.zeros(1, 2), torch.empty(1, 2))
        tensor([[2., 3.]])
    """
    update = update._replace(outer=tuple(o._replace(factor=o.at(weight)) for o in update.outer))
    check_update(update, weight, out, index)
    if isinstance(update.decay, Times):
        update = update._replace(decay=by_group(over_competitions(update.decay), update.decay))
    active().accumulate(update, weight, out, index, coarse)
    return out


def over_competitions(decay: Tensor) -> Tensor:
    """Sum of what each competition wants, for every neuron, shape ``(n_out,)``.

    Args:
        decay: shape ``(n, n_out)``, or ``(g, n, n_out / g)``.

    Example:
        >>> over_competitions(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([4., 6.])
    """
    if isinstance(decay, Times):
        summed: Tensor = active().summed_products(decay.one, decay.two)
        return summed
    return decay[0] if decay.ndim == 2 and len(decay) == 1 else decay.sum(-2).reshape(-1)


def _check_index(index: Tensor, weight: Tensor, pre: Tensor) -> None:
    """Refuse an index that would read beside ``pre``: compiled loops would not notice."""
    if index.shape != weight.shape or index.dtype != torch.int64:
        raise ConfigError(
            f"index: shape {tuple(index.shape)} of {index.dtype} given; the weights need "
            f"{tuple(weight.shape)} of torch.int64"
        )
    if index.numel():
        lowest, highest = map(int, index.aminmax())
        if lowest < 0 or highest >= pre.shape[-1]:
            raise ConfigError(
                f"index: {lowest if lowest < 0 else highest} names no input; it must lie between "
                f"0 and {pre.shape[-1] - 1}"
            )


def check_update(update: LocalUpdate, weight: Tensor, out: Tensor, index: Tensor | None) -> None:
    """Refuse shapes that are not as agreed; some would broadcast to a wrong change unnoticed."""
    n_out, n_in = weight.shape
    _check_shape("out", out, (n_out, n_in))
    for number, outer in enumerate(update.outer):
        post, pre, factor = outer.post, outer.pre, outer.at(weight)
        name, lead = f"outer[{number}]", post.shape[:-1]
        _check_shape(f"{name}.post", post, (*lead, _each(f"{name}.post", post, n_out)))
        _check_shape(f"{name}.pre", pre, (*lead, n_in if index is None else pre.shape[-1]))
        if index is not None:
            _check_index(index, weight, pre)
        if factor is not None:
            _check_shape(f"{name}.factor", factor, (n_out, n_in))
    if (decay := update.decay) is not None:
        _check_shape("decay", decay, (*decay.shape[:-1], _each("decay", decay, n_out)))
    if update.dense is not None:
        _check_shape("dense", update.dense, (n_out, n_in))


def by_group(values: Tensor, like: Tensor) -> Tensor:
    """Numbers of all neurons, ``(n_out,)``, as one competition of ``like``."""
    return values[None] if like.ndim == 2 else values.view(len(like), 1, -1)


def _each(name: str, value: Tensor, n_out: int) -> int:
    """Neurons in each group of a tensor ``(n, ...)`` or ``(g, n, ...)``."""
    groups = value.shape[0] if value.ndim == 3 else 1
    if value.ndim not in (2, 3) or not groups or n_out % groups:
        raise ConfigError(
            f"{name} has shape {tuple(value.shape)}; it must be (n, ...), or "
            f"(groups, n, ...) with groups that divide the {n_out} neurons"
        )
    return n_out // groups


def _check_shape(name: str, value: Tensor, needed: tuple[int, ...]) -> None:
    if value.shape != needed:
        raise ConfigError(
            f"LocalUpdate: {name} has shape {tuple(value.shape)}; {tuple(needed)} is needed for "
            f"these weights. See what the rule's terms() returns"
        )
