"""Triton's kernels against the equations: on a card if there is one, else run as Python."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import streamhebb as sh
from streamhebb import kernels
from streamhebb.errors import ConfigError
from streamhebb.kernels import torch_backend, triton_backend, triton_launch, triton_learning
from streamhebb.kernels.triton_launch import Tiles
from streamhebb.lazy import made, times
from streamhebb.values import LocalUpdate, Outer
from tests import oracles

pytest.importorskip("triton", reason="needs the extra triton")
pytestmark = [
    pytest.mark.skipif(
        not triton_backend._runs(torch.device("cuda" if torch.cuda.is_available() else "cpu")),
        reason="needs a card of compute capability 8.0, or none and TRITON_INTERPRET=1",
    ),
    # NumPy warns of NaN, which is what some of these tests are about.
    pytest.mark.filterwarnings("ignore::RuntimeWarning:triton.runtime.interpreter"),
]

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ROUNDING = 2e-6  # of the sum of the sizes of all that is added up
few = settings(max_examples=10)  # the interpreter takes its time


class Chance:
    """Random matrices on the device, with all kinds of strides."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, rows: int, cols: int) -> Tensor:
        kind = int(torch.randint(4, (1,), generator=self.generator))
        made = [(rows, cols), (rows, 2 * cols), (2 * rows, cols), (cols, rows)][kind]
        value = torch.randn(made, generator=self.generator).to(DEVICE)
        if kind == 3:
            return value.mT
        return [value, value[:, ::2], value[::2]][kind]


@contextmanager
def cut(side: int, parts: int) -> Iterator[None]:
    """Small tiles, so that small matrices have several, and some that are not full."""
    with pytest.MonkeyPatch.context() as patch:
        tiles = Tiles(side, 16, 16, parts, 4, 2)
        patch.setattr(triton_launch, "tiles", lambda m, n, k, precision: tiles)
        yield


@st.composite
def cases(draw: Any) -> tuple[Tensor, Tensor, Tensor | None, Tensor, tuple[int, int]]:
    """``post``, ``pre``, ``decay``, ``weight``, and how to cut."""
    n, n_out, n_in = draw(st.integers(0, 40)), draw(st.integers(1, 36)), draw(st.integers(1, 40))
    chance = Chance(draw(st.integers(0, 2**31)))
    decay = chance(n, n_out) if draw(st.booleans()) else None
    how = draw(st.sampled_from([16, 32])), draw(st.integers(1, 3))
    return chance(n, n_out), chance(n, n_in), decay, chance(n_out, n_in), how


