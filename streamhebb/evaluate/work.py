"""One phase at work: what a mini-batch, an epoch and a measurement are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from streamhebb.chance import Dropout
from streamhebb.evaluate.passing import Passing
from streamhebb.evaluate.phase import Phase
from streamhebb.evaluate.progress import adam_state, restore_adam
from streamhebb.evaluate.responding import outputs
from streamhebb.evaluate.schedule import halving_rate
from streamhebb.layers import Layer
from streamhebb.tuning import choose

if TYPE_CHECKING:
    from streamhebb.evaluate.trainer import Trainer

CHUNK = 500  # samples that are measured together


class Work:
    """One phase at work: inputs past the frozen part, optimiser, chance.

    Args:
        trainer: whose net and data.
        phase: what learns, and how.
        readout_lr: the readout's own rate, ``None`` if it has none.
        tune: measure which kernels are fastest first.
    """

    def __init__(
        self, trainer: Trainer, phase: Phase, readout_lr: float | None, *, tune: bool
    ) -> None:
        self.phase = phase
        self.layers = trainer.layers
        self.net = trainer.net
        self.augment = trainer.augment
        self.peers = trainer.peers
        self.reads = trainer._reads(phase)
        self.active = set(trainer._active(phase))
        self.scheduler = trainer.scheduler
        self.on_batch = trainer.on_batch
        parameters = trainer._graded(phase)
        self.readout: Any = trainer.net.readout
        self.readout_lr = readout_lr
        self.labels = trainer.train.y
        # Augmented inputs differ from epoch to epoch: nothing can be computed once.
        self.start = 0 if self.augment else min(self.active, default=len(self.layers))
        self.taught = self.reads or bool(parameters)
        self.stop = len(self.layers) if self.taught else max(self.active) + 1
        if tune:
            self._tune(trainer.train.x[: phase.batch_size])
        self.train: Tensor = self._past(trainer.train.x)
        self.test = None if trainer.test is None else self._past(trainer.test.x)
        self.adam: Any = None
        if parameters:
            self.adam = torch.optim.Adam(parameters, lr=self._lr(0))
        self.rows = self.test_rows = torch.zeros(0)
        if self.taught:
            self.net.add_classes(label for label in self.labels if label is not None)
            self.rows = trainer.train.rows(self.net.labels)
            if trainer.test is not None:
                self.test_rows = trainer.test.rows(self.net.labels)
        self.order = torch.Generator().manual_seed(phase.seed)
        self.dropout = Dropout(phase.dropout, phase.seed)
        self.steps = 0

    def state(self) -> dict[str, Any]:
        """What the next epoch needs beside the net: tensors and plain data."""
        return {
            "steps": self.steps,
            "order": self.order.get_state(),
            "adam": None if self.adam is None else adam_state(self.adam),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.steps = state["steps"]
        self.order.set_state(state["order"])
        if self.adam is not None:
            restore_adam(self.adam, state["adam"])

    def _tune(self, x: Tensor) -> None:
        """Let layers that learn do what is fastest then, and the others respond fastest."""
        if self.augment is not None:
            x = self.augment(x)
        for i, layer in enumerate(self.layers[: self.stop]):
            learns = i in self.active and layer.learns
            choose([layer], x, learning=learns)
            x = layer.observe(x)[0] if learns else layer.respond(x)

    def _lr(self, epoch: int) -> float:
        lr = self.phase.lr
        if lr is None:
            lr = 1e-3 if self.readout_lr is None else self.readout_lr
        if self.phase.halving == "none":
            return lr
        return halving_rate(lr, epoch, self.phase.epochs, self.phase.halving)

    def _past(self, x: Tensor) -> Tensor:
        """What reaches the first layer that learns; the layers before are frozen."""
        if not self.start:
            return x
        below = self.layers[: self.start]
        if self.peers is not None:
            return torch.cat([self._shared(part, 0, self.start) for part in self._chunks(x)])
        made = outputs(below, self.scheduler, torch.split(x, CHUNK))
        first = next(made)
        # In the layout of its parts, for kernels round by it; beside all parts, twice the memory.
        last = first.ndim == 4 and not first.is_contiguous()
        layout = torch.channels_last if last else torch.contiguous_format
        whole = torch.empty(
            (len(x), *first.shape[1:]),
            dtype=first.dtype,
            device=first.device,
            memory_format=layout,
        )
        done = 0
        for part in itertools.chain((first,), made):
            whole[done : done + len(part)] = part
            done += len(part)
        return whole

    def _through(self, x: Tensor, start: int, stop: int) -> Tensor:
        for layer in self.layers[start:stop]:
            x = layer.respond(x)
        return x

    def _shared(self, x: Tensor, start: int, stop: int) -> Tensor:
        """The same; of several processes each computes a share."""
        if self.peers is None or start == stop:
            return self._through(x, start, stop)
        return self.peers.gather(self._through(self.peers.share(x), start, stop), len(x))

    def _chunks(self, x: Tensor) -> Sequence[Tensor]:
        parts: Sequence[Tensor] = torch.split(  # type: ignore[no-untyped-call, unused-ignore]
            x, CHUNK if self.peers is None else CHUNK * self.peers.size
        )
        return parts

    # -- learning ------------------------------------------------------------------------------

    def epoch(self, number: int) -> tuple[float | None, float | None]:
        """Train once on everything; mean loss and accuracy, if labels were learned."""
        lr = self._lr(number)
        if self.readout_lr is not None:
            self.readout.lr = lr
        if self.adam is not None:
            for group in self.adam.param_groups:
                group["lr"] = lr
        count = len(self.train)
        order = torch.arange(count)
        if self.phase.shuffle:
            order = torch.randperm(count, generator=self.order)
        parts = torch.split(order, self.phase.batch_size)
        if not self.taught:
            self._pass(parts)
            return None, None
        loss, right, told = 0.0, 0, 0  # of predictions made before each change
        for part in parts:
            scores = self._batch(part)
            self._count(len(part))
            rows = self.rows[part.to(self.rows.device)]
            loss += float(F.cross_entropy(scores, rows, reduction="sum"))
            right += int((scores.argmax(1) == rows).sum())
            told += int((rows >= 0).sum())
        return loss / told, right / told

    def _count(self, samples: int) -> None:
        self.net.counts["samples"] += samples
        self.net.counts["learned"] += samples

    def _inputs(self, part: Tensor) -> Tensor:
        x = self.train[part.to(self.train.device)]
        if self.augment is not None:
            x = self.augment(x)
        return x

    def _pass(self, parts: Sequence[Tensor]) -> None:
        """All mini-batches, without labels: by the tasks of a stream, several in flight."""
        span = slice(self.start, self.stop)
        learning = {i - self.start for i in self.active}
        names, check = self.net.names[span], self.net.check_races
        on_batch, rows = self.on_batch, iter(parts)
        show = None if on_batch is None else lambda out: on_batch(next(rows), out)
        passing = Passing(
            self.layers[span], names, learning, self.scheduler, check, self.peers, show
        )
        first = self.net.counts["samples"]
        try:
            for part in parts:
                passing.push(self._inputs(part), first)
                first += len(part)
            passing.drain()
        finally:
            self._count(passing.learned)

    def _batch(self, part: Tensor) -> Tensor:
        """One mini-batch with labels: respond, then learn. Returns the scores from before."""
        x = self._inputs(part)
        labels = [self.labels[i] for i in part.tolist()]
        seen: list[tuple[Layer, Any]] = []
        shared = self.peers if self.start < self.stop else None
        if shared is not None:
            x = shared.share(x)
        with torch.set_grad_enabled(self.adam is not None):
            for i in range(self.start, self.stop):
                layer = self.layers[i]
                if i in self.active and layer.learns:
                    x, kept = layer.observe(x)
                    seen.append((layer, kept))
                else:
                    x = layer.respond(x)
            if shared is not None:
                x = shared.gather(x, len(part))
            x = self.dropout(x, self.steps)
            self.steps += 1
            scores: Tensor = self.readout.respond(x)
            if self.adam is not None:
                self.adam.zero_grad()
                loss = F.cross_entropy(scores, self.rows[part.to(self.rows.device)])
                loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        told = self.readout.observe(x.detach())[1] if self.reads else None
        for layer, kept in seen:
            layer.learn(kept)
        if told is not None:
            self.readout.learn(told, labels)
        if self.adam is not None:
            self.adam.step()
        return scores.detach()

    # -- measuring -----------------------------------------------------------------------------

    def drive(self, x: Tensor, position: int) -> Tensor:
        """Drive of one layer for a whole set, as kept past the frozen part."""
        parts = self._chunks(x)
        return torch.cat([self._shared(part, self.start, position + 1) for part in parts])

    def measure(self, test: Tensor) -> tuple[float, float]:
        """Mean loss and accuracy of the test set, by the readout."""
        loss, right = 0.0, 0
        told = int((self.test_rows >= 0).sum())
        for x, rows in zip(self._chunks(test), self._chunks(self.test_rows), strict=True):
            scores = self.readout.respond(self._shared(x, self.start, len(self.layers)))
            loss += float(F.cross_entropy(scores, rows, reduction="sum"))
            right += int((scores.argmax(1) == rows).sum())
        return (loss / told, right / told) if told else (0.0, 0.0)
