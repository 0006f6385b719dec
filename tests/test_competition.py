from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import streamhebb as sh
from streamhebb.errors import ConfigError
from tests import oracles

FUNCTIONS = ["linear", "relu", "repu", "sigmoid", "tanh"]

# Every competition of the library, with the loop it is held to.
COMPETITIONS: list[tuple[Any, Callable[[list[float]], list[float]]]] = [
    *((sh.Independent(f), lambda u, f=f: oracles.independent(u, f)) for f in FUNCTIONS),
    *((sh.ShareWTA(f), lambda u, f=f: oracles.share(u, f)) for f in FUNCTIONS[1:]),
    (sh.SoftWTA(0.7), lambda u: oracles.soft(u, 0.7)),
    (sh.SoftWTA(2.0, anti_hebbian=True), lambda u: oracles.soft_anti(u, 2.0)),
    (sh.HardWTA(), oracles.hard),
    *(
        (
            sh.RankedSoftWTA(0.5, k, 0.3, s),
            lambda u, k=k, s=s: oracles.soft_ranked(u, 0.5, k, 0.3, s),
        )
        for k in (1, 2, 3)
        for s in (True, False)
    ),
    *((sh.RankedHardWTA(k, 0.4), lambda u, k=k: oracles.hard_ranked(u, k, 0.4)) for k in (2, 3)),
]
each = pytest.mark.parametrize("competition", [c for c, _ in COMPETITIONS], ids=repr)

# Coarse numbers tie often, and 0 is among them.
drives = st.integers(3, 7).flatmap(
    lambda k: st.lists(
        st.lists(st.integers(-6, 6).map(lambda v: v / 4), min_size=k, max_size=k),
        min_size=1,
        max_size=4,
    )
)


