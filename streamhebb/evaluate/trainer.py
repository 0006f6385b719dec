"""What `train_phases` runs: one phase after the other, on one net and one set."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from streamhebb import inputs
from streamhebb.errors import ConfigError, DivergedError, LabelError
from streamhebb.evaluate.labelled import LabelledSet, check_alike
from streamhebb.evaluate.measures import FIRST, NEAR, measure_layer
from streamhebb.evaluate.neuron_labels import NeuronLabels
from streamhebb.evaluate.phase import Phase, PhaseEpoch
from streamhebb.evaluate.standing import Standing
from streamhebb.evaluate.tally import Tally, counting
from streamhebb.evaluate.work import Work
from streamhebb.layers import Dense, Layer, PlasticLayer
from streamhebb.net import StreamNet
from streamhebb.schedule import Scheduler, Serial


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
        self.peers = net.peers
        check_alike(net, (self.train, self.test), self.scheduler, augment=augment, tune=tune)
        self.on_batch = on_batch
        plastic = ((i, one) for i, one in enumerate(self.layers) if isinstance(one, PlasticLayer))
        self.tallies = {i: Tally(one) for i, one in plastic}

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
        self,
        phase: Phase,
        standing: Standing,
        report_every: int,
        on_epoch: Callable[[PhaseEpoch], object],
    ) -> None:
        """Train, and report after epochs 1, multiples of ``report_every``, and the last.

        Args:
            phase: the one that ``standing`` is at; what it has behind it is not done again.
            standing: is told of every finished epoch.
            report_every: as said.
            on_epoch: called with every report, before the epoch counts as finished.
        """
        start, number = time.perf_counter() - standing.seconds, standing.phase
        with (
            torch.no_grad(),
            self._stretched(phase, not standing.begun),
            self._own_rate() as readout_lr,
        ):
            work = Work(self, phase, readout_lr, tune=self.tune and not standing.begun)
            if standing.begun:
                work.restore(standing.work)
            for epoch in range(standing.epoch, phase.epochs):
                self._check_peers()
                with counting(self._counted(phase).values(), self.peers):
                    loss, accuracy = work.epoch(epoch)
                self._check_finite(number, epoch)
                done = epoch + 1
                report = None
                if not epoch or done % report_every == 0 or done == phase.epochs:
                    report = self._report(work, number, done, loss, accuracy, start)
                    standing.reports.append(report)
                try:
                    if report is not None:
                        on_epoch(report)
                finally:  # what is raised there does not undo the epoch
                    standing.keep(work, phase, time.perf_counter() - start)
            self._check_peers()

    def _check_peers(self) -> None:
        """Check that all processes have the same weights, if there are several."""
        if self.peers is not None:
            self.peers.check()

    @contextmanager
    def _stretched(self, phase: Phase, anew: bool) -> Iterator[None]:
        """Stretch the schedules of rates over the phase, and put them back afterwards."""
        parts: list[Any] = [self.layers[i] for i in self._active(phase)]
        parts += [self.net.readout] if self._reads(phase) else []
        found = [part for part in parts if hasattr(getattr(part, "rate", None), "steps")]
        kept = [(part, part.rate) for part in found if phase.stretch]
        steps = phase.epochs * len(self.train.x) / phase.batch_size
        for part, rate in kept:
            part.rate = dataclasses.replace(rate, steps=steps)
            if anew:
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

    def _counted(self, phase: Phase) -> dict[int, Tally]:
        """Who counts in the layers that learn, by position."""
        return {i: self.tallies[i] for i in self._active(phase) if i in self.tallies}

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
        work: Work,
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
        places: list[Any] = [
            i for i, layer in enumerate(self.layers) if isinstance(layer, PlasticLayer)
        ]
        hebbian: list[Any] = [self.layers[i] for i in places]
        names = [self.net.names[i] for i in places]
        if hasattr(self.net.readout, "radius"):
            hebbian.append(self.net.readout)
            names.append("readout")
        radii = [(layer.radius() - 1).abs() for layer in hebbian]
        dense = [not (isinstance(h, PlasticLayer) and h.sample_ndim == 3) for h in hebbian]
        tallies = self._counted(work.phase)
        found = [tallies.get(place) for place in places] + [None] * (len(hebbian) - len(places))
        layers = zip(names, hebbian, (FIRST[flat] for flat in dense), found, strict=True)
        measures = tuple(measure_layer(*each) for each in layers)
        for tally in tallies.values():
            tally.reported()
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
            measures,
        )

    def _label_neurons(self, work: Work) -> tuple[float | None, float | None]:
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
