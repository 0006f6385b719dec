"""What `train_phases` runs: one phase after the other, on one net and one set."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from streamhebb import inputs
from streamhebb.chance import Dropout
from streamhebb.errors import ConfigError, DivergedError, LabelError
from streamhebb.evaluate.labelled import LabelledSet
from streamhebb.evaluate.neuron_labels import NeuronLabels
from streamhebb.evaluate.passing import Passing
from streamhebb.evaluate.phase import Phase, PhaseEpoch
from streamhebb.evaluate.responding import outputs
from streamhebb.evaluate.schedule import halving_rate
from streamhebb.layers import Dense, Layer, PlasticLayer
from streamhebb.net import StreamNet
from streamhebb.schedule import Scheduler, Serial
from streamhebb.tuning import choose

CHUNK = 500  # samples that are measured together
NEAR = {True: 0.005, False: 0.01}  # published: a radius this close to 1 has converged; dense, conv


class Trainer:
    """A net, its blocks and its data; one call of ``run`` a phase.

    Args:
        net: changed in place.
        blocks: positions of the layers of each block.
        train: inputs and labels.
        test: the same, or ``None``.
        augment: changes inputs before use, or ``None``.
        scheduler: runs phases without labels; ``None`` is one mini-batch after the other.
        tune: whether each phase measures which kernels are fastest for its mini-batches.
        on_batch: see [`train_phases`][streamhebb.evaluate.phases.train_phases].
    """

    def __init__(
        self,
        net: StreamNet,
        blocks: Sequence[range],
        train: Any,
        test: Any,
        augment: Callable[[Tensor], Tensor] | None,
        scheduler: Scheduler | None = None,
        tune: bool = False,
        on_batch: Callable[[Tensor, Tensor], object] | None = None,
    ) -> None:
        self.net = net
        self.layers: list[Layer] = list(net.layers)  # type: ignore[arg-type]
        self.blocks = blocks
        self.train = LabelledSet(net, train, "train")
        self.test = None if test is None else LabelledSet(net, test, "test")
        self.augment = augment
        self.scheduler: Scheduler = Serial() if scheduler is None else scheduler
        self.tune = tune
        self.on_batch = on_batch

    # -- what a phase is about -----------------------------------------------------------------

    def _active(self, phase: Phase) -> list[int]:
        """Positions of the layers that learn."""
        return [i for n in sorted(phase.blocks) if n < len(self.blocks) for i in self.blocks[n]]

    def _reads(self, phase: Phase) -> bool:
        return len(self.blocks) in phase.blocks

    def _graded(self, phase: Phase) -> list[Any]:
        """Parameters that follow a gradient in this phase."""
        return [p for i in self._active(phase) for p in self.layers[i].parameters()]

    def check(self, phase: Phase) -> None:
        """Refuse a phase in which nothing can learn, or that lacks labels.

        Raises:
            ConfigError: naming the blocks.
            LabelError: if labels are needed and there are none, or unknown ones.
        """
        weighty = any(self.layers[i].plastic for i in self._active(phase))
        graded, reads = bool(self._graded(phase)), self._reads(phase)
        if not (weighty or graded or reads):
            raise ConfigError(f"train_phases: blocks {phase.blocks} hold no weights that can learn")
        if graded and self.net.readout is None:
            raise ConfigError("train_phases: layers with parameters need a readout to learn from")
        if graded or reads:
            if not self.train.told:
                raise LabelError(f"train_phases: blocks {phase.blocks} learn labels; give train's")
            if self.net.readout is not None:
                self.net.readout.check(self.train.y)
                known = dict.fromkeys((*self.net.labels, *self.train.y))
                for each in (self.train, self.test):
                    if each is not None:
                        each.rows([label for label in known if label is not None])

    # -- the phase -----------------------------------------------------------------------------

    def run(
        self, number: int, phase: Phase, report_every: int, on_epoch: Callable[[PhaseEpoch], object]
    ) -> list[PhaseEpoch]:
        """Train, and report after epochs 1, multiples of ``report_every``, and the last."""
        start, reports = time.perf_counter(), list[PhaseEpoch]()
        with torch.no_grad(), self._stretched(phase), self._own_rate() as readout_lr:
            work = _Work(self, phase, readout_lr)
            for epoch in range(phase.epochs):
                loss, accuracy = work.epoch(epoch)
                self._check_finite(number, epoch)
                done = epoch + 1
                if not epoch or done % report_every == 0 or done == phase.epochs:
                    reports.append(self._report(work, number, done, loss, accuracy, start))
                    on_epoch(reports[-1])
        return reports

    @contextmanager
    def _stretched(self, phase: Phase) -> Iterator[None]:
        """Stretch the schedules of rates over the phase, and put them back afterwards."""
        parts: list[Any] = [self.layers[i] for i in self._active(phase)]
        parts += [self.net.readout] if self._reads(phase) else []
        found = [part for part in parts if hasattr(getattr(part, "rate", None), "steps")]
        kept = [(part, part.rate) for part in found if phase.stretch]
        steps = phase.epochs * len(self.train.x) / phase.batch_size
        for part, rate in kept:
            part.rate = dataclasses.replace(rate, steps=steps)
            part.updates.zero_()
        try:
            yield
        finally:
            for part, rate in kept:
                part.rate = rate

    @contextmanager
    def _own_rate(self) -> Iterator[float | None]:
        """The readout's own ``lr``, put back afterwards; ``None`` if it has none."""
        readout: Any = self.net.readout
        lr = getattr(readout, "lr", None)
        try:
            yield lr
        finally:
            if lr is not None:
                readout.lr = lr

    def _check_finite(self, number: int, epoch: int) -> None:
        parts = [*zip(self.net.names, self.layers, strict=True), ("the readout", self.net.readout)]
        for name, part in parts:
            weight = getattr(part, "weight", None)
            if isinstance(weight, Tensor) and not inputs.all_finite(weight):
                raise DivergedError(
                    f"the weights of {name} are no longer finite after epoch {epoch + 1} of phase "
                    f"{number}; lower its rate or use a scaling (LayerMax, NeuronRMS)"
                )

    # -- measures ------------------------------------------------------------------------------

    def _report(
        self,
        work: _Work,
        number: int,
        epoch: int,
        loss: float | None,
        accuracy: float | None,
        start: float,
    ) -> PhaseEpoch:
        test_loss = test_accuracy = None
        if loss is None:
            accuracy, test_accuracy = self._label_neurons(work)
        elif work.test is not None:
            test_loss, test_accuracy = work.measure(work.test)
        hebbian: list[Any] = [layer for layer in self.layers if isinstance(layer, PlasticLayer)]
        if hasattr(self.net.readout, "radius"):
            hebbian.append(self.net.readout)
        radii = [(layer.radius() - 1).abs() for layer in hebbian]
        dense = [not (isinstance(h, PlasticLayer) and h.sample_ndim == 3) for h in hebbian]
        return PhaseEpoch(
            number,
            epoch,
            accuracy,
            test_accuracy,
            loss,
            test_loss,
            tuple(float(apart.mean()) for apart in radii),
            tuple(int((r < NEAR[flat]).sum()) for r, flat in zip(radii, dense, strict=True)),
            tuple(float(torch.as_tensor(layer.current_rate()).mean()) for layer in hebbian),
            time.perf_counter() - start,
        )

    def _label_neurons(self, work: _Work) -> tuple[float | None, float | None]:
        """Accuracies by labelled neurons of the phase's last Hebbian layer, if that is dense."""
        active = self._active(work.phase)
        last = [i for i in active if isinstance(self.layers[i], PlasticLayer)][-1]
        layer = self.layers[last]
        if not isinstance(layer, Dense) or layer.competition is None or not self.train.told:
            return None, None
        classes = dict.fromkeys(label for label in self.train.y if label is not None)
        same = len({type(label) for label in classes}) == 1
        labels = NeuronLabels(layer.n_out, sorted(classes) if same else classes)
        drive = work.drive(work.train, last)
        labels.update(drive, self.train.y, layer.competition(drive))
        if self.test is None or work.test is None:
            return labels.accuracy(drive, self.train.y), None
        tested = labels.accuracy(work.drive(work.test, last), self.test.y)
        return labels.accuracy(drive, self.train.y), tested


