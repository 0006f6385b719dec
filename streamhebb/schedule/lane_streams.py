"""One stream for each lane, and the edges of a plan as events between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

from streamhebb.schedule.cuda_flights import Stamp
from streamhebb.schedule.device import Device, Event, Pool, Stream, mark
from streamhebb.schedule.task import QUIET, Frame, Plan, Task

RECENT = 64
"""Ends of tasks that a lane remembers. A task that allows a larger lag waits for the oldest of
them: later than it must, never earlier."""


class Lane:
    """One stream, and the events that end what was sent to it last.

    Args:
        device: where the stream is.
        number: of the lane.
        stream: ``None`` makes one.
    """

    def __init__(self, device: Device, number: int, stream: Stream = None) -> None:
        self.stream: Stream = device.stream() if stream is None else stream
        self.worker = f"{device.name} lane {number}"
        self.recent: deque[Event] = deque(maxlen=RECENT)
        self._device = device
        self._pool: Pool = None

    @property
    def pool(self) -> Pool:
        """Memory for what is recorded on this lane: its graphs run one at a time, in lane order."""
        if self._pool is None:
            self._pool = self._device.pool()
        return self._pool

    def before(self, lag: int) -> Event | None:
        """Return the event after which at most ``lag`` of the tasks sent so far are unfinished."""
        if lag < len(self.recent):
            return self.recent[-1 - lag]
        return self.recent[0] if len(self.recent) == RECENT else None


class Walk:
    """How far one frame has been sent, and what is known of it on the host.

    Args:
        plan: to be walked.
        frame: names it in errors.
        ready: what tasks without predecessors wait for.
        stamps: takes events with timing of every task, if given.
    """

    def __init__(
        self, plan: Plan, frame: Frame, ready: Event, stamps: list[Stamp] | None = None
    ) -> None:
        self.plan = plan
        self.frame = frame
        self.ready = ready
        self.stamps = stamps
        self.ends: list[Event] = [None] * len(plan)
        self.quiet: set[int] = set()
        self.last: dict[int, Event] = {}  # the lane's last event

    @property
    def events(self) -> tuple[Event, ...]:
        """Events that together end everything sent: one a lane."""
        return tuple(self.last.values())


class LaneStreams:
    """Sends the tasks of frames to streams, in plan order, without waiting for any of them.

    A task of a lane comes after all the earlier ones of its lane by the order of the stream; it
    waits for the events of those on other lanes. As all of them were sent earlier, a stream never
    waits for what is yet to be sent, and nothing can block for ever.

    Args:
        device: where the streams are.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self._lanes: dict[int, Lane] = {}

    def lane(self, number: int) -> Lane:
        """Return a lane, made when first asked for."""
        lane = self._lanes.get(number)
        if lane is None:
            lane = self._lanes[number] = Lane(self.device, number)
        return lane

    def fresh(self) -> LaneStreams:
        """Return the same streams without a past, for recording."""
        twin = LaneStreams(self.device)
        for number, lane in self._lanes.items():
            twin._lanes[number] = Lane(self.device, number, lane.stream)
        return twin

    def walk(
        self,
        walk: Walk,
        run: Callable[[int, Task], object],
        positions: Iterable[int] | None = None,
    ) -> None:
        """Send tasks of a frame.

        Args:
            walk: the frame.
            run: does what is to be done for a task, with its lane's stream as the current one.
            positions: of the tasks meant, ascending; ``None`` means all.

        Raises:
            BaseException: what ``run`` raised, with a note; nothing after it has been sent.
        """
        plan = walk.plan
        for position in range(len(plan)) if positions is None else positions:
            task = plan[position]
            lane = self.lane(task.lane)
            try:
                self._send(walk, position, task, lane, run)
            except BaseException as error:
                error.add_note(f"in {task.name!r} of {walk.frame}")
                with suppress(Exception):  # part of it may be on its way, and needs the frame
                    walk.last[task.lane] = mark(self.device, lane.stream)
                raise

    def _send(
        self,
        walk: Walk,
        position: int,
        task: Task,
        lane: Lane,
        run: Callable[[int, Task], object],
    ) -> None:
        device = self.device
        for event in self._awaited(walk, task):
            device.wait(lane.stream, event)
        if not (task.always or walk.quiet.isdisjoint(task.after)):
            walk.quiet.add(position)  # an empty task: what comes after it comes after all before it
            end = mark(self.device, lane.stream)
        else:
            start = None if walk.stamps is None else mark(self.device, lane.stream, True)
            with device.on(lane.stream):
                answer = run(position, task)
            if answer is QUIET:
                walk.quiet.add(position)
            end = mark(self.device, lane.stream, walk.stamps is not None)
            if walk.stamps is not None:
                walk.stamps.append(Stamp(task.name, task.lane, lane.worker, start, end))
        lane.recent.append(end)
        walk.ends[position] = walk.last[task.lane] = end

    def _awaited(self, walk: Walk, task: Task) -> list[Event]:
        found: list[Event] = []
        if not task.after:  # the others come after one of these
            found.append(walk.ready)
        for other in task.after:
            if walk.plan[other].lane != task.lane:
                found.append(walk.ends[other])
        for number, lag in task.waits_for:
            if number != task.lane and number in self._lanes:
                event = self._lanes[number].before(lag)
                if event is not None:
                    found.append(event)
        return found

    def tips(self) -> list[Event]:
        """Return the events that end everything sent to any lane."""
        return [lane.recent[-1] for lane in self._lanes.values() if lane.recent]

    def follow(self, event: Event) -> None:
        """Let all lanes go on after an event, as if they had been sent what led to it."""
        for lane in self._lanes.values():
            self.device.wait(lane.stream, event)
            lane.recent.append(event)
