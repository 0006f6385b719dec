"""Which way of making a layer's products is fastest here: measured once for each kind of input."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from time import perf_counter

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.layers import Layer
from streamhebb.layers.wired import WiredLayer

ROUNDS = 3

_known: dict[Hashable, dict[str, float]] = {}  # for the life of the process


def measure(layer: WiredLayer, x: Tensor) -> dict[str, float]:
    """Seconds that a layer takes to respond to an input and learn from it, by method.

    A copy learns. What was measured before in this process, for a layer of the same size, an input
    of the same shape and as many threads, is not measured again.

    Args:
        layer: with a choice of methods.
        x: its input, a batch.

    Example:
        >>> from streamhebb import Conv2d
        >>> sorted(measure(Conv2d(2, 4, 3), torch.rand(1, 2, 6, 6)))
        ['direct', 'winograd2', 'winograd4']
    """
    kind = x.dtype, layer.precision, str(x.device)
    key = (layer.synapse, tuple(x.shape), *kind, _threads(), kernels.backend())
    if key in _known:
        return _known[key]
    took: dict[str, float] = {}
    twins = {method: copy.deepcopy(layer) for method in _methods(layer)}
    for number in range(ROUNDS + 1):
        for method, twin in twins.items():
            twin.method = method
            start = perf_counter()
            _, seen = twin.observe(x)
            twin.learn(seen)
            if x.is_cuda:
                torch.cuda.synchronize(x.device)
            if number:  # the first one fills caches
                took[method] = min(took.get(method, float("inf")), perf_counter() - start)
    return _known.setdefault(key, took)


@torch.no_grad()
def choose_methods(layers: Sequence[Layer], x: Tensor, precision: str | None = None) -> None:
    """Give each layer the method that is fastest for a batch; results then differ by rounding.

    Args:
        layers: from input to output.
        x: a batch, shape ``(B, ...)``.
        precision: of their products; ``None`` leaves it as it is.
    """
    for layer in layers:
        if isinstance(layer, WiredLayer) and precision is not None:
            layer.method = layer.synapse.methods[0]  # allowed with any
            layer.precision = precision
        if isinstance(layer, WiredLayer) and len(layer.synapse.methods) > 1:
            took = measure(layer, x)
            layer.method = min(took, key=took.__getitem__)
        x = layer.observe(x)[0] if layer.learns else layer.respond(x)


def _methods(layer: WiredLayer) -> list[str]:
    fine = [name for name in layer.synapse.methods if name != "winograd4"]
    return fine if layer.coarse else list(layer.synapse.methods)


def _threads() -> int:
    return torch.get_num_threads()
