"""The kernels written in Triton, with products of operands rounded to bfloat16.

Sums, weights and what is passed on stay float32. A number keeps 8 bits of its digits, so each
product is wrong by up to 1 in 128: this is for those who ask for it by name. What Triton does not
serve, torch does, in full precision.
"""

from __future__ import annotations

from functools import partial

from streamhebb.kernels import triton_backend

drive = partial(triton_backend.drive, precision="bf16")
accumulate = partial(triton_backend.accumulate, precision="bf16")
soft_wta = triton_backend.soft_wta
sparse_drive = triton_backend.sparse_drive