def right(post: Tensor, pre: Tensor, decay: Tensor | None, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The raw change in float64, and the sum of the sizes of its terms."""
    y, x, w = post.double(), pre.double(), weight.double()
    d = torch.zeros(len(weight), 1).to(y) if decay is None else decay.double().sum(0)[:, None]
    return y.T @ x - d * w, y.abs().T @ x.abs() + d.abs() * w.abs()


def close(found: Tensor, expected: Tensor, size: Tensor, rounding: float = ROUNDING) -> None:
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    assert ((found.double() - expected).abs() <= rounding * size + 1e-30).all()


@few
@given(case=cases())
def test_drive_is_the_product(case: Any) -> None:
    _, x, _, w, how = case
    with cut(*how):
        u = triton_backend.drive(x, w)
        assert torch.equal(u, triton_backend.drive(x, w)), "the same bits in every run"
    assert u.is_contiguous()
    close(u, x.double() @ w.double().T, x.double().abs() @ w.double().abs().T)


@few
@given(case=cases())
def test_the_raw_change_is_as_the_update_says(case: Any) -> None:
    y, x, d, w, how = case
    before = w.clone()
    update = LocalUpdate((Outer(y, x),), d)
    out = torch.full(w.shape, math.nan, device=DEVICE)  # what was in the memory must not matter
    with cut(*how):
        found = triton_backend.accumulate(update, w, out)
        again = triton_backend.accumulate(update, w, torch.empty_like(out))
    assert found is out
    assert torch.equal(found, again)
    assert torch.equal(w, before)
    close(found, *right(y, x, d, w))


def learned(
    y: Tensor, x: Tensor, d: Tensor | None, w: Tensor, step: Any, by: str = "no",
    tiny: float = 0.0, running: Any = None, coarse: bool = False,
) -> Tensor:  # fmt: skip
    """New weights."""
    new = w.clone()
    if not isinstance(step, tuple):
        step = torch.as_tensor(step, device=DEVICE).expand(len(w))[:, None]
    else:
        step = kernels.rates(kernels.lengths(new), *step)
    update = LocalUpdate((Outer(y, x),), d)
    with kernels.use("triton"), torch.no_grad():
        assert kernels.at_once(update, new, step, by, tiny, running, coarse)
    return new


@few
@given(case=cases(), same=st.booleans(), most=st.sampled_from([0, 256]))
def test_weights_are_changed_by_change_and_step(case: Any, same: bool, most: int) -> None:
    y, x, d, w, how = case
    step = torch.tensor(0.25, device=DEVICE) if same else torch.rand(len(w), device=DEVICE)
    change, size = right(y, x, d, w)
    by = step.double().reshape(-1, 1)
    with cut(*how), at_most(most):
        new = learned(y, x, d, w, step)
        assert torch.equal(new, learned(y, x, d, w, step)), "the same bits in every run"
    close(new, w.double() + by * change, w.double().abs() + by * size)


@contextmanager
def at_most(competitions: int) -> Iterator[None]:
    """Of more, the change is written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            triton_learning, "FEW", dict.fromkeys(triton_backend.PRECISIONS, competitions)
        )
        yield


@few
@given(
    case=cases(), coarse=st.booleans(), product=st.booleans(), most=st.sampled_from([0, 256]),
    power=st.sampled_from([0.0, 0.5, 0.7, 1.0]),
)  # fmt: skip
def test_the_step_is_divided_by_the_largest_change_and_follows_the_lengths(
    case: Any, coarse: bool, product: bool, most: int, power: float
) -> None:
    y, x, d, w, how = case
    if product and d is not None:
        with torch.no_grad():
            d = times(y, d)
    update = LocalUpdate((Outer(y, x),), d)
    with cut(*how), at_most(most):
        change = triton_backend.accumulate(update, w, torch.empty_like(w), None, coarse).double()
        new = learned(y, x, d, w, (0.5, power), "largest", 1e-3, None, coarse)
    top = float(change.abs().max()) + 1e-3
    rate = 0.5 * ((w.double().norm(dim=1) - 1).abs() + 1e-10) ** power
    size = right(y, x, None if d is None else made(d), w)[1]
    error = (new.double() - w - rate[:, None] * change / top).abs()
    # The rate rounds as the distance of a length from 1 does.
    allowed = 1e-6 * (w.abs() + rate[:, None] * size / top) + 2e-3 * change.abs() / top
    assert (error <= allowed).all()


@few
@given(
    case=cases(), coarse=st.booleans(), most=st.sampled_from([0, 256]),
    age=st.sampled_from([0, 1, 9]),
)  # fmt: skip
def test_the_step_is_divided_by_the_running_size_of_each_neurons_changes(
    case: Any, coarse: bool, most: int, age: int
) -> None:
    y, x, d, w, how = case
    update, tiny = LocalUpdate((Outer(y, x),), d), torch.finfo(torch.float32).tiny
    before = torch.rand(len(w), device=DEVICE)
    counted = torch.tensor(age, dtype=torch.float64, device=DEVICE)
    running = kernels.Running(before, counted, 4.0, torch.empty_like(before))
    with cut(*how), at_most(most):
        change = triton_backend.accumulate(update, w, torch.empty_like(w), None, coarse).double()
        new = learned(y, x, d, w, 0.5, "squares", tiny, running, coarse)
    mean = before.double().lerp(change.square().mean(1), max(1 / (age + 1), 1 / 4))
    torch.testing.assert_close(running.moved.double(), mean, rtol=1e-5, atol=1e-30)
    step = 0.5 / (mean + tiny).sqrt()[:, None]
    size = right(y, x, d, w)[1]
    error = (new.double() - w - step * change).abs()
    assert (error <= 1e-6 * (w.abs() + step * size) + 2e-5 * step * change.abs()).all()


