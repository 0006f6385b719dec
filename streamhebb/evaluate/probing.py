"""A linear layer on its way through the epochs of a probe."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import Tensor

from streamhebb.chance import Dropout
from streamhebb.evaluate.linear import LinearLayer
from streamhebb.evaluate.progress import adam_state, restore_adam
from streamhebb.schedule import Pending, Scheduler, Serial, Task, make_plan

CHUNK = 1000  # samples that are looked at together
AHEAD = 3
"""Mini-batches that have memory of their own: one is learned from while others are gathered."""
_SHORT = (torch.float16, torch.bfloat16)


class Step:
    """A mini-batch, and memory for its features; fresh memory would cost more than the work.

    Args:
        like: features in the precision that they are kept in.
        size: samples.
    """

    def __init__(self, like: Tensor, size: int) -> None:
        self.stored = like.new_empty(size, like.shape[1])
        self.whole = self.stored.float() if like.dtype in _SHORT else self.stored
        self.rows = torch.empty(0)
        self.number = 0

    def of(self, rows: Tensor, number: int) -> Step:
        """Make it the step with that number, with those rows of the set."""
        self.rows, self.number = rows, number
        return self

    @property
    def x(self) -> Tensor:
        """Features that are learned from."""
        return self.whole[: len(self.rows)]

    def __str__(self) -> str:
        return f"step {self.number}"


class Probe:
    """A linear layer on its way: one call an epoch.

    Args:
        train_x: features, one row a sample.
        train_y: classes by number.
        test_x: features of the test set.
        test_y: its classes.
        classes: how many.
        dropout: share of the features left out while learning.
        batch_size: samples a step.
        lr: rate at the start.
        seed: of initial weights, order and dropout.
        scheduler: gathers the next mini-batch while the layer learns from this one, if it can;
            ``None`` does one after the other.
    """

    def __init__(
        self,
        train_x: Tensor,
        train_y: Tensor,
        test_x: Tensor,
        test_y: Tensor,
        classes: int,
        dropout: float,
        batch_size: int,
        lr: float,
        seed: int,
        scheduler: Scheduler | None = None,
    ) -> None:
        place, n_in = train_x.device, train_x.shape[1]
        self.train_x, self.train_y = train_x, train_y.to(place)
        self.test_x, self.test_y = test_x, test_y.to(place)
        self.dropout = Dropout(dropout, seed)
        self.order = torch.Generator().manual_seed(seed)  # the same order on every device
        self.batch_size = min(batch_size, len(train_x))
        self.steps = 0
        self.scheduler: Scheduler = Serial() if scheduler is None else scheduler
        room = 1 if scheduler is None else AHEAD
        self.free = deque(Step(train_x, self.batch_size) for _ in range(room))
        self.layer = LinearLayer(n_in, classes, lr, self.order, self.free[0].whole)
        self.loss = torch.zeros((), dtype=torch.float64, device=place)
        self.right = torch.zeros((), dtype=torch.int64, device=place)

    def halve(self) -> None:
        """Halve the rate."""
        self.layer.lr /= 2

    def epoch(self) -> tuple[float, float]:
        """Return the mean loss and the accuracy, both dropout on."""
        self.loss.zero_()
        self.right.zero_()
        order = torch.randperm(len(self.train_x), generator=self.order).to(self.train_x.device)
        self.run(torch.split(order, self.batch_size))
        return float(self.loss) / len(order), int(self.right) / len(order)

    def run(self, batches: tuple[Tensor, ...]) -> None:
        """Learn from mini-batches, given by their rows, in this order."""
        flying: deque[tuple[Pending, Step]] = deque()
        # A plan that is kept would refer back to the probe, and hold whole sets of features until
        # the garbage collector comes by, which for few large objects is seldom.
        gather = Task("gather", 0, (), self._gather)
        plan = make_plan([gather, Task("learn", 1, (0,), self._learn)])
        try:
            for rows in batches:
                if not self.free:
                    self._land(flying)
                step = self.free.popleft().of(rows, self.steps)
                self.steps += 1
                flying.append((self.scheduler.submit(plan, step), step))
            while flying:
                self._land(flying)
        except BaseException:
            self.scheduler.clear()
            raise

    def _land(self, flying: deque[tuple[Pending, Step]]) -> None:
        pending, step = flying.popleft()
        pending.wait()
        self.free.append(step)

    def _gather(self, step: Step) -> None:
        """Bring rows together, and leave out some of their features."""
        stored, x = step.stored[: len(step.rows)], step.x
        torch.index_select(self.train_x, 0, step.rows, out=stored)
        if x.dtype != stored.dtype:
            x.copy_(stored)
        self.dropout.drop(x, step.number)

    def _learn(self, step: Step) -> None:
        loss, right = self.layer.learn(step.x, self.train_y[step.rows])
        self.loss += loss
        self.right += right

    def state(self) -> dict[str, Any]:
        """What the next epoch needs: tensors and plain data."""
        return {
            "steps": self.steps,
            "lr": self.layer.lr,
            "weight": self.layer.weight,
            "bias": self.layer.bias,
            "adam": adam_state(self.layer.adam),
            "order": self.order.get_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.steps, self.layer.lr = state["steps"], state["lr"]
        self.layer.weight.copy_(state["weight"])
        self.layer.bias.copy_(state["bias"])
        restore_adam(self.layer.adam, state["adam"])
        self.order.set_state(state["order"])

    def test(self) -> float:
        """Accuracy over the test set."""
        right, kind = 0, self.free[0].whole.dtype
        parts = zip(torch.split(self.test_x, CHUNK), torch.split(self.test_y, CHUNK), strict=True)
        for x, y in parts:
            right += int((self.layer.scores(x.to(kind)).argmax(1) == y).sum())
        return right / len(self.test_y)
