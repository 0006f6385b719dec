"""``streamhebb bench search``: settings of a preset, searched on held-out samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from streamhebb.errors import ConfigError
from streamhebb.machine import machine
from streamhebb.parts import require_choice


def search(
    preset: Annotated[str, typer.Argument(help="A net, as `streamhebb presets list` has it.")],
    space: Annotated[
        str, typer.Option(help="A published space, or FILE.yaml, FILE.toml, FILE.yaml:NAME.")
    ],
    study: Annotated[
        str | None,
        typer.Option(
            help="File of the study, or URL of a database.",
            show_default="runs/search/PRESET-SPACE.db",
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="As many in all.", show_default="the whole grid")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Another data set: cifar100, stl10, ...")] = None,
    samples: Annotated[
        int | None, typer.Option(min=2, help="Learn from 4/5 of so many, test on the rest.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Of phases with labels.")] = None,
    prune: Annotated[
        str | None,
        typer.Option(
            help="End trials early: median, halving or none.",
            show_default="median; none if only seeds differ",
        ),
    ] = None,
    report_every: Annotated[
        int, typer.Option("--report", min=1, help="Samples between two looks at a trial.")
    ] = 1000,
    window: Annotated[
        int, typer.Option(min=1, help="Samples that the prequential accuracy looks back.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Draws the order of points.")] = 0,
    threads: Annotated[int, typer.Option(help="Layers learn in so many at once.")] = 1,
    kernels: Annotated[
        str | None, typer.Option(help="torch or numba.", show_default="as the environment says")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda.")] = "cpu",
    ray: Annotated[bool, typer.Option("--ray", help="Through Ray Tune, not optuna.")] = False,
    address: Annotated[str | None, typer.Option(help="Of a cluster of Ray; auto finds it.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write all trials to this JSON file.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw accuracy against each parameter to this PNG file.")
    ] = None,
    twin: Annotated[
        bool, typer.Option("--twin", help="Synthetic data sets, that need no files.")
    ] = False,
) -> None:
    """Search over settings of a preset, or go on with a search.

    The test set is never looked at: a fifth of the training samples judges. Several processes may
    be given one study; each trial is run by one of them.
    """
    from rich.console import Console
    from rich.table import Table

    from streamhebb import presets
    from streamhebb.search import Search, best_lines, find_space, go_on, plot, table
    from streamhebb.search.objective import PRUNERS, default_prune
    from streamhebb.search.outcome import as_json
    from streamhebb.suite import OfflineTrial, Setup
    from streamhebb.suite.trial import parse

    chosen = find_space(space)
    net = presets.find(preset).name
    if prune is not None:
        require_choice("bench search", "prune", prune, PRUNERS)
    if address is not None and not ray:
        raise ConfigError("--address is for Ray; add --ray")
    settings: dict[str, Any] = {
        "net": net, "data": data, "samples": samples, "epochs": epochs, "twin": twin,
    }  # fmt: skip
    definition = parse(
        Search,
        {
            "space": chosen,
            "trial": parse(OfflineTrial, settings),
            "prune": prune or default_prune(chosen),
            "window": window,
            "report_every": report_every,
            "seed": seed,
        },
    )
    setup = Setup.of(threads=threads, kernels=kernels, device=device)
    typer.echo(f"{net}, {chosen.name}: {chosen.about}".rstrip(": "))
    if ray:
        from streamhebb.search import go_on_ray

        if study is not None and "://" in study:
            raise ConfigError(f"--study {study}: Ray keeps its files in a folder; name one")
        found = go_on_ray(definition, Path(study or "runs/search"), setup, trials, address)
    else:
        stem = f"{net}-{Path(chosen.name).stem}"
        found = go_on(definition, study or f"runs/search/{stem}.db", setup, trials, typer.echo)
    title, *rows = table(definition, found)
    shown = Table(*title)
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)
    for line in best_lines(definition, found):
        typer.echo(line)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(machine() | as_json(definition, found), indent=2) + "\n", "utf-8")
        typer.echo(f"written to {out}")
    if picture is not None and plot(definition, found, picture):
        typer.echo(f"written to {picture}")
