"""``streamhebb bench speed``: learning steps beside the published step written plainly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer

from streamhebb import kernels
from streamhebb.benchmark.beside import BLOCKS
from streamhebb.benchmark.record import Out, finish, show, whole_numbers
from streamhebb.benchmark.speed.compare import (
    CHOSEN_WAYS,
    COARSE_WAYS,
    MORE_WAYS,
    ON_CARD,
    WAYS,
    Speed,
    compare,
    draw,
)
from streamhebb.benchmark.tuned import Tuned, malloc, start_again
from streamhebb.parts import require, require_choice


def speed(
    batches: Annotated[str, typer.Option(help="Samples a step, e.g. 1,10,64")] = "1,10,64",
    threads: Annotated[str, typer.Option(help="Numbers of threads, e.g. 1,2")] = "1,2",
    rounds: Annotated[int, typer.Option(help="Turns each side takes.")] = 9,
    ways: Annotated[
        str | None,
        typer.Option(
            help=f"Ways of the library, separated by ; each may end in '{BLOCKS}'",
            show_default="; ".join(WAYS) + "; or a card's",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda for a card.")] = "cpu",
    seconds: Annotated[float, typer.Option(help="Of a turn of the plain step, about.")] = 0.5,
    tuned: Tuned = False,
    picture: Annotated[Path | None, typer.Option(help="Also draw the result to this file.")] = None,
    out: Out = None,
) -> None:
    """The published CIFAR-10 net: each way to make a step beside the published step, plainly."""
    start_again(tuned)
    there = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    require_choice("bench speed", "device", device, there)
    require("bench speed", "rounds", rounds, at_least=1, whole=True)
    require("bench speed", "seconds", seconds, above=0)
    usual = WAYS if device == "cpu" else ON_CARD
    if device == "cpu" and kernels.multiplies("cpu"):
        usual = (*usual, *COARSE_WAYS)
    wanted = list(usual) if ways is None else [way.strip() for way in ways.split(";")]
    known = dict.fromkeys((*usual, *MORE_WAYS, *COARSE_WAYS, *CHOSEN_WAYS))
    possible = (*known, *(way + BLOCKS for way in known))
    for way in wanted:
        require_choice("bench speed", "ways", way, possible)
    found: list[Speed] = []
    for batch in whole_numbers("bench speed", "batches", batches):
        for count in whole_numbers("bench speed", "threads", threads):
            found += compare(
                batch, count, ways=wanted, rounds=rounds, seconds=seconds, device=device
            )
    show(rows(found))
    for count in dict.fromkeys(row.threads for row in found):
        peak = max(row.peak for row in found if row.threads == count)
        typer.echo(f"large matrices are multiplied at {peak:.0f} GFLOP/s, threads: {count}")
    if picture is not None:
        typer.echo(f"written to {draw(found, picture)}")
    settings = {"rounds": rounds, "seconds": seconds, "malloc": malloc(), "device": device}
    if device == "cuda":
        settings["card"] = torch.cuda.get_device_name()
    finish(out, {"settings": settings, "speed": [asdict(row) for row in found]})


def rows(found: Sequence[Speed]) -> list[list[str]]:
    """A table of what was measured."""
    title = "batch|threads|malloc|way|learns|ms a step|µs a sample|times as fast|worst, best"
    table = [[*title.split("|"), "floor, ms", "of floor"]]
    for row in found:
        learns = "yes" if row.learns else "no"
        spread = f"{row.lowest:.2f}, {row.highest:.2f}"
        times = f"{row.ms:.3g}" if row.ms < 1 else f"{row.ms:.1f}"
        cells = row.batch, row.threads, row.malloc, row.way, learns, times, f"{row.us_a_sample:.1f}"
        floor = f"{row.floor:.3g}", f"{100 * row.of_floor:.0f} %"
        table.append([*map(str, cells), f"{row.times:.2f}", spread, *floor])
    return table
