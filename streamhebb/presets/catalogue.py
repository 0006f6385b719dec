"""The presets that come with the library, by their published names and by names that explain."""

from __future__ import annotations

from functools import cache
from typing import Any

from streamhebb.errors import ConfigError
from streamhebb.presets._files import find as find_name
from streamhebb.presets._files import parse, read_yaml
from streamhebb.presets.data import DataSettings
from streamhebb.presets.preset import Built, Preset
from streamhebb.presets.streaming import Streaming

# The published notes give commands with these, but the published presets do not hold them.
_ABSENT = ("5HardCnnSTL", "2HardMLPMNIST", "2HebbCnn", "SoftKrotovCnnCIFAR")


def names() -> tuple[str, ...]:
    """Names of all presets, as published where they are.

    Example:
        >>> names()[:2]
        ('2SoftHebbCnnCIFAR', '3SoftHebbCnnCIFAR')
    """
    return tuple(_all())


def find(name: str) -> Preset:
    """Look a preset up by its name or an alias; capitals do not matter.

    Raises:
        ConfigError: with names that are near, if there is none of that name.

    Example:
        >>> find("softhebb-cifar-3conv").name
        '4SoftHebbCnnCIFAR'
        >>> find("softheb-cifar-3conv")
        Traceback (most recent call last):
        streamhebb.errors.ConfigError: there is no preset 'softheb-cifar-3conv'; did you mean ...
    """
    known = {alias: each.name for each in _all().values() for alias in (each.name, *each.aliases)}
    try:
        return _all()[
            known[find_name(name, known, "preset", "`streamhebb presets list` shows all")]
        ]
    except ConfigError as error:
        if str(name).lower() in map(str.lower, _ABSENT):
            error.add_note(f"{name} is named in the published notes, but was never published")
        raise


def build(
    name: str,
    data: str | None = None,
    *,
    unsupervised: str | DataSettings | None = None,
    supervised: str | DataSettings | None = None,
    mode: str | None = None,
    hidden: str | None = None,
    seed: int = 0,
    streaming: Streaming | None = None,
) -> Built:
    """Build the net of a preset, and plan its training.

    Args:
        name: of the preset, or an alias.
        data: the published pair of data settings of a data set, ``"stl10"`` for example; ``None``
            is the preset's own.
        unsupervised: settings, or their name, that replace those without labels.
        supervised: the same, with labels; says the shape of samples, and how many classes.
        mode: ``"successive"``, ``"consecutive"``, ``"simultaneous"``; ``None`` is the preset's;
            ``"stream"`` is ours, see [`Preset.build`][streamhebb.presets.preset.Preset.build].
        hidden: ``"learns"``, ``"random"`` or ``"normed"``; ``None`` is the preset's.
        seed: draws the weights, and orders the samples of phases without labels.
        streaming: how the net is changed for the mode ``"stream"``.

    Raises:
        ConfigError: for settings that do not exist or do not fit each other.
        ShapeError: if the net cannot take such samples.

    Example:
        >>> build("softhebb-cifar-1conv", mode="stream").net.layers[0]
        RunningNorm(n_in=3, tau=100.0, eps=1e-05)
        >>> built = build("2SoftMlpMNIST")
        >>> built.blocks, len(built.stages)
        ((range(0, 3),), 2)
    """
    return find(name).build(
        data,
        unsupervised=unsupervised,
        supervised=supervised,
        mode=mode,
        hidden=hidden,
        seed=seed,
        streaming=streaming,
    )


@cache
def _all() -> dict[str, Preset]:
    ours = {k: v | {"published": False} for k, v in read_yaml("ours.yaml")["presets"].items()}
    entries: dict[str, dict[str, Any]] = read_yaml("presets.yaml") | ours
    found = {}
    for name, entry in entries.items():
        origin = entries[entry["like"]] if "like" in entry else {}
        whole = {key: value for key, value in origin.items() if key != "aliases"} | entry
        whole.pop("like", None)
        found[name] = parse(Preset, whole | {"name": name}, name)
    return found
