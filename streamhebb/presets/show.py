"""Presets and their nets as YAML, to be read by people and by programs."""

from __future__ import annotations

from typing import Any

import yaml

from streamhebb.evaluate import Phase
from streamhebb.presets.data import DataSettings
from streamhebb.presets.preset import Preset

_PHASE = ("epochs", "batch_size", "lr", "dropout", "seed")
_HEBBIAN = ("lr", "power", "t", "radius", "by_radius")


class _Dumper(yaml.SafeDumper):
    """Lists of numbers and words on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write out what is the same twice."""
        return True


def _list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    flat = all(not isinstance(item, (list, dict)) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flat)


_Dumper.add_representer(list, _list)


def preset_yaml(
    preset: Preset,
    data: str | None = None,
    *,
    unsupervised: str | DataSettings | None = None,
    supervised: str | DataSettings | None = None,
) -> str:
    """Everything about a preset: blocks and what they come to, phases, data.

    Arguments and errors as of [`Preset.data`][streamhebb.presets.preset.Preset].

    Example:
        >>> from streamhebb import presets
        >>> presets.preset_yaml(presets.find("2SoftMlpMNIST")).splitlines()[0]
        'name: 2SoftMlpMNIST'
    """
    without, with_labels = preset.data(data, unsupervised=unsupervised, supervised=supervised)
    whole: dict[str, Any] = {"name": preset.name, "aliases": list(preset.aliases)}
    whole |= preset.model_dump(include={"about", "mode", "hidden"})
    whole["input_shape"] = list(with_labels.shape)
    resolved = preset.resolve(with_labels.shape, with_labels.classes)
    whole["blocks"] = []
    for block, found in zip(preset.blocks, resolved, strict=True):
        entry = block.model_dump(exclude_defaults=True)
        entry |= {"n_in": found.n_in, "output_shape": list(found.shape)}
        if found.hebbian:
            entry |= {name: getattr(found, name) for name in _HEBBIAN}
            entry |= {"init": found.init, "scale": round(found.scale, 6)}
        whole["blocks"].append(entry)
    stages = preset.stages(without, with_labels)
    whole["phases"] = [
        {"blocks": list(stage.phase.blocks), "data": stage.data.name, **_phase(stage.phase)}
        for stage in stages
    ]
    whole["data"] = {stage.data.name: _plain(stage.data) for stage in stages}
    return _dump(whole)


def net_yaml(
    preset: Preset,
    data: str | None = None,
    *,
    unsupervised: str | DataSettings | None = None,
    supervised: str | DataSettings | None = None,
    seed: int = 0,
) -> str:
    """The net alone, as a net file: ``streamhebb run --net`` takes it, and ``streamhebb.build``.

    Arguments and errors as of [`Preset.data`][streamhebb.presets.preset.Preset].

    Example:
        >>> from streamhebb import presets
        >>> print(presets.net_yaml(presets.find("2SoftMlpMNIST")))
        description: '2SoftMlpMNIST: 2000 dense neurons'
        input_shape: [1, 28, 28]
        ...
    """
    without, with_labels = preset.data(data, unsupervised=unsupervised, supervised=supervised)
    return _dump(preset.describe(without, with_labels, seed=seed))


def data_yaml(settings: DataSettings) -> str:
    """Data settings.

    Example:
        >>> from streamhebb import presets
        >>> print(presets.data_yaml(presets.data_settings("CIFAR10_1")))
        source: cifar10
        ...
    """
    return _dump(_plain(settings))


def _phase(phase: Phase) -> dict[str, Any]:
    values = {name: getattr(phase, name) for name in _PHASE}
    return {name: value for name, value in values.items() if value is not None}


def _plain(settings: DataSettings) -> dict[str, Any]:
    return settings.model_dump(exclude_unset=True, exclude={"name"}, mode="json")


def _dump(data: Any) -> str:
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
