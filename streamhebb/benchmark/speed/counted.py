"""What a step asks of torch, counted: it does not depend on the machine or on how busy it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from streamhebb.kernels._triton import Launch, heard

_VIEWS = (
    "aten::view",
    "aten::_unsafe_view",
    "aten::as_strided",
    "aten::t",
    "aten::detach",
    "aten::alias",
)


@dataclass
class Counted:
    """Work of torch's operators and Triton's kernels; loops of numba are not seen.

    Attributes:
        launches: operators that compute or copy; on a GPU each is a kernel or more.
        flops: of matrix products, two for each multiplication.
        bytes: read and written by the operators, each tensor once for each operator.
        allocations: tensors with memory of their own that were made.
        allocated: their bytes.
        by_name: launches of each operator.
    """

    launches: int = 0
    flops: int = 0
    bytes: int = 0
    allocations: int = 0
    allocated: int = 0
    by_name: dict[str, int] = field(default_factory=dict)

    def note(self, name: str, flops: int, tensors: Iterable[Tensor]) -> None:
        """Note an operator or a kernel."""
        self.launches += 1
        self.by_name[name] = self.by_name.get(name, 0) + 1
        self.flops += flops
        each = {id(tensor): tensor for tensor in tensors}  # some are given twice
        self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in each.values())

    def add(self, launch: Launch) -> None:
        """Note a kernel of Triton."""
        self.note(f"triton::{launch.name}", launch.flops, launch.tensors)


def count(work: Callable[[], object]) -> Counted:
    """Count what ``work`` asks of torch.

    Example:
        >>> import torch
        >>> x = torch.ones(2, 3)
        >>> found = count(lambda: x @ x.mT)
        >>> found.flops, found.launches, found.bytes, found.allocated
        (24, 1, 64, 16)
    """
    found = Counted()
    with _Counting(found), heard(found.add):
        work()
    return found


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator before it runs."""

    def __init__(self, found: Counted) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = found

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = list(_tensors((args, kwargs)))
        known = {tensor.untyped_storage().data_ptr() for tensor in given}
        out = func(*args, **(kwargs or {}))
        made = list(_tensors(out))
        fresh = [t for t in made if t.untyped_storage().data_ptr() not in known and t.numel()]
        self.found.allocations += len(fresh)
        self.found.allocated += sum(tensor.untyped_storage().nbytes() for tensor in fresh)
        name = func.name().partition(".")[0]
        if _computes(func, name):
            # What is written in place, or to ``out``, is among what is given already.
            self.found.note(name, _flops(name, given), (*given, *made))
        return out


def _tensors(values: object) -> Iterator[Tensor]:
    return (value for value in tree_leaves(values) if isinstance(value, Tensor))


def _computes(func: Any, name: str) -> bool:
    """Whether an operator does more than see memory in another way, or ask for some."""
    if name.startswith(("aten::empty", "aten::new_empty")):
        return False
    return not func.is_view and name not in _VIEWS


def _flops(name: str, given: Sequence[Tensor]) -> int:
    if name in ("aten::mm", "aten::bmm"):
        return 2 * prod(given[0].shape) * given[1].shape[-1]
    if name in ("aten::addmm", "aten::baddbmm"):
        return 2 * prod(given[1].shape) * given[2].shape[-1]
    if name in ("aten::mv", "aten::dot"):
        return 2 * prod(given[0].shape)
    if name == "aten::addmv":
        return 2 * prod(given[1].shape)
    return 0
