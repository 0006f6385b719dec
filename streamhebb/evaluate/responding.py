"""A frozen net over a whole set: only responding, as fast as it goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.errors import ConfigError
from streamhebb.layers import Layer
from streamhebb.layers.wired import WiredLayer
from streamhebb.schedule import Scheduler, Task, Threads, make_plan

ROUNDS = 2
_known: dict[Hashable, str] = {}  # for the life of the process


@torch.no_grad()
def choose_for_responding(layers: Sequence[Layer], x: Tensor) -> None:
    """Give each layer the method that responds fastest; results then differ by rounding.

    [`choose_methods`][streamhebb.tuning.choose_methods] measures learning too, which is another
    question, and takes several times as long.

    Args:
        layers: from input to output; their methods change, nothing else.
        x: a batch of the size to come.
    """
    for layer in layers:
        if isinstance(layer, WiredLayer) and len(layer.synapse.methods) > 1:
            layer.method = _fastest(layer, x)
        x = layer.respond(x)


def _fastest(layer: WiredLayer, x: Tensor) -> str:
    kind = str(getattr(layer, "precision", x.dtype)), x.dtype, str(x.device)
    key = (layer.synapse, tuple(x.shape), *kind, torch.get_num_threads(), kernels.backend())
    if key not in _known:
        took: dict[str, float] = {}
        for number in range(ROUNDS):
            for method in layer.synapse.methods:
                try:
                    layer.method = method
                except ConfigError:  # not with other settings of the layer
                    continue
                start = perf_counter()
                layer.respond(x)
                if x.is_cuda:
                    torch.cuda.synchronize(x.device)
                if number:  # the first one fills caches
                    took[method] = min(took.get(method, float("inf")), perf_counter() - start)
        _known[key] = min(took, key=took.__getitem__)
    return _known[key]


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
