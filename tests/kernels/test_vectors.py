"""Vectors and tiles in compiled functions: each operation beside numpy."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamhebb.kernels import vector_tiles, vectors
from streamhebb.kernels.vector_code import COARSE, LANES, TALL, WIDE, WIDTH
from streamhebb.kernels.vector_tiles import (
    dots,
    nothing,
    outers,
    outers_at,
    put,
    put_more,
    put_totals,
)
from streamhebb.kernels.vectors import load, spread, store

njit = numba.njit(error_model="numpy")
F32 = np.float32


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(F32)


def rounded(x):
    """To bfloat16, to the nearest, ties to even."""
    bits = np.ascontiguousarray(x, F32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(F32)


# -- one vector ------------------------------------------------------------------------------------


@njit
def arithmetic(a, b, c, out):
    x, y, z = load(a, 0), load(b, 0), load(c, 0)
    store(out, 0 * LANES, x + y)
    store(out, 1 * LANES, x - y)
    store(out, 2 * LANES, x * y)
    store(out, 3 * LANES, x / y)
    store(out, 4 * LANES, vectors.higher(x, y))
    store(out, 5 * LANES, vectors.most(x, y))
    store(out, 6 * LANES, vectors.rectified(x))
    store(out, 7 * LANES, vectors.alike(x, spread(a[3])))
    store(out, 8 * LANES, vectors.magnitude(x))
    store(out, 9 * LANES, vectors.farther(x, vectors.magnitude(y)))
    store(out, 10 * LANES, vectors.fma(x, y, z))


def test_lane_by_lane():
    a, b, c = (draw(LANES, seed=seed) for seed in range(3))
    a[5] = a[3]
    found = np.empty(11 * LANES, F32)
    arithmetic(a, b, c, found)
    plain = [a + b, a - b, a * b, a / b, np.maximum(a, b), np.maximum(a, b), np.maximum(a, 0)]
    plain += [(a == a[3]).astype(F32), abs(a), np.maximum(abs(a), abs(b))]
    assert np.array_equal(found[: 10 * LANES], np.concatenate(plain))
    exact = a.astype(float) * b + c
    np.testing.assert_allclose(found[10 * LANES :], exact, rtol=2e-7, atol=1e-7)


def test_nan_is_kept_or_not_as_said():
    b, found = np.ones(LANES, F32), np.empty(11 * LANES, F32)
    parts = found.reshape(11, LANES)
    for a in (np.full(LANES, np.nan, F32), np.full(LANES, -np.nan, F32)):  # by bits, they differ
        arithmetic(a, b, b, found)
        assert (parts[4] == 1).all()  # higher: the second
        assert np.isnan(parts[[5, 6, 8, 9]]).all()
        arithmetic(b, a, b, found)
        assert np.isnan(parts[[4, 5, 9]]).all()


@njit
def whole(a):
    x = load(a, 0)
    return vectors.total(x), vectors.highest(x), vectors.utmost(x)


def test_across_lanes():
    a = draw(LANES)
    total, highest, utmost = whole(a)
    assert total == pytest.approx(a.astype(float).sum(), abs=1e-5)
    assert highest == utmost == a.max()
    a[LANES // 2] = np.nan
    assert math.isnan(whole(a)[0])
    assert math.isnan(whole(a)[2])


@njit
def functions(a, power, out):
    for i in range(0, a.size, LANES):
        store(out, i, vectors.exp2(load(a, i)))
        store(out, a.size + i, vectors.raised(load(a, i), spread(power)))


def of_functions(values, power=1.0):
    padded = np.zeros(-(-len(values) // LANES) * LANES, F32)
    padded[: len(values)] = values
    found = np.empty(2 * padded.size, F32)
    functions(padded, F32(power), found)
    return found[: len(values)], found[padded.size :][: len(values)]


def test_powers_of_two_over_their_whole_range():
    x = -np.linspace(0, 126, 4001).astype(F32)
    found, _ = of_functions(x)
    np.testing.assert_allclose(found, np.exp2(x.astype(float)), rtol=3e-7)
    edges, _ = of_functions([0, -126.5, -1e30, -np.inf, np.nan])
    assert edges[:4].tolist() == [1, 0, 0, 0]
    assert math.isnan(edges[4])


@given(st.floats(0.1, 8.0))
def test_any_number_to_a_power(power):
    x = np.exp(np.random.default_rng(1).uniform(-8, 8, 200)).astype(F32)
    _, found = of_functions(x, power)
    np.testing.assert_allclose(found, x.astype(float) ** float(F32(power)), rtol=1e-5)


@pytest.mark.parametrize("power", [0.5, 0.7, 1.4, 3.0])
def test_usual_powers_have_seven_digits(power):
    x = np.linspace(0.01, 100, 5000).astype(F32)
    _, found = of_functions(x, power)
    np.testing.assert_allclose(found, x.astype(float) ** float(F32(power)), rtol=2e-6)


def test_powers_at_the_edges():
    _, found = of_functions([0, 1e-39, 1, np.inf, np.nan, 3e38, 1e-20], 2.0)
    assert found[[0, 1, 2, 3]].tolist() == [0, 0, 1, np.inf]
    assert math.isnan(found[4])
    assert found[5] == np.inf
    assert found[6] == 0


@njit
def turned(a, near, out, far):
    vectors.turn(a, 0, near, out, 0, far)


def test_a_square_of_lanes_is_transposed():
    a, out = draw(LANES, LANES + 3), np.zeros((LANES, LANES + 5), F32)
    turned(a.reshape(-1), LANES + 3, out.reshape(-1), LANES + 5)
    assert np.array_equal(out[:, :LANES], a[:, :LANES].T)
    assert not out[:, LANES:].any()


@pytest.mark.skipif(not COARSE, reason="this processor does not multiply bfloat16")
def test_numbers_are_rounded_to_pairs():
    @njit
    def pairs(a, b, out, natural):
        vectors.put_pairs(out, 0, load(a, 0), load(b, 0))
        vectors.put_coarse(natural, 0, load(a, 0))

    a, b = draw(LANES), draw(LANES, seed=1)
    out, natural = np.zeros(LANES, np.int32), np.zeros(LANES // 2, np.int32)
    pairs(a, b, out, natural)
    halves = out.view(np.uint16).reshape(LANES, 2).astype(np.uint32) << 16
    assert np.array_equal(halves[:, 0].astype(np.uint32).view(F32), rounded(a))
    assert np.array_equal(halves[:, 1].astype(np.uint32).view(F32), rounded(b))
    single = natural.view(np.uint16).astype(np.uint32) << 16
    assert np.array_equal(single.view(F32), rounded(a))


# -- tiles -----------------------------------------------------------------------------------------


@njit
def sum_of_outers(one, two, out):
    sums = nothing()
    for n in range(one.shape[0]):
        sums = outers(sums, one.reshape(-1), n * one.shape[1], 1, two.reshape(-1), n * WIDTH)
    put(sums, out.reshape(-1), 0, WIDTH)
    put_more(sums, out.reshape(-1), TALL * WIDTH, WIDTH)


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 99))
def test_outer_products_are_summed(n, seed):
    one, two = draw(n, TALL + 2, seed=seed), draw(n, WIDTH, seed=seed + 1)
    out = np.ones((2 * TALL, WIDTH), F32)
    sum_of_outers(one, two, out)
    exact = one[:, :TALL].astype(float).T @ two
    np.testing.assert_allclose(out[:TALL], exact, atol=1e-5)
    np.testing.assert_allclose(out[TALL:], 1 + exact, atol=1e-5)


@njit
def outers_from_anywhere(one, starts, at, two, out):
    put(outers_at(nothing(), one, starts, 1, at, two, 0), out.reshape(-1), 0, WIDTH)


def test_rows_of_an_outer_product_may_lie_anywhere():
    one, two, out = draw(300), draw(WIDTH, seed=1), np.empty((TALL, WIDTH), F32)
    starts = np.random.default_rng(2).permutation(250)[: TALL + 1].astype(np.int64)
    outers_from_anywhere(one, starts, 7, two, out)
    np.testing.assert_allclose(out, np.outer(one[starts[1:] + 7], two), atol=1e-6)


@njit
def sum_of_dots(one, two, starts, length, out):
    sums = nothing()
    for i in range(0, length, LANES):
        sums = dots(sums, one.reshape(-1), i, one.shape[1], two, starts, 0, i)
    put_totals(sums, out, 0)


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(0, 99))
def test_dot_products_of_rows(count, seed):
    length = count * LANES
    one, two = draw(TALL, length, seed=seed), draw(3 * length, seed=seed + 1)
    starts = np.random.default_rng(seed).integers(0, 2 * length, WIDE).astype(np.int64)
    out = np.empty(TALL * WIDE, F32)
    sum_of_dots(one, two, starts, length, out)
    columns = np.stack([two[start : start + length] for start in starts])
    exact = columns.astype(float) @ one.T
    np.testing.assert_allclose(out.reshape(WIDE, TALL), exact, atol=1e-4)


@pytest.mark.skipif(not COARSE, reason="this processor does not multiply bfloat16")
def test_products_of_pairs_are_those_of_rounded_numbers():
    @njit
    def both(one, two, starts, out, totals):
        sums = vector_tiles.coarse_outers(nothing(), one, 0, 1, two, 0)
        put(sums, out.reshape(-1), 0, WIDTH)
        sums = vector_tiles.coarse_dots(nothing(), two, 0, LANES, two, starts, 0, 0)
        put_totals(sums, totals, 0)

    pair = lambda x: (rounded(x).view(np.uint32) >> 16).astype(np.uint16)  # noqa: E731
    one, two = draw(TALL, 2), draw(TALL * LANES, 2, seed=1)
    starts, out = np.array([0, LANES, 2 * LANES], np.int64), np.empty((TALL, WIDTH), F32)
    totals = np.empty(TALL * WIDE, F32)
    ones, twos = (pair(x).reshape(-1).view(np.int32).copy() for x in (one, two))
    both(ones, twos, starts, out, totals)
    exact = rounded(one).astype(float) @ rounded(two[:WIDTH]).astype(float).T
    np.testing.assert_allclose(out, exact, atol=1e-6)
    rows = rounded(two).astype(float).reshape(TALL, 2 * LANES)
    np.testing.assert_allclose(totals.reshape(WIDE, TALL), rows[:WIDE] @ rows.T, atol=1e-4)
