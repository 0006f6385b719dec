"""Code for other processors than this one gives the same sums: without AVX-512, or bfloat16."""

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

LEARNING = """
import copy, torch
import streamhebb as sh
from streamhebb import kernels
from streamhebb.kernels import numba_backend, window_loops
from streamhebb.kernels.renewal import Renewal
from streamhebb.kernels.vector_code import COARSE, LANES

assert not COARSE
chance = torch.Generator().manual_seed(0)
draw = lambda *shape: torch.randn(*shape, generator=chance)
nets = (
    (lambda: sh.Dense(96, 50, scaling=sh.LayerMax()), (1, 96)),
    (lambda: sh.Dense(96, 50, scaling=sh.NeuronRMS()), (20, 96)),
    (lambda: sh.Conv2d(16, 24, 3, padding=1), (1, 16, 6, 6)),
)
for make, shape in nets:
    net = sh.StreamNet(make(), seed=0)
    twin = copy.deepcopy(net)
    for _ in range(3):
        x = draw(*shape)
        with kernels.use("numba"):
            net.step(x)
        with kernels.use("torch"):
            twin.step(x)
    torch.testing.assert_close(net.layers[0].weight, twin.layers[0].weight, rtol=1e-4, atol=1e-5)

numbers = draw(3, 4 * LANES)  # rounded as they are written
numbers[0, :6] = torch.tensor([0.0, -0.0, 3e38, 1 + 2**-8, 1 + 3 * 2**-8, 1e-40])
weight, memory = numbers.clone(), numbers.bfloat16()
memory.zero_()
rows = Renewal(None, torch.zeros(3), weight, torch.empty(3), None, memory)
numba_backend.add(torch.zeros_like(weight), rows)
assert torch.equal(memory.view(torch.int16), weight.bfloat16().view(torch.int16))
flat = numbers.view(-1).clone()
flat[7:10] = torch.tensor([float("nan"), float("inf"), 3.4e38])
pairs = torch.zeros(flat.numel(), dtype=torch.int32)
window_loops.pair(flat.numpy(), LANES, pairs.numpy())
low = pairs.view(torch.bfloat16)[::2][: flat.numel() - LANES]
wanted = flat.bfloat16()[: flat.numel() - LANES]
torch.testing.assert_close(low, wanted, rtol=0, atol=0, equal_nan=True)
print("the same")
"""


def here(*names):
    return all(llvm.get_host_cpu_features().get(name) for name in names)


@pytest.mark.skipif(not here(*NEEDED), reason="this processor cannot run code for AVX2")
def test_vectors_of_eight_numbers():
    run(PROGRAM, "haswell", NEEDED)


WIDE = ("avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512cd")


@pytest.mark.parametrize(
    ("name", "features"),
    [("generic", ()), ("haswell", NEEDED), ("skylake-avx512", (*NEEDED, *WIDE))],
)
def test_processors_without_bfloat16_learn(name, features):
    if not here(*features) or llvm.get_process_triple().partition("-")[0] != "x86_64":
        pytest.skip("this processor cannot run such code")
    run(LEARNING, name, features)


def run(program, name, features):
    chosen = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": ",".join(f"+{n}" for n in features)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | chosen,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the same\n"
