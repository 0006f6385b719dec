"""Trials that draw what the net of another trial has learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from streamhebb.errors import ConfigError
from streamhebb.layers import PlasticLayer
from streamhebb.net import StreamNet
from streamhebb.pictures import (
    flat_map,
    kernels_beside,
    neighbours_alike,
    patches,
    principal,
    receptive_fields,
    sample_map,
    save,
    strongest_patches,
)
from streamhebb.pictures.preferred import field_of
from streamhebb.presets import Built
from streamhebb.suite.about import NetTrial
from streamhebb.suite.offline import OfflineTrial, trained
from streamhebb.suite.trial import Result, Work

TOGETHER = 100


class PreferredTrial(NetTrial):
    """Draw the preferred inputs of neurons of every layer that learns, wholly as published.

    Args:
        neurons: of each layer, drawn at random.
        steps: of the gradient ascent.

    Example:
        >>> PreferredTrial(net="softhebb-cifar-3conv").label()
        'preferred softhebb-cifar-3conv'
    """

    kind: Literal["preferred"] = "preferred"
    neurons: int = Field(default=72, ge=1)
    steps: int = Field(default=500, ge=1)

    def run(self, work: Work) -> Result:
        """Train, unless that is done, and draw."""
        net = trained(self.offline(), work).net
        result: Result = {"pictures": []}
        for number, name in enumerate(learners(net), 1):
            work.tell(f"preferred inputs of layer {number}")
            figure = receptive_fields(
                net, name, published=True, limit=self.neurons, steps=self.steps, seed=self.seed,
                title=f"Preferred inputs of layer {number}, {self.offline().label()}",
            )  # fmt: skip
            path = work.folder.path / f"layer-{number}.png"
            save(figure, path)
            result["pictures"].append(path.name)
            result[f"field {number}"] = field_of(net, name)
        return result


class ImagesTrial(NetTrial):
    """Map test pictures by their features, and draw the parts of them that excite neurons most.

    Both of the first block and of the last. A map is laid out from up to 100 principal components
    of what leaves the block. Beside it, a number that the layout has no part in: how many
    samples are of the class that most of their ten nearest neighbours have, by these components.

    Args:
        mapped: so many test pictures, the first of the set.
        neurons: drawn at random, whose strongest parts are drawn.
        parts: of different pictures, for each.
        layout: ``"umap"`` as published, ``"tsne"``, or ``"auto"``: UMAP where it is installed.
    """

    kind: Literal["images"] = "images"
    mapped: int = Field(default=2000, ge=10)
    neurons: int = Field(default=5, ge=1)
    parts: int = Field(default=10, ge=1)
    layout: Literal["auto", "umap", "tsne"] = "auto"

    def run(self, work: Work) -> Result:
        """Train, unless that is done, and draw."""
        trial = self.offline()
        built = trained(trial, work)
        data = work.noted(trial.read(built.stages[-1].data, work.setup.device))
        result: Result = {"pictures": []}
        last = len(built.blocks)
        for number in dict.fromkeys((1, last)):
            work.tell(f"map and parts of block {number}")
            made = leaving(built, number, data.x_test[: self.mapped])
            labels = data.y_test[: self.mapped]
            components = principal(made)
            points, method = flat_map(components, self.layout)
            title = f"Test pictures at block {number}, {trial.label()}"
            figure = sample_map(points, labels, names=data.class_names, method=method, title=title)
            where = "first" if number == 1 else "last"
            path = work.folder.path / f"map-{where}.png"
            save(figure, path)
            result["pictures"].append(path.name)
            result[f"{where} neighbours accuracy"] = neighbours_alike(components, labels)
            result["layout"] = method
        for number in dict.fromkeys((1, last)):
            name = learners(built.net)[number - 1]
            found = strongest_patches(
                built.net, data.x_test, name, self.neurons, count=self.parts, seed=self.seed
            )
            title = f"Strongest parts, block {number}, {trial.label()}"
            where = "first" if number == 1 else "last"
            path = work.folder.path / f"parts-{where}.png"
            save(patches(found, data.x_test, title=title), path)
            result["pictures"].append(path.name)
            classes = [[data.y_test[one.image] for one in row] for row in found.values()]
            alike = [max(map(row.count, row)) / len(row) for row in classes]
            result[f"{where} parts alike"] = round(self.parts * sum(alike) / len(alike), 2)
        return result


class KernelsTrial(NetTrial):
    """Draw first-layer kernels of several nets side by side.

    Args:
        others: names of more presets, drawn beside the first.
        titles: of all of them, in their order; empty are the presets' names.
        shown: kernels of each; ``None`` is all.

    Example:
        >>> KernelsTrial(net="2HardCnnCIFAR", others=("2CnnCIFAR",)).label()
        'kernels 2HardCnnCIFAR 2CnnCIFAR'
    """

    kind: Literal["kernels"] = "kernels"
    others: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    shown: int | None = Field(default=None, ge=1)

    def label(self) -> str:
        """A few words that name it."""
        return " ".join([super().label(), *self.others])

    def trials(self) -> tuple[OfflineTrial, ...]:
        """The trials of all nets; those that learn by back-propagation learn end to end."""
        found = []
        for name in (self.net, *self.others):
            one = self.offline(net=name)
            taught = not one.preset().blocks[0].code.hebbian
            found.append(one.but(mode="consecutive") if taught else one)
        return tuple(found)

    def run(self, work: Work) -> Result:
        """Train, unless that is done, and draw."""
        trials = self.trials()
        if self.titles and len(self.titles) != len(trials):
            raise ConfigError(f"titles={self.titles} must be {len(trials)}, one for each net")
        kernels: dict[str, Tensor] = {}
        result: Result = {}
        for number, one in enumerate(trials):
            net = trained(one, work).net
            weight = first_kernels(net)
            title = self.titles[number] if self.titles else one.net
            kernels[title] = weight
            spread = weight.flatten(2).std(2).mean(1) / weight.flatten(1).norm(dim=1)
            result[f"structure {number + 1}"] = float(spread.mean())
        figure = kernels_beside(kernels, limit=self.shown, title="Kernels of the first layer")
        path = work.folder.path / "kernels.png"
        save(figure, path)
        return result | {"pictures": [path.name]}


def learners(net: StreamNet) -> list[str]:
    """Names of the hidden layers that learn by Hebb."""
    pairs = zip(net.names, net.layers, strict=True)
    return [name for name, layer in pairs if isinstance(layer, PlasticLayer)]


def first_kernels(net: StreamNet) -> Tensor:
    """Weights of the first convolution, shape ``(n_out, channels, height, width)``.

    Raises:
        ConfigError: if there is none.
    """
    layers: Sequence[Any] = list(net.layers)
    for layer in layers:
        side = getattr(layer, "kernel_size", None)
        if side is not None and hasattr(layer, "weight"):
            weight: Tensor = layer.weight.detach().float().cpu()
            return weight.view(len(weight), -1, side, side)
    raise ConfigError(f"no layer of {', '.join(net.names)} is a convolution; choose another net")


@torch.no_grad()
def leaving(built: Built, block: int, x: Tensor) -> Tensor:
    """What leaves a block, counted from 1; shape ``(N, features)``, on the CPU."""
    layers: Sequence[Any] = list(built.net.layers)[: built.blocks[block - 1].stop]
    parts = []
    for part in torch.split(x, TOGETHER):  # type: ignore[no-untyped-call, unused-ignore]
        for layer in layers:
            part = layer.respond(part)
        parts.append(part.flatten(1).float().cpu())
    return torch.cat(parts)
