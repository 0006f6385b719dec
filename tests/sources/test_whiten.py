"""ZCA: against numpy, few samples and many; kept and read back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamhebb.errors import ConfigError, ShapeError
from streamhebb.sources.whiten import ZCA, digest


def samples(count, n=12, seed=0):
    chance = np.random.RandomState(seed)
    mixed = chance.randn(count, n) @ chance.randn(n, n) + chance.randn(n)
    return torch.from_numpy(mixed).view(count, 3, 2, 2)


@pytest.mark.parametrize("count", [40, 13, 12, 7, 2])
def test_as_published(count):
    x = samples(count)
    flat = x.flatten(1).numpy()
    u, s, _ = np.linalg.svd(np.cov(flat, rowvar=False))
    matrix = u @ np.diag((s + 0.1) ** -0.5) @ u.T
    fitted = ZCA.fit(x)
    np.testing.assert_allclose(fitted.matrix.numpy(), matrix, atol=1e-9)
    # means are left in, as published
    np.testing.assert_allclose(fitted(x).flatten(1).numpy(), flat @ matrix, atol=1e-9)


def test_what_is_whitened_is_white():
    x = samples(5000)
    cov = np.cov(ZCA.fit(x, eps=1e-9)(x).flatten(1).numpy(), rowvar=False)
    np.testing.assert_allclose(cov, np.eye(12), atol=1e-6)


def test_precision_and_shape_stay():
    x = samples(40).float()
    out = ZCA.fit(x)(x)
    assert (out.dtype, out.shape) == (torch.float32, x.shape)


def test_kept_and_read_back(tmp_path):
    fitted = ZCA.fit(samples(40).float())
    path = tmp_path / "matrix.npy"
    assert ZCA.load(path, 12) is None
    fitted.save(path)
    assert torch.equal(ZCA.load(path, 12).matrix, fitted.matrix)
    assert ZCA.load(path, 13) is None
    whole = path.read_bytes()
    for damaged in (b"", whole[:50], whole[:-1], b"x" * 200):
        path.write_bytes(damaged)
        assert ZCA.load(path, 12) is None
    np.save(path, np.array([print], object), allow_pickle=True)
    assert ZCA.load(path, 12) is None


def test_what_cannot_be_whitened():
    with pytest.raises(ConfigError, match="8193 values"):
        ZCA.fit(torch.zeros(3, 8193))
    with pytest.raises(ConfigError, match="1 samples"):
        ZCA.fit(torch.zeros(1, 4))
    with pytest.raises(ConfigError, match="eps=0"):
        ZCA.fit(torch.zeros(3, 4), eps=0)
    with pytest.raises(ShapeError, match="square"):
        ZCA(torch.zeros(2, 3))
    with pytest.raises(ShapeError, match="12 values"):
        ZCA.fit(samples(40))(torch.zeros(2, 5))


def test_a_digest_tells_everything_apart():
    x = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    names = {
        digest(x), digest(x, 0.1), digest(x + 1), digest(x.reshape(2, 12)), digest(x.astype(int)),
        digest(x[:1]),
    }  # fmt: skip
    assert len(names) == 6
    assert digest(x) == digest(np.asfortranarray(x))
