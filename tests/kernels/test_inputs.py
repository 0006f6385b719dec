"""Products with windows, vectors and tiles by compiled loops are those of the matrix."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from streamhebb import kernels, sharing
from streamhebb.kernels import numba_backend, numba_inputs
from streamhebb.kernels.numba_inputs import CoarseDirect, Direct, Few, Tiled
from streamhebb.kernels.patches import Patches
from streamhebb.kernels.renewal import Renewal
from streamhebb.kernels.vector_code import COARSE, LANES, TALL
from streamhebb.values import LocalUpdate, Outer

needs_coarse = pytest.mark.skipif(not COARSE, reason="this processor does not multiply bfloat16")


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def a_pre(shape, side=0, coarse=False, kernel=(3, 3), step=1, dilation=1, seed=0):
    return Patches(draw(*shape, seed=seed), side, coarse, kernel, step, dilation)


def check(pre, n_out, seed=0, coarse=False, bound=2e-6):
    """Respond, sum and change as the matrix does; return the loops that did it, if any."""
    rows = (pre.made if isinstance(pre, Patches) else pre).double()
    weight, post = draw(n_out, rows.shape[1], seed=seed + 1), draw(len(rows), n_out, seed=seed + 2)
    wanted = rows @ weight.double().mT
    scale = rows.norm(dim=1)[:, None] * weight.double().norm(dim=1) + 1e-30
    change = post.double().mT @ rows
    changes = post.double().norm(dim=0)[:, None] * rows.norm(dim=0) + 1e-30
    with torch.no_grad():
        u = numba_backend.drive(pre, weight, coarse)
        made = torch.full_like(weight, torch.nan)
        numba_backend.product(post, pre, made, None, coarse)
        assert float(((u - wanted) / scale).abs().max()) < bound
        assert float((made - change).abs().max() / changes.max()) < bound
        decay, step = draw(n_out, seed=seed + 3), draw(n_out, seed=seed + 4) / 100
        after, norm = weight.clone(), torch.empty(n_out)
        top, memory = torch.empty(n_out), weight.bfloat16() if coarse and COARSE else None
        done = numba_backend.renew(
            post, pre, Renewal(decay, step, after, norm, top, memory), coarse
        )
        seen = numba_inputs.inputs(pre, coarse)
        few = not coarse and len(rows) <= numba_backend.FEW
        assert done == (few or (seen is not None and n_out >= seen.least))
        if done:
            moved = step.double()[:, None] * (change - decay.double()[:, None] * weight)
            error = (after - weight - moved).abs().max()
            assert float(error) < 1e-6 + bound * float((step[:, None] * changes).abs().max())
            assert after._version == 1
            assert torch.equal(top, after.abs().amax(1))
            torch.testing.assert_close(norm, after.norm(dim=1), rtol=1e-5, atol=0)
            if isinstance(seen, CoarseDirect):
                assert torch.equal(memory, after.bfloat16())
        else:
            assert torch.equal(after, weight)
    return seen


images = st.tuples(
    st.integers(1, 3), st.integers(4, 9), st.integers(4, 9), st.sampled_from([1, 3, 16, 20, 32, 48])
)
reaches = st.tuples(st.integers(1, 4), st.integers(1, 4))


@settings(deadline=None, max_examples=60)
@given(images, reaches, st.integers(1, 2), st.integers(1, 2), st.integers(1, 70), st.integers(0, 9))
def test_windows_of_any_kind(shape, kernel, step, dilation, n_out, seed):
    assume(all(side > dilation * (k - 1) for side, k in zip(shape[1:3], kernel, strict=True)))
    check(a_pre(shape, kernel=kernel, step=step, dilation=dilation, seed=seed), n_out, seed)


@settings(deadline=None, max_examples=40)
@given(images, st.sampled_from([2, 4]), st.integers(1, 110), st.integers(0, 9))
def test_tiles_of_any_image(shape, side, n_out, seed):
    check(a_pre(shape, side, seed=seed), n_out, seed, bound=2e-6 if side == 2 else 2e-5)


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 200), st.integers(1, 70), st.integers(0, 9))
def test_vectors(n, n_in, n_out, seed):
    check(draw(n, n_in, seed=seed), n_out, seed)


@settings(deadline=None, max_examples=40)
@given(images, reaches, st.integers(1, 2), st.integers(1, 70), st.integers(0, 9))
def test_windows_of_rounded_numbers(shape, kernel, step, n_out, seed):
    assume(all(side >= k for side, k in zip(shape[1:3], kernel, strict=True)))
    pre = a_pre(shape, kernel=kernel, step=step, seed=seed)
    check(pre, n_out, seed, coarse=True, bound=1e-2)


@settings(deadline=None)
@given(images, st.integers(1, 110), st.integers(0, 9))
def test_tiles_of_rounded_numbers(shape, n_out, seed):
    check(a_pre(shape, 2, coarse=True, seed=seed), n_out, seed, coarse=True, bound=3e-2)


# -- which way, and that each is met ---------------------------------------------------------------


def test_each_way_is_taken_where_it_serves():
    big = draw(64, 40 * LANES)
    assert isinstance(check(big, 70), Direct)
    assert isinstance(check(draw(64, 300), 70), Few)
    assert isinstance(check(a_pre((1, 8, 8, 64)), 200), Direct)
    assert isinstance(check(a_pre((1, 8, 8, 3), kernel=(5, 5)), 96), Few)
    assert isinstance(check(a_pre((1, 8, 8, 32), side=2), 50), Tiled)
    assert check(big[:4], 70) is None  # few competitions
    assert check(draw(64, 40 * LANES + 1), 70) is None  # no full vectors
    assert check(a_pre((1, 8, 8, 3), side=2), 200) is None
    assert numba_inputs.inputs(draw(2, 64, 64), False) is None  # groups
    assert numba_inputs.inputs(draw(64, 128).mT, False) is None


@needs_coarse
def test_rounded_numbers_are_multiplied_as_pairs():
    pre = a_pre((1, 8, 8, 64))
    assert isinstance(check(pre, 200, coarse=True, bound=1e-2), CoarseDirect)
    rows, weight = pre.made.bfloat16().double(), draw(200, 576, seed=1).bfloat16().double()
    with torch.no_grad():
        u = numba_backend.drive(pre, weight.float(), True)
    torch.testing.assert_close(u.double(), rows @ weight.mT, rtol=0, atol=1e-4)
    odd = a_pre((1, 8, 9, 64))
    assert numba_inputs.inputs(odd, True) is None  # no neighbours two by two


def test_fewer_neurons_than_a_tile_holds_are_left_to_torch():
    assert check(a_pre((2, 6, 6, 96)), TALL - 1).least == TALL


# -- pieces ----------------------------------------------------------------------------------------


class Backwards:
    """Does all pieces, the last one first."""

    def __init__(self):
        self.most = 0

    def share(self, piece, count):
        self.most = max(self.most, count)
        for number in reversed(range(count)):
            piece(number)


@pytest.mark.parametrize(
    "way",
    [{"shape": (6, 18, 18, 96), "side": 0}, {"shape": (6, 18, 18, 96), "side": 4},
     {"shape": (6, 36, 36, 3), "side": 0, "kernel": (5, 5)},
     pytest.param({"shape": (6, 18, 18, 96), "coarse": True}, marks=needs_coarse),
     pytest.param({"shape": (6, 18, 18, 96), "side": 2, "coarse": True}, marks=needs_coarse)],
)  # fmt: skip
def test_pieces_change_no_bit(way):
    n_out = 250
    coarse, hands, found = way.get("coarse", False), Backwards(), []
    for shared in (False, True):
        pre = a_pre(**way)
        weight, post = draw(n_out, pre.shape[1], seed=1), draw(pre.shape[0], n_out, seed=2)
        update = LocalUpdate((Outer(post, pre),), post)
        norm, top = torch.empty(n_out), torch.empty(n_out)

        def work(pre=pre, weight=weight, post=post, update=update, norm=norm, top=top):
            u = kernels.drive(pre, weight, None, coarse)
            y = kernels.soft_wta(u, 1.0, True)
            d = kernels.accumulate(update, weight, torch.empty_like(weight), None, coarse)
            rows = Renewal(post.sum(0), torch.full((n_out,), 1e-3), weight.clone(), norm, top)
            numba_backend.renew(post, pre, rows, coarse)
            bounds = numba_backend.bounds(post, pre.abs().amax(1), norm, norm, 1.1)
            return [u, y, d, rows.weight, bounds]

        with torch.no_grad(), kernels.use("numba"):
            if shared:
                with sharing.crew(hands):
                    found.append(work())
            else:
                found.append(work())
    assert hands.most > 1
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two)


@settings(deadline=None)
@given(
    st.sampled_from(
        [
            ((2, 9, 7, 16), 2, (3, 3)),
            ((1, 6, 6, 48), 4, (3, 3)),
            ((1, 6, 7, 32), 0, (3, 3)),
            ((1, 9, 9, 5), 0, (5, 5)),
            ((30, 100), None, None),
        ]
    ),
    st.integers(1, 60),
    st.booleans(),
    st.integers(0, 99),
)
def test_bounds_hold_and_the_largest_change_is_found(seen, n_out, outstanding, seed):
    shape, side, kernel = seen
    pre = draw(*shape, seed=seed) if side is None else a_pre(shape, side, False, kernel, seed=seed)
    rows = pre.made if isinstance(pre, Patches) else pre
    weight, post = draw(n_out, rows.shape[1], seed=seed + 1), draw(len(rows), n_out, seed=seed + 2)
    if outstanding:
        post[:, seed % n_out] *= 100
    decay = draw(n_out, seed=seed + 3)
    change = (post.double().mT @ rows.double() - decay[:, None].double() * weight.double()).abs()
    with torch.no_grad():
        tops = numba_backend.tops(pre)
        assert torch.equal(tops, rows.abs().amax(1))
        bounds = numba_backend.bounds(post, tops, decay, weight.abs().amax(1), 1.0001)
        assert bool((change.amax(1) <= bounds).all())
        found = numba_backend.largest_change(
            post, pre, decay, weight, weight.abs().amax(1), False, 88
        )
    if not isinstance(found, bool):  # 60 neurons are all looked at
        torch.testing.assert_close(found.double(), change.amax(), rtol=1e-5, atol=0)


def test_tiles_find_the_largest_change_by_windows():
    for channels, least in ((32, 1), (16, 1)):
        pre = a_pre((1, 8, 8, channels), side=4)
        weight, post = draw(least, 9 * channels, seed=1), draw(36, least, seed=2)
        with torch.no_grad():
            top = weight.abs().amax(1)
            found = numba_backend.largest_change(post, pre, None, weight, top, False, 88)
        wanted = (post.double().mT @ pre.made.double()).abs().amax()
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=0)
    long = a_pre((1, 40, 40, 16), side=4)  # by tiles
    assert not numba_inputs.inputs(long, False).searches


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_a_number_is_the_largest(bad):
    pre = draw(1, 8, 8, 16)
    pre[0, 3, 3, 7] = bad
    seen = Patches(pre, 2)
    weight, post = draw(20, 144, seed=1), draw(36, 20, seed=2)
    with torch.no_grad():
        assert not numba_backend.tops(seen).isfinite().all()
        top = weight.abs().amax(1)
        found = numba_backend.largest_change(post, seen, None, weight, top, False, 88)
    assert isinstance(found, torch.Tensor)
    assert not found.isfinite()


def test_only_own_columns_are_written():
    pre, weight = a_pre((1, 8, 8, 32)), draw(100, 288, seed=1)
    seen = numba_inputs.inputs(pre, False)
    u = torch.full((36, 100), 7.0)
    seen.respond(weight, u, slice(48, 70))
    assert bool((u[:, :48] == 7).all())
    assert bool((u[:, 70:] == 7).all())
    torch.testing.assert_close(u[:, 48:70], pre.made @ weight[48:70].mT, rtol=0, atol=1e-4)


def test_what_is_not_a_number_is_seen():
    for way in ({"shape": (1, 8, 8, 32)}, {"shape": (1, 8, 8, 32), "side": 4},
                {"shape": (1, 8, 8, 3), "kernel": (5, 5)}):  # fmt: skip
        pre, weight = a_pre(**way), draw(60, a_pre(**way).shape[1], seed=1)
        pre.image[0, 4, 4, 1] = torch.nan
        with torch.no_grad():
            u = numba_backend.drive(pre, weight)
        sees = pre.made.isnan().any(1)
        assert bool(sees.any())
        assert bool(u[sees].isnan().all())  # tiles spread it further
