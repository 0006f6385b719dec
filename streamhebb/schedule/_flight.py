"""Which task may start: the book kept on frames that are on their way.

No threads and no locks here; whoever uses a `Book` sees to it that one thread at a time does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from streamhebb.schedule._shape import Shape, Shapes
from streamhebb.schedule.task import Frame, Plan


class Flight:
    """One frame and what is left to do for it."""

    __slots__ = (
        "asleep",
        "ended",
        "frame",
        "left",
        "lost",
        "number",
        "shape",
        "then",
        "waiting",
        "watched",
    )

    def __init__(self, number: int, shape: Shape, frame: Frame) -> None:
        self.number = number
        self.shape = shape
        self.frame = frame
        self.waiting = shape.waiting.copy()
        self.asleep: set[int] = set()  # woken by nobody
        self.ended = bytearray(len(shape.waiting))
        self.then: dict[int, list[tuple[Flight, int]]] = {}  # tasks of later frames, by position
        self.left = len(shape.waiting)
        self.lost = False  # dropped because of an error
        self.watched: list[int | None] = []  # positions that somebody waits for; None: all

    def has(self, position: int | None) -> bool:
        """Whether a task, or the whole plan, has ended."""
        return not self.left if position is None else bool(self.ended[position])


class Book:
    """Which tasks are ready, and what becomes ready when one ends.

    Ready tasks come out by the age of their frame, then by their place in its plan: the oldest
    sample is finished first.
    """

    def __init__(self) -> None:
        self.flights: dict[int, Flight] = {}  # unfinished, by number
        self.submitted = 0
        self.news = False  # something that is waited for has ended; set to False by who tells
        self._ready: list[tuple[int, int, Flight]] = []
        self._lines: dict[int, deque[tuple[Flight, int]]] = {}  # of each lane, what has not ended
        self._asleep: list[tuple[Flight, int]] = []  # nobody woke them: to be ended
        self._loose: set[int] = set()  # lanes whose tasks do not wait for all of their own past
        self._shapes = Shapes()

    def __bool__(self) -> bool:
        return bool(self._ready)

    @property
    def ready(self) -> int:
        """How many tasks may start."""
        return len(self._ready)

    def submit(self, plan: Plan, frame: Frame) -> Flight:
        """Take in a frame; what can start at once is ready then."""
        shape = self._shapes.of(plan)
        flight = Flight(self.submitted, shape, frame)
        self.submitted += 1
        if not plan:
            return flight
        self.flights[flight.number] = flight
        if shape.strict:
            self._line_up_strictly(flight)
        else:
            self._line_up(flight)
        for position in shape.starts:
            if not flight.waiting[position]:
                heappush(self._ready, (flight.number, position, flight))
        return flight

    def _line_up_strictly(self, flight: Flight) -> None:
        """Let lanes wait for what stands last in them; the frame's own edges do the rest."""
        shape, lines = flight.shape, self._lines
        for position, past in shape.asks.items():
            for other, place in self._unfinished(past[0][0], 0):
                other.then.setdefault(place, []).append((flight, position))
                flight.waiting[position] += 1
        for position, lane in shape.closing:
            line = lines.get(lane)
            if line is None:
                line = lines[lane] = deque()
            line.append((flight, position))

    def _line_up(self, flight: Flight) -> None:
        """Let each task wait for what its past names, earlier tasks of the same frame included."""
        asks, lines = flight.shape.asks, self._lines
        for position, task in enumerate(flight.shape.plan):
            past = asks.get(position)
            if past is not None:
                if (task.lane, 0) not in past:
                    self._loose.add(task.lane)
                for lane, lag in past:
                    for other, place in self._unfinished(lane, lag):
                        other.then.setdefault(place, []).append((flight, position))
                        flight.waiting[position] += 1
            line = lines.get(task.lane)
            if line is None:
                line = lines[task.lane] = deque()
            line.append((flight, position))

    def _unfinished(self, lane: int, lag: int) -> Iterator[tuple[Flight, int]]:
        """What must end in a lane before something that allows so much lag may start."""
        line = self._lines.get(lane)
        if not line:
            return
        if lag == 0 and lane not in self._loose:
            if not line[-1][0].ended[line[-1][1]]:
                yield line[-1]  # which itself waits for all before it
            return
        for number, (other, place) in enumerate(line):
            # A strict frame stands in line with its last task only, so no lag is counted on it.
            counts = number < len(line) - lag or other.shape.strict
            if counts and not other.ended[place]:
                yield other, place

    def take(self, which: int = 0) -> tuple[Flight, int] | None:
        """Hand out the ready task of the oldest frame; or another of those that are ready.

        Args:
            which: 0 is the oldest; the others, up to ``ready - 1``, are in no certain order.
        """
        if not self._ready:
            return None
        if which:
            _, position, flight = self._ready.pop(which)
            heapify(self._ready)
        else:
            _, position, flight = heappop(self._ready)
        return flight, position

    def end(
        self, flight: Flight, position: int, quiet: bool = False, *, alone: bool = True
    ) -> None:
        """Note that a task has ended, and what may start now.

        Args:
            flight: of the frame.
            position: of the task in its plan.
            quiet: whether it wakes nobody.
            alone: whether to end those that nobody woke, too.
        """
        # This runs once a task, so it is written for speed: no calls in the usual case.
        shape, waiting = flight.shape, flight.waiting
        flight.ended[position] = 1
        flight.left -= 1
        lane = shape.leaves[position]
        if lane is not None:
            line = self._lines.get(lane)  # None: all is forgotten
            while line and line[0][0].ended[line[0][1]]:
                line.popleft()
        if quiet:
            flight.asleep.update(shape.wakes[position])
        for follower in shape.follow[position]:
            waiting[follower] -= 1
            if not waiting[follower]:
                if flight.asleep or flight.lost:
                    self._sort_out(flight, follower)
                else:
                    heappush(self._ready, (flight.number, follower, flight))
        if position in flight.then:
            for other, follower in flight.then.pop(position):
                other.waiting[follower] -= 1
                if not other.waiting[follower]:
                    self._sort_out(other, follower)
        if not flight.left:
            self.flights.pop(flight.number, None)
        if flight.watched and not self.news:
            self.news = any(flight.has(watched) for watched in flight.watched)
        if alone:
            while self._asleep:
                self.end(*self._asleep.pop(), True, alone=False)

    def _sort_out(self, flight: Flight, position: int) -> None:
        """A task that waits for nothing more is ready, unless nobody woke it or it was dropped."""
        if flight.lost:
            return
        if position in flight.asleep and not flight.shape.plan[position].always:
            self._asleep.append((flight, position))
        else:
            heappush(self._ready, (flight.number, position, flight))

    def drop_from(self, number: int) -> None:
        """Give up the frame of that number and all later ones; what runs of them may still end."""
        self._ready = [item for item in self._ready if item[0] < number]
        for flight in [f for n, f in self.flights.items() if n >= number]:
            flight.lost = True
            del self.flights[flight.number]

    def withdraw(self, number: int) -> None:
        """Take back the frame submitted last, of which nothing has been handed out yet.

        Args:
            number: its number; there may be no such frame, or half of it.
        """
        self.drop_from(number)
        for line in self._lines.values():
            while line and line[-1][0].number >= number:
                line.pop()[0].lost = True  # so no edge that leads to it makes it ready

    def forget(self) -> None:
        """Drop whatever is left: nobody waits for anything any more."""
        self.drop_from(-1)
        self._lines.clear()
