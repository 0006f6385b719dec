"""Where and with what something was measured, and the file that keeps it with the figures."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from streamhebb.errors import ConfigError
from streamhebb.parts import require

Out = Annotated[Path | None, typer.Option(help="Also write the result as JSON to this file.")]
"""The option ``--out`` of every benchmark."""


def machine() -> dict[str, Any]:
    """Where and with what this is measured."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "threads": torch.get_num_threads(),
    }


def versions(*names: str) -> dict[str, str | None]:
    """Versions of packages; ``None`` for one that is not installed.

    Example:
        >>> versions("no-such-package")
        {'no-such-package': None}
    """
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


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


def whole_numbers(command: str, name: str, text: str, at_least: int = 1) -> list[int]:
    """Read whole numbers between commas.

    Raises:
        ConfigError: for anything else, or one below ``at_least``.

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
        require(command, name, number, at_least=at_least, whole=True)
    return found
