"""The file in which a long run keeps its progress, and the runs that it fits.

It is one [snapshot][streamhebb.snapshot], written whole or not at all after every finished epoch.
Beside what is needed to go on it holds what was asked for; it fits a run that asks for the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from streamhebb import snapshot
from streamhebb.checkpoint import differences
from streamhebb.errors import ConfigError, SnapshotError
from streamhebb.values import Label

LOOKS = 1000
"""Samples of a set that are looked at to know it again."""
_MARK = "tensor of this file"


@runtime_checkable
class Restorable(Protocol):
    """Something that draws by chance, and can go on where it was."""

    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on: tensors and what JSON can hold."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        ...


class Progress:
    """A file of progress.

    Args:
        owner: who keeps it, for errors: ``"train_phases"``.
        path: the file; its folder is made if needed.
        settings: plain JSON data that says what was asked for.

    Raises:
        SnapshotError: if there is something else than a file at ``path``.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "progress"
        >>> Progress("example", path, {"epochs": 5}).write({"epoch": 2, "weight": torch.ones(2)})
        >>> Progress("example", path, {"epochs": 5}).read()
        {'epoch': 2, 'weight': tensor([1., 1.])}
    """

    def __init__(self, owner: str, path: str | os.PathLike[str], settings: dict[str, Any]) -> None:
        self.owner = owner
        self.path = Path(path)
        self.settings = json.loads(json.dumps(settings))  # as it will be read
        if self.path.exists() and not self.path.is_file():
            raise SnapshotError(f"{owner}: progress={str(path)!r} is no file; give the name of one")

    def read(self) -> dict[str, Any] | None:
        """Return what was written last, ``None`` if nothing was.

        Raises:
            SnapshotError: if the file is damaged, or the progress of something else.
        """
        if not self.path.exists():
            return None
        try:
            tensors, meta = snapshot.read(self.path)
        except SnapshotError as error:
            raise SnapshotError(
                f"{self.owner}: no progress to go on from: {error}. {_CURE}"
            ) from error
        if not isinstance(meta, dict) or "progress" not in meta:
            raise SnapshotError(f"{self.path} is a snapshot, but holds no progress. {_CURE}")
        if meta["progress"] != self.owner:
            raise SnapshotError(
                f"{self.path} holds progress of {meta['progress']}, not of {self.owner}. {_CURE}"
            )
        if different := list(differences(meta["settings"], self.settings)):
            words = "; ".join(different[:5])
            raise SnapshotError(f"{self.path} holds progress of another run: {words}. {_CURE}")
        found: dict[str, Any] = _joined(meta["state"], tensors)
        return found

    def write(self, state: dict[str, Any]) -> None:
        """Replace what was written before.

        Args:
            state: tensors and what JSON can hold, in dicts and lists.

        Raises:
            SnapshotError: if the disk refuses; the file is then as it was.
        """
        tensors: dict[str, Tensor] = {}
        plain = _split(state, tensors, "")
        meta = {"progress": self.owner, "settings": self.settings, "state": plain}
        snapshot.write(self.path, tensors, meta)


_CURE = "Delete the file to begin anew, or choose another"


def _split(value: Any, tensors: dict[str, Tensor], name: str) -> Any:
    """Put the tensors aside, and leave their names where they were."""
    if isinstance(value, Tensor):
        name = f"{len(tensors)}{name}"  # no two are the same
        tensors[name] = value
        return {_MARK: name}
    if isinstance(value, dict):
        return {key: _split(item, tensors, f"{name}/{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_split(item, tensors, f"{name}/{n}") for n, item in enumerate(value)]
    return value


def _joined(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_MARK}:
            return tensors[value[_MARK]]
        return {key: _joined(item, tensors) for key, item in value.items()}
    return [_joined(item, tensors) for item in value] if isinstance(value, list) else value


# -- what is known again, and what goes on ---------------------------------------------------------


def looks(x: Tensor, labels: Sequence[Label | None]) -> dict[str, Any]:
    """Describe a set by its shape, all labels, and 1000 samples, evenly spaced.

    All of it would have to be read otherwise, which takes minutes if it is large.

    Args:
        x: shape ``(N, ...)``.
        labels: one a sample.

    Example:
        >>> sorted(looks(torch.rand(5, 2), [0, 1, 0, 1, 0]))
        ['dtype', 'labels_digest', 'samples_digest', 'shape']
    """
    count = min(len(x), LOOKS)
    rows = x[torch.arange(count) * len(x) // max(count, 1)].detach().cpu().contiguous()
    return {
        "shape": list(x.shape),
        "dtype": str(x.dtype),
        "samples_digest": _digest(rows.reshape(-1).view(torch.uint8).numpy().tobytes()),
        "labels_digest": _digest(json.dumps(list(labels)).encode()),
    }


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def describe_augment(augment: Any) -> Any:
    """Describe what changes mini-batches: its class and its plain settings.

    Raises:
        ConfigError: if it cannot go on where it was.

    Example:
        >>> from streamhebb.sources import Noise
        >>> describe_augment(Noise(0.5))
        {'type': 'Noise', 'seed': 0, 'std': 0.5}
    """
    if augment is None:
        return None
    if not isinstance(augment, Restorable):
        raise ConfigError(
            f"train_phases: progress is not allowed with augment={augment!r}, whose chance nobody "
            f"can restore; give it the methods state() -> dict and restore(dict), as "
            f"streamhebb.sources.CropFlip has them ({{}} where nothing is drawn)"
        )
    plain = (int, float, str, bool, type(None))
    named = {n: v for n, v in vars(augment).items() if n[:1] != "_" and isinstance(v, plain)}
    return {"type": type(augment).__name__, **named}


def adam_state(adam: torch.optim.Optimizer) -> dict[str, Any]:
    """Moments and number of steps of every parameter, by its number."""
    kept: dict[int, dict[str, Tensor]] = adam.state_dict()["state"]
    return {str(number): dict(entry) for number, entry in kept.items()}


def restore_adam(adam: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Go on from what ``adam_state`` gave; rates stay as they are."""
    kept = {int(number): entry for number, entry in state.items()}
    adam.load_state_dict({"state": kept, "param_groups": adam.state_dict()["param_groups"]})
