"""A recorded run once more, task by task in the order in which it happened."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from streamhebb.errors import ConfigError, TraceError
from streamhebb.parts import require
from streamhebb.schedule.task import QUIET, Frame, Plan, Task
from streamhebb.schedule.trace import Event, Trace


class Flight:
    """One frame and what has not ended of its plan."""

    def __init__(self, number: int, plan: Plan, frame: Frame) -> None:
        self.number = number
        self.plan = plan
        self.frame = frame
        self.left = set(range(len(plan)))
        self.quiet: set[int] = set()
        self.dropped = False

    def has(self, position: int | None) -> bool:
        """Whether a task, or the whole plan, has ended."""
        return not self.left if position is None else position not in self.left

    def end(self, position: int, answer: object) -> None:
        """Note that a task has ended, and pass over those that nobody wakes any more."""
        self.left.discard(position)
        if answer is not QUIET:
            return
        self.quiet.add(position)
        for later in sorted(self.left):  # in plan order, so one pass finds all
            task = self.plan[later]
            if not (task.always or self.quiet.isdisjoint(task.after)):
                self.quiet.add(later)
                self.left.discard(later)


class Replay:
    """Runs tasks one at a time, in the caller's thread, in the order in which a trace began them.

    Give it the same plans and frames as the recorded run had. Errors and results then come as they
    did there, if the recorded tasks shared nothing but what their order settles. Frames are
    submitted at least as far ahead of waiting as they were in the recorded run.

    Args:
        record: of the run; parts of split tasks are left out.
        first: the number that the first frame submitted here has in the record. What the record
            says of frames before it is left out.
        trace: is told of every task, if given.

    Raises:
        ConfigError: for a ``first`` below 0.
        TraceError: from ``submit``, ``wait`` and ``join``: where the record ends too early, names a
            task that the plan does not have, or breaks a promise of
            [`task`][streamhebb.schedule.task].

    Example:
        >>> from streamhebb.schedule import Serial, Task, make_plan
        >>> plan = make_plan([Task("double", 0, (), lambda frame: frame.append(2 * frame[0]))])
        >>> record, frame = Trace(), [21]
        >>> handle = Serial(record).submit(plan, [1])
        >>> Replay(record).submit(plan, frame).done()
        True
        >>> frame
        [21, 42]
    """

    def __init__(self, record: Trace, *, first: int = 0, trace: Trace | None = None) -> None:
        require("Replay", "first", first, at_least=0, whole=True)
        whole = [event for event in list(record.events) if not event.part]
        # Of two that began together, the one that ended at once came first.
        self._order = sorted(whole, key=lambda event: (event.start, event.end))
        self._lost = record.lost
        self.trace = trace
        self._next = 0
        self._submitted = first
        self._cleared = first  # frames before it are not waited for any more
        self._flights: dict[int, Flight] = {}  # unfinished, by number
        self._error: tuple[int, BaseException] | None = None  # with the number of its frame
        self._closed = False

    def submit(self, plan: Plan, frame: Frame) -> OnRecord:
        """Keep a frame, and run all that comes next in the record and has its frame."""
        if self._closed:
            raise ConfigError("this scheduler is closed; make a new one")
        if self._error is not None:
            raise self._error[1]
        flight = Flight(self._submitted, plan, frame)
        self._submitted += 1
        if plan:
            self._flights[flight.number] = flight
        self._run_on()
        return OnRecord(self, flight)

    def join(self) -> None:
        """Run on until everything submitted has ended."""
        self._run_on()
        if self._flights:
            raise self._stuck(next(iter(self._flights.values())), None)

    def clear(self) -> None:
        """Forget an error, and the frames that have not ended: here and in the record."""
        if self._error is not None:
            self._error = None
            self._cleared = self._submitted
            self._drop()

    def close(self) -> None:
        """Drop what has not run, and accept nothing more."""
        self._closed = True
        self._drop()

    def _drop(self) -> None:
        for flight in self._flights.values():
            flight.dropped = True
        self._flights.clear()

    def _run_on(self) -> None:
        """Run what comes next in the record, up to a frame that is not here yet."""
        if self._error is not None:
            raise self._error[1]
        while (event := self._upcoming()) is not None and event.frame < self._submitted:
            try:
                self._run(event)
            except BaseException as error:
                self._error = event.frame, error
                raise
            self._next += 1

    def _upcoming(self) -> Event | None:
        while self._next < len(self._order) and not self._closed:
            event = self._order[self._next]
            if event.frame >= self._cleared:
                return event
            self._next += 1
        return None

    def _run(self, event: Event) -> None:
        flight = self._flights.get(event.frame)
        here = _places(event, flight)
        if flight is None or not here:
            raise TraceError(
                f"{_at(event)} is next in the record, but has nothing left to run here: it has run "
                f"already, was passed over, or is not in the plan. Replay needs the plans and "
                f"frames of the recorded run"
            )
        broken = {position: self._broken(flight, position) for position in here}
        position = next((position for position in here if not broken[position]), here[0])
        if broken[position]:
            raise TraceError(f"{_at(event)} cannot be next, as the record says: {broken[position]}")
        task = flight.plan[position]
        start = 0.0 if self.trace is None else perf_counter()
        try:
            answer = task.run(flight.frame)
        except BaseException as error:
            error.add_note(f"in {task.name!r} of {flight.frame}")
            raise
        finally:
            if self.trace is not None:
                end = perf_counter()
                self.trace.add(task.name, task.lane, event.frame, "caller", start, end)
        flight.end(position, answer)
        if not flight.left:
            del self._flights[flight.number]

    def _broken(self, flight: Flight, position: int) -> str:
        """Say which promise it would break to start a task now, or nothing."""
        task = flight.plan[position]
        for other in task.after:
            if other in flight.left:
                return f"it waits for {flight.plan[other].name!r}, which has not ended"
        for lane, lag in task.waits_for:
            before = list(self._unfinished(lane, flight.number, position))
            if len(before) > lag:
                number, first = before[0]
                return (
                    f"{len(before)} earlier tasks of lane {lane} have not ended, and it allows "
                    f"{lag}; the first of them is {first.name!r} of frame {number}"
                )
        return ""

    def _unfinished(self, lane: int, number: int, position: int) -> Iterator[tuple[int, Task]]:
        """What has not ended of the tasks submitted to a lane before a certain one."""
        for other in self._flights.values():  # in the order of submission
            if other.number > number:
                return
            for place in sorted(other.left):
                if other.number == number and place >= position:
                    return
                if other.plan[place].lane == lane:
                    yield other.number, other.plan[place]

    def _wait(self, flight: Flight, position: int | None) -> None:
        failed = self._error is not None and self._error[0] <= flight.number
        if failed or not flight.has(position):
            if flight.dropped:
                raise ConfigError("the scheduler was closed or cleared before the frame's end")
            self._run_on()
        if not flight.has(position):
            raise self._stuck(flight, position)

    def _done(self, flight: Flight, position: int | None) -> bool:
        ready = flight.has(position) or flight.dropped
        return ready or self._error is not None or self._upcoming() is None

    def _stuck(self, flight: Flight, position: int | None) -> TraceError:
        missing = flight.plan[min(flight.left) if position is None else position]
        what = f"{missing.name!r} of frame {flight.number}"
        event = self._upcoming()
        if event is None:
            lost = f" ({self._lost:,} events were lost: record with a larger limit)" * bool(
                self._lost
            )
            return TraceError(f"the record ends before {what} has run{lost}")
        return TraceError(
            f"{what} has not run: {_at(event)} comes before it in the record and was not submitted "
            f"yet. Submit as many frames ahead as the recorded run did"
        )


class OnRecord:
    """A frame in a replay."""

    __slots__ = ("_flight", "_replay")

    def __init__(self, replay: Replay, flight: Flight) -> None:
        self._replay = replay
        self._flight = flight

    def wait(self, position: int | None = None) -> None:
        """Return when the task at that position, or the whole plan, has ended."""
        self._replay._wait(self._flight, position)

    def done(self, position: int | None = None) -> bool:
        """Whether it has ended, or never will; ``False`` while the record wants another frame."""
        return self._replay._done(self._flight, position)


def _places(event: Event, flight: Flight | None) -> list[int]:
    """Where in the plan the task of an event may stand."""
    if flight is None:
        return []
    plan = flight.plan
    return [
        p for p in sorted(flight.left) if (plan[p].name, plan[p].lane) == (event.name, event.lane)
    ]


def _at(event: Event) -> str:
    return f"{event.name!r} of frame {event.frame}, lane {event.lane},"
