"""Inputs and labels of a whole set, as `train_phases` takes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from streamhebb import inputs
from streamhebb.errors import ConfigError, LabelError, NonFiniteError
from streamhebb.estimator import as_array
from streamhebb.net import StreamNet
from streamhebb.schedule import Scheduler, Serial
from streamhebb.values import Label


class LabelledSet:
    """Inputs and labels, checked; ``rows`` numbers the labels once classes are known.

    Args:
        net: says which inputs fit.
        pair: inputs ``(N, *input_shape)``, and labels or ``None``.
        name: for errors.

    Raises:
        ConfigError: for anything but a pair.
        InputError: for inputs or labels that are refused.
    """

    def __init__(self, net: StreamNet, pair: Any, name: str) -> None:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ConfigError(f"train_phases: {name} is a {type(pair).__name__}; give (X, y)")
        device, dtype = net.place
        x = inputs.to_tensor(as_array(pair[0]), device)
        if not x.ndim or not inputs.all_finite(x):
            raise NonFiniteError(f"train_phases: the inputs of {name} hold NaN or infinite values")
        net.respond(x[:1])  # refuses what does not fit, and fixes the net's input shape
        self.x = x.to(dtype)
        self.y = inputs.targets(pair[1], len(x), False)
        self.told = any(label is not None for label in self.y)
        self.name = name

    def bytes(self) -> bytes:
        """What tells one set from another: a sum for each sample, and the labels."""
        sums: bytes = self.x.flatten(1).sum(1, dtype=torch.float64).cpu().numpy().tobytes()
        return sums + json.dumps(self.y).encode()

    def rows(self, labels: Sequence[Label]) -> Tensor:
        """The class of each sample by number, -100 where it has no label (torch's word for it)."""
        index: dict[Any, int] = {label: row for row, label in enumerate(labels)} | {None: -100}
        unknown = [label for label in self.y if label not in index]
        if unknown:
            raise LabelError(
                f"train_phases: label {unknown[0]!r} is in {self.name} but not among the "
                f"{len(labels)} classes of the readout, which come from train"
            )
        return torch.tensor([index[label] for label in self.y], device=self.x.device)


def check_alike(
    net: StreamNet,
    sets: Iterable[LabelledSet | None],
    scheduler: Scheduler,
    *,
    augment: object,
    tune: bool,
) -> None:
    """Check that all processes that learn a net together are about to do the same.

    Args:
        net: where it learns in one process, nothing is checked.
        sets: what it learns from and is measured on.
        scheduler: of phases without labels.
        augment: what changes inputs by chance, or ``None``.
        tune: whether kernels are chosen by measuring.

    Raises:
        ConfigError: for what could not be the same.
        PeerError: for data that are not the same.
    """
    if net.peers is None:
        return
    if not isinstance(scheduler, Serial):
        net.alone(f"train_phases(scheduler={scheduler})")
    if augment is not None:
        net.alone("train_phases(augment=...), whose chance each process would have of its own,")
    if tune:
        net.alone("train_phases(tune=True)")
    named = {f"inputs or labels of {one.name}": one.bytes() for one in sets if one is not None}
    net.peers.agree(named)
