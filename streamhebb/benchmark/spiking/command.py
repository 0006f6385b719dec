"""``streamhebb bench spiking``: LIF neurons with STDP beside plain torch calls and others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from streamhebb.benchmark.record import Out, finish, show, whole_numbers
from streamhebb.benchmark.spiking.compare import SpikingStep, compare, draw
from streamhebb.benchmark.spiking.plain import Task
from streamhebb.benchmark.tuned import Tuned, malloc, start_again
from streamhebb.machine import versions
from streamhebb.parts import describe, require

_TASK = Task()


def spiking(
    threads: Annotated[str, typer.Option(help="Numbers of threads, e.g. 1,2")] = "1,2",
    rounds: Annotated[int, typer.Option(help="Presentations that each side learns.")] = 9,
    inputs: Annotated[int, typer.Option(help="Inputs of the layer.")] = _TASK.n_in,
    neurons: Annotated[int, typer.Option(help="Neurons of the layer.")] = _TASK.n_out,
    steps: Annotated[int, typer.Option(help="Time steps of a presentation.")] = _TASK.steps,
    tuned: Tuned = False,
    picture: Annotated[Path | None, typer.Option(help="Also draw the result to this file.")] = None,
    out: Out = None,
) -> None:
    """LIF neurons with pair STDP: the library's step beside plain calls, norse and BindsNET."""
    start_again(tuned)
    sizes = {"rounds": rounds, "inputs": inputs, "neurons": neurons, "steps": steps}
    for name, number in sizes.items():
        require("bench spiking", name, number, at_least=1, whole=True)
    task = replace(_TASK, n_in=inputs, n_out=neurons, steps=steps)
    found: list[SpikingStep] = []
    for count in whole_numbers("bench spiking", "threads", threads):
        found += compare(task, count, rounds=rounds)
    show(rows(found))
    typer.echo("")
    for way, does in {row.way: row.does for row in found}.items():
        typer.echo(f"{way}: {does}")
    if picture is not None:
        typer.echo(f"written to {draw(found, picture)}")
    settings = sizes | {"malloc": malloc(), "active": task.active, "lr": task.lr}
    parts = {"neuron": describe(task.neuron), "rule": describe(task.rule)}
    result = {"settings": settings | parts, "versions": versions("numba", "norse", "bindsnet")}
    finish(out, result | {"spiking": [asdict(row) for row in found]})


def rows(found: Sequence[SpikingStep]) -> list[list[str]]:
    """A table of what was measured."""
    title = "weights change|threads|malloc|way|us a time step|times as fast|worst, best|fire"
    table = [title.split("|")]
    for row in found:
        cells = [row.changes, str(row.threads), row.malloc, row.way]
        if row.took is None or row.fired is None:
            table.append([*cells, row.missing, "", "", ""])
            continue
        took = f"{row.took.us:.0f}", f"{row.took.times:.2f}", row.took.spread
        table.append([*cells, *took, f"{100 * row.fired:.1f} %"])
    return table
