"""Frames on their way over a device: kept alive, bounded in number, waited for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import NamedTuple

from streamhebb.errors import ConfigError
from streamhebb.parts import require
from streamhebb.schedule.device import Device, Event
from streamhebb.schedule.task import Frame, Plan
from streamhebb.schedule.trace import Trace


class Stamp(NamedTuple):
    """A task between two events with timing."""

    name: str
    lane: int
    worker: str
    start: Event
    end: Event


class Flight:
    """A frame on its way; the [`Pending`][streamhebb.schedule.task.Pending] of device schedulers.

    Args:
        flights: those it belongs to.
        plan: what runs over it.
        frame: kept until all of it has ended.
        number: counted from 0 in the order of submission.
        ready: the caller's stream when the frame was submitted.
        launch: enqueues it, if it has been put aside.
    """

    def __init__(
        self,
        flights: Flights,
        plan: Plan,
        frame: Frame,
        number: int,
        ready: Event,
        launch: Callable[[], None] | None = None,
    ) -> None:
        self.plan = plan
        self.frame = frame
        self.number = number
        self.ready = ready
        self.launch = launch
        self.ends: list[Event] = []  # for each position of the plan
        self.events: tuple[Event, ...] = ()
        """Events that together end the frame; empty while it waits to be enqueued, and after."""
        self.stamps: list[Stamp] = []
        self.over = False
        self.error: BaseException | None = None
        self._flights = flights

    def sent(self, ends: Sequence[Event], events: Sequence[Event]) -> None:
        """Note that everything is enqueued, and what ends it."""
        self.ends, self.events, self.launch = list(ends), tuple(events), None

    def wait(self, position: int | None = None) -> None:
        """Let the host wait for one task, or for all."""
        self._start()
        try:
            for event in self._awaited(position):
                self._flights.device.synchronize(event)
        except Exception as error:
            self._flights.fail(self, error, self._suspect(position))
            raise

    def done(self, position: int | None = None) -> bool:
        """Whether ``wait`` would return at once. ``False`` for a frame not yet enqueued."""
        if self.error is not None:
            return True
        if self.launch is not None:
            return False
        try:
            return all(self._flights.device.query(e) for e in self._awaited(position))
        except RuntimeError as error:
            self._flights.fail(self, error, self._suspect(position))
            return True  # it comes out of wait

    def _awaited(self, position: int | None) -> Sequence[Event]:
        ends, events = self.ends, self.events  # read first: landing says so before it drops them
        if self.over:
            return ()
        return events if position is None else (ends[position],)

    def _start(self) -> None:
        self._check()
        if self.launch is not None:
            try:
                self.launch()
            except Exception:
                if self._flights.error is None:
                    raise  # else it is noted, and comes out here only if it is this frame's
            self._check()

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    def _suspect(self, position: int | None) -> str:
        name = self.plan[-1 if position is None else position].name
        return (
            f"seen while waiting for {name!r} of {self.frame}; a device reports late, so the fault "
            f"may lie in a task before it"
        )

    def land(self) -> None:
        """Let go of the frame: everything that reads or writes it has ended."""
        self.over = True
        self.frame, self.ends, self.events, self.stamps = None, [], (), []


class Flights:
    """The frames on their way, oldest first, and the first error among them.

    A frame's tensors are allocated on one lane's stream and read on another's. torch's allocator
    hands freed memory to the next allocation *of the same stream* at once, without asking whether
    another stream still reads it. ``Tensor.record_stream`` would tell it, tensor by tensor, but the
    memory then comes back at an unforeseeable time, and it must be called for every tensor that any
    layer makes. So nothing is freed early here: the whole frame is held until its last event has
    been reached. What a caller keeps of it and drops later is covered too: all tasks of the next
    frame come after what the caller's stream held when that frame was submitted.

    Args:
        device: whose events are waited for.
        depth: frames that may be unfinished.
        trace: is told of every task.

    Raises:
        ConfigError: if ``depth`` is no whole number from 1.
    """

    def __init__(self, device: Device, depth: int, trace: Trace | None, owner: str) -> None:
        require(owner, "depth", depth, at_least=1, whole=True)
        self.device = device
        self.depth = depth
        self.trace = trace
        self.error: BaseException | None = None
        self._queue: deque[Flight] = deque()
        self._submitted = 0
        self._closed = False
        self._last: tuple[Event, float] | None = None  # an event on the host's clock

    def __len__(self) -> int:
        return len(self._queue)

    def check(self) -> None:
        """Raise if nothing more may be started."""
        if self._closed:
            raise ConfigError("this scheduler is closed; make a new one")
        if self.error is not None:
            raise self.error

    def admit(self) -> None:
        """Let go of what has ended, and wait for the oldest while there are too many."""
        self.check()
        try:
            while self._queue and (len(self._queue) >= self.depth or self._queue[0].done()):
                flight = self._queue[0]
                flight.wait()
                self._land(flight)
        except Exception as error:
            self.fail(self._queue[0], error)
            raise

    def start(self, plan: Plan, frame: Frame, launch: Callable[[], None] | None = None) -> Flight:
        """Take in a frame, and mark where the caller's stream is."""
        ready = self.device.event(timing=self.trace is not None)
        self.device.record(ready, self.device.current())
        if self.trace is not None and self._last is None:
            # The host's time when the event was recorded, not when it was reached: off by what
            # the caller's stream still had to do. Only this one is; the others are measured.
            self._last = (ready, perf_counter())
        flight = Flight(self, plan, frame, self._submitted, ready, launch)
        self._submitted += 1
        self._queue.append(flight)
        return flight

    def fail(self, flight: Flight, error: BaseException, note: str | None = None) -> None:
        """Note the first error; it is the error of that frame and of all after it."""
        if self.error is None:
            if note is not None:
                error.add_note(note)
            self.error = error
        for other in self._queue:
            if other.number >= flight.number and other.error is None:
                other.error = self.error

    def join(self) -> None:
        """Wait for everything enqueued, and let go of it; raise what went wrong."""
        for flight in list(self._queue):
            if flight.error is None:
                flight.wait()
            else:
                self._settle(flight)
            self._land(flight)
        if self.error is not None:
            raise self.error

    def clear(self) -> None:
        """Forget the error, and every frame, once the device is through with them."""
        if self.error is None:
            return
        for flight in self._queue:
            self._settle(flight)
            flight.error = flight.error or ConfigError("this frame was cleared away")
            flight.land()
        self._queue.clear()
        self.error = None

    def close(self) -> None:
        """Take in nothing more."""
        self._closed = True
        for flight in self._queue:
            self._settle(flight)
            if flight.launch is not None:
                flight.error = ConfigError("the scheduler was closed before this frame was started")
            flight.land()
        self._queue.clear()
        self.error = None

    def _settle(self, flight: Flight) -> None:
        for event in flight.events:
            with suppress(Exception):  # it has been raised already, or will be by the next
                self.device.synchronize(event)

    def _land(self, flight: Flight) -> None:
        if self.trace is not None and flight.stamps and flight.error is None:
            self._write(self.trace, flight)
        flight.land()
        if self._queue and self._queue[0] is flight:
            self._queue.popleft()

    def _write(self, trace: Trace, flight: Flight) -> None:
        # From one frame's first event to the next one's: the differences stay small, so that
        # CUDA's float32 milliseconds stay exact to a microsecond however long the run is.
        if self._last is None:
            return
        before, then = self._last
        now = then + self.device.seconds(before, flight.ready)
        self._last = (flight.ready, now)
        for name, lane, worker, start, end in flight.stamps:
            begun = now + self.device.seconds(flight.ready, start)
            trace.add(
                name, lane, flight.number, worker, begun, begun + self.device.seconds(start, end)
            )
