"""Run trials: each in its folder, by one process at a time, once."""

from __future__ import annotations

import datetime
import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import Timeout

from streamhebb.errors import BusyError, ConfigError, StreamhebbError, TrialsError
from streamhebb.evaluate.reports import Report, ReportLines, TensorBoard
from streamhebb.machine import machine
from streamhebb.suite.folder import TrialFolder
from streamhebb.suite.trial import Result, Setup, Trial, Work

Tell = Callable[[str], object]


def folder_of(trial: Trial, root: Path) -> TrialFolder:
    """The folder of a trial below a root."""
    return TrialFolder(root / trial.key / f"seed-{trial.seed}")


def run_trial(
    trial: Trial,
    root: Path,
    setup: Setup | None = None,
    tell: Tell | None = None,
    *,
    tensorboard: bool = False,
) -> Result | None:
    """Run a trial, or go on with one that was killed; one that is finished is read.

    Args:
        trial: what to run.
        root: folders of trials lie in it.
        setup: with what; a trial that goes on must have the one it began with.
        tell: is told how it goes, line by line.
        tensorboard: write measures for TensorBoard too, into the trial's folder.

    Returns:
        What ``result.json`` holds, or ``None`` if another process is at it, or at a net it needs.

    Raises:
        ConfigError: if it was begun with another setup, or when its names stood for something else.
        RunFolderError: if its folder is damaged.
    """
    tell = tell or (lambda line: None)
    setup = (setup or Setup()).said()
    folder = folder_of(trial, root)
    lock = folder.lock()
    try:
        lock.acquire()
    except Timeout:
        tell(f"{trial.key}, seed {trial.seed}: another process is at it")
        return None
    try:
        _compare(folder, trial, setup)
        if folder.finished:
            return dict(folder.read("result.json", "trial", "setup", "result"))
        settings = {
            "trial": trial.model_dump(mode="json"),
            "resolved": trial.resolved(),
            "setup": setup.model_dump(mode="json"),
        }
        start = time.perf_counter()
        with setup.ready() as scheduler, _reports(folder, tensorboard) as reports:
            folder.write("settings.json", settings)
            work = Work(folder, setup, scheduler, tell, reports)
            found = trial.run(work)
            result: Result = settings | {
                "digests": work.digests,
                "result": found,
                "wall_seconds": round(time.perf_counter() - start, 1),
                "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
                "machine": machine(),
            }
        folder.write("result.json", result)
        folder.clear_progress()
        return result
    except BusyError:  # a net that it shares with another trial; that was told
        return None
    finally:
        lock.release()
        # Whatever refers to itself (compilers keep frames) may hold gigabytes of features; the next
        # trial needs the room.
        gc.collect()


def run_trials(
    trials: Iterable[Trial],
    seeds: Iterable[int],
    root: Path,
    setup: Setup | None = None,
    tell: Tell | None = None,
    *,
    tensorboard: bool = False,
) -> list[Result]:
    """Run trials from several seeds, seed by seed: a killed run leaves whole tables of fewer seeds.

    A trial that cannot be run, or that another process is at, does not keep the others from it.

    Args:
        trials: what to run.
        seeds: each trial runs from each.
        root: folders of trials lie in it. Several processes may work below one root.
        setup: with what.
        tell: is told how it goes, line by line.
        tensorboard: write measures for TensorBoard too.

    Returns:
        Results of those that are finished now.

    Raises:
        ConfigError: for a seed or setup that serves no trial, before any is run.
        TrialsError: after the last, if some could not be run; it has the results of the others.
    """
    tell = tell or (lambda line: None)
    setup = (setup or Setup()).said()
    setup.check()
    every = tuple(trials)
    chosen = [trial.but(seed=seed) for seed in seeds for trial in every]
    found, before = list[Result](), list[Result]()
    left, failed = list[str](), list[str]()
    for one in chosen:
        name = f"{one.label()}, seed {one.seed}"
        fresh = not folder_of(one, root).finished
        if fresh:
            tell(name)
        try:
            result = run_trial(
                one, root, setup, lambda line: tell(f"  {line}"), tensorboard=tensorboard
            )
        except StreamhebbError as error:
            # Its words only: the error itself keeps frames, and with them gigabytes of features.
            failed.append(f"{name}: {' '.join(str(error).split())}")
            tell(f"  {one.key}, seed {one.seed}: cannot be run; why is said at the end")
            continue
        if result is None:
            left.append(name)
            continue
        found.append(result)
        accuracy = result["result"].get("test_accuracy")
        if not fresh:
            before.append(result)
        elif accuracy is not None:
            tell(f"  test {100 * accuracy:.2f} %, {result['wall_seconds']:.0f} s")
    _tell_made_otherwise(before, setup, tell)
    for name in left:
        tell(f"left to another process: {name}; run again when it is through")
    if failed:
        count = f"{len(failed)} of {len(chosen)} trials could not be run"
        raise TrialsError("\n".join([count, *failed]), found)
    return found


def _tell_made_otherwise(results: Iterable[Result], setup: Setup, tell: Tell) -> None:
    """Say which of the results that were there already are of another setup than asked for."""
    asked = setup.model_dump(mode="json")
    others = [_words(result["setup"]) for result in results if result["setup"] != asked]
    if others:
        tell(
            f"finished before, and not run again: {len(others)} trials, made with "
            f"{' or '.join(sorted(set(others)))}; for {_words(asked)} choose another --runs DIR"
        )


def _words(setup: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in setup.items())


@contextmanager
def _reports(folder: TrialFolder, tensorboard: bool) -> Iterator[list[Callable[[Report], None]]]:
    """Where measures go."""
    lines = ReportLines(folder.measures)
    if not tensorboard:
        yield [lines]
        return
    with TensorBoard(folder.path / "tensorboard") as board:
        yield [lines, board]


def outdated(settings: Mapping[str, Any], resolved: Mapping[str, Any]) -> bool:
    """Whether names stood for something else when these settings were written.

    Args:
        settings: of a folder; those of earlier versions do not say it.
        resolved: what they stand for now.
    """
    return bool(settings.get("resolved", resolved) != resolved)


def refuse_outdated(path: Path, before: Mapping[str, Any], trial: Trial) -> None:
    """Refuse a folder whose trial was another net or other data when it was begun.

    Args:
        path: the folder.
        before: its settings; those of earlier versions lack what they did not know.
        trial: what they are read as now.

    Raises:
        ConfigError: naming what differs.
    """
    own = before["trial"]
    now = trial.model_dump(mode="json")
    other = [name for name, value in now.items() if own.get(name, value) != value]
    if other or outdated(before, trial.resolved()):
        raise ConfigError(
            f"{path} was run when names or defaults stood for another net or other data "
            f"(see {', '.join(map(repr, other or ['resolved']))} in its settings.json): take the "
            f"version of then, remove the folder, or choose another one: --runs DIR"
        )


def _compare(folder: TrialFolder, trial: Trial, setup: Setup) -> None:
    """Refuse what was begun as another net, and to go on with another setup: bits would differ."""
    if not (folder.path / "settings.json").is_file():
        return
    before = folder.read("settings.json", "trial", "setup")
    refuse_outdated(folder.path, before, trial)
    going_on = not folder.finished and any(folder.path.glob("progress-*.safetensors"))
    now = setup.model_dump(mode="json")
    if going_on and before["setup"] != now:
        raise ConfigError(
            f"{folder.path} was begun with {before['setup']}, not {now}: go on with that, or "
            f"remove the folder"
        )
