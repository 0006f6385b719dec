"""What a net hands to a scheduler: the plan of tasks that fills a frame."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from streamhebb import kernels
from streamhebb.blocks import unrolled
from streamhebb.chain import stages
from streamhebb.clock import Clock, WallClock
from streamhebb.errors import ConfigError
from streamhebb.frames import Frame, Mode
from streamhebb.layers import Layer
from streamhebb.lazy import made
from streamhebb.order import InOrder, Order, Staleness
from streamhebb.peers import Peers
from streamhebb.races import Races
from streamhebb.readouts import Readout
from streamhebb.schedule import QUIET, Plan, Task, make_plan
from streamhebb.wake import Standing, Wake


class Step(NamedTuple):
    """A plan, and where in it the answer is given."""

    plan: Plan
    answer: int


SETTINGS = ("rate", "plasticity", "method", "precision", "backend")
"""What may be set of a layer at any step; the first is looked at more closely."""

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

    Attributes:
        peers: processes that each learn from a share of a mini-batch, if there are several.
    """

    peers: Peers | None = None

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
        self.layer_names = names
        self.names = [self._name(stage) for stage in self.stages]
        self.races = Races(layers, self.stages, names, readout) if check_races else None
        self.standing = Standing(len(self.stages))
        self.staleness = [Staleness() for _ in self.stages]
        self._loosened = False  # whether learning has had lanes of its own
        self._steps: dict[Any, Step] = {}
        self._blocks: dict[tuple[int, bool, bool], Plan] = {}

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
        if order.lag is not None and mode is not Mode.LOOK:
            self._loosened = True
        key = (mode, order.lag, order.writers, order.exact, resting, self._loosened)
        found = self._steps.get(key)
        if found is None:
            found = self._steps[key] = self._make(mode, order, resting)
        return found

    def block(self, count: int, fine: bool = False) -> Plan:
        """Return the plan of so many steps in a row over a [`Block`][streamhebb.blocks.Block].

        They learn, in order; the readout is not asked. The same plan for the same wishes.

        Args:
            count: of steps.
            fine: whether every layer that learns has a lane of its own, other lanes than those of
                steps: nothing else may be in flight.
        """
        fine = fine and self.races is None  # these know the stages of steps
        key = (count, fine, self._loosened)
        found = self._blocks.get(key)
        if found is None:
            parts = stages(self.layers, fine=True) if fine else None
            step = self._make(Mode.LEARN, InOrder(), frozenset(), asked=False, fine=parts)
            found = self._blocks[key] = unrolled(step.plan, count, parts or self.stages)
        return found

    def _make(
        self,
        mode: Mode,
        order: Order,
        resting: frozenset[int],
        asked: bool = True,
        fine: list[range] | None = None,
    ) -> Step:
        tasks: list[Task] = []
        before: tuple[int, ...] = ()
        count = len(self.stages)
        first = 0 if fine is None else 2 * count + 1  # lane; the others are those of steps
        gated = self.wake is not None and mode is not Mode.LOOK
        loose = order.lag is not None and mode is not Mode.LOOK
        for number, stage in enumerate(self.stages if fine is None else fine):
            part, name = [(i, self.layers[i]) for i in stage], self._name(stage)
            own = Mode.ADVANCE if mode is Mode.LEARN and number in resting else mode
            learners = [(i, layer) for i, layer in part if changes(layer, own)]
            if loose:
                self._check_loose(part, order)
            ledger = None if order.exact or mode is Mode.LOOK else self.staleness[number]
            lane = first + number
            lanes = (lane, count + 1 + number) if loose else (lane, lane)
            behind = order.writers - 1
            past: Past = None
            if loose:
                past = ((lanes[0], behind), (lanes[1], order.lag or 0))
            elif self._loosened and fine is None:
                # What came before may be learned from in the other lane.
                past = ((number, 0), (count + 1 + number, 0))
            note = None
            if ledger is not None:
                rests = mode is not own and any(layer.learns for _, layer in part)
                note = functools.partial(
                    ledger.respond,
                    teaches=bool(learners) and own is Mode.LEARN,
                    rests=rests,
                    overtaking=behind > 0,
                )
            respond = self._respond(number, part, learners, gated, note)
            tasks.append(Task(f"respond {name}", lanes[0], before, respond, past))
            before = (len(tasks) - 1,)
            if learners:
                verb, run = (
                    ("learn", self._learn(learners, ledger))
                    if own is Mode.LEARN
                    else ("advance", _advance(learners))
                )
                past = ((lanes[1], behind),) if loose else None
                tasks.append(Task(f"{verb} {name}", lanes[1], before, run, past))
        answer = before[0]
        if self.readout is not None and asked:
            score = self._score(self.readout, gated)
            tasks.append(Task("respond readout", count, before, score, always=gated, by_hand=True))
            answer = len(tasks) - 1
            if mode is Mode.LEARN:
                learn = _learn_label(self.readout, self.clock)
                tasks.append(Task("learn readout", count, (answer,), learn, by_hand=True))
        if self.races is not None:
            tasks = self.races.watched(tasks, loose)
        if gated and self.readout is None:
            tasks.append(Task("answer", count, before, self._stand, always=True, by_hand=True))
            answer = len(tasks) - 1
        return Step(make_plan(tasks), answer)

    def _name(self, stage: range) -> str:
        return "+".join(self.layer_names[i] for i in stage)

    def _check_loose(self, part: Numbered, order: Order) -> None:
        if self.wake is not None and order.writers > 1:
            raise ConfigError(
                f"{order} is not possible with wake={self.wake}: what is news depends on what came "
                f"before, so samples must pass in order; use InOrder(), Stale(k) or no wake"
            )
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
        found: list[Hashable] = [kernels.backend()]
        for name, layer in zip(self.layer_names, self.layers, strict=True):
            said = _said(layer)
            if getattr(said[0], "by_updates", False):
                raise ConfigError(
                    f"{name}: {said[0]} counts updates, so it cannot be recorded; CudaLanes"
                )
            found += [repr(said[0]), *said[1:], *_addresses(layer)]
        return tuple(found)

    def start_over(self) -> None:
        """Begin to count staleness anew."""
        for ledger in self.staleness:
            ledger.clear()

    def scores(self, frame: Frame) -> Tensor | None:
        """The answer of a frame; where nothing reached the top, the last one stands."""
        scores: Tensor | None = frame.scores
        if scores is None and (self.wake is None or frame.mode is Mode.LOOK):
            scores = frame.out[-1]
        return scores

    # -- tasks ---------------------------------------------------------------------------------

    def _respond(
        self,
        stage: int,
        part: Numbered,
        learners: Numbered,
        gated: bool,
        note: Callable[[int], None] | None,
    ) -> Run:
        observed = {i for i, _ in learners}
        first, clock = part[0][0], self.clock
        last = part[-1][0] == len(self.layers) - 1
        wake = self.wake if gated else None
        standing = self.standing

        def run(frame: Frame) -> object:
            if wake is not None:
                x, before = frame.out[first], standing.inputs[stage]
                if not wake.wakes(x, before):
                    return QUIET
                if wake.remembers:
                    standing.inputs[stage] = x
            if note is not None:
                note(frame.turn)
            peers = self.peers if frame.mode is Mode.LEARN else None
            for i, layer in part:
                x = frame.out[i]
                if i == 0 and peers is not None:
                    x = peers.share(x)
                if i in observed:
                    frame.out[i + 1], frame.seen[i] = layer.observe(x)
                else:
                    frame.out[i + 1] = layer.respond(x)
            end = part[-1][0] + 1
            frame.out[end] = made(frame.out[end])  # here, once: others read it in other lanes
            if last:
                if peers is not None:
                    frame.out[-1] = peers.gather(frame.out[-1], len(frame.out[0]))
                frame.answered = clock.now()
            return None

        return run

    def _learn(self, part: Numbered, ledger: Staleness | None) -> Run:
        clock = self.clock

        def run(frame: Frame) -> None:
            for i, layer in part:
                layer.learn(frame.seen[i], frame.modulator[i])
            frame.ended = clock.now()
            if ledger is not None:
                ledger.learn()

        return run

    def _score(self, readout: Readout, gated: bool) -> Run:
        standing, clock = self.standing, self.clock

        def run(frame: Frame) -> object:
            features = frame.out[-1]
            if gated:
                if features is None:  # nothing came from below; a label is something, too
                    if any(label is not None for label in frame.target):
                        features = standing.features
                    if features is None or len(features) != len(frame.target):
                        self._stand(frame)
                        return QUIET
                standing.features = features
            frame.scores, frame.told = readout.observe(features)
            if gated:
                self._stand(frame)
            frame.answered = clock.now()
            return None

        return run

    def _stand(self, frame: Frame) -> None:
        """Note whom nothing woke, and which answer stands; in the lane that sees all in order."""
        standing = self.standing
        for number, (name, stage) in enumerate(zip(self.names, self.stages, strict=True)):
            if frame.out[stage.stop] is None:
                standing.passed[number] += 1
                frame.passed.append(name)
        found = frame.out[-1] if self.readout is None else frame.scores
        if found is not None:
            standing.scores = found
        elif standing.scores is not None and len(standing.scores) == len(frame.out[0]):
            found = standing.scores
        frame.scores = found
        frame.answered = self.clock.now()


