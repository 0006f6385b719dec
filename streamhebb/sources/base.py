"""What a source is, and how any iterable becomes a stream of samples."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from streamhebb.errors import DTypeError, InputError
from streamhebb.values import Label, Sample, Shape

ALLOWED = (
    "a source is an iterable of tensors or numpy arrays, of (x, y) pairs, of Sample, "
    "or a DataLoader of these"
)


class Source(Protocol):
    """What the built-in sources share.

    Your own may be any iterable; see [`samples`][streamhebb.sources.base.samples].

    Finite sources also have ``len()``. Leaving the ``with`` block frees files, threads and devices.
    """

    @property
    def name(self) -> str:
        """Short name for displays and run folders."""
        ...

    @property
    def shape(self) -> Shape:
        """Shape of one sample, ``(C, H, W)`` for pictures."""
        ...

    @property
    def classes(self) -> tuple[Label, ...] | None:
        """All labels that may come, or ``None`` for unlabelled streams."""
        ...

    @property
    def counts(self) -> dict[str, int]:
        """Samples dropped or refused in the current pass, by cause."""
        ...

    def __iter__(self) -> Iterator[Sample]: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Unclosed:
    """``with`` for sources that hold nothing open between two iterations."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


def samples(source: Iterable[Any]) -> Generator[Sample]:
    """Turn any iterable into samples, one at a time.

    Floating torch tensors pass as they are; numpy floats become float32; ``uint8`` is divided by
    255; ``bool`` becomes 0 and 1. Scalar labels become plain Python values. The batches of a
    ``DataLoader`` come through as one sample each, with a leading dimension in ``x`` and the tensor
    of labels as ``target``. ``id`` is the running number where the source sets none.

    Args:
        source: an iterable of tensors or arrays ``(*shape)``, ``(x, y)`` pairs, ``(x,)`` or
            [`Sample`][streamhebb.values.Sample]; a tensor or array is read along its first
            dimension; a data set with ``len()`` and ``[i]`` is read in order.

    Raises:
        InputError: something else; the message names its type and what is allowed.
        DTypeError: integers or complex numbers whose scale is not known.

    Example:
        >>> import torch
        >>> [s.target for s in samples([(torch.zeros(2), 1), (torch.ones(2), 0)])]
        [1, 0]
    """
    return _samples(_items(source))


def _samples(items: Iterator[Any]) -> Generator[Sample]:
    try:
        for number, item in enumerate(items):
            yield as_sample(item, number)
    finally:
        # Leaving the loop early must stop a camera now, not when the iterator is collected.
        close = getattr(items, "close", None)
        if close is not None:
            close()


def _items(source: Any) -> Iterator[Any]:
    if isinstance(source, (str, bytes)):
        raise InputError(f"{source!r} is text, not a source; use open_source(...). {ALLOWED}")
    if isinstance(source, (Mapping, Sample)):
        raise InputError(f"a {type(source).__name__} is not a source: {ALLOWED}")
    if isinstance(source, (Tensor, np.ndarray)) and source.ndim == 0:
        raise InputError(f"a {type(source).__name__} without dimensions is not a source: {ALLOWED}")
    if _looks_like_arrays(source):
        raise InputError("a pair of arrays is not a source: use ArraySource(x, y) or zip(x, y)")
    if hasattr(source, "__iter__"):
        return iter(source)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        # iter() would ask such a data set until IndexError, which not every one raises.
        return (source[i] for i in range(len(source)))
    raise InputError(f"a {type(source).__name__} is not iterable: {ALLOWED}")


def _looks_like_arrays(source: Any) -> bool:
    """``(X, Y)``: two arrays of equal length and different rank, not two samples."""
    if not isinstance(source, tuple) or len(source) != 2:
        return False
    x, y = source
    if not all(isinstance(a, (Tensor, np.ndarray)) and a.ndim for a in source):
        return False
    return bool(x.ndim != y.ndim and len(x) == len(y))


def as_sample(item: Any, number: int) -> Sample:
    """Turn one item of a source into a sample; ``number`` is its id if it has none."""
    if isinstance(item, Sample):
        x, target = _observation(item.x, number), _target(item.target)
        return replace(item, x=x, target=target, id=number if item.id is None else item.id)
    if isinstance(item, (tuple, list)) and len(item) in (1, 2):
        target = _target(item[1]) if len(item) == 2 else None
        return Sample(_observation(item[0], number), target=target, id=number)
    return Sample(_observation(item, number), id=number)


def _observation(x: Any, number: int) -> Tensor:
    if isinstance(x, np.ndarray):
        if x.dtype.kind == "f":
            x = x.astype(np.float32)
        elif x.dtype.kind not in "ub" or x.dtype.itemsize > 1:
            raise _unscaled(x.dtype, number)
        # A copy: the array may be read-only or reused by its owner.
        x = torch.from_numpy(np.array(x, order="C"))
    if not isinstance(x, Tensor):
        cure = "; turn pictures into tensors first" if "PIL" in type(x).__module__ else ""
        raise InputError(f"sample {number} is a {type(x).__name__}{cure}: {ALLOWED}")
    if x.dtype == torch.uint8:
        return x.to(torch.float32).div_(255)
    if x.dtype == torch.bool:
        return x.to(torch.float32)
    if not x.is_floating_point():
        raise _unscaled(x.dtype, number)
    return x


def _unscaled(dtype: Any, number: int) -> DTypeError:
    return DTypeError(
        f"sample {number} has dtype {dtype}, whose scale is not known; allowed are floating "
        "numbers, uint8 (divided by 255) and bool: scale it to floats first"
    )


def _target(target: Any) -> Any:
    if isinstance(target, np.ndarray):
        if target.ndim and target.dtype.kind in "iubf":
            return torch.from_numpy(np.array(target, order="C"))
        return target.tolist()
    if isinstance(target, Tensor):
        return target if target.ndim else target.item()
    return target.item() if isinstance(target, np.generic) else target
