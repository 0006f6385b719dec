"""What each output pixel of a convolution sees, as rows of a matrix."""

from __future__ import annotations

import torch
from torch import Tensor


def windows(x: Tensor, kernel: tuple[int, int], stride: int, dilation: int) -> Tensor:
    """Return one row per output pixel, in the order (kernel row, kernel column, channel).

    A convolution is then a matrix product, and learning in it is the same as in a dense layer
    with one competition per output pixel. Channels go last because rows are then copied in runs
    of ``k * C`` numbers.

    Args:
        x: padded images, channels last, contiguous, shape ``(B, H, W, C)``.
        kernel: height and width.
        stride: step between output pixels.
        dilation: step between kernel pixels.

    Returns:
        Shape ``(B, OH, OW, kh * kw * C)``.

    Example:
        >>> windows(torch.arange(9.0).view(1, 3, 3, 1), (2, 2), 1, 1)[0, 0, 0]
        tensor([0., 1., 3., 4.])
    """
    batch, height, width, channels = x.shape
    kh, kw = kernel
    oh = (height - dilation * (kh - 1) - 1) // stride + 1
    ow = (width - dilation * (kw - 1) - 1) // stride + 1
    image, row, col, chan = x.stride()
    seen = torch.as_strided(
        x,
        (batch, oh, ow, kh, kw, channels),
        (image, row * stride, col * stride, row * dilation, col * dilation, chan),
    )
    return seen.reshape(batch, oh, ow, kh * kw * channels)
