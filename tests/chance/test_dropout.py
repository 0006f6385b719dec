"""Dropout by counters: the right share, independent, the same from every kernel."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from streamhebb import kernels
from streamhebb.chance import Dropout
from streamhebb.chance.counters import signed, start
from streamhebb.chance.dropout import DIGITS
from streamhebb.errors import ConfigError

SHARES = [0.5, 0.25, 0.3, 0.9, 0.01]
COUNT = 1 << 20


def bits(drop: Dropout, step: int, count: int = COUNT) -> Tensor:
    """Who is kept, one by one."""
    words = drop.kept(count, step)
    return (words[:, None] >> torch.arange(64) & 1).view(-1)[:count].double()


def z(found: Tensor, chance: float) -> float:
    """Standard deviations between a number of hits and its mean."""
    n = found.numel()
    return abs(float(found.sum()) - n * chance) / math.sqrt(n * chance * (1 - chance))


# ---- chance ----------------------------------------------------------------------------------


@pytest.mark.parametrize("share", SHARES)
def test_the_share_and_the_mean(share: float) -> None:
    for seed, step in ((0, 0), (0, 1), (1, 0), (12345, 39_100)):
        assert z(bits(Dropout(share, seed), step), 1 - share) < 4
    x = torch.ones(1000, 100)
    assert float(Dropout(share)(x, 0).mean()) == pytest.approx(1, abs=0.05 / (1 - share) ** 0.5)


@pytest.mark.parametrize("share", SHARES)
def test_neighbours_steps_and_seeds_are_independent(share: float) -> None:
    """Both kept at once: the chance of one, squared."""
    keep, one = 1 - share, bits(Dropout(share), 0)
    for apart in (1, 2, 7, 32, 63, 64, 65, 128, 24_576):
        assert z(one[apart:] * one[:-apart], keep**2) < 4.5 * math.sqrt(2)  # pairs overlap
    for other in (bits(Dropout(share), 1), bits(Dropout(share), 2), bits(Dropout(share, 1), 0)):
        assert z(one * other, keep**2) < 4.5


@pytest.mark.parametrize("share", [0.5, 0.3])
def test_bytes_come_as_often_as_they_should(share: float) -> None:
    """Chi-square over the 256 ways in which eight neighbours may be kept, and over positions."""
    for step in (0, 1):
        rows = bits(Dropout(share, 3), step).view(-1, 8)
        kinds = (rows.long() << torch.arange(8)).sum(1)
        kept = torch.tensor([number.bit_count() for number in range(256)]).double()
        wanted = len(rows) * (1 - share) ** kept * share ** (8 - kept)
        found = kinds.bincount(minlength=256).double()
        chi = float(((found - wanted) ** 2 / wanted).sum())
        assert abs(chi - 255) < 5 * math.sqrt(2 * 255)
        columns = bits(Dropout(share, 3), step).view(-1, 64).sum(0)  # each place of a word
        mean, variance = COUNT / 64 * (1 - share), COUNT / 64 * share * (1 - share)
        chi = float(((columns - mean) ** 2 / variance).sum())
        assert abs(chi - 64) < 5 * math.sqrt(2 * 64)


def test_other_draws_with_the_same_seed_have_nothing_in_common() -> None:
    """Steps and words of a plain SplitMix64 stream of that seed do not come back as bits."""
    from streamhebb.chance import numbers

    words = set(Dropout(0.5, 5).kept(64 * 500, 0).tolist())
    for row in range(3):
        pairs = numbers(5, torch.tensor(row), 1, 24_000)  # 24 bits of each half of a word
        drawn = {(int(a), int(b)) for a, b in pairs.view(-1, 2)}
        halves = {
            (signed(w << 32) >> 40, signed(w) >> 40) for w in words
        }  # as `numbers` shows a word: low half first
        assert not drawn & halves
    assert start(5) not in words


# ---- the same bits ---------------------------------------------------------------------------


@given(
    share=st.floats(0, 1 - 2**-DIGITS),
    seed=st.integers(-5, 1 << 64),
    step=st.integers(0, 1 << 40),
    count=st.integers(1, 300),
)
def test_both_kernels_leave_out_the_same(share: float, seed: int, step: int, count: int) -> None:
    drop = Dropout(share, seed)
    x = torch.linspace(-1, 1, count)
    with kernels.use("torch"):
        words, made = drop.kept(count, step), drop.drop(x.clone(), step)
        assert torch.equal(drop(x, step), made)
    with kernels.use("numba"):
        assert torch.equal(drop.kept(count, step), words)
        assert torch.equal(drop.drop(x.clone(), step), made)
        y = x.double()
        by_loops = drop.drop(y.clone(), step)
    assert torch.equal(by_loops, drop(y, step))


def test_who_is_left_out_does_not_depend_on_how_many_there_are_nor_on_the_precision() -> None:
    drop = Dropout(0.3, 2)
    whole = drop(torch.ones(40, 50), 9).view(-1) != 0
    for count in (1, 63, 64, 65, 1000, 2000):
        assert torch.equal(drop(torch.ones(count), 9) != 0, whole[:count])
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        x = torch.ones(2000, dtype=dtype)
        assert torch.equal(drop.drop(x, 9) != 0, whole)
        assert x.dtype == dtype


def test_by_hand() -> None:
    """The formula of the module, bit by bit, with Python's own numbers."""
    share, seed, step, count = 0.3, 11, 4, 100
    keep = Fraction(round((1 - share) * 2**DIGITS), 2**DIGITS)
    levels = keep.denominator.bit_length() - 1
    digits = [int(d) for d in f"{keep.numerator:0{levels}b}"]
    gamma, full = 0x9E3779B97F4A7C15, (1 << 64) - 1

    def mix(value: int) -> int:
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & full
        value = (value ^ value >> 27) * 0x94D049BB133111EB & full
        return value ^ value >> 31

    key = mix(((mix(seed + gamma & full) ^ 0x3C6EF372FE94F82B) + step * gamma) & full)
    words = []
    for w in range(2):
        word = 0
        for level in reversed(range(levels)):
            drawn = mix(key + gamma * (w * DIGITS + level + 1) & full)
            word = word | drawn if digits[level] else word & drawn
        words.append(word)
    drop = Dropout(share, seed)
    assert [int(word) & full for word in drop.kept(count, step)] == words
    assert drop.scale == pytest.approx(float(1 / keep))
    wanted = [drop.scale if words[i // 64] >> i % 64 & 1 else 0.0 for i in range(count)]
    assert drop(torch.ones(count, dtype=torch.float64), step).tolist() == wanted


# ---- use -------------------------------------------------------------------------------------


def test_a_gradient_passes_through_those_that_are_kept() -> None:
    x = torch.rand(3, 30, requires_grad=True)
    out = Dropout(0.4)(x, 7)
    out.sum().backward()
    assert torch.equal(x.grad != 0, out != 0)
    assert torch.allclose(x.grad * x, out)
    assert Dropout(0.0)(x, 7) is x


def test_memory_of_another_size_or_precision_may_follow() -> None:
    drop = Dropout(0.5)
    for shape, dtype in (((9, 7), torch.float32), ((64, 64), torch.float64), ((3,), torch.float32)):
        x = torch.rand(shape, dtype=dtype)
        assert torch.equal(drop.drop(x.clone(), 1), drop(x, 1))


def test_what_is_not_contiguous_is_refused_not_skipped() -> None:
    x = torch.rand(8, 8)
    with kernels.use("numba"), pytest.raises(RuntimeError):
        Dropout(0.5).drop(x.T[:, :4], 0)


@pytest.mark.parametrize(
    ("share", "seed", "words"),
    [
        (1.0, 0, "share=1.0"),
        (-0.1, 0, "share=-0.1"),
        (float("nan"), 0, "share=nan"),
        ("half", 0, "share='half'"),
        (0.5, 0.5, "seed=0.5"),
    ],
)
def test_bad_settings(share: Any, seed: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Dropout(share, seed)
