"""Replays the draws of first weights."""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor, nn

from streamhebb.init import Negative, Normal, Positive, Uniform
from streamhebb.verify.cases import Case
from streamhebb.verify.compare import Comparison, plain


def is_weights(case: Case) -> bool:
    """Whether the case is about the draws of first weights."""
    return "torch_manual_seed" in case.meta


def replay_weights(case: Case, comparison: Comparison) -> None:
    """Draw first weights from the reference's random numbers.

    The library scales by the radius that is wanted and knows no offset; the reference was given
    a range and an offset. So the radius that means this range is asked for, and the offset is
    added here.
    """
    seed = case.meta["torch_manual_seed"]
    scale = float(case.meta.get("weight_range", 1.0))
    offset = float(case.meta.get("weight_offset", 0.0))
    with torch.random.fork_rng(devices=[]):
        for key in ("positive", "negative", "normal", "zero_mean"):
            if key in case:
                torch.manual_seed(seed)
                _check_draw(comparison, key, scale, offset)
        for key in sorted(case.arrays):
            if found := re.match(r"demo_conv_\d+_\d+_k\d+$", key):
                torch.manual_seed(seed)
                comparison.check(found[0], Normal(25.0).draw(case[key].shape, 2.0, None))
        if "demo_conv1_first" in case:
            torch.manual_seed(seed)
            _check_demo(comparison)


def _check_draw(comparison: Comparison, key: str, scale: float, offset: float) -> None:
    shape = comparison.case[key].shape
    fan_in = math.prod(shape[1:])
    uniform = scale * math.sqrt(fan_in / 3)  # the radius of weights of this range
    if key == "normal":
        drawn = Normal(scale * math.sqrt(fan_in)).draw(shape, 2.0, None) + offset
    elif key == "positive":
        drawn = Positive(uniform).draw(shape, 2.0, None) + offset
    elif key == "negative":
        drawn = Negative(uniform).draw(shape, 2.0, None) + offset
    else:
        # Published: 2 U + offset, of mean 1, whatever the range. Ours: range (2 U - 1).
        drawn = Uniform(uniform).draw(shape, 2.0, None) / scale + 1 + offset
        comparison.notes.append(
            "zero_mean: ours has mean 0 and keeps its range, the published one has mean 1 and "
            "ignores it; compared after undoing that"
        )
    comparison.check(key, drawn)


def _check_demo(comparison: Comparison) -> None:
    """Draw the demo network: convolutions, then the stock readout, then its positive weights."""
    shapes = ((96, 3, 5, 5), (384, 96, 3, 3), (1536, 384, 3, 3))
    for number, shape in enumerate(shapes, 1):
        _check_sample(comparison, f"demo_conv{number}", Normal(25.0).draw(shape, 2.0, None))
    stock = nn.Linear(24576, 10)
    comparison.check("demo_classifier_bias", stock.bias)
    _check_sample(comparison, "demo_classifier", Positive(10.0).draw((10, 24576), 2.0, None))


def _check_sample(comparison: Comparison, name: str, drawn: Tensor) -> None:
    flat = drawn.flatten(1)
    comparison.check(f"{name}_first", flat[:2, :20])
    wide = plain(flat)
    comparison.check(f"{name}_mean_std", [wide.mean(), wide.std()], floor=1.0)
