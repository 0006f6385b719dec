"""The race detector: each buffer knows its version, and a read of the wrong one raises.

torch counts every write to a tensor. With ``StreamNet(..., check_races=True)``, or the environment
variable ``STREAMHEBB_RACES=1`` when a net is built, each task compares these counts with those that
the last task of its stage has left. It raises [`RaceError`][streamhebb.errors.RaceError]

* if a buffer of a layer or of the readout was written to, or replaced, by somebody else;
* if samples overtake each other in a stage, two are in it at once, or one learns before it
  responds;
* if the output of a layer, the input of the net, or what a layer keeps until it learns, was written
  to after it was made;
* if ``respond`` writes.

Buffers may be changed while no sample is in flight for their stage: between steps, between runs,
after ``net.scheduler.join()``. Where an order lets samples overlap in a stage
([`Stale`][streamhebb.order.Stale], [`Hogwild`][streamhebb.order.Hogwild]), only outputs and what
layers keep are checked.

Not seen are writes that torch does not count (``tensor.data``, numpy, compiled kernels; but each
update of a plastic layer shows in its buffer ``updates``), attributes that are no buffers, who else
writes while a layer learns, and what a device does after a task has handed work over to it.

Switched off, no check is there; a frame takes a number, which costs 0.3 µs. Switched on, a task
takes 20 to 30 µs more, most of it for looking at buffers.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

from torch import Tensor, nn

from streamhebb.errors import ConfigError, RaceError
from streamhebb.schedule import QUIET, Task
from streamhebb.versions import Outputs, Versions, difference, look, tensors, version

VARIABLE = "STREAMHEBB_RACES"
READOUT = "readout"  # as a stage
_SCHEDULER = "The scheduler broke a promise of streamhebb.schedule.task: report it"
_SOMEBODY = (
    "Somebody wrote to the buffer while a run was under way: change weights between runs, or after "
    "net.scheduler.join()"
)
_PURE = "Either the layer writes in respond() or observe(), which it must not. Or: " + _SOMEBODY
_OTHERS = "Leave alone what others read: compute out of place, or write to a copy"

Run: TypeAlias = Callable[[Any], object]

UNCHECKED = (0, 0)
"""``born`` of a frame that stands for others, such as the recording of a device: not checked."""

_ticks = itertools.count(1)  # when frames began and tasks ended, in all nets; next() is atomic


def wanted(asked: bool | None) -> bool:
    """Whether races are to be checked: as asked, else as the environment variable says.

    Raises:
        ConfigError: for a variable that says neither yes nor no.
    """
    if asked is not None:
        return asked
    value = os.environ.get(VARIABLE, "0")
    if value not in ("", "0", "1"):
        raise ConfigError(f"{VARIABLE}={value!r} is not allowed; set it to 1, or to 0")
    return value == "1"


def born(x: Tensor) -> tuple[int, int]:
    """Return a frame's turn, higher than those of all frames before it, and its input's version."""
    return next(_ticks), version(x)


class Passing(Protocol):
    """What is looked at of a frame."""

    born: tuple[int, int]
    number: int
    out: list[Any]
    seen: list[Any]
    told: Any


class Races:
    """Watches the tasks of one net.

    Args:
        layers: from input to output.
        stages: the layers of each stage.
        names: of the layers.
        readout: what learns labels, or ``None``.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        stages: Sequence[range],
        names: Sequence[str],
        readout: nn.Module | None,
    ) -> None:
        outputs = ["the input of the net", *(f"the output of {name}" for name in names)]
        parts = dict(zip(names, layers, strict=True))
        homes = [
            Stage(span, {name: parts[name] for name in names[span.start : span.stop]}, outputs)
            for span in stages
        ]
        if readout is not None:
            top = range(len(layers), len(layers))
            homes.append(Stage(top, {READOUT: readout}, outputs))
        self._stages = {stage.name: stage for stage in homes}

    def watched(self, tasks: Sequence[Task], overlapping: bool) -> list[Task]:
        """Return the tasks of a plan, each with its checks.

        Args:
            tasks: named ``"<verb> <stage>"``. The first of a stage responds, the second writes.
            overlapping: whether samples may overlap in a stage of layers.
        """
        homes = [task.name.partition(" ")[2] for task in tasks]
        found = []
        for position, (task, home) in enumerate(zip(tasks, homes, strict=True)):
            stage = self._stages[home]
            alone = not overlapping or home == READOUT
            if home in homes[:position]:
                run = stage.learning(task, alone)
            else:
                run = stage.responding(task, alone, opens=home in homes[position + 1 :])
            found.append(replace(task, run=run))
        return found


