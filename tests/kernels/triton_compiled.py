"""Compile Triton's kernels for a card that need not be there; print what came out, as JSON.

Run with the card's compute capability: ``python triton_compiled.py 80``. Launches go as far as
machine code and no further, so tensors lie on the CPU and results are whatever was in memory.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import torch

from streamhebb import kernels
from streamhebb.kernels import triton_backend, triton_images, triton_launch, triton_learning
from streamhebb.kernels.images import Pool
from streamhebb.lazy import times


class NoCard:
    """What Triton asks of a driver before it compiles."""

    def __init__(self, capability: int) -> None:
        self.capability = capability

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self.capability, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def around(x: Any) -> None:
    """What stands around a convolution of images like these."""
    channels, last = x.shape[1], x.contiguous(memory_format=torch.channels_last)
    past = (*torch.zeros(2, channels), torch.zeros((), dtype=torch.float64))
    for images in (x, last):
        mean, scale, _ = triton_images.statistics(images, 1e-5)
        triton_images.running_moments(images, past, 0.1, 1e-5)
        triton_images.padded(images, mean, scale, 1, images is last)
    triton_images.follow(past, *triton_images.moments(x, True), 0.1)
    triton_images.move(*past[:2], past[:2], 0.1)
    triton_images.padded(last, None, None, 0, False)
    if x.shape[2] > 1:
        triton_images._pooled(last, 1.0, Pool(True, 4, 2, 1), 0.7)
        triton_images._pooled(last, 1.4, Pool(False, 2, 2, 0))
    triton_images._pooled(torch.zeros(1, 5000, 2, 2), 1.4, Pool(False, 2, 2, 0), 0.7)
    triton_images._pooled(x, 0.7, Pool(True, 1, 1, 0))
    triton_images.powers(x, 0.7)


@torch.no_grad()
def main(capability: int, *words: str) -> None:
    import triton  # here, for this file is also looked at where there is none
    from triton.runtime import JITFunction, driver

    driver.set_active(NoCard(capability))
    found: list[dict[str, Any]] = []
    compile_only = JITFunction.run

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        made = compile_only(self, *args, grid=grid, warmup=True, **options)
        assert made.asm["cubin"]
        tensor_cores = re.search(r"(?:wgmma\.mma_async|mma\.sync|tcgen05\.mma)\S*", made.asm["ptx"])
        found.append(
            {
                "kernel": self.__name__,
                "precision": options.get("PRECISION"),
                "shared": made.metadata.shared,
                "unit": tensor_cores.group() if tensor_cores else None,
            }
        )

    JITFunction.run = run

    def work(n: int, n_out: int, n_in: int, precision: str) -> None:
        x, w = torch.zeros(n, n_in), torch.zeros(n_out, n_in)
        y, total = torch.zeros(n, n_out), torch.zeros(n_out)
        triton_launch.drive(x, w, precision)
        triton_launch.change(y, x, total, w, torch.empty_like(w), precision)
        learn(y, x, total, w, precision)

    def learn(y: Any, x: Any, decay: Any, w: Any, precision: str) -> None:
        rates, mean = kernels.rates(kernels.lengths(w), 0.1, 0.5), torch.zeros(len(w))
        running = kernels.Running(mean, torch.zeros((), dtype=torch.float64), 9.0, mean)
        step = torch.zeros(len(w), 1)
        for few in (0, 1 << 30):
            triton_learning.FEW = dict.fromkeys(triton_backend.PRECISIONS, few)
            triton_learning.learn(y, x, decay, w, rates, "largest", 1.0, None, precision)
            triton_learning.learn(y, x, decay, w, step, "squares", 1.0, running, precision)
        triton_learning.learn(y, x, decay, w, step, "no", 0.0, None, precision)

    def convolve(sizes: tuple[int, ...], n_out: int, precision: str) -> None:
        images = kernels.Patches(torch.zeros(sizes))
        n, n_in = images.shape
        w, y = torch.zeros(n_out, n_in), torch.zeros(n, n_out)
        triton_launch.drive(images, w, precision)
        learn(y, images, times(y, y), w, precision)

    if "large" in words:
        convolve((1, 10, 10, 384), 1536, "tf32x3")
        convolve((64, 10, 10, 384), 1536, "bf16")
        convolve((8, 34, 34, 3), 96, "tf32x3")
        for precision in ("tf32x3", "ieee", "bf16"):
            work(64, 1536, 3456, precision)  # the published third layer
    else:
        work(30, 32, 600, "tf32x3")  # with parts of the inner dimension
        convolve((2, 20, 20, 3), 24, "tf32x3")
    if "small" in words:
        triton_launch.drive(torch.zeros(30, 600), torch.zeros(32, 600), "ieee")
        triton_launch.drive(torch.zeros(30, 600), torch.zeros(32, 600), "bf16")
        work(1, 1, 1, "tf32x3")  # numbers that are 1 are compiled in
        learn(torch.zeros(30, 9), torch.zeros(30, 8), None, torch.zeros(9, 8), "bf16")
    for width in (96, triton_launch.WHOLE + 1):
        triton_launch.soft_wta(torch.zeros(2, width), 1.0, True)
    for shape in (
        [(64, 3, 32, 32), (1, 96, 16, 16), (64, 384, 8, 8)]
        if "large" in words
        else [(2, 3, 64, 64)]
    ):
        around(torch.zeros(shape))
    if words:
        around(torch.zeros(1, 1, 1, 1))
    print(json.dumps({"triton": triton.__version__, "compiled": found}))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
