"""Where a run of `train_phases` stands, and the file in which that is kept."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from streamhebb import checkpoint
from streamhebb.evaluate.phase import Phase, PhaseEpoch
from streamhebb.evaluate.progress import Progress, describe_augment, looks

if TYPE_CHECKING:
    from streamhebb.evaluate.trainer import Trainer
    from streamhebb.evaluate.work import Work


class Standing:
    """How far a run has come; read from its file, if there is one.

    Args:
        trainer: whose net is brought to where the file says.
        plan: the phases.
        report_every: see [`train_phases`][streamhebb.evaluate.phases.train_phases].
        path: the file, or ``None`` for none.

    Attributes:
        phase: number of the phase that is next, or goes on.
        epoch: epochs of it that are finished.
        seconds: that it has taken so far.
        work: what the phase goes on from; empty at its beginning.
        reports: so far.

    Raises:
        SnapshotError: if the file is damaged, of another run, or cannot be written.
        ConfigError: if ``augment`` cannot go on where it was.
    """

    def __init__(
        self,
        trainer: Trainer,
        plan: Sequence[Phase],
        report_every: int,
        path: str | os.PathLike[str] | None,
    ) -> None:
        self.trainer = trainer
        self.phase = self.epoch = 0
        self.seconds = 0.0
        self.work: dict[str, Any] = {}
        self.reports: list[PhaseEpoch] = []
        self.file: Progress | None = None
        if path is None:
            return
        self.file = Progress("train_phases", path, _settings(trainer, plan, report_every))
        found = self.file.read()
        if found is not None:
            self._restore(found)
        else:
            self._write()  # a disk that refuses, does so before the first epoch

    @property
    def begun(self) -> bool:
        """Whether some epochs of the phase are finished."""
        return self.epoch > 0

    def keep(self, work: Work, phase: Phase, seconds: float) -> None:
        """Count an epoch as finished, and write that down."""
        self.epoch += 1
        self.seconds = seconds
        over = self.epoch == phase.epochs
        if over:
            self.phase, self.epoch, self.seconds = self.phase + 1, 0, 0.0
        if self.file is not None:
            self.work = {} if over else work.state()
            self._write()

    def _write(self) -> None:
        assert self.file is not None  # noqa: S101  (told to mypy)
        augment: Any = self.trainer.augment
        self.file.write(
            {
                "phase": self.phase,
                "epoch": self.epoch,
                "seconds": self.seconds,
                "work": self.work,
                "reports": [dataclasses.asdict(report) for report in self.reports],
                "augment": None if augment is None else augment.state(),
                "tallies": {str(i): one.state() for i, one in self.trainer.tallies.items()},
                "net": self.trainer.net.state_dict(),
            }
        )

    @torch.no_grad()
    def _restore(self, found: dict[str, Any]) -> None:
        net, augment = self.trainer.net, self.trainer.augment
        checkpoint.check_fits(net, found["net"], getattr(self.file, "path", ""))
        # A schedule that was stretched is in the file as it was then; each phase stretches anew.
        given: list[Any] = [part for part in (*net.layers, net.readout) if hasattr(part, "rate")]
        rates = [part.rate for part in given]
        net.load_state_dict(found["net"])
        for part, rate in zip(given, rates, strict=True):
            if hasattr(rate, "steps"):
                part.rate = rate
        if augment is not None:
            augment.restore(found["augment"])  # type: ignore[attr-defined]
        self.phase, self.epoch = found["phase"], found["epoch"]
        self.seconds, self.work = found["seconds"], found["work"]
        self.reports = [PhaseEpoch.of(report) for report in found["reports"]]
        kept = found.get("tallies", {})  # files of earlier versions do not have them
        for place, tally in self.trainer.tallies.items():
            if str(place) in kept:
                tally.restore(kept[str(place)])


def _settings(trainer: Trainer, plan: Sequence[Phase], report_every: int) -> dict[str, Any]:
    """What was asked for."""
    test = trainer.test
    return {
        "phases": [dataclasses.asdict(phase) for phase in plan],
        "blocks": [[part.start, part.stop] for part in trainer.blocks],
        "report_every": report_every,
        "tune": trainer.tune,
        "augment": describe_augment(trainer.augment),
        "net": trainer.net.describe(),
        "train": looks(trainer.train.x, trainer.train.y),
        "test": None if test is None else looks(test.x, test.y),
    }
