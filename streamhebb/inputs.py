"""What may be fed to a net: the rim where a careless caller is stopped, before anything learns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamhebb.errors import (
    DeviceError,
    DTypeError,
    InputError,
    LabelError,
    NonFiniteError,
    ShapeError,
)
from streamhebb.readouts.base import plain
from streamhebb.values import Shape


def to_tensor(x: Any, device: torch.device | None = None) -> Tensor:
    """Bring tensors, numpy arrays and (nested) lists of numbers to a tensor, without scaling.

    Args:
        x: what was given.
        device: where arrays and lists go; a tensor stays where it is.

    Raises:
        DTypeError: for anything that is not floating point, with the cure.
        InputError: for anything that is not an array of numbers.
    """
    if not isinstance(x, Tensor):
        array = _list_array(x) if isinstance(x, (list, tuple)) else x
        if not hasattr(array, "__array__"):
            raise InputError(f"x is {_kind(x)}; {_TAKEN}")
        return torch.from_numpy(_native(np.asarray(array))).to(device)
    if x.layout != torch.strided:
        raise InputError(f"x is a {x.layout} tensor; only dense ones are taken: x.to_dense()")
    if not x.is_floating_point():
        raise DTypeError(f"x has dtype {x.dtype}; {_cure(str(x.dtype))}")
    return x


_TAKEN = (
    "a sample is a tensor, a numpy array, a list of numbers or a dict of features that are numbers"
)


def _list_array(x: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Lists of numbers, whole ones included: nobody writes an image as a list of bytes."""
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise InputError(f"x is a ragged {type(x).__name__}; its rows differ in length") from error
    if array.dtype.kind not in "fiu":
        raise InputError(f"x is {_kind(x)} that holds {array.dtype}; {_TAKEN}")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What torch can share memory with; otherwise (flipped, read-only, foreign bytes) a copy."""
    if array.dtype.kind != "f":
        raise DTypeError(f"x has dtype {array.dtype}; {_cure(str(array.dtype))}")
    if array.dtype.itemsize > 8:
        return array.astype(np.float64)
    if not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    shared = array.flags.writeable and all(stride >= 0 for stride in array.strides)
    return array if shared else array.copy()


def _cure(dtype: str) -> str:
    if "uint8" in dtype:
        cure = "x / 255 for image bytes"
    elif "complex" in dtype:
        cure = "abs(x), or its real and imaginary parts as two channels"
    elif "object" in dtype or "<U" in dtype or "<S" in dtype:
        cure = "numpy.asarray(x, dtype='float32') if these are numbers"
    else:
        cure = "x.float() for a tensor, x.astype('float32') for an array"
    return f"it must be floating point, for example {cure}"


def _kind(x: Any) -> str:
    return "None" if x is None else f"a {type(x).__name__}"


def from_features(
    x: Mapping[Any, Any], names: Sequence[Any] | None
) -> tuple[np.ndarray[Any, Any], list[Any]]:
    """Bring a dict of features (River's samples) to a vector, in the order first seen.

    Raises:
        InputError: for features that are missing, new, or not numbers.
    """
    names = list(x) if names is None else list(names)
    if len(x) != len(names) or any(name not in x for name in names):
        missing = [name for name in names if name not in x]
        extra = [name for name in x if name not in names]
        raise InputError(
            f"the features changed: missing {missing}, new {extra}; every sample needs the "
            f"{len(names)} features of the first one"
        )
    return np.array([_feature(name, x[name]) for name in names], dtype=np.float64), names


def _feature(name: Any, value: Any) -> float:
    try:
        if not isinstance(value, (str, bytes)):  # "1.5" would pass as a number
            return float(value)
    except (TypeError, ValueError):
        pass
    raise InputError(
        f"feature {name!r} is {value!r}, not a number; encode it first, for example with "
        f"river.preprocessing.OneHotEncoder"
    )


def check_place(x: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Check the device and cast to the net's precision.

    Raises:
        DeviceError: if ``x`` lies elsewhere than the net.
    """
    if x.device != device:
        raise DeviceError(
            f"x is on {x.device} but the net is on {device}; use x.to('{device}') or "
            f"net.to('{x.device}')"
        )
    return x.detach().to(dtype)


def split_batch(x: Tensor, shape: Shape) -> tuple[Tensor, bool]:
    """Give ``x`` a leading sample dimension.

    Returns:
        The micro-batch ``(B, *shape)``, and whether ``x`` was a single sample.

    Raises:
        ShapeError: if ``x`` is neither one sample nor a micro-batch of them.
    """
    if tuple(x.shape) == shape:
        return x[None], True
    if tuple(x.shape[1:]) == shape and x.ndim == len(shape) + 1:
        if len(x):
            return x, False
        raise ShapeError(f"x is an empty micro-batch of shape {tuple(x.shape)}; skip it")
    raise ShapeError(
        f"x has shape {tuple(x.shape)}; this net takes one sample of shape {shape} or a "
        f"micro-batch (B, {', '.join(map(str, shape))})"
    )


def all_finite(x: Tensor) -> bool:
    """Whether ``x`` holds no NaN and no infinity; one pass in the usual case."""
    if math.isfinite(x.sum().item()):
        return True
    return bool(torch.isfinite(x).all())  # a sum of finite numbers may overflow


def non_finite(x: Tensor, number: int) -> NonFiniteError:
    """The error that says what is wrong with sample ``number``."""
    bad = int((~torch.isfinite(x)).sum())
    return NonFiniteError(
        f"sample {number} holds {bad} NaN or infinite values of {x.numel()} (as {x.dtype}); "
        f"nothing learned from it. Clean the source, or build the net with on_bad='skip'"
    )


def modulators(modulator: Any, names: Sequence[str]) -> list[Any]:
    """Bring the third factor, which multiplies every weight's change, to one for each layer.

    Args:
        modulator: one number, or a number for some layers by name or position; 1 for the others.
        names: of the layers.

    Raises:
        InputError: for NaN, infinite values, anything but numbers, or a layer that is not there.
    """
    if not isinstance(modulator, Mapping):
        return [_factor(modulator)] * len(names)
    found: list[Any] = [1.0] * len(names)
    for key, value in modulator.items():
        place = names.index(key) if key in names else key
        if not (type(place) is int and 0 <= place < len(names)):
            raise InputError(
                f"modulator names the layer {key!r}; there are {', '.join(names)}, or their "
                f"numbers from 0"
            )
        found[place] = _factor(value)
    return found


def _factor(modulator: Any) -> Any:
    one = modulator.numel() == 1 if isinstance(modulator, Tensor) else True
    if not (one and isinstance(modulator, (Real, Tensor)) and math.isfinite(modulator)):
        raise InputError(f"modulator={modulator!r} is not allowed; give one finite number")
    return modulator


def targets(target: Any, batch: int, single: bool) -> list[Any]:
    """Bring the label, or labels, to a list of plain values with one entry a sample.

    Raises:
        LabelError: if there are more or fewer labels than samples, or a label is not a scalar.
    """
    if target is None:
        return [None] * batch
    if hasattr(target, "tolist"):  # tensors, arrays, numpy scalars, series
        target = target.tolist()
    if not isinstance(target, (list, tuple)):
        target = [target] if single else target
    if not isinstance(target, (list, tuple)) or len(target) != batch:
        count = len(target) if isinstance(target, (list, tuple)) else 1
        raise LabelError(
            f"{count} labels were given for {batch} samples; give one a sample, None where it is "
            f"unknown. One-hot targets are not taken: use target.argmax(-1)"
        )
    return [_single(plain(label)) for label in target]


def _single(label: Any) -> Any:
    if isinstance(label, (list, tuple, dict, np.ndarray, Tensor)):
        raise LabelError(
            f"label {label!r} is not a single label; one-hot targets are not taken: use "
            f"target.argmax(-1)"
        )
    return label
