from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import streamhebb as sh
from streamhebb.errors import ConfigError, ShapeError
from tests import oracles

F64 = torch.float64
IMAGES, VECTORS = (3, 4, 5), (3,)


def stream(n: int, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Samples whose channels have their own mean and scale, both drifting."""
    chance = torch.Generator().manual_seed(seed)
    x = torch.randn(n, *shape, generator=chance, dtype=F64)
    lead = (shape[0], *[1] * (len(shape) - 1))
    scale = torch.tensor([0.1, 2.0, 5.0], dtype=F64).reshape(lead)
    drift = torch.linspace(0, 1, n, dtype=F64).reshape(-1, *[1] * len(shape))
    return (x + drift) * scale + scale


def pixels(x: Tensor) -> Any:
    return x.reshape(*x.shape[:2], -1).tolist()


# ---- RunningNorm -----------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 12),
    tau=st.sampled_from([1.0, 2.5, 4.0, 100.0]),
    shape=st.sampled_from([IMAGES, VECTORS]),
)
def test_running_norm_equals_the_oracle(seed: int, n: int, tau: float, shape: Any) -> None:
    norm = sh.RunningNorm(3, tau=tau).double()
    x = stream(n, shape, seed)
    expected, mean, var = oracles.running_norm(pixels(x), tau, 1e-5)
    for t in range(n):
        out, seen = norm.observe(x[t : t + 1])
        found = out.reshape(3, -1)
        torch.testing.assert_close(
            found, torch.tensor(expected[t], dtype=F64), rtol=1e-11, atol=1e-11
        )
        norm.learn(seen)
    torch.testing.assert_close(norm.mean, torch.tensor(mean, dtype=F64), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm.var, torch.tensor(var, dtype=F64), rtol=1e-12, atol=1e-12)
    assert int(norm.age) == n


@pytest.mark.parametrize("shape", [IMAGES, VECTORS])
def test_while_young_the_statistics_are_plain_mean_and_variance(shape: Any) -> None:
    norm = sh.RunningNorm(3, tau=50).double()
    x = stream(50, shape)
    for t in range(50):
        norm.learn(norm.observe(x[t : t + 1])[1])
        so_far = x[: t + 1].movedim(1, 0).reshape(3, -1)
        torch.testing.assert_close(norm.mean, so_far.mean(1))
        torch.testing.assert_close(norm.var, so_far.var(1, correction=0))


def test_afterwards_old_samples_fade_exponentially() -> None:
    norm = sh.RunningNorm(1, tau=10).double()
    for _ in range(30):
        norm.learn(norm.observe(torch.zeros(1, 1, dtype=F64))[1])
    for k in range(1, 40):
        norm.learn(norm.observe(torch.ones(1, 1, dtype=F64))[1])
        assert float(norm.mean) == pytest.approx(1 - 0.9**k)


@pytest.mark.parametrize("shape", [IMAGES, VECTORS])
@pytest.mark.parametrize("split", [[1] * 12, [4, 4, 4], [2, 1, 5, 4], [12]])
def test_a_micro_batch_moves_as_far_as_its_samples_while_young(
    shape: Any, split: list[int]
) -> None:
    norm = sh.RunningNorm(3, tau=100).double()
    x = stream(12, shape)
    for part in x.split(split):
        norm.learn(norm.observe(part)[1])
    all_of_it = x.movedim(1, 0).reshape(3, -1)
    torch.testing.assert_close(norm.mean, all_of_it.mean(1))
    torch.testing.assert_close(norm.var, all_of_it.var(1, correction=0))


def test_an_old_norm_forgets_as_much_by_a_micro_batch_as_by_its_samples() -> None:
    norms = []
    for size in (1, 5):
        norm = sh.RunningNorm(1, tau=7).double()
        norm.mean.fill_(3)
        norm.age.fill_(1000)
        for part in torch.zeros(20, 1, dtype=F64).split(size):
            norm.learn(norm.observe(part)[1])
        norms.append(norm)
    torch.testing.assert_close(norms[0].mean, norms[1].mean)
    torch.testing.assert_close(norms[0].mean, torch.full((1,), 3 * (6 / 7) ** 20, dtype=F64))


@pytest.mark.parametrize("shape", [IMAGES, VECTORS])
def test_respond_and_observe_agree_bit_for_bit(shape: Any) -> None:
    norm, x = sh.RunningNorm(3), stream(20, shape).float()
    for part in x.split(3):
        out, seen = norm.observe(part)
        assert torch.equal(norm.respond(part), out)
        norm.learn(seen)


@pytest.mark.parametrize("shape", [IMAGES, VECTORS])
def test_the_output_of_a_sample_depends_on_no_later_sample(shape: Any) -> None:
    def outputs(x: Tensor) -> list[Tensor]:
        norm, found = sh.RunningNorm(3, tau=4), []
        for t in range(len(x)):
            out, seen = norm.observe(x[t : t + 1])
            norm.learn(seen)
            found.append(out)
        return found

    x = stream(10, shape).float()
    changed = x.clone()
    changed[6:] = changed[6:] * -100 + 7
    before, after = outputs(x), outputs(changed)
    assert all(torch.equal(a, b) for a, b in zip(before[:6], after[:6], strict=True))
    assert not torch.equal(before[6], after[6])


@pytest.mark.parametrize("shape", [IMAGES, VECTORS])
def test_neighbours_in_a_batch_do_not_influence_each_other(shape: Any) -> None:
    norm, x = sh.RunningNorm(3), stream(9, shape).float()
    norm.learn(norm.observe(x[:5])[1])
    batch = x[5:].clone()
    out = norm.observe(batch)[0]
    batch[1:] = 1e6
    assert torch.equal(norm.observe(batch)[0][0], out[0])
    torch.testing.assert_close(norm.observe(x[5:6])[0][0], out[0])


def test_the_first_image_is_normalised_by_itself() -> None:
    x = stream(1, IMAGES)
    out = sh.RunningNorm(3).double().respond(x)
    torch.testing.assert_close(out.mean((2, 3)), torch.zeros(1, 3, dtype=F64))
    torch.testing.assert_close(
        out.var((2, 3), correction=0), torch.ones(1, 3, dtype=F64), rtol=1e-2, atol=0
    )


def test_constant_input_gives_zeros_not_nan() -> None:
    norm = sh.RunningNorm(2)
    for _ in range(5):
        out, seen = norm.observe(torch.full((1, 2, 3, 3), 0.7))
        norm.learn(seen)
        assert out.abs().max() < 1e-3


def test_the_variance_survives_a_large_mean_in_single_precision() -> None:
    chance = torch.Generator().manual_seed(0)
    norm = sh.RunningNorm(1, tau=100)
    x = 1000 + torch.randn(500, 1, 4, 4, generator=chance)
    for t in range(500):
        norm.learn(norm.observe(x[t : t + 1])[1])
    assert float(norm.var) == pytest.approx(1.0, rel=0.1)


# ---- BatchNorm -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [IMAGES, VECTORS])
def test_batch_norm_equals_torch_in_training_and_evaluation(shape: Any) -> None:
    norm = sh.BatchNorm(3).double()
    kind = nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d
    reference = kind(3, affine=False).double()
    for x in stream(40, shape).split(8):
        reference.eval()
        torch.testing.assert_close(norm.respond(x), reference(x), rtol=1e-12, atol=1e-12)
        reference.train()
        out, seen = norm.observe(x)
        torch.testing.assert_close(out, reference(x), rtol=1e-12, atol=1e-12)
        norm.learn(seen)
        torch.testing.assert_close(norm.mean, reference.running_mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(norm.var, reference.running_var, rtol=1e-12, atol=1e-12)


def test_batch_norm_says_that_it_is_not_local() -> None:
    assert sh.BatchNorm(3).nonlocal_parts() == ("mini-batch statistics",)
    assert sh.RunningNorm(3).nonlocal_parts() == ()


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)])
def test_batch_norm_refuses_to_learn_from_one_vector(shape: Any) -> None:
    norm = sh.BatchNorm(3)
    norm.respond(torch.ones(shape))
    with pytest.raises(ShapeError, match=r"one vector at a time.*Use RunningNorm for streams"):
        norm.observe(torch.ones(shape))


# ---- per sample ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [IMAGES, VECTORS])
def test_max_norm_divides_by_the_signed_maximum(shape: Any) -> None:
    x = stream(4, shape)
    out = sh.MaxNorm().respond(x)
    for sample, found in zip(x, out, strict=True):
        largest = max(sample.flatten().tolist())
        torch.testing.assert_close(found, sample / largest)
    assert sh.MaxNorm().respond(torch.tensor([[-2.0, -4.0]])).tolist() == [[1.0, 2.0]]
    assert sh.MaxNorm().respond(torch.tensor([[0.0, -4.0]])).tolist() == [[0.0, -4.0]]


@pytest.mark.parametrize("shape", [IMAGES, VECTORS])
def test_l2_norm_gives_every_position_the_same_length(shape: Any) -> None:
    x = stream(4, shape)
    out = sh.L2Norm(scale=3).respond(x)
    assert torch.linalg.vector_norm(out, dim=1).flatten().tolist() == pytest.approx(
        [3.0] * (out.numel() // 3)
    )
    torch.testing.assert_close(out / out[:, :1], x / x[:, :1])
    assert sh.L2Norm().respond(torch.zeros(1, 3)).tolist() == [[0, 0, 0]]


# ---- all of them -----------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [sh.RunningNorm(3), sh.BatchNorm(3)], ids=repr)
def test_reset_forgets_and_keeps_the_place_in_memory(norm: Any) -> None:
    fresh = copy.deepcopy(norm.state_dict())
    places = [value.data_ptr() for value in norm.buffers()]
    norm.learn(norm.observe(stream(4, IMAGES).float())[1])
    assert any(not torch.equal(fresh[name], value) for name, value in norm.state_dict().items())
    norm.reset()
    assert all(torch.equal(fresh[name], value) for name, value in norm.state_dict().items())
    assert [value.data_ptr() for value in norm.buffers()] == places


@pytest.mark.parametrize("kind", [sh.RunningNorm, sh.BatchNorm])
@pytest.mark.parametrize("shape", [(), (4,), (4, 3, 3)])
def test_other_channels_are_refused(kind: Any, shape: Any) -> None:
    found = shape[0] if shape else 0
    with pytest.raises(ShapeError) as caught:
        kind(3).shape(shape)
    assert str(caught.value) == (
        f"{kind.__name__}(3) got samples of shape {shape}, with {found} channels; it needs 3 "
        f"channels (or features) in the first dimension"
    )


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (sh.BatchNorm, {"n_in": 0}, "BatchNorm: n_in=0 .* whole number >= 1"),
        (sh.BatchNorm, {"n_in": 3, "momentum": 1.5}, "momentum=1.5 .* number >= 0 and <= 1"),
        (sh.BatchNorm, {"n_in": 3, "eps": 0}, "eps=0 .* number > 0"),
        (sh.RunningNorm, {"n_in": 2.5}, "RunningNorm: n_in=2.5 .* whole number >= 1"),
        (sh.RunningNorm, {"n_in": 3, "tau": 0.5}, "tau=0.5 .* number >= 1"),
        (sh.RunningNorm, {"n_in": 3, "eps": -1}, "eps=-1 .* number > 0"),
        (sh.L2Norm, {"scale": 0}, "L2Norm: scale=0 .* number > 0"),
        (sh.L2Norm, {"eps": 0}, "eps=0 .* number > 0"),
    ],
)
def test_bad_arguments_are_named(kind: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**arguments)