def test_many_tiles_are_gone_through_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_learning, "AT_A_TIME", 16)
    y, x, w = (torch.randn(shape).to(DEVICE) for shape in ((3, 80), (3, 70), (80, 70)))
    with cut(16, 1):  # 25 tiles
        new = learned(y, x, None, w, (1.0, 0.5), "largest")
    change = y.double().T @ x.double()
    rate = ((w.double().norm(dim=1) - 1).abs() + 1e-10).sqrt()[:, None]
    torch.testing.assert_close(
        new.double(), w + rate * change / change.abs().max(), rtol=0, atol=1e-4
    )


def test_a_card_takes_what_it_can_and_leaves_the_rest(launched: list[str]) -> None:
    y, x, w = (torch.ones(shape, device=DEVICE) for shape in ((5, 3), (5, 2), (3, 2)))
    step, outer = torch.ones(3, 1, device=DEVICE), (Outer(y, x),)
    refused = [
        LocalUpdate(outer, None, w),
        LocalUpdate(outer * 2),
        LocalUpdate(()),
        LocalUpdate((Outer(y, x, w),)),
        LocalUpdate((Outer(y.double(), x),)),
        LocalUpdate((Outer(y, x),), y.double()),
        LocalUpdate((Outer(torch.ones(4, 3, device=DEVICE), tiled()),)),
        LocalUpdate((Outer(y[None], x[None]),)),
    ]
    with kernels.use("triton"), torch.no_grad():
        for update in refused:
            weight = (
                w.new_ones(3, 9) if len(update.outer) == 1 and len(update.outer[0].post) == 4 else w
            )
            assert not kernels.at_once(update, weight, step, "no")
        with torch.enable_grad():
            assert not kernels.at_once(LocalUpdate(outer), w, step, "no")
        with pytest.raises(ConfigError, match="by='mean' is not allowed; choose one of"):
            kernels.at_once(LocalUpdate(outer), w, step, "mean")
        assert not kernels.keeps(w)
        assert kernels.keeps(w.double()) == (DEVICE == "cpu")
    assert torch.equal(w, torch.ones_like(w))
    assert launched == []


def tiled() -> Tensor:
    return kernels.Patches(torch.ones(1, 4, 4, 1, device=DEVICE), 2)


@st.composite
def images(draw: Any) -> kernels.Patches:
    """Windows of images, some of which leave pixels out."""
    step, dilation = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    sides = (dilation * (k - 1) + 1 + draw(st.integers(0, 4)) for k in kernel)
    shape = draw(st.integers(1, 3)), *sides, draw(st.sampled_from([1, 2, 3, 8]))
    image = torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    return kernels.Patches(image.to(DEVICE), 0, False, kernel, step, dilation)


@few
@given(seen=images(), n_out=st.integers(1, 20), parts=st.integers(1, 3), coarse=st.booleans())
def test_windows_are_read_where_they_lie(
    seen: kernels.Patches, n_out: int, parts: int, coarse: bool
) -> None:
    chance = torch.Generator().manual_seed(n_out)
    w = torch.randn(n_out, seen.shape[1], generator=chance).to(DEVICE)
    y = torch.randn(seen.shape[0], n_out, generator=chance).to(DEVICE)
    matrix = seen.make()
    with cut(16, parts), torch.no_grad():
        assert torch.equal(
            triton_backend.drive(seen, w, coarse), triton_backend.drive(matrix, w, coarse)
        )
        found = [
            triton_backend.accumulate(LocalUpdate((Outer(y, x),), y), w, torch.empty_like(w))
            for x in (seen, matrix)
        ]
        assert torch.equal(*found)
        news = [learned(y, x, times(y, y), w, (0.1, 0.5), "largest") for x in (seen, matrix)]
        # To rounding: the interpreter's sums depend on where numpy's memory begins.
        torch.testing.assert_close(*news, rtol=1e-5, atol=1e-6)
    assert seen._made is None


