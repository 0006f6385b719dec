"""Inputs and labels of a whole set, as `train_phases` takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from streamhebb import inputs
from streamhebb.errors import ConfigError, LabelError, NonFiniteError
from streamhebb.estimator import as_array
from streamhebb.net import StreamNet
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
