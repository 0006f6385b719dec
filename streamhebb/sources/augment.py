"""What published runs change in every mini-batch: crops, flips, noise.

Each is a function of a mini-batch ``(B, C, H, W)``, for the argument ``augment`` of
[`train_phases`][streamhebb.evaluate.phases.train_phases]. It draws from a generator of its own, so
the same seed gives the same changes in the same order, on one kind of device. ``state`` and
``restore`` let training that was interrupted go on with the same changes.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from streamhebb.errors import ConfigError, ShapeError, SnapshotError
from streamhebb.parts import LARGEST_SEED, require

_TRIES = 10


class _Chance:
    """A seeded generator on whatever device is asked for first."""

    def __init__(self, seed: int) -> None:
        require(type(self).__name__, "seed", seed, at_least=0, at_most=LARGEST_SEED, whole=True)
        self.seed = seed
        self._generator: Generator | None = None

    def state(self) -> dict[str, Any]:
        """How far chance has come: tensors and plain data. Empty before the first mini-batch."""
        if self._generator is None:
            return {}
        return {"device": str(self._generator.device), "chance": self._generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave.

        Raises:
            SnapshotError: if it comes from a device that is not here.
        """
        self._generator = None
        if not state:
            return
        try:
            generator = Generator(state["device"])
            generator.set_state(state["chance"].cpu())
        except RuntimeError as error:
            raise SnapshotError(
                f"{type(self).__name__}: its chance was drawn on {state['device']!r}, which is not "
                f"here ({error}); go on there, or begin anew"
            ) from error
        self._generator = generator

    def _on(self, x: Tensor) -> Generator:
        if self._generator is None or self._generator.device != x.device:
            self._generator = Generator(x.device).manual_seed(self.seed)
        return self._generator

    def _uniform(self, x: Tensor, *shape: int) -> Tensor:
        """Numbers from 0 to 1, in the precision of ``x``."""
        return torch.rand(shape, generator=self._on(x), device=x.device, dtype=x.dtype)

    def _pictures(self, x: Tensor) -> tuple[int, int, int, int]:
        if x.ndim != 4:
            raise ShapeError(f"{type(self).__name__} got {tuple(x.shape)}; it needs (B, C, H, W)")
        batch, channels, height, width = x.shape
        return batch, channels, height, width