def _said(layer: Layer) -> list[Any]:
    """What a layer has of these settings; to look in vain takes nn.Module 2 µs each."""
    kind: Any = type(layer)  # hashable, which mypy does not see
    own, known = vars(layer), _known(kind)
    held = layer._modules.keys() | layer._buffers.keys()
    return [
        getattr(layer, word) if word in known or word in own or word in held else None
        for word in SETTINGS
    ]


@functools.cache
def _known(kind: Any) -> frozenset[str]:
    return frozenset(word for word in SETTINGS if hasattr(kind, word))


def _addresses(module: nn.Module) -> list[int]:
    """Where a module's buffers lie; ``buffers()`` takes three times as long."""
    found = [each.data_ptr() for each in module._buffers.values() if each is not None]
    for child in module._modules.values():
        if child is not None:
            found += _addresses(child)
    return found


def changes(layer: Layer, mode: Mode) -> bool:
    """Whether a layer changes anything of its own in a pass."""
    return (layer.learns and mode is Mode.LEARN) or (layer.carries and mode is not Mode.LOOK)


def _advance(part: Numbered) -> Run:
    def run(frame: Frame) -> None:
        for i, layer in part:
            layer.advance(frame.seen[i])

    return run


def _learn_label(readout: Readout, clock: Clock) -> Run:
    def run(frame: Frame) -> None:
        if any(label is not None for label in frame.target):
            readout.learn(frame.told, frame.target)
            frame.ended = clock.now()

    return run
