"""What a net hands to a scheduler: one frame a sample, and the plan of tasks that fills it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import torch
from torch import Tensor

from streamhebb.chain import stages
from streamhebb.clock import Clock, WallClock
from streamhebb.errors import ConfigError
from streamhebb.layers import Layer
from streamhebb.order import InOrder, Order
from streamhebb.races import UNCHECKED, Races, born
from streamhebb.readouts import Readout
from streamhebb.schedule import QUIET, Plan, Task, make_plan
from streamhebb.values import Sample, StepResult
from streamhebb.wake import Standing, Wake


class Frame:
    """The values of one sample, or micro-batch, on its way through the net."""

    __slots__ = (
        "activity",
        "answered",
        "begun",
        "born",
        "ended",
        "given",
        "look",
        "missed",
        "mode",
        "modulator",
        "number",
        "out",
        "passed",
        "scores",
        "seen",
        "settings",
        "single",
        "target",
        "told",
        "turn",
    )

    def __init__(
        self, x: Tensor, layers: int, target: Sequence[Any], modulator: Sequence[Any]
    ) -> None:
        self.born = born(x)
        self.out: list[Any] = [x] + [None] * layers  # out[i + 1] is the output of layer i
        self.seen: list[Any] = [None] * layers
        self.target = target
        self.modulator = modulator  # one for each layer
        self.scores: Tensor | None = None
        self.told: Any = None  # what the readout keeps until it learns
        self.number = 0  # of its first sample in the life of the net
        self.turn = 0  # of the frame among those submitted
        self.mode = Mode.LEARN
        self.single = False
        self.activity = False
        self.look = False  # whether it is time to look for weights that run away
        self.given: Sample | None = None
        self.begun = self.answered = self.ended = 0.0  # on the clock; ended: last layer to learn
        self.passed: list[str] = []  # stages that nothing woke
        self.missed: dict[str, int] = {}
        self.settings: Callable[[], Hashable] = tuple  # of the net; asked where tasks are recorded

    def result(
        self, prediction: Any, scores: Tensor | None, names: Sequence[str], start: float
    ) -> StepResult:
        """What is said of the frame: of one sample where it was one, else of a micro-batch."""
        outs = zip(names, self.out[1:], strict=True) if self.activity else ()
        shown = {name: out for name, out in outs if out is not None}
        if self.single:
            prediction = None if prediction is None else prediction[0]
            scores = None if scores is None else scores[0]
            shown = {name: out[0] for name, out in shown.items()}
        return StepResult(
            prediction,
            scores,
            self.answered - start,
            self.number,
            shown,
            learned=self.mode is Mode.LEARN,
            missed=self.missed,
            passed=tuple(self.passed),
            given=self.given,
        )

    # -- to be recorded: see streamhebb.schedule.cuda_graphs.StaticFrame -------------------------

    @property
    def key(self) -> Hashable:
        """All that a recording of the tasks depends on, beside the plan."""
        x: Tensor = self.out[0]
        factors = tuple(float(factor) for factor in self.modulator)
        return (tuple(x.shape), x.dtype, x.device, factors, self.settings())

    def twin(self) -> Frame:
        """Return a frame of the same kind with an input buffer of its own."""
        twin = Frame(torch.empty_like(self.out[0]), len(self.seen), self.target, self.modulator)
        twin.mode, twin.settings, twin.born = self.mode, self.settings, UNCHECKED
        return twin

    def load(self, frame: Frame) -> None:
        """Copy a frame's input in; take over what the readout needs on the host."""
        self.out[0].copy_(frame.out[0], non_blocking=True)
        self.target, self.number = frame.target, frame.number

    def hand_over(self, frame: Frame) -> None:
        """Give what came out to a frame, as copies: of all layers if asked for, else the last."""
        wanted = range(1, len(self.out)) if frame.activity else [len(self.out) - 1]
        for place in wanted:
            out = self.out[place]
            frame.out[place] = None if out is None else out.clone()
        frame.scores = None if self.scores is None else self.scores.clone()

    def __str__(self) -> str:
        count = len(self.out[0])
        if count == 1:
            return f"sample {self.number}"
        return f"samples {self.number} to {self.number + count - 1}"


class Mode(Enum):
    """What a pass through the net may change."""

    LOOK = "nothing"
    ADVANCE = "what goes on from sample to sample without learning"
    LEARN = "that, and what is learned"


