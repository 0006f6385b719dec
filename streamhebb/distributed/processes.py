"""Processes that sum what they have, by ``torch.distributed``."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor

from streamhebb.distributed.digest import digests
from streamhebb.errors import PeerError
from streamhebb.net import StreamNet
from streamhebb.peers import rows_of

WIDTH = 8  # bytes of a digest that are compared


class Processes:
    """All processes that learn one net together, seen from one of them; made by ``join``.

    Every process must do the same: the same calls on the net, with the same data, in the same
    order. Each is then given its share. Leaving the ``with`` block makes the net its own again.

    Args:
        net: whose layers sum over the processes.
        group: of ``torch.distributed``; ``None`` is all.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
    """

    def __init__(self, net: StreamNet, group: Any = None) -> None:
        self.net = net
        self.group = group
        self.rank = dist.get_rank(group)
        self.size = dist.get_world_size(group)
        self._spare = torch.empty(0)

    # -- what layers ask for ---------------------------------------------------------------------

    def share(self, x: Tensor) -> Tensor:
        """Return this process's rows of a mini-batch, perhaps none."""
        return x[rows_of(self.rank, self.size, len(x))]

    def gather(self, x: Tensor, rows: int) -> Tensor:
        """Return the rows of all processes, in the order of the mini-batch, which has ``rows``."""
        whole = x.new_zeros(rows, *x.shape[1:])  # nothing is rounded where 0 is added
        whole[rows_of(self.rank, self.size, rows)] = x
        self.add_up(whole)
        return whole

    def add_up(self, *values: Tensor) -> None:
        """Replace each tensor by its sum over all processes, in place.

        All of them make one message.

        Raises:
            PeerError: if another process has ended, or does not come.
        """
        kind = torch.float32
        for value in values:
            kind = torch.promote_types(kind, value.dtype)
        if len(values) == 1 and values[0].dtype == kind and values[0].is_contiguous():
            self._sum(values[0])
            return
        sizes = [value.numel() for value in values]
        flat = self._lent(sum(sizes), kind, values[0].device)
        parts = torch.split(flat, sizes)
        for value, part in zip(values, parts, strict=True):
            part.copy_(value.reshape(-1))
        self._sum(flat)
        for value, part in zip(values, parts, strict=True):
            value.copy_(part.view(value.shape))

    def _lent(self, count: int, kind: torch.dtype, device: torch.device) -> Tensor:
        """Memory that is kept: a large piece is dear when it is new."""
        spare = self._spare
        if spare.dtype != kind or spare.device != device or len(spare) < count:
            self._spare = spare = torch.empty(count, dtype=kind, device=device)
        return spare[:count]

    def _sum(self, flat: Tensor) -> None:
        start = time.monotonic()
        try:
            dist.all_reduce(flat, group=self.group)
        except RuntimeError as error:
            waited = time.monotonic() - start
            reason = str(error).partition("This is typically")[0].strip()
            raise PeerError(
                f"process {self.rank} of {self.size} lost the others after {waited:.1f} s: one "
                f"has ended or does not come ({reason}). Look for its own error; then start all "
                f"of them anew, from a snapshot if there is one"
            ) from error

    # -- whether all is the same ----------------------------------------------------------------

    def agree(self, parts: Mapping[str, bytes]) -> None:
        """Check that every part is the same in all processes.

        Args:
            parts: what it is called, and its bytes.

        Raises:
            PeerError: naming the parts and processes that differ from process 0.
        """
        mine = [hashlib.sha256(f"{len(parts)}".encode() + b).digest() for b in parts.values()]
        own = torch.tensor([list(digest[:WIDTH]) for digest in mine], dtype=torch.float32)
        all_of_them = torch.zeros(self.size, *own.shape)
        all_of_them[self.rank] = own
        device = self.net.place[0]
        found = all_of_them.to(device)
        self.add_up(found)
        found = found.cpu()
        wrong = [
            f"{name} (process {rank})"
            for column, name in enumerate(parts)
            for rank in range(1, self.size)
            if not torch.equal(found[rank, column], found[0, column])
        ]
        if wrong:
            raise PeerError(
                f"{self.size} processes differ from process 0: {', '.join(wrong[:6])}. Give all "
                f"of them the same net (seed or snapshot), the same data, the same kernels and "
                f"machines of one kind; each takes its share of the data itself"
            )

    def check(self) -> None:
        """Check that all processes have the same net, to the bit.

        ``train_phases`` does so before and after every epoch.

        Raises:
            PeerError: naming the layers that differ.
        """
        self.agree(digests(self.net))

    # -- the end --------------------------------------------------------------------------------

    def enter(self) -> None:
        """Let the net sum over the processes from now on; ``join`` does so."""
        self._tell(self)

    def leave(self) -> None:
        """Make the net this process's own again; nothing is sent."""
        self._tell(None)

    def _tell(self, peers: Self | None) -> None:
        self.net.peers = self.net.planner.peers = peers
        for layer in self.net._layers:
            layer.peers = peers

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()  # a copy of a net is by itself

    def __repr__(self) -> str:
        return f"Processes(rank={self.rank}, size={self.size})"
