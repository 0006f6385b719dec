"""Memory that is used again from step to step: fresh pages cost more than the work done on them."""

from __future__ import annotations

import sys
import threading
from functools import cache
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

SMALL = 1 << 14
"""Bytes below which memory is asked for each time: that takes less than looking for some."""
KEPT = 2000
"""Times that memory is asked for before what was not used meanwhile is given back."""
_LINE = 64  # bytes of a cache line: vectors that begin elsewhere are read in two parts
_ALONE = 2  # references to an array in the list below that nobody uses: the list, and who asks


class Memory:
    """Tensors on the CPU whose memory comes back when nobody holds them, nor a view of them.

    Example:
        >>> memory = Memory()
        >>> one = memory.fresh((64, 128), torch.float32)
        >>> address = one.data_ptr()
        >>> two = memory.fresh((64, 128), torch.float32)
        >>> two.data_ptr() == address
        False
        >>> kept = one.T
        >>> del one
        >>> memory.fresh((64, 128), torch.float32).data_ptr() == address
        False
        >>> del kept
        >>> memory.fresh((64, 128), torch.float32).data_ptr() == address
        True
    """

    def __init__(self) -> None:
        self._of_size: dict[int, list[_Piece]] = {}  # a step asks for the same sizes each time
        self._lock = threading.Lock()
        self._asked = 0

    def fresh(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Give memory with anything in it.

        Args:
            shape: of the tensor.
            dtype: of its numbers.
        """
        size = prod(shape) * dtype.itemsize
        if size < SMALL:
            return torch.empty(shape, dtype=dtype)
        kind, known = _kind(dtype)
        with self._lock:
            piece = self._take(size)
            found = torch.from_numpy(np.ndarray(shape, kind, piece.bytes, piece.start))
        return found if known else found.view(dtype)

    def _take(self, size: int) -> _Piece:
        self._asked += 1
        if self._asked % KEPT == 0:
            self._give_back()
        some = self._of_size.setdefault(size, [])
        found = next((each for each in some if each.free()), None)
        if found is None:
            some.append(found := _Piece(size))
        found.used = self._asked
        return found

    def _give_back(self) -> None:
        """Keep what is in use (its holders do), and what was asked for not long ago."""
        recent = self._asked - KEPT
        for size, some in list(self._of_size.items()):
            kept = [each for each in some if each.used > recent]
            if kept:
                self._of_size[size] = kept
            else:
                del self._of_size[size]


@cache
def _kind(dtype: torch.dtype) -> tuple[np.dtype[Any], bool]:
    """Numpy's type for numbers of torch; if it has none, one of their size, and ``False``."""
    try:
        return torch.empty(0, dtype=dtype).numpy().dtype, True
    except TypeError:
        return np.dtype(f"i{dtype.itemsize}"), False


class _Piece:
    """Some memory.

    Args:
        size: bytes.
    """

    def __init__(self, size: int) -> None:
        self.bytes = np.empty(size + _LINE, np.uint8)
        self.start, self.used = -self.bytes.ctypes.data % _LINE, 0

    def free(self) -> bool:
        """Whether nobody holds a part of it: each holds a reference to the whole."""
        return sys.getrefcount(self.bytes) == _ALONE


_memory = Memory()


def fresh(shape: tuple[int, ...], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Give memory with anything in it, for what is computed in a step.

    Args:
        shape: of the tensor.
        like: a tensor on the device, and of the type, that are wanted.
        dtype: another type.

    Example:
        >>> fresh((2, 3), like=torch.zeros(1)).shape
        torch.Size([2, 3])
    """
    kind = like.dtype if dtype is None else dtype
    if like.device.type != "cpu":  # its own allocator does that, and knows its streams
        return torch.empty(shape, dtype=kind, device=like.device)
    return _memory.fresh(shape, kind)
