"""Any legal order, by chance: for trying whether layers bear it."""

from __future__ import annotations

import random
from time import perf_counter
from typing import Any

from streamhebb.errors import ConfigError
from streamhebb.parts import require
from streamhebb.schedule._flight import Book, Flight
from streamhebb.schedule.task import QUIET, Frame, Plan
from streamhebb.schedule.trace import Trace


class Shuffled:
    """Runs one ready task at a time in the caller's thread: any of them, drawn by a generator.

    Keeps the promises of [`task`][streamhebb.schedule.task] and nothing else, so it shows whether
    layers of your own share something that no promise settles: then weights differ from those of
    [`Serial`][streamhebb.schedule.serial.Serial]. The same seed gives the same order again.

    Args:
        seed: of the order.
        flight: frames that may be left unfinished when ``submit`` returns; 0 finishes each.
        trace: is told of every task, if given.

    Raises:
        ConfigError: for a ``flight`` below 0.

    Example:
        >>> from streamhebb import Dense, StreamNet
        >>> import torch
        >>> def taught(scheduler):
        ...     net = StreamNet(Dense(4, 8), Dense(8, 3), seed=0, scheduler=scheduler)
        ...     for result in net.run(torch.linspace(0, 1, 20).view(5, 4)):
        ...         pass
        ...     return net.layers[1].weight
        >>> from streamhebb.schedule import Serial
        >>> bool((taught(Shuffled(seed=3, flight=4)) == taught(Serial())).all())
        True
    """

    def __init__(self, seed: int = 0, flight: int = 0, *, trace: Trace | None = None) -> None:
        require("Shuffled", "flight", flight, at_least=0, whole=True)
        self.seed = seed
        self.flight = flight
        self.trace = trace
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._book = Book()
        self._error: tuple[int, BaseException] | None = None  # with the number of its frame
        self._closed = False

    def submit(self, plan: Plan, frame: Frame) -> Shuffling:
        """Accept a frame; run some of what is ready, and more until few enough are unfinished."""
        if self._closed:
            raise ConfigError("this scheduler is closed; make a new one")
        self._raise()
        flight = self._book.submit(plan, frame)
        some = self._chance.randrange(len(plan) + 1)  # now; the others later
        while self._book and (some > 0 or len(self._book.flights) > self.flight):
            some -= 1
            self._run_one()
        self._raise()
        return Shuffling(self, flight)

    def join(self) -> None:
        """Run everything that is left; raise what a task raised."""
        while self._book:
            self._run_one()
        self._raise()

    def clear(self) -> None:
        """Forget an error and the frames given up because of it."""
        while self._book:
            self._run_one()
        if self._error is not None:
            self._book.forget()
            self._error = None

    def close(self) -> None:
        """Drop what has not run, and accept nothing more."""
        self._closed = True
        self._book.forget()

    def wait(self, flight: Flight, position: int | None) -> None:
        """Run what chance says until a task, or the whole plan, of a frame has ended."""
        while self._book and not (flight.has(position) or flight.lost):
            self._run_one()
        if not flight.has(position):
            self._raise()
            raise ConfigError("the scheduler was closed before the frame's end")

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error[1]

    def _run_one(self) -> None:
        found = self._book.take(self._chance.randrange(self._book.ready))
        if found is None:
            return
        flight, position = found
        task = flight.shape.plan[position]
        start = 0.0 if self.trace is None else perf_counter()
        try:
            answer = task.run(flight.frame)
        except BaseException as error:  # noqa: BLE001 - raised by whoever asks
            error.add_note(f"in {task.name!r} of {flight.frame}")
            if self._error is None or flight.number < self._error[0]:
                self._error = flight.number, error
            flight.lost = True
            self._book.drop_from(flight.number)
            return
        if self.trace is not None:
            end = perf_counter()
            self.trace.add(task.name, task.lane, flight.number, "caller", start, end)
        self._book.end(flight, position, answer is QUIET)

    def __reduce__(self) -> tuple[Any, ...]:
        return Shuffled, (self.seed, self.flight)

    def __repr__(self) -> str:
        return f"Shuffled(seed={self.seed}, flight={self.flight})"


class Shuffling:
    """A frame of which some may have run."""

    __slots__ = ("_flight", "_scheduler")

    def __init__(self, scheduler: Shuffled, flight: Flight) -> None:
        self._scheduler = scheduler
        self._flight = flight

    def wait(self, position: int | None = None) -> None:
        """Return when the task at that position, or the whole plan, has ended."""
        self._scheduler.wait(self._flight, position)

    def done(self, position: int | None = None) -> bool:
        """Whether ``wait`` would return, or raise, at once."""
        return self._flight.has(position) or self._flight.lost
