"""Nets as readable files: YAML or TOML in, checked, built; and nets rebuilt from snapshots.

A file lists layers by type, with the arguments of their constructors. ``n_in`` may be left out:
it follows from the layer before. Parts (rule, competition, rate, scaling, init) are written the
same way::

    description: one convolution for small pictures
    layers:
      - RunningNorm
      - type: Conv2d
        n_out: 32
        kernel_size: 3
        competition: {type: SoftWTA, anti_hebbian: true}
        rate: {type: NormRate, lr: 0.01}
      - {type: Triangle, power: 0.7}
      - Flatten
    readout: {type: SoftmaxReadout, lr: 0.003}
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, Union, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
)

from streamhebb import (
    bias,
    competition,
    constraints,
    eligibility,
    homeostasis,
    init,
    lateral,
    layers,
    neurons,
    rates,
    readouts,
    rules,
    scaling,
    snapshot,
    wake,
)
from streamhebb.errors import ConfigError, SnapshotError
from streamhebb.net import StreamNet
from streamhebb.parts import arguments
from streamhebb.values import Label, Shape

MAX_FILE = 1 << 20  # bytes; a net file is a page of text


def _public(package: ModuleType, *others: str) -> tuple[type, ...]:
    """The classes that a package lists, less those that are no parts."""
    return tuple(getattr(package, name) for name in package.__all__ if name not in others)


FAMILIES: dict[str, tuple[type, ...]] = {
    "rule": _public(rules, "PlasticityRule", "Delta"),
    "competition": (
        competition.HardWTA,
        competition.Independent,
        competition.RankedHardWTA,
        competition.RankedSoftWTA,
        competition.ShareWTA,
        competition.SoftWTA,
    ),
    "rate": (rates.ConstantRate, rates.ExponentialDecay, rates.LinearDecay, rates.NormRate),
    "scaling": (scaling.LayerMax, scaling.NeuronMax, scaling.NeuronRMS, scaling.NoScaling),
    "init": (init.Negative, init.Normal, init.Positive, init.Uniform),
    "bias": (bias.PriorBias,),
    "threshold": (homeostasis.AdaptiveThreshold,),
    "lateral": (lateral.Lateral,),
    "eligibility": (eligibility.Eligibility,),
    "neuron": _public(neurons, "Neuron"),
    "constraint": (constraints.Clip, constraints.SynapticScaling),
    "layer": _public(layers, "Layer", "Parts", "PlasticLayer"),
    "readout": _public(readouts, "Features", "Readout"),
    "wake": (wake.OnChange, wake.OnSpike),
}

# A layer inside a layer: any but those that hold one.
FAMILIES["inner layer"] = tuple(
    cls for cls in FAMILIES["layer"] if cls is not layers.OverTime and not vars(cls).get("learns")
)

# What a constructor's type hint must name to be given a part of a family.
_CONTRACTS: dict[Any, str] = {
    rules.PlasticityRule: "rule",
    competition.Competition: "competition",
    rates.Rate: "rate",
    scaling.Scaling: "scaling",
    init.Init: "init",
    bias.PriorBias: "bias",
    neurons.Neuron: "neuron",
    homeostasis.AdaptiveThreshold: "threshold",
    lateral.Lateral: "lateral",
    eligibility.Eligibility: "eligibility",
    constraints.Constraint: "constraint",
    layers.Layer: "inner layer",
}


class Described(BaseModel):
    """Something written as ``type`` and arguments."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: str

    def arguments(self) -> dict[str, Any]:
        """Arguments that were given, with parts built."""
        given = {name: getattr(self, name) for name in self.model_fields_set if name != "type"}
        return {
            name: value.build() if isinstance(value, Described) else value
            for name, value in given.items()
        }

    def build(self, **more: Any) -> Any:
        """Construct it; ``more`` fills in what was left out."""
        return _CLASSES[self.type](**{**more, **self.arguments()})


_CLASSES = {cls.__name__: cls for family in FAMILIES.values() for cls in family}


