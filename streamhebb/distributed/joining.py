"""How processes come to learn together."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist

from streamhebb.distributed.fitting import why_not
from streamhebb.distributed.processes import Processes
from streamhebb.errors import ConfigError
from streamhebb.net import StreamNet


def join(net: StreamNet, group: Any = None) -> Processes:
    """Let a net learn together with the same net in other processes.

    Every process runs the same program on the same data. ``net.step``, ``net.fit`` and
    ``train_phases`` take whole mini-batches as always; each process passes its share of the rows
    through the layers, and the layers sum what they learn from over the processes. Predictions,
    reports and counters are those of the whole mini-batch. The readout, which is small, learns the
    whole mini-batch in every process.

    Args:
        net: on every process the same, by the same seed or snapshot.
        group: of ``torch.distributed``; ``None`` is all processes. Its timeout is how long a
            process waits for the others.

    Returns:
        The processes; use it in a ``with`` block, or call ``leave()`` at the end.

    Raises:
        ConfigError: before ``init_process_group``; or for parts that would not learn what one
            process learns, naming each and what to do.
        PeerError: if the processes do not have the same net.

    Example:
        >>> import torch
        >>> import torch.distributed as dist
        >>> from streamhebb import Dense, StreamNet
        >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        >>> net = StreamNet(Dense(4, 2))
        >>> with join(net) as processes:
        ...     result = net.step(torch.rand(6, 4))
        ...     processes.check()
        >>> dist.destroy_process_group()
    """
    if not dist.is_available() or not dist.is_initialized():
        raise ConfigError(
            "distributed.join: this process is in no group; start it by torchrun and call "
            "torch.distributed.init_process_group('gloo', timeout=timedelta(seconds=60)) first, "
            "on cards with 'nccl'"
        )
    if net.peers is not None:
        raise ConfigError("distributed.join: the net has joined already; call leave() first")
    if reasons := why_not(net):
        raise ConfigError(
            f"distributed.join: several processes would not learn what one does. "
            f"{'. '.join(reasons)}"
        )
    processes = Processes(net, group)
    processes.check()
    processes.enter()
    return processes
