"""From a net to a snapshot and back: what is kept, and whether it fits."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from streamhebb import snapshot
from streamhebb.errors import SnapshotError
from streamhebb.values import Shape

_LAYER = re.compile(r"layers\[\d+\]")


class Savable(Protocol):
    """What a net must offer to be saved."""

    input_shape: Shape | None

    @property
    def grows(self) -> bool:
        """Whether the readout's buffers may have another number of classes."""
        ...

    @property
    def carried(self) -> frozenset[str]:
        """Names of the state that has as many rows as the stream has parallel samples."""
        ...

    def describe(self) -> dict[str, Any]:
        """Plain JSON data that names every layer and argument."""
        ...

    def fix_shape(self, shape: Shape) -> None:
        """Accept the shape of one sample."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All state: tensors, and dicts of extra state."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Restore all state."""
        ...


def save(net: Savable, path: str | os.PathLike[str], extra: Any) -> None:
    """Write the net's whole state: tensors as such, the rest as JSON."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for name, value in net.state_dict().items():
        if isinstance(value, Tensor):
            tensors[name] = value
            continue
        for key, item in value.items():
            if isinstance(item, Tensor):
                tensors[f"{name}/{key}"] = item
            else:
                values[f"{name}/{key}"] = item
    snapshot.write(path, tensors, {"net": net.describe(), "values": values, "extra": extra})


def load(net: Savable, path: str | os.PathLike[str], readout: bool = True) -> Any:
    """Read a snapshot into the net, after checking that all of it fits.

    Args:
        net: changed only if everything fits.
        path: the file.
        readout: whether the readout comes from it too, or stays as it is.
    """
    tensors, meta = snapshot.read(path)
    if not isinstance(meta, dict) or not {"net", "values", "extra"} <= meta.keys():
        raise SnapshotError(f"{path} is a snapshot of streamhebb, but not of a net")
    mine, theirs = net.describe(), dict(meta["net"])
    if not readout:
        theirs["readout"] = mine["readout"]
    different = list(differences(theirs, mine, _need_not_agree))
    if different:
        raise SnapshotError(
            f"{path} is a snapshot of another net: {'; '.join(different[:5])}. Build the same "
            f"net, or use streamhebb.load(path), which builds it from the snapshot"
        )
    state: dict[str, Any] = {}
    for name, value in (tensors | meta["values"]).items():
        owner, _, key = name.partition("/")
        if key:
            state.setdefault(owner, {})[key] = value
        else:
            state[name] = value
    if not readout:
        own = {name: value for name, value in net.state_dict().items() if _of_readout(name)}
        state = {name: value for name, value in state.items() if not _of_readout(name)} | own
    check_fits(net, state, path)
    if net.input_shape is None and meta["net"]["input_shape"] is not None:
        net.fix_shape(tuple(meta["net"]["input_shape"]))
    net.load_state_dict(state)
    return meta["extra"]


def _of_readout(name: str) -> bool:
    return name.startswith("readout.")


def check_fits(net: Savable, state: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Refuse a ``state_dict`` of which something is missing, unknown, or of another shape.

    Args:
        net: is not changed.
        state: as ``net.state_dict()`` gives it.
        path: where it comes from.

    Raises:
        SnapshotError: naming what does not fit.
    """
    wrong = list(_misfits(net.state_dict(), state, net.grows, net.carried))
    if wrong:
        raise SnapshotError(f"{path} does not fit this net: {', '.join(wrong[:5])}")


def _misfits(
    mine: dict[str, Any], theirs: dict[str, Any], grows: bool, carried: frozenset[str]
) -> Iterator[str]:
    """Name the entries that are missing, unknown, or of another shape."""
    yield from sorted(mine.keys() ^ theirs.keys())
    for name in mine.keys() & theirs.keys():
        a, b = mine[name], theirs[name]
        if isinstance(a, Tensor):
            # A readout with open classes has one row a class; the number of rows may differ.
            skip = 1 if grows and _of_readout(name) else 0
            if a.shape[skip:] != b.shape[skip:] and name not in carried:
                yield f"{name} has shape {tuple(b.shape)} there and {tuple(a.shape)} here"
            elif a.dtype != b.dtype:
                cure = "net.double()" if b.dtype == torch.float64 else "net.to(dtype)"
                yield f"{name} is {b.dtype} there and {a.dtype} here (use {cure} before loading)"


def _need_not_agree(where: str, key: str, theirs: Any, mine: Any) -> bool:
    """Seed and policy, rates that may have been set while running, an unknown input shape."""
    if not where and key in ("seed", "on_bad"):
        return True
    if key == "rate" and _LAYER.fullmatch(where):
        return True  # the snapshot's is taken over
    return key == "input_shape" and (theirs is None or mine is None)


def differences(
    theirs: Any,
    mine: Any,
    ignored: Callable[[str, str, Any, Any], bool] | None = None,
    where: str = "",
) -> Iterator[str]:
    """Say where two descriptions in plain JSON data differ.

    Args:
        theirs: one of them.
        mine: the other.
        ignored: told the place of a dict, a key in it and both values, says whether these need not
            agree.
        where: place of both, for the words.

    Example:
        >>> list(differences({"a": [1, 2]}, {"a": [1, 3]}))
        ['a[1] is 2 there and 3 here']
    """
    if isinstance(theirs, dict) and isinstance(mine, dict):
        for key in sorted(theirs.keys() | mine.keys()):
            a, b = theirs.get(key), mine.get(key)
            if ignored is None or not ignored(where, key, a, b):
                yield from differences(a, b, ignored, f"{where}.{key}" if where else key)
    elif isinstance(theirs, list) and isinstance(mine, list) and len(theirs) == len(mine):
        for i, (a, b) in enumerate(zip(theirs, mine, strict=True)):
            yield from differences(a, b, ignored, f"{where}[{i}]")
    elif theirs != mine:
        yield f"{where} is {theirs!r} there and {mine!r} here"
