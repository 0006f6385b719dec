"""Triton, where it is installed. Modules of kernels load without it; nothing of them runs then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
from torch import Tensor


def _found(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


triton = _found("triton")
tl = _found("triton.language")

# Triton's compiler reads annotations, and refuses names that are not its own.
if TYPE_CHECKING:
    tensor: TypeAlias = Any
    constexpr: TypeAlias = Any
else:
    tensor, constexpr = getattr(tl, "tensor", None), getattr(tl, "constexpr", None)


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function for the card when it is first called.

    With ``TRITON_INTERPRET=1`` in the environment at this moment it runs as Python, on the CPU.
    """
    return function if triton is None else triton.jit(function)


def interpreted(kernel: Any) -> bool:
    """Whether a compiled function runs as Python."""
    return triton is not None and not isinstance(kernel, triton.runtime.JITFunction)


class Launch(NamedTuple):
    """A kernel that was launched.

    Args:
        name: of the kernel.
        flops: of the products it makes, two for each multiplication.
        tensors: that it was given.
    """

    name: str
    flops: int
    tensors: tuple[Tensor, ...]


_heard_by: list[Callable[[Launch], None]] = []


@contextmanager
def heard(by: Callable[[Launch], None]) -> Iterator[None]:
    """Tell a function of every launch within the block, in any thread."""
    _heard_by.append(by)
    try:
        yield
    finally:
        _heard_by.remove(by)


def launch(kernel: Any, grid: tuple[int, ...], *given: Any, flops: int = 0, **sizes: Any) -> None:
    """Launch a kernel on the device of its first argument, whichever is the current one.

    On tensors without memory (``device="meta"``) nothing runs: a net there asks for what it would
    ask of a card, and whatever would make the host wait for an answer raises.

    Args:
        kernel: compiled.
        grid: how many programs there are.
        given: to the kernel.
        flops: of the products it makes.
        sizes: given by name.
    """
    for by in _heard_by:
        named = getattr(kernel, "__name__", None) or kernel.fn.__name__
        tensors = tuple(value for value in given if isinstance(value, Tensor))
        by(Launch(named, flops, tensors))
    place = given[0].device
    if place.type != "meta":
        with torch.cuda.device(place) if place.type == "cuda" else nullcontext():
            kernel[grid](*given, **sizes)
