"""How strictly layers keep step with the stream while several samples are in flight.

[`InOrder`][streamhebb.order.InOrder] is the default and exact: whatever the scheduler, weights are
those of one sample after the other, to the bit. The others give that up by name, for time, and
report the staleness that really happened.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from streamhebb.errors import ConfigError
from streamhebb.parts import require


class Order(Protocol):
    """What a stage of a net waits for.

    Attributes:
        exact: whether weights are those of one sample after the other.
    """

    @property
    def exact(self) -> bool:
        """Whether weights are those of one sample after the other."""
        ...

    @property
    def lag(self) -> int | None:
        """How many updates of its own a stage may be behind when it responds; ``None``: in step."""
        ...

    @property
    def writers(self) -> int:
        """How many updates of one stage may be under way at once."""
        ...

    def learns(self, stage: int, name: str, number: int, idle: bool) -> bool:
        """Whether a stage learns from a sample.

        Args:
            stage: counted from 0.
            name: the stage's name.
            number: of the sample in this run, counted from 0.
            idle: whether nothing else is in flight or waiting.
        """
        ...


@dataclass(frozen=True)
class InOrder:
    """Every layer responds with weights that know all samples before; the same bits as `Serial`."""

    exact = True
    lag = None
    writers = 1

    def learns(self, stage: int, name: str, number: int, idle: bool) -> bool:
        """Always."""
        return True


@dataclass(frozen=True)
class Stale:
    """A layer may respond with weights that are up to ``k`` updates old.

    It need not wait until it has learned from the last ``k`` samples, so responding to one sample
    overlaps with learning from another in the same layer. Updates of a layer still come one
    after the other. A response that overlaps with an update may see some neurons before it and
    others after it.

    Args:
        k: updates a layer may be behind.

    Reference:
        Q. Ho et al., NeurIPS 2013 (stale synchronous parallel).
    """

    k: int
    exact = False
    writers = 1

    def __post_init__(self) -> None:
        require("Stale", "k", self.k, at_least=1, whole=True)

    @property
    def lag(self) -> int:
        """``k``."""
        return self.k

    def learns(self, stage: int, name: str, number: int, idle: bool) -> bool:
        """Always."""
        return True


@dataclass(frozen=True)
class Hogwild:
    """Several workers respond and learn in one layer at once, without any lock.

    Updates may overwrite parts of each other.

    Args:
        workers: samples that may be in one layer at once.

    Reference:
        F. Niu, B. Recht, C. Re, S. Wright, NeurIPS 2011. https://arxiv.org/abs/1106.5730
    """

    workers: int = 2
    exact = False

    def __post_init__(self) -> None:
        require("Hogwild", "workers", self.workers, at_least=2, whole=True)

    @property
    def lag(self) -> int:
        """One less than ``workers``."""
        return self.workers - 1

    @property
    def writers(self) -> int:
        """``workers``."""
        return self.workers

    def learns(self, stage: int, name: str, number: int, idle: bool) -> bool:
        """Always."""
        return True


@dataclass(frozen=True)
class Multirate:
    """Upper layers learn from some samples only: every n-th, and those that find the net idle.

    All layers respond to every sample. The readout learns from every label.

    Args:
        every: one number for all stages but the first; or a number each by the name of a layer in
            the stage, 1 for those not named.
        when_idle: they also learn when nothing else is in flight or waiting, which depends on time.
    """

    every: int | Mapping[str, int] = 2
    when_idle: bool = False
    exact = False
    lag = None
    writers = 1
    _named: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        named = self.every if isinstance(self.every, Mapping) else {"": self.every}
        for name, n in named.items():
            require("Multirate", f"every[{name!r}]" if name else "every", n, at_least=1, whole=True)
        object.__setattr__(self, "_named", dict(named))

    def check(self, names: tuple[str, ...]) -> None:
        """Refuse names of layers that are not there.

        Raises:
            ConfigError: naming them.
        """
        unknown = [name for name in self._named if name and name not in names]
        if unknown:
            raise ConfigError(f"Multirate names {unknown}; the layers are {', '.join(names)}")

    def learns(self, stage: int, name: str, number: int, idle: bool) -> bool:
        """Whether it is the stage's turn, or there is time."""
        if "" in self._named:
            every = self._named[""] if stage else 1
        else:
            parts = name.split("+")
            every = max((n for part, n in self._named.items() if part in parts), default=1)
        return number % every == 0 or (self.when_idle and idle)


@dataclass
class Staleness:
    """How old the weights were that a stage responded with, as it really happened.

    Args:
        behind: how often a stage responded without so many of the samples before; 0 is in step.
            Samples that it left out on purpose count until it learns again; those that no stage
            is to learn from do not.
    """

    behind: Counter[int] = field(default_factory=Counter)
    responded: int = 0  # samples
    begun: int = 0  # of these, those that are to be learned from
    known: int = 0  # of these, those that have been learned from
    rested: int = 0  # samples left out since then
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def respond(self, turn: int, teaches: bool, rests: bool, overtaking: bool) -> None:
        """Note that a sample begins to pass.

        Args:
            turn: samples submitted before it.
            teaches: whether the stage is to learn from it.
            rests: whether other stages are, and this one is not.
            overtaking: whether samples may overtake each other here.
        """
        with self.lock:
            ahead = max(0, turn - self.responded) if overtaking and teaches else 0
            self.behind[self.begun - self.known + self.rested + ahead] += 1
            self.responded += 1
            self.begun += teaches
            self.rested += rests

    def learn(self) -> None:
        """Note that a sample has been learned from."""
        with self.lock:
            self.known += 1
            self.rested = 0

    def clear(self) -> None:
        """Begin anew."""
        with self.lock:
            self.behind.clear()
            self.responded = self.begun = self.known = self.rested = 0
