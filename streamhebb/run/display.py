"""Progress for people: live in a terminal, plain lines in a pipe, or nothing."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from streamhebb.run.job import Job


@dataclass(frozen=True)
class Progress:
    """Where a run stands. ``None`` is unknown."""

    position: int
    total: int | None
    rate: float
    accuracy: float | None
    window_accuracy: float | None
    converged: float | None
    active: float | None
    dropped: int
    skipped: int


class Display(Protocol):
    """Shows a run; told about ten times a second at most."""

    def start(self, job: Job) -> None:
        """The first sample is here."""
        ...

    def update(self, progress: Progress) -> None:
        """Some samples later."""
        ...

    def stop(self) -> None:
        """The stream is over. May be called without ``start``."""
        ...


class Quiet:
    """Shows nothing."""

    def start(self, job: Job) -> None:
        """Nothing."""

    def update(self, progress: Progress) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""


class Plain:
    """A line at each tenth of the stream, at least every ten seconds, without control codes.

    Args:
        out: where to.
    """

    AT_LEAST = 10.0
    AT_MOST = 0.5

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = sys.stdout if out is None else out
        self._at = 0.0
        self._tenth = 0

    def start(self, job: Job) -> None:
        """Say what begins."""
        self._line(headline(job))
        self._at = time.perf_counter()
        self._tenth = job.position * 10 // job.total if job.total else 0

    def update(self, progress: Progress) -> None:
        """Print a line if it is time for one."""
        now = time.perf_counter()
        tenth = progress.position * 10 // progress.total if progress.total else 0
        waited = now - self._at
        if waited < self.AT_MOST or (tenth == self._tenth and waited < self.AT_LEAST):
            return
        self._at, self._tenth = now, tenth
        self._line("  ".join([_counted(progress), *(f"{k} {v}" for k, v in facts(progress))]))

    def stop(self) -> None:
        """Nothing: each line is out already."""

    def _line(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


class Live:
    """A bar and the present figures, redrawn in place.

    Args:
        console: of rich; a terminal.
    """

    def __init__(self, console: Any) -> None:
        self._console = console
        self._live: Any = None
        self._bar: Any = None

    def start(self, job: Job) -> None:
        """Draw the bar."""
        from rich.live import Live as RichLive
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._console.print(headline(job), style="bold", highlight=False)
        columns: list[Any] = [BarColumn(bar_width=40), TextColumn("{task.fields[counted]}")]
        columns += [TimeElapsedColumn()]
        if job.total:
            columns += [TextColumn("left"), TimeRemainingColumn()]
        self._bar = Bar(*columns, console=self._console, auto_refresh=False)
        self._bar.add_task("", total=job.total, completed=job.position, counted="")
        self._live = RichLive(self._bar, console=self._console, auto_refresh=False)
        self._live.start()

    def update(self, progress: Progress) -> None:
        """Redraw."""
        if self._live is None:
            return
        from rich.console import Group
        from rich.table import Table

        task = self._bar.task_ids[0]
        self._bar.update(task, completed=progress.position, counted=_counted(progress))
        table = Table.grid(padding=(0, 3))
        values = facts(progress)
        for _ in values:
            table.add_column(no_wrap=True)
        table.add_row(*(f"[dim]{name}[/] [bold]{value}[/]" for name, value in values))
        self._live.update(Group(self._bar, table), refresh=True)

    def stop(self) -> None:
        """Leave the last state on the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def headline(job: Job) -> str:
    """One line on what learns from what."""
    length = "a stream without end" if job.total is None else f"{job.total:,} samples"
    known = len(job.source.classes or ())
    classes = f", {known} class{'' if known == 1 else 'es'}" if known else ", no labels"
    shape = "x".join(map(str, job.source.shape))
    again = f", going on after {job.position:,}" if job.resumed else ""
    return (
        f"{job.net_name} learns from {job.source_name}: {length} of {shape}{classes}, "
        f"seed {job.settings.seed}{again}"
    )


def facts(progress: Progress) -> list[tuple[str, str]]:
    """Name and value of each figure that is worth showing."""
    found = []
    if progress.accuracy is not None:
        found.append(("accuracy", f"{progress.accuracy:.1%}"))
    if progress.window_accuracy is not None:
        found.append(("window", f"{progress.window_accuracy:.1%}"))
    share = "?" if progress.converged is None else f"{progress.converged:.0%}"
    found.append(("converged", share))
    if progress.active is not None:
        found.append(("active", f"{progress.active:.0%}"))
    if progress.dropped:
        found.append(("dropped", f"{progress.dropped:,}"))
    if progress.skipped:
        found.append(("skipped", f"{progress.skipped:,}"))
    return found


def _counted(progress: Progress) -> str:
    of = "" if progress.total is None else f"/{progress.total:,}"
    return f"{progress.position:,}{of} samples  {progress.rate:,.0f}/s"
