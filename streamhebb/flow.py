"""Samples in flight: how a net works on several at once, and gives its answers in order."""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from streamhebb.clock import Clock
from streamhebb.errors import ConfigError
from streamhebb.feeding import Feed
from streamhebb.frames import Frame, Mode
from streamhebb.histogram import Histogram
from streamhebb.order import InOrder, Multirate, Order
from streamhebb.parts import require
from streamhebb.planner import Planner
from streamhebb.schedule import Pending, Scheduler
from streamhebb.sharing import at_work
from streamhebb.values import Sample, StepResult

Modulator: TypeAlias = float | Tensor | Mapping[str | int, float | Tensor]


@dataclass
class Refused:
    """A sample that was counted and not used."""

    number: int
    given: Sample | None = None
    missed: dict[str, int] = field(default_factory=dict)

    def result(self, seconds: float) -> StepResult:
        """What is said of it."""
        missed = {**self.missed, "non-finite": 1}
        return StepResult(
            None,
            None,
            seconds,
            self.number,
            skipped="non-finite",
            learned=False,
            missed=missed,
            given=self.given,
        )


class Net(Protocol):
    """What a run needs of a net."""

    names: tuple[str, ...]
    counts: dict[str, int]
    scheduler: Scheduler
    planner: Planner
    clock: Clock

    @property
    def place(self) -> tuple[torch.device, torch.dtype]:
        """Where it is, and in which precision."""
        ...

    def begin(
        self, x: Any, target: Any, mode: Mode, *, modulator: Modulator = 1.0, copy: bool = False
    ) -> Frame | Refused:
        """Check and count a sample."""
        ...

    def finish(self, frame: Frame | Refused, start: float) -> StepResult:
        """Turn a frame into a result."""
        ...

    def uncount(self, frame: Frame) -> None:
        """Take back that a sample was counted."""
        ...

    def choose_scheduler(self, frame: Frame) -> None:
        """Look for the fastest scheduler, once, if the net was asked to."""
        ...


class _Flying(NamedTuple):
    """A sample on its way; one that was refused waits for its turn only."""

    frame: Frame | Refused
    pending: Pending | None
    answer: int
    arrived: float

    def is_answered(self) -> bool:
        return self.pending is None or self.pending.done(self.answer)

    def is_learned(self) -> bool:
        return self.pending is None or self.pending.done()

    def wait(self, *, answered: bool) -> None:
        if self.pending is not None:
            self.pending.wait(self.answer if answered else None)


@dataclass
class Report:
    """What became of the samples of a run.

    Args:
        samples: results given.
        learned: samples learned from.
        missed: samples lost or not learned from, by cause.
        latency: seconds from a sample's arrival to its answer.
        staleness: stage -> how often it responded without so many of the samples before.
        passed: stage -> how often nothing woke it.
    """

    samples: int = 0
    learned: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=Histogram)
    staleness: dict[str, Counter[int]] = field(default_factory=dict)
    passed: Counter[str] = field(default_factory=Counter)


