"""What a step asks of a card, counted without one.

A net without memory (``device="meta"``) has shapes and nothing in them. What it asks for is what it
would ask of a card, operator by operator and kernel by kernel; and whatever would make the host
wait for an answer raises, for there is none.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.benchmark.speed.counted import Counted, count
from streamhebb.blocks import Block
from streamhebb.net import StreamNet


def asked(
    net: StreamNet, x: Tensor, backend: str = "triton", fine: bool = False
) -> dict[str, Counted]:
    """Count what each task of a step asks of a card; a readout is left out.

    Args:
        net: is copied.
        x: a micro-batch, on any device.
        backend: of the kernels.
        fine: whether every layer that learns has a lane of its own, as in recordings of blocks.

    Returns:
        Task -> what was counted.

    Raises:
        RuntimeError: where a task looks at a value, for which the host would wait.

    Example:
        >>> import torch, streamhebb as sh
        >>> net = sh.StreamNet(sh.Dense(4, 8), seed=0)
        >>> found = asked(net, torch.rand(1, 4), "torch")
        >>> list(found), found["respond 0:Dense"].by_name
        (['respond 0:Dense', 'learn 0:Dense'], {'aten::mm': 1})
    """
    there = copy.deepcopy(net).to("meta")
    block, found = Block(x[None].to("meta"), len(there.layers)), {}
    with kernels.use(backend), torch.no_grad():
        for task in there.planner.block(1, fine)[:-1]:  # the last one looks at the whole block
            found[task.name] = count(lambda task=task: task.run(block))  # type: ignore[misc]
    return found