def _by_name(family: str) -> BeforeValidator:
    """Accept a bare type name, and say what there is when a type is unknown."""

    def check(value: Any) -> Any:
        value = {"type": value} if isinstance(value, str) else value
        if isinstance(value, Mapping):
            names = [cls.__name__ for cls in FAMILIES[family]]
            if value.get("type") not in names:
                close = difflib.get_close_matches(str(value.get("type")), names, 1, 0.5)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise ValueError(
                    f"unknown {family} {value.get('type')!r}; there are {', '.join(names)}{hint}"
                )
        return value

    return BeforeValidator(check)


@cache
def _family(family: str) -> Any:
    """The union of the models of one family, chosen by ``type``."""
    models = tuple(_model(cls) for cls in FAMILIES[family])
    union: Any = models[0] if models else None
    if len(models) > 1:
        union = Annotated[Union[models], Field(discriminator="type")]  # noqa: UP007
    return Annotated[union, _by_name(family)]


def _family_of(hint: Any) -> str | None:
    """The family of parts that a type hint asks for, if it does."""
    asked = [_CONTRACTS[part] for part in (hint, *get_args(hint)) if part in _CONTRACTS]
    return asked[0] if asked else None


def _within(family: str) -> Any:
    """A part within a part of its own family, looked up when one is read: it may hold others."""

    def check(value: Any) -> Any:
        return TypeAdapter(_family(family)).validate_python(value)

    return Annotated[Any, BeforeValidator(check)]


@cache
def _model(cls: type) -> type[Described]:
    """A pydantic model with the arguments of a class's constructor."""
    fields: dict[str, Any] = {"type": (Literal[cls.__name__], ...)}
    for name, argument in arguments(cls).items():
        hint = argument.hint
        if family := _family_of(hint):
            number = float if family == "rate" else None
            asked = _within(family) if cls in FAMILIES[family] else _family(family)
            hint = Union[asked, number, None]  # noqa: UP007
        if name == "n_in":
            hint = int | None
        elif name == "classes":
            hint = int | list[int | str | bool] | None
        optional = name == "n_in" or not argument.required
        default = None if argument.required else argument.default
        fields[name] = (hint, default if optional else ...)
    return create_model(cls.__name__, __base__=Described, **fields)


class NetSpec(BaseModel):
    """A net file.

    Args:
        layers: from input to output.
        readout: what learns the labels, if any.
        description: one line for ``streamhebb nets``.
        suits: names of the sources it is the default for.
        input_shape: shape of one sample, if the file fixes it.
        seed: draws the weights, unless the caller gives one.
        on_bad: ``"raise"`` or ``"skip"`` samples with NaN.
        wake: what wakes a layer, if not every sample.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: tuple[_family("layer"), ...] = Field(min_length=1)  # type: ignore[valid-type]
    readout: _family("readout") | None = None  # type: ignore[valid-type]
    description: str = ""
    suits: tuple[str, ...] = ()
    input_shape: tuple[int, ...] | None = None
    seed: int | None = 0
    on_bad: Literal["raise", "skip"] = "raise"
    wake: _family("wake") | None = None  # type: ignore[valid-type]


def parse(data: Any, where: str) -> NetSpec:
    """Check plain data against the model of a net.

    Raises:
        ConfigError: naming each entry that is wrong and what is allowed.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: a net file is a table with 'layers', not {data!r:.60}")
    try:
        return NetSpec.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_lines(error.errors()))) from error


def _lines(problems: Sequence[Any]) -> list[str]:
    """Every problem in words, less what only follows from another one."""
    echoes = {"too_short", "float_type"}  # of a layer that failed; of the number a rate may be
    own = [p for p in problems if p["type"] not in echoes]
    return [_line(problem) for problem in own or problems]


def _line(problem: Any) -> str:
    """One problem in words: where, what, and which arguments there are."""
    place = ".".join(str(part) for part in problem["loc"] if "[" not in str(part))
    text = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        owner = next((p for p in reversed(problem["loc"][:-1]) if p in _CLASSES), None)
        allowed = _model(_CLASSES[owner]).model_fields if owner else NetSpec.model_fields
        text = f"there is no such argument; there are {', '.join(n for n in allowed)}"
    return f"{place}: {text}"


# -- files ---------------------------------------------------------------------------------------


def net_names() -> tuple[str, ...]:
    """Names of the nets that come with the library."""
    folder = resources.files("streamhebb") / "nets"
    return tuple(
        sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))
    )


