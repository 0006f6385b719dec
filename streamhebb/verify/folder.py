"""Replays a folder of reference vectors through the library's own parts."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from streamhebb.errors import ConfigError, SourceError
from streamhebb.parts import require_choice
from streamhebb.verify import blocks, demo, functions, labels, layers, modes, taught, weights
from streamhebb.verify.cases import (
    FAILED,
    NOT_SUPPORTED,
    PASSED,
    Case,
    CaseResult,
    Difference,
    Summary,
    read_case,
)
from streamhebb.verify.compare import PRECISIONS, Comparison


class _Kind(NamedTuple):
    """One kind of case: how it is told, what it lacks, and how it is replayed."""

    told: Callable[[Case], bool]
    missing: Callable[[Case], str]
    replay: Callable[[Case, Comparison], None]


def _nothing(case: Case) -> str:
    return ""


# The first that knows a case takes it; a file's name plays no part.
_KINDS = (
    _Kind(modes.is_modes, modes.missing, modes.replay_modes),
    _Kind(labels.is_labels, _nothing, labels.replay_labels),
    _Kind(blocks.is_block, blocks.missing, blocks.replay_block),
    _Kind(demo.is_demo, _nothing, demo.replay_demo),
    _Kind(weights.is_weights, _nothing, weights.replay_weights),
    _Kind(functions.is_schedules, _nothing, functions.replay_schedules),
    _Kind(functions.is_activations, _nothing, functions.replay_activations),
    _Kind(taught.is_taught, taught.missing, taught.replay_taught),
    _Kind(layers.is_layer, layers.missing, layers.replay),
)


def verify_folder(
    path: str | os.PathLike[str],
    *,
    pattern: str = "*",
    precisions: Sequence[str] = ("float32", "float64"),
    report: Callable[[CaseResult], None] | None = None,
) -> Summary:
    """Replay every reference vector (``*.npz``) of a folder, in the order of their names.

    A file that is damaged, or is no reference vector, is a case that failed. What a case is
    about is told by what it holds, not by its name.

    Args:
        path: the folder.
        pattern: which cases, by name without ``.npz``; ``*`` and ``?`` as in a shell.
        precisions: ``"float32"``, ``"float64"`` or both.
        report: called with each result as soon as it is known.

    Raises:
        SourceError: if the folder is missing, or holds no such case.
        ConfigError: for a precision that does not exist.
    """
    folder = Path(path)
    if not precisions or isinstance(precisions, str):
        raise ConfigError(f"verify: precisions={precisions!r} is not allowed; give a list")
    for precision in precisions:
        require_choice("verify", "precision", precision, tuple(PRECISIONS))
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}; give one that holds reference vectors")
    files = sorted(file for file in folder.iterdir() if file.suffix == ".npz")
    chosen = [file for file in files if fnmatch.fnmatchcase(file.stem, pattern)]
    if not chosen:
        found = f"{len(files)} files *.npz, but none is called {pattern!r}" if files else "no *.npz"
        raise SourceError(f"{folder} holds {found}; give a folder of reference vectors")
    results = []
    for file in chosen:
        results.append(_verify_file(file, precisions))
        if report is not None:
            report(results[-1])
    return Summary(tuple(results))


def _verify_file(file: Path, precisions: Sequence[str]) -> CaseResult:
    try:
        return verify_case(read_case(file), precisions)
    except SourceError as error:
        return CaseResult(file.stem, FAILED, reason=str(error))
    except Exception as error:  # noqa: BLE001 - one bad file must not hide the others
        return CaseResult(file.stem, FAILED, reason=f"{type(error).__name__}: {error}")


@torch.no_grad()
def verify_case(case: Case, precisions: Sequence[str]) -> CaseResult:
    """Replay one reference vector.

    Raises:
        SourceError: for a case of no known kind, or one that lacks something.
    """
    kind = next((kind for kind in _KINDS if kind.told(case)), None)
    if kind is None:
        raise SourceError(f"no known kind of case; it holds {', '.join(sorted(case.arrays)[:8])}")
    if reason := kind.missing(case):
        return CaseResult(case.name, NOT_SUPPORTED, reason=reason)
    comparisons = [Comparison(case, precision) for precision in precisions]
    for comparison in comparisons:
        kind.replay(case, comparison)
    return _result(case, comparisons)


def _result(case: Case, comparisons: Sequence[Comparison]) -> CaseResult:
    worst: dict[str, Difference] = {}
    for comparison in comparisons:
        if comparison.worst is not None:
            worst[comparison.precision] = comparison.worst
    notes = dict.fromkeys(note for comparison in comparisons for note in comparison.notes)
    left = set.intersection(*(set(comparison.left_out()) for comparison in comparisons))
    if left:
        notes[f"not compared: {', '.join(sorted(left))}"] = None
    if not worst:
        return CaseResult(case.name, FAILED, reason="nothing to compare", notes=tuple(notes))
    beyond = [d for comparison in comparisons for d in comparison.differences if not d.passed]
    reason = f"{len(beyond)} beyond the limit" if beyond else ""
    return CaseResult(case.name, FAILED if beyond else PASSED, worst, reason, tuple(notes))
