"""Tensors that are made when somebody looks at them.

What a layer hands on is often only half of what the next one works out: a normalised image is
padded at once, a rectified one is pooled. Written to memory in between, it costs more than both. So
a layer may hand on a value that is still to be made. To torch, and to whoever does not know better,
it is an ordinary tensor; a kernel that knows it makes both steps in one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

L = TypeVar("L", bound="Lazy")


class Lazy(Tensor):
    """A tensor that is still to be made: a shape, a type, and what it will be made of.

    Subclasses say how, in ``make``, and are built by ``like``. They must not be used where
    gradients are wanted: they hand none on.
    """

    _made: Tensor | None

    @classmethod
    def like(
        cls: type[L],
        like: Tensor,
        shape: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
    ) -> L:
        """A tensor without memory.

        Args:
            like: a tensor of its type, on its device, and of its order in memory.
            shape: its own; ``None`` is that of ``like``.
            strides: those of its shape; ``None`` is contiguous.
        """
        made: L = Tensor._make_wrapper_subclass(
            cls,
            tuple(like.shape if shape is None else shape),
            strides=like.stride() if shape is None else strides,
            dtype=like.dtype,
            device=like.device,
        )
        made._made = None
        return made

    def make(self) -> Tensor:
        """Make it."""
        raise NotImplementedError

    @property
    def made(self) -> Tensor:
        """The ordinary tensor, made once."""
        if self._made is None:
            self._made = self.make()
        return self._made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Do anything else with the tensor that is made."""
        args, kwargs = tree_map(made, (args, kwargs or {}))
        return func(*args, **kwargs)


def made(value: Any) -> Any:
    """The tensor itself, or what is made of one that is still to be made.

    Example:
        >>> import torch
        >>> made(torch.ones(1))
        tensor([1.])
    """
    return value.made if isinstance(value, Lazy) else value


def made_anew(value: Any) -> Any:
    """As `made`, but of what it is made of now.

    Where work is recorded and played back, that is written again and again, and who looked at it
    once would see it as it was. What was made while recording is written again, too.

    Example:
        >>> import torch
        >>> one = torch.tensor([2.0])
        >>> with torch.no_grad():
        ...     product = times(one, one)
        >>> _ = made(product), one.fill_(3.0)
        >>> made(product), made_anew(product)
        (tensor([4.]), tensor([9.]))
    """
    return value.make() if isinstance(value, Lazy) else value


class Times(Lazy):
    """The product of two tensors, number by number.

    Who wants no more than its sum over competitions, as for a decay, need not write it to memory.
    """

    one: Tensor
    two: Tensor

    def make(self) -> Tensor:
        """Multiply."""
        return self.one * self.two


def times(one: Tensor, two: Tensor) -> Tensor:
    """Return the product of two tensors, which is not made yet if nobody wants gradients.

    Args:
        one: any shape.
        two: the same shape.

    Example:
        >>> import torch
        >>> with torch.no_grad():
        ...     product = times(torch.tensor([2.0, 3.0]), torch.tensor([5.0, 7.0]))
        >>> type(product).__name__, product + 0
        ('Times', tensor([10., 21.]))
    """
    if torch.is_grad_enabled():
        return one * two
    product = Times.like(one)
    product.one, product.two = one, two
    return product