def double(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@settings(max_examples=4 * settings().max_examples)
@given(pair=st.sampled_from(COMPETITIONS), u=drives)
def test_equals_the_oracle(pair: tuple[Any, Any], u: list[list[float]]) -> None:
    competition, oracle = pair
    drive = double(u)
    before = drive.clone()
    y = competition(drive)
    # A sum of tanh may cancel to a rounding error, by which both then divide.
    if competition == sh.ShareWTA("tanh") and (drive.tanh().sum(-1).abs() < 1e-9).any():
        return
    torch.testing.assert_close(y, double([oracle(row) for row in u]), rtol=1e-12, atol=1e-12)
    assert y.dtype == torch.float64
    assert torch.equal(drive, before), "the drive is read only"


@each
def test_leading_dimensions_are_competitions_of_their_own(competition: Any) -> None:
    drive = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = competition(drive)
    for index in torch.cartesian_prod(*map(torch.arange, drive.shape[:-1])).tolist():
        alone = competition(drive[tuple(index)])
        torch.testing.assert_close(y[tuple(index)], alone, rtol=1e-14, atol=1e-14)


@given(u=drives)
def test_soft_shares_sum_to_one_and_signs_tell_the_winner(u: list[list[float]]) -> None:
    drive = double(u)
    share = sh.SoftWTA(3.0)(drive)
    signed = sh.SoftWTA(3.0, anti_hebbian=True)(drive)
    torch.testing.assert_close(share.sum(-1), torch.ones(len(u), dtype=torch.float64))
    torch.testing.assert_close(signed.abs(), share)
    assert ((signed > 0).sum(-1) == 1).all()
    assert torch.equal(signed.argmax(-1), drive.argmax(-1))


def test_large_drives_neither_overflow_nor_make_nan() -> None:
    drive = torch.tensor([[5e3, -5e3, 4.9e3]])
    for anti in (False, True):
        y = sh.SoftWTA(50.0, anti_hebbian=anti)(drive)
        assert y.abs().tolist() == [[1.0, 0.0, 0.0]]


def test_soft_becomes_hard_as_t_grows() -> None:
    drive = double([[0.3, 0.9, 0.1]])
    torch.testing.assert_close(sh.SoftWTA(1e4)(drive), sh.HardWTA()(drive))


@pytest.mark.parametrize("function", ["relu", "repu"])
def test_a_competition_without_activity_gives_zeros_not_nan(function: str) -> None:
    y = sh.ShareWTA(function)(double([[-1.0, -2.0, 0.0], [1.0, 0.0, 0.0]]))
    assert y.tolist() == [[0, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("rank", [1, 2, 3, 40])
def test_of_equals_the_first_ranks_higher(rank: int) -> None:
    # topk breaks such ties in an order of its own, and another one on another device.
    y = sh.RankedSoftWTA(rank=rank, delta=9.0, scaled=False)(torch.zeros(1, 50))
    assert int(y.argmin()) == rank - 1
    if rank > 1:
        y = sh.RankedHardWTA(rank=rank)(torch.zeros(1, 50))
        assert (int(y.argmin()), int(y.argmax())) == (rank - 1, 0)


@pytest.mark.parametrize("kind", [sh.RankedSoftWTA, sh.RankedHardWTA])
def test_a_rank_beyond_the_neurons_is_refused(kind: Any) -> None:
    with pytest.raises(ConfigError, match=r"rank=3 is not allowed with 2 neurons.*at most 2"):
        kind(rank=3)(torch.zeros(1, 2))
    with pytest.raises(ConfigError, match=rf"{kind.__name__}: rank=3 is not allowed"):
        sh.Dense(4, 2, competition=kind(rank=3))


@given(u=st.lists(st.integers(-2, 2), min_size=14, max_size=14), rank=st.integers(2, 14))
def test_any_rank_among_equals_is_that_of_a_stable_sort(u: list[int], rank: int) -> None:
    y = sh.RankedHardWTA(rank=rank, delta=0.4)(double([u, u]))
    order = sorted(range(14), key=lambda j: -u[j])
    assert y.argmax(-1).tolist() == [order[0]] * 2
    assert y.argmin(-1).tolist() == [order[rank - 1]] * 2


@pytest.mark.parametrize("p", [2.0, 3.0, 2.5])
@given(
    x=st.lists(st.lists(st.floats(-2, 2), min_size=4, max_size=4), min_size=1, max_size=3),
    seed=st.integers(0, 999),
)
def test_with_softhebb_it_is_the_rule_of_krotov_and_hopfield(
    x: list[list[float]], seed: int, p: float
) -> None:
    layer = sh.Dense(
        4, 5, rule=sh.SoftHebb(), competition=sh.RankedHardWTA(2, 0.4), norm_p=p, rate=1.0,
        scaling=sh.NoScaling(),
    ).double()  # fmt: skip
    w = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    layer.set_weight(w)
    layer.learn(layer.observe(double(x))[1])
    wanted = double(oracles.krotov_hopfield(x, w.tolist(), p, 2, 0.4))
    torch.testing.assert_close(layer.weight - w, wanted, rtol=1e-12, atol=1e-12)


def test_mini_batches_of_krotov_and_hopfield_with_a_rate_that_falls() -> None:
    # As published: the change of a mini-batch over its largest entry, at a rate that falls.
    chance = torch.Generator().manual_seed(4)
    w = torch.randn(6, 4, dtype=torch.float64, generator=chance)
    layer = sh.Dense(
        4, 6, rule=sh.SoftHebb(), competition=sh.RankedHardWTA(3, 0.4), norm_p=3.0,
        rate=sh.LinearDecay(0.04, 5), scaling=sh.LayerMax(),
    ).double()  # fmt: skip
    layer.set_weight(w)
    for step in range(5):
        x = torch.rand(10, 4, dtype=torch.float64, generator=chance)
        change = double(oracles.krotov_hopfield(x.tolist(), w.tolist(), 3.0, 3, 0.4))
        w = w + 0.04 * (1 - step / 5) * change / change.abs().max()
        layer.learn(layer.observe(x)[1])
        torch.testing.assert_close(layer.weight, w, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (sh.Independent, {"function": "exp"}, "Independent: function='exp' .* one of 'linear', "),
        (sh.ShareWTA, {"function": "linear"}, "ShareWTA: function='linear' .* one of 'relu', "),
        (sh.SoftWTA, {"t": 0}, "SoftWTA: t=0 is not allowed; it must be a number > 0"),
        (sh.SoftWTA, {"t": float("inf")}, "t=inf is not allowed"),
        (sh.RankedSoftWTA, {"t": -1}, "RankedSoftWTA: t=-1 .* number > 0"),
        (sh.RankedSoftWTA, {"rank": 0}, "rank=0 .* whole number >= 1"),
        (sh.RankedSoftWTA, {"rank": 1.5}, "rank=1.5 .* whole number >= 1"),
        (sh.RankedSoftWTA, {"delta": -1}, "delta=-1 .* number >= 0"),
        (sh.RankedHardWTA, {"rank": 1}, "RankedHardWTA: rank=1 .* whole number >= 2"),
        (sh.RankedHardWTA, {"rank": 2.5}, "rank=2.5 .* whole number >= 2"),
        (sh.RankedHardWTA, {"delta": -0.1}, "delta=-0.1 .* number >= 0"),
        (sh.RankedHardWTA, {"delta": float("nan")}, "delta=nan is not allowed"),
    ],
)
def test_bad_arguments_are_named(kind: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**arguments)
