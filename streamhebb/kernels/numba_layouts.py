"""Where the numbers that competitions see lie, and the largest of them."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from streamhebb.kernels import window_loops
from streamhebb.kernels.loops import Array
from streamhebb.kernels.patches import Patches
from streamhebb.kernels.vector_code import TALL

_BEYOND = TALL - 1  # places of rows and inputs that are read and not used


class Layout(NamedTuple):
    """Where the numbers that competitions see lie in an image; see `window_loops`.

    Args:
        rows: of each competition, and a few more.
        parts: of each run of a window.
        inputs: of each input, and a few more.
        length: of a run.
        n: competitions.
        n_in: inputs.
    """

    rows: Array
    parts: Array
    inputs: Array
    length: int
    n: int
    n_in: int


@lru_cache(maxsize=64)
def _layout(shape: tuple[int, ...], kernel: tuple[int, int], stride: int, dilation: int) -> Layout:
    """The layout of windows of images ``(B, H, W, C)``."""
    batch, height, width, channels = shape
    oh = (height - dilation * (kernel[0] - 1) - 1) // stride + 1
    ow = (width - dilation * (kernel[1] - 1) - 1) // stride + 1
    b, y, x = np.ogrid[:batch, :oh, :ow]
    rows = (((b * height + stride * y) * width + stride * x) * channels).ravel()
    y, x = np.ogrid[: kernel[0], : kernel[1]]
    pixels = (dilation * (y * width + x) * channels).ravel()
    together = kernel[1] if dilation == 1 else 1  # pixels of a window that lie side by side
    parts, length = pixels[::together].copy(), together * channels
    inputs = (parts[:, None] + np.arange(length)).ravel()
    beyond = np.zeros(_BEYOND, np.int64)
    found = (np.concatenate([places, beyond]).astype(np.int64) for places in (rows, inputs))
    rows_on, inputs_on = found
    n_in = parts.size * length
    return Layout(rows_on, parts.astype(np.int64), inputs_on, length, rows.size, n_in)


def of_vectors(pre: Tensor) -> Layout:
    """The layout of vectors, ``(n, n_in)``."""
    return _layout((1, pre.shape[0], 1, pre.shape[1]), (1, 1), 1, 1)


def of_windows(pre: Patches) -> Layout:
    """The layout of windows."""
    return _layout(tuple(pre.image.shape), pre.kernel, pre.step, pre.dilation)


def tops(pre: Tensor) -> Tensor | None:
    """Largest absolute input of every competition, ``(n,)``; ``None`` if loops do not serve.

    Args:
        pre: on the CPU, shape ``(n, n_in)``, or patches.
    """
    if pre.dtype != torch.float32 or pre.ndim != 2 or torch.is_grad_enabled():
        return None
    if isinstance(pre, Patches):
        image, layout = pre.image, of_windows(pre)
    elif pre.is_contiguous() and pre.numel():
        image, layout = pre, of_vectors(pre)
    else:
        return None
    found = image.new_empty(layout.n)  # of patches it would make them
    at = image.view(-1).numpy(), layout.rows, layout.parts, layout.length
    window_loops.tops(*at, 0, layout.n, found.numpy())
    return found
