from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import streamhebb as sh
from streamhebb.errors import ConfigError

INITS = [sh.Normal, sh.Positive, sh.Negative, sh.Uniform]


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("radius", [0.5, 1.0, 25.0])
@pytest.mark.parametrize("kind", INITS)
def test_the_expected_radius_is_the_one_asked_for(kind: Any, radius: float, p: float) -> None:
    w = kind(radius).draw((200, 8, 5, 5), p, chance()).double().flatten(1)
    # The mean of r^p is exact for every fan-in; that of r itself only for a large one.
    mean = float((w.abs() ** p).sum(1).mean()) ** (1 / p)
    assert mean == pytest.approx(radius, rel=0.02)


@pytest.mark.parametrize(
    ("kind", "low", "high"), [(sh.Positive, 0, 1), (sh.Negative, -1, 0), (sh.Uniform, -1, 1)]
)
def test_uniform_draws_fill_their_range(kind: Any, low: int, high: int) -> None:
    w = kind(2.0).draw((500, 12), 2.0, chance())
    scale = math.sqrt(3 * 4 / 12)  # sqrt(3 R^2 / F)
    assert scale * low <= float(w.min()) < scale * (low + 0.01)
    assert scale * (high - 0.01) < float(w.max()) <= scale * high
    assert float(w.mean()) == pytest.approx(scale * (low + high) / 2, abs=0.02)


def test_normal_is_radius_over_the_root_of_the_fan_in() -> None:
    w = sh.Normal(25.0).draw((100, 3, 5, 5), 2.0, chance())
    assert float(w.std()) == pytest.approx(25 / math.sqrt(75), rel=0.02)
    assert float(w.mean()) == pytest.approx(0, abs=0.15)


def test_the_scale_of_the_published_readout() -> None:
    w = sh.Positive(10.0).draw((10, 24576), 2.0, chance())
    assert float(w.max()) == pytest.approx(0.110485, rel=1e-3)


@pytest.mark.parametrize("kind", INITS)
def test_draws_follow_the_generator(kind: Any) -> None:
    draw = kind().draw
    assert torch.equal(draw((3, 4), 2.0, chance(1)), draw((3, 4), 2.0, chance(1)))
    assert not torch.equal(draw((3, 4), 2.0, chance(1)), draw((3, 4), 2.0, chance(2)))
    assert draw((3, 4), 2.0, None).dtype == torch.float32


def test_a_grouped_convolution_counts_only_its_own_channels() -> None:
    layer = sh.Conv2d(64, 512, 3, groups=8, init=sh.Normal(4.0))
    layer.reset(chance())
    assert float(layer.radius().mean()) == pytest.approx(4.0, rel=0.02)


@pytest.mark.parametrize("kind", INITS)
@pytest.mark.parametrize("radius", [0, -1, math.inf, "1"])
def test_bad_radius_is_named(kind: Any, radius: object) -> None:
    message = f"{kind.__name__}: radius={radius!r} is not allowed; it must be a number > 0"
    with pytest.raises(ConfigError, match=message):
        kind(radius)
