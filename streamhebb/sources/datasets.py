"""The built-in data sets.

Each function reads one split into an [`ArraySource`][streamhebb.sources.arrays.ArraySource].

Data are looked for in ``STREAMHEBB_DATA``, then in the cache folder, and are downloaded into the
cache folder through torchvision if neither has them and ``download`` is allowed. Labels are whole
numbers; ``class_names`` tells their meaning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from streamhebb.errors import ConfigError, SourceError
from streamhebb.sources import _checksums, _find, _stl10, _torchvision
from streamhebb.sources._download import download_into_cache
from streamhebb.sources._idx import read_idx
from streamhebb.sources._late import late
from streamhebb.sources._sheets import inexact_rows, read_sheets
from streamhebb.sources.arrays import ArraySource
from streamhebb.sources.memory import require_memory

FASHION_NAMES = (
    "t-shirt/top", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
CIFAR10_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
STL10_NAMES = (
    "airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck",
)  # fmt: skip

_DIGITS_TEST = 360
_DIGITS_SEED = 1797


def digits(
    split: str = "all",
    *,
    seed: int | None = None,
    epochs: int = 1,
    start: int = 0,
    limit: int | None = None,
) -> ArraySource:
    """scikit-learn's 1,797 handwritten digits, 8 x 8 grey; needs no network and no files.

    Args:
        split: ``"all"`` (the default: a stream tests every sample before it learns from it), or
            ``"train"`` (1,437) and ``"test"`` (360), drawn once by a fixed seed.
        seed: of the order; ``None`` keeps the stored order.
        epochs: passes over the split.
        start: samples of the stream to skip.
        limit: length of the whole stream, ``None`` for all of it.

    Raises:
        ConfigError: unknown split.
        MissingExtraError: scikit-learn is not installed.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits (UCI, 1998),
    doi:10.24432/C50P49.

    Example:
        >>> digits().shape
        (1, 8, 8)
    """
    _check_split("digits", split, ("all", "train", "test"))
    bunch = late("sklearn.datasets", "the digits data set", "data").load_digits()
    rows = np.arange(len(bunch.target))
    if split != "all":
        mixed = np.random.RandomState(_DIGITS_SEED).permutation(len(rows))
        rows = np.sort(mixed[:_DIGITS_TEST] if split == "test" else mixed[_DIGITS_TEST:])
    return ArraySource(
        (bunch.images[rows] / 16.0).astype(np.float32),
        bunch.target[rows],
        name="digits" if split == "all" else f"digits/{split}",
        classes=range(10),
        shape=(1, 8, 8),
        seed=seed, epochs=epochs, start=start, limit=limit,
    )  # fmt: skip


def mnist(
    split: str = "train",
    *,
    seed: int | None = None,
    epochs: int = 1,
    start: int = 0,
    limit: int | None = None,
    download: bool = True,
) -> ArraySource:
    """MNIST: handwritten digits, 28 x 28 grey, 60,000 for training and 10,000 for testing.

    Args:
        split: ``"train"`` or ``"test"``.
        seed: of the order; ``None`` keeps the stored order.
        epochs: passes over the split.
        start: samples of the stream to skip.
        limit: length of the whole stream, ``None`` for all of it.
        download: fetch it into the cache folder if it is nowhere.

    Raises:
        SourceError: missing, truncated or corrupt; names the file and what to put where.
        MissingExtraError: it has to be downloaded and torchvision is not installed.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner (1998), doi:10.1109/5.726791.
    """
    x, y = _idx("mnist", split, download)
    return ArraySource(
        x, y, name=f"mnist/{split}", classes=range(10), shape=(1, 28, 28),
        seed=seed, epochs=epochs, start=start, limit=limit,
    )  # fmt: skip


def fashion_mnist(
    split: str = "train",
    *,
    seed: int | None = None,
    epochs: int = 1,
    start: int = 0,
    limit: int | None = None,
    download: bool = True,
) -> ArraySource:
    """Fashion-MNIST: pieces of clothing, 28 x 28 grey, 60,000 for training, 10,000 for testing.

    Arguments and errors as in [`mnist`][streamhebb.sources.datasets.mnist].

    Source: H. Xiao, K. Rasul, R. Vollgraf (2017), arXiv:1708.07747.
    """
    x, y = _idx("fashion-mnist", split, download)
    return ArraySource(
        x, y, name=f"fashion-mnist/{split}", classes=range(10), shape=(1, 28, 28),
        class_names=FASHION_NAMES, seed=seed, epochs=epochs, start=start, limit=limit,
    )  # fmt: skip


def cifar10(
    split: str = "train",
    *,
    seed: int | None = None,
    epochs: int = 1,
    start: int = 0,
    limit: int | None = None,
    download: bool = True,
    exact: bool = False,
) -> ArraySource:
    """CIFAR-10: small photographs, 32 x 32 RGB, 50,000 for training and 10,000 for testing.

    Read from torchvision's ``cifar-10-batches-py`` if there, else from WebP sheets in ``cifar10``.

    Args:
        split: ``"train"`` or ``"test"``.
        seed: of the order; ``None`` keeps the stored order.
        epochs: passes over the split.
        start: samples of the stream to skip.
        limit: length of the whole stream, ``None`` for all of it.
        download: fetch it into the cache folder if it is nowhere.
        exact: leave out the few pictures of the sheets whose pixels are not the original ones
            (76 of the training set, 20 of the test set); nothing is left out of the batches.
            Without it, ``inexact`` of the source names their rows.

    Raises:
        SourceError: missing, truncated or corrupt; names the file and what to put where.
        MissingExtraError: torchvision (for the batches) or Pillow (for the sheets) is missing.

    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009).
    """
    _check_split("cifar10", split, ("train", "test"))
    sheets = _cifar10_sheets()
    if sheets is not None:
        x, y, inexact = _sheets(sheets, split)
    else:
        x, y, _ = _batches("cifar10", split, download)
        inexact = np.zeros(0, np.int64)
    if exact and inexact.size:
        keep = np.setdiff1d(np.arange(len(x)), inexact)
        x, y, inexact = x[keep], y[keep], inexact[:0]
    return ArraySource(
        x, y, name=f"cifar10/{split}", classes=range(10), class_names=CIFAR10_NAMES,
        inexact=inexact, seed=seed, epochs=epochs, start=start, limit=limit,
    )  # fmt: skip


def inexact_cifar10() -> tuple[int, int]:
    """How many pictures of the copy at hand are not the original ones: of training, of test.

    Only the small file that names them is read. Of the batches, and where there is no copy, none.

    Raises:
        SourceError: that file is missing or damaged.
    """
    sheets = _cifar10_sheets()
    if sheets is None:
        return 0, 0
    return len(inexact_rows(sheets, "train")), len(inexact_rows(sheets, "test"))


def _cifar10_sheets() -> Path | None:
    """The folder of the sheets, unless the batches are there, which come first."""
    return _find.sheets_folder() if _find.batch_root("cifar10") is None else None


def cifar100(
    split: str = "train",
    *,
    seed: int | None = None,
    epochs: int = 1,
    start: int = 0,
    limit: int | None = None,
    download: bool = True,
) -> ArraySource:
    """CIFAR-100: small photographs of 100 kinds, 32 x 32 RGB, 50,000 and 10,000.

    Arguments, errors and source as in [`cifar10`][streamhebb.sources.datasets.cifar10].
    """
    _check_split("cifar100", split, ("train", "test"))
    x, y, names = _batches("cifar100", split, download)
    return ArraySource(
        x, y, name=f"cifar100/{split}", classes=range(100), class_names=names,
        seed=seed, epochs=epochs, start=start, limit=limit,
    )  # fmt: skip


def stl10(
    split: str = "train",
    *,
    seed: int | None = None,
    epochs: int = 1,
    start: int = 0,
    limit: int | None = None,
    download: bool = True,
) -> ArraySource:
    """STL-10: photographs, 96 x 96 RGB, 5,000 for training, 8,000 for testing, 100,000 unlabelled.

    Pictures stay in the file, of which only those asked for are read.

    Args:
        split: ``"train"``, ``"test"``, ``"unlabeled"`` (labels are ``None``), or
            ``"train+unlabeled"``, which is read into memory.
        seed: of the order; ``None`` keeps the stored order.
        epochs: passes over the split.
        start: samples of the stream to skip.
        limit: length of the whole stream, ``None`` for all of it.
        download: fetch it into the cache folder if it is nowhere (2.6 GB).

    Raises:
        SourceError: missing, truncated or corrupt; names the file and what to put where.
        MissingExtraError: it has to be downloaded and torchvision is not installed.

    Source: A. Coates, H. Lee, A. Ng, An Analysis of Single-Layer Networks in Unsupervised Feature
    Learning, AISTATS 2011. https://cs.stanford.edu/~acoates/stl10
    """
    _check_split("stl10", split, (*_stl10.ROWS, "train+unlabeled"))
    folder = _find.stl10_folder()
    if folder is None:
        if not download:
            raise _missing("stl10")
        download_into_cache("stl10")
        folder = _find.stl10_folder()
        if folder is None:
            raise _missing("stl10")
    parts = [_stl10_part(folder, part) for part in split.split("+")]
    x, labels = parts[0]
    if len(parts) > 1:
        require_memory(sum(part.size for part, _ in parts), f"stl10/{split}", "take one split")
        x, labels = np.concatenate([part for part, _ in parts]), labels + parts[1][1]
    return ArraySource(
        x, labels, name=f"stl10/{split}", classes=range(10), class_names=STL10_NAMES,
        seed=seed, epochs=epochs, start=start, limit=limit,
    )  # fmt: skip


def _stl10_part(folder: Path, part: str) -> tuple[np.ndarray[Any, Any], list[int | None]]:
    rows = _stl10.ROWS[part]
    path = folder / f"{part}_X.bin"
    x = _stl10.read_pictures(path, rows)
    _checksums.check_file(path)
    if part == "unlabeled":
        return x, [None] * rows
    labels = _stl10.read_labels(folder / f"{part}_y.bin", rows)
    _checksums.check_file(folder / f"{part}_y.bin")
    return x, labels.tolist()


def _check_split(name: str, split: str, allowed: tuple[str, ...]) -> None:
    if split not in allowed:
        raise ConfigError(f"{name} has no split {split!r}; there are {', '.join(allowed)}")


def _missing(name: str) -> SourceError:
    return SourceError(f"{name} was not found: {_find.wanted(name)}")


def _idx(name: str, split: str, download: bool) -> tuple[Any, Any]:
    _check_split(name, split, ("train", "test"))
    files = _find.idx_files(name, split)
    if files is None:
        if not download:
            raise _missing(name)
        download_into_cache(name)
        files = _find.idx_files(name, split)
        if files is None:
            raise _missing(name)
    x, y = read_idx(files[0], 3), read_idx(files[1], 1)
    if x.shape[1:] != (28, 28):
        raise SourceError(
            f"{files[0]} holds pictures of {x.shape[1:]}, not (28, 28): fetch it again"
        )
    if len(x) != len(y):
        raise SourceError(
            f"{files[0]} holds {len(x)} pictures, {files[1].name} {len(y)} labels: "
            "they do not belong together, fetch both again"
        )
    if y.max() > 9:
        raise SourceError(
            f"{files[1]} holds the label {y.max()}, allowed are 0 to 9: fetch it again"
        )
    for file in files:
        _checksums.check_file(file)
    return x, y


def _sheets(folder: Path, split: str) -> tuple[Any, Any, Any]:
    x, y, inexact = read_sheets(folder, split)
    _checksums.check_sheets(folder, split, lambda: x.transpose(0, 2, 3, 1))
    return x, y, inexact


def _batches(name: str, split: str, download: bool) -> tuple[Any, Any, Any]:
    root = _find.batch_root(name)
    if root is None:
        if not download:
            raise _missing(name)
        download_into_cache(name)
        root = _find.cache_folder()
    kind = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}[name]
    datasets = _torchvision.datasets(f"reading {name} from {root / _find.BATCH_FOLDERS[name]}")
    try:
        # torchvision compares the md5 of every file before it opens one.
        data = getattr(datasets, kind)(str(root), train=split == "train", download=False)
    except (RuntimeError, OSError) as error:
        raise SourceError(
            f"{root / _find.BATCH_FOLDERS[name]} is incomplete or damaged ({error}): delete it; "
            f"then {_find.wanted(name)}"
        ) from error
    return np.ascontiguousarray(data.data.transpose(0, 3, 1, 2)), data.targets, data.classes
