"""The same search through Ray Tune: trials in several processes, on several machines.

Points of a grid all come; from ranges they are drawn by chance. A trial that does worse is ended by
Ray's scheduler of the same kind as optuna's pruner.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamhebb.errors import ConfigError, DivergedError, MissingExtraError
from streamhebb.search.objective import Search, check_pruning
from streamhebb.search.outcome import Outcome
from streamhebb.search.space import Parameter
from streamhebb.suite import Setup
from streamhebb.suite.trial import parse


def import_ray() -> tuple[Any, Any]:
    """Import Ray and Ray Tune.

    Raises:
        MissingExtraError: they are not installed or do not load.
    """
    # Must be set before the import: pictures and metrics of a desk are not wanted.
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray import tune
    except ImportError as error:
        raise MissingExtraError("a search through Ray Tune", "ray") from error
    return ray, tune


def param_space(tune: Any, search: Search) -> dict[str, Any]:
    """What Ray draws from.

    Args:
        tune: the module ``ray.tune``.
        search: what is searched.
    """
    grid = search.space.size is not None
    return {p.name: _domain(tune, p, grid) for p in search.space.parameters}


def _domain(tune: Any, parameter: Parameter, grid: bool) -> Any:
    low, high = parameter.low, parameter.high
    if low is None or high is None:
        values = list(parameter.values)
        return tune.grid_search(values) if grid else tune.choice(values)
    if parameter.whole:  # Ray leaves the upper end out
        draw = tune.lograndint if parameter.log else tune.randint
        return draw(int(low), int(high) + 1)
    return (tune.loguniform if parameter.log else tune.uniform)(low, high)


def stopping(tune: Any, search: Search) -> Any:
    """Ray's scheduler that ends trials, or one that ends none."""
    kinds = tune.schedulers
    told = {"time_attr": "samples", "metric": "prequential", "mode": "max"}
    if search.prune == "median":
        return kinds.MedianStoppingRule(
            grace_period=search.report_every, min_samples_required=5, **told
        )
    if search.prune == "halving":
        return kinds.ASHAScheduler(
            max_t=1_000_000_000, grace_period=search.report_every, reduction_factor=3, **told
        )
    return kinds.FIFOScheduler()


def trainable(definition: Mapping[str, Any], setup: Mapping[str, Any]) -> Any:
    """What Ray runs on each machine: one trial, that reports on the way and at the end.

    Args:
        definition: the search as plain data.
        setup: with what trials run, as plain data.
    """

    def run(config: dict[str, Any]) -> None:
        _, tune = import_ray()
        search = parse(Search, dict(definition))
        last = {"samples": 0, "prequential": 0.0}

        def report(samples: int, accuracy: float) -> None:
            last.update(samples=samples, prequential=accuracy)
            tune.report({**last})

        try:
            found = search.run(config, Setup.of(**setup), report)
        except DivergedError:
            tune.report({**last, "diverged": True})
            return
        tune.report({**last, "accuracy": found["test_accuracy"]})

    return run


def go_on_ray(
    search: Search,
    folder: Path,
    setup: Setup | None = None,
    trials: int | None = None,
    address: str | None = None,
) -> list[Outcome]:
    """Run a search through Ray Tune, or go on with one that was killed.

    Args:
        search: what is searched.
        folder: of Ray's files; all machines must reach it.
        setup: with what trials run.
        trials: how many are drawn from ranges. A grid is run whole.
        address: of a cluster of Ray, ``"auto"`` for the one this machine is part of; ``None``
            begins one on this machine.

    Raises:
        ConfigError: for ranges without a number of trials, or a number of them for a grid.
        MissingExtraError: without Ray.
    """
    ray, tune = import_ray()
    check_pruning(search)
    setup = setup or Setup()
    if (trials is None) == (search.space.size is None):
        raise ConfigError(
            f"Ray runs a grid whole, and needs a number of trials for ranges; the space "
            f"{search.space.name!r} "
            + (
                "has ranges: add --trials 100"
                if trials is None
                else "is a grid: leave --trials out"
            )
        )
    name = search.name.replace(" ", "-")
    place = folder.absolute() / name
    began = not ray.is_initialized()
    if began:
        ray.init(address=address, include_dashboard=False, log_to_driver=False)
    try:
        run = tune.with_resources(
            trainable(search.model_dump(mode="json"), setup.model_dump(mode="json")),
            {"cpu": setup.threads, "gpu": 1 if setup.device.startswith("cuda") else 0},
        )
        if tune.Tuner.can_restore(str(place)):
            tuner = tune.Tuner.restore(
                str(place), run, resume_unfinished=True, restart_errored=True
            )
        else:
            tuner = tune.Tuner(
                run,
                param_space=param_space(tune, search),
                tune_config=tune.TuneConfig(
                    num_samples=trials or 1, scheduler=stopping(tune, search)
                ),
                run_config=tune.RunConfig(
                    name=name, storage_path=str(folder.absolute()), verbose=0
                ),
            )
        return [outcome(number, result) for number, result in enumerate(tuner.fit())]
    finally:
        if began:
            ray.shutdown()


def outcome(number: int, result: Any) -> Outcome:
    """A result of Ray as one of ours.

    Args:
        number: of the trial.
        result: one of ``ray.tune.ResultGrid``.
    """
    metrics = dict(result.metrics or {})
    if result.error is not None:
        state = "failed"
    elif metrics.get("diverged"):
        state = "diverged"
    else:
        state = "complete" if metrics.get("accuracy") is not None else "pruned"
    told: list[tuple[int, float]] = []
    frame = result.metrics_dataframe
    if frame is not None and "samples" in frame:
        pairs = zip(frame["samples"].tolist(), frame["prequential"].tolist(), strict=True)
        told = sorted({int(samples): float(value) for samples, value in pairs if samples}.items())
    seconds = metrics.get("time_total_s")
    return Outcome(
        number,
        dict(result.config or metrics.get("config", {})),
        state,
        metrics.get("accuracy") if state == "complete" else None,
        told,
        None if seconds is None else round(float(seconds), 1),
    )