class Stage:
    """What is known of one stage: whose turn it is, and which versions its buffers have.

    Args:
        span: positions of its layers in the net; its input has the position of the first.
        parts: layers or readout, by name.
        outputs: what the values of a frame are called.
    """

    def __init__(self, span: range, parts: dict[str, nn.Module], outputs: Sequence[str]) -> None:
        self.name = "+".join(parts)
        self.span = span
        self._modules = [module for part in parts.values() for module in part.modules()]
        self._owners = [name for name, part in parts.items() for _ in part.modules()]
        self._outputs = outputs
        self._lock = threading.Lock()
        self._known: Versions | None = None  # as they should be; None: take them as they are
        self._turn = 0  # of the last frame that was here
        self._last = "nobody"  # its sample
        self._open = False  # whether it has yet to learn
        self._inside = ""  # what it is doing here
        self._ended = 0  # tick at the end of the last task
        self._overlapping = 0  # tasks that run and may overlap with others

    # -- tasks ---------------------------------------------------------------------------------

    def responding(self, task: Task, alone: bool, opens: bool) -> Run:
        """Return a task that responds, with its checks.

        Args:
            task: without checks.
            alone: whether nothing else may be in the stage.
            opens: whether the frame comes to learn.
        """
        run, first = task.run, self.span.start

        def checked(frame: Passing) -> object:
            if frame.born == UNCHECKED:
                return self._unchecked(run, frame)
            out = _outputs_of(frame)
            if out[first] is None and not (task.always and out.quiet):
                raise RaceError(
                    f"{self.name}: {frame} comes to respond before {self._outputs[first]} is "
                    f"there; a task starts after those named in its 'after'. {_SCHEDULER}"
                )
            self._check_outputs(frame, out, (first,), "before it came")
            self._begin(frame, "respond", alone)
            open_, known = False, False
            try:
                answer = run(frame)
                self._check_outputs(frame, out, self._here, "while it responded")
                if opens:
                    self._keep(frame, out)
                if alone:
                    with self._lock:
                        self._compare(frame, look(self._modules), "while it responded", _PURE)
                open_, known = opens and answer is not QUIET, True
                out.quiet = out.quiet or answer is QUIET
            finally:
                self._end(alone, open_, known)
            return answer

        return checked

    def learning(self, task: Task, alone: bool) -> Run:
        """Return a task that writes, with its checks; ``alone``: nothing else may be there."""
        run, verb = task.run, task.name.partition(" ")[0]

        def checked(frame: Passing) -> object:
            if frame.born == UNCHECKED:
                return self._unchecked(run, frame)
            out, known = _outputs_of(frame), False
            self._begin(frame, verb, alone)
            try:
                self._check_outputs(frame, out, self._here, f"before it came to {verb}")
                self._check_kept(frame, out, verb)
                answer = run(frame)
                self._check_outputs(frame, out, self._here, f"while it was to {verb}")
                with self._lock:
                    self._known = None if self._overlapping else look(self._modules)
                known = True
            finally:
                self._end(alone, False, known)
            return answer

        return checked

    def _unchecked(self, run: Run, frame: Passing) -> object:
        with self._lock:
            self._known = None
        try:
            return run(frame)
        finally:
            with self._lock:
                self._known = None

    # -- whose turn ----------------------------------------------------------------------------

    def _begin(self, frame: Passing, verb: str, alone: bool) -> None:
        """Check that it is a frame's turn, and that nobody has written since the last task."""
        turn = frame.born[0]
        with self._lock:
            if not alone:
                self._overlapping += 1
                self._known = None
                return
            self._check_turn(frame, verb)
            # Began when nobody was here, so that others were free to write before.
            fresh = verb == "respond" and turn > self._ended
            found = look(self._modules)
            if not fresh:
                when = f"since {self._last} was here (turn {self._turn})"
                self._compare(frame, found, when, _SOMEBODY)
            self._known = None if self._overlapping else found
            self._inside, self._turn, self._last = verb, turn, f"sample {frame.number}"

    def _end(self, alone: bool, open_: bool, known: bool) -> None:
        with self._lock:
            if not alone:
                self._overlapping -= 1
            if not (alone and known):
                self._known = None
            if alone:
                self._inside, self._open = "", open_
            self._ended = next(_ticks)

    def _check_turn(self, frame: Passing, verb: str) -> None:
        turn, last = frame.born[0], self._turn
        if self._inside:
            why = f"while {self._last} (turn {last}) is there to {self._inside}"
        elif turn < last:
            why = f"after {self._last} (turn {last})"
        elif verb == "respond" and self._open and turn < self._ended:
            why = f"before {self._last} (turn {last}) has learned"
        elif verb != "respond" and not (self._open and turn == last):
            why = "without having responded just before"
        else:
            return
        raise RaceError(
            f"{self.name}: {frame} (turn {turn}) comes to {verb} {why}; tasks of a lane run one at "
            f"a time, in the order in which they were submitted. {_SCHEDULER}"
        )

    # -- versions ------------------------------------------------------------------------------

    def _compare(self, frame: Passing, found: Versions, when: str, cure: str) -> None:
        """Raise if buffers are not as they should be."""
        wrong = None if self._known is None else difference(self._known, found)
        if wrong is not None:
            number, name, what = wrong
            raise RaceError(
                f"{self._owners[number]}: buffer {name!r} {what}; found for {frame} (turn "
                f"{frame.born[0]}), changed {when}. {cure}"
            )

    @property
    def _here(self) -> range:
        """Positions of input and outputs."""
        return range(self.span.start, self.span.stop + 1)

    def _check_outputs(
        self, frame: Passing, out: Outputs, positions: Iterable[int], when: str
    ) -> None:
        position = out.changed(positions)
        if position is not None:
            raise RaceError(
                f"{self.name}: {self._outputs[position]} for {frame} has version "
                f"{version(out[position])} in place of {out.made[position]}; it was written to "
                f"{when}. {_OTHERS}"
            )

    def _keep(self, frame: Passing, out: Outputs) -> None:
        """Note the versions of what the stage will learn from, but for its own buffers."""
        seen = frame.seen[self.span.start : self.span.stop] if self.span else frame.told
        own = {id(x) for module in self._modules for x in module._buffers.values()}
        out.kept[self.name] = [
            (x, version(x))
            for x in tensors(seen)
            if id(x if x._base is None else x._base) not in own
        ]

    def _check_kept(self, frame: Passing, out: Outputs, verb: str) -> None:
        for x, wanted in out.kept.get(self.name, ()):
            if version(x) != wanted:
                raise RaceError(
                    f"{self.name}: what it keeps of {frame} has version {version(x)} in place of "
                    f"{wanted}; it was written to before it came to {verb}. {_OTHERS}"
                )


def _outputs_of(frame: Passing) -> Outputs:
    if not isinstance(frame.out, Outputs):
        frame.out = Outputs(frame.out, frame.born[1])
    return frame.out
