"""Toy nets for schedulers of devices: whole numbers, where any slip of order shows in every bit."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from streamhebb.schedule import Plan, Task, make_plan
from streamhebb.schedule.task import QUIET

PRIME = 1_000_003
WIDTH = 3


def draw_plan_shape(chance: random.Random, tail: bool = False) -> list[dict[str, Any]]:
    """Lanes, edges and kinds of 3 to 8 tasks.

    Args:
        chance: draws them.
        tail: tasks by hand come last, in a lane of their own.
    """
    count, lanes = chance.randint(3, 8), chance.randint(1, 4)
    linked = lanes > 1 and chance.random() < 0.4  # lanes 0 and 1 look at each other's state
    shape: list[dict[str, Any]] = []
    for position in range(count):
        known = range(position)
        after = tuple(sorted(chance.sample(known, min(position, chance.randint(0, 2)))))
        lane = chance.randrange(lanes)
        past = ((lane, 0), (1 - lane, 0)) if linked and lane < 2 else None
        by_hand = not tail and chance.random() < 0.25
        shape.append({"lane": lane, "after": after, "past": past, "by_hand": by_hand})
    if tail:
        for _ in range(chance.randint(0, 2)):
            after = (chance.randrange(len(shape)),)
            shape.append({"lane": lanes, "after": after, "past": None, "by_hand": True})
    return shape


class ToyNet:
    """State for each lane, and a plan over it.

    Args:
        device: has ``kernel(work)``; ``None`` runs at once.
        shape: see ``draw_plan_shape``.
        quiet: whether a task by hand has nothing to say about a number.
    """

    def __init__(
        self,
        device: Any,
        shape: list[dict[str, Any]],
        quiet: Callable[[int], bool] = lambda number: False,
    ) -> None:
        self.device = device
        self.quiet = quiet
        self.state = {item["lane"]: torch.zeros(WIDTH, dtype=torch.int64) for item in shape}
        self.log: list[tuple[int, int]] = []
        self.plan: Plan = make_plan(
            [
                Task(f"task {p}", i["lane"], i["after"], self._task(p, i), i["past"], False,
                     i["by_hand"])
                for p, i in enumerate(shape)
            ]
        )  # fmt: skip

    def kernel(self, work: Callable[[], object]) -> None:
        if self.device is None:
            work()
        else:
            self.device.kernel(work)

    def _task(self, position: int, item: dict[str, Any]) -> Callable[[ToyFrame], object]:
        reads = item["after"]
        watched = [lane for lane, _ in item["past"] or () if lane in self.state]

        def run(frame: ToyFrame) -> object:
            # The device knows addresses only. A frame let go too early is gone when it is read.
            seen = weakref.ref(frame)
            number = frame.number

            def read() -> None:
                here = seen()
                assert here is not None, "the frame was let go while the device still needed it"
                total = here.x * (position + 3)
                for other in reads:
                    total = total * 31 + here.values[other]
                for lane in watched:
                    total = total * 7 + self.state.get(lane, torch.zeros(WIDTH, dtype=torch.int64))
                here.scratch[position].copy_(total % PRIME)

            def write() -> None:
                here = seen()
                assert here is not None, "the frame was let go while the device still needed it"
                state = self.state[item["lane"]]
                here.values[position].copy_((here.scratch[position] + state * 13) % PRIME)

            def learn() -> None:
                here = seen()
                assert here is not None, "the frame was let go while the device still needed it"
                state = self.state[item["lane"]]
                state.copy_((state * 17 + here.values[position]) % PRIME)
                self.log.append((int(here.tag), position))

            for work in (read, write, learn):
                self.kernel(work)
            return QUIET if item["by_hand"] and self.quiet(number) else None

        return run


class ToyFrame:
    """An input, and a value for each task; may stand in for others as their twin."""

    def __init__(self, net: ToyNet, number: int, x: Tensor | None = None, kind: int = 0) -> None:
        count = len(net.plan)
        self.net = net
        self.number = number
        self.kind = kind
        self.tag = torch.tensor(number)
        self.x = torch.zeros(WIDTH, dtype=torch.int64) if x is None else x
        self.values = torch.zeros(count, WIDTH, dtype=torch.int64)
        self.scratch = torch.zeros(count, WIDTH, dtype=torch.int64)

    def __str__(self) -> str:
        return f"frame {self.number}"

    @property
    def key(self) -> int:
        return self.kind

    def twin(self) -> ToyFrame:
        made = ToyFrame(self.net, -1, kind=self.kind)
        made.net.kernel(lambda: made.x.fill_(-1))  # to be over before it is loaded
        return made

    def load(self, frame: ToyFrame) -> None:
        self.number = frame.number
        mine, theirs = weakref.ref(self), weakref.ref(frame)

        def copy() -> None:
            here, there = mine(), theirs()
            assert here is not None
            assert there is not None, "the frame was let go while the device still needed it"
            here.x.copy_(there.x)
            here.tag.copy_(there.tag)
            here.values.zero_()  # what a task passed over leaves behind is nothing

        self.net.kernel(copy)

    def hand_over(self, frame: ToyFrame) -> None:
        mine, theirs = weakref.ref(self), weakref.ref(frame)

        def copy() -> None:
            here, there = mine(), theirs()
            assert here is not None
            assert there is not None, "the frame was let go while the device still needed it"
            there.values.copy_(here.values)

        self.net.kernel(copy)


def inputs(count: int) -> list[Tensor]:
    return [torch.arange(WIDTH) * 5 + 11 * t + 1 for t in range(count)]
