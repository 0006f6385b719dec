"""Which layer and which neurons are meant."""

from __future__ import annotations

from typing import Any

import torch

from streamhebb.errors import ConfigError
from streamhebb.layers import BatchNorm, Flatten, L2Norm, MaxNorm, PlasticLayer, RunningNorm
from streamhebb.net import StreamNet


def plastic_layers(owner: str, net: StreamNet) -> dict[str, PlasticLayer]:
    """The layers that learn weights, by name, from input to output.

    Raises:
        ConfigError: if there is none.
    """
    pairs = zip(net.names, net.layers, strict=True)
    found = {name: layer for name, layer in pairs if isinstance(layer, PlasticLayer)}
    if not found:
        raise ConfigError(
            f"{owner}: no layer of this net ({', '.join(net.names)}) learns weights; there is "
            f"nothing to draw without a Dense or Conv2d"
        )
    return found


def find_layer(owner: str, net: StreamNet, layer: str | int | None) -> tuple[int, PlasticLayer]:
    """Position and layer of a name or position; ``None`` is the first layer that learns weights.

    Raises:
        ConfigError: if there is no such layer, with those there are, or if its weights, or those
            before it, are not finite.
    """
    found = plastic_layers(owner, net)
    position: int | None = None
    if layer is None:
        position = net.names.index(next(iter(found)))
    elif layer in found:
        position = net.names.index(str(layer))
    elif type(layer) is int and -len(net.names) <= layer < len(net.names):
        position = layer % len(net.names)
    if position is None or net.names[position] not in found:
        raise ConfigError(
            f"{owner}: layer={layer!r} is not allowed; the layers of this net that learn weights "
            f"are {', '.join(found)}"
        )
    for name, other in found.items():
        bad = int((~torch.isfinite(other.weight)).sum())
        if bad and net.names.index(name) <= position:
            raise ConfigError(
                f"{owner}: {bad} of {other.weight.numel()} weights of {name} are NaN or infinite; "
                f"go back to the last snapshot, and lower the rate"
            )
    return position, found[net.names[position]]


def sees_input(net: StreamNet, position: int) -> bool:
    """Whether a layer's weights lie on the input itself, though it may be normalised."""
    plain = (BatchNorm, Flatten, L2Norm, MaxNorm, RunningNorm)
    return all(isinstance(before, plain) for before in list(net.layers)[:position])


def find_neurons(owner: str, count: int, neurons: Any, seed: int) -> list[int]:
    """Numbers of neurons: those given, or so many at random, or all.

    Raises:
        ConfigError: for a neuron that is not there.
    """
    if neurons is None:
        return list(range(count))
    if type(neurons) is int and neurons > 0:
        generator = torch.Generator().manual_seed(seed)
        return sorted(torch.randperm(count, generator=generator)[:neurons].tolist())
    try:
        chosen = [int(neuron) for neuron in neurons]
    except (TypeError, ValueError):
        chosen = []
    if not chosen or not all(0 <= neuron < count for neuron in chosen):
        raise ConfigError(
            f"{owner}: neurons={neurons!r} is not allowed; give how many, or a list of numbers "
            f"from 0 to {count - 1}"
        )
    return chosen
