"""Vectors of eight numbers, as processors without AVX-512 have them, give the same sums."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("avx2", "fma", "bmi2")

PROGRAM = """
import torch
from streamhebb import kernels
from streamhebb.kernels import numba_backend, numba_inputs
from streamhebb.kernels.images import Pool
from streamhebb.kernels.patches import Patches
from streamhebb.kernels.vector_code import COARSE, LANES, TALL

assert (LANES, TALL, COARSE) == (8, 4, False), (LANES, TALL, COARSE)
chance = torch.Generator().manual_seed(0)
draw = lambda *shape: torch.randn(*shape, generator=chance)
ways = (
    (Patches(draw(2, 9, 8, 72)), "Direct"),
    (Patches(draw(2, 9, 8, 3), kernel=(5, 5)), "Few"),
    (Patches(draw(2, 9, 8, 24), 4), "Tiled"),
)
with torch.no_grad():
    for pre, way in ways:
        weight, post = draw(53, pre.shape[1]), draw(pre.shape[0], 53)
        assert type(numba_inputs.inputs(pre, False)).__name__ == way, way
        u = numba_backend.drive(pre, weight)
        torch.testing.assert_close(u, pre.made @ weight.mT, rtol=0, atol=1e-2)
        out = numba_backend.product(post, pre, torch.empty_like(weight))
        torch.testing.assert_close(out, post.mT @ pre.made, rtol=0, atol=1e-2)
        share = numba_backend.soft_wta(u, 1.0, False)
        torch.testing.assert_close(share, torch.softmax(u, 1), rtol=1e-5, atol=1e-6)
    with kernels.use("numba"):
        x = draw(2, 24, 6, 6)
        found = kernels.pooled(kernels.rectified(x, 0.7), Pool(True, 4, 2, 1))
    plain = Pool(True, 4, 2, 1)((x - x.mean(1, keepdim=True)).relu() ** 0.7)
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-5)
print("the same")
"""


@pytest.mark.skipif(
    not all(llvm.get_host_cpu_features().get(name) for name in NEEDED),
    reason="this processor cannot run code for AVX2",
)
def test_vectors_of_eight_numbers():
    chosen = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ",".join(f"+{n}" for n in NEEDED)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | chosen,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the same\n"
