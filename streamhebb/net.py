"""StreamNet: layers in a row that never stop learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from streamhebb import inputs, races, watch
from streamhebb.chain import check_layers, sample_ndim, trace_shapes
from streamhebb.clock import Clock, WallClock
from streamhebb.errors import ConfigError
from streamhebb.flow import Flow, Modulator, Refused
from streamhebb.frames import Frame, Mode
from streamhebb.layers import Layer
from streamhebb.layers.wired import WiredLayer
from streamhebb.learning import Learning
from streamhebb.parts import require_choice
from streamhebb.planner import Planner
from streamhebb.readouts import Readout
from streamhebb.running import Run
from streamhebb.schedule import Scheduler
from streamhebb.tuning import choose
from streamhebb.values import Sample, Shape, StepResult
from streamhebb.wake import Wake


class StreamNet(Learning):
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
            ``"auto"`` measures with the first sample of the first ``run`` what is fastest; see
            ``net.choice`` for what it chose and why.
        wake: what wakes a layer; ``None`` is every sample. See [`streamhebb.wake`][].
        clock: measures ``StepResult.seconds``; ``None`` is the wall clock.
        check_races: whether every task is checked for races, see [`streamhebb.races`][]; ``None``
            is as ``STREAMHEBB_RACES`` says.

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
        scheduler: Scheduler | str | None = None,
        wake: Wake | None = None,
        clock: Clock | None = None,
        check_races: bool | None = None,
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
        self.set_scheduler(scheduler)
        self.clock: Clock = WallClock() if clock is None else clock
        self.names = tuple(f"{i}:{type(layer).__name__}" for i, layer in enumerate(layers))
        self.counts = {"samples": 0, "learned": 0, "non-finite": 0}  # causes of a run join them
        self.generator = torch.Generator().manual_seed(0 if seed is None else seed)
        self._features: list[Any] | None = None  # names, when samples are dicts
        self.wake = wake
        self.check_races = races.wanted(check_races)
        self.planner = self._make_planner()
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

    # -- the step ------------------------------------------------------------------------------

    @torch.no_grad()
    def step(
        self,
        x: Any,
        target: Any = None,
        *,
        learn: bool = True,
        modulator: Modulator = 1.0,
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
        mode = Mode.LEARN if learn else Mode.ADVANCE
        begun = self.begin(x, target, mode, modulator=modulator)
        if isinstance(begun, Refused):
            return self.finish(begun, start)
        begun.activity = activity
        try:
            self.meet(begun)
            self._carry_through(begun)
        except BaseException:
            self.uncount(begun)
            raise
        begun.answered = self.clock.now()
        return self.finish(begun, start)

    @torch.no_grad()
    def respond(self, x: Any, *, activity: bool = False) -> StepResult:
        """Predict; change nothing, not even a counter.

        Scores are those of ``step``, except where a mini-batch is its own norm (``BatchNorm``).
        """
        start = self.clock.now()
        batch, single = self._accept(x.x if isinstance(x, Sample) else x)
        if not inputs.all_finite(batch):
            return self.finish(self._refuse(batch, self.counts["samples"]), start)
        frame = self._pass(batch)
        frame.number, frame.single, frame.activity = self.counts["samples"], single, activity
        frame.answered = self.clock.now()
        return self.finish(frame, start)

    def _look(self, x: Any) -> Tensor:
        with torch.no_grad():
            batch, _ = self._accept(x)
            if not inputs.all_finite(batch):
                raise inputs.non_finite(batch, self.counts["samples"])
            out: Tensor = self._pass(batch).out[-1]
            return out

    def _pass(self, batch: Tensor) -> Frame:
        """Let a batch pass without changing anything."""
        frame = Frame(batch, len(self.layers), (), ())
        frame.mode, frame.settings = Mode.LOOK, self.planner.settings
        self._carry_through(frame)
        return frame

    def _carry_through(self, frame: Frame) -> None:
        try:
            self.scheduler.submit(self.planner.step(frame.mode).plan, frame).wait()
        except BaseException:
            self.scheduler.clear()  # a step that failed is over; the next one is its own
            raise

    # -- its two ends, for whoever keeps several samples in flight -------------------------------

    def begin(
        self, x: Any, target: Any, mode: Mode, *, modulator: Modulator = 1.0, copy: bool = False
    ) -> Frame | Refused:
        """Check a sample and count it; the frame is ready for a scheduler.

        Args:
            x: as for ``step``.
            target: its label.
            mode: what may change.
            modulator: third factor.
            copy: whether the caller may overwrite ``x`` before the frame has passed.

        Raises:
            InputError: for a sample or label that is refused, if the policy is to raise.
        """
        batch, single = self._accept(x)
        labels = inputs.targets(target, len(batch), single)
        number = self.counts["samples"]
        if self.readout is not None:
            self.readout.check(labels)
        modulators = inputs.modulators(modulator, self.names)
        self.counts["samples"] += len(batch)
        if not inputs.all_finite(batch):
            self.counts["non-finite"] += len(batch)
            return self._refuse(batch, number)
        if copy or self.wake is not None:
            batch = batch.clone()
        frame = Frame(batch, len(self.layers), labels, modulators)
        frame.number, frame.single, frame.mode = number, single, mode
        frame.settings = self.planner.settings
        if mode is Mode.LEARN:
            self.counts["learned"] += len(batch)
            frame.look = watch.due(number, self.counts["samples"])
        return frame

    def uncount(self, frame: Frame) -> None:
        """Take back that a sample was counted: a layer has refused it, or has failed."""
        self.counts["samples"] -= len(frame.out[0])
        self.counts["learned"] -= len(frame.out[0]) if frame.mode is Mode.LEARN else 0

    def finish(self, frame: Frame | Refused, start: float) -> StepResult:
        """Turn a frame that has passed into a result; frames come in the order they began.

        Args:
            frame: what ``begin`` returned.
            start: when the sample arrived.

        Raises:
            DivergedError: if weights are no longer finite.
        """
        if isinstance(frame, Refused):
            return frame.result(self.clock.now() - start)
        if frame.look:
            self.warn_of_runaway(5)  # whoever called step
        scores = self.planner.scores(frame)
        prediction: Any = None
        if scores is not None and self.readout is not None and scores.shape[1]:
            best, index = scores.max(1)
            self._check_finite(best)
            prediction = [self.readout.labels[i] for i in index.tolist()]
        elif frame.out[-1] is not None:  # also where a readout waits for its first label
            self._check_finite(frame.out[-1])
        return frame.result(prediction, scores, self.names, start)

    def _accept(self, x: Any) -> tuple[Tensor, bool]:
        """Check everything but finiteness; changes the input shape on the first sample only."""
        names = self._features
        if isinstance(x, Mapping):
            x, names = inputs.from_features(x, names)
        device, dtype = self.place
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

    def _refuse(self, batch: Tensor, number: int) -> Refused:
        if self.on_bad == "raise":
            raise inputs.non_finite(batch, number)
        return Refused(number)

    def _check_finite(self, values: Tensor) -> None:
        if not inputs.all_finite(values):
            raise self.diverged()

    # -- many samples in flight ----------------------------------------------------------------

    def run(
        self, source: Any, *, policy: str = "block", waiting: int | None = None, **wishes: Any
    ) -> Run:
        """Let a stream pass with several samples in flight; results come in order.

        Args:
            source: as for [`Run`][streamhebb.running.Run], which says what becomes of it.
            policy: what happens when samples come faster than the net learns.
            waiting: samples that may wait before the net; ``None`` is as many as the policy needs.
            wishes: ``depth``, ``deadline``, ``order``, ``learn``, ``modulator`` and ``activity``,
                as for [`Flow`][streamhebb.flow.Flow].

        Example:
            >>> import torch
            >>> from streamhebb import Dense, StreamNet
            >>> from streamhebb.schedule import Threads
            >>> net = StreamNet(Dense(4, 8), seed=0, scheduler=Threads(2))
            >>> with net, net.run(torch.rand(3, 4)) as results:
            ...     print([result.sample for result in results])
            [0, 1, 2]
        """
        self.alone("net.run")
        return Run(Flow(self, **wishes), source, policy=policy, waiting=waiting)

    # -- kernels -------------------------------------------------------------------------------

    def choose_kernels(
        self, x: Any, precision: str | None = None, backends: Sequence[str] = ()
    ) -> dict[str, str]:
        """Measure on copies which kernels are fastest for samples like this; use them from now on.

        Results then differ by rounding from those of other kernels. The choice is kept in
        snapshots, so that a run goes on bit for bit. ``layer.method`` overrides it.

        Args:
            x: a sample, or a micro-batch of the size to come.
            precision: of all layers' products, ``"full"`` or ``"bfloat16"``; ``None`` leaves it.
            backends: to try as well, such as ``("torch", "numba")``; none leaves them.

        Returns:
            What ``kernels`` returns.
        """
        self.alone("choose_kernels")
        batch, _ = self._accept(x)
        choose(self._layers, batch, precision=precision, backends=backends)
        return self.kernels()

    def kernels(self) -> dict[str, str]:
        """How each layer with weights makes its products; see [`streamhebb.tuning`][]."""
        pairs = zip(self.names, self._layers, strict=True)
        return {name: layer.products for name, layer in pairs if isinstance(layer, WiredLayer)}

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        standing = state.pop("planner").standing  # plans point at this net's own layers
        return state | {"standing": standing.state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        standing = state.pop("standing")
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.planner = self._make_planner()
        self.planner.standing.restore(standing)

    def _make_planner(self) -> Planner:
        return Planner(
            self._layers, self.names, self.readout, self.clock, self.wake, self.check_races
        )
