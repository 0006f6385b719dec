"""Published nets as streams: one sample at a time, one pass, every neuron by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from streamhebb.errors import ConfigError

RATES = (0.0025, 3e-5, 5e-5, 5e-5)
"""Rates of layers that scale by themselves, from the input on."""


class Streaming(NamedTuple):
    """What a preset's net has in place of what looks at a mini-batch, or at a whole layer.

    Args:
        scaling: of changes: ``"NeuronRMS"`` and ``"NeuronMax"`` are local; ``"LayerMax"`` is the
            published one.
        memory: samples that a neuron's own scale reaches back.
        tau: samples that the statistics of inputs reach back.
        rates: of the hidden blocks; empty keeps those of the preset. The last one of the default is
            that of all layers above, too.
    """

    scaling: str = "NeuronRMS"
    memory: float = 100.0
    tau: float = 100.0
    rates: tuple[float, ...] = RATES

    def describe(self, description: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Describe the net that streams.

        Args:
            description: of the net as published.
            name: of the preset, for errors.

        Raises:
            ConfigError: if rates are given, but not for every hidden block.
        """
        layers = [self._entry(entry) for entry in description["layers"]]
        plastic = [entry for entry in layers if "scaling" in entry]
        for entry, rate in zip(plastic, self._rates(len(plastic), name), strict=False):
            entry["rate"] = entry["rate"] | {"lr": rate}
        return {**description, "layers": layers}

    def _rates(self, count: int, name: str) -> Sequence[float]:
        if self.rates == RATES:
            return RATES + RATES[-1:] * count
        if self.rates and len(self.rates) < count:
            raise ConfigError(
                f"rates={self.rates} are too few: {name} has {count} hidden blocks that learn"
            )
        return self.rates

    def _entry(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        if entry["type"].startswith("BatchNorm"):
            return {**entry, "type": "RunningNorm", "tau": self.tau}
        if "scaling" not in entry:
            return dict(entry)
        own = {} if self.scaling == "LayerMax" else {"memory": self.memory}
        return {**entry, "scaling": {"type": self.scaling, **own}}
