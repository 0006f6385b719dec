"""Many steps handed over at once: a block of micro-batches, and the plan that learns from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from streamhebb.frames import Frame
from streamhebb.races import UNCHECKED
from streamhebb.schedule import Plan, Task, make_plan

Run: TypeAlias = Callable[["Block"], object]


class Block:
    """The values of several micro-batches that a net learns from one after the other.

    Each has a frame of its own, a *part*, made when its first task begins: where the tasks are
    played back from a recording, none ever is.

    Args:
        x: micro-batches of one size, ``(S, B, ...)``.
        layers: how many the net has.

    Attributes:
        number: of its first sample in the life of the net.
        done: which positions of the plan have been run here; nothing is noted of a recording.
        failed: which part raised, and what; the earliest, if several have.
        finite: whether the last output is, as a tensor; ``None`` until that is known.
        look: whether it is time to look for weights that run away.
    """

    __slots__ = (
        "checked",
        "done",
        "failed",
        "finite",
        "layers",
        "look",
        "modulator",
        "number",
        "parts",
        "settings",
        "x",
    )

    def __init__(self, x: Tensor, layers: int) -> None:
        self.x = x
        self.layers = layers
        self.modulator = [1.0] * layers
        self.number = 0
        self.parts: list[Any] = [None] * len(x)
        self.done: set[int] = set()
        self.failed: tuple[int, BaseException] | None = None
        self.finite: Tensor | None = None
        self.look = False
        self.checked = True  # whether races are looked for
        self.settings: Callable[[], Hashable] = tuple  # of the net; asked where it is recorded

    def __len__(self) -> int:
        """Samples in it."""
        return self.x.shape[0] * self.x.shape[1]

    def open(self, place: int) -> Frame:
        """Make the frame of a part."""
        part = Frame(self.x[place], self.layers, (), self.modulator)
        part.number = self.number + place * self.x.shape[1]
        if not self.checked:
            part.born = UNCHECKED
        self.parts[place] = part
        return part

    def note(self, place: int, error: BaseException) -> None:
        """Keep the error of the earliest part."""
        if self.failed is None or place < self.failed[0]:
            self.failed = place, error

    def complete(self, plan: Plan) -> None:
        """Do what is left of the parts before the one that failed.

        Lanes end at different parts when something goes wrong in one of them.

        Raises:
            BaseException: what one of these raises, which is then the one that failed.
        """
        if self.failed is None:
            return
        for position in range(self.failed[0] * self._each(plan)):
            if position not in self.done:
                plan[position].run(self)

    def learned(self, plan: Plan) -> int:
        """How many parts have been learned from, before the first that has not."""
        each = self._each(plan)
        missing = (position for position in range(len(plan) - 1) if position not in self.done)
        return next(missing, len(plan) - 1) // each

    def _each(self, plan: Plan) -> int:
        return (len(plan) - 1) // len(self.parts)  # the last task looks at all of it

    # -- to be recorded: see streamhebb.schedule.cuda_graphs.StaticFrame -------------------------

    @property
    def key(self) -> Hashable:
        """All that a recording of the tasks depends on, beside the plan."""
        x = self.x
        return tuple(x.shape), x.stride(), x.dtype, x.device, self.settings()

    def twin(self) -> Block:
        """Return a block of the same kind with an input buffer of its own."""
        twin = Block(torch.zeros_like(self.x), self.layers)  # finite, whoever looks at it
        twin.settings, twin.checked = self.settings, False
        return twin

    def load(self, block: Block) -> None:
        """Copy a block's inputs in, all at once."""
        self.x.copy_(block.x, non_blocking=True)
        self.number = block.number

    def hand_over(self, block: Block) -> None:
        """Give to a block whether the last output is finite; nothing else is asked for."""
        block.finite = None if self.finite is None else self.finite.clone()

    def __str__(self) -> str:
        return f"samples {self.number} to {self.number + len(self) - 1}"


def unrolled(step: Plan, count: int, stages: Sequence[range]) -> Plan:
    """Return the plan of so many steps in a row, each over its own part of a block.

    What a stage has kept or made for itself is let go of once it has learned. What it hands on is
    not: memory that is let go of on one stream of a device may be given out again there while
    another still reads. So a part begins only when one some steps before it has ended in all lanes,
    and that one is let go of then: whatever is sent to any lane from then on comes after its end.

    Args:
        step: the plan of a step; each stage has a lane of its own.
        count: of steps.
        stages: the layers of each.
    """
    each, ahead = len(step), len(stages) + 2
    lanes = list(dict.fromkeys(task.lane for task in step))
    closing = {task.lane: position for position, task in enumerate(step)}
    others = [position for lane, position in closing.items() if lane != step[0].lane]
    tasks = []
    for place in range(count):
        past = place - ahead
        for position, task in enumerate(step):
            at = place * each + position
            after = tuple(place * each + other for other in task.after)
            if not position and past >= 0:
                after += tuple(past * each + other for other in others)
            ends = closing[task.lane] == position
            run = _part(
                task,
                place,
                at,
                opens=not position,
                past=past,
                leaves=stages[lanes.index(task.lane)] if ends else None,
            )
            tasks.append(dataclasses.replace(task, run=run, after=after))
    end = step[-1]
    tasks.append(Task("look", end.lane, (len(tasks) - 1,), _look, end.past))
    return make_plan(tasks)


def _part(
    task: Task, place: int, position: int, *, opens: bool, past: int, leaves: range | None
) -> Run:
    """Return what a task does to its part of a block.

    Args:
        task: of a step.
        place: of the part.
        position: of the task in the whole plan.
        opens: whether it is the first of the part.
        past: the part that has ended when this one begins, if there is one.
        leaves: the layers that are through with the part afterwards, if any.
    """
    do = task.run

    def run(block: Block) -> object:
        part = block.parts[place]
        try:
            if opens:
                if past >= 0:
                    block.parts[past] = None
                if part is None or not block.checked:
                    part = block.open(place)
            answer = do(part)
        except BaseException as error:
            block.note(place, error)
            error.add_note(f"in {task.name!r} of {part or block}")
            raise
        if leaves is not None:
            for layer in leaves:
                part.seen[layer] = None
            for layer in leaves[1:]:
                part.out[layer] = None
        block.done.add(position)
        return answer

    return run


def _look(block: Block) -> None:
    """Note whether the last output is finite: it is not where weights are not."""
    block.finite = torch.isfinite(block.parts[-1].out[-1]).all()
