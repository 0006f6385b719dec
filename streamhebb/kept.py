"""What a net is, and everything it needs to go on: the half of a net that snapshots deal with."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import Any, Self, cast

import torch
from torch import nn

from streamhebb import checkpoint
from streamhebb.layers import Layer
from streamhebb.parts import describe
from streamhebb.planner import Planner
from streamhebb.readouts import Readout
from streamhebb.schedule import Scheduler
from streamhebb.values import Shape
from streamhebb.wake import Wake


class Kept(nn.Module):
    """Describes, saves, restores and copies a net; `StreamNet` makes it learn."""

    layers: nn.ModuleList
    readout: Readout | None
    names: tuple[str, ...]
    seed: int | None
    on_bad: str
    scheduler: Scheduler
    counts: dict[str, int]
    generator: torch.Generator
    input_shape: Shape | None
    planner: Planner
    wake: Wake | None
    _features: list[Any] | None

    @property
    def _layers(self) -> list[Layer]:
        return cast("list[Layer]", list(self.layers))

    @property
    def place(self) -> tuple[torch.device, torch.dtype]:
        """The device it is on, and its precision."""
        for value in self.buffers():
            if value.is_floating_point() and value.dtype != torch.float64:
                return value.device, value.dtype
        for value in self.buffers():
            if value.is_floating_point():
                return value.device, value.dtype
        return torch.device("cpu"), torch.float32

    @property
    def grows(self) -> bool:
        """Whether classes may appear during the stream."""
        return self.readout is not None and self.readout.open

    @property
    def carried(self) -> frozenset[str]:
        """Names of the state that goes on from sample to sample without learning."""
        pairs = enumerate(self._layers)
        return frozenset(f"layers.{i}.{b}" for i, layer in pairs for b in layer.carried_buffers)

    @property
    def passed(self) -> dict[str, int]:
        """How often nothing woke each stage; see [`streamhebb.wake`][]."""
        return dict(zip(self.planner.names, self.planner.standing.passed, strict=True))

    def nonlocal_parts(self) -> dict[str, tuple[str, ...]]:
        """Return, for each layer, the parts that look beyond a synapse and its two neurons."""
        pairs = zip(self.names, self._layers, strict=True)
        return {name: parts for name, layer in pairs if (parts := layer.nonlocal_parts())}

    def describe(self) -> dict[str, Any]:
        """Describe the net as plain JSON data: what a snapshot checks and a net file holds."""
        return {
            "input_shape": None if self.input_shape is None else list(self.input_shape),
            "layers": [layer.config() for layer in self._layers],
            "readout": None if self.readout is None else self.readout.config(),
            "seed": self.seed,
            "on_bad": self.on_bad,
            "wake": describe(self.wake),
        }

    def fix_shape(self, shape: Shape) -> None:
        """Accept the shape of one sample, for good."""
        raise NotImplementedError

    def reset_state(self) -> None:
        """Bring what goes on from sample to sample to rest, where a stream breaks; weights stay."""
        self.scheduler.join()
        for layer in self._layers:
            layer.reset_state()
        self.planner.standing.clear()

    def get_extra_state(self) -> dict[str, Any]:
        """Counters, feature names and the random generator, for ``state_dict``."""
        standing = self.planner.standing.state() if self.planner.wake is not None else {}
        return {
            "counts": dict(self.counts),
            "features": self._features,
            "generator": self.generator.get_state(),
            **{f"standing {name}": value for name, value in standing.items()},
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` gave."""
        self.counts = dict.fromkeys(self.counts, 0) | dict(state["counts"])
        self._features = state["features"]
        self.generator.set_state(state["generator"].cpu())
        if self.planner.wake is not None:
            mine = "standing "
            found = {k.removeprefix(mine): v for k, v in state.items() if k.startswith(mine)}
            self.planner.standing.restore(found)

    def save(self, path: str | os.PathLike[str], extra: Any = None) -> None:
        """Write everything needed to go on, as one atomic snapshot.

        Samples in flight are learned from first; ``counts["samples"]`` then says how many of the
        stream the weights know. After a failed [`run`][streamhebb.net.StreamNet.run] the net can
        still be saved.

        Args:
            path: the file.
            extra: anything JSON can hold, kept beside (the position in a stream).

        Raises:
            SnapshotError: if the disk refuses; an older snapshot there is untouched.
        """
        self._settle()
        checkpoint.save(self, path, extra)

    def load(self, path: str | os.PathLike[str], *, readout: bool = True) -> Any:
        """Restore a snapshot of the same net; the run then goes on as if never interrupted.

        Args:
            path: the file.
            readout: ``False`` takes the layers only; the readout stays as it is, and may be
                another one, or for other classes.

        Returns:
            What was given to ``save`` as ``extra``.

        Raises:
            SnapshotError: if it is damaged or of another net; the net is then untouched.
        """
        self._settle()
        return checkpoint.load(self, path, readout)

    def _settle(self) -> None:
        """Wait for what is in flight; what went wrong there has been, or will be, raised there."""
        raise NotImplementedError

    def __sklearn_clone__(self) -> Self:
        """Return an untrained net of the same kind (scikit-learn's ``clone``)."""
        net = copy.deepcopy(self)
        net.generator.manual_seed(0 if self.seed is None else self.seed)
        net._features = None
        parts: Sequence[Any] = (*net._layers, net.readout)
        for part in parts:
            if part is not None:
                part.reset(net.generator)
        net.planner.standing.clear()
        net.counts = dict.fromkeys(net.counts, 0)
        return net
