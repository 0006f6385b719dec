"""A preset: a published net, the data it saw, and how it was trained."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from streamhebb import spec
from streamhebb.errors import ConfigError
from streamhebb.evaluate import Phase, plan_blocks
from streamhebb.evaluate.phases import MODES
from streamhebb.layers import PlasticLayer
from streamhebb.net import StreamNet
from streamhebb.parts import require_choice
from streamhebb.presets import words
from streamhebb.presets.blocks import Block
from streamhebb.presets.data import DataSettings, data_pair, data_settings
from streamhebb.presets.streaming import Streaming
from streamhebb.values import Shape

STREAM = "stream"
"""The mode of ours: one sample at a time, one pass, all layers at once."""


class Resolved(NamedTuple):
    """One block with everything filled in.

    Attributes:
        n_in: input channels, or features.
        n_out: neurons, or output channels.
        shape: of one sample's output.
        init: ``"Normal"`` or ``"Positive"``.
        scale: of the first weights: standard deviation, or upper end.
        radius: expected radius of the first weights.
        lr: rate.
        power: of the distance from radius 1 in the rate.
        t: inverse temperature.
        by_radius: whether the rate depends on the radius, or falls to zero.
        hebbian: whether it learns by Hebb.
        norm_p: exponent of the norm.
    """

    n_in: int
    n_out: int
    shape: Shape
    init: str
    scale: float
    radius: float
    lr: float
    power: float
    t: float
    by_radius: bool
    hebbian: bool
    norm_p: float


_FILLED = ("radius", "lr", "power", "t", "by_radius", "norm_p")


class Stage(NamedTuple):
    """One phase of training, and the data it is about."""

    phase: Phase
    data: DataSettings


class Built(NamedTuple):
    """A net, ready for [`train_phases`][streamhebb.evaluate.phases.train_phases].

    Attributes:
        net: untrained.
        blocks: positions of the layers of each hidden block.
        stages: what to train, one after the other, each with its data.
    """

    net: StreamNet
    blocks: tuple[range, ...]
    stages: tuple[Stage, ...]


class Preset(BaseModel):
    """A published net, the data it saw, and how it was trained.

    Args:
        name: as published.
        aliases: other names.
        about: one line.
        blocks: from the input to the readout.
        supervised: name of the data settings of phases with labels.
        unsupervised: of phases without; ``None`` where there are none.
        mode: of training, see [`plan_phases`][streamhebb.evaluate.phases.plan_phases].
        hidden: ``"learns"``; ``"random"``: first weights stay, and normalisation is never in
            training (mean 0, variance 1), as in the published controls; ``"normed"``: first weights
            stay, and normalisation takes its statistics.
        published: whether it was published as a preset; if not, it is ours.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    aliases: tuple[str, ...] = ()
    about: str = ""
    blocks: tuple[Block, ...] = Field(min_length=2)
    supervised: str
    unsupervised: str | None = None
    mode: Literal["successive", "consecutive", "simultaneous"] = "successive"
    hidden: Literal["learns", "random", "normed"] = "learns"
    published: bool = True

    @model_validator(mode="after")
    def _blocks_go_together(self) -> Preset:
        *hidden, readout = self.blocks
        for block in hidden:
            block.describe(steps=1)
            if block.dropout:
                raise ConfigError(f"{block.layer!r}: dropout is for readouts; leave it out")
        readout.describe_readout(steps=1, seed=0)
        for name in (self.supervised, self.unsupervised):
            if name is not None:
                data_settings(name)
        return self

    # -- what it amounts to ----------------------------------------------------------------------

    def data(
        self,
        pair: str | None = None,
        *,
        unsupervised: str | DataSettings | None = None,
        supervised: str | DataSettings | None = None,
    ) -> tuple[DataSettings, DataSettings]:
        """The data settings of phases without labels, and with.

        Args:
            pair: the published pair of a data set, ``"stl10"`` for example; ``None`` is the
                preset's own. See [`data_pair`][streamhebb.presets.data.data_pair].
            unsupervised: settings, or their name, that replace those without labels.
            supervised: the same, with labels.

        Raises:
            ConfigError: if there are none of that name, or samples differ in shape.

        Example:
            >>> from streamhebb import presets
            >>> preset = presets.find("softhebb-cifar-3conv")
            >>> [settings.name for settings in preset.data("cifar100")]
            ['CIFAR100_1', 'CIFAR100_50']
        """
        own: tuple[str | None, str] = (self.unsupervised, self.supervised)
        first, second = own if pair is None else data_pair(pair)
        with_labels = _settings(second if supervised is None else supervised)
        without = _settings((first or with_labels) if unsupervised is None else unsupervised)
        if without.shape != with_labels.shape:
            raise ConfigError(
                f"{self.name}: {without.name} has samples of shape {without.shape}, "
                f"{with_labels.name} of {with_labels.shape}; give both, or a pair"
            )
        return without, with_labels

    def resolve(
        self, shape: Shape | None = None, classes: int | None = None
    ) -> tuple[Resolved, ...]:
        """Every block with everything filled in; no net is built.

        Args:
            shape: of one sample; ``None`` is that of the preset's own data.
            classes: ``None`` is as many as the preset's own data have.

        Raises:
            ShapeError: if a block cannot take what reaches it.
        """
        data = data_settings(self.supervised)
        at: Shape = data.shape if shape is None else tuple(shape)
        found = []
        for number, block in enumerate(self.blocks):
            code = block.code.filled()
            last = number == len(self.blocks) - 1
            n_out = (data.classes if classes is None else classes) if last else block.n_out
            out = (n_out,) if last else block.shape(at)
            found.append(
                Resolved(
                    n_in=block.n_in(at),
                    n_out=n_out,
                    shape=out,
                    init=block.init["type"],
                    scale=block.scale(at),
                    hebbian=code.hebbian,
                    **{name: getattr(code, name) for name in _FILLED},
                )
            )
            at = out
        return tuple(found)

    def stages(
        self,
        unsupervised: DataSettings,
        supervised: DataSettings,
        *,
        mode: str | None = None,
        hidden: str | None = None,
        seed: int = 0,
    ) -> tuple[Stage, ...]:
        """Plan the training.

        A readout's dropout is on where it learns itself. The seed orders the samples of phases
        without labels; those with labels have their data's own, as published.
        """
        taught = [not block.code.hebbian for block in self.blocks[:-1]] + [True]
        last = len(self.blocks) - 1
        plan = plan_blocks(
            taught,
            self.mode if mode is None else mode,
            unsupervised=unsupervised.phase(seed=seed),
            supervised=supervised.phase(seed=supervised.seed),
            only=[last] if (hidden or self.hidden) == "random" else None,
        )
        stages = []
        for phase in plan:
            told = [n for n in phase.blocks if taught[n]]
            if not told:
                stages.append(Stage(phase, unsupervised))
                continue
            phase = dataclasses.replace(
                phase,
                lr=min(self.blocks[n].code.filled().lr_taught or 0.0 for n in told),
                dropout=self.blocks[-1].dropout if last in told else 0.0,
            )
            stages.append(Stage(phase, supervised))
        return tuple(stages)

    # -- nets ------------------------------------------------------------------------------------

    def describe(
        self, unsupervised: DataSettings, supervised: DataSettings, *, seed: int = 0
    ) -> dict[str, Any]:
        """Describe the net as a net file does; data settings give shape and schedules."""
        *hidden, readout = self.blocks
        entries = [entry for block in hidden for entry in block.describe(unsupervised.steps)]
        entries += [{"type": words.OPERATIONS[name]} for name in readout.operations]
        return {
            "description": f"{self.name}: {self.about}",
            "input_shape": list(supervised.shape),
            "seed": seed,
            "layers": entries,
            "readout": readout.describe_readout(supervised.steps, seed),
        }

    def _check_streams(self) -> None:
        taught = [block.layer for block in self.blocks[:-1] if not block.code.hebbian]
        if taught:
            raise ConfigError(
                f"{self.name} cannot learn in the mode 'stream': {', '.join(taught)} follows a "
                f"gradient, and labels; take a preset whose hidden blocks learn by Hebb"
            )

    def split(self) -> tuple[range, ...]:
        """Positions of the layers of each hidden block."""
        counts = [len(block.describe(steps=1)) for block in self.blocks[:-1]]
        counts[-1] += len(self.blocks[-1].operations)
        starts = [sum(counts[:number]) for number in range(len(counts) + 1)]
        return tuple(range(a, b) for a, b in itertools.pairwise(starts))

    def build(
        self,
        data: str | None = None,
        *,
        unsupervised: str | DataSettings | None = None,
        supervised: str | DataSettings | None = None,
        mode: str | None = None,
        hidden: str | None = None,
        seed: int = 0,
        streaming: Streaming | None = None,
    ) -> Built:
        """Build the net, and plan its training.

        Args:
            data: the published pair of data settings of a data set, ``"stl10"`` for example;
                ``None`` is the preset's own.
            unsupervised: settings, or their name, that replace those without labels.
            supervised: the same, with labels; says the shape of samples, and how many classes.
            mode: ``None`` is the preset's own; ``"stream"`` changes the net, too, so that it learns
                from one sample at a time, all layers at once, in one pass, or in as many epochs as
                the settings in ``unsupervised`` have.
            hidden: ``"learns"``, ``"random"`` or ``"normed"``; ``None`` is the preset's own.
            seed: draws the weights, and orders the samples of phases without labels.
            streaming: how the net is changed for the mode ``"stream"``.

        Raises:
            ConfigError: for settings that do not exist or do not fit each other.
            ShapeError: if the net cannot take such samples.

        Example:
            >>> from streamhebb import presets
            >>> built = presets.find("softhebb-cifar-1conv").build()
            >>> [(stage.phase.blocks, stage.data.name) for stage in built.stages]
            [((0,), 'CIFAR10_1'), ((1,), 'CIFAR10_50')]
        """
        how = self.hidden if hidden is None else hidden
        if how not in ("learns", "random", "normed"):
            raise ConfigError(f"hidden={hidden!r} is not allowed; it is learns, random or normed")
        mode = self.mode if mode is None else mode
        require_choice("presets", "mode", mode, (*MODES, STREAM))
        if streaming is not None and mode != STREAM:
            raise ConfigError(f"streaming={streaming} is for mode='stream'; the mode is {mode!r}")
        without, with_labels = self.data(data, unsupervised=unsupervised, supervised=supervised)
        plan = mode
        if mode == STREAM:
            self._check_streams()
            passes = {} if unsupervised is not None else {"epochs": 1}
            without, plan = without.but(batch_size=1, **passes), "consecutive"
        stages = self.stages(without, with_labels, mode=plan, hidden=how, seed=seed)
        self.resolve(with_labels.shape)  # refuses samples before large weights are drawn
        description = self.describe(without, with_labels, seed=seed)
        if mode == STREAM:
            description = (streaming or Streaming()).describe(description, self.name)
        net = spec.build(spec.parse(description, self.name), classes=with_labels.classes, seed=seed)
        for layer in net.layers:
            if how != "learns" and isinstance(layer, PlasticLayer):
                layer.plasticity = False
        return Built(net, self.split(), stages)


def _settings(given: str | DataSettings) -> DataSettings:
    return given if isinstance(given, DataSettings) else data_settings(given)
