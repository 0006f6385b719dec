"""The few things a scheduler needs from an accelerator: streams, events, recorded graphs, copies.

Everything here is *enqueued*: the host goes on at once, and the device works through each stream in
the order in which its stream was filled. Two streams know nothing of each other unless one waits
for an event recorded on the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from streamhebb.errors import ConfigError

Stream: TypeAlias = Any
"""An ordered queue of device work."""

Event: TypeAlias = Any
"""A mark in a stream; reached when everything enqueued there before it has run."""

Graph: TypeAlias = Any
"""Device work recorded once, to be played back."""

Pool: TypeAlias = Any
"""Memory that recorded graphs keep for their temporary values."""


class Device(Protocol):
    """What a scheduler of device work asks for.

    [`CudaDevice`][streamhebb.schedule.device.CudaDevice] has it from torch.
    """

    name: str

    def stream(self) -> Stream:
        """Return a stream of its own."""
        ...

    def current(self) -> Stream:
        """Return the stream the caller is using now."""
        ...

    def on(self, stream: Stream) -> AbstractContextManager[object]:
        """Send what the block enqueues to that stream."""
        ...

    def event(self, timing: bool = False) -> Event:
        """Return an event; one with timing can be given to ``seconds``."""
        ...

    def record(self, event: Event, stream: Stream) -> None:
        """Put the event at the end of the stream."""
        ...

    def wait(self, stream: Stream, event: Event) -> None:
        """Hold back what is enqueued on the stream from now on until the event is reached."""
        ...

    def query(self, event: Event) -> bool:
        """Whether the event has been reached; does not wait."""
        ...

    def synchronize(self, event: Event) -> None:
        """Let the host wait until the event is reached."""
        ...

    def seconds(self, start: Event, end: Event) -> float:
        """Time between two events with timing, both reached."""
        ...

    def pool(self) -> Pool:
        """Return memory for recorded graphs; those that share it must never run at once."""
        ...

    def capture(self, stream: Stream, pool: Pool) -> AbstractContextManager[Graph]:
        """Record what the block enqueues on the stream, instead of running it.

        Streams that wait for an event recorded inside the block are recorded too, and the stream
        must wait for them again before the block ends.
        """
        ...

    def replay(self, graph: Graph) -> None:
        """Enqueue a recorded graph on the current stream."""
        ...

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return host memory that the device can read without the host's help."""
        ...

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return device memory, on the current stream."""
        ...

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Enqueue a copy on the current stream."""
        ...


class CudaDevice:
    """One CUDA card, by way of torch.

    Args:
        index: of the card.

    Raises:
        ConfigError: if there is no such card.
    """

    def __init__(self, index: int = 0) -> None:
        if not torch.cuda.is_available():
            raise ConfigError(
                f"cuda:{index} is not there: torch {torch.__version__} sees no CUDA card; use the "
                f"scheduler Threads, or Serial"
            )
        count = torch.cuda.device_count()
        if not 0 <= index < count:
            raise ConfigError(
                f"cuda:{index} is not there: torch sees {count} CUDA cards, numbered from 0; give "
                f"the number of one of them"
            )
        self.index = index
        self.name = f"cuda:{index}"

    def stream(self) -> Stream:
        """Return one of torch's streams, which do not wait for the default stream by themselves.

        torch has 32 of them and then hands them out again. Two lanes on one stream are slower, and
        still right: work waits only for what was enqueued before it.
        """
        return torch.cuda.Stream(self.index)  # type: ignore[no-untyped-call]

    def current(self) -> Stream:
        """Return torch's current stream of this card."""
        return torch.cuda.current_stream(self.index)

    def on(self, stream: Stream) -> AbstractContextManager[object]:
        """Make the stream, and its card, torch's current one."""
        context: AbstractContextManager[object] = torch.cuda.stream(stream)
        return context

    def event(self, timing: bool = False) -> Event:
        """Return an event; without timing it is cheaper."""
        return torch.cuda.Event(enable_timing=timing)  # type: ignore[no-untyped-call]

    def record(self, event: Event, stream: Stream) -> None:
        """Put the event at the end of the stream."""
        event.record(stream)

    def wait(self, stream: Stream, event: Event) -> None:
        """Let the stream wait; the host does not."""
        stream.wait_event(event)

    def query(self, event: Event) -> bool:
        """Whether the event has been reached."""
        return bool(event.query())

    def synchronize(self, event: Event) -> None:
        """Let the host wait."""
        event.synchronize()

    def seconds(self, start: Event, end: Event) -> float:
        """Time between two events, to about a microsecond; CUDA gives it in float32."""
        return float(start.elapsed_time(end)) / 1000

    def pool(self) -> Pool:
        """Return a handle for the allocator's private memory."""
        return torch.cuda.graph_pool_handle()

    @contextmanager
    def capture(self, stream: Stream, pool: Pool) -> Iterator[Graph]:
        """Record a CUDA graph; waits first for everything on the card to end.

        Other threads may go on using CUDA meanwhile.
        """
        graph = torch.cuda.CUDAGraph()
        failed: BaseException | None = None
        recording = torch.cuda.graph(
            graph, pool=pool, stream=stream, capture_error_mode="thread_local"
        )
        try:
            # torch leaves the capturing stream current if the capture fails; the outer one mends it
            with torch.cuda.stream(self.current()), recording:
                try:
                    yield graph
                except BaseException as error:
                    failed = error
                    raise
        except BaseException as error:
            if failed is not None and error is not failed:
                raise failed from error  # "capture failed" says less than why
            raise

    def replay(self, graph: Graph) -> None:
        """Enqueue a CUDA graph."""
        graph.replay()

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return page-locked host memory."""
        return torch.empty(tuple(shape), dtype=dtype, pin_memory=True)

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return memory on the card."""
        return torch.empty(tuple(shape), dtype=dtype, device=self.name)

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Copy without waiting; from the host, only pinned memory makes that true."""
        target.copy_(source, non_blocking=True)


def as_device(device: Device | int) -> Device:
    """Take a card by its number, or anything that keeps the protocol.

    Raises:
        ConfigError: if the number is that of no card.
    """
    return CudaDevice(device) if isinstance(device, int) else device


def mark(device: Device, stream: Stream, timing: bool = False) -> Event:
    """Return an event recorded at the end of a stream."""
    event = device.event(timing)
    device.record(event, stream)
    return event
