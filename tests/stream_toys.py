"""Layers, sources and schedulers that tests of streams use: they count, wait, fail and tell."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import streamhebb as sh
from streamhebb.schedule import Scheduler, Serial, Shuffled, Threads

PATIENT = 20.0
"""Seconds after which a test fails instead of waiting; none is ever waited for."""

Hook = Callable[[int], None]


class Toy(sh.Layer):
    """Adds what it has learned to what passes; calls hooks with the number of the sample.

    What it has learned depends on the order of the samples. The number of a sample is its first
    value, rounded.

    Args:
        name: for the description.
        respond: called while it responds.
        learn: called before it learns.
        carries: whether its state goes on without learning.
    """

    learns = True
    plastic = True
    sample_ndim = 1

    def __init__(
        self,
        name: str = "toy",
        respond: Hook | None = None,
        learn: Hook | None = None,
        carries: bool = False,
    ) -> None:
        super().__init__()
        self.name = name
        self.carries = carries
        self.hooks = {"respond": respond, "learn": learn}
        self.register_buffer("learned", torch.zeros(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("passed", torch.zeros((), dtype=torch.int64))
        self.numbers: list[int] = []  # learned from, in order

    def config(self) -> dict[str, Any]:
        return {"type": "Toy", "name": self.name}

    def _call(self, which: str, x: Tensor) -> int:
        number = round(float(x.reshape(-1)[0]))
        hook = self.hooks[which]
        if hook is not None:
            hook(number)
        return number

    def respond(self, x: Tensor) -> Tensor:
        self._call("respond", x)
        out = x.clone()
        out[..., 1:] += self.learned  # the number stays
        return out

    def observe(self, x: Tensor) -> tuple[Tensor, Any]:
        return self.respond(x), x

    def learn(self, seen: Any, modulator: Any = 1.0) -> None:
        self.numbers.append(self._call("learn", seen))
        self.learned.mul_(0.5).add_(seen.mean() * modulator)
        self.seen += 1
        self.advance(seen)

    def advance(self, seen: Any) -> None:
        if self.carries:
            self.passed += 1


def sample(number: int) -> Tensor:
    """A sample whose number can be read off."""
    return torch.tensor([float(number), 1.0, -0.5])


def toy_net(*layers: sh.Layer, **settings: Any) -> sh.StreamNet:
    """A net of toys, two unless given."""
    return sh.StreamNet(*(layers or (Toy("a"), Toy("b"))), **settings)


def numbers(results: Any) -> list[int]:
    """Running numbers of the samples of results."""
    return [result.sample for result in results]


SCHEDULERS: dict[str, Callable[[], Scheduler]] = {
    "serial": Serial,
    "threads 1": lambda: Threads(1),
    "threads 2": lambda: Threads(2),
    "shuffled": lambda: Shuffled(1, 3),
}


class Broken(Exception):
    """What a toy raises."""


def fails_at(*at: int, error: type[BaseException] = Broken) -> Hook:
    """A hook that raises at these samples."""

    def hook(number: int) -> None:
        if number in at:
            raise error(f"at {number}")

    return hook


class Closing:
    """A source of samples that tells when it is closed."""

    def __init__(self, items: Any) -> None:
        self.items = items
        self.closed = threading.Event()
        self.given = 0

    def __iter__(self) -> Iterator[Any]:
        try:
            for item in self.items:
                self.given += 1
                yield item
        finally:
            self.closed.set()


class Rush:
    """A source faster than the net: all but the first come while the first is in the net.

    The net's first layer must have ``hold`` as its hook for responding.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._inside, self._given = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[Tensor]:
        try:
            yield sample(0)
            assert self._inside.wait(PATIENT)
            for number in range(1, self.count):
                yield sample(number)
        finally:
            self._given.set()

    def hold(self, number: int) -> None:
        """Wait, with the first sample, until all the others have come."""
        if number == 0:
            self._inside.set()
            assert self._given.wait(PATIENT)
