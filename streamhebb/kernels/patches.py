"""Windows of images that are written out only if somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from streamhebb.kernels.choice import active
from streamhebb.kernels.windows import windows
from streamhebb.kernels.winograd import Tiles

METHODS = {"direct": 0, "winograd2": 2, "winograd4": 4}
"""How the products of a convolution with 3 x 3 windows can be made, and the side of its tiles."""


class Patches(Tensor):
    """The matrix of [`windows`][streamhebb.kernels.windows.windows] 3 x 3, ``(n, 9 * C)``.

    To torch, and to a rule, it is that matrix. A kernel that knows it works on tiles of the images
    instead, and the matrix is never made.

    Attributes:
        image: padded images, channels last, contiguous, shape ``(B, H, W, C)``.
        side: of a tile of outputs; see [`Tiles`][streamhebb.kernels.winograd.Tiles].
        coarse: whether products on tiles are made of rounded numbers.

    Example:
        >>> import torch
        >>> patches = Patches(torch.arange(16.0).view(1, 4, 4, 1), side=2)
        >>> patches.shape, patches.sum(1).tolist()
        (torch.Size([4, 9]), [45.0, 54.0, 81.0, 90.0])
    """

    image: Tensor
    side: int
    coarse: bool

    @staticmethod
    def __new__(cls, image: Tensor, side: int, coarse: bool = False) -> Patches:
        """Make a tensor of the right shape and type, without memory."""
        batch, height, width, channels = image.shape
        shape = batch * (height - 2) * (width - 2), 9 * channels
        made = Tensor._make_wrapper_subclass(cls, shape, dtype=image.dtype, device=image.device)
        made.image, made.side, made.coarse = image, side, coarse
        return made

    @cached_property
    def tiles(self) -> Tiles:
        """The images cut into tiles."""
        maps = active().maps(self.side, self.image.dtype, self.image.device)
        return Tiles(self.image, maps, self.coarse)

    @cached_property
    def tops(self) -> Tensor:
        """Largest absolute number of every row, shape ``(n,)``."""
        pixels = torch.maximum(self.image.amax(3), self.image.amin(3).neg_())
        return F.max_pool2d(pixels, 3, stride=1).flatten()

    @cached_property
    def rows(self) -> Tensor:
        """The matrix."""
        return windows(self.image, (3, 3), 1, 1).reshape(self.shape)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Do anything else with the matrix."""
        args, kwargs = tree_map(_written_out, (args, kwargs or {}))
        return func(*args, **kwargs)


def _written_out(value: Any) -> Any:
    return value.rows if isinstance(value, Patches) else value
