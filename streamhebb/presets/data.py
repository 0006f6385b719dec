"""How published runs read their data: which set and how much of it, how long, in which batches."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from streamhebb.errors import ConfigError
from streamhebb.evaluate import Phase
from streamhebb.parts import LARGEST_SEED
from streamhebb.presets._files import find, parse, read_yaml


class DataSettings(BaseModel):
    """What a published run says of its data, ``CIFAR10_50`` for example.

    Args:
        name: as published, ``Set_run``.
        source: the data set, as [`open_source`][streamhebb.sources.open.open_source] names it.
        split: what is learned from.
        test: what is tested on.
        shape: of one sample.
        classes: how many there are.
        epochs: passes over the data.
        batch_size: samples a change of the weights.
        samples: how many are drawn for learning; all if there are fewer.
        only: the classes that are kept for learning; empty for all.
        augment: what changes each mini-batch: ``"noise"``, ``"crop-flip"`` or
            ``"resized-crop-flip"``; empty for nothing. See [`streamhebb.sources.augment`][].
        noise: standard deviation of the noise.
        zca: whether samples are whitened; see [`streamhebb.sources.whiten`][].
        mean: taken off each channel after division by 255; empty for none.
        std: each channel is divided by, after that.
        report_every: epochs between two reports.
        seed: draws the samples.
        held_out: share of the samples that tests, where validation is asked for.

    Example:
        >>> from streamhebb.presets import data_settings
        >>> data_settings("CIFAR10_50").batch_size
        64
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    source: str
    split: str = "train"
    test: str = "test"
    shape: tuple[int, int, int]
    classes: int = Field(ge=1)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    samples: int = Field(ge=1)
    only: tuple[int, ...] = ()
    augment: Literal["", "noise", "crop-flip", "resized-crop-flip"] = ""
    noise: float = Field(default=0.0, ge=0)
    zca: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    report_every: int = Field(default=10, ge=1)
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    held_out: float = Field(default=0.2, gt=0, lt=1)

    @model_validator(mode="after")
    def _channels_fit(self) -> DataSettings:
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (0, self.shape[0]):
                raise ConfigError(f"{name} needs one number for each of {self.shape[0]} channels")
        if bool(self.mean) != bool(self.std) or any(value <= 0 for value in self.std):
            raise ConfigError("mean and std go together, and std is above 0")
        return self

    @property
    def steps(self) -> float:
        """Updates of the whole run."""
        return self.epochs * self.samples / self.batch_size

    def phase(self, **more: Any) -> Phase:
        """The settings of a phase over these data; ``more`` replaces some."""
        return Phase(**{"epochs": self.epochs, "batch_size": self.batch_size, **more})

    def but(self, **changes: Any) -> DataSettings:
        """The same with some settings replaced.

        Raises:
            ConfigError: naming each that is wrong.

        Example:
            >>> from streamhebb.presets import data_settings
            >>> data_settings("CIFAR10_50").but(epochs=3).epochs
            3
        """
        return parse(DataSettings, self.model_dump() | changes, self.name)


def data_settings(name: str) -> DataSettings:
    """Look published settings up by their name.

    Raises:
        ConfigError: with names that are near, if there is none of that name.

    Example:
        >>> data_settings("STL10_unlabel").samples
        100000
    """
    return _all()[find(name, _all(), "data setting", "`streamhebb presets data` shows all")]


def data_names() -> tuple[str, ...]:
    """Names of all published settings, set by set.

    Example:
        >>> data_names()[:2]
        ('MNIST', 'MNIST_100aug')
    """
    return tuple(_all())


def data_pair(name: str) -> tuple[str, str]:
    """The two settings that experiments on a data set take: without labels, and with.

    Raises:
        ConfigError: if there is no such pair; lists those there are.

    Example:
        >>> data_pair("cifar100")
        ('CIFAR100_1', 'CIFAR100_50')
    """
    pairs = read_yaml("data.yaml")["pairs"] | read_yaml("ours.yaml")["pairs"]
    first, second = pairs[find(name, pairs, "pair of data settings")]
    return first, second


@cache
def _all() -> dict[str, DataSettings]:
    found: dict[str, DataSettings] = {}
    ours: dict[str, dict[str, Any]] = read_yaml("ours.yaml")["runs"]
    for name, entry in read_yaml("data.yaml")["sets"].items():
        shared = {key: value for key, value in entry.items() if key != "runs"}
        found[name] = parse(DataSettings, shared | {"name": name}, name)
        for run, changes in (entry.get("runs", {}) | ours.get(name, {})).items():
            full = f"{name}_{run}"
            found[full] = parse(DataSettings, shared | changes | {"name": full}, full)
    return found


def describe_data(settings: DataSettings) -> str:
    """One line about settings.

    Example:
        >>> describe_data(data_settings("STL10_100aug"))
        'stl10/train: 100 epochs of 5000 in batches of 64, crop-flip'
    """
    more: list[str] = [settings.augment] if settings.augment else []
    more += ["ZCA"] if settings.zca else []
    more += [f"classes {', '.join(map(str, settings.only))}"] if settings.only else []
    epochs = "1 epoch" if settings.epochs == 1 else f"{settings.epochs} epochs"
    text = (
        f"{settings.source}/{settings.split}: {epochs} of {settings.samples} in batches of "
        f"{settings.batch_size}"
    )
    return ", ".join([text, *more])
