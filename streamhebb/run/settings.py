"""What a run is asked to do: checked once, kept in the run folder, never changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamhebb.errors import ConfigError

DEFAULT_SOURCE = "digits"
_OPTIONS = {"on_bad": "--on-bad", "save_every": "--save-every"}


class RunSettings(BaseModel):
    """Everything that decides what a run does; ``settings.json`` in the run folder.

    Args:
        source: a data set, file, folder, camera or address; see ``open_source``.
        net: a built-in net or a net file; ``None`` is the one that suits the source.
        limit: length of the stream; ``None`` is all of it.
        seed: first weights, and the order of data sets and folders.
        epochs: passes over a data set.
        size: ``(height, width)`` to scale pictures to; ``None`` is what suits the source.
        gray: one channel instead of three.
        threads: of torch. With 1, sums are always taken in the same order, so the same seed gives
            the same weights on every number of cores; nets that learn from one sample at a time
            are seldom faster with more.
        window: samples of the window of prequential accuracy.
        save_every: samples between two snapshots; 0 saves at the end only.
        on_bad: ``"raise"`` or ``"skip"`` samples that hold NaN or infinite values.
        download: fetch a missing data set.
        scheduler: ``"auto"`` measures what is fastest; ``"serial"``, ``"threads"``, or
            ``"threads:4"`` for so many workers. All give the same weights.
        depth: samples in flight; ``None`` is two more than the net has stages.
        policy: ``"block"``, ``"drop_oldest"``, ``"latest"`` or ``"skip_learning"``, for samples
            that come faster than the net learns.
        waiting: samples that may wait before the net, unless the policy is to block; ``None`` is 2,
            and 64 for ``"skip_learning"``.
        deadline: milliseconds, for ``"skip_learning"``.
        tune: measure before the first sample which kernels are fastest. Off, so that the same seed
            gives the same weights: which kernel wins depends on time, and results differ by
            rounding. A run that goes on keeps the kernels it had.

    Example:
        >>> RunSettings.make(source="mnist", limit=100).window
        500
        >>> RunSettings.make(limit=0)
        Traceback (most recent call last):
        streamhebb.errors.ConfigError: --limit 0: Input should be greater than or equal to 1
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = DEFAULT_SOURCE
    net: str | None = None
    limit: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    epochs: int = Field(default=1, ge=1)
    size: tuple[int, int] | None = None
    gray: bool = False
    threads: int = Field(default=1, ge=1, le=1024)
    window: int = Field(default=500, ge=1, le=1_000_000)
    save_every: int = Field(default=5000, ge=0)
    on_bad: Literal["raise", "skip"] = "raise"
    download: bool = True
    scheduler: str = Field(default="auto", pattern=r"^(auto|serial|threads(:[1-9]\d{0,2})?)$")
    depth: int | None = Field(default=None, ge=1, le=10_000)
    policy: Literal["block", "drop_oldest", "latest", "skip_learning"] = "block"
    waiting: int | None = Field(default=None, ge=1, le=10_000)
    deadline: float | None = Field(default=None, gt=0)
    tune: bool = False

    @classmethod
    def make(cls, **given: Any) -> Self:
        """Build settings from what a user gave; ``None`` takes the default.

        Raises:
            ConfigError: naming each option that is wrong, and what is allowed.
        """
        return cls.parse({name: value for name, value in given.items() if value is not None}, "")

    @classmethod
    def parse(cls, data: Any, where: str) -> Self:
        """Check plain data, for example of ``settings.json``.

        Raises:
            ConfigError: naming each entry that is wrong.
        """
        try:
            settings = cls.model_validate(data)
        except ValidationError as error:
            lines = [_line(problem) for problem in error.errors()]
            raise ConfigError(where + "; ".join(lines)) from None
        if (settings.policy == "skip_learning") != (settings.deadline is not None):
            raise ConfigError(
                f"{where}--deadline {settings.deadline} with --policy {settings.policy}: a "
                f"deadline belongs to skip_learning, and that needs one"
            )
        return settings

    def but(self, **given: Any) -> Self:
        """The same settings with some replaced; ``None`` replaces nothing."""
        changes = {name: value for name, value in given.items() if value is not None}
        return self.parse(self.model_dump() | changes, "")

    def kept(self) -> dict[str, Any]:
        """Plain data for ``settings.json``; a password in an address is left out."""
        return self.model_dump(mode="json") | {"source": without_password(self.source)}


def parse_size(text: str) -> tuple[int, int]:
    """Read ``HEIGHTxWIDTH``.

    Raises:
        ConfigError: if it is written otherwise.

    Example:
        >>> parse_size("48x64")
        (48, 64)
    """
    found = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text.strip())
    if not found:
        raise ConfigError(f"--size {text!r}: write HEIGHTxWIDTH in pixels, for example 48x64")
    return int(found[1]), int(found[2])


def without_password(source: str) -> str:
    """Replace name and password of an address by ``***``.

    Example:
        >>> without_password("rtsp://me:secret@host/live")
        'rtsp://***@host/live'
    """
    if "://" not in source or "@" not in source:
        return source
    parts = urlsplit(source)
    return urlunsplit(parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}"))


def has_lost_password(source: str) -> bool:
    """Whether the address was kept without its password."""
    return "://***@" in source


def _line(problem: Mapping[str, Any]) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else "settings"
    if problem["type"] == "extra_forbidden":
        allowed = ", ".join(RunSettings.model_fields)
        return f"there is no setting {name!r}; there are {allowed}"
    return f"{_OPTIONS.get(name, f'--{name}')} {problem['input']}: {problem['msg']}"
