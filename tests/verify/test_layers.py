"""Layers against scalar loops, in settings that no published vector covers."""

import json

import numpy as np
import pytest

from streamhebb.verify import verify_folder
from tests.verify import scalar
from tests.verify.conftest import LAYERS

KINDS = {
    "conv": "conv_soft_dilation_groups_zeros",
    "linear": "linear_softkrotov_bias",
}


def load(path):
    with np.load(path) as archive:
        arrays = dict(archive)
    return arrays, json.loads(str(arrays.pop("meta")))


def verify(folder, arrays, meta):
    scalar.write(folder / "case.npz", arrays, meta)
    (result,) = verify_folder(folder).results
    return result


def test_every_made_layer_passes(made):
    summary = verify_folder(made)
    assert [r.reason for r in summary.results if r.status != "passed"] == []
    assert summary.passed == len(LAYERS)
    for result in summary.results:
        assert result.notes == (), "something was not compared"
        assert result.worst["float32"].size < 3e-6
        assert result.worst["float64"].key.endswith("_f64")
        assert result.worst["float64"].size < 1e-8


@pytest.mark.parametrize("name", KINDS.values())
def test_one_wrong_entry_of_any_array_fails(made, tmp_path, name):
    arrays, meta = load(made / f"{name}.npz")
    for key in sorted(arrays.keys() - {"R1_20"}):
        wrong = {k: v.copy() for k, v in arrays.items()}
        flat = wrong[key].reshape(-1)
        # The last entry belongs to the first mini-batch for x, so every array looks at it.
        place = 0 if key == "x" else -1
        flat[place] += 1e-3 * max(np.abs(flat).max(), 1.0)
        result = verify(tmp_path, wrong, meta)
        assert result.status == "failed", key


def test_a_wrong_float64_entry_is_seen_beyond_float32(made, tmp_path):
    arrays, meta = load(made / "linear_soft_sigmoid.npz")
    arrays["w20_f64"].reshape(-1)[5] *= 1 + 1e-6
    result = verify(tmp_path, arrays, meta)
    assert result.status == "failed"
    assert result.worst["float64"].key == "w20_f64"
    assert result.worst["float32"].passed


def test_a_wrong_number_of_converged_neurons_fails(made, tmp_path):
    arrays, meta = load(made / "linear_soft_sigmoid.npz")
    arrays["R1_20"] = arrays["R1_20"] + 1
    assert verify(tmp_path, arrays, meta).worst["float32"].key == "R1_20"


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("conv_soft_dilation_groups_zeros", {"pad": "reflect"}),
        ("conv_soft_dilation_groups_zeros", {"t": 0.8}),
        ("conv_soft_dilation_groups_zeros", {"softness": "softkrotov"}),
        ("conv_softkrotov_expdecay", {"speed": 6}),
        ("conv_softkrotov_expdecay", {"div": 100}),
        ("conv_softkrotov_expdecay", {"decay": "linear"}),
        ("conv_softkrotov_pretriangle_groups_nbtrain", {"nb_train": 4}),
        ("conv_softkrotov_pretriangle_groups_nbtrain", {"tri": False}),
        ("linear_softkrotov_mode2_lb3", {"mode": 1}),
        ("linear_softkrotov_mode2_lb3", {"rank": 3}),
        ("linear_softkrotov_mode2_lb3", {"delta": 0.4}),
        ("linear_softkrotov_mode2_lb3", {"lb": 2}),
        ("conv_hardkrotov_groups_stride", {"rank": 3}),
        ("conv_hardkrotov_groups_stride", {"delta": 0.36}),
        ("linear_hardkrotov_lineardecay", {"softness": "hard"}),
        ("linear_softkrotov_relu", {"fn": "tanh"}),
        ("linear_soft_sigmoid", {"power": 0.25}),
        ("linear_softkrotov_bias", {"bias": False}),
    ],
)
def test_every_setting_matters(made, tmp_path, name, setting):
    arrays, meta = load(made / f"{name}.npz")
    assert verify(tmp_path, arrays, meta | setting).status == "failed"


