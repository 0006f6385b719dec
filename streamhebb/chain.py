"""How layers in a row fit together: shapes, and the stages a scheduler sees."""

from __future__ import annotations

from collections.abc import Sequence

from streamhebb.errors import ConfigError, ShapeError
from streamhebb.layers import Flatten, Layer
from streamhebb.values import Shape


def check_layers(layers: Sequence[object]) -> None:
    """Check that there are layers, nothing but layers, and each only once.

    Raises:
        ConfigError: naming what else was found.
    """
    if not layers:
        raise ConfigError("a StreamNet needs at least one layer")
    for position, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise ConfigError(
                f"layer {position} is a {type(layer).__name__}, not a Layer of streamhebb"
            )
    if len(set(map(id, layers))) < len(layers):
        raise ConfigError("a layer stands twice in this net; each place needs its own layer")


def trace_shapes(layers: Sequence[Layer], names: Sequence[str], shape: Shape) -> list[Shape]:
    """Return the shape of one sample before the first and after every layer.

    Raises:
        ShapeError: naming the layer that cannot take what reaches it.
    """
    shapes = [shape]
    for name, layer in zip(names, layers, strict=True):
        try:
            shapes.append(layer.shape(shapes[-1]))
        except (ShapeError, ConfigError) as error:
            raise ShapeError(f"layer {name}: {error}") from error
    return shapes


def sample_ndim(layers: Sequence[Layer]) -> int | None:
    """Dimensions of one sample, as the first layer that can tell says; ``None`` if none can.

    Example:
        >>> from streamhebb.layers import Dense, ReLU
        >>> sample_ndim([ReLU(), Dense(4, 3)])
        1
    """
    for layer in layers:
        if isinstance(layer, Flatten):  # what comes after it says nothing about what comes before
            return None
        if layer.sample_ndim is not None:
            return layer.sample_ndim
    return None


def stages(layers: Sequence[Layer], fine: bool = False) -> list[range]:
    """Split layers into stages of one plastic layer each, with what surrounds it.

    A stage begins with the first normalisation or plastic layer after a plastic one, so
    activation and pooling stay with the layer they follow. One stage is one lane.

    Args:
        layers: from input to output.
        fine: whether every layer that learns is a stage by itself, and so are those between. The
            longest lane is then as short as it can be, where lanes cost nothing.

    Example:
        >>> from streamhebb.layers import Dense, ReLU, RunningNorm
        >>> layers = [RunningNorm(4), Dense(4, 3), ReLU(), Dense(3, 2)]
        >>> stages(layers)
        [range(0, 3), range(3, 4)]
        >>> stages(layers, fine=True)
        [range(0, 1), range(1, 2), range(2, 3), range(3, 4)]
    """
    starts = [0]
    plastic = False
    for position, layer in enumerate(layers):
        if fine and position and (layer.learns or layers[position - 1].learns):
            starts.append(position)
        elif not fine and plastic and layer.learns:
            starts.append(position)
            plastic = False
        plastic = plastic or layer.plastic
    return [
        range(start, end) for start, end in zip(starts, [*starts[1:], len(layers)], strict=True)
    ]
