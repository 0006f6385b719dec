"""From raw pictures to observations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def picture(array: np.ndarray[Any, Any]) -> Tensor:
    """An 8-bit picture ``(H, W)`` or ``(H, W, C)`` as float32 ``(C, H, W)`` in [0, 1].

    Example:
        >>> picture(np.full((2, 3), 255, np.uint8)).shape
        torch.Size([1, 2, 3])
    """
    if array.ndim == 2:
        array = array[:, :, None]
    # A copy: decoders reuse their buffers.
    chw = np.array(array.transpose(2, 0, 1), order="C")
    return torch.from_numpy(chw).to(torch.float32).div_(255)
