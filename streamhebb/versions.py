"""Versions of tensors: torch counts every write, so what has been written to can be told.

Not counted are writes through ``tensor.data``, numpy or a compiled kernel, and those to tensors
made in inference mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from torch import Tensor, nn

Versions: TypeAlias = dict[tuple[int, str], tuple[Tensor, int]]
"""Buffers and parameters by the number of their module and their name: which one, and how often it
has been written to."""


def version(x: Any) -> int:
    """How often a tensor, or what it is a view of, has been written to; 0 for what does not count.

    Example:
        >>> import torch
        >>> x = torch.zeros(3)
        >>> view = x[:2].add_(1)
        >>> version(x), version(view)
        (1, 1)
    """
    if x is None:
        return 0
    try:  # asking first whether it counts would take three times as long
        count: int = x._version
    except (AttributeError, RuntimeError):
        return 0
    return count


def look(modules: Sequence[nn.Module]) -> Versions:
    """Return the versions of all that the modules hold themselves."""
    return {
        (number, name): (x, version(x))
        for number, module in enumerate(modules)
        for held in (module._buffers, module._parameters)  # named_buffers() takes twice as long
        for name, x in held.items()
        if x is not None
    }


def difference(wanted: Versions, found: Versions) -> tuple[int, str, str] | None:
    """Return the first difference, if any: number of the module, name of the buffer, what it is."""
    for (number, name), (x, count) in found.items():
        then = wanted.get((number, name))
        if then is None or then[0] is not x:
            return number, name, "is another tensor"
        if then[1] != count:
            return number, name, f"has version {count} in place of {then[1]}"
    for number, name in wanted.keys() - found.keys():
        return number, name, "is gone"
    return None


def tensors(value: Any) -> Iterator[Tensor]:
    """Return all tensors in a value made of tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, dict):
        yield from tensors(tuple(value.values()))


class Outputs(list[Any]):
    """The outputs of layers, each with the version it had when it was put here.

    Args:
        values: input of the net, then outputs.
        first: version of the first when it was made.

    Attributes:
        made: their versions.
        kept: stage -> what it will learn from, with versions.
        quiet: whether a stage has found nothing to do.
    """

    def __init__(self, values: Iterable[Any], first: int) -> None:
        super().__init__(values)
        self.made = [first, *(version(x) for x in self[1:])]
        self.kept: dict[str, list[tuple[Tensor, int]]] = {}
        self.quiet = False

    def __setitem__(self, position: Any, value: Any) -> None:
        super().__setitem__(position, value)
        self.made[position] = version(value)

    def changed(self, positions: Iterable[int]) -> int | None:
        """Return the first of these positions whose value has been written to since."""
        for position in positions:
            if self.made[position] != version(self[position]):
                return position
        return None
