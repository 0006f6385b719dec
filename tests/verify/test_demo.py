import numpy as np
import pytest

from streamhebb.verify import verify_folder
from tests.verify import scalar, scalar_nets

T, LR = (1.0, 0.65, 0.25), (0.08, 0.005, 0.01)


@pytest.fixture(scope="module")
def net():
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (2, 2, 3, 8, 8), dtype=np.uint8)
    shown = rng.integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    shapes = ((4, 3, 5, 5), (5, 4, 3, 3), (6, 5, 3, 3))
    weights = [
        (25 / np.sqrt(np.prod(shape[1:])) * rng.standard_normal(shape)).astype(np.float32)
        for shape in shapes
    ]
    readout = rng.random((7, 6)).astype(np.float32)
    bias = rng.random(7).astype(np.float32)
    found = scalar_nets.demo(images, shown, weights, readout, bias, T, LR, 0.5)
    arrays = {"images_u8": images, "eval_images_u8": shown}
    arrays |= {f"conv{n}_w0": w for n, w in enumerate(weights, 1)}
    arrays |= {"classifier_w": readout, "classifier_b": bias}
    arrays |= {key: np.float32(value) for key, value in found.items()}
    arrays |= {f"{key}_f64": value for key, value in found.items()}
    return arrays, {"t": T, "lr": LR, "power": 0.5, "channels": [4, 5, 6]}


def verify(folder, arrays, meta):
    scalar.write(folder / "case.npz", arrays, meta)
    (result,) = verify_folder(folder).results
    return result


def test_a_small_net_passes(net, tmp_path):
    result = verify(tmp_path, *net)
    assert result.status == "passed", result
    assert result.notes == ()
    assert result.worst["float64"].size < 1e-8


@pytest.mark.parametrize(
    "key", ["conv1_w_after", "bn2_var", "bn3_mean_f64", "eval_features", "eval_logits_f64"]
)
def test_a_wrong_entry_fails(net, tmp_path, key):
    arrays, meta = net
    wrong = arrays[key].copy()
    wrong.reshape(-1)[0] += 1e-3 * np.abs(wrong).max()
    assert verify(tmp_path, arrays | {key: wrong}, meta).status == "failed"


def test_settings_matter(net, tmp_path):
    arrays, meta = net
    assert verify(tmp_path, arrays, meta | {"t": (1.0, 0.65, 1.0)}).status == "failed"
    assert verify(tmp_path, arrays, meta | {"lr": (0.08, 0.005, 0.02)}).status == "failed"


@pytest.mark.parametrize("key", ["eval_logits", "conv2_w0", "conv3_w_after", "bn1_mean"])
def test_a_missing_key_fails(net, tmp_path, key):
    arrays, meta = net
    result = verify(tmp_path, {k: v for k, v in arrays.items() if k != key}, meta)
    assert result.status == "failed"
    assert f"{key}" in result.reason


def test_a_readout_of_another_size_fails(net, tmp_path):
    arrays, meta = net
    wrong = np.zeros((7, 5), np.float32)
    assert "classifier_w" in verify(tmp_path, arrays | {"classifier_w": wrong}, meta).reason
