"""Which pixels a neuron sees, through convolutions and pools."""

from __future__ import annotations

from collections.abc import Sequence

from streamhebb.layers import AvgPool2d, Conv2d, Layer, MaxPool2d

WINDOWED = (Conv2d, MaxPool2d, AvgPool2d)


def field_side(layers: Sequence[Layer]) -> int:
    """Side of the square of pixels that one place of the last layer's output depends on.

    Example:
        >>> field_side([Conv2d(1, 2, 5), MaxPool2d(4, 2, 1), Conv2d(2, 2, 3)])
        12
    """
    first, last = field_span(layers, 0)
    return last - first


def field_span(layers: Sequence[Layer], place: int) -> tuple[int, int]:
    """First pixel that a place of the last layer's output depends on, and the one past the last.

    The same for rows and columns. Pixels of the padding are counted too: the first may be
    negative, and the last lie beyond the picture.

    Example:
        >>> field_span([Conv2d(1, 2, 5, padding=2), MaxPool2d(4, 2, 1)], 3)
        (3, 11)
    """
    first, last = place, place
    for layer in reversed(layers):
        if isinstance(layer, WINDOWED):
            dilation = layer.dilation if isinstance(layer, Conv2d) else 1
            first = first * layer.stride - layer.padding
            last = last * layer.stride - layer.padding + dilation * (layer.kernel_size - 1)
    return first, last + 1
