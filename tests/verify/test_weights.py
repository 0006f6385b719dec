import numpy as np
import torch

from streamhebb.verify import verify_folder
from tests.verify import scalar

SHAPE = (3, 2, 2, 2)


def verify(folder, arrays, meta):
    scalar.write(folder / "case.npz", arrays, meta)
    (result,) = verify_folder(folder).results
    return result


def draws(seed):
    def uniform():
        return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed)).numpy()

    normal = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)).numpy()
    return {
        "positive": 0.4 * uniform() + 0.2,
        "negative": -0.4 * uniform() + 0.2,
        "normal": 0.4 * normal + 0.2,
        "zero_mean": 2 * uniform() + 0.2,
    }


META = {"torch_manual_seed": 11, "weight_range": 0.4, "weight_offset": 0.2}


def test_draws_pass_and_the_known_difference_is_said(tmp_path):
    result = verify(tmp_path, draws(11), META)
    assert result.status == "passed", result
    assert "zero_mean" in result.notes[0]


def test_other_draws_fail(tmp_path):
    assert verify(tmp_path, draws(12), META).status == "failed"
    assert verify(tmp_path, draws(11), META | {"weight_range": 0.5}).status == "failed"


def test_the_callers_generator_is_left_alone(tmp_path):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    verify(tmp_path, draws(11), META)
    assert np.array_equal(before.numpy(), torch.get_rng_state().numpy())
