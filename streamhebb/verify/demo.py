"""Replays the published demo network through StreamNet."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamhebb.competition import SoftWTA
from streamhebb.errors import SourceError
from streamhebb.layers import (
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Flatten,
    Layer,
    MaxPool2d,
    Triangle,
)
from streamhebb.net import StreamNet
from streamhebb.rates import NormRate
from streamhebb.readouts import SoftmaxReadout
from streamhebb.rules import SoftHebb
from streamhebb.scaling import LayerMax
from streamhebb.verify.cases import Array, Case
from streamhebb.verify.compare import Comparison
from streamhebb.verify.settings import single

# The published demo network; a reference may be narrower.
_CHANNELS = (96, 384, 1536)
_T = (1.0, 0.65, 0.25)
_LR = (0.08, 0.005, 0.01)
_KERNELS = (5, 3, 3)
_CLASSES = 10
_CLASSIFIER_SCALE = np.float32(0.11048543456039805)
_NEEDED = ("images_u8", "eval_images_u8", "eval_features", "eval_logits")


def is_demo(case: Case) -> bool:
    """Whether the case is about the whole demo network."""
    return any(re.match(r"images_u8|conv\d+_(w0|w_after|norms_after)", key) for key in case.arrays)


def replay_demo(case: Case, comparison: Comparison) -> None:
    """Let all layers learn from a few mini-batches, then read features and logits."""
    case.need(_NEEDED)
    case.need(f"bn{n}_{what}" for n in (1, 2, 3) for what in ("mean", "var"))
    after = "w_after" if "conv1_w0" in case else "w_after_at"
    case.need(f"conv{n}_{after}" for n in (1, 2, 3))
    images = case.shaped("images_u8", (None, None, 3, None, None))
    weights, classifier, bias = _first_weights(case, comparison)
    net = _demo_net(case, weights, images.shape[2:]).to(comparison.dtype)
    convs = [layer for layer in net.layers if isinstance(layer, Conv2d)]
    for conv, weight in zip(convs, weights, strict=True):
        conv.set_weight(comparison.tensor(weight))
    _set_readout(net, comparison.tensor(classifier), comparison.tensor(bias))
    for batch in images:
        net.step(_pixels(batch, comparison))
    _compare_demo(case, comparison, net, convs)


def _pixels(images: Array, comparison: Comparison) -> Tensor:
    # The reference divides in float32 in both precisions.
    return (torch.tensor(images).float() / 255).to(comparison.dtype)


def _first_weights(case: Case, comparison: Comparison) -> tuple[list[Array], Array, Array]:
    if "conv1_w0" in case:
        keys = ("conv1_w0", "conv2_w0", "conv3_w0", "classifier_w", "classifier_b")
        case.need(keys)
        comparison.used(*keys)
        convs = [case.shaped(key, (None,) * 4) for key in keys[:3]]
        classifier = case.shaped("classifier_w", (None, None))
        return convs, classifier, case.shaped("classifier_b", (len(classifier),))
    return _redraw(case, comparison)


def _redraw(case: Case, comparison: Comparison) -> tuple[list[Array], Array, Array]:
    """Draw the weights that are too large to be stored, and check the samples that are."""
    case.need(f"conv{n}_{what}" for n in (1, 2, 3) for what in ("idx", "w0_at", "w0_sum"))
    case.need(("feat_idx", "classifier_w_first"))
    seed = case.meta.get("seed")
    if not isinstance(seed, int):
        raise SourceError(f"meta says seed={seed!r}; a whole number is needed to draw the weights")
    generator = np.random.Generator(np.random.PCG64(seed + 2))
    channels = _demo_channels(case)
    weights = []
    for n, (n_out, n_in, kernel) in enumerate(
        zip(channels, (3, *channels), _KERNELS, strict=False), 1
    ):
        fan_in = n_in * kernel**2
        drawn = generator.standard_normal((n_out, n_in, kernel, kernel), dtype=np.float32)
        weights.append(drawn * np.float32(25 / np.sqrt(fan_in)))
        _check_drawn(case, comparison, n, weights[-1])
    side = case["images_u8"].shape[-1] // 8  # three pools of stride 2
    drawn = generator.random((_CLASSES, channels[-1] * side**2), dtype=np.float32)
    classifier = drawn * _CLASSIFIER_SCALE
    first = case["classifier_w_first"]
    comparison.check("classifier_w_first", classifier[: first.shape[0], : first.shape[1]])
    return weights, classifier, np.zeros(_CLASSES)


def _check_drawn(case: Case, comparison: Comparison, n: int, weight: Array) -> None:
    comparison.used(f"conv{n}_idx")
    comparison.check(f"conv{n}_w0_at", _at(weight, case[f"conv{n}_idx"]))
    total = weight.astype(np.float64)
    comparison.check(f"conv{n}_w0_sum", total.sum(), floor=float(np.abs(total).sum()))


def _at(values: Array, index: Array) -> Array:
    """Entries by flat index.

    Raises:
        SourceError: for an index beyond the last one.
    """
    flat = np.asarray(values).reshape(-1)
    whole = index.dtype.kind in "iu" and index.size
    if not whole or index.min() < 0 or index.max() >= flat.size:
        raise SourceError(f"indices must be whole numbers from 0 to {flat.size - 1}")
    return flat[index]


def _demo_channels(case: Case) -> tuple[int, ...]:
    channels = case.meta.get("channels", _CHANNELS)
    if len(channels) != 3 or not all(isinstance(n, int) for n in channels):
        raise SourceError(f"meta says channels={channels!r}; three whole numbers are needed")
    return tuple(channels)


def _demo_net(case: Case, weights: list[Array], shape: tuple[int, ...]) -> StreamNet:
    power = float(case.meta.get("power", 0.5))
    temperatures = case.meta.get("t", _T)
    rates = case.meta.get("lr", _LR)
    pools = (MaxPool2d(4, 2, 1), MaxPool2d(4, 2, 1), AvgPool2d(2, 2, 0))
    layers: list[Layer] = []
    for weight, t, lr, act, pool in zip(
        weights, temperatures, rates, (0.7, 1.4, 1.0), pools, strict=True
    ):
        n_out, n_in, kernel, _ = weight.shape
        conv = Conv2d(
            n_in,
            n_out,
            kernel,
            padding=kernel // 2,
            rule=SoftHebb(),
            competition=SoftWTA(single(t), anti_hebbian=True),
            rate=NormRate(lr, power),
            scaling=LayerMax(),
        )
        layers += [BatchNorm(n_in), conv, Triangle(act), pool]
    readout = SoftmaxReadout(classes=_classes(case))
    return StreamNet(*layers, Flatten(), readout=readout, seed=None, input_shape=shape)


def _classes(case: Case) -> int:
    return int(case["classifier_w"].shape[0]) if "classifier_w" in case else _CLASSES


def _set_readout(net: StreamNet, weight: Tensor, bias: Tensor) -> None:
    readout: Any = net.readout
    if readout.weight.shape != weight.shape:
        raise SourceError(
            f"classifier_w has shape {tuple(weight.shape)}; the network gives "
            f"{tuple(readout.weight.shape)}"
        )
    readout.weight.copy_(weight)
    readout.bias.copy_(bias)


def _compare_demo(case: Case, comparison: Comparison, net: StreamNet, convs: list[Conv2d]) -> None:
    for n, conv in enumerate(convs, 1):
        kernel = conv.kernel
        comparison.check(f"conv{n}_w_after", kernel)
        comparison.check(f"conv{n}_norms_after", conv.radius())
        if f"conv{n}_w_after_at" in case:
            index = case[f"conv{n}_idx"]
            comparison.check(f"conv{n}_w_after_at", _at(kernel.numpy(), index))
    norms = [layer for layer in net.layers if isinstance(layer, BatchNorm)]
    for n, norm in enumerate(norms, 1):
        comparison.check(f"bn{n}_mean", norm.mean)
        comparison.check(f"bn{n}_var", norm.var)
    images = case["eval_images_u8"]
    comparison.used("images_u8", "eval_images_u8", "feat_idx")
    comparison.check("images_u8_sum", case["images_u8"].astype(np.int64).sum())
    found = net.respond(_pixels(images, comparison), activity=True)
    features = found.activity[net.names[-1]].numpy()
    if "feat_idx" in case:
        features = np.stack([_at(row, case["feat_idx"]) for row in features])
    comparison.check("eval_features", features)
    comparison.check("eval_logits", found.scores)
    key = "eval_images_u8_first_pixels"
    if key in case:
        first = case[key].shape
        comparison.check(key, images[: first[0], : first[1], : first[2], : first[3]])