@pytest.mark.parametrize("precision", ["full", "bfloat16"])
@pytest.mark.parametrize("scaling", [sh.LayerMax(), sh.NeuronRMS(2), sh.NoScaling()], ids=repr)
@pytest.mark.parametrize("rate", [sh.NormRate(0.05), 0.01], ids=repr)
def test_a_layer_learns_at_once(
    precision: str, scaling: Any, rate: Any, launched: list[str]
) -> None:
    nets = []
    for name in ("torch", "triton"):
        layer = sh.Conv2d(2, 7, 3, padding=1, rate=rate, scaling=scaling)
        layer.precision = precision
        net = sh.StreamNet(layer, seed=0).to(DEVICE)
        with kernels.use(name):
            for x in torch.rand(3, 1, 2, 5, 4, generator=torch.Generator().manual_seed(1)):
                net.step(x.to(DEVICE) / 8)
        nets.append(net)
    assert launched == ["drive", "soft_wta", "learn"] * 3
    before, after = (net.layers[0] for net in nets)
    torch.testing.assert_close(after.current_rate(), before.current_rate(), rtol=1e-2, atol=1e-3)
    share = 1e-5 if precision == "full" else 1e-2  # what is rounded tells small differences apart
    for (name, one), two in zip(after.named_buffers(), before.buffers(), strict=True):
        one, two = one.double(), two.double()
        assert (one - two).norm() <= share * two.norm(), name


def test_of_few_neurons_each_has_its_own_rate() -> None:
    nets = []
    for name in ("torch", "triton"):
        layer = sh.Dense(6, 40, competition=sh.HardWTA(), scaling=sh.NoScaling())
        net = sh.StreamNet(layer, seed=0).to(DEVICE)
        with kernels.use(name):
            for x in torch.rand(3, 6, generator=torch.Generator().manual_seed(0)):
                net.step(x.to(DEVICE))
        nets.append(layer.weight)
    torch.testing.assert_close(*nets, rtol=1e-5, atol=1e-6)


def test_a_rate_is_that_of_the_moment_it_was_asked_for() -> None:
    layer = sh.Dense(4, 3, rate=sh.NormRate(0.5)).to(DEVICE)
    with kernels.use("triton"), torch.no_grad():
        rate = layer.current_rate()
        expected = rate.clone()
        layer.weight.mul_(3)
        assert torch.equal(rate, expected)
        assert not torch.equal(layer.current_rate(), expected)


# -- soft winner-take-all ----------------------------------------------------------------------

ways = pytest.mark.parametrize("whole", [triton_launch.WHOLE, 16])


@ways
@pytest.mark.parametrize("anti_hebbian", [True, False])
@few
@given(
    n=st.integers(1, 6), k=st.integers(1, 40), t=st.sampled_from([0.5, 1.0, 12.0]),
    seed=st.integers(0, 2**31),
)  # fmt: skip
def test_shares_are_those_of_the_oracle(
    whole: int, anti_hebbian: bool, n: int, k: int, t: float, seed: int
) -> None:
    u = (Chance(seed)(n, k) * 2).round() / 2  # ties are common, and times t exact
    oracle = oracles.soft_anti if anti_hebbian else oracles.soft
    expected = torch.tensor([oracle(row, t) for row in u.tolist()], dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton_launch, "WHOLE", whole)
        found = triton_backend.soft_wta(u, t, anti_hebbian).cpu().double()
    assert torch.equal(found.sign(), expected.sign())
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=1e-12)


