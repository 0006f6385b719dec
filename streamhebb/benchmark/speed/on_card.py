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
from streamhebb.frames import Frame, Mode
from streamhebb.net import StreamNet


def asked(net: StreamNet, x: Tensor, backend: str = "triton") -> dict[str, Counted]:
    """Count what each task of a step asks of a card; tasks by hand are left out.

    Args:
        net: is copied.
        x: a micro-batch, on any device.
        backend: of the kernels.

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
    layers = list(there.layers)
    frame = Frame(x.to("meta"), len(layers), [None] * len(x), [1.0] * len(layers))
    frame.settings = there.planner.settings
    found = {}
    with kernels.use(backend), torch.no_grad():
        for task in there.planner.step(Mode.LEARN).plan:
            if not task.by_hand:
                found[task.name] = count(lambda task=task: task.run(frame))  # type: ignore[misc]
    return found
