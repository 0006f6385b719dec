"""A CUDA stream for each lane; the host only enqueues."""

from __future__ import annotations

from typing import Any

from streamhebb.schedule.cuda_flights import Flight, Flights
from streamhebb.schedule.device import Device, as_device
from streamhebb.schedule.lane_streams import LaneStreams, Walk
from streamhebb.schedule.task import Frame, Pending, Plan, Task
from streamhebb.schedule.trace import Trace


class CudaLanes:
    """Runs tasks on the streams of a card, one stream a lane. Not yet run on a card.

    ``submit`` walks the plan and enqueues; edges between lanes are events, so layers overlap on the
    device while the host goes on. Tasks run in the caller's thread, and what they enqueue must go
    to the current stream, as everything in torch does. A task may look at its values (to return
    ``QUIET``, say): then it, and the host with it, waits for them.

    A task must not drop or replace a value of the frame that another lane made or may still read:
    frames are kept whole until all of their tasks have ended.

    ``wait`` and ``join`` wait on the host, so whatever the caller enqueues afterwards, on any
    stream, comes after what was waited for.

    Args:
        depth: frames that may be unfinished; ``submit`` waits for the oldest when there are more.
        trace: is told of every task, with the device's own times, once its frame has ended.
        device: number of the card.

    Raises:
        ConfigError: if there is no such card, or ``depth`` is no whole number from 1.
    """

    def __init__(
        self, depth: int = 4, trace: Trace | None = None, device: Device | int = 0
    ) -> None:
        self.device = as_device(device)
        self.depth = depth
        self.trace = trace
        self._flights = Flights(self.device, depth, trace, type(self).__name__)
        self._lanes = LaneStreams(self.device)

    def submit(self, plan: Plan, frame: Frame) -> Pending:
        """Enqueue all tasks of a frame; an exception of a task reaches the caller from here."""
        self._flights.admit()
        flight = self._flights.start(plan, frame)
        send_eagerly(self._lanes, self._flights, flight)
        return flight

    def join(self) -> None:
        """Wait for everything enqueued."""
        self._flights.join()

    def clear(self) -> None:
        """Wait for everything enqueued, and forget it and what went wrong."""
        self._flights.clear()

    def close(self) -> None:
        """Wait for everything enqueued, and give back the streams."""
        self._flights.close()
        self._lanes = LaneStreams(self.device)

    def __reduce__(self) -> tuple[Any, ...]:
        return CudaLanes, (self.depth, None, getattr(self.device, "index", self.device))

    def __repr__(self) -> str:
        return f"CudaLanes(depth={self.depth})"


def send_eagerly(lanes: LaneStreams, flights: Flights, flight: Flight) -> None:
    """Enqueue a frame task by task, each by running it.

    Args:
        lanes: where to.
        flights: told of an exception.
        flight: the frame.
    """
    frame = flight.frame
    stamps = None if flights.trace is None else flight.stamps
    walk = Walk(flight.plan, frame, flight.ready, stamps)

    def run(position: int, task: Task) -> object:
        return task.run(frame)

    try:
        lanes.walk(walk, run)
    except BaseException as error:
        flights.fail(flight, error)
        raise
    finally:
        flight.sent(walk.ends, walk.events)
