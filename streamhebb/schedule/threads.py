"""Lanes on a CPU: a few threads take whatever task is ready, oldest sample first."""

from __future__ import annotations

import os
import weakref
from typing import Any

from streamhebb.errors import ConfigError
from streamhebb.parts import require
from streamhebb.schedule._flight import Flight
from streamhebb.schedule._pool import Pool
from streamhebb.schedule.task import Frame, Plan
from streamhebb.schedule.trace import Trace


class Threads:
    """Runs tasks in worker threads, each with one intra-op thread of torch.

    A worker that has ended a task takes the next that is ready. A heavy task is cut into pieces
    (see [`sharing`][streamhebb.sharing]) that idle workers help with. Workers wait without using
    the processor. A worker is woken only for work that is worth it: short tasks are left to those
    who are awake.

    Threads start with the first frame and end with ``close``, with the scheduler, or with the
    interpreter. A copy of a net gets workers of its own.

    Args:
        workers: how many; ``None`` is one for each processor this process may use.
        trace: is told of every task, if given.

    Raises:
        ConfigError: for a number of workers below 1.

    Example:
        >>> from streamhebb.schedule import Task, make_plan
        >>> plan = make_plan([Task("double", 0, (), lambda frame: frame.append(2 * frame[0]))])
        >>> threads, frame = Threads(2), [21]
        >>> threads.submit(plan, frame).wait()
        >>> frame
        [21, 42]
        >>> threads.close()
    """

    def __init__(self, workers: int | None = None, *, trace: Trace | None = None) -> None:
        if workers is None:
            workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
            workers = workers or os.cpu_count() or 1
        require("Threads", "workers", workers, at_least=1, whole=True)
        self.workers = workers
        self._pool = Pool(workers, trace)
        # The threads know the pool only, so a scheduler that nobody holds any more is closed.
        self._closing = weakref.finalize(self, Pool.let_go, self._pool)
        self._closing.atexit = False  # the pool sees to that, and waits for its threads

    @property
    def trace(self) -> Trace | None:
        """Where every task is noted; may be set between frames."""
        return self._pool.trace

    @trace.setter
    def trace(self, trace: Trace | None) -> None:
        self._pool.trace = trace

    def submit(self, plan: Plan, frame: Frame) -> OnItsWay:
        """Accept a frame; what can start, starts.

        Raises:
            ConfigError: if the scheduler is closed.
            Exception: what a task has raised before.
        """
        if not self._closing.alive:
            raise ConfigError("this scheduler is closed; make a new one: Threads()")
        return OnItsWay(self._pool, self._pool.submit(plan, frame))

    def join(self) -> None:
        """Wait for everything submitted; raise what a task raised."""
        self._pool.join()

    def clear(self) -> None:
        """Forget an error and the frames given up because of it."""
        self._pool.clear()

    def close(self) -> None:
        """Let running tasks end, drop the others, and end the threads."""
        self._closing()
        self._pool.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return Threads, (self.workers,)

    def __repr__(self) -> str:
        return f"Threads({self.workers})"


class OnItsWay:
    """A frame among the workers."""

    __slots__ = ("_flight", "_pool")

    def __init__(self, pool: Pool, flight: Flight) -> None:
        self._pool = pool
        self._flight = flight

    def wait(self, position: int | None = None) -> None:
        """Return when the task at that position, or the whole plan, has ended."""
        self._pool.wait(self._flight, position)

    def done(self, position: int | None = None) -> bool:
        """Whether ``wait`` would return, or raise, at once."""
        return self._flight.has(position) or self._flight.lost