@ways
def test_of_equals_the_first_wins(whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_launch, "WHOLE", whole)
    u = torch.zeros(4, 50, device=DEVICE)
    u[1, [7, 20, 49]] = 1.0  # in different blocks
    u[2, [30, 33]] = 1.0
    u[3] = -1e30
    found = triton_backend.soft_wta(u, 1.0, True)
    assert [row.gt(0).nonzero().flatten().tolist() for row in found] == [[0], [7], [30], [0]]


@ways
def test_what_is_not_finite_passes_as_in_torch(whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_launch, "WHOLE", whole)
    u = torch.randn(7, 40, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    u[0, 3] = math.nan
    u[1] = -math.inf
    u[2, :20] = -math.inf  # a whole block of nothing, then something
    u[3, 20:] = -math.inf
    u[4, 39] = math.inf
    u[5, 17] = -math.nan
    for anti_hebbian in (True, False):
        found = triton_backend.soft_wta(u, 1.0, anti_hebbian)
        expected = torch_backend.soft_wta(u.double(), 1.0, anti_hebbian).float()
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-30, equal_nan=True)
    assert found.isnan().all(1).tolist() == [True, True, False, False, True, True, False]


def test_shares_keep_the_shape_and_take_any_strides() -> None:
    u = torch.randn(2, 3, 4, 10, device=DEVICE)[..., ::2].transpose(0, 1)
    found = triton_backend.soft_wta(u, 1.0, True)
    torch.testing.assert_close(found, torch_backend.soft_wta(u, 1.0, True))
    for shape in ((0, 5), (3, 0, 5), (1,), (6,)):
        u = torch.zeros(shape, device=DEVICE)
        expected = torch_backend.soft_wta(u, 1.0, True)
        torch.testing.assert_close(triton_backend.soft_wta(u, 1.0, True), expected)


# -- edges -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "n_out", "n_in"), [(1, 1, 1), (0, 3, 2), (3, 0, 2), (2, 3, 0)])
def test_the_smallest_shapes(n: int, n_out: int, n_in: int) -> None:
    y, x, w = (torch.ones(shape, device=DEVICE) for shape in ((n, n_out), (n, n_in), (n_out, n_in)))
    assert torch.equal(triton_backend.drive(x, w), torch.full((n, n_out), n_in * 1.0).to(DEVICE))
    out = triton_backend.accumulate(LocalUpdate((Outer(y, x),), y), w, torch.empty_like(w))
    assert torch.equal(out, torch.zeros_like(w))
    assert torch.equal(learned(y, x, None, w, 1.0), torch.full_like(w, 1.0 + n))
    divided = learned(y, x, None, w, 1.0, "largest", 1e-30)
    assert torch.equal(divided, torch.full_like(w, 1.0 + (n > 0)))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["post", "pre", "decay", "weight"])
def test_numbers_that_are_not_finite_pass_through_products(where: str, bad: float) -> None:
    tensors = {
        "post": torch.zeros(20, 4), "pre": torch.zeros(20, 35), "decay": torch.zeros(20, 4),
        "weight": torch.ones(4, 35),
    }  # fmt: skip
    tensors[where][-1, -1] = bad
    y, x, d, w = (value.to(DEVICE) for value in tensors.values())
    expected = y.T @ x - d.sum(0)[:, None] * w
    assert not expected.isfinite().all()
    for precision in triton_backend.PRECISIONS:
        update = LocalUpdate((Outer(y, x),), d)
        found = triton_backend.accumulate(update, w, torch.empty_like(w), precision=precision)
        torch.testing.assert_close(found, expected, equal_nan=True)
        if where in ("pre", "weight"):
            u = triton_backend.drive(x, w, precision)
            torch.testing.assert_close(u, x @ w.T, equal_nan=True)
    torch.testing.assert_close(learned(y, x, d, w, 1.0), w + expected, equal_nan=True)
    for most in (0, 256):
        with at_most(most):
            new = learned(y, x, d, w, 1.0, "largest")
        torch.testing.assert_close(new, w + expected / expected.abs().max(), equal_nan=True)


