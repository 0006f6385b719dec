"""Where and with what something was measured, and the file that keeps it with the figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from streamhebb.errors import ConfigError
from streamhebb.machine import machine
from streamhebb.parts import LARGEST_SEED, require

Out = Annotated[Path | None, typer.Option(help="Also write the result as JSON to this file.")]
"""The option ``--out`` of every benchmark."""


def finish(out: Path | None, result: dict[str, Any]) -> None:
    """Write a result and the machine to a file, if one is wanted."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(machine() | result, indent=2) + "\n", "utf-8")
        typer.echo(f"written to {out}")


def show(table: Sequence[Sequence[str]]) -> None:
    """Print a table, its first row the title."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def whole_numbers(
    command: str, name: str, text: str, at_least: int = 1, at_most: int | None = None
) -> list[int]:
    """Read whole numbers between commas.

    Raises:
        ConfigError: for anything else, or one below ``at_least`` or above ``at_most``.

    Example:
        >>> whole_numbers("bench", "seeds", "0,1,2", at_least=0)
        [0, 1, 2]
    """
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"{command}: {name}={text!r} is not allowed; give whole numbers, as in 0,1,2"
        ) from None
    for number in found:
        require(command, name, number, at_least=at_least, at_most=at_most, whole=True)
    return found


def seeds_of(command: str, text: str) -> list[int]:
    """Read seeds between commas.

    Raises:
        ConfigError: for anything else, or what is no seed of torch.

    Example:
        >>> seeds_of("bench", "0,1,2")
        [0, 1, 2]
    """
    return whole_numbers(command, "seeds", text, at_least=0, at_most=LARGEST_SEED)
