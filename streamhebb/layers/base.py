"""The contract of a layer."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from streamhebb.parts import describe_arguments
from streamhebb.peers import Peers
from streamhebb.values import Shape


class Layer(nn.Module):
    """A stage of a stream: ``respond`` and ``observe`` are pure, only ``learn`` writes.

    Subclasses are final. State is kept in buffers, so ``to``, ``state_dict`` and ``deepcopy``
    work. Every constructor argument is kept as an attribute of the same name; that is what a
    snapshot and a net file record.

    Attributes:
        learns: whether ``learn`` does anything.
        plastic: whether it learns weights (a normalisation learns, but only statistics).
        carries: whether it has state that goes on from sample to sample even if nothing is
            learned (membrane voltages, traces, delays); ``advance`` writes it.
        carried_buffers: names of the buffers with that state; they have as many rows as the first
            sample turns out to have, and none before.
        sample_ndim: dimensions of one sample, if the layer can tell, else ``None``.
        peers: processes that each see a share of a mini-batch, see
            [`streamhebb.distributed`][]; a layer that learns sums over them what it sums over
            samples. ``None`` if there is only this one.
    """

    learns: bool = False
    plastic: bool = False
    carries: bool = False
    carried_buffers: tuple[str, ...] = ()
    sample_ndim: int | None = None
    peers: Peers | None = None

    def shape(self, shape: Shape) -> Shape:
        """Return the shape of one sample's output from that of its input.

        Raises:
            ShapeError: if the layer cannot take samples of that shape.
        """
        return shape

    def respond(self, x: Tensor) -> Tensor:
        """Return the output for a micro-batch ``(B, ...)``, sample by sample; changes nothing."""
        raise NotImplementedError

    def observe(self, x: Tensor) -> tuple[Tensor, Any]:
        """Return the output while learning is on, and what ``learn`` will need; changes nothing."""
        return self.respond(x), None

    def learn(self, seen: Any, modulator: float | Tensor = 1.0) -> None:
        """Change own state by what was observed; what goes on without learning, goes on."""
        self.advance(seen)

    def advance(self, seen: Any) -> None:
        """Let only that go on which does so without learning."""

    def forward(self, x: Tensor) -> Tensor:
        """Same as ``respond``, so that a layer works inside any torch module."""
        return self.respond(x)

    def nonlocal_parts(self) -> tuple[str, ...]:
        """Names of the parts that look beyond one synapse and its two neurons."""
        return ()

    def config(self) -> dict[str, Any]:
        """Describe the layer as plain JSON data."""
        return describe_arguments(self)

    def reset(self, generator: Any = None) -> None:
        """Forget everything learned; weights are drawn anew from ``generator``."""

    def reset_state(self) -> None:
        """Bring what goes on from sample to sample back to rest; what was learned stays."""

    def extra_repr(self) -> str:
        """Arguments as ``name=value``."""
        return ", ".join(
            f"{name}={getattr(self, name)!r}" for name in self.config() if name != "type"
        )
