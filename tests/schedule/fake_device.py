"""A device without a card: it works late, and in the worst order that is allowed.

Enqueued work is kept and run later, one piece at a time, in any order that streams and events
permit. Streams have a speed each, drawn by the seed: some run ahead at once, others stand still
until somebody waits for them. Rules that CUDA enforces raise here too.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

Work = Callable[[], None]


class DeviceError(RuntimeError):
    """What CUDA would answer."""


class Mark:
    """One recording of an event."""

    def __init__(self) -> None:
        self.reached = False
        self.at = 0


class FakeEvent:
    def __init__(self, timing: bool) -> None:
        self.timing = timing
        self.mark: Mark | None = None  # never recorded: counts as reached, as in CUDA
        self.inside: tuple[Recording, set[int]] | None = None  # recorded while recording
        self.stream = -1  # where it was recorded last


class FakeStream:
    def __init__(self, number: int, speed: float) -> None:
        self.number = number
        self.speed = speed
        self.queue: deque[Any] = deque()


class Recording:
    """Work and what it waits for, instead of a queue."""

    def __init__(self, origin: FakeStream) -> None:
        self.origin = origin
        self.nodes: list[tuple[Work, set[int]]] = []
        self.front: dict[int, set[int]] = {origin.number: set()}  # stream: what comes next waits

    def add(self, stream: FakeStream, work: Work) -> None:
        self.nodes.append((work, set(self.front[stream.number])))
        self.front[stream.number] = {len(self.nodes) - 1}

    def check_joined(self) -> None:
        covered, left = set(), list(self.front[self.origin.number])
        while left:
            node = left.pop()
            if node not in covered:
                covered.add(node)
                left += self.nodes[node][1]
        if len(covered) < len(self.nodes):
            raise DeviceError("capture ended with work that was not joined to its stream")


class Playing:
    """A graph under way on a stream."""

    def __init__(self, nodes: list[tuple[Work, set[int]]]) -> None:
        self.nodes = nodes
        self.done: set[int] = set()

    def ready(self) -> list[int]:
        return [
            i
            for i, (_, needs) in enumerate(self.nodes)
            if i not in self.done and needs <= self.done
        ]


class FakeDevice:
    """See the module.

    Args:
        seed: of the order; ``None`` runs everything at once, when it is enqueued.
        lose: told of every wait (the waiting stream's number, and that of the stream the event
            was recorded on); those for which it says ``True`` are forgotten. To see tests fail.
    """

    name = "fake"

    def __init__(
        self, seed: int | None = 0, lose: Callable[[int, int], bool] | None = None
    ) -> None:
        self.random = random.Random(seed)
        self.lazy = seed is not None
        self.lose = lose
        self.streams: list[FakeStream] = []
        self.default = self.stream()
        self._current = [self.default]
        self.recording: Recording | None = None
        self.broken: BaseException | None = None
        self.ticks = 0
        self.synchronized = 0
        self.played = 0
        self.recorded = 0
        self.outside = False  # running device work

    # -- the protocol ------------------------------------------------------------------------

    def stream(self) -> FakeStream:
        speed = self.random.choice([0.0, 0.02, 1.0, 1.0, 20.0])
        self.streams.append(FakeStream(len(self.streams), speed))
        return self.streams[-1]

    def current(self) -> FakeStream:
        return self._current[-1]

    @contextmanager
    def on(self, stream: FakeStream) -> Iterator[None]:
        self._current.append(stream)
        try:
            yield
        finally:
            self._current.pop()

    def event(self, timing: bool = False) -> FakeEvent:
        return FakeEvent(timing)

    def record(self, event: FakeEvent, stream: FakeStream) -> None:
        self._alive()
        event.stream = stream.number
        if self._recorded_here(stream):
            event.inside = (self.recording, set(self.recording.front[stream.number]))
            return
        event.inside, event.mark = None, Mark()
        stream.queue.append(event.mark)
        self._some_work()

    def wait(self, stream: FakeStream, event: FakeEvent) -> None:
        self._alive()
        if self.lose is not None and self.lose(stream.number, event.stream):
            return
        if event.inside is not None:
            recording, front = event.inside
            if recording is not self.recording:
                raise DeviceError("this event was recorded inside a capture that has ended")
            recording.front.setdefault(stream.number, set()).update(front)
            return
        if self._recorded_here(stream):
            raise DeviceError("a captured stream waits for an event from outside the capture")
        if event.mark is not None:
            stream.queue.append(("wait", event.mark))
        self._some_work()

    def query(self, event: FakeEvent) -> bool:
        self._outside(event)
        self._some_work()
        return event.mark is None or event.mark.reached

    def synchronize(self, event: FakeEvent) -> None:
        self._outside(event)
        self.synchronized += 1
        while event.mark is not None and not event.mark.reached:
            self._step(urgent=self.random.random() < 0.5)
            self._alive()

    def seconds(self, start: FakeEvent, end: FakeEvent) -> float:
        if not (start.timing and end.timing):
            raise DeviceError("an event without timing")
        if not (start.mark.reached and end.mark.reached):
            raise DeviceError("an event that is not reached")
        return (end.mark.at - start.mark.at) * 1e-6

    def pool(self) -> object:
        return object()

    @contextmanager
    def capture(self, stream: FakeStream, pool: object) -> Iterator[Playing]:
        if self.recording is not None:
            raise DeviceError("one capture at a time")
        assert pool is not None
        self.recording = Recording(stream)
        graph = Playing(self.recording.nodes)
        try:
            with self.on(stream):
                yield graph
            self.recording.check_joined()
        finally:
            self.recording = None
        self.recorded += 1

    def replay(self, graph: Playing) -> None:
        self._alive()
        self.played += 1
        self.current().queue.append(Playing(graph.nodes))
        self._some_work()

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype)

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype)

    def copy(self, target: Tensor, source: Tensor) -> None:
        self.kernel(lambda: target.copy_(source))

    # -- what tasks use ----------------------------------------------------------------------

    def kernel(self, work: Callable[[], object]) -> None:
        """Enqueue work on the current stream, as calling torch on a card does."""
        self._alive()
        stream = self.current()
        if self._recorded_here(stream):
            self.recording.add(stream, work)
            return
        if self.recording is not None and stream is self.default:
            raise DeviceError("work on the default stream during a capture")
        stream.queue.append(work)
        self._some_work()

    def look(self) -> None:
        """Let the host wait for the current stream, as ``.item()`` does."""
        event = self.event()
        self.record(event, self.current())
        self.synchronize(event)

    # -- running late ------------------------------------------------------------------------

    def _recorded_here(self, stream: FakeStream) -> bool:
        return self.recording is not None and stream.number in self.recording.front

    def _outside(self, event: FakeEvent) -> None:
        self._alive()
        if event.inside is not None or self.recording is not None:
            raise DeviceError("the host may not ask for events during a capture")

    def _alive(self) -> None:
        if self.broken is not None:
            raise DeviceError("the device has failed") from self.broken

    def _some_work(self) -> None:
        for _ in range(self.random.choice([0, 0, 0, 1, 2, 5]) if self.lazy else 10**9):
            if not self._step(urgent=False):
                return

    def _step(self, urgent: bool) -> bool:
        """Run one piece of work; streams of speed 0 only if somebody waits."""
        ready = [s for s in self.streams if s.queue and self._can_go_on(s)]
        if not ready:
            if urgent:
                raise AssertionError("nothing can run, and somebody waits")
            return False
        weights = [s.speed if self.lazy else 1.0 for s in ready]
        if not sum(weights):
            if not urgent:
                return False
            weights = [1.0] * len(ready)
        elif urgent:
            weights = [w + 0.05 for w in weights]
        self._run_head(self.random.choices(ready, weights)[0])
        return True

    @staticmethod
    def _can_go_on(stream: FakeStream) -> bool:
        head = stream.queue[0]
        return head[1].reached if isinstance(head, tuple) else True

    def _run_head(self, stream: FakeStream) -> None:
        self.ticks += 1
        head = stream.queue[0]
        if isinstance(head, Playing):
            ready = head.ready()
            if ready:
                node = self.random.choice(ready)
                head.done.add(node)
                self._run(head.nodes[node][0])
            if len(head.done) == len(head.nodes):
                stream.queue.popleft()
            return
        stream.queue.popleft()
        if isinstance(head, Mark):
            head.reached, head.at = True, self.ticks
        elif not isinstance(head, tuple):
            self._run(head)

    def _run(self, work: Work) -> None:
        try:
            with torch.no_grad():
                work()
        except Exception as error:  # noqa: BLE001  # the host hears of it at its next call
            self.broken = error
