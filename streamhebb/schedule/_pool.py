"""The worker threads of `Threads`, and what they share under one lock.

Two things may cut in anywhere. A signal (Ctrl-C) may raise between any two steps of the main
thread: so nothing there waits with the lock held, and what is half done is undone. A collection of
garbage may close a scheduler in the middle of any thread: so the lock can be taken twice, and
nobody is waited for then.
"""

from __future__ import annotations

import atexit
import threading
import weakref
from collections import deque
from collections.abc import Callable
from time import perf_counter

import torch

from streamhebb import sharing
from streamhebb.errors import ConfigError
from streamhebb.schedule._flight import Book, Flight
from streamhebb.schedule.task import QUIET, Frame, Plan
from streamhebb.schedule.trace import Trace

WORTH_WAKING = 50e-6
"""Seconds of work for which another thread is woken: waking one costs some 10 to 50 µs."""


class _Shared:
    """A task cut into pieces, while they are being done."""

    __slots__ = ("count", "error", "flight", "left", "next", "piece", "position")

    def __init__(
        self, piece: Callable[[int], None], count: int, flight: Flight, position: int
    ) -> None:
        self.piece = piece
        self.count = count
        self.flight = flight
        self.position = position
        self.next = 0
        self.left = count
        self.error: BaseException | None = None


class Pool:
    """Workers around one [`Book`][streamhebb.schedule._flight.Book]."""

    def __init__(self, workers: int, trace: Trace | None) -> None:
        self.trace = trace
        self.error: BaseException | None = None
        self._error_at = 0  # number of the frame that failed; those before it still end
        self._workers = workers
        self._threads: list[threading.Thread] = []
        self._book = Book()
        self._shared: deque[_Shared] = deque()
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)  # workers wait here
        self._bells: list[threading.Lock] = []  # held; let go of when something has ended
        self._idle = 0
        self._soon = 0  # workers in a short task, who will look for the next one at once
        self._running = 0
        self._closing = False

    # -- from outside --------------------------------------------------------------------------

    def submit(self, plan: Plan, frame: Frame) -> Flight:
        """Accept a frame."""
        if not self._threads:
            self._start()
        with self._lock:
            if self.error is not None:
                raise self.error
            number = self._book.submitted
            try:
                flight = self._book.submit(plan, frame)
                self._nudge()
            except BaseException:  # Ctrl-C, say: half a frame in the book would never end
                self._book.withdraw(number)
                raise
        return flight

    def wait(self, flight: Flight, position: int | None) -> None:
        """Wait for one task, or the whole plan, of a frame."""
        while True:
            with self._lock:
                if flight.has(position):
                    return
                if flight.lost or self._over():
                    raise self.error or ConfigError(
                        "the scheduler was closed before the frame's end"
                    )
                self._nudge()
                flight.watched.append(position)
                bell = self._bell()
            try:
                bell.acquire()
            finally:
                with self._lock:
                    flight.watched.remove(position)

    def join(self) -> None:
        """Wait for all frames."""
        self._settle()
        with self._lock:
            if self.error is not None:
                raise self.error

    def clear(self) -> None:
        """Forget an error."""
        self._settle()
        with self._lock:
            if self.error is not None:
                self._book.forget()
                self.error = None

    def let_go(self) -> None:
        """Tell the threads to end, without waiting for them."""
        with self._lock:
            self._closing = True
            self._work.notify_all()
            self._ring()

    def close(self) -> None:
        """End the threads; never raises."""
        self.let_go()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        with self._lock:
            self._book.forget()
            self._ring()

    def _settle(self) -> None:
        """Wait until nothing is left to do."""
        while True:
            with self._lock:
                if self._over() or not (self._book.flights or self._running):
                    return
                self._nudge()
                bell = self._bell()
            bell.acquire()

    def _over(self) -> bool:
        return self._closing and not self._running

    def _bell(self) -> threading.Lock:
        """Return what can be acquired once something has ended; the pool's lock is held now."""
        bell = threading.Lock()
        bell.acquire()
        self._bells.append(bell)
        return bell

    def _ring(self) -> None:
        bells, self._bells = self._bells, []
        for bell in bells:
            bell.release()

    def _nudge(self) -> None:
        """Wake a worker for what is ready, unless one will look soon."""
        if self._book and self._idle and not self._soon:
            self._work.notify()

    def _give_up(self, error: BaseException, number: int) -> None:
        """Keep the error of the first frame that failed; those before it still end."""
        if self.error is None or number < self._error_at:
            self.error, self._error_at = error, number
            self._book.drop_from(number)
        self._ring()

    def _start(self) -> None:
        threads = torch.get_num_threads()
        ready = threading.Barrier(self._workers + 1)
        names = [f"worker {number}" for number in range(self._workers)]
        started = [
            threading.Thread(target=self._live, args=(ready,), name=name, daemon=True)
            for name in names
        ]
        try:
            for thread in started:
                thread.start()
            ready.wait()
            self._threads = started
        except BaseException:  # Ctrl-C, or no more threads to be had: the next frame tries again
            ready.abort()
            raise
        finally:
            torch.set_num_threads(threads)  # workers set theirs, which new threads would inherit
        _started.add(self)

    # -- in the workers ------------------------------------------------------------------------

    def _live(self, ready: threading.Barrier) -> None:
        torch.set_num_threads(1)
        try:
            ready.wait()
        except threading.BrokenBarrierError:
            return
        try:
            with torch.no_grad():  # grad mode belongs to a thread
                Worker(self).run()
        except BaseException as error:  # a fault of this module: nobody must wait for ever
            with self._lock:
                self._give_up(error, -1)
            raise


