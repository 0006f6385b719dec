"""``streamhebb bench list``, ``run``, ``again``, ``measures``, ``report``: whole experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamhebb.benchmark.record import seeds_of, show
from streamhebb.errors import ConfigError, TrialsError

Root = Annotated[Path, typer.Option("--runs", help="Folders of trials lie in it.")]
_ROOT = Path("runs/bench")


def list_experiments() -> None:
    """List the published experiments, and ours."""
    from streamhebb.suite import experiments

    table = [["name", "trials", "what", "one seed on 2 cores"]]
    for each in experiments().values():
        table.append([each.name, str(len(each.trials())), each.title, each.cost])
    show(table)


def run(
    name: Annotated[str, typer.Argument(help="As `streamhebb bench list` has it.")],
    seeds: Annotated[
        str | None, typer.Option(help="Seeds, e.g. 0,1,2", show_default="as published")
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(help="Only this row, or rows with one of these words, between commas."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="Only this column, these between commas, or every N-th: /N"),
    ] = None,
    runs: Root = _ROOT,
    threads: Annotated[int, typer.Option(help="Layers learn in so many at once.")] = 1,
    kernels: Annotated[
        str | None, typer.Option(help="torch or numba.", show_default="as the environment says")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda.")] = "cpu",
    samples: Annotated[int | None, typer.Option(help="Learn from no more than these.")] = None,
    tested: Annotated[int | None, typer.Option(help="Test on no more than these.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Of phases with labels.")] = None,
    twin: Annotated[
        bool, typer.Option("--twin", help="Synthetic data sets, that need no files.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write measures for TensorBoard too.")
    ] = False,
) -> None:
    """Run an experiment, or go on with it: what is finished is not run again.

    Several processes may run at once over one folder; each trial is run by one of them. One that
    cannot be run, for want of its data for example, is named at the end; the exit code is then 2.
    """
    from streamhebb.suite import Setup, find, run_trials

    experiment = find(name)
    chosen = experiment.seeds if seeds is None else seeds_of("bench run", seeds)
    experiment = experiment.only(rows, columns)
    changes = {"samples": samples, "tested": tested, "epochs": epochs, "twin": twin or None}
    reduction = {key: value for key, value in changes.items() if value is not None}
    trials = experiment.but(**reduction).trials()
    setup = Setup.of(threads=threads, kernels=kernels, device=device)
    typer.echo(f"{experiment.title}: {len(trials)} trials, seeds {', '.join(map(str, chosen))}")
    look = f"streamhebb bench report {name} --runs {runs}"
    try:
        run_trials(trials, chosen, runs, setup, typer.echo, tensorboard=tensorboard)
    except TrialsError as error:
        if error.results:
            typer.echo(look)
        raise
    typer.echo(look)


def measures(
    trial: Annotated[
        Path, typer.Argument(help="A trial's folder, one above it, or a file of measures.")
    ],
    neurons: Annotated[
        bool, typer.Option("--neurons", help="The first neurons too, after each phase.")
    ] = False,
) -> None:
    """Print what was measured of a trial, epoch by epoch and layer by layer, also while it runs."""
    from rich.console import Console

    from streamhebb.evaluate.phase import PhaseEpoch
    from streamhebb.evaluate.reports import (
        epoch_table,
        neuron_table,
        radius_table,
        read_lines,
        weight_table,
    )

    files = [trial] if trial.is_file() else sorted(trial.rglob("measures.jsonl"))
    if not files:
        raise ConfigError(f"{trial} holds no measures.jsonl; name the folder of a trial that ran")
    console = Console()
    for path in files:
        reports = read_lines(path)
        console.print(f"[bold]{path.parent}", epoch_table(reports))
        phases: dict[int, list[PhaseEpoch]] = {}
        for each in reports:
            if isinstance(each, PhaseEpoch):
                phases.setdefault(each.phase, []).append(each)
        for phase, own in phases.items():
            for layer in own[-1].layers:
                console.print(f"\nphase {phase}, {layer.name}: {layer.neurons} neurons\n")
                console.print(radius_table(own, layer.name), "", weight_table(own, layer.name))
                if neurons:
                    console.print(neuron_table(layer))


def again(
    trial: Annotated[Path, typer.Argument(help="The folder of a finished trial: .../seed-0")],
    runs: Annotated[
        Path | None, typer.Option(help="Where to.", show_default="a folder that is removed again")
    ] = None,
) -> None:
    """Run a finished trial once more from its folder alone: do the same bits come out?"""
    from tempfile import TemporaryDirectory

    from streamhebb.suite import run_again

    with TemporaryDirectory() as folder:
        found = run_again(trial, Path(folder) if runs is None else runs, typer.echo)
    if found:
        typer.echo("differ: " + ", ".join(found))
        raise typer.Exit(1)
    typer.echo("the same results, measures and weights, to the bit")


def report(
    names: Annotated[list[str] | None, typer.Argument(help="Experiments; none are all.")] = None,
    runs: Root = _ROOT,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the report.", show_default="RUNS/report")
    ] = None,
) -> None:
    """Write what was found, beside what was published, as Markdown and pictures."""
    from streamhebb.suite import find
    from streamhebb.suite import report as write

    if not runs.is_dir():
        raise ConfigError(f"there is no folder {runs}; run an experiment first, or name it: --runs")
    chosen = [find(name).name for name in names or ()]
    path = write(runs, runs / "report" if out is None else out, chosen)
    typer.echo(path.read_text("utf-8"))
    typer.echo(f"written to {path}")
