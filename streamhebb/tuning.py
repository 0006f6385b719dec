"""Which way of making a layer's products is fastest here: measured once for each kind of input."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from time import perf_counter

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.errors import ConfigError
from streamhebb.layers import Layer
from streamhebb.layers.wired import PRECISIONS, WiredLayer
from streamhebb.parts import require_choice

ROUNDS = 3

Way = tuple[str, str | None]
"""A method, and a backend; ``None`` is that of the process."""

_known: dict[Hashable, dict[Way, float]] = {}  # for the life of the process


def ways(layer: WiredLayer, backends: Sequence[str | None] = (None,)) -> list[Way]:
    """How a layer could make its products.

    Args:
        layer: with its precision.
        backends: that shall be tried.

    Example:
        >>> from streamhebb import Dense
        >>> ways(Dense(2, 3), ("torch", "numba"))
        [('direct', 'torch'), ('direct', 'numba')]
    """
    methods = [name for name in layer.synapse.methods if layer.allows(name, layer.precision)]
    return [(method, backend) for method in methods for backend in backends]


def measure(
    layer: WiredLayer,
    x: Tensor,
    backends: Sequence[str | None] = (None,),
    learning: bool = True,
) -> dict[Way, float]:
    """Seconds that a layer takes to respond to an input and learn from it, by way.

    A copy learns. What was measured before in this process, for a layer of the same size, an input
    of the same shape and as many threads, is not measured again.

    Args:
        layer: its copies are measured.
        x: its input, a batch.
        backends: of kernels; ``None`` is that of the process.
        learning: whether it shall learn; else it only responds.

    Example:
        >>> from streamhebb import Conv2d
        >>> sorted(method for method, _ in measure(Conv2d(2, 4, 3), torch.rand(1, 2, 6, 6)))
        ['direct', 'winograd2', 'winograd4']
    """
    kind = x.dtype, layer.precision, str(x.device), torch.get_num_threads(), learning
    parts = layer.synapse, repr(layer)  # its rule and scaling say which kernels there are
    key = (*parts, tuple(x.shape), *kind, kernels.backend(), tuple(backends))
    if key in _known:
        return _known[key]
    took: dict[Way, float] = {}
    twins = {way: copy.deepcopy(layer) for way in ways(layer, backends)}
    for (method, backend), twin in twins.items():
        twin.method, twin.backend = method, backend
    for number in range(ROUNDS + 1):
        for way, twin in twins.items():
            start = perf_counter()
            if learning:
                twin.learn(twin.observe(x)[1])
            else:
                twin.respond(x)
            if x.is_cuda:
                torch.cuda.synchronize(x.device)
            if number:  # the first one compiles, and fills caches
                took[way] = min(took.get(way, float("inf")), perf_counter() - start)
    return _known.setdefault(key, took)


@torch.no_grad()
def choose(
    layers: Sequence[Layer],
    x: Tensor,
    *,
    precision: str | None = None,
    backends: Sequence[str] = (),
    learning: bool = True,
) -> None:
    """Give each layer the way that is fastest for a batch; results then differ by rounding.

    Args:
        layers: from input to output.
        x: a batch, shape ``(B, ...)``.
        precision: of their products; ``None`` leaves it as it is.
        backends: that may be given to a layer; none leaves the layer's own.
        learning: whether they shall learn from such batches; else they only respond.

    Raises:
        ConfigError: for a precision or a backend that is not there. Then nothing has changed.
    """
    if precision is not None:
        require_choice("choose_kernels", "precision", precision, PRECISIONS)
    if isinstance(backends, str):
        raise ConfigError(
            f"choose_kernels: backends={backends!r} is one name; several are needed, such as "
            f"({backends!r},)"
        )
    for backend in backends:
        kernels.load(backend, "choose_kernels: backends")
    for layer in layers:
        if isinstance(layer, WiredLayer) and precision is not None:
            layer.method = layer.synapse.methods[0]  # allowed with any
            layer.precision = precision
        if isinstance(layer, WiredLayer):
            possible = ways(layer, tried := backends or (layer.backend,))
            took = measure(layer, x, tried, learning) if len(possible) > 1 else {}
            layer.method, layer.backend = min(possible, key=took.get)  # type: ignore[arg-type]
        x = layer.observe(x)[0] if learning and layer.learns else layer.respond(x)