# -- bfloat16 ----------------------------------------------------------------------------------


@few
@given(case=cases())
def test_bf16_rounds_what_is_multiplied_and_nothing_else(case: Any) -> None:
    y, x, d, w, how = case
    short = [value.bfloat16().float() for value in (y, x, w)]
    with cut(*how):
        u = triton_backend.drive(x, w, coarse=True)
        update = LocalUpdate((Outer(y, x),), d)
        found = triton_backend.accumulate(update, w, torch.empty_like(w), coarse=True)
    a, b = short[1].double(), short[2].double()
    close(u, a @ b.T, a.abs() @ b.abs().T)
    product, size = right(short[0], short[1], None, w)
    lost = 0.0 if d is None else d.double().sum(0)[:, None] * w.double()
    close(found, product - lost, size + abs(lost))


def test_bf16_rounds_to_even_where_two_are_as_near() -> None:
    halfway = torch.tensor([[1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -1 - 2**-8]]).to(DEVICE)
    found = triton_backend.drive(torch.eye(4, device=DEVICE), halfway, coarse=True)
    assert torch.equal(found.flatten(), halfway.bfloat16().float().flatten())
    assert found.flatten().tolist() == [1.0, 1 + 2**-6, 1 + 2**-7, -1.0]
    every_bit = torch.tensor([[0x7FFFFFFF]], dtype=torch.int32, device=DEVICE).view(torch.float32)
    assert triton_backend.drive(torch.ones_like(every_bit), every_bit, coarse=True).isnan().all()


