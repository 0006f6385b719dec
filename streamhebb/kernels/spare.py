"""Memory used again from step to step: fresh pages cost more than the arithmetic on them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

KEPT = 8
"""Tensors that are kept for later."""


class Spare:
    """Tensors that are not in use; several threads may take some at once.

    Example:
        >>> spare = Spare()
        >>> with spare.lent((2, 3), like=torch.zeros(1)) as first:
        ...     address = first.data_ptr()
        >>> with spare.lent((3, 2), like=torch.zeros(1)) as second:
        ...     second.shape, second.data_ptr() == address
        (torch.Size([3, 2]), True)
    """

    def __init__(self) -> None:
        self._free: deque[Tensor] = deque(maxlen=KEPT)  # what was not used for long drops out
        self._lock = threading.Lock()

    @contextmanager
    def lent(self, shape: tuple[int, ...], like: Tensor) -> Iterator[Tensor]:
        """Give memory of a shape, with anything in it, until the block ends.

        Args:
            shape: of the tensor.
            like: a tensor of the type and on the device that are wanted.
        """
        count = torch.Size(shape).numel()
        flat = self._take(count, like)
        yield flat[:count].view(shape)
        with self._lock:
            self._free.append(flat)

    def _take(self, count: int, like: Tensor) -> Tensor:
        kind = like.device, like.dtype
        with self._lock:
            for place, flat in enumerate(self._free):
                if (flat.device, flat.dtype) == kind and count <= len(flat) <= 2 * count:
                    del self._free[place]
                    return flat
        return like.new_empty(count)

    def __deepcopy__(self, memo: object) -> Spare:
        return Spare()  # never worth a copy

    def __reduce__(self) -> tuple[type[Spare], tuple[()]]:
        return Spare, ()
