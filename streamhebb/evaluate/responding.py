"""A frozen net over a whole set: only responding, as fast as it goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor

from streamhebb.layers import Layer
from streamhebb.schedule import Scheduler, Task, Threads, make_plan


class _Batch:
    """A mini-batch that waits for its features."""

    def __init__(self, number: int, x: Tensor) -> None:
        self.number = number
        self.x = x

    def __str__(self) -> str:
        return f"mini-batch {self.number}"


def outputs(
    layers: Sequence[Layer], scheduler: Scheduler, batches: Iterable[Tensor]
) -> Iterator[Tensor]:
    """Yield the last layer's output for one mini-batch after the other; nothing changes.

    Nothing of a mini-batch concerns the next one, so the workers of
    [`Threads`][streamhebb.schedule.threads.Threads] take one each.

    Args:
        layers: from input to output.
        scheduler: does the work; others than ``Threads`` are left alone, the caller's thread works.
        batches: shape ``(B, *input_shape)``, finite.

    Raises:
        Exception: what a layer raises.
    """

    def run(batch: _Batch) -> None:
        for layer in layers:
            batch.x = layer.respond(batch.x)

    flying: deque[tuple[_Batch, Any]] = deque()
    plan = make_plan([Task("respond", 0, (), run, past=())])
    lanes, room = (scheduler, scheduler.workers) if isinstance(scheduler, Threads) else (None, 0)
    try:
        for number, x in enumerate(batches):
            batch = _Batch(number, x)
            if lanes is None:
                run(batch)
                yield batch.x
                continue
            flying.append((batch, lanes.submit(plan, batch)))
            if len(flying) > room:
                yield _landed(flying)
        while flying:
            yield _landed(flying)
    finally:
        if flying:  # something has failed, or nobody wants the rest
            scheduler.clear()


def _landed(flying: deque[tuple[_Batch, Any]]) -> Tensor:
    batch, pending = flying[0]
    pending.wait()
    flying.popleft()
    return batch.x
