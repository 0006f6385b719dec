"""What a layer has kept of its input: the input rebuilt from the winners alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from streamhebb.errors import ConfigError
from streamhebb.pictures.style import INK, MUTED, as_array, new_figure

Array = np.ndarray[Any, Any]


def reconstruct(
    drive: Tensor,
    kernel: Tensor,
    shape: Sequence[int],
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
) -> Tensor:
    r"""Rebuild the input of a layer from the winner of each competition.

    Each window is replaced by its projection onto the winner's weights, and windows that overlap
    are averaged:

    $$\hat x = \frac{u_j}{\lVert w_j \rVert^2}\, w_j, \qquad j = \arg\max_k u_k$$

    Args:
        drive: the layer's weighted input of one sample, ``(n_out,)`` or ``(n_out, OH, OW)``.
        kernel: its weights, ``(n_out, n_in)`` or ``(n_out, C, k, k)``.
        shape: shape of the input, ``(n_in,)`` or ``(C, H, W)``.
        stride: of a convolution.
        padding: of a convolution.
        dilation: of a convolution.

    Returns:
        Shape ``shape``; pixels that no window covers are 0.

    Raises:
        ConfigError: if drive, kernel and shape do not fit together.

    Example:
        >>> x = torch.tensor([3.0, 4.0])
        >>> reconstruct(torch.stack([x @ x, x[0]]), torch.stack([x, torch.zeros(2)]), (2,))
        tensor([3., 4.])
    """
    fits = len(drive) == len(kernel) and (drive.ndim, kernel.ndim) in ((1, 2), (3, 4))
    if not fits or kernel.shape[1] != shape[0]:
        raise ConfigError(
            f"reconstruct: a drive of shape {tuple(drive.shape)} and weights of shape "
            f"{tuple(kernel.shape)} do not belong to one layer with input {tuple(shape)}"
        )
    winner = drive.argmax(0, keepdim=True)
    code = torch.zeros_like(drive).scatter_(0, winner, drive.gather(0, winner))
    norm = kernel.flatten(1).square().sum(1).clamp_min(1e-12)
    scaled = kernel / norm.view(-1, *[1] * (kernel.ndim - 1))
    if drive.ndim == 1:
        return code @ scaled
    place = {"stride": stride, "dilation": dilation}
    made = F.conv_transpose2d(code[None], scaled, None, **place)
    times = F.conv_transpose2d(
        torch.ones_like(code[None, :1]),
        torch.ones_like(kernel[:1, :1]),
        None,
        **place,
    )
    # Windows begin in the padding, and may end before the last pixels or behind them.
    height, width = shape[1:]
    reach = (0, max(0, width + padding), 0, max(0, height + padding))
    mean = F.pad(made / times.clamp_min(1), reach)
    return mean[0, :, padding : padding + height, padding : padding + width]


def reconstructions(
    rows: Sequence[tuple[str, Sequence[Any]]],
    samples: Sequence[int],
    *,
    title: str = "Reconstruction from the winners",
    note: str = "",
) -> Figure:
    """Draw pictures in rows, one column a point of time: the input, and what was rebuilt of it.

    Pictures that are not the input are matched to it in brightness and contrast (per channel),
    because a layer sees its input normalised.

    Args:
        rows: label and pictures ``(C, H, W)`` of each row; the first row is the input.
        samples: number of the sample of each column.
        title: title of the picture.
        note: how to read it.

    Raises:
        ConfigError: if there is nothing to draw, or a row has another number of pictures.

    Example:
        >>> frames = [torch.rand(3, 8, 8), torch.rand(3, 8, 8)]
        >>> figure = reconstructions([("input", frames), ("rebuilt", frames)], [1, 2])
    """
    if not rows or not samples or any(len(pictures) != len(samples) for _, pictures in rows):
        raise ConfigError(
            f"reconstructions: give one picture a row for each of the {len(samples)} samples"
        )
    inputs = [as_array(picture) for picture in rows[0][1]]
    height, width = inputs[0].shape[1:]
    across, edge, gap, words = 8.4, 0.12, 0.05, 0.24  # inches
    # A picture is no larger than in a row of four, or one frame alone would fill a page.
    tile = (across - 2 * edge) / max(4, len(samples)) - gap
    tall = tile * height / width
    head = 0.72 + 0.19 * note.count("\n")
    down = head + len(rows) * (words + tall) + edge
    figure = new_figure(across, down, title, note)
    figure.set_layout_engine("none")
    for line, (label, pictures) in enumerate(rows):
        top = down - head - line * (words + tall)
        figure.text(edge / across, (top - 0.2) / down, label, size=8, color=INK)
        for column, picture in enumerate(pictures):
            left = edge + column * (tile + gap)
            shown = as_array(picture)
            if line:
                shown = _matched(shown, inputs[column])
            else:
                middle = (left + tile / 2) / across
                name = f"{samples[column]:,}"
                figure.text(middle, top / down, name, size=8, color=MUTED, ha="center")
            place = (left / across, (top - words - tall) / down, tile / across, tall / down)
            axes = figure.add_axes(place)
            axes.imshow(
                _drawable(shown), vmin=0, vmax=1, cmap="gray", interpolation="nearest",
                aspect="auto",
            )  # fmt: skip
            axes.set_axis_off()
    return figure


def _matched(picture: Array, like: Array) -> Array:
    """Least-squares brightness and contrast of each channel, if the shapes agree."""
    if picture.shape != like.shape:
        low, high = picture.min(), picture.max()
        stretched: Array = (picture - low) / max(high - low, 1e-12)
        return stretched
    out = np.empty_like(picture)
    for i, (channel, wanted) in enumerate(zip(picture, like, strict=True)):
        centred = channel - channel.mean()
        gain = (centred * (wanted - wanted.mean())).sum() / max((centred**2).sum(), 1e-12)
        out[i] = wanted.mean() + max(gain, 0.0) * centred
    return out


def _drawable(picture: Array) -> Array:
    """``(C, H, W)`` to what imshow takes, in [0, 1]; two or many channels become their mean."""
    if len(picture) not in (1, 3):
        picture = picture.mean(0, keepdims=True)
    picture = picture.clip(0, 1).transpose(1, 2, 0)
    return picture if picture.shape[2] == 3 else picture[:, :, 0]
