"""What a neuron would like to see: its preferred input, by gradient ascent on its drive."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from streamhebb.chain import trace_shapes
from streamhebb.errors import ConfigError
from streamhebb.layers import Conv2d, Layer, RunningNorm
from streamhebb.net import StreamNet
from streamhebb.parts import require
from streamhebb.pictures._find import find_layer, find_neurons
from streamhebb.pictures._geometry import WINDOWED, field_side
from streamhebb.values import Shape

START = 1e-5
"""Radius of the ball that starting points lie in."""
AT_ONCE = 2**25
"""Numbers that all inputs which climb together may excite."""

Stage = tuple[str, Callable[[Tensor], Tensor]]


def preferred_inputs(
    net: StreamNet,
    layer: str | int | None = None,
    neurons: int | Sequence[int] | None = None,
    *,
    steps: int = 500,
    rate: float = 0.001,
    seed: int = 0,
    published: bool = False,
) -> Tensor:
    r"""Find the input that drives each neuron most, by gradient ascent.

    $$x \leftarrow x + rate \cdot \nabla_x u_j(x), \qquad
      x_0 \text{ at random in the unit ball} \times 10^{-5}$$

    As published: the net is cut behind the drive $u$ of the layer; all padding is left out, and
    the input is as large as the neuron's receptive field, so that the layer's output is a single
    pixel; ``steps`` and ``rate``; one start a neuron. Mended: a neuron whose receptive field is
    larger than the picture, or that sees the whole picture through ``Flatten``, gets an input of
    the net's own shape, with the padding, and of a convolution the neuron in the middle is taken.
    ``RunningNorm`` normalises by what it has stored, and no longer by the sample itself.

    The net is left as it was.

    Args:
        net: the net.
        layer: name or position of a layer that learns weights; the first one by default.
        neurons: which; or how many, drawn at random; all by default.
        steps: of the ascent.
        rate: of the ascent.
        seed: draws starting points, and the neurons if only their number is given.
        published: the input is as large as the receptive field, without padding, also where that
            is larger than the net's pictures. What is then drawn is
            [`projected`][streamhebb.pictures.preferred.projected].

    Returns:
        Shape ``(neurons, *shape)``. A neuron that no gradient reaches stays at its start.

    Raises:
        ConfigError: if there is no such layer or neuron, if weights are not finite, if the
            gradient does not come through a layer, or if something published is asked of a layer
            that was not: one behind ``Flatten``.

    Example:
        >>> from streamhebb import Conv2d, ReLU, StreamNet
        >>> net = StreamNet(Conv2d(1, 4, 5), ReLU(), Conv2d(4, 6, 3), input_shape=(1, 12, 12))
        >>> preferred_inputs(net, "2:Conv2d", steps=5).shape
        torch.Size([6, 1, 7, 7])

    Reference:
        A. Journé et al., ICLR 2023, figure 2 and appendix B.
        https://arxiv.org/abs/2209.11883
    """
    require("preferred_inputs", "steps", steps, at_least=1, whole=True)
    require("preferred_inputs", "rate", rate, above=0)
    require("preferred_inputs", "seed", seed, whole=True)
    position, target = find_layer("preferred_inputs", net, layer)
    chosen = find_neurons("preferred_inputs", target.synapse.n_out, neurons, seed)
    layers: list[Any] = list(net.layers)[: position + 1]
    names = net.names[: position + 1]
    shape, whole = _field(layers, names, net.input_shape, published)
    path = [
        (name, _cut(stage, whole, stage is target))
        for name, stage in zip(names, layers, strict=True)
    ]
    x = _starts(len(chosen), shape, Generator().manual_seed(seed))
    x = x.to(target.weight.device, target.weight.dtype)
    which = torch.tensor(chosen, device=x.device)
    excited = sum(math.prod(s) for s in trace_shapes(layers, names, net.input_shape or shape))
    together = max(1, AT_ONCE // excited)
    some = [slice(start, start + together) for start in range(0, len(x), together)]
    found = torch.cat([_climb(path, x[part], which[part], steps, rate) for part in some])
    if not torch.isfinite(found).all():
        raise ConfigError(
            f"preferred_inputs: the ascent left the finite numbers at rate={rate}; lower it"
        )
    return found


def projected(x: Tensor) -> Tensor:
    r"""Bring preferred inputs to [0, 1], as published.

    $$z = \frac{|x|}{\lVert x \rVert_2}, \qquad
      p = \frac{z - \min z}{\max (z - \min z)}$$

    Dark becomes as bright as bright: the sign is lost.

    Args:
        x: shape ``(neurons, ...)``; minimum and maximum are those of each neuron.

    Returns:
        The same shape; 0 where all values of a neuron are the same.

    Example:
        >>> projected(torch.tensor([[-4.0, 0.0, 3.0]]))
        tensor([[1.0000, 0.0000, 0.7500]])
    """
    flat = x.flatten(1).abs()
    flat = flat / flat.norm(dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    flat = flat - flat.amin(1, keepdim=True)
    flat = flat / flat.amax(1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    found: Tensor = flat.clamp(0, 1).view(x.shape)
    return found


def field_of(net: StreamNet, layer: str | int | None = None) -> int:
    """Side of the receptive field of a convolution's neurons, in pixels of the input.

    Args:
        net: the net.
        layer: name or position of a layer that learns weights; the first one by default.

    Raises:
        ConfigError: if there is no such layer.

    Example:
        >>> from streamhebb import MaxPool2d
        >>> net = StreamNet(Conv2d(3, 4, 5, padding=2), MaxPool2d(4, 2, 1), Conv2d(4, 8, 3))
        >>> field_of(net, 0), field_of(net, 2)
        (5, 12)
    """
    position, _ = find_layer("field_of", net, layer)
    layers: Any = list(net.layers)[: position + 1]
    return field_side(layers)


def _field(
    layers: Sequence[Layer], names: Sequence[str], shape: Shape | None, published: bool = False
) -> tuple[Shape, bool]:
    """Shape of what the last layer's neurons see, and whether that is the whole sample."""
    if shape is None:
        raise ConfigError(
            "preferred_inputs: the shape of a sample is not known yet; pass input_shape to "
            "StreamNet, or let the net take a step first"
        )
    shapes = trace_shapes(layers, names, shape)
    for layer, name, before, after in zip(layers, names, shapes, shapes[1:], strict=False):
        if not isinstance(layer, WINDOWED) and before != after:
            if published:
                raise ConfigError(
                    f"preferred_inputs: published=True is for neurons of convolutions, and {name} "
                    f"makes {after} of {before}; leave it out for the whole picture as input"
                )
            return shape, True
    side = field_side(layers)
    if len(shape) != 3 or (side > min(shape[1:]) and not published):
        return shape, True
    return (shape[0], side, side), False


