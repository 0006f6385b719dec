"""One frame a sample or micro-batch: its values on their way through a net."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from streamhebb.lazy import Lazy, made, made_anew
from streamhebb.races import UNCHECKED, born
from streamhebb.values import Sample, StepResult


class Frame:
    """The values of one sample, or micro-batch, on its way through the net."""

    __slots__ = (
        "activity",
        "answered",
        "begun",
        "born",
        "ended",
        "given",
        "look",
        "missed",
        "mode",
        "modulator",
        "number",
        "out",
        "passed",
        "scores",
        "seen",
        "settings",
        "single",
        "target",
        "told",
        "turn",
    )

    def __init__(
        self, x: Tensor, layers: int, target: Sequence[Any], modulator: Sequence[Any]
    ) -> None:
        self.born = born(x)
        self.out: list[Any] = [x] + [None] * layers  # out[i + 1] is the output of layer i
        self.seen: list[Any] = [None] * layers
        self.target = target
        self.modulator = modulator  # one for each layer
        self.scores: Tensor | None = None
        self.told: Any = None  # what the readout keeps until it learns
        self.number = 0  # of its first sample in the life of the net
        self.turn = 0  # of the frame among those submitted
        self.mode = Mode.LEARN
        self.single = False
        self.activity = False
        self.look = False  # whether it is time to look for weights that run away
        self.given: Sample | None = None
        self.begun = self.answered = 0.0  # on the clock
        self.ended: float | None = None  # when it was learned from last
        self.passed: list[str] = []  # stages that nothing woke
        self.missed: dict[str, int] = {}
        self.settings: Callable[[], Hashable] = tuple  # of the net; asked where tasks are recorded

    def result(
        self, prediction: Any, scores: Tensor | None, names: Sequence[str], start: float
    ) -> StepResult:
        """What is said of the frame: of one sample where it was one, else of a micro-batch."""
        outs = zip(names, self.out[1:], strict=True) if self.activity else ()
        shown = {name: made(out) for name, out in outs if out is not None}
        if self.single:
            prediction = None if prediction is None else prediction[0]
            scores = None if scores is None else scores[0]
            shown = {name: out[0] for name, out in shown.items()}
        return StepResult(
            prediction,
            scores,
            self.answered - start,
            self.number,
            shown,
            learned=self.mode is Mode.LEARN,
            missed=self.missed,
            passed=tuple(self.passed),
            given=self.given,
        )

    # -- to be recorded: see streamhebb.schedule.cuda_graphs.StaticFrame -------------------------

    @property
    def key(self) -> Hashable:
        """All that a recording of the tasks depends on, beside the plan."""
        x: Tensor = self.out[0]
        factors = tuple(float(factor) for factor in self.modulator)
        return (tuple(x.shape), x.dtype, x.device, factors, self.settings())

    def twin(self) -> Frame:
        """Return a frame of the same kind with an input buffer of its own."""
        twin = Frame(torch.zeros_like(self.out[0]), len(self.seen), self.target, self.modulator)
        twin.mode, twin.settings, twin.born = self.mode, self.settings, UNCHECKED
        return twin

    def load(self, frame: Frame) -> None:
        """Copy a frame's input in; take over what the readout needs on the host."""
        self.out[0].copy_(frame.out[0], non_blocking=True)
        self.target, self.number = frame.target, frame.number

    def hand_over(self, frame: Frame) -> None:
        """Give what came out to a frame, as copies: of all layers if asked for, else the last."""
        wanted = range(1, len(self.out)) if frame.activity else [len(self.out) - 1]
        for place in wanted:
            out = self.out[place]
            # No other task has looked at a value that is still to be made.
            frame.out[place] = made_anew(out) if isinstance(out, Lazy) else out.clone()
        frame.scores = None if self.scores is None else self.scores.clone()

    def __str__(self) -> str:
        count = len(self.out[0])
        if count == 1:
            return f"sample {self.number}"
        return f"samples {self.number} to {self.number + count - 1}"


class Mode(Enum):
    """What a pass through the net may change."""

    LOOK = "nothing"
    ADVANCE = "what goes on from sample to sample without learning"
    LEARN = "that, and what is learned"
