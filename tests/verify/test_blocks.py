import numpy as np
import pytest

from streamhebb.verify import verify_folder
from tests.verify import scalar, scalar_nets

CONFIG = {
    "arch": "CNN", "softness": "softkrotov", "t_invert": 0.8, "lr": 0.03, "power_lr": 0.5,
    "power": 4.5, "lebesgue_p": 2, "add_bias": False, "adaptive": True, "padding": 1,
    "padding_mode": "reflect", "nb_train": None, "soft_activation_fn": "exp",
}  # fmt: skip
SHORT = {"softness": "softkrotov", "t": 0.8, "lr": 0.03, "power": 0.5, "p": 1}


@pytest.fixture(params=[False, True], ids=["plain", "norm after"])
def block(request):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((4, 2, 3, 6, 6)).astype(np.float32)
    w0 = (2 * rng.standard_normal((5, 3, 3, 3))).astype(np.float32)
    found = scalar_nets.block(x, w0, SHORT, 0.7, ("avg", 4, 2, 1), request.param)
    meta = {"op": "batchnorm2d", "act": "triangle_0.7", "pool": "avg_4_2_1", "bn": request.param}
    arrays = {"x": x, "w0": w0} | {k: np.float32(v) for k, v in found.items()}
    return arrays, meta | {"layer_config": CONFIG}


def verify(folder, arrays, meta):
    scalar.write(folder / "case.npz", arrays, meta)
    (result,) = verify_folder(folder).results
    return result


def test_a_block_passes(block, tmp_path):
    result = verify(tmp_path, *block)
    assert result.status == "passed", result
    assert result.notes == ()
    assert set(result.worst) == {"float32", "float64"}


@pytest.mark.parametrize(
    "key", ["train_out0", "train_out2", "w2", "bn0_var1", "eval_out", "lr_after"]
)
def test_a_wrong_entry_fails(block, tmp_path, key):
    arrays, meta = block
    arrays[key].reshape(-1)[0] += 1e-3 * np.abs(arrays[key]).max()
    assert verify(tmp_path, arrays, meta).status == "failed"


@pytest.mark.parametrize(
    "wrong",
    [{"op": ""}, {"act": "triangle_1"}, {"act": "relu"}, {"pool": "max_4_2_1"}, {"op": "maxnorm"}],
)
def test_every_part_matters(block, tmp_path, wrong):
    arrays, meta = block
    assert verify(tmp_path, arrays, meta | wrong).status == "failed"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"act": "gelu"}, "activation gelu"),
        ({"pool": "median_2_2_0"}, "pool median"),
        ({"act": "hard"}, "channels last"),
        ({"dropout": 0.5}, "random"),
        ({"layer_config": CONFIG | {"softness": "bcm"}}, "bcm"),
    ],
)
def test_not_supported(block, tmp_path, setting, said):
    arrays, meta = block
    result = verify(tmp_path, arrays, meta | setting)
    assert result.status == "not supported"
    assert said in result.reason


def test_damage(block, tmp_path):
    arrays, meta = block
    assert "layer_config" in verify(tmp_path, arrays, meta | {"layer_config": 3}).reason
    assert "mini-batches" in verify(tmp_path, arrays | {"x": arrays["x"][:1]}, meta).reason
    del arrays["w3"]
    assert "key missing: w3" in verify(tmp_path, arrays, meta).reason
