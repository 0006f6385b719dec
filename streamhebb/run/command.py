"""What ``streamhebb run`` does, without the words of the command line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamhebb.errors import ConfigError
from streamhebb.run.display import Display, Live, Plain, Quiet, headline
from streamhebb.run.job import Job, prepare, prepare_resumed
from streamhebb.run.loop import Outcome, perform
from streamhebb.run.settings import RunSettings
from streamhebb.run.stop import BROKEN_PIPE, Stop
from streamhebb.run.summary import in_words
from streamhebb.schedule import Trace

CHANGEABLE = ("limit", "save_every", "on_bad", "download", "source", "scheduler", "depth")
"""Settings that may differ when a run goes on; the others would make it another run."""


def get_ready(given: Mapping[str, Any], out: Path | None, resume: Path | None) -> Job:
    """Turn options into a job; ``None`` is an option that was not given.

    Raises:
        ConfigError: for options that cannot go together, and all else that ``prepare`` raises.
    """
    if resume is None:
        return prepare(RunSettings.make(**given), out)
    if out is not None:
        raise ConfigError("--out and --resume cannot go together: a run goes on in its own folder")
    fixed = [
        f"--{name.replace('_', '-')}"
        for name, value in given.items()
        if value is not None and name not in CHANGEABLE
    ]
    if fixed:
        raise ConfigError(
            f"{', '.join(fixed)} cannot change when a run goes on: leave it out with --resume, or "
            f"start a new run. These may change: --limit, --save-every, --on-bad, --no-download, "
            f"--scheduler, --depth"
        )
    changes = {name: given.get(name) for name in CHANGEABLE}
    return prepare_resumed(resume, **changes)


def describe(job: Job) -> str:
    """Say what would run: settings, net, shapes, parts that are not local."""
    settings = json.dumps(job.settings.kept(), indent=2, ensure_ascii=False)
    width = max(len(name) for name, _ in job.shapes())
    shapes = [f"  {name:<{width}}  {'x'.join(map(str, shape))}" for name, shape in job.shapes()]
    parts = [f"  {name}: {', '.join(parts)}" for name, parts in job.net.nonlocal_parts().items()]
    return "\n".join(
        [
            headline(job),
            f"settings: {settings}",
            f"net: {job.net!r}",
            "shape of one sample after",
            *shapes,
            "parts that are not local:" + ("" if parts else " none"),
            *parts,
            f"a line of metrics every {job.every:,} samples",
            f"run folder: {job.folder.path}",
            "dry run: nothing was written",
        ]
    )


def carry_out(job: Job, *, quiet: bool = False, trace: Path | None = None) -> int:
    """Run a job with a display that suits the place, and say what came of it.

    Args:
        job: the run.
        quiet: show no progress.
        trace: write there what ran when.

    Returns:
        The exit code: 0, or 128 and the signal that ended the run.
    """
    display = _display(quiet)
    job.trace = None if trace is None else Trace()
    with Stop(_told) as stop:
        try:
            outcome = perform(job, display, stop)
        finally:
            if job.trace is not None and trace is not None:
                job.trace.write(trace)
        try:
            report(job, outcome)
            if trace is not None:
                sys.stdout.write(
                    f"what ran when: {trace}; draw it with: streamhebb trace {trace}\n"
                )
        except BrokenPipeError:
            stop.ask(BROKEN_PIPE)
    if stop.signal == BROKEN_PIPE:
        # Python flushes stdout once more on leaving, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return stop.exit_code


def report(job: Job, outcome: Outcome) -> None:
    """Print the summary, and where everything lies."""
    lines = [
        *in_words(outcome.summary),
        f"scheduler {outcome.summary['scheduler']}",
        f"run folder: {job.folder.path}",
    ]
    lines += [f"  {path.name}" for path in outcome.files]
    if outcome.summary["status"] == "interrupted":
        lines.append(f"go on with: streamhebb run --resume {job.folder.path}")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _told(signum: int) -> None:
    os.write(2, b"\nstopping: what was learned is being kept; once more kills\n")


def _display(quiet: bool) -> Display:
    if quiet:
        return Quiet()
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return Plain()
    from rich.console import Console

    return Live(Console())
