"""Whitening of pictures: ZCA, as published."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from streamhebb import files
from streamhebb.errors import ConfigError, ShapeError
from streamhebb.parts import require

MOST = 8192
"""Largest number of values of a sample: the matrix has the square of it."""
_CHUNK = 5000


class ZCA:
    r"""Whitening that changes pictures as little as possible.

    $$z = W x, \qquad W = U\,\mathrm{diag}\big((s + \epsilon)^{-1/2}\big)\,U^T$$

    with the covariance $U\,\mathrm{diag}(s)\,U^T$ of the samples it was fitted to. As published,
    means are left in, and the same matrix serves the test set.

    Args:
        matrix: $W$, shape ``(n, n)``.

    Example:
        >>> x = torch.randn(50, 1, 2, 2, generator=torch.Generator().manual_seed(0))
        >>> ZCA.fit(x)(x).shape
        torch.Size([50, 1, 2, 2])

    Reference:
        A. J. Bell, T. J. Sejnowski, 1997. https://doi.org/10.1016/S0042-6989(97)00121-1
    """

    def __init__(self, matrix: Tensor) -> None:
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ShapeError(f"ZCA: a matrix of {tuple(matrix.shape)} is given; it must be square")
        self.matrix = matrix

    @classmethod
    def fit(cls, x: Tensor, eps: float = 0.1) -> Self:
        """Fit it to samples.

        Args:
            x: shape ``(N, ...)``.
            eps: added to each variance.

        Raises:
            ConfigError: for samples too large for a matrix, or fewer than two.
        """
        require("ZCA", "eps", eps, above=0)
        rows = x.flatten(1)
        count, n = rows.shape
        if n > MOST or count < 2:
            raise ConfigError(
                f"ZCA: {count} samples of {n} values cannot be whitened; it takes 2 samples and "
                f"more, of at most {MOST} values"
            )
        mean = rows.mean(0, dtype=torch.float64)
        if count <= n:
            # Fewer samples than values: where they do not reach, the variance is 0.
            centred = rows.double() - mean
            _, root, across = torch.linalg.svd(centred, full_matrices=False)
            gain = (root.square() / (count - 1) + eps).rsqrt() - eps**-0.5
            whole = (across.T * gain) @ across
            whole.diagonal().add_(eps**-0.5)
            return cls(whole.to(x.dtype))
        covariance = torch.zeros(n, n, dtype=torch.float64)
        for part in torch.split(rows, _CHUNK):
            centred = part.double() - mean
            covariance.addmm_(centred.T, centred)
        size, along = torch.linalg.eigh(covariance.div_(count - 1))
        matrix = (along * (size.clamp_min(0) + eps).rsqrt()) @ along.T
        return cls(matrix.to(x.dtype))

    def __call__(self, x: Tensor) -> Tensor:
        """Return the whitened samples, shaped as they came."""
        n = self.matrix.shape[0]
        if x[0].numel() != n:
            raise ShapeError(f"ZCA was fitted to {n} values a sample, not {tuple(x.shape[1:])}")
        out = torch.empty_like(x)
        matrix = self.matrix.to(x)
        for here, there in zip(torch.split(x, _CHUNK), torch.split(out, _CHUNK), strict=True):
            there.copy_((here.flatten(1) @ matrix).view_as(here))
        return out

    def save(self, path: Path) -> None:
        """Write the matrix, whole or not at all.

        Raises:
            OSError: if the disk refuses.
        """
        buffer = io.BytesIO()
        np.save(buffer, self.matrix.numpy(), allow_pickle=False)
        files.replace(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path, n: int) -> Self | None:
        """Read a matrix that ``save`` wrote; ``None`` if there is none, or another one.

        Args:
            path: the file.
            n: values of a sample.
        """
        try:
            # Mapping compares the declared size with the file; a plain load would allocate first.
            matrix = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError, AttributeError):
            return None
        if matrix.dtype != np.float32 or matrix.shape != (n, n):
            return None
        return cls(torch.from_numpy(np.array(matrix)))


def digest(x: np.ndarray[Any, Any], *more: object) -> str:
    """A name for what a matrix is fitted to: bytes of the samples, and settings.

    Example:
        >>> digest(np.zeros((2, 3), np.uint8), 0.1) == digest(np.zeros((2, 3), np.uint8), 0.2)
        False
    """
    total = hashlib.sha256(repr((x.shape, x.dtype.str, more)).encode())
    for part in np.array_split(x, max(1, len(x) // _CHUNK)):
        total.update(np.ascontiguousarray(part).tobytes())
    return total.hexdigest()[:16]
