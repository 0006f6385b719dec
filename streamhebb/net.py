"""StreamNet: layers in a row that never stop learning."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from streamhebb import checkpoint, inputs, watch
from streamhebb.chain import check_layers, sample_ndim, trace_shapes
from streamhebb.clock import Clock, WallClock
from streamhebb.errors import ConfigError, InputError, NonFiniteError
from streamhebb.estimator import Estimator, batches
from streamhebb.frames import Frame, Mode, plan_step
from streamhebb.layers import Layer
from streamhebb.parts import require_choice
from streamhebb.readouts import Readout
from streamhebb.schedule import Plan, Scheduler, Serial
from streamhebb.values import Label, Sample, Shape, StepResult


class StreamNet(Estimator, nn.Module):
    """A net that learns from every sample it sees, layer by layer, with nothing flowing back.

    Args:
        layers: from input to output.
        readout: learns labels from the last layer's output; ``None`` for unlabelled streams.
        seed: draws all initial weights, in layer order. ``None`` keeps the weights that the
            layers have.
        input_shape: shape of one sample. Needed if the first layers cannot tell (a net that
            begins with ``Flatten``), or if the readout is to find out its number of features.
        on_bad: what to do with a sample that holds NaN or infinite values: ``"raise"``, or
            ``"skip"`` it; both count it.
        scheduler: runs the tasks; ``None`` is [`Serial`][streamhebb.schedule.serial.Serial].
        clock: measures ``StepResult.seconds``; ``None`` is the wall clock.

    Raises:
        ConfigError: if the layers do not fit together or onto ``input_shape``.

    Example:
        >>> import torch
        >>> from streamhebb import Dense, SoftmaxReadout, StreamNet
        >>> net = StreamNet(Dense(4, 8), readout=SoftmaxReadout(8), seed=0)
        >>> net.step(torch.rand(4), "cat").prediction is None
        True
        >>> net.step(torch.rand(4), "dog").prediction
        'cat'
    """

    def __init__(
        self,
        *layers: Layer,
        readout: Readout | None = None,
        seed: int | None = 0,
        input_shape: Sequence[int] | None = None,
        on_bad: str = "raise",
        scheduler: Scheduler | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        check_layers(layers)
        require_choice("StreamNet", "on_bad", on_bad, ("raise", "skip"))
        if not (seed is None or isinstance(seed, int)):
            raise ConfigError(f"StreamNet: seed={seed!r} is not allowed; give an int or None")
        self.layers = nn.ModuleList(layers)
        self.readout = readout
        self.seed = seed
        self.on_bad = on_bad
        self.scheduler: Scheduler = Serial() if scheduler is None else scheduler
        self.clock: Clock = WallClock() if clock is None else clock
        self.names = tuple(f"{i}:{type(layer).__name__}" for i, layer in enumerate(layers))
        self.counts: dict[str, int] = {"samples": 0, "learned": 0, "non-finite": 0}
        self.generator = torch.Generator().manual_seed(0 if seed is None else seed)
        self._features: list[Any] | None = None  # names, when samples are dicts
        self._plans: dict[Mode, Plan] = {}
        self.input_shape: Shape | None = None
        self._sample_ndim = sample_ndim(layers)
        if input_shape is not None:
            self.fix_shape(tuple(input_shape))
        elif self._sample_ndim is None:
            raise ConfigError(
                f"StreamNet cannot tell the shape of a sample from {self.names[0]}; pass "
                f"input_shape, for example input_shape=(1, 28, 28)"
            )
        elif readout is not None and readout.n_in is None:
            raise ConfigError(
                "the readout's n_in is not known yet; give it, or pass input_shape to StreamNet"
            )
        if seed is not None:
            for layer in layers:
                layer.reset(self.generator)

    # -- shape and place -----------------------------------------------------------------------

    def fix_shape(self, shape: Shape) -> None:
        """Accept the shape of one sample, for good, after checking every layer against it."""
        out = trace_shapes(self._layers, self.names, shape)[-1]
        if self.readout is not None:
            if len(out) != 1:
                raise ConfigError(
                    f"the readout needs a vector, but {self.names[-1]} gives {out}; put "
                    f"Flatten() before the readout"
                )
            if self.readout.n_in is None:
                self.readout.build(out[0])
            elif self.readout.n_in != out[0]:
                raise ConfigError(
                    f"the readout takes n_in={self.readout.n_in} features, but "
                    f"{self.names[-1]} gives {out[0]} for samples of shape {shape}"
                )
        self.input_shape = shape

    @property
    def _layers(self) -> list[Layer]:
        return list(self.layers)  # type: ignore[arg-type]

    @property
    def _place(self) -> tuple[torch.device, torch.dtype]:
        for value in self.buffers():
            if value.is_floating_point() and value.dtype != torch.float64:
                return value.device, value.dtype
        for value in self.buffers():
            if value.is_floating_point():
                return value.device, value.dtype
        return torch.device("cpu"), torch.float32

    # -- the step ------------------------------------------------------------------------------

    @torch.no_grad()
    def step(
        self,
        x: Any,
        target: Any = None,
        *,
        learn: bool = True,
        modulator: float | Tensor | Mapping[str | int, float | Tensor] = 1.0,
        activity: bool = False,
    ) -> StepResult:
        """Predict from one sample, then let every layer learn from it.

        Args:
            x: one sample of ``input_shape`` (or a micro-batch, or a
                [`Sample`][streamhebb.values.Sample], or River's dict of features), floating point.
            target: its label (one each for a micro-batch), ``None`` if unknown. Used by the
                readout only, after the prediction is made.
            learn: ``False`` only predicts; the sample is still counted, and what goes on from
                sample to sample (membranes, traces) goes on.
            modulator: third factor, multiplies the learning rate of every plastic layer; or one
                each, by the layer's name or number, 1 for those not named.
            activity: also return every layer's output.

        Returns:
            The prediction and more. See [`StepResult`][streamhebb.values.StepResult].

        Raises:
            InputError: for a sample or label that is refused; nothing has learned from it.
            DivergedError: if weights are no longer finite.
        """
        start = self.clock.now()
        if isinstance(x, Sample):
            x, target = x.x, x.target if target is None else target
        batch, single = self._accept(x)
        labels = inputs.targets(target, len(batch), single)
        number = self.counts["samples"]
        if self.readout is not None:
            self.readout.check(labels)
        modulators = inputs.modulators(modulator, self.names)
        if not inputs.all_finite(batch):
            self.counts["samples"] += len(batch)
            self.counts["non-finite"] += len(batch)
            return self._refuse(batch, number, start)
        frame = self._run(batch, Mode.LEARN if learn else Mode.ADVANCE, labels, modulators)
        self.counts["samples"] += len(batch)
        self.counts["learned"] += len(batch) if learn else 0
        if learn and watch.due(number, self.counts["samples"]):
            named = zip(self.names, self._layers, strict=True)
            watch.look_for_runaways(named, self.counts["learned"])
        return self._result(frame, single, start, number, activity)

    @torch.no_grad()
    def respond(self, x: Any, *, activity: bool = False) -> StepResult:
        """Predict; change nothing, not even a counter.

        Scores are those of ``step``, except where a mini-batch is its own norm (``BatchNorm``).
        """
        start = self.clock.now()
        batch, single = self._accept(x.x if isinstance(x, Sample) else x)
        if not inputs.all_finite(batch):
            return self._refuse(batch, self.counts["samples"], start)
        frame = self._run(batch, Mode.LOOK)
        return self._result(frame, single, start, self.counts["samples"], activity)

    def _accept(self, x: Any) -> tuple[Tensor, bool]:
        """Check everything but finiteness; changes the input shape on the first sample only."""
        names = self._features
        if isinstance(x, Mapping):
            x, names = inputs.from_features(x, names)
        device, dtype = self._place
        batch = inputs.check_place(inputs.to_tensor(x, device), device, dtype)
        shape = self.input_shape
        if shape is None:
            whole = tuple(batch.shape)
            shape = whole[1:] if len(whole) - 1 == self._sample_ndim else whole
        accepted = inputs.split_batch(batch, shape)
        if self.input_shape is None:
            self.fix_shape(shape)
        self._features = names  # only now: a sample that was refused names nothing
        return accepted

    def _refuse(self, batch: Tensor, number: int, start: float) -> StepResult:
        if self.on_bad == "raise":
            raise self._non_finite(batch, number)
        return StepResult(None, None, self.clock.now() - start, number, skipped="non-finite")

    @staticmethod
    def _non_finite(batch: Tensor, number: int) -> NonFiniteError:
        bad = int((~torch.isfinite(batch)).sum())
        return NonFiniteError(
            f"sample {number} holds {bad} NaN or infinite values of {batch.numel()} (as "
            f"{batch.dtype}); nothing learned from it. Clean the source, or build the net with "
            f"on_bad='skip'"
        )

    def _run(
        self, batch: Tensor, mode: Mode, target: Sequence[Any] = (), modulators: Sequence[Any] = ()
    ) -> Frame:
        frame = Frame(batch, len(self.layers), target, modulators)
        plan = self._plans.get(mode)
        if plan is None:
            plan = plan_step(self._layers, self.names, self.readout, mode)
            self._plans[mode] = plan
        self.scheduler.submit(plan, frame)
        self.scheduler.join()
        return frame

    def _result(
        self, frame: Frame, single: bool, start: float, number: int, activity: bool
    ) -> StepResult:
        scores: Tensor = frame.out[-1] if frame.scores is None else frame.scores
        prediction: Any = None
        if self.readout is not None and scores.shape[1]:
            best, index = scores.max(1)
            self._check_finite(best)
            labels = self.readout.labels
            prediction = [labels[i] for i in index.tolist()]
            prediction = prediction[0] if single else prediction
        else:  # also where a readout waits for its first label
            self._check_finite(frame.out[-1])
        shown = {}
        if activity:
            outs = zip(self.names, frame.out[1:], strict=True)
            shown = {name: out[0] if single else out for name, out in outs}
        return StepResult(
            prediction,
            scores[0] if single else scores,
            self.clock.now() - start,
            number,
            shown,
        )

    def _check_finite(self, values: Tensor) -> None:
        if not inputs.all_finite(values):
            parts = [*zip(self.names, self._layers, strict=True), ("the readout", self.readout)]
            raise watch.diverged(parts, self.counts["learned"])

    def reset_state(self) -> None:
        """Bring what goes on from sample to sample to rest, where a stream breaks; weights stay."""
        for layer in self._layers:
            layer.reset_state()

    # -- sets and classes ----------------------------------------------------------------------

    @torch.no_grad()
    def probabilities(self, x: Any) -> tuple[tuple[Label, ...], Tensor]:
        """Return the classes and ``(B, n_classes)`` probabilities; change nothing."""
        readout = self._classifier()
        scores = self.respond(x).scores
        if scores is None:
            raise NonFiniteError("the sample holds NaN or infinite values")
        scores = scores[None] if scores.ndim == 1 else scores
        return readout.labels, readout.probabilities(scores)

    @torch.no_grad()
    def features(self, X: Any, batch_size: int = 256) -> Tensor:
        """Return the last layer's output for a whole set, ``(N, ...)``; change nothing.

        Args:
            X: an array ``(N, *input_shape)``, or anything that yields mini-batches.
            batch_size: for arrays.

        Raises:
            NonFiniteError: for NaN or infinite values, whatever ``on_bad`` says: a row left out
                here would set samples and labels apart.
        """
        parts = []
        for x, _ in batches(X, None, batch_size):
            batch, _ = self._accept(x)
            if not inputs.all_finite(batch):
                raise self._non_finite(batch, self.counts["samples"])
            parts.append(self._run(batch, Mode.LOOK).out[-1])
        if not parts:
            raise InputError("there is nothing to respond to: the set is empty")
        return torch.cat(parts)

    @property
    def labels(self) -> tuple[Label, ...]:
        """The classes known so far, in the order of the scores."""
        return () if self.readout is None else self.readout.labels

    def add_classes(self, classes: Iterable[Label]) -> None:
        """Make classes known before they appear."""
        self._classifier().add_classes(classes)

    def _classifier(self) -> Readout:
        if self.readout is None:
            raise ConfigError("this net has no readout, so it has no classes")
        return self.readout

    # -- what it is, and its state -------------------------------------------------------------

    @property
    def grows(self) -> bool:
        """Whether classes may appear during the stream."""
        return self.readout is not None and self.readout.open

    @property
    def carried(self) -> frozenset[str]:
        """Names of the state that goes on from sample to sample without learning."""
        pairs = enumerate(self._layers)
        return frozenset(f"layers.{i}.{b}" for i, layer in pairs for b in layer.carried_buffers)

    def nonlocal_parts(self) -> dict[str, tuple[str, ...]]:
        """Return, for each layer, the parts that look beyond a synapse and its two neurons."""
        pairs = zip(self.names, self._layers, strict=True)
        return {name: parts for name, layer in pairs if (parts := layer.nonlocal_parts())}

    def describe(self) -> dict[str, Any]:
        """Describe the net as plain JSON data: what a snapshot checks and a net file holds."""
        return {
            "input_shape": None if self.input_shape is None else list(self.input_shape),
            "layers": [layer.config() for layer in self._layers],
            "readout": None if self.readout is None else self.readout.config(),
            "seed": self.seed,
            "on_bad": self.on_bad,
        }

    def get_extra_state(self) -> dict[str, Any]:
        """Counters, feature names and the random generator, for ``state_dict``."""
        return {
            "counts": dict(self.counts),
            "features": self._features,
            "generator": self.generator.get_state(),
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` gave."""
        self.counts = dict(state["counts"])
        self._features = state["features"]
        self.generator.set_state(state["generator"].cpu())

    def save(self, path: str | os.PathLike[str], extra: Any = None) -> None:
        """Write everything needed to go on, as one atomic snapshot.

        Args:
            path: the file.
            extra: anything JSON can hold, kept beside (the position in a stream).

        Raises:
            SnapshotError: if the disk refuses; an older snapshot there is untouched.
        """
        checkpoint.save(self, path, extra)

    def load(self, path: str | os.PathLike[str]) -> Any:
        """Restore a snapshot of the same net; the run then goes on as if never interrupted.

        Returns:
            What was given to ``save`` as ``extra``.

        Raises:
            SnapshotError: if it is damaged or of another net; the net is then untouched.
        """
        return checkpoint.load(self, path)

    def __sklearn_clone__(self) -> Self:
        """Return an untrained net of the same kind (scikit-learn's ``clone``)."""
        net = copy.deepcopy(self)
        net.generator.manual_seed(0 if self.seed is None else self.seed)
        net._features = None
        for part in (*net._layers, net.readout):
            if part is not None:
                part.reset(net.generator)
        net.counts = dict.fromkeys(net.counts, 0)
        return net

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_plans": {}}  # plans point at this net's own layers
