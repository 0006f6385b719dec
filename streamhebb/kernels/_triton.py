"""Triton, where it is installed. Modules of kernels load without it; nothing of them runs then."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias


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