_started: weakref.WeakSet[Pool] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """No thread may be in the middle of a kernel when the interpreter is taken down."""
    for pool in list(_started):
        pool.close()


class Worker:
    """One thread's way through the work."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.name = threading.current_thread().name
        self._at: tuple[Flight, int] | None = None  # the task it is in
        self._acquire, self._release = pool._lock.acquire, pool._lock.release

    def run(self) -> None:
        """Work until the pool closes."""
        pool = self.pool
        book, work = pool._book, pool._work
        with sharing.crew(self), pool._lock:
            while not pool._closing:
                if (found := book.take()) is not None:
                    self._do(*found)
                elif pool._shared:  # after tasks of one's own: whoever helps may have to wait
                    self._help(pool._shared[0])
                else:
                    pool._idle += 1
                    work.wait()
                    pool._idle -= 1

    def _do(self, flight: Flight, position: int) -> None:
        """Run one task; the lock is held before and after."""
        pool, shape = self.pool, flight.shape
        run, usual = shape.runs[position], shape.seconds[position]
        long = usual > WORTH_WAKING
        if not long:
            pool._soon += 1
        elif pool._idle and pool._book and not pool._soon:
            pool._work.notify()  # this worker will be away for long
        pool._running += 1
        self._at = (flight, position)
        error = answer = None
        timed = long or pool.trace is not None or not flight.number & 15  # a look now and then
        self._release()
        start = perf_counter() if timed else 0.0
        try:
            answer = run(flight.frame)
        except BaseException as caught:  # noqa: BLE001 - handed to whoever waits
            error = caught
        if timed:
            end = perf_counter()
            self._acquire()
            self._note(flight, position, start, end)
        else:
            self._acquire()
        self._at = None
        pool._running -= 1
        if not long:
            pool._soon -= 1
        if error is not None:
            error.add_note(f"in {shape.plan[position].name!r} of {flight.frame}")
            flight.lost = True
            pool._give_up(error, flight.number)
            return
        book = pool._book
        book.end(flight, position, answer is QUIET)
        if book.news or not (pool._running or (book.flights and not pool._closing)):
            book.news = False
            pool._ring()

    def _note(self, flight: Flight, position: int, start: float, end: float) -> None:
        """Keep how long a task took."""
        seconds, trace = flight.shape.seconds, self.pool.trace
        usual, took = seconds[position], end - start
        seconds[position] = 0.9 * usual + 0.1 * took if usual < 1 else took
        if trace is not None:
            task = flight.shape.plan[position]
            trace.add(task.name, task.lane, flight.number, self.name, start, end)

    # -- pieces --------------------------------------------------------------------------------

    def share(self, piece: Callable[[int], None], count: int) -> None:
        """Offer pieces to idle workers, do what they leave, wait for what they took."""
        pool = self.pool
        if self._at is None:
            raise RuntimeError("pieces are cut inside a task only")
        shared = _Shared(piece, count, *self._at)
        with pool._lock:
            pool._shared.append(shared)
            if pool._idle:
                pool._work.notify(min(count - 1, pool._idle))
            self._help(shared, own=True)
            while shared.left:
                bell = pool._bell()
                pool._lock.release()
                bell.acquire()
                pool._lock.acquire()
        if shared.error is not None:
            raise shared.error

    def _help(self, shared: _Shared, own: bool = False) -> None:
        """Do pieces until none is left to take; the lock is held before and after."""
        pool, at = self.pool, self._at
        self._at = shared.flight, shared.position  # a piece may be cut again
        while shared.next < shared.count:
            number = shared.next
            shared.next += 1
            if shared.next == shared.count:
                pool._shared.remove(shared)
            pool._lock.release()
            start = perf_counter()
            try:
                if shared.error is None:
                    shared.piece(number)
            except BaseException as error:  # noqa: BLE001 - raised where the work was cut
                shared.error = error
            end = perf_counter()
            pool._lock.acquire()
            if pool.trace is not None and not own:
                task = shared.flight.shape.plan[shared.position]
                pool.trace.add(
                    task.name, task.lane, shared.flight.number, self.name, start, end, True
                )
            shared.left -= 1
        self._at = at
        if not own and not shared.left:
            pool._ring()