class CropFlip(_Chance):
    """Move each picture by up to ``padding`` pixels, reflected at its edges; mirror every other.

    Args:
        padding: pixels added on every side before a crop of the old size.
        flip: probability of a mirror image.
        seed: of the choices.

    Example:
        >>> CropFlip(seed=1)(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(self, padding: int = 4, flip: float = 0.5, seed: int = 0) -> None:
        super().__init__(seed)
        require("CropFlip", "padding", padding, at_least=0, whole=True)
        require("CropFlip", "flip", flip, at_least=0, at_most=1)
        self.padding = padding
        self.flip = flip

    def __call__(self, x: Tensor) -> Tensor:
        """Return the changed mini-batch; ``x`` stays as it is."""
        batch, channels, height, width = self._pictures(x)
        if self.padding >= min(height, width):
            raise ConfigError(
                f"CropFlip: padding={self.padding} reflects beyond pictures of {(height, width)}"
            )
        rows = self._places(x, batch, height)
        columns = self._places(x, batch, width)
        mirrored = self._uniform(x, batch) < self.flip
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
        number = torch.arange(batch, device=x.device)[:, None, None, None]
        channel = torch.arange(channels, device=x.device)[None, :, None, None]
        return x[number, channel, rows[:, None, :, None], columns[:, None, None, :]]

    def _places(self, x: Tensor, batch: int, side: int) -> Tensor:
        """Which pixel each pixel of the crop is, shape ``(B, side)``."""
        shift = torch.randint(
            2 * self.padding + 1, (batch, 1), generator=self._on(x), device=x.device
        )
        place = (torch.arange(side, device=x.device) + shift - self.padding).abs()
        return torch.where(place >= side, 2 * (side - 1) - place, place)


class Noise(_Chance):
    """Add normal noise to every value.

    Args:
        std: standard deviation.
        seed: of the noise.
    """

    def __init__(self, std: float = 1.0, seed: int = 0) -> None:
        super().__init__(seed)
        require("Noise", "std", std, at_least=0)
        self.std = std

    def __call__(self, x: Tensor) -> Tensor:
        """Return the noisy mini-batch; ``x`` stays as it is."""
        drawn = torch.empty_like(x).normal_(generator=self._on(x))
        return x + self.std * drawn


class ResizedCropFlip(_Chance):
    """Cut a part of random size and shape out of each picture and enlarge it; mirror every other.

    The part has between ``least`` and all of the area, and sides in a ratio of 3 : 4 to 4 : 3. It
    is cut out of the square that the picture was scaled to; published code cuts it out of the
    original, whose sides differ.

    Args:
        least: smallest share of the area.
        flip: probability of a mirror image.
        seed: of the choices.

    Example:
        >>> ResizedCropFlip()(torch.rand(2, 3, 16, 16)).shape
        torch.Size([2, 3, 16, 16])
    """

    def __init__(self, least: float = 0.08, flip: float = 0.5, seed: int = 0) -> None:
        super().__init__(seed)
        require("ResizedCropFlip", "least", least, above=0, at_most=1)
        require("ResizedCropFlip", "flip", flip, at_least=0, at_most=1)
        self.least = least
        self.flip = flip

    def __call__(self, x: Tensor) -> Tensor:
        """Return the changed mini-batch; ``x`` stays as it is."""
        batch, _, height, width = self._pictures(x)
        tall, wide, top, left = self._boxes(x, batch, height, width)
        down = _centres(x, height, top, tall)
        across = _centres(x, width, left, wide)
        mirrored = self._uniform(x, batch)[:, None] < self.flip
        across = torch.where(mirrored, across.flip(1), across)
        grid = torch.stack(
            [across[:, None, :].expand(-1, height, -1), down[:, :, None].expand(-1, -1, width)], -1
        )
        return F.grid_sample(x, grid, padding_mode="border", align_corners=False)

    def _boxes(
        self, x: Tensor, batch: int, height: int, width: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Height, width, top and left of each part, in whole pixels."""
        area = height * width * (self.least + (1 - self.least) * self._uniform(x, batch, _TRIES))
        ratio = torch.exp(math.log(4 / 3) * (2 * self._uniform(x, batch, _TRIES) - 1))
        wide = torch.round(torch.sqrt(area * ratio))
        tall = torch.round(torch.sqrt(area / ratio))
        fits = (wide >= 1) & (wide <= width) & (tall >= 1) & (tall <= height)
        first = fits.to(torch.int8).argmax(1, keepdim=True)
        some = fits.any(1)  # where none fits, all of the picture is taken
        wide = torch.where(some, wide.gather(1, first)[:, 0], width)
        tall = torch.where(some, tall.gather(1, first)[:, 0], height)
        top = torch.floor(self._uniform(x, batch) * (height - tall + 1))
        left = torch.floor(self._uniform(x, batch) * (width - wide + 1))
        return tall, wide, top, left


def _centres(x: Tensor, side: int, first: Tensor, length: Tensor) -> Tensor:
    """Where each pixel of the enlarged part looks, from -1 to 1 over the picture, ``(B, side)``."""
    step = (torch.arange(side, device=x.device).to(x.dtype) + 0.5) / side
    place = first[:, None] + step * length[:, None] - 0.5
    # At its rim it repeats the last pixel, and does not look beyond.
    place = torch.maximum(torch.minimum(place, (first + length - 1)[:, None]), first[:, None])
    return (2 * place + 1) / side - 1