class _Work:
    """One phase at work: inputs past the frozen part, optimiser, chance."""

    def __init__(self, trainer: Trainer, phase: Phase, readout_lr: float | None) -> None:
        self.phase = phase
        self.layers = trainer.layers
        self.net = trainer.net
        self.augment = trainer.augment
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
        if trainer.tune:
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
        return torch.cat(list(outputs(below, self.scheduler, torch.split(x, CHUNK))))

    def _through(self, x: Tensor, start: int, stop: int) -> Tensor:
        for layer in self.layers[start:stop]:
            x = layer.respond(x)
        return x

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
        return x if self.augment is None else self.augment(x)

    def _pass(self, parts: Sequence[Tensor]) -> None:
        """All mini-batches, without labels: by the tasks of a stream, several in flight."""
        span = slice(self.start, self.stop)
        learning = {i - self.start for i in self.active}
        names, check = self.net.names[span], self.net.check_races
        on_batch, rows = self.on_batch, iter(parts)
        show = None if on_batch is None else lambda out: on_batch(next(rows), out)
        passing = Passing(self.layers[span], names, learning, self.scheduler, check, show)
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
        with torch.set_grad_enabled(self.adam is not None):
            for i in range(self.start, self.stop):
                layer = self.layers[i]
                if i in self.active and layer.learns:
                    x, kept = layer.observe(x)
                    seen.append((layer, kept))
                else:
                    x = layer.respond(x)
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
        parts = torch.split(x, CHUNK)
        return torch.cat([self._through(part, self.start, position + 1) for part in parts])

    def measure(self, test: Tensor) -> tuple[float, float]:
        """Mean loss and accuracy of the test set, by the readout."""
        loss, right = 0.0, 0
        told = int((self.test_rows >= 0).sum())
        for x, rows in zip(
            torch.split(test, CHUNK), torch.split(self.test_rows, CHUNK), strict=True
        ):
            scores = self.readout.respond(self._through(x, self.start, len(self.layers)))
            loss += float(F.cross_entropy(scores, rows, reduction="sum"))
            right += int((scores.argmax(1) == rows).sum())
        return (loss / told, right / told) if told else (0.0, 0.0)
