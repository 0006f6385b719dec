"""Data as published runs see them: drawn, scaled, whitened, split; ready for ``train_phases``."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamhebb.errors import ConfigError
from streamhebb.presets.data import DataSettings, data_settings
from streamhebb.sources import (
    CropFlip,
    ImageFolder,
    Noise,
    ResizedCropFlip,
    cache_folder,
    open_source,
)
from streamhebb.sources._checks import optional_whole, whole
from streamhebb.sources.memory import require_memory
from streamhebb.sources.twins import SUFFIX
from streamhebb.sources.whiten import ZCA, digest
from streamhebb.values import Label

EPS = 0.1
"""Added to variances before whitening, as published."""

Augment = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Prepared:
    """A training and a test set, ready for ``train_phases``.

    Args:
        settings: what was asked for.
        x: training samples, float32, shape ``(N, *settings.shape)``.
        y: their labels; ``None`` for those without.
        x_test: test samples.
        y_test: their labels.
        augment: changes each mini-batch, or ``None``.
        inexact: rows of ``x_test`` whose content is known to differ from the original data set's.
        class_names: readable names of the classes, where there are any.
        digest: of pixels and labels as they were stored: training samples, then those of the test.
    """

    settings: DataSettings
    x: Tensor
    y: list[Label | None]
    x_test: Tensor
    y_test: list[Label | None]
    augment: Augment | None = None
    inexact: tuple[int, ...] = ()
    class_names: tuple[str, ...] | None = None
    digest: str = ""

    @property
    def train(self) -> tuple[Tensor, list[Label | None]]:
        """Training samples and labels."""
        return self.x, self.y

    @property
    def test(self) -> tuple[Tensor, list[Label | None]]:
        """Test samples and labels."""
        return self.x_test, self.y_test

    @property
    def exact_test(self) -> tuple[Tensor, list[Label | None]]:
        """Test samples and labels, less those whose content differs from the original."""
        if not self.inexact:
            return self.test
        keep = np.setdiff1d(np.arange(len(self.y_test)), self.inexact)
        return self.x_test[torch.from_numpy(keep)], [self.y_test[row] for row in keep]


def load_data(
    settings: str | DataSettings,
    *,
    twin: bool = False,
    validation: bool = False,
    samples: int | None = None,
    tested: int | None = None,
    seed: int | None = None,
    download: bool = True,
) -> Prepared:
    """Load what data settings ask for.

    Pixels are divided by 255. Then ``mean`` and ``std`` are taken off where the settings have them
    (as published, only ImageNet's do, and what is whitened), and samples are whitened where they
    ask for it: the matrix is fitted to the whole training split, and kept in the cache folder.

    Args:
        settings: or their published name.
        twin: take the synthetic twin of the data set, a few hundred samples; no files are needed.
        validation: test on a share of the training samples (the first fifth of those drawn), and
            train on the rest; the test split is not looked at.
        samples: train on no more than these, at least one.
        tested: test on no more than these, at least one.
        seed: draws the samples; ``None`` is that of the settings.
        download: fetch a missing data set.

    Raises:
        SourceError: missing or damaged; says what to put where. Or larger than the memory.
        ConfigError: for settings that do not exist, or do not fit the data set; for samples, tested
            or a seed that are no such number.

    Example:
        >>> data = load_data("CIFAR10_50", twin=True, samples=100, tested=20)
        >>> data.x.shape, len(data.y_test)
        (torch.Size([100, 3, 32, 32]), 20)
    """
    if not isinstance(settings, DataSettings):
        settings = data_settings(settings)
    samples = optional_whole(samples, "samples", 1)
    tested = optional_whole(tested, "tested", 1)
    seed = settings.seed if seed is None else whole(seed, "seed", 0)
    learned = _open(settings, settings.split, twin, download)
    rows = _draw(_kept(learned, settings.only), settings.samples, seed)
    rows = rows if samples is None else rows[:samples]
    if validation:
        held = int(settings.held_out * len(rows))
        if not 0 < held < len(rows):
            raise ConfigError(f"{settings.name}: {len(rows)} samples cannot be split; take more")
        source, rows, test_rows = learned, rows[held:], rows[:held]
    else:
        source = _open(settings, settings.test, twin, download)
        test_rows = _draw(np.arange(len(_labels(source))), len(_labels(source)), seed)
    test_rows = test_rows if tested is None else test_rows[:tested]
    rows, test_rows = np.sort(rows), np.sort(test_rows)
    values = math.prod(settings.shape)
    require_memory(
        4 * values * (len(rows) + len(test_rows)), settings.name, "take fewer samples, and tested"
    )
    whitening = _whitening(settings, learned, twin) if settings.zca else None
    (x, y, train_digest), (x_test, y_test, test_digest) = (
        _numbers(settings, each, chosen, whitening)
        for each, chosen in ((learned, rows), (source, test_rows))
    )
    found = np.flatnonzero(np.isin(test_rows, getattr(source, "inexact", ())))
    return Prepared(
        settings, x, y, x_test, y_test, _augment(settings, seed), tuple(found.tolist()),
        source.class_names, f"{train_digest}-{test_digest}",
    )  # fmt: skip


def _open(settings: DataSettings, split: str, twin: bool, download: bool) -> Any:
    more: dict[str, Any] = {}
    if settings.source in ("imagenet", "imagenette"):
        more["size"] = settings.shape[1:]
    name = settings.source + SUFFIX * twin
    source: Any = open_source(name, split=split, seed=None, download=download, **more)
    if source.shape != settings.shape or len(source.classes or ()) != settings.classes:
        raise ConfigError(
            f"{source.name} has samples of shape {source.shape} and {len(source.classes or ())} "
            f"classes, {settings.name} asks for {settings.shape} and {settings.classes}; change "
            f"the settings with but(shape=..., classes=...)"
        )
    return source


def _labels(source: Any) -> Sequence[Label | None]:
    labels: Sequence[Label | None] = source.labels if isinstance(source, ImageFolder) else source.y
    return labels


def _kept(source: Any, only: Sequence[int]) -> np.ndarray[Any, Any]:
    labels = _labels(source)
    rows = [row for row, label in enumerate(labels) if not only or label in only]
    if not rows:
        raise ConfigError(f"{source.name} holds no samples of the classes {tuple(only)}")
    return np.array(rows)


def _draw(rows: np.ndarray[Any, Any], count: int, seed: int) -> np.ndarray[Any, Any]:
    # Frozen by numpy's policy (NEP 19), like the order of ArraySource.
    bits = np.random.MT19937(np.random.SeedSequence([seed, 0]))
    return rows[np.random.RandomState(bits).permutation(len(rows))[:count]]


def _numbers(
    settings: DataSettings, source: Any, rows: np.ndarray[Any, Any], whitening: ZCA | None
) -> tuple[Tensor, list[Label | None], str]:
    """The samples of some rows as the net will see them, their labels, and a digest of both."""
    pixels, labels = _bytes(source, rows), _labels(source)
    x, y = _scaled(settings, pixels), [labels[row] for row in rows]
    return x if whitening is None else whitening(x), y, digest(pixels, y)


def _bytes(source: Any, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if isinstance(source, ImageFolder):
        x = np.empty((len(rows), *source.shape), np.uint8)
        for place, row in enumerate(rows):
            x[place] = source.pixels(int(row))
        return x
    whole = len(rows) == len(source.x)
    found: np.ndarray[Any, Any] = source.x if whole else source.x[rows]
    return found


def _scaled(settings: DataSettings, pixels: np.ndarray[Any, Any]) -> Tensor:
    # A copy in any case: the data set stays as it is.
    x = torch.from_numpy(np.array(pixels, np.float32, order="C"))
    if pixels.dtype == np.uint8:
        x.div_(255)
    if settings.mean:
        x.sub_(torch.tensor(settings.mean).view(-1, 1, 1))
        x.div_(torch.tensor(settings.std).view(-1, 1, 1))
    return x


def _whitening(settings: DataSettings, source: Any, twin: bool) -> ZCA:
    """Fit to the whole split, or read what was fitted before."""
    pixels = _bytes(source, np.arange(len(_labels(source))))
    place = None
    if not twin:
        name = digest(pixels, settings.mean, settings.std, EPS)
        place = cache_folder() / f"zca-{settings.source}-{name}.npy"
        known = ZCA.load(place, math.prod(settings.shape))
        if known is not None:
            return known
    fitted = ZCA.fit(_scaled(settings, pixels), EPS)
    if place is not None:
        # Only to save time: where it cannot be kept, it is fitted anew.
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            fitted.save(place)
    return fitted


def _augment(settings: DataSettings, seed: int) -> Augment | None:
    if settings.augment == "crop-flip":
        return CropFlip(seed=seed)
    if settings.augment == "resized-crop-flip":
        return ResizedCropFlip(seed=seed)
    if settings.augment == "noise" and settings.noise:
        return Noise(settings.noise, seed)
    return None
