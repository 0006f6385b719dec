"""A stream that passes through a net: the loop over a source, and what to do without time."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
import weakref
from collections.abc import AsyncIterator, Generator, Iterator
from types import TracebackType
from typing import Any, Self

from streamhebb.errors import ConfigError
from streamhebb.flow import Flow, Report
from streamhebb.inbox import Arrived, Inbox
from streamhebb.parts import require, require_choice
from streamhebb.sources.base import as_sample, samples
from streamhebb.values import Sample, StepResult

POLICIES = ("block", "drop_oldest", "latest", "skip_learning")

WAITING = {"skip_learning": 64}
"""Samples that may wait unless said otherwise, where that is not 2: the deadline is the limit."""


class Run:
    """A stream passing through a net with several samples in flight; iterate for the results.

    Results come in the order of the samples, each as soon as its answer is there; learning from it
    may still be under way. With the default order the weights are those of ``step`` on one sample
    after the other, to the bit, whatever the scheduler.

    Works with ``for``, and with ``async for``, also over an asynchronous source. The end of the
    source, leaving the loop or the ``with`` block, or an exception in a layer ends the run: what is
    in flight is learned from, the source is closed, threads that read it end.

    A policy says what happens when samples come faster than the net learns:

    * ``"block"``: the source waits. Nothing is lost. For files and data sets.
    * ``"drop_oldest"``: up to ``waiting`` samples wait; the oldest of them makes room.
    * ``"latest"``: only the newest sample waits.
    * ``"skip_learning"``: every sample is predicted; one that would not be through by its
      ``deadline`` is not learned from, unless the net is idle.

    All but ``"block"`` read the source in a thread of its own.

    Args:
        flow: the net and the samples in flight.
        source: anything [`samples`][streamhebb.sources.base.samples] takes, or an asynchronous
            iterable of the same.
        policy: see above.
        waiting: samples that may wait before the net, for all policies but ``"block"``; ``None``
            is 2, and 64 for ``"skip_learning"``, where the source waits only beyond that.

    Raises:
        ConfigError: for a policy that does not exist, or a deadline without its policy.
    """

    def __init__(
        self, flow: Flow, source: Any, *, policy: str = "block", waiting: int | None = None
    ) -> None:
        require_choice("run", "policy", policy, POLICIES)
        waiting = WAITING.get(policy, 2) if waiting is None else waiting
        require("run", "waiting", waiting, at_least=1, whole=True)
        if (policy == "skip_learning") != (flow.deadline is not None):
            raise ConfigError(
                f"run: policy={policy!r} with deadline={flow.deadline!r} s; a deadline belongs to "
                f"policy='skip_learning', and that needs one"
            )
        self.flow = flow
        self.source = source
        self.policy = policy
        self.inbox: Inbox[Sample] | None = None
        if policy != "block" or hasattr(source, "__aiter__"):
            self._open_inbox(policy, waiting)
        self._reader: threading.Thread | None = None
        # Whoever loops holds it, so that it is closed when the loop is left.
        self._results: weakref.ref[Generator[StepResult]] | None = None
        self._closed = False
        self._stopping = False

    def _open_inbox(self, policy: str, waiting: int) -> Inbox[Sample]:
        self.inbox = inbox = Inbox[Sample](policy, waiting, self.flow.net.clock)
        self.flow.waiting = inbox.__len__
        return inbox

    @property
    def report(self) -> Report:
        """What became of the samples so far."""
        return self.flow.report

    # -- the loop ------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[StepResult]:
        if hasattr(self.source, "__aiter__"):
            raise ConfigError(
                f"run: the source is asynchronous ({type(self.source).__name__}), and this loop "
                f"is not; use async for"
            )
        return self._loop()

    def _loop(self) -> Iterator[StepResult]:
        """The one loop over the results, begun or under way; empty once it is over."""
        results = None if self._results is None else self._results()
        if self._results is None:
            results = self._stream()
            self._results = weakref.ref(results)
        return iter(()) if results is None else results

    def _stream(self) -> Generator[StepResult]:
        arrivals = self._pulled() if self.inbox is None else self._received(self.inbox)
        try:
            with contextlib.closing(arrivals):
                for arrival in arrivals:
                    if isinstance(arrival, StepResult):
                        yield arrival
                    else:
                        self.flow.send(*arrival)
            yield from self.flow.drain()
        except Exception:
            # A sample was refused, a layer failed, the source broke: those before have results.
            yield from self.flow.salvage()
            raise
        finally:
            self.close()

    def _pulled(self) -> Generator[Arrived[Sample] | StepResult]:
        """Answers until there is room, then a sample as the net asks for it, and so on."""
        with contextlib.closing(samples(self.source)) as found:
            while True:
                yield from self.flow.make_room()
                sample = None if self._stopping else next(found, None)
                if sample is None:
                    return
                yield Arrived(sample, self.flow.net.clock.now(), {})

    def _received(self, inbox: Inbox[Sample]) -> Generator[Arrived[Sample] | StepResult]:
        """Answers until there is room, and while no sample waits; samples as they come."""
        if self._reader is None and not hasattr(self.source, "__aiter__"):
            # It must not hold the run, or nobody could let go of that while a source goes on.
            self._reader = threading.Thread(target=_read, args=(self.source, inbox), daemon=True)
            self._reader.start()
            _reading.add(self)
        while True:
            yield from self.flow.make_room()
            if self.flow.unanswered and not inbox:
                yield self.flow.next_answer()
                continue
            arrival = inbox.get()
            if arrival is None:
                break
            yield arrival
        self.flow.count(inbox.missed)  # after the last sample that got through
        self.report.missed.update(inbox.missed)

    async def __aiter__(self) -> AsyncIterator[StepResult]:
        # What blocks must not block the event loop, so samples always come through an inbox.
        inbox = self._open_inbox("block", 1) if self.inbox is None else self.inbox
        pump = None
        if hasattr(self.source, "__aiter__"):
            pump = asyncio.ensure_future(self._pump(inbox))
        results, end = self._loop(), object()
        try:
            while True:
                ask = asyncio.ensure_future(asyncio.to_thread(next, results, end))
                try:
                    result = await asyncio.shield(ask)
                except asyncio.CancelledError:
                    inbox.close()
                    await asyncio.wait([ask])  # a generator cannot be closed while it runs
                    raise
                if result is end:
                    return
                yield result  # type: ignore[misc]
        finally:
            if pump is not None:
                pump.cancel()
            await asyncio.to_thread(self.close)

    async def _pump(self, inbox: Inbox[Sample]) -> None:
        number = 0
        try:
            async for item in self.source:
                if not await asyncio.to_thread(inbox.put, as_sample(item, number)):
                    return
                number += 1
        except Exception as error:  # noqa: BLE001 - raised in the loop that waits for samples
            inbox.close(error)
        finally:
            inbox.close()

    # -- the end -------------------------------------------------------------------------------

    def stop(self) -> None:
        """Take no more of the source; results of what it has given still come. From any thread."""
        self._stopping = True
        if self.inbox is not None:
            self.inbox.close()

    def close(self) -> None:
        """Let what is in flight be learned from, and let go of the source. Never raises."""
        if self._closed:
            return
        self._closed = True
        if self.inbox is not None:
            self.inbox.close()
        results = None if self._results is None else self._results()
        if results is not None:
            with contextlib.suppress(Exception):  # it may be running: here, or in another thread
                results.close()
        self.flow.close()
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join(timeout=1.0)  # it ends with the source's next sample at the latest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_reading: weakref.WeakSet[Run] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """No thread may be in the middle of a source when the interpreter is taken down."""
    for run in list(_reading):
        run.close()


def _read(source: Any, inbox: Inbox[Sample]) -> None:
    """Bring what a source gives to an inbox, until either ends."""
    try:
        with contextlib.closing(samples(source)) as found:
            for sample in found:
                if not inbox.put(sample):
                    return
    except BaseException as error:  # noqa: BLE001 - raised in the loop that waits for samples
        inbox.close(error)
    else:
        inbox.close()