def net_text(name: str) -> str:
    """The file of a built-in net."""
    if name not in net_names():
        close = difflib.get_close_matches(name, net_names(), 1, 0.5)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(
            f"unknown net {name!r}; there are {', '.join(net_names())}, or give a .yaml or .toml "
            f"file{hint}"
        )
    return (resources.files("streamhebb") / "nets" / f"{name}.yaml").read_text("utf-8")


def describe_net(name: str) -> str:
    """One line about a built-in net."""
    return parse(yaml.safe_load(net_text(name)), name).description


def default_net(source: str) -> str:
    """Name of the net that suits a source; unknown sources get the one for video."""
    for name in net_names():
        if source in parse(yaml.safe_load(net_text(name)), name).suits:
            return name
    return "video"


def read(net: str | os.PathLike[str]) -> NetSpec:
    """Read a built-in net by name, or a YAML or TOML file.

    Raises:
        ConfigError: if there is no such net or file, or it does not describe a net.
    """
    path = Path(net)
    if path.suffix not in (".yaml", ".yml", ".toml"):
        return parse(yaml.safe_load(net_text(str(net))), str(net))
    try:
        if path.stat().st_size > MAX_FILE:
            raise ConfigError(f"{path} is larger than {MAX_FILE} bytes: not a net file")
        text = path.read_text("utf-8")
        data = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the net file {path}: {error}") from error
    except (yaml.YAMLError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return parse(data, str(path))


# -- building ------------------------------------------------------------------------------------


def build(
    net: str | os.PathLike[str] | NetSpec,
    *,
    input_shape: Sequence[int] | None = None,
    classes: int | Sequence[Label] | None = None,
    seed: int | None = None,
    on_bad: str | None = None,
    readout: bool = True,
) -> StreamNet:
    """Build a net from its name, its file or its description.

    Args:
        net: a built-in net's name, a file, or what [`read`][streamhebb.spec.read] returned.
        input_shape: shape of one sample.
        classes: for the readout, if the file does not fix them.
        seed: draws the weights; ``None`` takes the file's.
        on_bad: policy for NaN; ``None`` takes the file's.
        readout: ``False`` leaves the readout out, for streams without labels.

    Raises:
        ConfigError: if the description is wrong or does not fit the input shape.
    """
    spec = net if isinstance(net, NetSpec) else read(net)
    shape = tuple(input_shape) if input_shape is not None else spec.input_shape
    if shape is None:
        raise ConfigError("the net's input_shape is known neither from the file nor the caller")
    if spec.input_shape is not None and shape != spec.input_shape:
        raise ConfigError(
            f"the net takes samples of shape {spec.input_shape}, the source gives {shape}"
        )
    built = []
    at: Shape = shape
    for entry in spec.layers:
        built.append(layer := entry.build(**_fan_in(entry, at)))
        at = layer.shape(at)
    head = None
    if spec.readout is not None and readout:
        more = {} if classes is None or spec.readout.classes is not None else {"classes": classes}
        head = spec.readout.build(**more)
    return StreamNet(
        *built,
        readout=head,
        seed=spec.seed if seed is None else seed,
        input_shape=shape,
        on_bad=on_bad or spec.on_bad,
        wake=None if spec.wake is None else spec.wake.build(),
    )


def _fan_in(entry: Described, shape: Shape) -> dict[str, int]:
    """``n_in`` from the shape that reaches a layer: features of a vector, channels else."""
    if "n_in" not in type(entry).model_fields:
        return {}
    return {"n_in": shape[-1] if entry.type in ("Dense", "Sparse") else shape[0]}


def load(path: str | os.PathLike[str]) -> StreamNet:
    """Build the net that a snapshot describes, and restore it, in the precision it was saved in.

    Raises:
        SnapshotError: if the snapshot is damaged, or describes parts this version does not know.
    """
    tensors, meta = snapshot.read(path)
    try:
        net = build(parse(meta["net"], str(path)))
    except ConfigError as error:
        raise SnapshotError(f"{path} describes a net that cannot be built: {error}") from error
    kinds = {value.dtype for value in tensors.values() if value.is_floating_point()}
    if len(kinds) == 1:  # else some part has a precision of its own, and has it from the start
        net.to(kinds.pop())
    net.load(path)
    return net
