"""Whether memory that is freed is given back: two variables, read when a process begins."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Annotated

import typer

TUNED = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "2000000000"}
"""With these in the environment, freed memory is kept instead of given back and asked for again."""

Tuned = Annotated[
    bool, typer.Option("--tuned", help="Keep freed memory instead of asking for it again.")
]
"""The option ``--tuned`` of benchmarks of speed."""


def malloc() -> str:
    """Which memory allocation this process runs with: ``"default"`` or ``"tuned"``."""
    return "tuned" if all(os.environ.get(k) == v for k, v in TUNED.items()) else "default"


def start_again(tuned: bool) -> None:
    """Run this very command in a process with tuned memory, if that is wanted and not so yet."""
    if not tuned or malloc() == "tuned":
        return
    command = [sys.executable, "-m", "streamhebb", *sys.argv[1:]]
    again = subprocess.run(command, env=os.environ | TUNED, check=False)  # noqa: S603 - itself
    raise typer.Exit(again.returncode)
