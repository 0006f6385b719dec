"""The loop of the main job: predict, learn, watch, keep."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamhebb.errors import DivergedError, SourceError, StreamhebbError
from streamhebb.run.display import Display, Progress
from streamhebb.run.folder import MetricsFile, Row
from streamhebb.run.gallery import draw
from streamhebb.run.job import Job
from streamhebb.run.measures import plastic_layers
from streamhebb.run.stop import BROKEN_PIPE, Stop
from streamhebb.run.summary import summarise
from streamhebb.running import Run
from streamhebb.values import StepResult

SHOW_EVERY = 0.1  # seconds


@dataclass
class Outcome:
    """How a run ended.

    Args:
        summary: what ``summary.json`` holds.
        files: what was left in the run folder.
    """

    summary: dict[str, Any]
    files: list[Path] = field(default_factory=list)


def perform(job: Job, display: Display, stop: Stop) -> Outcome:
    """Run a job to the end of its stream, or until it is stopped.

    Whatever ends it, what has been learned is kept: snapshot, metrics, pictures, summary. Only a
    net that has diverged is not saved, so that its last good snapshot stays.

    Raises:
        Exception: what went wrong in the stream, in a layer or on the disk, after all was kept.
    """
    return _Run(job, display, stop).perform()


class _Run:
    """One run while it goes on."""

    def __init__(self, job: Job, display: Display, stop: Stop) -> None:
        self.job = job
        self.display = display
        self.stop = stop
        self.layers = plastic_layers(job.net)
        self.metrics: MetricsFile | None = None
        self.begin = self.row_at = self.shown = time.perf_counter()
        self.first = self.row_position = self.saved = job.position

    # -- the stream ----------------------------------------------------------------------------

    def perform(self) -> Outcome:
        trouble: Exception | None = None
        try:
            with self.job.source, self.job.run() as results:
                try:
                    self._stream(results)
                except Exception as error:
                    if self.metrics is None:
                        raise  # before the first sample: there is nothing to keep
                    trouble = error
                if self.metrics is None:
                    if not self.job.resumed:
                        raise SourceError(f"{self.job.source.name} gave no sample to learn from")
                    self._start()  # resumed at the end of the stream
                self._show(time.perf_counter())
                counts = dict(self.job.source.counts)
        finally:
            self.display.stop()
        return self._end(trouble, counts)

    def _stream(self, results: Run) -> None:
        job = self.job
        try:
            for result in results:
                if self.metrics is None:
                    self._start()
                self._take(result)
                now = time.perf_counter()
                if now - self.shown >= SHOW_EVERY:
                    self.shown = now
                    self._show(now)
                if self.stop.signal is not None:
                    results.stop()  # what is in flight still comes
        finally:
            results.close()
            job.position = job.net.counts["samples"]  # a refused sample has been counted

    def _take(self, result: StepResult) -> None:
        """Use a result; at a mark the net stands exactly there."""
        job = self.job
        number = job.position = result.sample + 1
        sample = result.given
        if result.skipped is None and sample is not None:
            if job.labelled and sample.target is not None:
                job.prequential.update(sample.target, result.prediction)
            if job.is_due(number) and result.activity:
                job.timeline.record(number, result.activity)
                if job.keepsakes is not None:
                    job.keepsakes.record(number, sample.x, result.activity)
        if number % job.convergence.EVERY == 0:
            job.convergence.observe(number)
        if job.is_due(number):
            self._write_row()
        if job.settings.save_every and number % job.settings.save_every == 0:
            self._save()

    def _start(self) -> None:
        """The first sample is here: make the folder, start the clock."""
        job, folder = self.job, self.job.folder
        if job.resumed:
            folder.cut_metrics(job.position)
        else:
            folder.create()
            folder.write_text(folder.net, f"{job.net!r}\n")
        folder.write_json(folder.settings, job.settings.kept())
        self.metrics = MetricsFile(folder.metrics)
        self.begin = self.row_at = self.shown = time.perf_counter()
        self._shown_safely(lambda: self.display.start(job))

    @property
    def _open(self) -> MetricsFile:
        if self.metrics is None:
            raise RuntimeError("the run has not started")
        return self.metrics

    # -- what is kept --------------------------------------------------------------------------

    def seconds(self, now: float) -> float:
        """Time learned, earlier sessions included."""
        return self.job.seconds + now - self.begin

    def row(self) -> Row:
        """The present line of metrics."""
        job, now = self.job, time.perf_counter()
        rate = (job.position - self.row_position) / max(now - self.row_at, 1e-9)
        row: Row = {
            "sample": job.position,
            "seconds": round(self.seconds(now), 4),
            "samples_per_second": round(rate, 2),
        }
        if job.labelled:
            row["accuracy"], row["window_accuracy"] = job.accuracies()
            row["labelled"] = job.prequential.count
        row["converged"] = job.convergence.share
        row["active"] = job.timeline.active
        row["radius"] = {name: float(layer.radius().mean()) for name, layer in self.layers.items()}
        row["counts"] = {**job.net.counts, **job.source.counts}
        return row

    def _write_row(self) -> None:
        self._open.write(self.row())
        self.row_at, self.row_position = time.perf_counter(), self.job.position

    def _save(self) -> None:
        self._open.sync()
        seconds = self.seconds(time.perf_counter())
        self.job.net.save(self.job.folder.snapshot, extra=self.job.state(seconds))
        self.saved = self.job.position

    def _show(self, now: float) -> None:
        job = self.job
        accuracy, window_accuracy = job.accuracies()
        progress = Progress(
            position=job.position,
            total=job.total,
            rate=(job.position - self.first) / max(now - self.begin, 1e-9),
            accuracy=accuracy,
            window_accuracy=window_accuracy,
            converged=job.convergence.share,
            active=None if job.labelled else job.timeline.active,
            dropped=job.source.counts.get("dropped", 0),
            skipped=job.net.counts["non-finite"],
        )
        self._shown_safely(lambda: self.display.update(progress))

    def _shown_safely(self, show: Any) -> None:
        """Nobody reads any more (``| head``): end as Ctrl-C would."""
        try:
            show()
        except BrokenPipeError:
            self.stop.ask(BROKEN_PIPE)

    # -- the end -------------------------------------------------------------------------------

    def _end(self, trouble: Exception | None, counts: dict[str, int]) -> Outcome:
        job, folder = self.job, self.job.folder
        ended = trouble is None and self.stop.signal is None
        last = self.row()
        try:
            if ended and job.position > self.row_position:
                self._write_row()
            if not isinstance(trouble, DivergedError) and job.position > self.saved:
                self._save()
            rows = folder.rows()
            if not rows or rows[-1]["sample"] < job.position:
                rows.append(last)  # of an interrupted run; the file holds what a resumed one keeps
            status = "finished" if ended else "interrupted" if trouble is None else "failed"
            summary = summarise(job, rows, status, trouble, counts)
            folder.write_json(folder.summary, summary)
            files = [folder.settings, folder.net, folder.metrics, folder.snapshot, folder.summary]
            files += draw(job, rows)
        except StreamhebbError as error:
            if trouble is not None:
                error.add_note(f"before that: {trouble}")
            raise
        finally:
            self._open.close()
        if trouble is not None:
            if job.position and not isinstance(trouble, DivergedError):
                trouble.add_note(f"what was learned before is kept: --resume {folder.path}")
            raise trouble
        return Outcome(summary, [path for path in files if path.exists()])
