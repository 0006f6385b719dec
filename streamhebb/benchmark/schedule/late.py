"""A scheduler that is always late: it learns when it must, and not before.

What an order allows, it uses to the full, so layers respond with the oldest weights that are legal.
One thread, no chance: the same samples give the same weights on every machine of a kind.
"""

from __future__ import annotations

from streamhebb.errors import ConfigError
from streamhebb.schedule import QUIET, Frame, Plan, Trace
from streamhebb.schedule._flight import Book, Flight


class Late:
    """Holds back learning as long as the order of the tasks allows; the worst case of staleness.

    Tasks whose lag says that others need not wait for them, and whose name begins with ``learn``,
    are held. Everything else runs at once. Where nothing else can run and somebody waits, the
    oldest held task runs, then whatever it lets go.

    Example:
        >>> import torch
        >>> from streamhebb import Dense, StreamNet
        >>> from streamhebb.order import Stale
        >>> net = StreamNet(Dense(4, 8), seed=0, scheduler=Late())
        >>> run = net.run(torch.rand(20, 4), order=Stale(3), depth=6)
        >>> with run as results:
        ...     last = list(results)[-1]
        >>> [max(behind) for behind in run.report.staleness.values()]
        [3]
    """

    def __init__(self) -> None:
        self.trace: Trace | None = None  # not told: times would mean nothing here
        self._book = Book()
        self._held: list[tuple[int, int, Flight]] = []
        self._error: BaseException | None = None
        self._closed = False

    def submit(self, plan: Plan, frame: Frame) -> Waiting:
        """Accept a frame; run what can run without learning."""
        if self._closed:
            raise ConfigError("this scheduler is closed; make a new one: Late()")
        if self._error is not None:
            raise self._error
        flight = self._book.submit(plan, frame)
        self._run_free()
        return Waiting(self, flight)

    def go_on(self) -> None:
        """Learn from the oldest sample that was held back, and run what that lets go.

        Raises:
            ConfigError: if nothing is left that could run.
        """
        if self._error is not None:
            raise self._error
        if not self._held:
            raise ConfigError("nothing is left to run; was the scheduler closed?")
        oldest = min(self._held, key=lambda item: item[:2])
        self._held.remove(oldest)
        self._run(oldest[2], oldest[1])
        self._run_free()

    def _run_free(self) -> None:
        while (found := self._book.take()) is not None:
            flight, position = found
            task = flight.shape.plan[position]
            if task.past is not None and task.name.startswith("learn"):
                self._held.append((flight.number, position, flight))
            else:
                self._run(flight, position)

    def _run(self, flight: Flight, position: int) -> None:
        task = flight.shape.plan[position]
        try:
            answer = task.run(flight.frame)
        except BaseException as error:
            error.add_note(f"in {task.name!r} of {flight.frame}")
            self._error = error
            raise
        self._book.end(flight, position, answer is QUIET)

    def join(self) -> None:
        """Learn from all that was held back."""
        while self._book.flights:
            self.go_on()
        if self._error is not None:
            raise self._error

    def clear(self) -> None:
        """Forget an error, and what was not run because of it."""
        if self._error is not None:
            self._error = None
            self._held.clear()
            self._book.forget()

    def close(self) -> None:
        """Drop what was held back, and accept nothing more."""
        self._closed = True
        self._held.clear()
        self._book.forget()


class Waiting:
    """A frame on its way."""

    def __init__(self, late: Late, flight: Flight) -> None:
        self._late = late
        self._flight = flight

    def wait(self, position: int | None = None) -> None:
        """Learn, oldest first, until the task at that position, or the whole plan, has ended."""
        while not self._flight.has(position):
            self._late.go_on()

    def done(self, position: int | None = None) -> bool:
        """Whether ``wait`` would return at once."""
        return self._flight.has(position)
