"""A search by optuna: begun, gone on with, and shared by several processes.

A study is a file (SQLite) or whatever else optuna keeps studies in. Each process that is given it
takes trials that nobody has; one that was killed is noticed after a minute, and its trial is run
again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from streamhebb.errors import ConfigError, DivergedError, MissingExtraError
from streamhebb.search.objective import Search, check_pruning
from streamhebb.search.outcome import Outcome
from streamhebb.search.space import Parameter, Value
from streamhebb.suite import Setup

HEARTBEAT, GRACE = 15, 60
"""Seconds between signs of life of a trial, and after which one without is given up."""

STARTUP = 10
"""Trials that are drawn by chance before TPE has something to go by."""

Tell = Callable[[str], object]


def import_optuna() -> Any:
    """Import optuna.

    Raises:
        MissingExtraError: it is not installed or does not load.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("a search", "search") from error
    return optuna


@contextmanager
def open_study(search: Search, where: str) -> Iterator[Any]:
    """Make a study, or open it again.

    Args:
        search: what is searched; a study that is gone on with must have been begun with it.
        where: a file, or the URL of a database: ``sqlite:///FILE``, ``postgresql://...``.

    Raises:
        ConfigError: if the file is something else, or the study is of another search.
        MissingExtraError: without optuna.
    """
    optuna = import_optuna()
    check_pruning(search)
    level = optuna.logging.get_verbosity()
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # we say what there is to say
        stack.callback(optuna.logging.set_verbosity, level)
        with _lock(where):
            storage = _storage(optuna, where)
            stack.callback(_close, storage)
            study = _begin(optuna, search, storage, where)
        yield study


def go_on(
    search: Search,
    where: str,
    setup: Setup | None = None,
    trials: int | None = None,
    tell: Tell | None = None,
) -> list[Outcome]:
    """Run trials until there are as many as wanted, or the grid is whole.

    Args:
        search: what is searched.
        where: see [`open_study`][streamhebb.search.study.open_study].
        setup: with what trials run.
        trials: as many in all, those of earlier runs and other processes included; ``None`` is
            the whole grid.
        tell: is told how it goes, line by line.

    Returns:
        All trials there are now.

    Raises:
        ConfigError: for a space with ranges and no number of trials, or a setup that cannot be had.
    """
    optuna = import_optuna()
    tell = tell or (lambda line: None)
    setup = setup or Setup()
    setup.check()
    size = search.space.size
    if trials is None and size is None:
        raise ConfigError(
            f"the space {search.space.name!r} has ranges, and a search over it no end: say how "
            f"many trials, as --trials 100"
        )
    total = min(each for each in (trials, size) if each is not None)
    with open_study(search, where) as study:
        while True:
            with _lock(where):
                _give_up_dead(optuna, study)
            done, running = _progress(study)
            if done + running >= total:
                break
            study.optimize(_objective(optuna, search, setup, tell, total), n_trials=1)
        if running:
            tell(f"{running} trials are run by other processes, or were killed within a minute")
        return outcomes(study)


def _begin(optuna: Any, search: Search, storage: Any, where: str) -> Any:
    study = optuna.create_study(
        study_name=search.name,
        storage=storage,
        sampler=_sampler(optuna, search),
        pruner=_pruner(optuna, search),
        direction="maximize",
        load_if_exists=True,
    )
    wanted = search.model_dump(mode="json", exclude={"space": {"about"}})
    begun = study.user_attrs.get("search")
    if begun is None:
        study.set_user_attr("search", wanted)
    elif begun != wanted:
        raise ConfigError(
            f"{where} holds a search of the same name with other settings: "
            f"{_differences(begun, wanted)}; go on with those, or take another file"
        )
    return study


def outcomes(study: Any) -> list[Outcome]:
    """All trials of a study."""
    found = []
    for trial in study.get_trials(deepcopy=False):
        state = trial.user_attrs.get("ended") or trial.state.name.lower().replace("fail", "failed")
        took = trial.duration
        found.append(
            Outcome(
                trial.number,
                dict(trial.params),
                state,
                trial.value if state == "complete" else None,
                sorted(trial.intermediate_values.items()),
                None if took is None else round(took.total_seconds(), 1),
            )
        )
    return found


def _objective(
    optuna: Any, search: Search, setup: Setup, tell: Tell, total: int
) -> Callable[[Any], float]:
    def objective(trial: Any) -> float:
        point = {p.name: _suggest(trial, p) for p in search.space.parameters}
        name = f"trial {trial.number} of {total}: {_words(point)}"

        def report(samples: int, accuracy: float) -> None:
            trial.report(accuracy, samples)
            if trial.should_prune():
                trial.set_user_attr("ended", "pruned")
                tell(f"{name}: pruned after {samples} samples, prequential {100 * accuracy:.2f} %")
                raise optuna.TrialPruned

        try:
            accuracy = float(search.run(point, setup, report)["test_accuracy"])
        except DivergedError as error:
            trial.set_user_attr("ended", "diverged")
            tell(f"{name}: {error}")
            raise optuna.TrialPruned from error
        tell(f"{name}: {100 * accuracy:.2f} %")
        return accuracy

    return objective


