"""Learning from a whole set without labels, in blocks: what a step costs the host, once a block."""

from __future__ import annotations

import contextlib
import warnings
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from streamhebb import inputs, watch
from streamhebb.blocks import Block
from streamhebb.errors import DivergedError, RunawayWarning, ShapeError
from streamhebb.estimator import Estimator
from streamhebb.feeding import Feed
from streamhebb.kept import Kept
from streamhebb.parts import require
from streamhebb.schedule import Pending, Plan
from streamhebb.scheduled import Scheduled

BLOCK = 32
"""Micro-batches of a block, unless said otherwise."""


class Learning(Estimator, Scheduled, Kept):
    """What a net has to do with learning from whole sets, beside its steps."""

    check_races: bool
    _sample_ndim: int | None

    @torch.no_grad()
    def learn(self, xs: Any, *, batch_size: int = 1, block: int = BLOCK) -> int:
        """Learn from a set without labels; nothing is predicted, and a readout learns nothing.

        Weights, state and counters end as after ``for x in xs.split(batch_size): net.step(x)``, to
        the bit. What a step asks of the host besides its layers (checks, results, waiting for a
        GPU) comes once a *block*. Layers overlap within a block and from one to the next as the
        scheduler allows; two are in flight. Best on a GPU with
        ``CudaGraphs(per="wavefront", slots=1)``, which plays a block back as one graph.

        It is the net's scheduler that is used; ``"auto"`` chooses none here. Where each step must
        be seen by itself (a ``wake``, several processes that learn one net), this is a loop over
        ``step``.

        Args:
            xs: array or tensor ``(N, *input_shape)``, floating point, on the host or where the net
                is; must not change until this returns. From the host a GPU gets it block by block.
            batch_size: samples a step; the last one may have fewer.
            block: steps that are handed over at once. Its memory is that of its input, and of what
                stages hand on in as many steps as there are stages, and two.

        Returns:
            How many samples were learned from.

        Raises:
            InputError: for a set that is refused; nothing has learned from it.
            NonFiniteError: if the policy ``on_bad`` is to raise, once the samples before the bad
                one have been learned from. A block is looked at once; if it is not finite, step by
                step.
            DivergedError: if the last output of a block is no longer finite, as after weights that
                are not. One more block may have been learned from by then.
            Exception: what a layer raised. The steps before it have been learned from; other layers
                may have learned from it, and from a few after it.

        Example:
            >>> import torch
            >>> from streamhebb import Dense, StreamNet
            >>> one, other = StreamNet(Dense(4, 8)), StreamNet(Dense(4, 8))
            >>> xs = torch.rand(100, 4)
            >>> one.learn(xs)
            100
            >>> for x in xs:
            ...     result = other.step(x)
            >>> bool((one.layers[0].weight == other.layers[0].weight).all())
            True
        """
        for name, value in (("batch_size", batch_size), ("block", block)):
            require("learn", name, value, at_least=1, whole=True)
        rows = self._rows(xs)
        before = self.counts["learned"]
        if self.wake is not None or self.peers is not None:
            for start in range(0, len(rows), batch_size):
                self.step(rows[start : start + batch_size].to(self.place[0]))
        else:
            with _Blocks(self, rows.device) as blocks:
                for x in _cut(rows, batch_size, block):
                    blocks.push(x)
                    if blocks.due:
                        blocks.drain()
                        blocks.due = False
                        self.warn_of_runaway(4)  # whoever called learn
                blocks.drain()
                if blocks.due:
                    self.warn_of_runaway(4)
        return self.counts["learned"] - before

    def _rows(self, xs: Any) -> Tensor:
        """Check a set, but for what its samples hold; the first ones fix their shape."""
        rows = inputs.to_tensor(xs).detach()
        device, dtype = self.place
        if rows.device.type != "cpu":
            inputs.check_place(rows[:0], device, dtype)
        shape, found = self.input_shape, tuple(rows.shape[1:])
        if rows.ndim and len(found) == self._sample_ndim and shape is None:
            if len(rows):
                self.fix_shape(found)
            return rows
        if not rows.ndim or found != shape:
            one = "..." if shape is None else ", ".join(map(str, shape))
            raise ShapeError(
                f"xs has shape {tuple(rows.shape)}; learn takes a set of samples (N, {one}), and a "
                f"single one as x[None]"
            )
        return rows

    # -- what may become of weights ------------------------------------------------------------

    def diverged(self) -> DivergedError:
        """The error for activity that is not finite, naming the part at fault."""
        parts = [*zip(self.names, self._layers, strict=True), ("the readout", self.readout)]
        return watch.diverged(parts, self.counts["learned"])

    def warn_of_runaway(self, level: int) -> None:
        """Warn of layers whose weights run away.

        Args:
            level: of who called the net, as for ``warnings.warn``.

        Raises:
            DivergedError: if weights are no longer finite.
        """
        for name, layer in zip(self.names, self._layers, strict=True):
            text = watch.look_for_runaway(name, layer, self.counts["learned"])
            if text is not None:
                warnings.warn(text, RunawayWarning, stacklevel=level)


