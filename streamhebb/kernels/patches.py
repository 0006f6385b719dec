"""Windows of images that are written out only if somebody looks at them."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from streamhebb.kernels.windows import windows
from streamhebb.kernels.winograd import Tiles, products
from streamhebb.lazy import Lazy

METHODS = {"direct": 0, "winograd2": 2, "winograd4": 4}
"""How the products of a convolution with 3 x 3 windows can be made, and the side of its tiles."""


class Patches(Lazy):
    """The matrix of [`windows`][streamhebb.kernels.windows.windows] of images.

    It has a row for each window, ``(n, kh * kw * C)``. To torch, and to a rule, it is that matrix.
    A kernel that knows it works on the images, or on tiles of them, and the matrix is never made.

    Attributes:
        image: padded images, channels last, contiguous, shape ``(B, H, W, C)``.
        side: of a tile of outputs, see [`Tiles`][streamhebb.kernels.winograd.Tiles]; 0 for none.
        coarse: whether products on tiles are made of rounded numbers.
        kernel: height and width of a window.
        step: between windows.
        dilation: step between pixels of a window.
        sides: windows below and beside each other in an image.
        kept: what kernels have made of it, for the next one.

    Example:
        >>> import torch
        >>> patches = Patches(torch.arange(16.0).view(1, 4, 4, 1), side=2)
        >>> patches.shape, patches.sum(1).tolist()
        (torch.Size([4, 9]), [45.0, 54.0, 81.0, 90.0])
    """

    image: Tensor
    side: int
    coarse: bool
    kernel: tuple[int, int]
    step: int
    dilation: int
    sides: tuple[int, int]
    kept: dict[Hashable, Any]

    @staticmethod
    def __new__(
        cls,
        image: Tensor,
        side: int = 0,
        coarse: bool = False,
        kernel: tuple[int, int] = (3, 3),
        step: int = 1,
        dilation: int = 1,
    ) -> Patches:
        """Make a tensor of the right shape and type, without memory."""
        high, wide = (
            (length - dilation * (reach - 1) - 1) // step + 1
            for length, reach in zip(image.shape[1:3], kernel, strict=True)
        )
        made = cls.like(image, (image.shape[0] * high * wide, prod(kernel) * image.shape[3]))
        made.sides = high, wide
        made.image, made.side, made.coarse = image, side, coarse
        made.kernel, made.step, made.dilation = kernel, step, dilation
        made.kept = {}
        return made

    @cached_property
    def tiles(self) -> Tiles:
        """The images cut into tiles."""
        maps = products(self.side, self.image.dtype, self.image.device)
        return Tiles(self.image, maps, self.coarse)

    def ready(self) -> None:
        """Make what torch works on, before work is shared."""
        _ = self.tiles if self.side else self.made

    @cached_property
    def tops(self) -> Tensor:
        """Largest absolute number of every row, shape ``(n,)``."""
        pixels = torch.maximum(self.image.amax(3), self.image.amin(3).neg_())
        found = F.max_pool2d(pixels, self.kernel, self.step, dilation=self.dilation)
        return found.flatten()

    def make(self) -> Tensor:
        """The matrix."""
        return windows(self.image, self.kernel, self.step, self.dilation).reshape(self.shape)
