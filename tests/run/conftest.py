"""A tiny net and shortcuts to run it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamhebb.run.display import Quiet
from streamhebb.run.job import Job, prepare, prepare_resumed
from streamhebb.run.loop import Outcome, perform
from streamhebb.run.settings import RunSettings
from streamhebb.run.stop import Stop

NET = """\
description: for tests
layers:
  - RunningNorm
  - {type: Conv2d, n_out: 6, kernel_size: 3, padding: 1}
  - {type: Triangle, power: 0.7}
  - {type: MaxPool2d, kernel_size: 4}
  - Flatten
readout: {type: SoftmaxReadout, lr: 0.01}
"""


@pytest.fixture
def net_file(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(NET, encoding="utf-8")
    return str(path)


class StopAfter:
    """A source that asks for the end of the run while handing out a sample, as Ctrl-C would."""

    def __init__(self, source, stop: Stop, after: int, signum: int = 2) -> None:
        self._source, self._stop, self._after, self._signum = source, stop, after, signum

    def __getattr__(self, name: str):
        return getattr(self._source, name)

    def __enter__(self):
        self._source.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._source.__exit__(*error)

    def __iter__(self):
        for number, sample in enumerate(self._source, 1):
            if number == self._after:
                self._stop.ask(self._signum)
            yield sample


@pytest.fixture
def start(tmp_path: Path, net_file: str):
    """Run to the end, or until a number of samples; returns the job and its outcome."""

    def started(name: str, after: int | None = None, **given) -> tuple[Job, Outcome]:
        job = prepare(RunSettings.make(**{"net": net_file, **given}), tmp_path / name)
        return job, _go(job, after)

    return started


@pytest.fixture
def go_on(tmp_path: Path):
    """Resume a run, to the end or until some more samples."""

    def gone_on(name: str, after: int | None = None, **changes) -> tuple[Job, Outcome]:
        job = prepare_resumed(tmp_path / name, **changes)
        return job, _go(job, after)

    return gone_on


def _go(job: Job, after: int | None) -> Outcome:
    stop = Stop()
    if after is not None:
        job.source = StopAfter(job.source, stop, after)
    return perform(job, Quiet(), stop)
