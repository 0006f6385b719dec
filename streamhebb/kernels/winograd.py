r"""Convolutions with 3 x 3 windows by Winograd's minimal filtering, to respond and to learn.

A tile of $m \times m$ outputs is found with $(m + 2)^2$ products in place of $9 m^2$:

$$Y = A^T\big[(G w G^T) \odot (B^T x B)\big] A$$

summed over channels inside the brackets, which makes it one matrix product for each of the
$(m + 2)^2$ positions. What a Hebbian rule needs, the sum of $y\,x$ over all windows, is the same
with all maps reversed, and shares $V = B^T x B$ with the response:

$$\Delta w = G^T\Big[\textstyle\sum_{tiles} (A\,y\,A^T) \odot V\Big] G$$

Neurons are taken a few at a time, so that what is made of their weights stays in the cache. The
results differ from those of the direct product by rounding, for $m = 4$ more than for $m = 2$: in
float32 by less than 1e-5 of the largest.

Reference:
    A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016.
    https://arxiv.org/abs/1509.09308
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

SIDES = (2, 4)
"""Sides of tiles, $m$."""

KEPT = 1 << 20
"""Numbers made of the weights of a few neurons: 4 MiB in float32, which a cache can hold."""

_INPUT = {
    2: ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    4: (
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
}
_WEIGHT = {
    2: ((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    4: (
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
}
_OUTPUT = {
    2: ((1, 1, 1, 0), (0, 1, -1, -1)),
    4: ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
}


class Maps(NamedTuple):
    r"""The three maps on both sides at once: what was a matrix of pixels is a vector.

    Args:
        input: $B^T \\otimes B^T$, shape ``(p, p)`` with $p = (m + 2)^2$.
        weight: $G \\otimes G$, shape ``(p, 9)``.
        output: $A^T \\otimes A^T$, shape ``(m * m, p)``.
    """

    input: Tensor
    weight: Tensor
    output: Tensor


@functools.cache
def maps(side: int, dtype: torch.dtype, device: torch.device) -> Maps:
    """Return the maps of a tile's side."""
    made = []
    for table in (_INPUT[side], _WEIGHT[side], _OUTPUT[side]):
        one = torch.tensor(table, dtype=torch.float64)
        made.append(torch.kron(one, one).to(device, dtype))
    return Maps(*made)


class Tiles:
    """A batch of padded images, cut into tiles that overlap by two pixels, and mapped.

    Args:
        image: channels last, contiguous, shape ``(B, H, W, C)``.
        side: of a tile of outputs, 2 or 4.

    Attributes:
        values: $V$, shape ``(p, tiles, C)``.
        sides: height and width of the output.
    """

    def __init__(self, image: Tensor, side: int) -> None:
        batch, height, width, channels = image.shape
        self.side = side
        self.batch = batch
        self.sides = height - 2, width - 2
        self.grid = tuple(-(-length // side) for length in self.sides)
        missing = [
            side * n + 2 - length for n, length in zip(self.grid, (height, width), strict=True)
        ]
        if any(missing):
            image = torch.nn.functional.pad(image, (0, 0, 0, missing[1], 0, missing[0]))
        b, row, col, one = image.stride()
        edge = side + 2
        cut = torch.as_strided(
            image,
            (edge, edge, batch, *self.grid, channels),
            (row, col, b, side * row, side * col, one),
        )
        self.maps = maps(side, image.dtype, image.device)
        self.count = batch * self.grid[0] * self.grid[1]
        mapped = self.maps.input @ cut.reshape(edge * edge, -1)
        self.values = mapped.view(edge * edge, self.count, channels)

    def respond(self, weight: Tensor, out: Tensor) -> None:
        """Write the drive of some neurons, ``(B * OH * OW, k)``, with weights ``(k, 9 * C)``."""
        height, width = self.sides
        images = _unflat(out, 0, self.batch, height, width)
        positions, _count, channels = self.values.shape
        for few in self._few(len(weight)):
            by_pixel = weight[few].view(-1, 9, channels).transpose(0, 1).reshape(9, -1)
            made = (self.maps.weight @ by_pixel).view(positions, -1, channels)
            products = torch.bmm(self.values, made.mT)
            mapped = self.maps.output @ products.view(positions, -1)
            self._joined(mapped, images[..., few])

    def learn(self, post: Tensor, out: Tensor) -> None:
        """Write the sum of ``post`` times windows, ``(k, 9 * C)``; ``post (B * OH * OW, k)``."""
        height, width = self.sides
        images = _unflat(post, 0, self.batch, height, width)
        channels = self.values.shape[2]
        for few in self._few(len(out)):
            mapped = self.maps.output.mT @ self._split(images[..., few])
            mapped = mapped.view(len(self.values), self.count, -1)
            products = torch.bmm(mapped.mT, self.values)
            made = self.maps.weight.mT @ products.view(len(products), -1)
            out[few].view(-1, 9, channels).copy_(made.view(9, -1, channels).transpose(0, 1))

    def _few(self, neurons: int) -> Iterator[slice]:
        positions, _, channels = self.values.shape
        step = max(16, KEPT // (positions * channels) // 16 * 16)
        for start, end in itertools.pairwise([*range(0, neurons, step), neurons]):
            yield slice(start, end)

    def _joined(self, tiles: Tensor, out: Tensor) -> None:
        """Put tiles ``(m * m, tiles * k)`` together to images ``(B, OH, OW, k)``."""
        m, (down, right) = self.side, self.grid
        whole = tiles.view(m, m, self.batch, down, right, -1).permute(2, 3, 0, 4, 1, 5)
        (height, width), k = self.sides, whole.shape[-1]
        if height == m * down and width == m * right:
            _unflat(_unflat(out, 2, right, m), 1, down, m).copy_(whole)
        else:
            whole = whole.reshape(self.batch, m * down, m * right, k)
            out.copy_(whole[:, :height, :width])

    def _split(self, images: Tensor) -> Tensor:
        """Cut images ``(B, OH, OW, k)`` into tiles ``(m * m, tiles * k)``; 0 beyond the edge."""
        m, (down, right) = self.side, self.grid
        (height, width), _k = self.sides, images.shape[-1]
        if height != m * down or width != m * right:
            images = torch.nn.functional.pad(
                images, (0, 0, 0, m * right - width, 0, m * down - height)
            )
        cut = _unflat(_unflat(images, 2, right, m), 1, down, m)
        return cut.permute(2, 4, 0, 1, 3, 5).reshape(m * m, -1)


def _unflat(x: Tensor, dim: int, *sizes: int) -> Tensor:
    """See one dimension as several."""
    return x.view(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])
