"""What a net hands to a scheduler: one frame a sample, and the plan of tasks that fills it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from torch import Tensor

from streamhebb.chain import stages
from streamhebb.layers import Layer
from streamhebb.readouts import Readout
from streamhebb.schedule import Plan, Task, make_plan


class Frame:
    """The values of one sample on its way through the net."""

    __slots__ = ("modulator", "out", "scores", "seen", "target", "told")

    def __init__(
        self, x: Tensor, layers: int, target: Sequence[Any], modulator: Sequence[Any]
    ) -> None:
        self.out: list[Any] = [x] + [None] * layers  # out[i + 1] is the output of layer i
        self.seen: list[Any] = [None] * layers
        self.target = target
        self.modulator = modulator  # one for each layer
        self.scores: Tensor | None = None
        self.told: Any = None  # what the readout keeps until it learns


class Mode(Enum):
    """What a pass through the net may change."""

    LOOK = "nothing"
    ADVANCE = "what goes on from sample to sample without learning"
    LEARN = "that, and what is learned"


Run = Callable[[Frame], None]
Numbered = list[tuple[int, Layer]]


def plan_step(
    layers: Sequence[Layer], names: Sequence[str], readout: Readout | None, mode: Mode
) -> Plan:
    """Two tasks a stage, respond and learn (or advance), in its own lane; the readout comes last.

    Args:
        layers: from input to output.
        names: of the layers, for the tasks' names.
        readout: what learns labels, or ``None``.
        mode: what may change.
    """
    tasks: list[Task] = []
    before: tuple[int, ...] = ()
    found = stages(layers)
    for lane, stage in enumerate(found):
        name = "+".join(names[i] for i in stage)
        part = [(i, layers[i]) for i in stage]
        learners = [(i, layer) for i, layer in part if changes(layer, mode)]
        tasks.append(Task(f"respond {name}", lane, before, _respond(part, learners)))
        before = (len(tasks) - 1,)
        if learners:
            verb, run = ("learn", _learn) if mode is Mode.LEARN else ("advance", _advance)
            tasks.append(Task(f"{verb} {name}", lane, before, run(learners)))
    if readout is not None:
        lane = len(found)
        tasks.append(Task("respond readout", lane, before, _score(readout)))
        if mode is Mode.LEARN:
            tasks.append(Task("learn readout", lane, (len(tasks) - 1,), _learn_label(readout)))
    return make_plan(tasks)


def changes(layer: Layer, mode: Mode) -> bool:
    """Whether a layer changes anything of its own in a pass."""
    return (layer.learns and mode is Mode.LEARN) or (layer.carries and mode is not Mode.LOOK)


def _respond(part: Numbered, learners: Numbered) -> Run:
    observed = {i for i, _ in learners}

    def run(frame: Frame) -> None:
        for i, layer in part:
            if i in observed:
                frame.out[i + 1], frame.seen[i] = layer.observe(frame.out[i])
            else:
                frame.out[i + 1] = layer.respond(frame.out[i])

    return run


def _learn(part: Numbered) -> Run:
    def run(frame: Frame) -> None:
        for i, layer in part:
            layer.learn(frame.seen[i], frame.modulator[i])

    return run


def _advance(part: Numbered) -> Run:
    def run(frame: Frame) -> None:
        for i, layer in part:
            layer.advance(frame.seen[i])

    return run


def _score(readout: Readout) -> Run:
    def run(frame: Frame) -> None:
        frame.scores, frame.told = readout.observe(frame.out[-1])

    return run


def _learn_label(readout: Readout) -> Run:
    def run(frame: Frame) -> None:
        if any(label is not None for label in frame.target):
            readout.learn(frame.told, frame.target)

    return run
