from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from streamhebb import kernels


@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    more=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_each_row_is_what_its_output_pixel_sees(
    kernel: tuple[int, int], stride: int, dilation: int, more: tuple[int, int]
) -> None:
    height, width = ((k - 1) * dilation + 1 + m for k, m in zip(kernel, more, strict=True))
    x = torch.arange(2.0 * height * width * 3).view(2, height, width, 3)
    rows = kernels.windows(x, kernel, stride, dilation)
    assert rows.shape[1:3] == (more[0] // stride + 1, more[1] // stride + 1)
    for b in range(2):
        for r in range(rows.shape[1]):
            for c in range(rows.shape[2]):
                expected = [
                    float(x[b, r * stride + kr * dilation, c * stride + kc * dilation, channel])
                    for kr in range(kernel[0])
                    for kc in range(kernel[1])
                    for channel in range(3)
                ]
                assert rows[b, r, c].tolist() == expected