def test_defaults_of_a_convolution(tmp_path):
    full = {"softness": "softkrotov", "mode": 2, "delta": 2.0, "rank": 3, "lr": 0.009}
    full |= {"power": 0.75, "t": 96.0, "adaptive": True}
    arrays, _meta = scalar.layer_case((1, 2, 4, 4), (5, 2, 3, 3), 1, 2.0, **full)
    bare = {"softness": "softkrotov", "mode": 2}
    assert verify(tmp_path, arrays, bare).status == "passed"


def test_defaults_of_a_dense_layer(tmp_path):
    full = {"softness": "softkrotov", "mode": 1, "delta": 0.1, "rank": 3, "lr": 0.05}
    full |= {"power": 0.2, "t": 10.0}
    arrays, _meta = scalar.layer_case((3, 6), (5, 6), 1, 2.0, **full)
    bare = {"softness": "softkrotov", "mode": 1}
    assert verify(tmp_path, arrays, bare).status == "passed"


def test_a_demo_layer_names_no_rule(tmp_path):
    arrays, _ = scalar.layer_case(
        (2, 2, 5, 5), (4, 2, 3, 3), 2, 5.0, softness="softkrotov", t=1.0, lr=0.05, power=0.5
    )
    meta = {"source": "demo conv layer", "t": 1, "lr": 0.05}
    assert verify(tmp_path, arrays, meta).status == "passed"


def test_where_the_reference_divides_zero_by_zero(tmp_path):
    """One sample excites nobody: NaN from then on in the reference, 0 in the library."""
    rng = np.random.default_rng(3)
    w0 = rng.random((4, 5)).astype(np.float32)
    x = rng.random((3, 2, 5)).astype(np.float32)
    x[0, 1] *= -1
    cfg = {"softness": "soft", "fn": "relu", "t": 1.0, "lr": 0.05, "power": 0.2}
    found = {k: scalar._narrow(v) for k, v in scalar.reference(x, w0, cfg).items()}
    arrays = {"x": x, "w0": w0, **found}
    arrays["y"][1] = np.nan
    for key in ("dw_raw", "dw", "dw_scale", "w1", "w20", "norms", "lr20", "win20"):
        arrays[key] = np.full_like(arrays[key], np.nan)
    arrays["convergence20"] = np.float32(np.nan)
    arrays["R1_20"] = np.int64(0)
    result = verify(tmp_path, arrays, cfg)
    assert result.status == "passed"
    assert "divides 0 by 0" in result.notes[0]
    arrays["y"][1, 0] = 0.5
    assert verify(tmp_path, arrays, cfg).status == "failed"


def supervised():
    """A layer clamped to its labels, in plain loops."""
    rng = np.random.default_rng(4)
    x = rng.random((3, 4, 6)).astype(np.float32)
    w = rng.random((3, 6)).astype(np.float32).astype(np.float64)
    labels = rng.integers(0, 3, (3, 4))
    out = {"x": x, "w0": w.astype(np.float32), "labels": labels, "lr0": 0.045}
    norms, rates = [], []
    for step in range(20):
        batch, told = x[step % 3].astype(np.float64), labels[step % 3]
        u = [[sum(a * b for a, b in zip(row, weights, strict=True)) for weights in w]
             for row in batch]  # fmt: skip
        raw = np.zeros_like(w)
        for row, label, drive in zip(batch, told, u, strict=True):
            raw[label] += row - drive[label] * w[label]
        scale = np.abs(raw).max() + 1e-30
        if step == 0:
            out |= {"u": np.array(u), "y": np.eye(3)[told], "dw_raw": raw, "dw": raw / scale}
            out["dw_scale"] = np.array([scale])
        rates.append(0.045 * max(0.0, 1 - step * 0.05))
        w = w + rates[-1] * raw / scale
        norms.append([sum(v * v for v in weights) ** 0.5 for weights in w])
        if step == 0:
            out["w1"] = w
    apart = np.abs(np.array(norms[-1]) - 1)
    out |= {"w20": w, "norms": np.array(norms), "lr20": 0.0, "lr_seq": np.array(rates)}
    out |= {"convergence20": apart.mean(), "R1_20": np.int64((apart < 0.005).sum())}
    arrays = {k: np.asarray(v, None if k == "labels" else scalar._narrow(v).dtype)
              for k, v in out.items()}  # fmt: skip
    meta = {"softness": "supervisedsoftkrotov", "lr": 0.045, "t": 12.0, "B": 4}
    return arrays, meta | {"adaptive": False, "ratio": 0.05}


