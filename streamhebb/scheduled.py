"""The scheduler of a net: given, or chosen by measuring; and its end."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import torch

from streamhebb.choosing import Choice, choose
from streamhebb.errors import ConfigError
from streamhebb.frames import Frame, Mode
from streamhebb.layers import Layer
from streamhebb.layers.wired import WiredLayer
from streamhebb.parts import require_choice
from streamhebb.peers import Peers
from streamhebb.planner import Planner
from streamhebb.schedule import Scheduler, Serial


class Scheduled:
    """What a net has to do with schedulers, beside handing them its frames.

    Attributes:
        scheduler: runs the tasks; may be replaced while nothing is in flight.
        choice: what was chosen and why, once ``"auto"`` has measured.
        peers: processes that learn this net together, see [`streamhebb.distributed`][]; ``None``
            if there is only this one.
    """

    scheduler: Scheduler
    choice: Choice | None
    planner: Planner
    _undecided: bool
    peers: Peers | None = None

    def set_scheduler(self, scheduler: Scheduler | str | None) -> None:
        """Use a scheduler; ``"auto"`` is found out later, ``None`` is ``Serial``.

        Raises:
            ConfigError: for another word than ``"auto"``.
        """
        if isinstance(scheduler, str):
            require_choice("StreamNet", "scheduler", scheduler, ("auto",))
        self._undecided = scheduler == "auto"
        self.choice = None
        fixed = None if isinstance(scheduler, str) else scheduler
        self.scheduler = Serial() if fixed is None else fixed

    def choose_later(self) -> None:
        """Measure with the first sample of the next ``run`` which scheduler is fastest."""
        self._undecided = True

    def choose_scheduler(self, frame: Frame) -> None:
        """Look for the fastest scheduler for samples like this, if asked to and not yet done."""
        if not self._undecided:
            return
        self._undecided = False
        x, target = frame.out[0], list(frame.target)
        one = frame.single
        self.choice = choose(self, x[0] if one else x, target[0] if one else target)
        self.choice.scheduler.trace = self.scheduler.trace
        self.scheduler = self.choice.scheduler

    def alone(self, what: str) -> None:
        """Refuse what several processes that learn one net cannot do alike.

        Raises:
            ConfigError: naming it, and what is possible.
        """
        if self.peers is not None:
            raise ConfigError(
                f"{what} is not possible while the net learns in {self.peers.size} processes: "
                f"they would not do the same. Do it before join or after leave; net.step, net.fit "
                f"and train_phases are shared"
            )

    def meet(self, frame: Frame) -> None:
        """Check that all processes are about to make the same step, if there are several.

        Raises:
            ConfigError: for what they could not do alike.
            PeerError: if they have not been given the same.
        """
        if self.peers is None or frame.mode is not Mode.LEARN:
            return
        if not isinstance(self.scheduler, Serial):
            self.alone(f"scheduler={self.scheduler}")
        if frame.activity:
            self.alone("step(activity=True)")
        self.peers.agree(
            {
                "the mini-batch, its labels or its modulators": step_bytes(frame),
                "what was set of the layers": settings_bytes(self.planner.layers),
            }
        )

    def close(self) -> None:
        """End the scheduler's threads or streams; ``with net:`` does so. The net stays usable.

        A scheduler that is needed again makes new ones.
        """
        scheduler = self.scheduler
        scheduler.close()
        self.scheduler = copy.copy(scheduler)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _settle(self) -> None:
        with contextlib.suppress(Exception):  # has been raised where the sample was given
            self.scheduler.join()


def step_bytes(frame: Frame) -> bytes:
    """What tells one step from another: a sum for each sample, labels, modulators."""
    x = frame.out[0]
    sums: bytes = x.flatten(1).sum(1, dtype=torch.float64).cpu().numpy().tobytes()
    said = [list(frame.target), [float(factor) for factor in frame.modulator]]
    return sums + json.dumps(said).encode()


def settings_bytes(layers: Iterable[Layer]) -> bytes:
    """What may be set of layers while running: it decides what they sum."""
    wired = [layer for layer in layers if isinstance(layer, WiredLayer)]
    return json.dumps([layer.get_extra_state() for layer in wired]).encode()
