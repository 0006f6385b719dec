"""Blocks of published nets: one layer with what comes before and after it, as net descriptions."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from streamhebb.errors import ConfigError, ShapeError
from streamhebb.layers import AvgPool2d, MaxPool2d
from streamhebb.presets import words
from streamhebb.presets.language import TAUGHT, LayerCode, read_layer
from streamhebb.synapses import ConvSynapse
from streamhebb.values import Shape


class Block(BaseModel):
    """One layer, and what surrounds it.

    Args:
        layer: in the [mini-language][streamhebb.presets.language].
        before: operations before it, see [`OPERATIONS`][streamhebb.presets.words.OPERATIONS].
        activation: after it, as ``triangle_0.7``.
        norm: whether a batch normalisation follows the activation.
        pool: last, as ``max_4_2_1``.
        dropout: share of a readout's features set to 0 while it learns.

    Example:
        >>> block = Block(layer="hard-c8-k5", before="batchnorm2d", activation="relu")
        >>> [entry["type"] for entry in block.describe(steps=100)]
        ['BatchNorm', 'Conv2d', 'ReLU']
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: str
    before: str = ""
    activation: str = ""
    norm: bool = False
    pool: str = ""
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @field_validator("layer")
    @classmethod
    def _layer_can_be_read(cls, text: str) -> str:
        if read_layer(text).n_out is None:
            raise ConfigError(f"{text!r} does not say how many neurons there are; add c, as c96")
        return text

    @model_validator(mode="after")
    def _words_are_known(self) -> Block:
        words.operations(self.before)
        if self.activation:
            words.activation(self.activation)
        if self.pool:
            words.pool(self.pool)
        if not self.code.conv and self.pool:
            raise ConfigError(f"{self.layer!r} is a dense layer: it cannot be pooled")
        if self.code.conv and "flatten" in self.before:
            raise ConfigError(f"{self.layer!r} is a convolution: do not flatten before it")
        return self

    @property
    def code(self) -> LayerCode:
        """The layer as read."""
        return read_layer(self.layer)

    @property
    def operations(self) -> tuple[str, ...]:
        """What comes before the layer, in the order in which it runs."""
        return words.operations(self.before)

    @property
    def n_out(self) -> int:
        """Neurons, or output channels."""
        return self.code.n_out or 1

    @property
    def init(self) -> dict[str, Any]:
        """First weights: as written, or normal behind a batch normalisation, which centres."""
        code = self.code.filled()
        normal = code.normal
        if normal is None:
            normal = any("batchnorm" in name for name in self.operations)
        return {"type": "Normal" if normal else "Positive", "radius": code.radius}

    def describe(self, steps: float) -> list[dict[str, Any]]:
        """Describe the layers of a hidden block, as a net file does.

        The power of a triangle that a maximum is taken of is put behind the maximum: the same
        output, for a fraction of the time.

        Args:
            steps: updates of a schedule that runs out, if there is one.

        Raises:
            ConfigError: if the rule only serves readouts.
        """
        entries: list[dict[str, Any]] = [{"type": words.OPERATIONS[n]} for n in self.operations]
        entries.append(self._describe_layer(steps))
        power: float = 1
        if self.activation:
            entries.append(words.activation(self.activation))
            if entries[-1]["type"] == "Triangle" and self.pool.startswith("max") and not self.norm:
                power = entries[-1].pop("power")
        if self.norm:
            entries.append({"type": "BatchNorm"})
        if self.pool:
            entries.append(words.pool(self.pool))
        if power != 1:
            entries.append({"type": "RePU", "power": power})
        return entries

    def _describe_layer(self, steps: float) -> dict[str, Any]:
        code = self.code.filled()
        if code.rule == TAUGHT:
            raise ConfigError(f"{self.layer!r} learns labels: it can be the last block only")
        entry: dict[str, Any] = {"n_out": code.n_out}
        if code.conv:
            entry["kernel_size"] = code.kernel_size
            for name, usual in (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1)):
                if (value := getattr(code, name)) != usual:
                    entry[name] = value
        if not code.hebbian:
            if code.conv and code.bias:
                entry["bias"] = True
            return {"type": "BackpropConv2d" if code.conv else "BackpropDense", **entry}
        entry |= {"rule": "SoftHebb", "competition": _competition(code), "rate": rate(code, steps)}
        entry |= {"scaling": "LayerMax", "init": self.init}
        if code.norm_p != 2:
            entry["norm_p"] = code.norm_p
        if code.bias and code.rule in ("soft", "softkrotov"):  # hard ones ignore the wish
            t = code.t or 1.0
            entry["bias"] = {"type": "PriorBias", "t": t, "gain": (0.1 if code.conv else 1) / t}
        if code.pre_triangle:
            entry["pre_triangle"] = True
        return {"type": "Conv2d" if code.conv else "Dense", **entry}

    def describe_readout(self, steps: float, seed: int) -> dict[str, Any]:
        """Describe the readout that the last block is.

        Args:
            steps: updates of a schedule that runs out, if there is one.
            seed: draws the first weights of a Hebbian one.

        Raises:
            ConfigError: if it is none.
        """
        code = self.code.filled()
        if code.conv or code.rule not in ("BP", TAUGHT):
            raise ConfigError(f"{self.layer!r} cannot be the last block; that is BP or {TAUGHT}")
        surplus = [n for n in ("activation", "pool", "norm") if getattr(self, n)]
        surplus += [n for n in self.operations if "batchnorm" in n]
        if surplus:
            raise ConfigError(f"{self.layer!r} is the readout: leave {surplus[0]} out")
        if code.rule == "BP":
            return {"type": "SoftmaxReadout", "lr": code.lr_taught}
        return {
            "type": "SoftHebbReadout", "rate": rate(code, steps), "scaling": "LayerMax",
            "init": self.init, "seed": seed,
        }  # fmt: skip

    def n_in(self, shape: Shape) -> int:
        """Input channels, or features of a dense layer.

        Args:
            shape: of what reaches the block.
        """
        return shape[0] if self.code.conv else math.prod(shape)

    def shape(self, shape: Shape) -> Shape:
        """Shape of one sample's output; no layer is built for it.

        Args:
            shape: of what reaches the block.

        Raises:
            ShapeError: if the block cannot take it.
        """
        code = self.code.filled()
        if code.kernel_size is None:
            if len(shape) > 1 and "flatten" not in self.operations:
                raise ShapeError(
                    f"{self.layer!r} is a dense layer and got {shape}; write flatten before it"
                )
            return (self.n_out,)
        synapse = ConvSynapse(
            shape[0], self.n_out, code.kernel_size, code.stride or 1, code.padding or 0,
            dilation=code.dilation or 1, groups=code.groups or 1,
        )  # fmt: skip
        shape = synapse.shape(shape)
        if self.pool:
            entry = words.pool(self.pool)
            pool = (MaxPool2d if entry.pop("type") == "MaxPool2d" else AvgPool2d)(**entry)
            shape = pool.shape(shape)
        return shape

    def scale(self, shape: Shape) -> float:
        """Scale of the first weights: standard deviation, or upper end if positive.

        Args:
            shape: of what reaches the block.
        """
        code = self.code.filled()
        p, radius = code.norm_p or 2.0, code.radius or 1.0
        fan_in = self.n_in(shape)
        if code.kernel_size is not None:
            fan_in = fan_in // (code.groups or 1) * code.kernel_size**2
        # Mean of |z|^p over a standard normal z, or over z uniform between 0 and 1.
        moment = 2 ** (p / 2) * math.gamma((p + 1) / 2) / math.sqrt(math.pi)
        if self.init["type"] == "Positive":
            moment = 1 / (p + 1)
        return float((radius**p / (fan_in * moment)) ** (1 / p))


def rate(code: LayerCode, steps: float) -> dict[str, Any]:
    """Describe the rate of a layer: by the radius, or falling to zero over ``steps`` updates.

    Example:
        >>> rate(read_layer("soft-c8-lr0.5-v0"), 100)
        {'type': 'LinearDecay', 'lr': 0.5, 'steps': 100}
    """
    code = code.filled()
    if code.by_radius:
        return {"type": "NormRate", "lr": code.lr, "power": code.power}
    return {"type": "LinearDecay", "lr": code.lr, "steps": steps}


def _competition(code: LayerCode) -> dict[str, Any]:
    match code.rule:
        case "hard":
            return {"type": "HardWTA"}
        case "hardkrotov":
            return {"type": "RankedHardWTA", "rank": code.rank, "delta": code.delta}
    signed = {"anti_hebbian": True} if code.rule == "softkrotov" else {}
    return {"type": "SoftWTA", "t": code.t, **signed}
