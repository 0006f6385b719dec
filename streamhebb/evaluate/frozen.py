"""Features of a whole set through a frozen net: computed once, kept in memory or on disk."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamhebb import inputs
from streamhebb.errors import ConfigError, NonFiniteError, ShapeError
from streamhebb.estimator import as_array, batches
from streamhebb.evaluate.feature_file import FeatureFile, fingerprint
from streamhebb.evaluate.responding import outputs
from streamhebb.layers.wired import WiredLayer
from streamhebb.net import StreamNet
from streamhebb.parts import require
from streamhebb.tuning import choose

CHUNK = 1000
LARGEST_HALF = 65504.0
"""The largest number that half precision holds."""
_KINDS = {torch.bfloat16: torch.float32}  # npy does not know bfloat16


@torch.no_grad()
def features(
    net: StreamNet,
    x: Any,
    *,
    batch_size: int = 64,
    half: bool = False,
    keep: str | os.PathLike[str] | None = None,
    tune: bool = False,
) -> Tensor:
    """Return the last layer's output for a whole set, one row a sample; the net changes in nothing.

    Workers of a net whose scheduler is [`Threads`][streamhebb.schedule.threads.Threads] take one
    mini-batch each.

    With ``keep`` the features go to a file in that folder as they are made, and come back mapped
    into memory. Asked for again, they are read from there, if net, data, settings and versions are
    the same as then, and the file is whole. Old files are not removed.

    Args:
        net: frozen for the while.
        x: shape ``(N, *input_shape)``.
        batch_size: samples that are computed together; about what memory holds besides.
        half: store in half precision: half of the room, numbers rounded to 3 digits.
        keep: a folder; ``None`` keeps them in memory only.
        tune: measure how each layer responds fastest to such a mini-batch, on a copy, and do that.
            Off, the layers' own methods are used, so that the features are the same from run to
            run, to the bit; which method wins depends on time, and they differ by rounding.

    Returns:
        Shape ``(N, ...)``.

    Raises:
        ConfigError: if numbers do not fit half precision, or all of them do not fit memory.
        ShapeError: if there are no samples.
        NonFiniteError: for NaN or infinite values in data or features.
        FeatureFileError: if the disk is too small, or refuses.

    Example:
        >>> from streamhebb import Dense
        >>> features(StreamNet(Dense(4, 8), seed=0), torch.rand(10, 4)).shape
        torch.Size([10, 8])
    """
    require("features", "batch_size", batch_size, at_least=1, whole=True)
    rows = _rows(net, x, batch_size)
    device, dtype = net.place
    kind = torch.float16 if half else _KINDS.get(dtype, dtype)
    file = None
    if keep is not None:
        settings = {"batch_size": batch_size, "kind": str(kind), "tuned": tune}
        file = FeatureFile(keep, fingerprint(net, rows, **settings))
        if (found := file.open()) is not None:
            return found
    layers: list[Any] = list(net.layers)
    if tune:
        layers = copy.deepcopy(layers)
        choose(layers, rows[:batch_size], learning=False)
    made = outputs(layers, net.scheduler, torch.split(rows, batch_size))
    parts = (_stored(part, kind) for part in made)
    if file is None:
        return _gathered(parts, len(rows), device)
    pairs = zip(net.names, layers, strict=True)
    methods = {name: layer.products for name, layer in pairs if isinstance(layer, WiredLayer)}
    return file.write(parts, len(rows), {"methods": methods})


def _rows(net: StreamNet, x: Any, batch_size: int) -> Tensor:
    """The whole set, checked, in the precision of the net."""
    device, dtype = net.place
    whole = isinstance(x, (Tensor, np.ndarray))
    given = [x] if whole else [part for part, _ in batches(x, None, 1)]
    found = [inputs.to_tensor(as_array(part), device) for part in given]
    if not found or not all(map(len, found)):
        raise ShapeError("features: there are no samples")
    if net.input_shape is None:
        net.respond(found[0][:batch_size] if whole else found[0])  # finds out the shape
    shape = net.input_shape or ()
    parts = [inputs.split_batch(inputs.check_place(p, device, dtype), shape)[0] for p in found]
    rows = parts[0] if len(parts) == 1 else torch.cat(parts)
    for number, part in enumerate(torch.split(rows, CHUNK)):
        if not inputs.all_finite(part):
            raise NonFiniteError(
                f"features: samples {CHUNK * number} to {CHUNK * number + len(part) - 1} hold NaN "
                f"or infinite values; a row left out would set samples and labels apart"
            )
    return rows


def _stored(part: Tensor, kind: torch.dtype) -> Tensor:
    """Features of a mini-batch in the precision they are kept in."""
    if not inputs.all_finite(part):
        raise NonFiniteError("features: the net answers with NaN or infinite values")
    if kind is torch.float16 and (largest := float(part.abs().max())) > LARGEST_HALF:
        raise ConfigError(
            f"features: {largest:.4g} does not fit half precision, which ends at "
            f"{LARGEST_HALF:.0f}; use half=False, which keeps float32"
        )
    return part.to(kind)


def _gathered(parts: Iterator[Tensor], count: int, device: torch.device) -> Tensor:
    """All features in memory that is asked for once."""
    found, done = torch.empty(0), 0
    for part in parts:
        if not done:
            _check_memory(count * part[0].nbytes, device)
            found = part.new_empty(count, *part.shape[1:])
        found[done : done + len(part)] = part
        done += len(part)
    return found


def _check_memory(needed: int, device: torch.device) -> None:
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return
    if device.type == "cpu" and needed > there:
        raise ConfigError(
            f"features: {needed / 1e9:.1f} GB of them do not fit the {there / 1e9:.1f} GB of this "
            f"machine; use keep=FOLDER, and half=True for half of the room"
        )
