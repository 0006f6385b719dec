"""What every test shares: where real data lies, one thread, examples that do not change."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]

# The processes of pytest-xdist share the cores already, and sums over one thread are repeatable.
torch.set_num_threads(1)

# "ci", the default, draws the same examples in every run: a red test is red for everyone.
# HYPOTHESIS_PROFILE=search draws new ones, and more of them.
hypothesis.settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=25, database=None
)
hypothesis.settings.register_profile("search", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Without a card Triton's kernels run as Python, which is decided when they are defined.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

_FOLDERS = {"STREAMHEBB_DATA": "data", "STREAMHEBB_GOLDEN": "golden"}

# A folder `shared` beside the checkout stands in for variables that are not set.
for _name, _folder in _FOLDERS.items():
    _path = ROOT.parent / "shared" / _folder
    if not os.environ.get(_name) and _path.is_dir():
        os.environ[_name] = str(_path)


def _folder_of(name: str, holds: str) -> Path:
    """The folder that a variable names; skips where there is none, fails where it names nothing."""
    value = os.environ.get(name)
    if not value:
        pytest.skip(f"{name} is not set: it names a folder with {holds}")
    path = Path(value)
    if not path.is_dir():
        pytest.fail(f"{name}={value} is no folder: it should hold {holds}; correct or unset it")
    return path


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real data sets (MNIST/raw, cifar10, video, ...), read only."""
    return _folder_of("STREAMHEBB_DATA", "real data sets (MNIST/raw, cifar10, video)")


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Reference vectors of the published implementation, read only."""
    return _folder_of("STREAMHEBB_GOLDEN", "reference vectors (.npz files)")
