"""What is known of a plan before any frame comes: who follows whom within one frame."""

from __future__ import annotations

from collections import OrderedDict

from streamhebb.schedule.task import Plan

KEPT = 64
"""Plans whose shape is remembered; a net has a handful."""


class Shape:
    """The edges of a plan within one frame, and the lanes it has to ask about earlier frames.

    Attributes:
        waiting: for each task, how many edges of this frame lead to it.
        wakes: for each task, those that wait for it by ``after``.
        follow: for each task, these, and those that only stand after it in its lane.
        asks: tasks that wait for lanes where earlier frames may have something unfinished.
        strict: whether every task waits for its own lane and no other, without a lag.
        starts: tasks that wait for nothing of their own frame.
        closing: the task that stands last in each lane, and the lane; whoever waits for that task
            waits for the lane.
        leaves: for each task, the lane whose line it stands in, if it does.
        runs: what each task does.
        seconds: running estimate of what each task takes.
    """

    __slots__ = (
        "asks", "closing", "follow", "leaves", "plan", "runs", "seconds", "starts", "strict",
        "waiting", "wakes",
    )  # fmt: skip

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.waiting = [0] * len(plan)
        self.wakes: list[list[int]] = [[] for _ in plan]
        self.follow: list[list[int]] = [[] for _ in plan]
        self.asks: dict[int, tuple[tuple[int, int], ...]] = {}
        self.seconds = [1.0] * len(plan)  # unknown counts as long
        last: dict[int, int] = {}  # the task that stood last in each lane
        loose: set[int] = set()  # lanes with a task that need not wait for all before it
        for position, task in enumerate(plan):
            for other in task.after:
                self.wakes[other].append(position)
                self.follow[other].append(position)
                self.waiting[position] += 1
            if task.past is not None:
                self.asks[position] = task.past
                if (task.lane, 0) not in task.past:
                    loose.add(task.lane)
            elif task.lane not in last or task.lane in loose:
                self.asks[position] = task.waits_for
            elif last[task.lane] not in task.after:
                self.follow[last[task.lane]].append(position)
                self.waiting[position] += 1
            last[task.lane] = position
        self.strict = all(task.past is None for task in plan)
        self.starts = [position for position, count in enumerate(self.waiting) if not count]
        self.closing = [(position, lane) for lane, position in last.items()]
        lanes = dict(self.closing) if self.strict else {p: t.lane for p, t in enumerate(plan)}
        self.leaves = [lanes.get(position) for position in range(len(plan))]
        self.runs = [task.run for task in plan]


class Shapes:
    """Remembers the shapes of the plans used last."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, Shape] = OrderedDict()

    def of(self, plan: Plan) -> Shape:
        """Return the shape of a plan."""
        shape = self._known.get(id(plan))
        if shape is None or shape.plan is not plan:
            shape = self._known[id(plan)] = Shape(plan)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        return shape