def _cut(rows: Tensor, batch_size: int, block: int) -> Iterator[Tensor]:
    """Blocks of whole micro-batches, ``(S, B, ...)``; what is left over comes as one of its own."""
    whole = len(rows) // batch_size * batch_size
    for start in range(0, whole, block * batch_size):
        part = rows[start : min(start + block * batch_size, whole)]
        yield part.view(len(part) // batch_size, batch_size, *part.shape[1:])
    if whole < len(rows):
        yield rows[None, whole:]


class _Flying:
    """A block on its way, or one that did not come so far."""

    __slots__ = ("block", "pending", "plan")

    def __init__(self, block: Block, plan: Plan) -> None:
        self.block = block
        self.plan = plan
        self.pending: Pending | None = None

    def arrives(self) -> bool:
        """Wait for it; whether all of it has been learned from."""
        with contextlib.suppress(BaseException):  # is being raised
            if self.pending is not None:
                self.pending.wait()
                return True
        return False


class _Blocks:
    """Blocks in flight; an error leaves with everything before it learned from, and counted.

    Args:
        net: learns from them.
        home: where they come from.

    Attributes:
        due: whether it is time to look for weights that run away.
    """

    def __init__(self, net: Learning, home: torch.device) -> None:
        self.net = net
        place, self.dtype = net.place
        # Room for the next while one is under way; those who put frames aside need more.
        self.depth = 2 * getattr(net.scheduler, "slots", 1)
        fed = place.type == "cuda" and home.type == "cpu"
        self.feed = Feed(self.depth, self.dtype, place.index or 0) if fed else None
        self.due = False
        self.fine = bool(getattr(net.scheduler, "fine", False))
        if self.fine:
            net.scheduler.join()  # other lanes than those of steps
        self._flying: deque[_Flying] = deque()

    def push(self, x: Tensor) -> None:
        """Send a block on its way; micro-batch by micro-batch, if anything is wrong with it."""
        x = x.to(self.dtype)
        if inputs.all_finite(x):
            self._send(x)
            return
        for each in x:
            if inputs.all_finite(each):
                self._send(each[None])
            else:
                self._refuse(each)

    def _refuse(self, x: Tensor) -> None:
        counts, raises = self.net.counts, self.net.on_bad == "raise"
        if raises:
            self.drain()
        number = counts["samples"]
        counts["samples"] += len(x)
        counts["non-finite"] += len(x)
        if raises:
            raise inputs.non_finite(x, number)

    def _send(self, x: Tensor) -> None:
        net = self.net
        if self.feed is not None:
            x = self.feed.send(x)
        while len(self._flying) >= self.depth:
            self._land()
        block, plan = Block(x, len(net.layers)), net.planner.block(len(x), self.fine)
        block.number, block.settings = net.counts["samples"], net.planner.settings
        if net.check_races:  # a frame tells by its age whether others came between
            for place in range(len(x)):
                block.open(place)
        flying = _Flying(block, plan)
        self._flying.append(flying)
        self._count(len(block))
        block.look = watch.due(block.number, net.counts["samples"])
        flying.pending = net.scheduler.submit(plan, block)

    def _count(self, samples: int) -> None:
        self.net.counts["samples"] += samples
        self.net.counts["learned"] += samples

    def _land(self) -> None:
        """Wait for the oldest block, and look at what became of it."""
        flying = self._flying[0]
        if flying.pending is not None:
            flying.pending.wait()
        self._flying.popleft()
        block = flying.block
        self.due = self.due or block.look
        if block.finite is not None and not block.finite:
            raise self.net.diverged()

    def drain(self) -> None:
        """Return when all of them have been learned from."""
        while self._flying:
            self._land()
        self.net.scheduler.join()

    def _give_up(self) -> BaseException | None:
        """Let nothing be in flight; the error of the earliest step that failed, if one has."""
        net, error = self.net, None
        with contextlib.suppress(BaseException):  # is being raised; a Ctrl-C in a task, too
            net.scheduler.join()
        lost = [flying for flying in self._flying if not flying.arrives()]
        net.scheduler.clear()
        self._flying.clear()
        for number, flying in enumerate(lost):
            block, learned = flying.block, 0
            if not number:
                with contextlib.suppress(BaseException):  # is kept as that of an earlier step
                    block.complete(flying.plan)
                learned = block.learned(flying.plan)
                error = None if block.failed is None else block.failed[1]
            self._count(learned * block.x.shape[1] - len(block))
        return error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            return
        earliest = self._give_up()
        if earliest is not None and earliest is not error:
            raise earliest from error
