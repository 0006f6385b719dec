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

from streamhebb.errors import ConfigError
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
        What ``result.json`` holds, or ``None`` if another process is at it.

    Raises:
        ConfigError: if it was begun with another setup, or when its names stood for something else.
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
        settings = {
            "trial": trial.model_dump(mode="json"),
            "resolved": trial.resolved(),
            "setup": setup.model_dump(mode="json"),
        }
        _compare(folder, settings)
        if folder.finished:
            return dict(folder.read("result.json"))
        folder.write("settings.json", settings)
        start = time.perf_counter()
        with setup.ready() as scheduler, _reports(folder, tensorboard) as reports:
            found = trial.run(Work(folder, setup, scheduler, tell, reports))
            result: Result = settings | {
                "result": found,
                "wall_seconds": round(time.perf_counter() - start, 1),
                "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
                "machine": machine(),
            }
        folder.write("result.json", result)
        folder.clear_progress()
        return result
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

    Args:
        trials: what to run.
        seeds: each trial runs from each.
        root: folders of trials lie in it. Several processes may work below one root.
        setup: with what.
        tell: is told how it goes, line by line.
        tensorboard: write measures for TensorBoard too.
    """
    tell = tell or (lambda line: None)
    chosen, found = tuple(trials), []
    for seed in seeds:
        for trial in chosen:
            one = trial.but(seed=seed)
            fresh = not folder_of(one, root).finished
            if fresh:
                tell(f"{one.label()}, seed {seed}")
            result = run_trial(
                one, root, setup, lambda line: tell(f"  {line}"), tensorboard=tensorboard
            )
            if result is not None:
                found.append(result)
                accuracy = result["result"].get("test_accuracy")
                if fresh and accuracy is not None:
                    tell(f"  test {100 * accuracy:.2f} %, {result['wall_seconds']:.0f} s")
    return found


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


def _compare(folder: TrialFolder, settings: Result) -> None:
    """Refuse what was begun as another net, and to go on with another setup: bits would differ."""
    if not (folder.path / "settings.json").is_file():
        return
    before = folder.read("settings.json")
    trial = before.get("trial", {})  # of earlier versions, without what they did not know
    other = [name for name, value in settings["trial"].items() if trial.get(name, value) != value]
    if other or outdated(before, settings["resolved"]):
        raise ConfigError(
            f"{folder.path} was run when names or defaults stood for another net or other data "
            f"(see {', '.join(map(repr, other or ['resolved']))} in its settings.json): remove the "
            f"folder, or choose another one: --runs DIR"
        )
    going_on = not folder.finished and any(folder.path.glob("progress-*.safetensors"))
    if going_on and before.get("setup") != settings["setup"]:
        raise ConfigError(
            f"{folder.path} was begun with {before.get('setup')}, not {settings['setup']}: go on "
            f"with that, or remove the folder"
        )