def _cut(layer: Any, whole: bool, last: bool) -> Callable[[Tensor], Tensor]:
    """What a layer does to the input that climbs; the layer itself is left alone."""
    if isinstance(layer, RunningNorm):
        # Before its first sample there is nothing to normalise by.
        var = layer.var if layer.age > 0 else torch.ones_like(layer.var)
        return lambda x: F.batch_norm(x, layer.mean, var, eps=layer.eps)
    if whole and not last:
        return layer.respond  # type: ignore[no-any-return]
    layer = copy.copy(layer)
    if not whole and getattr(layer, "padding", False):
        layer.padding = 0
        if isinstance(layer, Conv2d):
            layer.synapse = replace(layer.synapse, padding=0)  # type: ignore[type-var]
    if last:
        layer.pre_triangle = False  # like an activation: below the mean there is no gradient
    return layer.respond  # type: ignore[no-any-return]


def _starts(count: int, shape: Shape, generator: Generator) -> Tensor:
    """Points spread evenly over the ball of radius ``START``, shape ``(count, *shape)``."""
    x = torch.randn(count, math.prod(shape), generator=generator, dtype=torch.float64)
    reach = torch.rand(count, 1, generator=generator, dtype=torch.float64) ** (1 / x.shape[1])
    starts: Tensor = START * reach * x / x.norm(dim=1, keepdim=True)
    return starts.view(count, *shape)


def _climb(path: Sequence[Stage], x: Tensor, which: Tensor, steps: int, rate: float) -> Tensor:
    slope: Tensor
    for _ in range(steps):
        # Layers save memory by activations in place, which autograd refuses for what it has saved
        # itself: let it save copies. (allow_mutation_on_saved_tensors also does it, more slowly.)
        with torch.enable_grad(), saved_tensors_hooks(torch.clone, lambda copied: copied):
            x = x.detach().requires_grad_()
            drive = x
            for name, respond in path:
                drive = respond(drive)
                if not drive.requires_grad:
                    raise ConfigError(
                        f"preferred_inputs: no gradient comes through {name}; only layers before "
                        f"it can be drawn"
                    )
            if drive.ndim == 4:
                drive = drive[:, :, drive.shape[2] // 2, drive.shape[3] // 2]
            elif drive.ndim == 3:  # dense neurons on rows of vectors
                drive = drive[:, drive.shape[1] // 2]
            (slope,) = torch.autograd.grad(drive.gather(1, which[:, None]).sum(), x)
        x = x.detach() + rate * slope
    return x.detach()