class Flow:
    """Several samples in flight through a net: push them in, take results out, drain at the end.

    [`Run`][streamhebb.running.Run] is this as a loop over a source.

    Args:
        net: the net.
        depth: samples in flight; ``None`` is two more than the net has stages.
        deadline: milliseconds from a sample's arrival; one that would not be through by then is
            not learned from, unless the net is idle. ``None`` learns from all.
        order: how strictly layers keep step; ``None`` is exactly.
        learn: ``False`` only predicts.
        modulator: third factor, as for ``step``.
        activity: whether results hold every layer's output; or a function that says so of a sample
            by how many there are with it.
        pause: says of a sample, by how many there are with it, whether everything is to be learned
            before the next one begins: its result then finds the net exactly there, to be
            looked at or saved.

    Attributes:
        report: what became of the samples so far.
        waiting: says how many samples wait before the net.

    Raises:
        ConfigError: for arguments that are out of range or do not fit each other.
    """

    def __init__(
        self,
        net: Net,
        *,
        depth: int | None = None,
        deadline: float | None = None,
        order: Order | None = None,
        learn: bool = True,
        modulator: Modulator = 1.0,
        activity: bool | Callable[[int], bool] = False,
        pause: Callable[[int], bool] | None = None,
    ) -> None:
        if depth is not None:
            require("run", "depth", depth, at_least=1, whole=True)
        if deadline is not None:
            require("run", "deadline", deadline, above=0)
        self.net = net
        self.order: Order = InOrder() if order is None else order
        if isinstance(self.order, Multirate):
            self.order.check(net.names)
        if deadline is not None and self.order.writers > 1:
            raise ConfigError(f"run: {self.order} and a deadline do not go together")
        self.depth = len(net.planner.stages) + 2 if depth is None else depth
        self.deadline = None if deadline is None else deadline / 1000
        self.learn = learn
        self.modulator = modulator
        self.activity = activity
        self.pause = pause
        self.report = Report()
        self.waiting: Callable[[], int] = int  # none
        self._kept: list[StepResult] = []  # until they are returned: a sample may be refused first
        self._unanswered: deque[_Flying] = deque()
        self._unlearned: deque[_Flying] = deque()
        place, dtype = net.place
        index = place.index or 0
        self._feed = Feed(self.depth, dtype, index) if place.type == "cuda" else None
        self._paused = False  # until everything has landed
        self._turn = 0
        self._usual = 0.0  # seconds from the beginning of a frame that learns to its end
        net.planner.start_over()

    def push(self, sample: Sample, arrived: float | None = None) -> list[StepResult]:
        """Send a sample on its way; return the results that are there by then.

        For loops that are not ``for`` loops. Call ``drain`` after the last one.

        Args:
            sample: the next one.
            arrived: when it came, on the net's clock; ``None`` is now.
        """
        arrived = self.net.clock.now() if arrived is None else arrived
        self._kept += self.make_room()
        self.send(sample, arrived, {})
        return self._hand_out()

    def drain(self) -> list[StepResult]:
        """Wait until all samples in flight are learned from; return their results."""
        while self._unanswered:
            self._kept.append(self.next_answer())
        self.net.scheduler.join()
        self._unlearned.clear()
        return self._hand_out()

    def _hand_out(self) -> list[StepResult]:
        results, self._kept = self._kept, []
        return results

    @torch.no_grad()
    def send(self, sample: Sample, arrived: float, missed: Mapping[str, int]) -> None:
        """Let a sample into the net, where there is room for it.

        Args:
            sample: the next one.
            arrived: when it came, on the net's clock.
            missed: samples lost before it, by cause.
        """
        net, missed = self.net, dict(missed)
        self.count(missed)
        mode = self._mode(arrived, missed)
        # The source may use its memory again while the net still learns from this sample.
        mine = self._feed is not None
        x = sample.x if self._feed is None else self._feed(sample.x)
        frame = net.begin(x, sample.target, mode, modulator=self.modulator, copy=not mine)
        frame.given, frame.missed = sample, missed
        flying = _Flying(frame, None, 0, arrived)
        if isinstance(frame, Frame):
            frame.turn = self._turn
            wanted = self.activity
            frame.activity = wanted if isinstance(wanted, bool) else wanted(net.counts["samples"])
            net.choose_scheduler(frame)
            frame.begun = net.clock.now()
            try:
                plan, answer = net.planner.step(mode, self.order, self._resting(mode))
                pending = net.scheduler.submit(plan, frame)
            except BaseException:
                net.uncount(frame)
                raise
            flying = _Flying(frame, pending, answer, arrived)
            self._unlearned.append(flying)
        self._unanswered.append(flying)
        self._turn += 1
        self._paused = self.pause is not None and self.pause(net.counts["samples"])

    def count(self, missed: Mapping[str, int]) -> None:
        """Add to what the net counts, by cause."""
        for cause, count in missed.items():
            self.net.counts[cause] = self.net.counts.get(cause, 0) + count

    def make_room(self) -> Iterator[StepResult]:
        """Give the answers that are there, until fewer than ``depth`` samples are in flight."""
        while True:
            while self._unanswered and self._unanswered[0].is_answered():
                yield self.next_answer()
            while self._unlearned and self._unlearned[0].is_learned():
                self._unlearned[0].wait(answered=False)  # raises what went wrong meanwhile
                self._watch_time(self._unlearned.popleft().frame)
            if len(self._unlearned) < self.depth and not self._paused:
                return
            if self._unanswered:
                yield self.next_answer()
            else:
                self._unlearned[0].wait(answered=False)

    def next_answer(self) -> StepResult:
        """Wait for the oldest answer."""
        flying = self._unanswered[0]
        flying.wait(answered=True)
        if self._paused and len(self._unanswered) == 1:
            self.net.scheduler.join()
            self._paused = False
        if self._feed is not None and isinstance(flying.frame, Frame):
            flying.frame.answered = self.net.clock.now()  # tasks are enqueued long before they run
        self._unanswered.popleft()
        return self._note(self.net.finish(flying.frame, flying.arrived))

    def _watch_time(self, frame: Any) -> None:
        if frame.ended is not None:
            took = frame.ended - frame.begun
            self._usual = took if not self._usual else 0.9 * self._usual + 0.1 * took

    def _note(self, result: StepResult) -> StepResult:
        """Enter a result into the report."""
        report = self.report
        report.samples += 1
        report.learned += result.learned
        report.missed.update(result.missed)
        report.passed.update(result.passed)
        if result.skipped is None:
            report.latency.add(max(0.0, result.seconds))
        return result

    def _mode(self, arrived: float, missed: dict[str, int]) -> Mode:
        if not self.learn:
            return Mode.ADVANCE
        if self.deadline is None:
            return Mode.LEARN
        busy = bool(self._unlearned or self.waiting())
        late = self.net.clock.now() + self._usual > arrived + self.deadline
        if not (busy and late):
            return Mode.LEARN
        missed["deadline"] = 1
        self.count({"deadline": 1})
        return Mode.ADVANCE

    def _resting(self, mode: Mode) -> frozenset[int]:
        if mode is not Mode.LEARN or not isinstance(self.order, Multirate):
            return frozenset()
        idle = not (self._unlearned or self.waiting())
        names = enumerate(self.net.planner.names)
        return frozenset(n for n, name in names if not self.order.learns(n, name, self._turn, idle))

    @property
    def unanswered(self) -> int:
        """Samples in flight whose results have not been given."""
        return len(self._unanswered)

    def salvage(self) -> Iterator[StepResult]:
        """Give the results of samples that came before an error, as far as there are any."""
        while self._unanswered:
            try:
                result = self.next_answer()
            except Exception:  # noqa: BLE001 - the first error is being raised already
                return
            yield result

    def close(self) -> None:
        """Let what is in flight be learned from, without asking for results. Never raises."""
        if at_work():  # collected as garbage in the middle of a task: all goes on without us
            return
        scheduler = self.net.scheduler
        with contextlib.suppress(Exception):  # has been raised where the results are
            scheduler.join()
        for flying in self._unlearned:
            try:
                flying.wait(answered=False)
            except Exception:  # noqa: BLE001 - the same one; such samples are to come again
                if isinstance(flying.frame, Frame):
                    self.net.uncount(flying.frame)
        scheduler.clear()
        self._unanswered.clear()
        self._unlearned.clear()
        if not self.order.exact:
            planner = self.net.planner
            names = zip(planner.names, planner.staleness, strict=True)
            self.report.staleness = {name: Counter(s.behind) for name, s in names}
