"""Where and with what something was measured, and the file that keeps it with the figures."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

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
