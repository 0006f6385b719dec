"""One trial: what is run, said in full, and what it is given to work with."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from torch import Tensor

from streamhebb import kernels
from streamhebb.errors import ConfigError
from streamhebb.evaluate.reports import Report
from streamhebb.parts import LARGEST_SEED
from streamhebb.presets import Prepared
from streamhebb.schedule import Scheduler, Threads
from streamhebb.suite.folder import TrialFolder
from streamhebb.values import Label

REDUCTION = ("twin", "samples", "tested", "epochs")
"""The settings of a trial that make it smaller than published."""

Result = dict[str, Any]
"""What a trial found, as plain data; accuracies are shares between 0 and 1."""


Watch = Callable[[int, Sequence[Label | None]], Callable[[Tensor, Tensor], object]]
"""Looks on while layers learn without labels."""


class Setup(BaseModel):
    """With what trials run: it changes their time, and their results by rounding only.

    Args:
        threads: layers learn in so many threads at the same time.
        kernels: ``"torch"``, ``"numba"`` or ``"triton"``; ``None`` is as the environment says.
        device: of nets and data, as torch names it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads: int = Field(default=1, ge=1)
    kernels: str | None = None
    device: str = "cpu"

    @field_validator("device")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        try:
            torch.device(name)
        except RuntimeError:
            raise ConfigError(f"{name!r} is no device of torch; take cpu, cuda or cuda:0") from None
        return name

    @classmethod
    def of(cls, **settings: Any) -> Self:
        """Make one of what a person typed.

        Raises:
            ConfigError: naming each that is wrong.
        """
        found: Self = parse(cls, settings)
        return found

    def said(self) -> Self:
        """With kernels by name: a trial's folder must not depend on an environment."""
        with kernels.during(self.kernels):
            return self.model_copy(update={"kernels": kernels.backend()})

    def check(self) -> None:
        """Refuse what this machine cannot do, or would do by other means than it says.

        Raises:
            ConfigError: for a device that is not here, kernels that cannot be imported, or kernels
                that would leave all the work to torch.
        """
        if self.said().kernels == "triton" and torch.device(self.device).type != "cuda":
            raise ConfigError(
                f"kernels='triton' is not allowed on the device {self.device!r}: they serve CUDA "
                f"cards only, and torch would do all the work; choose torch or numba, or a card: "
                f"--device cuda"
            )
        try:
            torch.zeros(1, device=self.device).cpu()
        except (AssertionError, NotImplementedError, RuntimeError) as error:
            raise ConfigError(
                f"device={self.device!r} cannot be used here ({str(error).splitlines()[0]}); take "
                f"cpu, or see what `streamhebb doctor` says of the card"
            ) from None

    @contextmanager
    def ready(self) -> Iterator[Scheduler | None]:
        """Give a scheduler, or ``None`` for one thread, with the kernels chosen for the while.

        torch takes one thread in either case, so that the same seed gives the same bits: layers and
        mini-batches share the threads, not operators.

        Raises:
            ConfigError: see `check`.
        """
        self.check()
        before = torch.get_num_threads()
        with ExitStack() as stack:
            stack.callback(torch.set_num_threads, before)
            torch.set_num_threads(1)
            if self.kernels is not None:
                stack.enter_context(kernels.use(self.kernels))
            yield stack.enter_context(closing(Threads(self.threads))) if self.threads > 1 else None


@dataclass
class Work:
    """What a trial is given to work with.

    Args:
        folder: its own; measures and progress go there.
        setup: with what it runs.
        scheduler: for phases without labels; ``None`` is one thread.
        tell: is told how it goes, line by line.
        reports: take every epoch that is reported: the file of measures, TensorBoard.
        watch: of each phase without labels is told its number and labels, and gives what is called
            with every mini-batch of it; see ``on_batch`` of
            [`train_phases`][streamhebb.evaluate.phases.train_phases].
        digests: of what was read, by name; they go into the result.
    """

    folder: TrialFolder
    setup: Setup = field(default_factory=Setup)
    scheduler: Scheduler | None = None
    tell: Callable[[str], object] = lambda line: None
    reports: Sequence[Callable[[Report], None]] = ()
    watch: Watch | None = None
    digests: dict[str, str] = field(default_factory=dict)

    def noted(self, data: Prepared) -> Prepared:
        """Keep in mind which data were read; gives them back."""
        self.digests[data.settings.name] = data.digest
        return data

    def report(self, epoch: Report) -> None:
        """Pass on what was measured in an epoch."""
        for each in self.reports:
            each(epoch)


class Trial(BaseModel):
    """One net, trained and measured once. Kinds of trials derive from it.

    Args:
        kind: which one, for files.
        seed: draws what chance decides.
        twin: takes the synthetic twin of the data set.
        samples: learns from no more than these; ``None`` is all.
        tested: is tested on no more than these.
        epochs: of phases with labels; ``None`` is as published.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    twin: bool = False
    samples: int | None = Field(default=None, ge=1)
    tested: int | None = Field(default=None, ge=1)
    epochs: int | None = Field(default=None, ge=1)

    def label(self) -> str:
        """A few words that name it in folders and on the screen."""
        raise NotImplementedError

    def resolved(self) -> dict[str, Any]:
        """What names in it stand for, in full: presets may change from version to version."""
        return {}

    def run(self, work: Work) -> Result:
        """Do it; called again after a kill, go on after the last finished epoch."""
        raise NotImplementedError

    @cached_property
    def key(self) -> str:
        """Name of its folder: the same for all seeds, another for other settings.

        Example:
            >>> from streamhebb.suite import OfflineTrial
            >>> one, two = (
            ...     OfflineTrial(net="2SoftMlpMNIST"),
            ...     OfflineTrial(net="2SoftMlpMNIST", seed=1),
            ... )
            >>> one.key == two.key, one.key == one.but(samples=100).key
            (True, False)
        """
        settings = self.model_dump(mode="json", exclude={"seed"}, exclude_defaults=True)
        text = json.dumps(settings | {"kind": self.kind}, sort_keys=True)
        slug = re.sub(r"[^a-z0-9._]+", "-", self.label().lower()).strip("-")[:60]
        return f"{slug}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def reduction(self) -> dict[str, Any]:
        """What makes it smaller than published; empty if nothing does."""
        return {name: value for name in REDUCTION if (value := getattr(self, name))}

    def but(self, **changes: Any) -> Self:
        """The same with some settings replaced.

        Raises:
            ConfigError: naming each that is wrong.
        """
        found: Self = parse(type(self), self.model_dump() | changes)
        return found


def parse(kind: type[BaseModel], data: dict[str, Any]) -> Any:
    """Check settings.

    Raises:
        ConfigError: naming each that is wrong.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        wrong = []
        for each in error.errors():
            text = each["msg"].removeprefix("Value error, ")
            if each["type"] == "extra_forbidden" and len(each["loc"]) == 1:
                text = f"there is no such entry; there are {', '.join(kind.model_fields)}"
            place = ".".join(map(str, each["loc"]))
            wrong.append(f"{place}: {text}" if place else text)
        raise ConfigError(f"{kind.__name__}: {'; '.join(wrong)}") from None
