"""Products by tiles are those of windows, for every size, to respond and to learn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamhebb import kernels
from streamhebb.kernels.patches import METHODS, Patches
from streamhebb.kernels.windows import windows
from streamhebb.kernels.winograd import Tiles, products
from streamhebb.values import LocalUpdate, Outer

sides = st.sampled_from([2, 4])
shapes = st.tuples(st.integers(1, 3), st.integers(3, 13), st.integers(3, 13), st.integers(1, 5))


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def tiles_of(image, side):
    return Tiles(image, products(side, image.dtype, image.device))


def rows_of(image):
    return windows(image, (3, 3), 1, 1).flatten(0, 2)


@pytest.mark.parametrize("side", [2, 4])
def test_the_maps_do_what_they_are_for_in_one_dimension(side):
    """From Lavin and Gray: Y = A^T [(G w) (B^T x)] is the correlation of x and w."""
    made = products(side, torch.float64, torch.device("cpu"))
    x, w = draw(side + 2, side + 2), draw(3, 3, seed=1)
    product = (made._input @ x.flatten()) * (made._weight @ w.flatten())
    out = (made._output @ product).view(side, side)
    for i in range(side):
        for j in range(side):
            expected = sum(
                float(x[i + a, j + b]) * float(w[a, b]) for a in range(3) for b in range(3)
            )
            assert float(out[i, j]) == pytest.approx(expected, abs=1e-12)


@given(sides, shapes, st.integers(1, 40), st.integers(0, 99))
def test_responding_is_the_product_with_windows(side, shape, neurons, seed):
    image = draw(*shape, seed=seed)
    weight, rows = draw(neurons, 9 * shape[3], seed=seed + 1), rows_of(image)
    out = image.new_full((len(rows), neurons), float("nan"))
    tiles_of(image, side).respond(weight, out)
    torch.testing.assert_close(out, rows @ weight.mT, rtol=0, atol=1e-12)


@given(sides, shapes, st.integers(1, 40), st.integers(0, 99))
def test_learning_is_the_sum_over_windows(side, shape, neurons, seed):
    image = draw(*shape, seed=seed)
    rows = rows_of(image)
    post = draw(len(rows), neurons, seed=seed + 1)
    out = image.new_full((neurons, 9 * shape[3]), float("nan"))
    tiles_of(image, side).learn(post, out)
    torch.testing.assert_close(out, post.mT @ rows, rtol=0, atol=2e-12 * len(rows))


@pytest.mark.parametrize(("side", "bound"), [(2, 5e-7), (4, 1e-5)])
def test_in_single_precision_they_differ_by_rounding(side, bound):
    image, weight = draw(4, 10, 10, 96).float(), draw(64, 9 * 96, seed=1).float()
    exact = rows_of(image).double() @ weight.double().mT
    out = torch.empty(len(exact), 64)
    tiles_of(image, side).respond(weight, out)
    assert float((out - exact).abs().max() / exact.abs().max()) < bound


def test_neurons_a_few_at_a_time_are_all_neurons():
    """More than are held in the cache at once."""
    image, weight = draw(1, 6, 6, 256).float(), draw(300, 9 * 256, seed=1).float()
    out = torch.full((16, 300), float("nan"))
    tiles = tiles_of(image, 4)
    assert len(list(tiles._few(300))) > 2
    tiles.respond(weight, out)
    torch.testing.assert_close(out, rows_of(image) @ weight.mT, rtol=1e-4, atol=1e-3)


# -- as a matrix -----------------------------------------------------------------------------------


@given(sides, shapes)
def test_patches_are_the_matrix_to_whoever_looks(side, shape):
    image = draw(*shape)
    patches, rows = Patches(image, side), rows_of(image)
    assert (patches.shape, patches.dtype, patches.ndim) == (rows.shape, rows.dtype, 2)
    assert torch.equal(patches + 0, rows)
    assert torch.equal(patches.sum(0), rows.sum(0))
    assert torch.equal(patches[0], rows[0])
    assert torch.equal(torch.cat([patches, rows]), torch.cat([rows, rows]))
    assert patches._made is not None


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("side", [2, 4])
def test_kernels_work_on_tiles_and_never_make_the_matrix(backend, side):
    image, weight = draw(2, 7, 6, 3), draw(5, 27, seed=1)
    rows, patches = rows_of(image), Patches(image, side)
    post, decay = draw(len(rows), 5, seed=2), draw(len(rows), 5, seed=3)
    with kernels.use(backend), torch.no_grad():
        torch.testing.assert_close(kernels.drive(patches, weight), rows @ weight.mT)
        found = kernels.accumulate(
            LocalUpdate((Outer(post, patches),), decay), weight, torch.empty_like(weight)
        )
    expected = post.mT @ rows - decay.sum(0)[:, None] * weight
    torch.testing.assert_close(found, expected)
    assert patches._made is None


def test_every_method_has_a_side():
    assert METHODS == {"direct": 0, "winograd2": 2, "winograd4": 4}
