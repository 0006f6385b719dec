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
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from streamhebb.kernels.coarse import product as write_product
from streamhebb.kernels.coarse import rounded
from streamhebb.kernels.memory import fresh

Grid = tuple[int, int]
"""Tiles in a column and in a row of an image."""

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


class Products:
    r"""The maps as products with matrices, both sides of a tile at once.

    What was a matrix of pixels is a vector, mapped by $M \otimes M$.

    Args:
        side: of a tile of outputs, 2 or 4.
        dtype: of all tensors.
        device: of all tensors.
    """

    def __init__(self, side: int, dtype: torch.dtype, device: torch.device) -> None:
        self.side = side
        self._input, self._weight, self._output = (
            _both_sides(table[side], dtype, device) for table in (_INPUT, _WEIGHT, _OUTPUT)
        )

    def inputs(self, image: Tensor, grid: Grid) -> Tensor:
        """Map padded images, channels last, to tiles ``(p, tiles, C)``."""
        batch, _, _, channels = image.shape
        edge, (b, row, col, one) = self.side + 2, image.stride()
        cut = torch.as_strided(
            image,
            (edge, edge, batch, *grid, channels),
            (row, col, b, self.side * row, self.side * col, one),
        )
        return (self._input @ cut.reshape(edge * edge, -1)).view(edge * edge, -1, channels)

    def weights(self, weight: Tensor, out: Tensor) -> None:
        """Map weights ``(k, 9 * C)`` to ``(p, k, C)``."""
        channels = out.shape[2]
        by_pixel = weight.view(-1, 9, channels).transpose(0, 1).reshape(9, -1)
        torch.mm(self._weight, by_pixel, out=out.view(len(out), -1))

    def weights_back(self, products: Tensor, out: Tensor) -> None:
        """Map what tiles learned, ``(p, k, C)``, to changes of weights, ``(k, 9 * C)``."""
        channels = products.shape[2]
        made = self._weight.mT @ products.view(len(products), -1)
        out.view(-1, 9, channels).copy_(made.view(9, -1, channels).transpose(0, 1))

    def outputs(self, products: Tensor, grid: Grid, out: Tensor) -> None:
        """Map products ``(p, tiles, k)`` to images ``(B, OH, OW, k)``."""
        tiles = self._output @ products.view(len(products), -1)
        m, (down, right) = self.side, grid
        batch, height, width, k = out.shape
        whole = tiles.view(m, m, batch, down, right, k).permute(2, 3, 0, 4, 1, 5)
        if height == m * down and width == m * right:
            _unflat(_unflat(out, 2, right, m), 1, down, m).copy_(whole)
        else:
            out.copy_(whole.reshape(batch, m * down, m * right, k)[:, :height, :width])

    def outputs_back(self, images: Tensor, grid: Grid, out: Tensor) -> None:
        """Map images ``(B, OH, OW, k)`` to tiles ``(p, tiles, k)``; 0 outside of the images."""
        m, (down, right) = self.side, grid
        _, height, width, _ = images.shape
        if height != m * down or width != m * right:
            images = F.pad(images, (0, 0, 0, m * right - width, 0, m * down - height))
        cut = _unflat(_unflat(images, 2, right, m), 1, down, m)
        flat = cut.permute(2, 4, 0, 1, 3, 5).reshape(m * m, -1)
        torch.mm(self._output.mT, flat, out=out.view(len(out), -1))


@functools.cache
def products(side: int, dtype: torch.dtype, device: torch.device) -> Products:
    """Return the maps of a tile's side, made once."""
    return Products(side, dtype, device)


def _both_sides(
    table: Sequence[Sequence[float]], dtype: torch.dtype, device: torch.device
) -> Tensor:
    one = torch.tensor(table, dtype=torch.float64)
    return torch.kron(one, one).to(device, dtype)


class Tiles:
    """A batch of padded images, cut into tiles that overlap by two pixels, and mapped.

    Args:
        image: channels last, contiguous, shape ``(B, H, W, C)``.
        maps: of the side that tiles shall have.
        coarse: whether products are made of rounded numbers.

    Attributes:
        values: $V$, shape ``(p, tiles, C)``.
        sides: height and width of the output.
        grid: tiles in a column and in a row of an image.
    """

    def __init__(self, image: Tensor, maps: Products, coarse: bool = False) -> None:
        self.batch, height, width, _ = image.shape
        self.maps = maps
        self.coarse = coarse
        self.sides = height - 2, width - 2
        self.grid = -(-self.sides[0] // maps.side), -(-self.sides[1] // maps.side)
        down, right = (maps.side * n + 2 for n in self.grid)
        if (down, right) != (height, width):
            image = F.pad(image, (0, 0, 0, right - width, 0, down - height))
        values = maps.inputs(image, self.grid)
        self.values = rounded(values) if coarse else values

    def respond(self, weight: Tensor, out: Tensor) -> None:
        """Write the drive of some neurons, ``(B * OH * OW, k)``, with weights ``(k, 9 * C)``."""
        images = _unflat(out, 0, self.batch, *self.sides)
        positions, count, channels = self.values.shape
        for few in self._few(len(weight)):
            k = few.stop - few.start
            made, found = (positions, k, channels), (positions, count, k)
            mapped, product = fresh(made, weight), fresh(found, weight)
            self.maps.weights(weight[few], mapped)
            write_product(self.values, self._rounded(mapped).mT, product)
            self.maps.outputs(product, self.grid, images[..., few])

    def learn(self, post: Tensor, out: Tensor) -> None:
        """Write the sum of ``post`` times windows, ``(k, 9 * C)``; ``post (B * OH * OW, k)``."""
        images = _unflat(post, 0, self.batch, *self.sides)
        positions, count, channels = self.values.shape
        for few in self._few(len(out)):
            k = few.stop - few.start
            made, found = (positions, count, k), (positions, k, channels)
            mapped, product = fresh(made, out), fresh(found, out)
            self.maps.outputs_back(images[..., few], self.grid, mapped)
            write_product(self._rounded(mapped).mT, self.values, product)
            self.maps.weights_back(product, out[few])

    def _rounded(self, mapped: Tensor) -> Tensor:
        return rounded(mapped) if self.coarse else mapped

    def _few(self, neurons: int) -> Iterator[slice]:
        positions, _, channels = self.values.shape
        step = max(16, KEPT // (positions * channels) // 16 * 16)
        for start, end in itertools.pairwise([*range(0, neurons, step), neurons]):
            yield slice(start, end)


def _unflat(x: Tensor, dim: int, *sizes: int) -> Tensor:
    """See one dimension as several."""
    return x.view(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])
