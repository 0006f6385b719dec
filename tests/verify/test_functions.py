import numpy as np
import pytest

from streamhebb.verify import verify_folder
from tests.verify import scalar


def verify(folder, arrays, meta):
    scalar.write(folder / "case.npz", arrays, meta)
    (result,) = verify_folder(folder).results
    return result


def softmax(x):
    power = np.exp(x - x.max(1, keepdims=True))
    return power / power.sum(1, keepdims=True)


@pytest.fixture
def activations():
    rng = np.random.default_rng(1)
    x2 = rng.standard_normal((4, 5)).astype(np.float32)
    x2[1] = -np.abs(x2[1])  # nobody is active
    x4 = rng.standard_normal((2, 3, 4, 2)).astype(np.float32)
    up = np.maximum(x2.astype(float), 0)
    target = np.array([0, 4, 2, 2])
    signs = np.where(np.arange(5) == target[:, None], 1, -1)
    with np.errstate(all="ignore"):
        post = up / up.sum(1, keepdims=True)
    arrays = {
        "x2": x2, "x4": x4,
        "triangle_0.5__x4": np.maximum(x4 - x4.mean(1, keepdims=True), 0) ** 0.5,
        "relu_1__x2": up, "repu_3__x2": up**3, "exp_2__x2": np.exp(2 * x2.astype(float)),
        "softmax_3__x2": softmax(3 * x2.astype(float)), "tanh_2__x4": np.tanh(2 * x4),
        "sigmoid_2__x2": 1 / (1 + np.exp(-10 * x2.astype(float))),
        "hard_1__x4": np.eye(3)[x4.argmax(1)],
        "post_relu__x2": post, "post_exp__x2": softmax(3 * x2.astype(float)),
        "maxnorm__x4": x4 / x4.max((1, 2, 3), keepdims=True),
        "normnorm__x4": 10 * x4 / np.sqrt((x4**2).sum(1, keepdims=True)),
        "powerloss_target": target,
        "powerloss_m4": (np.abs(x2 / 3 - signs) ** 4).sum(),
    }  # fmt: skip
    narrow = {k: v if k == "powerloss_target" else np.float32(v) for k, v in arrays.items()}
    return narrow, {"note": "post-synaptic normalised forms with t_invert=3"}


def test_activations_pass(activations, tmp_path):
    result = verify(tmp_path, *activations)
    assert result.status == "passed", result
    assert result.notes == ()
    assert np.isnan(activations[0]["post_relu__x2"][1]).all()


def test_a_wrong_activation_fails(activations, tmp_path):
    arrays, meta = activations
    for key in sorted(arrays.keys() - {"x2", "x4", "powerloss_target"}):
        wrong = np.array(arrays[key])
        wrong.reshape(-1)[0] += 1e-3 * np.nanmax(np.abs(wrong))
        assert verify(tmp_path, arrays | {key: wrong}, meta).status == "failed", key


def test_nan_counts_as_zero_and_nothing_else(activations, tmp_path):
    arrays, meta = activations
    wrong = arrays["post_relu__x2"].copy()
    wrong[0] = np.nan  # this row has active neurons
    assert verify(tmp_path, arrays | {"post_relu__x2": wrong}, meta).status == "failed"
    wrong = arrays["relu_1__x2"].copy()
    wrong[1] = np.nan
    assert verify(tmp_path, arrays | {"relu_1__x2": wrong}, meta).status == "failed"


def test_an_unknown_activation_is_named(activations, tmp_path):
    arrays, meta = activations
    result = verify(tmp_path, arrays | {"gelu_1__x2": arrays["x2"]}, meta)
    assert result.status == "passed"
    assert result.notes == ("not compared: gelu_1__x2",)


def test_a_missing_input_fails(activations, tmp_path):
    arrays, meta = activations
    del arrays["x4"]
    assert "key missing: x4" in verify(tmp_path, arrays, meta).reason


@pytest.fixture
def schedules():
    rng = np.random.default_rng(2)
    s = np.arange(60)
    low = (0.1 / 50 - 0.1 * np.exp(-3)) / (1 - np.exp(-3))
    w = rng.standard_normal((5, 2, 3, 3)).astype(np.float32)
    w[0] /= np.linalg.norm(w[0])  # radius 1 but for round-off
    apart = np.abs(np.linalg.norm(w.reshape(5, -1), axis=1) - 1) + 1e-10
    arrays = {
        "unsup_0": np.maximum(0, 0.2 * (1 - s * 0.03 / 2)),
        "unsup_1": low + (0.1 - low) * np.exp(-3 * s * 0.05),
        "unsup_2": np.full(60, 0.3),
        "classifier_full_24": 0.01 * 0.5 ** ((np.arange(24) >= 12) + 1.0 * (np.arange(24) >= 18)),
        "norm_w": w,
        "norm_lr_0.3_0.2": np.float32(0.3 * apart**0.2),
    }
    cases = {
        "unsup_0": {"decay": "linear", "lr": 0.2, "nb_epochs": 2, "ratio": 0.03},
        "unsup_1": {"decay": "exp", "lr": 0.1, "ratio": 0.05, "speed": 3, "div": 50},
        "unsup_2": {"decay": "linear", "lr": 0.3, "nb_epochs": 0, "ratio": 0.03},
        "classifier_full_24": {"nb_epochs": 24, "lr": 0.01},
    }
    return arrays, {"cases": cases}


def test_schedules_pass(schedules, tmp_path):
    result = verify(tmp_path, *schedules)
    assert result.status == "passed", result
    assert result.notes == ()


def test_a_wrong_rate_fails(schedules, tmp_path):
    arrays, meta = schedules
    for key in sorted(arrays.keys() - {"norm_w"}):
        wrong = np.array(arrays[key])
        wrong[-1] += 1e-3 * np.abs(wrong).max()
        assert verify(tmp_path, arrays | {key: wrong}, meta).status == "failed", key


def test_a_schedule_nobody_describes_fails(schedules, tmp_path):
    arrays, meta = schedules
    del meta["cases"]["unsup_1"]
    assert "unsup_1" in verify(tmp_path, arrays, meta).reason
