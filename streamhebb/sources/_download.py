"""Downloads through torchvision, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from streamhebb.errors import SourceError
from streamhebb.sources import _find, _torchvision

# The class of torchvision, and its arguments; all of them fetch the whole set.
_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "mnist": ("MNIST", {"train": True}),
    "fashion-mnist": ("FashionMNIST", {"train": True}),
    "cifar10": ("CIFAR10", {"train": True}),
    "cifar100": ("CIFAR100", {"train": True}),
    "stl10": ("STL10", {"split": "test"}),
    "imagenette": ("Imagenette", {"split": "train"}),
}
_ARCHIVES = (".tar.gz", ".tgz")


def download_into_cache(name: str, **options: Any) -> None:
    """Fetch a data set and put it into the cache folder.

    It is fetched beside its place and moved there when complete, so that an interrupted download
    leaves nothing that looks like data. torchvision compares checksums.

    Args:
        name: of the data set.
        options: more arguments of torchvision's class.

    Raises:
        SourceError: no network, a damaged download, no space; says what to put where instead.
        MissingExtraError: torchvision is not installed.
    """
    kind, arguments = _KINDS[name]
    fetch = getattr(
        _torchvision.datasets(f"downloading {name} ({_find.wanted(name)} to do without)"), kind
    )
    cache = _find.cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="download-") as folder:
            fetch(folder, **arguments, **options, download=True)
            _move(Path(folder), cache)
    except (RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise SourceError(
            f"{name} was not found and cannot be downloaded ({reason}): {_find.wanted(name)}"
        ) from error


def _move(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        # The archive has been unpacked and checked; keeping it would double the space.
        if path.is_file() and not path.name.endswith(_ARCHIVES):
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, place)