# -- what is served ----------------------------------------------------------------------------


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what has been launched since."""
    names: list[str] = []
    for name in ("drive", "change", "soft_wta", "learn"):
        module = triton_learning if name == "learn" else triton_launch
        function = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *a, f=function, n=name: (names.append(n), f(*a))[1]
        )
    return names


def test_what_is_served_is_launched(launched: list[str]) -> None:
    x, w = torch.randn(3, 4, device=DEVICE), torch.randn(2, 4, device=DEVICE)
    with kernels.use("triton"):
        y = kernels.soft_wta(kernels.drive(x, w), 1.0, True)
        kernels.accumulate(LocalUpdate((Outer(y, x),), y), w, torch.empty_like(w))
    learned(y, x, y, w, 0.1)
    assert launched == ["drive", "soft_wta", "change", "learn"]


def test_bf16_is_had_by_name(launched: list[str]) -> None:
    x, w = torch.randn(3, 40, device=DEVICE), torch.randn(2, 40, device=DEVICE)
    with kernels.use("triton"):
        u = kernels.drive(x, w, coarse=True)
        y = kernels.soft_wta(u, 1.0, False)
        update = LocalUpdate((Outer(y, x),))
        kernels.accumulate(update, w, torch.empty_like(w), coarse=True)
    assert launched == ["drive", "soft_wta", "change"]
    torch.testing.assert_close(u, x.bfloat16().float() @ w.bfloat16().float().T)
    assert not torch.allclose(u, x @ w.T, rtol=0, atol=1e-6)


def test_torch_does_what_is_not_served(launched: list[str]) -> None:
    def rand(*shape: int, **options: Any) -> Tensor:
        return torch.rand(shape, device=DEVICE, **options)

    x, y, w = rand(3, 4), rand(3, 2), rand(2, 4)
    index = torch.tensor([[0, 1, 1, 2], [3, 3, 0, 1]], device=DEVICE)
    image = kernels.Patches(rand(1, 4, 4, 1), 2)
    products = [
        (x.double(), w.double()),
        (x, w.clone().requires_grad_()),
        (rand(2, 3, 4), w),
        (image, rand(2, 9)),
        (rand(4, 3, dtype=torch.float16).mT, w.half()),
    ]
    updates = [
        (LocalUpdate((Outer(y, x), Outer(y, x))), w, None),
        (LocalUpdate((Outer(y, x, rand(2, 4)),)), w, None),
        (LocalUpdate((Outer(y, x, lambda weight: weight),)), w, None),
        (LocalUpdate((Outer(y, x),), None, rand(2, 4)), w, None),
        (LocalUpdate((), y), w, None),
        (LocalUpdate((Outer(rand(2, 3, 1), rand(2, 3, 4)),), rand(2, 3, 1)), w, None),
        (LocalUpdate((Outer(y, x),)), w, index),
        (LocalUpdate((Outer(rand(4, 2), image),)), rand(2, 9), None),
        (LocalUpdate((Outer(y.double(), x.double()),)), w.double(), None),
    ]
    found: list[list[Tensor]] = []
    for name in ("torch", "triton"):
        with kernels.use(name):
            done = [kernels.drive(*pair) for pair in products]
            done.append(kernels.sparse_drive(x, w, index))
            done.append(kernels.soft_wta(x.double(), 1.0, True))
            done.append(kernels.soft_wta(x.clone().requires_grad_(), 1.0, False))
            for update, weight, at in updates:
                done.append(kernels.accumulate(update, weight, torch.empty_like(weight), at))
        found.append(done)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert found[1][1].requires_grad
    assert launched == []


def test_a_wrong_precision_is_refused() -> None:
    x = torch.ones(1, 1, device=DEVICE)
    for work in (
        lambda: triton_backend.drive(x, x, precision="tf32"),
        lambda: triton_backend.accumulate(LocalUpdate((Outer(x, x),)), x, x, precision="tf32"),
    ):
        with pytest.raises(ConfigError, match=r"'tf32' is not allowed; choose one of \('tf32x3'"):
            work()


# -- how work is cut ---------------------------------------------------------------------------


@given(
    m=st.integers(0, 10**7), n=st.integers(0, 10**7), k=st.integers(0, 10**7),
    precision=st.sampled_from(triton_backend.PRECISIONS),
)  # fmt: skip
def test_any_product_can_be_cut(m: int, n: int, k: int, precision: str) -> None:
    tiles = triton_launch.tiles(m, n, k, precision)
    assert tiles == triton_launch.tiles(m, n, k, precision)
    for side in tiles[:3]:
        assert 16 <= side <= 128
        assert side & (side - 1) == 0
    assert 1 <= tiles.parts <= triton_launch.PARTS
    assert tiles.parts == 1 or k // tiles.parts >= triton_launch.INNER
    bytes_staged = 4 * tiles.k * (tiles.m + tiles.n) * tiles.stages
    assert bytes_staged <= 96 * 1024  # what small cards give one block, and some


# -- layers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", [sh.LayerMax(), sh.NeuronRMS(), sh.NoScaling()])
@pytest.mark.parametrize("rule", [sh.SoftHebb(), sh.Oja()])
def test_a_layer_learns_what_it_learns_with_torch(rule: Any, scaling: Any) -> None:
    chance = torch.Generator().manual_seed(0)
    parts = {"rule": rule, "scaling": scaling, "rate": 1e-3, "init": sh.Normal(1.0)}
    dense, conv = sh.Dense(30, 20, **parts), sh.Conv2d(3, 8, 3, **parts)
    for layer, shape in ((dense, (4, 30)), (conv, (2, 3, 6, 6))):
        layer.reset(chance)
        batches = [torch.rand(shape, generator=chance).to(DEVICE) for _ in range(4)]
        found = []
        for backend in ("torch", "triton"):
            twin = copy.deepcopy(layer).to(DEVICE)
            with torch.no_grad(), kernels.use(backend):
                for x in batches:
                    out, seen = twin.observe(x)
                    twin.learn(seen)
            found.append((twin.weight, out))
        assert not torch.equal(found[0][0].cpu(), layer.weight)
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
