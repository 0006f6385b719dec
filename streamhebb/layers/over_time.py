"""A layer for single instants, applied at every step of a presentation."""

from __future__ import annotations

from torch import Tensor

from streamhebb.errors import ConfigError, ShapeError
from streamhebb.layers.base import Layer
from streamhebb.layers.rows import batch_first, time_first
from streamhebb.values import Shape


class OverTime(Layer):
    """Apply a layer that neither learns nor remembers at every step of ``(T, ...)``.

    Args:
        layer: pooling, flattening, an activation.

    Raises:
        ConfigError: for a layer with state of its own.

    Example:
        >>> import torch
        >>> from streamhebb import Flatten
        >>> OverTime(Flatten()).respond(torch.zeros(1, 10, 2, 3, 3)).shape
        torch.Size([1, 10, 18])
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        if not isinstance(layer, Layer):
            raise ConfigError(f"OverTime: layer={layer!r} is not allowed; give a layer: Flatten()")
        if layer.learns or layer.carries:
            raise ConfigError(
                f"OverTime: {type(layer).__name__} has state of its own and is not allowed; layers "
                f"that learn take time themselves, with neuron="
            )
        self.layer = layer
        if layer.sample_ndim is not None:
            self.sample_ndim = layer.sample_ndim + 1

    def shape(self, shape: Shape) -> Shape:
        """``(T, ...)`` to ``(T, ...)``."""
        if len(shape) < 2:
            raise ShapeError(f"OverTime got samples of shape {shape}; it needs (T, ...)")
        return (shape[0], *self.layer.shape(shape[1:]))

    def respond(self, x: Tensor) -> Tensor:
        """Return the layer's output at every step."""
        return batch_first(self.layer.respond(time_first(x)), x.shape[1])

    def nonlocal_parts(self) -> tuple[str, ...]:
        """Those of the layer."""
        return self.layer.nonlocal_parts()

    def config(self) -> dict[str, object]:
        """Describe the layer inside, too."""
        return {"type": "OverTime", "layer": self.layer.config()}