class Step(NamedTuple):
    """A plan, and where in it the answer is given."""

    plan: Plan
    answer: int


@dataclass
class Staleness:
    """How old the weights were that a stage responded with, as it really happened.

    Args:
        behind: how often a stage responded without so many of the samples before; 0 is in step.
    """

    behind: Counter[int] = field(default_factory=Counter)
    known: int = 0  # samples that the weights know, or that nobody wanted them to know
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


Run = Callable[[Frame], object]
Past = tuple[tuple[int, int], ...] | None
Numbered = list[tuple[int, Layer]]


class Planner:
    """Makes the plans of one net, two tasks a stage: respond, and learn or advance.

    Each stage has a lane of its own, the readout comes last. Where an order allows a lag, learning
    has a lane beside the one for responding.

    Args:
        layers: from input to output.
        names: of the layers, for the tasks' names.
        readout: what learns labels, or ``None``.
        clock: says when an answer was there.
        wake: what wakes a stage; ``None`` is every sample.
        check_races: whether tasks are checked for races; see [`streamhebb.races`][].
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        names: Sequence[str],
        readout: Readout | None,
        clock: Clock | None = None,
        wake: Wake | None = None,
        check_races: bool = False,
    ) -> None:
        self.layers = layers
        self.readout = readout
        self.clock: Clock = WallClock() if clock is None else clock
        self.wake = wake
        self.stages = stages(layers)
        self.names = ["+".join(names[i] for i in stage) for stage in self.stages]
        self.layer_names = names
        self.races = Races(layers, self.stages, names, readout) if check_races else None
        self.standing = Standing(len(self.stages))
        self.staleness = [Staleness() for _ in self.stages]
        self._steps: dict[Any, Step] = {}

    def step(
        self, mode: Mode, order: Order | None = None, resting: frozenset[int] = frozenset()
    ) -> Step:
        """Return the plan of a pass; the same one for the same wishes.

        Args:
            mode: what may change.
            order: how strictly stages keep step; ``None`` is in order.
            resting: stages that do not learn this time.

        Raises:
            ConfigError: for an order that this net cannot follow.
        """
        order = InOrder() if order is None else order
        key = (mode, order.lag, order.writers, order.exact, resting)
        found = self._steps.get(key)
        if found is None:
            found = self._steps[key] = self._make(mode, order, resting)
        return found

    def _make(self, mode: Mode, order: Order, resting: frozenset[int]) -> Step:
        tasks: list[Task] = []
        before: tuple[int, ...] = ()
        count = len(self.stages)
        for number, (stage, name) in enumerate(zip(self.stages, self.names, strict=True)):
            part = [(i, self.layers[i]) for i in stage]
            own = Mode.ADVANCE if mode is Mode.LEARN and number in resting else mode
            learners = [(i, layer) for i, layer in part if changes(layer, own)]
            loose = order.lag is not None and mode is not Mode.LOOK
            if loose:
                self._check_loose(part, order)
            ledger = None if order.exact or mode is Mode.LOOK else self.staleness[number]
            lanes = (number, count + 1 + number) if loose else (number, number)
            behind = order.writers - 1
            past: Past = ((lanes[0], behind), (lanes[1], order.lag or 0)) if loose else None
            respond = self._respond(number, part, learners, mode, ledger)
            tasks.append(Task(f"respond {name}", lanes[0], before, respond, past))
            before = (len(tasks) - 1,)
            if learners:
                verb, run = (
                    ("learn", self._learn(learners, ledger, order.writers > 1))
                    if own is Mode.LEARN
                    else ("advance", _advance(learners))
                )
                past = ((lanes[1], behind),) if loose else None
                tasks.append(Task(f"{verb} {name}", lanes[1], before, run, past))
        answer = before[0]
        if self.readout is not None:
            gated = self.wake is not None and mode is not Mode.LOOK
            score = self._score(self.readout, gated)
            tasks.append(Task("respond readout", count, before, score, always=gated, by_hand=True))
            answer = len(tasks) - 1
            if mode is Mode.LEARN:
                learn = _learn_label(self.readout)
                tasks.append(Task("learn readout", count, (answer,), learn, by_hand=True))
        if self.races is not None:
            tasks = self.races.watched(tasks)
        return Step(make_plan(tasks), answer)

    def _check_loose(self, part: Numbered, order: Order) -> None:
        for i, layer in part:
            if layer.carries:
                raise ConfigError(
                    f"{order} is not possible with {self.layer_names[i]}: its state goes on from "
                    f"sample to sample, so samples must pass it in order; use InOrder()"
                )

    def settings(self) -> Hashable:
        """What of the layers a recording of their tasks has baked in, and where their state lies.

        Raises:
            ConfigError: for what cannot be recorded: a rate that counts updates, a wake.
        """
        if self.wake is not None:
            raise ConfigError(
                f"{self.wake} looks at values, so tasks cannot be recorded; CudaLanes"
            )
        found: list[Hashable] = []
        for name, layer in zip(self.layer_names, self.layers, strict=True):
            rate = getattr(layer, "rate", None)
            if getattr(rate, "by_updates", False):
                raise ConfigError(
                    f"{name}: {rate} counts updates, so it cannot be recorded; CudaLanes"
                )
            found += [repr(rate), getattr(layer, "plasticity", True)]
            found += [buffer.data_ptr() for buffer in layer.buffers()]
        return tuple(found)

    def start_over(self) -> None:
        """Begin to count staleness anew."""
        for ledger in self.staleness:
            with ledger.lock:
                ledger.behind.clear()
                ledger.known = 0

    def scores(self, frame: Frame) -> Tensor | None:
        """The answer of a frame; where nothing reached the top, the last one stands."""
        scores: Tensor | None = frame.out[-1] if frame.scores is None else frame.scores
        if self.wake is None or frame.mode is Mode.LOOK:
            return scores
        standing = self.standing
        for number, (name, stage) in enumerate(zip(self.names, self.stages, strict=True)):
            if frame.out[stage.stop] is None:
                standing.passed[number] += 1
                frame.passed.append(name)
        if self.readout is not None and frame.scores is None:
            return standing.scores
        standing.scores = standing.scores if scores is None else scores
        return standing.scores

    # -- tasks ---------------------------------------------------------------------------------

    def _respond(
        self, stage: int, part: Numbered, learners: Numbered, mode: Mode, ledger: Staleness | None
    ) -> Run:
        observed = {i for i, _ in learners}
        first, clock = part[0][0], self.clock
        last = part[-1][0] == len(self.layers) - 1
        wake = None if mode is Mode.LOOK else self.wake
        standing, _name = self.standing, self.names[stage]

        def run(frame: Frame) -> object:
            if wake is not None:
                x, before = frame.out[first], standing.inputs[stage]
                if not wake.wakes(x, before):
                    return QUIET
                if wake.remembers:
                    standing.inputs[stage] = x
            if ledger is not None:
                missing = frame.turn - ledger.known
                with ledger.lock:
                    ledger.behind[max(0, missing)] += 1
            for i, layer in part:
                if i in observed:
                    frame.out[i + 1], frame.seen[i] = layer.observe(frame.out[i])
                else:
                    frame.out[i + 1] = layer.respond(frame.out[i])
            if last:
                frame.answered = clock.now()
            return None

        return run

    def _learn(self, part: Numbered, ledger: Staleness | None, loose: bool) -> Run:
        clock = self.clock

        def run(frame: Frame) -> None:
            for i, layer in part:
                layer.learn(frame.seen[i], frame.modulator[i])
            frame.ended = clock.now()
            if ledger is not None:
                with ledger.lock:
                    ledger.known = ledger.known + 1 if loose else frame.turn + 1

        return run

    def _score(self, readout: Readout, gated: bool) -> Run:
        standing, clock = self.standing, self.clock

        def run(frame: Frame) -> object:
            features = frame.out[-1]
            if gated:
                if features is None:  # nothing came from below; a label is something, too
                    if all(label is None for label in frame.target):
                        return QUIET
                    features = standing.features
                    if features is None or len(features) != len(frame.target):
                        return QUIET
                else:
                    standing.features = features
            frame.scores, frame.told = readout.observe(features)
            frame.answered = clock.now()
            return None

        return run


def changes(layer: Layer, mode: Mode) -> bool:
    """Whether a layer changes anything of its own in a pass."""
    return (layer.learns and mode is Mode.LEARN) or (layer.carries and mode is not Mode.LOOK)


def _advance(part: Numbered) -> Run:
    def run(frame: Frame) -> None:
        for i, layer in part:
            layer.advance(frame.seen[i])

    return run


def _learn_label(readout: Readout) -> Run:
    def run(frame: Frame) -> None:
        if any(label is not None for label in frame.target):
            readout.learn(frame.told, frame.target)

    return run
