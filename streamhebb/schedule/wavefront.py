"""One recorded graph for several frames at once, all lanes in it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from streamhebb.errors import ConfigError
from streamhebb.schedule.cuda_flights import Flight, Flights, Stamp
from streamhebb.schedule.device import Pool, Stream, mark
from streamhebb.schedule.lane_streams import LaneStreams, Walk
from streamhebb.schedule.task import Plan, Task
from streamhebb.schedule.task_graphs import recording

if TYPE_CHECKING:
    from streamhebb.schedule.cuda_graphs import StaticFrame


def check_wavefront(plan: Plan) -> None:
    """Check that no task that is recorded waits for one by hand, in its frame or an earlier one.

    Raises:
        ConfigError: naming both.
    """
    by_hand = {position for position, task in enumerate(plan) if task.by_hand}
    lanes = {plan[position].lane: position for position in by_hand}
    for task in plan:
        if task.by_hand:
            continue
        found = by_hand.intersection(task.after)
        found |= {lanes[lane] for lane, _ in task.waits_for if lane in lanes}
        if found:
            raise ConfigError(
                f"a wavefront cannot hold this plan: {task.name!r} would be recorded, and waits "
                f"for {plan[min(found)].name!r}, which is by hand. Tasks by hand come last, in "
                f"lanes of their own: make {task.name!r} by_hand too, or use per='task'"
            )


class WaveGraph:
    """Plays a plan back for several frames by one launch.

    The graph is forked from one stream and joined to it again, and loads, graph and handings over
    follow one another on that stream: nothing has to guard the static buffers, and nothing overlaps
    from one wavefront to the next, which costs the filling and draining of the lanes each time.

    Tasks by hand run after the graph, frame by frame, on the streams of their lanes.

    Args:
        lanes: the streams; all of the plan's tasks have run there before.
        plan: what is recorded.
        frame: makes the static buffers; nothing of it is kept or run.
        slots: frames in a wavefront.
        home: the stream it is forked from.
        pool: memory for graphs of that stream.

    Raises:
        BaseException: what a task raised while it was recorded, with a note.
    """

    def __init__(
        self,
        lanes: LaneStreams,
        plan: Plan,
        frame: StaticFrame,
        slots: int,
        home: Stream,
        pool: Pool,
    ) -> None:
        self._lanes = lanes
        self._device = device = lanes.device
        self._plan = plan
        self._home = home
        self._twins = [frame.twin() for _ in range(slots)]
        self._quiet: list[set[int]] = []
        self._by_hand = [p for p, task in enumerate(plan) if task.by_hand]
        device.wait(home, mark(device, device.current()))  # what made the twins
        recorded = [p for p, task in enumerate(plan) if not task.by_hand]
        fresh = lanes.fresh()  # events from outside mean nothing in a recording
        with device.capture(home, pool) as graph:
            fork = mark(device, home)
            for twin in self._twins:
                walk = Walk(plan, frame, fork)
                self._record(fresh, walk, twin, recorded)
                self._quiet.append(walk.quiet)
            for event in fresh.tips():
                device.wait(home, event)
        self._graph = graph

    @staticmethod
    def _record(fresh: LaneStreams, walk: Walk, twin: StaticFrame, recorded: list[int]) -> None:
        def run(position: int, task: Task) -> object:
            try:
                return task.run(twin)
            except BaseException as error:
                error.add_note(recording(task, str(walk.frame)))
                raise

        fresh.walk(walk, run, recorded)

    def play(self, flights: Flights, wave: list[Flight]) -> None:
        """Enqueue as many frames as there are slots.

        Args:
            flights: told of an exception.
            wave: the frames, in the order in which they were submitted.

        Raises:
            BaseException: what a task by hand, a load or a handing over raised, with a note.
        """
        device, home, traced = self._device, self._home, flights.trace is not None
        at, walk = 0, None
        try:
            for event in self._lanes.tips():
                device.wait(home, event)
            for flight, twin in zip(wave, self._twins, strict=True):
                device.wait(home, flight.ready)
                with device.on(home):
                    twin.load(flight.frame)
            start = mark(device, home, traced)
            with device.on(home):
                device.replay(self._graph)
            end = mark(device, home, traced)
            self._lanes.follow(end)
            if traced:
                worker = f"{device.name} wavefront"
                name = f"{len(wave)} frames"
                wave[0].stamps.append(Stamp(name, self._plan[0].lane, worker, start, end))
            for at, flight in enumerate(wave):
                walk = Walk(self._plan, flight.frame, end, flight.stamps if traced else None)
                walk.ends = [end] * len(self._plan)
                walk.quiet = set(self._quiet[at])
                self._finish(walk, flight, self._twins[at])
        except BaseException as error:
            flights.fail(wave[at], error)
            with suppress(Exception):  # what is on its way needs the frames
                for event in () if walk is None else walk.events:
                    device.wait(home, event)
                last = mark(device, home)
                for flight in wave[at:]:
                    flight.sent([], [last])
            raise

    def _finish(self, walk: Walk, flight: Flight, twin: StaticFrame) -> None:
        def run(position: int, task: Task) -> object:
            return task.run(twin)

        self._lanes.walk(walk, run, self._by_hand)
        for event in walk.events:
            self._device.wait(self._home, event)
        with self._device.on(self._home):
            twin.hand_over(flight.frame)
        handed = mark(self._device, self._home)
        flight.sent([handed] * len(self._plan), [handed])

    def settle(self) -> None:
        """Wait until nothing uses the buffers any more."""
        self._device.synchronize(mark(self._device, self._home))
