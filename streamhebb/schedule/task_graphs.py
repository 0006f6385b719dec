"""One recorded graph for each task, for each of a few sets of static buffers."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from streamhebb.schedule.cuda_flights import Flight, Flights
from streamhebb.schedule.device import Event, Graph, Stream, mark
from streamhebb.schedule.lane_streams import LaneStreams, Walk
from streamhebb.schedule.task import QUIET, Plan, Task

if TYPE_CHECKING:
    from streamhebb.schedule.cuda_graphs import StaticFrame


class _Slot:
    """Static buffers, and what was recorded over them.

    Args:
        twin: holds the buffers.
    """

    def __init__(self, twin: StaticFrame) -> None:
        self.twin = twin
        self.graphs: list[Graph] = []  # None for a task by hand, or one that is always passed over
        self.answers: list[object] = []
        self.free: Event = None  # ends the slot's last use, its results handed over


class TaskGraphs:
    """Plays a plan back, task by task, on the streams of its lanes.

    The buffers of a slot are written anew by the frame that comes ``slots`` later. Whatever reads
    them for the earlier frame comes, by the plan's edges, after the load of that frame; so it is
    enough that a load waits until all of the slot's last use has ended, the handing over of its
    results included: no task of the later frame can start before its load.

    Loads and handings over have a stream each. On one stream, the load of the next frame would
    wait behind the results of this one.

    Args:
        lanes: the streams; all of the plan's tasks have run there before.
        plan: what is recorded.
        frame: makes the static buffers; nothing of it is kept or run.
        slots: sets of buffers.
        inbound: stream of the loads.
        outbound: stream of the handings over.

    Raises:
        BaseException: what a task raised while it was recorded, with a note.
    """

    def __init__(
        self,
        lanes: LaneStreams,
        plan: Plan,
        frame: StaticFrame,
        slots: int,
        inbound: Stream,
        outbound: Stream,
    ) -> None:
        self._lanes = lanes
        self._device = device = lanes.device
        self._plan = plan
        self._inbound = inbound
        self._outbound = outbound
        self._slots = [_Slot(frame.twin()) for _ in range(slots)]
        self._uses = 0
        device.wait(inbound, mark(device, device.current()))  # what made the twins
        for slot in self._slots:
            self._record(slot, str(frame))

    def _record(self, slot: _Slot, frame: str) -> None:
        quiet: set[int] = set()
        for position, task in enumerate(self._plan):
            graph: Graph = None
            answer: object = None
            if not (task.always or quiet.isdisjoint(task.after)):
                answer = QUIET
            elif not task.by_hand:
                lane = self._lanes.lane(task.lane)
                try:
                    with self._device.capture(lane.stream, lane.pool) as graph:
                        answer = task.run(slot.twin)
                except BaseException as error:
                    error.add_note(recording(task, frame))
                    raise
            if answer is QUIET:
                quiet.add(position)
            slot.graphs.append(graph)
            slot.answers.append(answer)

    def play(self, flights: Flights, flight: Flight) -> None:
        """Enqueue a frame.

        Args:
            flights: told of an exception.
            flight: the frame.

        Raises:
            BaseException: what a task by hand, a load or a handing over raised, with a note.
        """
        device, frame, plan = self._device, flight.frame, self._plan
        slot = self._slots[self._uses % len(self._slots)]
        self._uses += 1
        walk = Walk(plan, frame, None, None if flights.trace is None else flight.stamps)

        def run(position: int, task: Task) -> object:
            graph = slot.graphs[position]
            if graph is None:
                return task.run(slot.twin)
            device.replay(graph)
            return slot.answers[position]

        doing = "load"
        try:
            device.wait(self._inbound, flight.ready)
            if slot.free is not None:
                device.wait(self._inbound, slot.free)
            with device.on(self._inbound):
                slot.twin.load(frame)
            walk.ready = mark(device, self._inbound)
            doing = ""
            self._lanes.walk(walk, run)
            self._gather(walk)
            doing = "hand_over"
            with device.on(self._outbound):
                slot.twin.hand_over(frame)
            slot.free = mark(device, self._outbound)
            flight.sent([slot.free] * len(plan), [slot.free])
        except BaseException as error:
            if doing:
                error.add_note(f"in {doing} of {frame}")
            flights.fail(flight, error)
            with suppress(Exception):  # what is on its way needs the frame and the slot
                walk.ready = mark(device, self._inbound)
                self._gather(walk)
                slot.free = mark(device, self._outbound)
                flight.sent([], [slot.free])
            raise

    def _gather(self, walk: Walk) -> None:
        for event in (walk.ready, *walk.events):
            self._device.wait(self._outbound, event)

    def settle(self) -> None:
        """Wait until nothing uses the buffers any more."""
        for slot in self._slots:
            if slot.free is not None:
                self._device.synchronize(slot.free)


def recording(task: Task, frame: str) -> str:
    """Say in which task a recording failed, and the cure."""
    return (
        f"while recording {task.name!r} of {frame}; a task that looks at its values, or needs "
        f"Python each time, must say by_hand=True"
    )
