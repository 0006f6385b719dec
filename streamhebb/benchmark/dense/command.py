"""``streamhebb bench dense``: learning steps of a dense layer beside plain torch calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from streamhebb.benchmark.dense.compare import (
    N_IN,
    N_OUT,
    WAYS,
    DenseStep,
    Peaks,
    compare,
    difference,
    draw,
)
from streamhebb.benchmark.record import Out, finish, show, whole_numbers
from streamhebb.benchmark.tuned import Tuned, malloc, start_again
from streamhebb.machine import versions
from streamhebb.parts import require, require_choice


def dense(
    batches: Annotated[str, typer.Option(help="Samples a step, e.g. 1,10,64")] = "1,10,64",
    threads: Annotated[str, typer.Option(help="Numbers of threads, e.g. 1,2")] = "1,2",
    rounds: Annotated[int, typer.Option(help="Turns each side takes.")] = 21,
    ways: Annotated[str, typer.Option(help="Backends of the library.")] = ",".join(WAYS),
    seconds: Annotated[float, typer.Option(help="Of a turn of the plain step, about.")] = 0.1,
    inputs: Annotated[int, typer.Option(help="Inputs of the layer.")] = N_IN,
    neurons: Annotated[int, typer.Option(help="Neurons of the layer.")] = N_OUT,
    tuned: Tuned = False,
    picture: Annotated[Path | None, typer.Option(help="Also draw the result to this file.")] = None,
    out: Out = None,
) -> None:
    """A dense layer of SoftHebb neurons: the library's step beside plain torch calls."""
    start_again(tuned)
    for name, number in (("rounds", rounds), ("inputs", inputs), ("neurons", neurons)):
        require("bench dense", name, number, at_least=1, whole=True)
    require("bench dense", "seconds", seconds, above=0)
    samples = whole_numbers("bench dense", "batches", batches)
    counts = whole_numbers("bench dense", "threads", threads)
    wanted = [way.strip() for way in ways.split(",")]
    for way in wanted:
        require_choice("bench dense", "ways", way, WAYS)
    apart = difference(samples[0], n_in=inputs, n_out=neurons)
    typer.echo(f"weights of all sides after 20 steps in float64: {apart:.1e} apart")
    found: list[DenseStep] = []
    peaks: list[Peaks] = []
    for batch in samples:
        for count in counts:
            sides, peak = compare(
                batch,
                count,
                ways=wanted,
                rounds=rounds,
                seconds=seconds,
                n_in=inputs,
                n_out=neurons,
            )
            typer.echo(str(peak))
            found += sides
            peaks.append(peak)
    typer.echo("")
    show(table(found))
    if picture is not None:
        typer.echo(f"written to {draw(found, picture)}")
    settings = {"rounds": rounds, "seconds": seconds, "malloc": malloc()}
    sizes = {"n_in": inputs, "n_out": neurons}
    result = {
        "settings": settings | sizes,
        "versions": versions("numba"),
        "apart": apart,
        "peaks": [asdict(peak) for peak in peaks],
        "dense": [asdict(row) for row in found],
    }
    finish(out, result)


def table(found: Sequence[DenseStep]) -> list[list[str]]:
    """A table of what was measured."""
    title = (
        "batch|threads|malloc|way|learns|us a step|times as fast|worst, best|floor, us|bound by|"
        "of floor"
    )
    rows = [title.split("|")]
    for row in found:
        cells = row.batch, row.threads, row.malloc, row.way, "yes" if row.learns else "no"
        took = f"{row.took.us:.0f}", f"{row.took.times:.2f}", row.took.spread
        floor = f"{row.floor:.0f}", row.bound, f"{100 * row.of_floor:.0f} %"
        rows.append([*map(str, cells), *took, *floor])
    return rows