def _suggest(trial: Any, parameter: Parameter) -> Value:
    """Ask for the value of a parameter."""
    name, low, high = parameter.name, parameter.low, parameter.high
    if low is None or high is None:
        chosen: Value = trial.suggest_categorical(name, list(parameter.values))
    elif parameter.whole:
        chosen = trial.suggest_int(name, int(low), int(high), log=parameter.log)
    else:
        chosen = trial.suggest_float(name, low, high, log=parameter.log)
    return chosen


def _progress(study: Any) -> tuple[int, int]:
    """How many points are through, and how many are being run."""
    done, running = set(), 0
    for trial in study.get_trials(deepcopy=False):
        if trial.state.name in ("COMPLETE", "PRUNED"):
            # A point of a grid counts once, one of a range by the number of its trial.
            done.add(trial.system_attrs.get("grid_id", f"trial {trial.number}"))
        running += trial.state.name == "RUNNING"
    return len(done), running


def _give_up_dead(optuna: Any, study: Any) -> None:
    """Let trials run again whose process was killed or failed."""
    optuna.storages.fail_stale_trials(study)
    trials = study.get_trials(deepcopy=False)
    again = {trial.user_attrs.get("instead_of") for trial in trials}
    for trial in trials:
        kept = {k: v for k, v in trial.system_attrs.items() if k in ("grid_id", "search_space")}
        if trial.state.name != "FAIL" or trial.number in again or not (trial.params or kept):
            continue
        study.add_trial(
            optuna.create_trial(
                state=optuna.trial.TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={"instead_of": trial.number},
                system_attrs=kept | {"fixed_params": trial.params},
            )
        )


def _storage(optuna: Any, where: str) -> Any:
    if not _is_file(where):
        url = where
    else:
        path = Path(where).absolute()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot make {path.parent}: {error}; choose another file") from error
        url = f"sqlite:///{path}"
    timeout = {"connect_args": {"timeout": 60}} if url.startswith("sqlite:") else {}
    try:
        return optuna.storages.RDBStorage(
            url, timeout, heartbeat_interval=HEARTBEAT, grace_period=GRACE
        )
    except Exception as error:  # of SQLAlchemy and whatever database it drives
        raise ConfigError(
            f"{where} cannot be opened as a study ({str(error).splitlines()[0]}); give a new file, "
            f"the file of a study, or a URL such as postgresql://user@host/name"
        ) from error


def _close(storage: Any) -> None:
    storage.remove_session()
    storage.engine.dispose()


def _is_file(where: str) -> bool:
    return "://" not in where


@contextmanager
def _lock(where: str) -> Iterator[None]:
    """Keep other processes out while tables are made or dead trials given up; files only."""
    if not _is_file(where):
        yield
        return
    path = Path(where).absolute()
    with suppress(OSError):  # reported where the file itself is made
        path.parent.mkdir(parents=True, exist_ok=True)
    if not path.parent.is_dir():
        yield
        return
    with FileLock(path.with_name(f".{path.name}.lock")):
        yield


def _pruner(optuna: Any, search: Search) -> Any:
    if search.prune == "median":
        return optuna.pruners.MedianPruner()
    if search.prune == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(search.report_every, reduction_factor=3)
    return optuna.pruners.NopPruner()


def _sampler(optuna: Any, search: Search) -> Any:
    """The grid in a shuffled order, or TPE whose chance is that of the trial's number.

    Several processes then draw different points, and a search that is gone on with draws those that
    it would have drawn.
    """
    if search.space.size is not None:
        return optuna.samplers.GridSampler(search.space.grid, search.seed)
    base: Any = optuna.samplers.BaseSampler

    class Numbered(base):  # type: ignore[misc]
        """TPE, begun anew for each trial."""

        number, inner = -1, None

        def _of(self, trial: Any) -> Any:
            if trial.number != self.number:
                drawn = np.random.SeedSequence([search.seed, trial.number]).generate_state(1)
                self.number = trial.number
                self.inner = optuna.samplers.TPESampler(
                    n_startup_trials=STARTUP, seed=int(drawn[0])
                )
            return self.inner

        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return self._of(trial).infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, space: Any) -> Any:
            return self._of(trial).sample_relative(study, trial, space)

        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            return self._of(trial).sample_independent(study, trial, name, distribution)

    return Numbered()


def _words(point: Mapping[str, Value]) -> str:
    return ", ".join(f"{name} {value}" for name, value in point.items())


def _differences(one: Any, two: Any, place: str = "") -> str:
    """Where two settings differ, in words."""
    if isinstance(one, dict) and isinstance(two, dict):
        parts = (
            _differences(one.get(key), two.get(key), f"{place}.{key}".lstrip("."))
            for key in dict.fromkeys((*one, *two))
        )
        return ", ".join(part for part in parts if part)
    return "" if one == two else f"{place} was {one!r}, not {two!r}"
