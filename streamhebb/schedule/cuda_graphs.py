"""Tasks recorded once and played back: one launch instead of many."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import RLock
from typing import Any, Literal, Protocol

import torch

from streamhebb.errors import ConfigError
from streamhebb.parts import require, require_choice
from streamhebb.schedule.cuda_flights import Flight, Flights
from streamhebb.schedule.cuda_lanes import send_eagerly
from streamhebb.schedule.device import Device, Pool, as_device
from streamhebb.schedule.lane_streams import LaneStreams
from streamhebb.schedule.task import Pending, Plan
from streamhebb.schedule.task_graphs import TaskGraphs
from streamhebb.schedule.trace import Trace
from streamhebb.schedule.wavefront import WaveGraph, check_wavefront


class StaticFrame(Protocol):
    """A frame whose tasks can be recorded.

    What is recorded are addresses. So the tasks, but for those by hand, must do nothing on the host
    that matters the next time (count, draw from a generator of Python's, look at a value), and must
    keep a layer's state where it is, writing it in place.

    A task by hand that reads what a recorded one made finds it in the twin. What it makes for a
    recorded one, it must write into a buffer that ``twin`` made.
    """

    @property
    def key(self) -> Hashable:
        """All that a recording depends on.

        Shapes, types, numbers that are no tensors, and where the weights lie.
        """
        ...

    def twin(self) -> StaticFrame:
        """Return a frame of the same kind with input buffers of its own; never this frame's."""
        ...

    def load(self, frame: Any) -> None:
        """Copy a frame's inputs into this twin's buffers, in place, on the current stream.

        What tasks by hand need on the host (labels) is taken over as it is.
        """
        ...

    def hand_over(self, frame: Any) -> None:
        """Give this twin's results to a frame, as copies, on the current stream."""
        ...


class _Entry:
    """What is known of one plan and key."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan  # kept, so that its id stays its own
        self.seen = 0
        self.graphs: Any = None


class CudaGraphs:
    """Records each kind of frame once and plays it back from then on. Not yet run on a card.

    The first frames of a kind run task by task, for real; then its tasks are recorded over static
    buffers, which runs nothing on the device, and every later frame is copied in, played back and
    copied out. Tasks by hand are run each time. A frame's results are there when all of its tasks
    have ended: ``wait(position)`` waits for the whole frame, unless it ran task by task.

    Args:
        per: ``"task"``: one graph a task, on its lane's stream, as soon as a frame is submitted;
            ``"wavefront"``: one graph for ``slots`` frames. Frames are put aside until there are so
            many; waiting for one before that, or a frame of another kind, runs those put aside
            task by task.
        slots: sets of static buffers. Per task, as many frames can overlap.
        depth: frames that may be unfinished, those put aside included; ``None`` is 4 per task, and
            two wavefronts.
        warm_up: frames of a kind that run task by task before it is recorded.
        keys: kinds of frames that are remembered; the one not used for longest is dropped.
        trace: is told of every task; a wavefront counts as one.
        device: number of the card.

    Raises:
        ConfigError: if there is no such card, or a number is out of its limits.
    """

    def __init__(
        self,
        per: Literal["task", "wavefront"] = "task",
        slots: int = 2,
        depth: int | None = None,
        warm_up: int = 2,
        keys: int = 8,
        trace: Trace | None = None,
        device: Device | int = 0,
    ) -> None:
        owner = type(self).__name__
        require_choice(owner, "per", per, ("task", "wavefront"))
        require(owner, "slots", slots, at_least=1, whole=True)
        require(owner, "warm_up", warm_up, at_least=1, whole=True)
        require(owner, "keys", keys, at_least=1, whole=True)
        wave = per == "wavefront"
        if depth is None:
            depth = 2 * slots if wave else 4
        if wave:  # fewer would never fill one
            require(owner, "depth", depth, at_least=slots, whole=True)
        self.device = as_device(device)
        self.per = per
        self.fine = wave  # lanes cost nothing inside a graph: each layer that learns may have one
        self.slots = slots
        self.depth = depth
        self.warm_up = warm_up
        self.keys = keys
        self.trace = trace
        self.counts = dict.fromkeys(("warm-up", "played", "short", "recorded", "dropped"), 0)
        """Frames run as warm-up, played back, run task by task for want of more; kinds recorded,
        and recordings dropped."""
        self._flights = Flights(self.device, depth, trace, owner)
        self._lanes = LaneStreams(self.device)
        self._entries: OrderedDict[tuple[int, Hashable], _Entry] = OrderedDict()
        self._in = self.device.stream()
        self._out = self.device.stream()
        self._pool: Pool = None
        self._aside: list[Flight] = []
        self._filling: _Entry | None = None
        self._lock = RLock()  # waiting for a frame that was put aside sends it

    def submit(self, plan: Plan, frame: Any) -> Pending:
        """Enqueue a frame, or put it aside; an exception of a task reaches the caller from here.

        Raises:
            ConfigError: if the frame is no
                [`StaticFrame`][streamhebb.schedule.cuda_graphs.StaticFrame], or the plan cannot be
                a wavefront.
        """
        self._flights.admit()
        with self._lock:
            entry = self._entry(plan, frame)
            if entry.seen < self.warm_up:
                entry.seen += 1
                self.counts["warm-up"] += 1
                flight = self._flights.start(plan, frame)
                send_eagerly(self._lanes, self._flights, flight)
            elif self.per == "task":
                flight = self._flights.start(plan, frame)
                self._recorded(entry, [flight]).play(self._flights, flight)
                self.counts["played"] += 1
            else:
                flight = self._flights.start(plan, frame, self._send_aside)
                self._aside.append(flight)
                self._filling = entry
                if len(self._aside) == self.slots:
                    wave, self._aside = self._aside, []
                    self._recorded(entry, wave).play(self._flights, wave)
                    self.counts["played"] += len(wave)
        return flight

    def _entry(self, plan: Plan, frame: Any) -> _Entry:
        try:
            name = (id(plan), frame.key)
        except AttributeError as error:
            raise ConfigError(
                f"a {type(frame).__name__} cannot be recorded: it has no key, so it is no "
                f"StaticFrame; use CudaLanes"
            ) from error
        entry = self._entries.get(name)
        if self._aside and entry is not self._filling:
            self._send_aside()  # frames stay in order
        if entry is None:
            if self.per == "wavefront":
                check_wavefront(plan)
            while len(self._entries) >= self.keys:
                _, old = self._entries.popitem(last=False)
                if old.graphs is not None:
                    old.graphs.settle()
                    self.counts["dropped"] += 1
            entry = self._entries[name] = _Entry(plan)
        self._entries.move_to_end(name)
        return entry

    def _recorded(self, entry: _Entry, wave: list[Flight]) -> Any:
        if entry.graphs is None:
            plan, frame, lanes = entry.plan, wave[0].frame, self._lanes
            try:
                if self.per == "task":
                    entry.graphs = TaskGraphs(lanes, plan, frame, self.slots, self._in, self._out)
                else:
                    if self._pool is None:
                        self._pool = self.device.pool()
                    entry.graphs = WaveGraph(lanes, plan, frame, self.slots, self._in, self._pool)
            except BaseException as error:
                for flight in wave:
                    flight.sent([], [])
                self._flights.fail(wave[0], error)
                raise
            self.counts["recorded"] += 1
        return entry.graphs

    def _send_aside(self) -> None:
        with self._lock, torch.no_grad():  # whoever waits may have gradients on
            aside, self._aside = self._aside, []
            for flight in aside:
                send_eagerly(self._lanes, self._flights, flight)
                self.counts["short"] += 1

    def join(self) -> None:
        """Wait for everything submitted; what was put aside is run task by task."""
        if self._aside and self._flights.error is None:
            self._send_aside()
        self._flights.join()

    def clear(self) -> None:
        """After an error: wait for everything enqueued, and forget it and what went wrong."""
        if self._flights.error is not None:
            self._aside.clear()
        self._flights.clear()

    def close(self) -> None:
        """Wait for everything enqueued, and give back streams and graphs."""
        self._flights.close()
        self._aside.clear()
        self._entries.clear()
        self._filling = None
        self._lanes = LaneStreams(self.device)

    def __reduce__(self) -> tuple[Any, ...]:
        index = getattr(self.device, "index", self.device)
        wishes = (self.per, self.slots, self.depth, self.warm_up, self.keys, None, index)
        return CudaGraphs, wishes

    def __repr__(self) -> str:
        return f"CudaGraphs({self.per!r}, slots={self.slots})"
