"""Run a trial once more from its folder, and see whether the same bits come out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from streamhebb import snapshot
from streamhebb.errors import BusyError, RunFolderError
from streamhebb.evaluate.reports import read_lines
from streamhebb.suite.folder import TrialFolder
from streamhebb.suite.kinds import read_trial
from streamhebb.suite.running import folder_of, refuse_outdated, run_trial
from streamhebb.suite.trial import Setup

TIMES = ("seconds", "wall_seconds")
"""What differs from run to run."""


def run_again(
    path: Path, root: Path, tell: Callable[[str], object] | None = None
) -> tuple[str, ...]:
    """Run a finished trial anew from its settings, and compare all that it left.

    Args:
        path: the folder of the finished trial; it is not changed.
        root: where the new folder goes; must be another than that of the finished one.
        tell: is told how it goes, line by line.

    Returns:
        What differs: data, results, measures and tensors by name; empty if all bits are the same,
        which is promised for the same machine, versions and data.

    Raises:
        ConfigError: if its names stood for another net or other data then.
        RunFolderError: if the trial is not finished, or lies below ``root`` itself.
        BusyError: if another process runs it below ``root``.
    """
    tell = tell or (lambda line: None)
    before = TrialFolder(path)
    settings = before.read("settings.json", "trial", "setup")
    trial, setup = read_trial(settings["trial"]), Setup.of(**settings["setup"])
    refuse_outdated(path, settings, trial)
    after = folder_of(trial, root)
    if not before.finished:
        raise RunFolderError(f"{path} holds no finished trial; run it to its end first")
    if after.path.resolve() == path.resolve():
        raise RunFolderError(f"{path} lies in {root} itself; run it again in another folder")
    if "digests" not in before.read("result.json", "result"):
        tell(f"{path} is of an earlier version, and does not say which data were read")
    if run_trial(trial, root, setup, tell) is None:
        raise BusyError(f"{after.path} is run by another process: wait for it, or take another one")
    return tuple(_apart(before, after))


def _apart(before: TrialFolder, after: TrialFolder) -> Iterator[str]:
    one, two = (each.read("result.json", "result") for each in (before, after))
    # Trained nets that lie there from an earlier version do not say what they have read.
    known = one.get("digests", {}).keys() & two.get("digests", {}).keys()
    yield from (f"data of {n}" for n in sorted(known) if one["digests"][n] != two["digests"][n])
    yield from _values(one["result"], two["result"], "result")
    if before.measures.is_file():
        one, two = (
            [dataclasses.asdict(report) for report in read_lines(each.measures)]
            for each in (before, after)
        )
        yield from _values(one, two, "measures")
    if before.net.is_file():
        (old, meta), (new, own) = (snapshot.read(each.net) for each in (before, after))
        yield from (n for n in sorted(old.keys() ^ new.keys()))
        yield from (n for n in sorted(old.keys() & new.keys()) if not _same(old[n], new[n]))
        yield from _values(meta, own, "net")


def _same(one: torch.Tensor, two: torch.Tensor) -> bool:
    return one.dtype == two.dtype and one.shape == two.shape and bool((one == two).all())


def _values(one: Any, two: Any, name: str) -> Iterator[str]:
    """The names of what differs in plain data, but times."""
    if isinstance(one, dict) and isinstance(two, dict):
        for key in sorted((one.keys() | two.keys()) - set(TIMES)):
            yield from _values(one.get(key), two.get(key), f"{name}.{key}")
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        for number, pair in enumerate(zip(one, two, strict=True)):
            yield from _values(*pair, f"{name}.{number}")
    elif one != two:
        yield name
