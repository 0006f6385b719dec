"""Which outer products numba's loops are worth: those that are short, or in which much is 0."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from streamhebb.values import Outer

# Measured on two cores of a server processor, one thread, float32.
EVENTS = 1 / 8  # share of products that are not 0; beyond, a dense matrix product is faster
LARGE = 1 << 18  # weights; below, handing arrays to compiled code costs what the loops save


class Plan(NamedTuple):
    """How loops go through one outer product: what may be left out because it is 0."""

    skip: bool = False
    inputs: Tensor | None = None


def plan_of(
    outer: Outer, weight: Tensor, index: Tensor | None, plain: bool, few: int
) -> Plan | None:
    """How to go through an outer product; ``None`` if a dense matrix product is better.

    What is 0 may be left out where it meets finite numbers only: else 0 times infinity, which is
    NaN, would be missed.

    Args:
        outer: the product.
        weight: of the layer.
        index: of a sparse one.
        plain: whether there is nothing to fuse it with.
        few: competitions, of which loops are faster anyway.
    """
    post, pre = outer.post, outer.pre
    if index is not None:
        return Plan(skip=_finite(pre))
    if weight.numel() < LARGE or (plain and pre.shape[-2] <= few):
        return None
    if pre.shape[-2] <= few:
        return Plan()
    if not looks_sparse(post, pre):
        return None
    seen = (pre != 0).flatten(0, -2).any(0)
    columns = _share(seen)
    if columns * _share(post) > EVENTS or not _finite(pre) or not _finite(post):
        return None
    if columns >= 0.5:
        return Plan(skip=True)
    seen[..., :1] = True  # where nothing is seen: an empty list of inputs says all of them
    return Plan(skip=True, inputs=seen.nonzero().flatten())


def looks_sparse(post: Tensor, pre: Tensor) -> bool:
    """Whether little may be active: one competition tells most dense updates apart at once."""
    return _share(post[..., 0, :]) * _share(pre[..., 0, :]) <= EVENTS


def _share(value: Tensor) -> float:
    """How many numbers are not 0, from 0 to 1."""
    return int(value.count_nonzero()) / value.numel()


def _finite(value: Tensor) -> bool:
    """Whether all numbers are finite; says no, too, where their sum overflows."""
    return bool(value.sum().isfinite())
