"""Mini-batches of a set that pass through layers which learn, several in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from torch import Tensor

from streamhebb.frames import Frame, Mode
from streamhebb.layers import Layer
from streamhebb.peers import Peers
from streamhebb.planner import Planner
from streamhebb.schedule import Pending, Scheduler


class Still(Layer):
    """A layer that only responds, whatever else it could do.

    Args:
        layer: is not changed.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def respond(self, x: Tensor) -> Tensor:
        """What the layer responds."""
        return self.layer.respond(x)


class Passing:
    """Lets layers learn from mini-batches by the tasks of a stream: one lane a stage.

    The weights are those of one mini-batch after the other, to the bit, whatever the scheduler.

    Args:
        layers: from input to output.
        names: of the layers.
        learning: positions of those that learn; the others only respond, and nothing of them goes
            on from sample to sample.
        scheduler: runs the tasks; is left open.
        check_races: see [`streamhebb.races`][].
        peers: processes that each learn from a share of every mini-batch, or ``None``.
        on_output: is given what the last layer made of each mini-batch before learning from it, in
            the order in which they were sent.

    Attributes:
        learned: samples learned from so far.

    Example:
        >>> import torch
        >>> from streamhebb import Dense
        >>> from streamhebb.schedule import Serial
        >>> layer = Dense(4, 2)
        >>> passing = Passing([layer], ["0:Dense"], {0}, Serial())
        >>> passing.push(torch.rand(3, 4), 0)
        >>> passing.drain()
        >>> int(layer.updates), passing.learned
        (1, 3)
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        names: Sequence[str],
        learning: Collection[int],
        scheduler: Scheduler,
        check_races: bool = False,
        peers: Peers | None = None,
        on_output: Callable[[Tensor], object] | None = None,
    ) -> None:
        pairs = enumerate(layers)
        self.layers = [one if n in learning and one.learns else Still(one) for n, one in pairs]
        self.scheduler = scheduler
        self.peers = peers
        self.planner = Planner(self.layers, names, None, check_races=check_races)
        self.depth = len(self.planner.stages) + 2
        self.learned = 0
        self.on_output = on_output
        self._flying: deque[tuple[Pending, Frame, int]] = deque()

    def push(self, x: Tensor, number: int) -> None:
        """Send a mini-batch on its way, where there is room for it.

        Args:
            x: must not be written to afterwards.
            number: of its first sample, for errors.

        Raises:
            Exception: what a layer, or ``on_output``, raised; nothing is in flight any more then.
        """
        count = len(self.layers)
        own = x if self.peers is None else self.peers.share(x)
        frame = Frame(own, count, (), [1.0] * count)
        frame.number, frame.mode, frame.settings = number, Mode.LEARN, self.planner.settings
        try:
            while len(self._flying) >= self.depth:
                self._land()
            pending = self.scheduler.submit(self.planner.step(Mode.LEARN).plan, frame)
        except BaseException:
            self._give_up()
            raise
        self._flying.append((pending, frame, len(x)))

    def drain(self) -> None:
        """Return when all have been learned from.

        Raises:
            Exception: what a layer, or ``on_output``, raised.
        """
        try:
            while self._flying:
                self._land()
            self.scheduler.join()
        except BaseException:
            self._give_up()
            raise

    def _land(self) -> None:
        pending, frame, samples = self._flying[0]
        pending.wait()
        self._flying.popleft()
        self.learned += samples
        if self.on_output is not None:
            self.on_output(frame.out[-1])

    def _give_up(self) -> None:
        """Count those that have been learned from, and let nothing be in flight."""
        self.on_output = None
        with suppress(Exception):  # is being raised
            self.scheduler.join()
        with suppress(Exception):
            while self._flying:
                self._land()
        self._flying.clear()
        self.scheduler.clear()
