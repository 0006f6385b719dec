"""The scheduler of a net: given, or chosen by measuring; and its end."""

from __future__ import annotations

import contextlib
import copy
from types import TracebackType
from typing import Self

from streamhebb.choosing import Choice, choose
from streamhebb.frames import Frame
from streamhebb.parts import require_choice
from streamhebb.schedule import Scheduler, Serial


class Scheduled:
    """What a net has to do with schedulers, beside handing them its frames.

    Attributes:
        scheduler: runs the tasks; may be replaced while nothing is in flight.
        choice: what was chosen and why, once ``"auto"`` has measured.
    """

    scheduler: Scheduler
    choice: Choice | None
    _undecided: bool

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
