import os
from pathlib import Path

import pytest

from tests.verify import scalar


def _golden() -> Path | None:
    told = os.environ.get("STREAMHEBB_GOLDEN")
    beside = Path(__file__).parents[2].parent / "shared" / "golden"
    folder = Path(told) if told else beside
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of vectors computed by the published implementation."""
    folder = _golden()
    if folder is None:
        pytest.skip("no reference vectors; set STREAMHEBB_GOLDEN to their folder")
    return folder


# Settings that the published vectors do not cover together.
LAYERS = {
    "conv_soft_dilation_groups_zeros": {
        "x_shape": (2, 4, 7, 6), "w_shape": (6, 2, 3, 3), "seed": 1, "radius": 2.0,
        "softness": "soft", "t": 0.7, "lr": 0.05, "power": 0.5,
        "p": 1, "d": 2, "g": 2, "pad": "zeros",
    },
    "conv_hard_stride_crop": {
        "x_shape": (2, 3, 8, 7), "w_shape": (5, 3, 3, 3), "seed": 2, "radius": 4.0,
        "softness": "hard", "t": 1.0, "lr": 0.03, "power": 0.75, "s": 2, "p": 1,
    },
    "conv_softkrotov_k1_stride": {
        "x_shape": (2, 4, 5, 6), "w_shape": (6, 2, 1, 1), "seed": 10, "radius": 2.0,
        "softness": "softkrotov", "t": 1.0, "lr": 0.02, "power": 0.5, "s": 2, "g": 2,
    },
    "conv_softkrotov_expdecay": {
        "x_shape": (2, 2, 5, 6), "w_shape": (6, 2, 3, 3), "seed": 3, "radius": 3.0,
        "softness": "softkrotov", "t": 0.65, "lr": 0.05, "power": 0.5,
        "adaptive": False, "decay": "exp", "nb_epochs": 2, "ratio": 0.07, "s": 2,
    },
    "conv_softkrotov_pretriangle_groups_nbtrain": {
        "x_shape": (1, 4, 6, 6), "w_shape": (8, 2, 3, 3), "seed": 4, "radius": 3.0,
        "softness": "softkrotov", "t": 0.9, "lr": 0.02, "power": 0.5, "g": 2, "tri": True,
        "adaptive": False, "decay": "cste", "nb_train": 3,
    },
    "conv_hardkrotov_groups_stride": {
        "x_shape": (2, 4, 7, 6), "w_shape": (8, 2, 3, 3), "seed": 11, "radius": 3.0,
        "softness": "hardkrotov", "t": 1.0, "lr": 0.03, "power": 0.5, "s": 2, "p": 1, "g": 2,
        "rank": 4, "delta": 0.35,
    },
    "linear_hardkrotov_lineardecay": {
        "x_shape": (5, 9), "w_shape": (7, 9), "seed": 12, "radius": 3.0, "lb": 3,
        "softness": "hardkrotov", "t": 1.0, "lr": 0.03, "power": 0.2, "rank": 2, "delta": 0.4,
        "adaptive": False, "ratio": 0.04,
    },
    "linear_soft_sigmoid": {
        "x_shape": (5, 9), "w_shape": (7, 9), "seed": 5, "radius": 3.0,
        "softness": "soft", "t": 12.0, "lr": 0.045, "power": 0.2, "fn": "sigmoid",
    },
    "linear_softkrotov_relu": {
        "x_shape": (5, 9), "w_shape": (7, 9), "seed": 6, "radius": 3.0,
        "softness": "softkrotov", "t": 12.0, "lr": 0.045, "power": 0.2, "fn": "relu",
    },
    "linear_softkrotov_mode2_lb3": {
        "x_shape": (4, 8), "w_shape": (6, 8), "seed": 7, "radius": 2.0, "lb": 3,
        "softness": "softkrotov", "t": 1.3, "lr": 0.03, "power": 0.2,
        "mode": 2, "rank": 2, "delta": 0.35,
    },
    "linear_softkrotov_bias": {
        "x_shape": (6, 8), "w_shape": (5, 8), "seed": 8, "radius": 2.0,
        "softness": "softkrotov", "t": 2.0, "lr": 0.045, "power": 0.2, "bias": True,
        "adaptive": False, "ratio": 0.04,
    },
    "linear_soft_relu_bias": {
        "x_shape": (6, 8), "w_shape": (5, 8), "seed": 9, "radius": 2.0, "fn": "relu",
        "softness": "soft", "t": 3.0, "lr": 0.02, "power": 0.2, "bias": True,
        "adaptive": False, "nb_epochs": 3, "ratio": 0.05,
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A folder of vectors computed by scalar loops, in settings the published ones lack."""
    folder = tmp_path_factory.mktemp("made")
    for name, settings in LAYERS.items():
        scalar.write(folder / f"{name}.npz", *scalar.layer_case(**settings))
    return folder
