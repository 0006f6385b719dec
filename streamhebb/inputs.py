"""What may be fed to a net: the rim where a careless caller is stopped, before anything learns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamhebb.errors import DeviceError, DTypeError, InputError, LabelError, ShapeError
from streamhebb.values import Shape


def to_tensor(x: Any) -> Tensor:
    """Bring tensors, numpy arrays and (nested) lists of numbers to a tensor, without scaling.

    Raises:
        DTypeError: for anything that is not floating point, with the cure.
        InputError: for anything that is not an array of numbers.
    """
    if not isinstance(x, Tensor):
        if isinstance(x, (list, tuple)):
            x = np.asarray(x, dtype=np.float32) if _numbers(x) else x
        if not hasattr(x, "__array__") or isinstance(x, (str, bytes)):
            raise InputError(
                f"x is {_kind(x)}; a sample is a tensor, a numpy array, a list of numbers or a "
                f"dict of features"
            )
        array = np.asarray(x)
        if array.dtype.kind not in "fiub":
            raise DTypeError(f"x has dtype {array.dtype}; it must be floating point")
        x = torch.from_numpy(array if array.flags.writeable else array.copy())
    tensor: Tensor = x
    if not tensor.is_floating_point():
        cure = "x / 255 for image bytes" if tensor.dtype == torch.uint8 else "x.float()"
        raise DTypeError(
            f"x has dtype {tensor.dtype}; it must be floating point, for example {cure}"
        )
    return tensor


def _numbers(x: Sequence[Any]) -> bool:
    try:
        np.asarray(x, dtype=np.float32)
    except (TypeError, ValueError):
        return False
    return True


def _kind(x: Any) -> str:
    return "None" if x is None else f"a {type(x).__name__}"


def from_features(x: Mapping[Any, Any], names: Sequence[Any] | None) -> tuple[Tensor, list[Any]]:
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
    try:
        return torch.tensor([float(x[name]) for name in names], dtype=torch.float64), names
    except (TypeError, ValueError) as error:
        raise InputError(f"a feature is not a number: {error}; encode it first") from error


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


def targets(target: Any, batch: int, single: bool) -> list[Any]:
    """Bring the label, or labels, to a list of plain values with one entry a sample.

    Raises:
        LabelError: if there are more or fewer labels than samples, or a label is not a scalar.
    """
    if target is None:
        return [None] * batch
    if isinstance(target, (Tensor, np.ndarray)):
        target = target.tolist()
    elif isinstance(target, np.generic):
        target = target.item()
    if not isinstance(target, (list, tuple)):
        target = [target] if single else target
    if not isinstance(target, (list, tuple)) or len(target) != batch:
        count = len(target) if isinstance(target, (list, tuple)) else 1
        raise LabelError(f"{count} labels were given for {batch} samples; give one a sample")
    return [_plain_label(label) for label in target]


def _plain_label(label: Any) -> Any:
    if isinstance(label, (Tensor, np.generic)):
        label = label.item()
    if isinstance(label, float) and label.is_integer():
        return int(label)  # scikit-learn and csv files hand out 3.0 for class 3
    if isinstance(label, (list, tuple, dict, np.ndarray)):
        raise LabelError(f"label {label!r} is not a single label; one-hot targets are not taken")
    return label