def test_a_layer_clamped_to_its_labels(tmp_path):
    arrays, meta = supervised()
    result = verify(tmp_path, arrays, meta)
    assert result.status == "passed", result
    assert result.notes == ()
    for key in sorted(arrays.keys() - {"R1_20", "labels"}):
        wrong = {k: v.copy() for k, v in arrays.items()}
        wrong[key].reshape(-1)[0] += 1e-3 * max(np.abs(wrong[key]).max(), 1.0)
        assert verify(tmp_path, wrong, meta).status == "failed", key
    for setting in ({"lr": 0.05}, {"ratio": 0.04}, {"adaptive": True}):
        assert verify(tmp_path, arrays, meta | setting).status == "failed", setting
    swapped = arrays | {"labels": (arrays["labels"] + 1) % 3}
    assert verify(tmp_path, swapped, meta).status == "failed"


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.zeros((3, 4)), "whole numbers"),
        (np.zeros((3, 3), int), "shape"),
        (np.full((3, 4), 7), "label 7"),
    ],
)
def test_labels_that_cannot_be(tmp_path, labels, said):
    arrays, meta = supervised()
    result = verify(tmp_path, arrays | {"labels": labels}, meta)
    assert result.status == "failed"
    assert said in result.reason


def test_nan_elsewhere_fails(made, tmp_path):
    arrays, meta = load(made / "linear_soft_sigmoid.npz")
    arrays["w20"][0, 0] = np.nan
    assert verify(tmp_path, arrays, meta).status == "failed"


@pytest.mark.parametrize(
    ("name", "setting", "said"),
    [
        ("linear_soft_sigmoid", {"softness": "bcm"}, "rule bcm"),
        ("linear_hardkrotov_lineardecay", {"rank": 1}, "two meanings for rank 1"),
        ("conv_hard_stride_crop", {"softness": "supervisedsoftkrotov"}, "dense layers"),
        ("linear_soft_sigmoid", {"softness": "supervisedsoftkrotov", "lb": 3}, "p-norm 2"),
        ("linear_soft_sigmoid", {"fn": "gelu"}, "function gelu"),
        ("linear_softkrotov_bias", {"fn": "tanh"}, "bias has no law"),
        ("linear_softkrotov_relu", {"mode": 1}, "modes 1 and 2"),
        ("linear_softkrotov_bias", {"mode": 3}, "mode 3"),
        ("conv_softkrotov_expdecay", {"fn": "relu"}, "convolution does not normalise"),
        ("conv_softkrotov_expdecay", {"bias": True}, "cannot learn a bias"),
        ("conv_softkrotov_expdecay", {"pad": "circular"}, "padding mode circular"),
    ],
)
def test_what_does_not_exist_is_not_supported(made, tmp_path, name, setting, said):
    arrays, meta = load(made / f"{name}.npz")
    result = verify(tmp_path, arrays, meta | setting)
    assert result.status == "not supported"
    assert said in result.reason


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"arch": "MLP"}, "arch='MLP'"),
        ({"t": "hot"}, "t='hot'"),
        ({"s": 1.5}, "s=1.5"),
        ({"ratio": None}, "ratio=None"),
        ({"B": 7}, "x has shape (3, 2, 2, 5, 6); (*, 7, 2, *, *) is needed"),
        ({"g": 4}, "x has shape"),
        ({"nb_train": 100}, "trained=100"),
        ({"t": -1}, "t=-1"),
        ({"p": 9}, "padding=9"),
    ],
)
def test_settings_that_cannot_be_fail(made, tmp_path, setting, said):
    arrays, meta = load(made / "conv_softkrotov_expdecay.npz")
    result = verify(tmp_path, arrays, meta | setting)
    assert result.status == "failed"
    assert said in result.reason


def test_a_convolution_must_name_its_rule(made, tmp_path):
    arrays, meta = load(made / "conv_hard_stride_crop.npz")
    del meta["softness"]
    assert "softness" in verify(tmp_path, arrays, meta).reason


def test_keys_nobody_knows_are_listed(made, tmp_path):
    arrays, meta = load(made / "linear_soft_sigmoid.npz")
    result = verify(tmp_path, arrays | {"extra": np.zeros(2)}, meta)
    assert result.status == "passed"
    assert result.notes == ("not compared: extra",)
