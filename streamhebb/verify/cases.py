"""One reference vector: reading it, checking it, and what is reported about it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamhebb.errors import SourceError

Array = npt.NDArray[Any]

PASSED = "passed"
FAILED = "failed"
NOT_SUPPORTED = "not supported"


@dataclass(frozen=True)
class Case:
    """A reference vector as read: named arrays, and the settings they were made with.

    Args:
        name: the file's name without its ending.
        meta: the settings.
        arrays: every array but ``meta``; all hold real numbers.
    """

    name: str
    meta: Mapping[str, Any]
    arrays: Mapping[str, Array]

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def __getitem__(self, key: str) -> Array:
        self.need((key,))
        return self.arrays[key]

    @property
    def twins(self) -> bool:
        """Whether it holds float64 results of its own."""
        return any(key.endswith("_f64") for key in self.arrays)

    def need(self, keys: Iterable[str]) -> None:
        """Check that arrays are there.

        Raises:
            SourceError: naming those that are missing.
        """
        if missing := [key for key in keys if key not in self.arrays]:
            raise SourceError(f"{_plural(missing, 'key')} missing: {', '.join(missing)}")

    def shaped(self, key: str, shape: tuple[int | None, ...]) -> Array:
        """Return an array after checking its shape; ``None`` stands for any length.

        Raises:
            SourceError: if it is missing, empty, of another shape, or not finite.
        """
        array = self[key]
        fits = array.ndim == len(shape) and all(
            want in (None, have) for want, have in zip(shape, array.shape, strict=True)
        )
        if not fits or not array.size:
            wanted = ", ".join("*" if side is None else str(side) for side in shape)
            raise SourceError(f"{key} has shape {array.shape}; ({wanted}) is needed")
        if not np.isfinite(array).all():
            raise SourceError(f"{key} holds NaN or infinite values")
        return array


def read_case(path: Path) -> Case:
    """Read a reference vector; nothing is unpickled.

    Raises:
        SourceError: if the file is damaged, or is something else.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise SourceError("not an .npz archive, or a truncated one")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: np.asarray(archive[key]) for key in archive.files}
    except SourceError:
        raise
    except Exception as error:  # a damaged archive can fail in any way
        raise SourceError(f"cannot be read ({type(error).__name__}: {error})") from error
    meta = arrays.pop("meta", None)
    if meta is None:
        raise SourceError("key missing: meta; not a reference vector")
    for key, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise SourceError(f"{key} has dtype {array.dtype}; real numbers are needed")
    return Case(path.stem, _settings(meta), arrays)


def _settings(meta: Array) -> dict[str, Any]:
    if meta.ndim or meta.dtype.kind != "U":
        raise SourceError(f"meta is {meta.dtype} of shape {meta.shape}; one string is needed")
    try:
        found = json.loads(str(meta))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"meta is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise SourceError(f"meta is a JSON {type(found).__name__}; an object is needed")
    return found


@dataclass(frozen=True)
class Difference:
    """How far one array of the library is from the reference.

    Args:
        key: name of the array.
        size: largest difference, relative to the reference's largest entry.
        limit: what is allowed.
    """

    key: str
    size: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether it is within the limit; NaN is not."""
        return self.size <= self.limit


@dataclass(frozen=True)
class CaseResult:
    """What replaying one reference vector gave.

    Args:
        name: the case.
        status: ``"passed"``, ``"failed"`` or ``"not supported"``.
        worst: for each precision the difference closest to, or furthest beyond, its limit.
        reason: why it failed or is not supported; empty if it passed.
        notes: what else there is to know, such as keys that were not compared.
    """

    name: str
    status: str
    worst: Mapping[str, Difference] = field(default_factory=dict)
    reason: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """What replaying a folder gave.

    Args:
        results: one for each case, in the order of their names.
    """

    results: tuple[CaseResult, ...]

    def count(self, status: str) -> int:
        """Return how many cases ended that way."""
        return sum(result.status == status for result in self.results)

    @property
    def passed(self) -> int:
        """Number of cases that passed."""
        return self.count(PASSED)

    @property
    def failed(self) -> int:
        """Number of cases that failed."""
        return self.count(FAILED)

    @property
    def not_supported(self) -> int:
        """Number of cases that ask for something the library does not have."""
        return self.count(NOT_SUPPORTED)

    @property
    def exit_code(self) -> int:
        """0 if nothing failed, else 1."""
        return 1 if self.failed else 0

    def line(self) -> str:
        """Return the closing line.

        Example:
            >>> Summary((CaseResult("a", "passed"),)).line()
            '1 passed, 0 failed'
        """
        line = f"{self.passed} passed, {self.failed} failed"
        return f"{line}, {self.not_supported} not supported" if self.not_supported else line


def format_line(result: CaseResult) -> str:
    """Return one line of text about a case.

    Example:
        >>> worst = {"float32": Difference("w20", 2.5e-7, 2e-5)}
        >>> format_line(CaseResult("conv_soft", "passed", worst))
        'passed         conv_soft                           float32 2.5e-07 w20'
    """
    parts = [
        f"{precision} {worst.size:.1e} {worst.key}"
        + ("" if worst.passed else f" (limit {worst.limit:.0e})")
        for precision, worst in result.worst.items()
    ]
    parts += [part for part in (result.reason, *result.notes) if part]
    text = "; ".join(" ".join(part.split()) for part in parts)
    return f"{result.status:<13}  {result.name:<34}  {text}".rstrip()


def _plural(items: list[str], word: str) -> str:
    return word if len(items) == 1 else f"{word}s"
