"""Video files as a stream of frames."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streamhebb.errors import SourceError
from streamhebb.sources._checks import MAX_PIXELS, optional_whole, picture_size, span, whole
from streamhebb.sources._late import late
from streamhebb.sources._pictures import picture
from streamhebb.sources.base import Unclosed
from streamhebb.values import Sample, Shape

_TAIL = 0.5
"""Seconds by which a Matroska file may fall short of its own duration tag."""


class VideoFile(Unclosed):
    """Frames of a video file, ``(C, H, W)`` in [0, 1], in the order they are shown.

    ``t`` is the presentation time stamp in seconds, ``id`` the number of the frame. With ``loop``
    the file begins again at its end, and ``t`` and ``id`` count on.

    **Damaged files.** Every frame that can be decoded is handed out. Frames that cannot are left
    out and counted in ``counts["corrupt"]``. If the file breaks off before its own end,
    ``counts["truncated"]`` becomes 1 and, *after the last good frame*,
    [`SourceError`][streamhebb.errors.SourceError] is raised: a stream that is shorter than it
    says must not pass for a whole one. A break is seen by the file's index
    (MP4, MOV: exact), by a packet or container that cannot be read, or by the duration tag
    (Matroska, WebM: half a second). MPEG transport streams declare no length; a cut between two
    of their packets cannot be seen.

    Rotation that a file asks its player for is not applied.

    Args:
        path: the file.
        size: ``(height, width)`` to scale to; by default as stored.
        gray: one channel instead of three.
        start: frames of the stream to skip (they are decoded, not converted).
        limit: length of the whole stream counted from its beginning, ``None`` for all of it.
        loop: begin again at the end.

    Raises:
        SourceError: missing, empty, not a video, or (while iterating) truncated.
        MissingExtraError: PyAV is not installed; the extra is ``video``.
    """

    classes = None

    def __init__(
        self,
        path: str | Path,
        *,
        size: tuple[int, int] | None = None,
        gray: bool = False,
        start: int = 0,
        limit: int | None = None,
        loop: bool = False,
    ) -> None:
        self.path = Path(path)
        self.name = self.path.name
        self.gray = gray
        self.start = whole(start, "start", 0)
        self.limit = optional_whole(limit, "limit", 0)
        self.loop = loop
        self.counts = {"corrupt": 0, "truncated": 0}
        if size is not None:
            size = picture_size(size)
        self._av = late("av", f"reading {self.name}", "video")
        with self._open() as container:
            stream = container.streams.video[0]
            stored = (stream.codec_context.height, stream.codec_context.width)
            self._declared: int = stream.frames
        if min(stored) < 1:
            raise SourceError(f"{self.path} holds a video without a picture size: it is damaged")
        if math.prod(stored) > MAX_PIXELS:
            raise SourceError(
                f"{self.path} declares {stored[1]} x {stored[0]} pixels; "
                f"at most {MAX_PIXELS} are decoded"
            )
        self._size = size or stored
        self.shape: Shape = (1 if gray else 3, *self._size)

    def __len__(self) -> int:
        """Frames, by the file's own word.

        Raises:
            TypeError: the file does not say, or it loops without a limit.
        """
        left = span(None if self.loop else self._declared or None, self.start, self.limit)
        if left is None or (not self._declared and not self.loop):
            raise TypeError(f"{self.path} does not say how many frames it holds")
        return left

    def __iter__(self) -> Iterator[Sample]:
        self.counts.update(corrupt=0, truncated=0)
        number, shift = 0, 0.0
        if self.limit is not None and self.start >= self.limit:
            return
        while True:
            first, begin, end = number, 0.0, 0.0
            for frame in self._frames():
                end = _end(frame)
                if number == first:
                    begin = frame.time or 0.0
                if number >= self.start:
                    t = None if frame.time is None else frame.time + shift
                    yield Sample(self._observation(frame), t=t, id=number)
                number += 1
                if number == self.limit:
                    return
            if not self.loop:
                return
            # Whole rounds that will be skipped need not be decoded to be counted.
            rounds = 1 + max(0, self.start - number) // (number - first)
            number += (rounds - 1) * (number - first)
            shift += rounds * (end - begin)

    def _observation(self, frame: Any) -> Any:
        height, width = self._size
        frame = frame.reformat(width=width, height=height, format="gray" if self.gray else "rgb24")
        return picture(frame.to_ndarray())

    def _frames(self) -> Iterator[Any]:
        """Frames of one round; raises at the end if the file broke off."""
        frames = 0
        with self._open() as container:
            stream = container.streams.video[0]
            broken = _ends_early(stream, self.path.stat().st_size)
            end = 0.0
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets, None)
                except self._av.FFmpegError:
                    broken, packet = True, None
                for frame in self._decoded(stream, packet):
                    frames += 1
                    end = max(end, _end(frame))
                    yield frame
                if packet is None:
                    break
                if packet.size:
                    broken = broken or packet.is_corrupt
            if frames == 0:
                raise SourceError(f"{self.path} holds no frame that can be decoded: fetch it again")
            tag = _tagged_duration(stream)
            if broken or (tag is not None and end < tag - _TAIL):
                self.counts["truncated"] = 1
                of = f" of {self._declared}" if self._declared else ""
                raise SourceError(
                    f"{self.path} is truncated: it breaks off after {frames}{of} frames "
                    "(all of them were handed out); fetch it again, or set limit="
                )

    def _decoded(self, stream: Any, packet: Any) -> list[Any]:
        if packet is not None and packet.size and packet.is_corrupt:
            self.counts["corrupt"] += 1
            return []
        try:
            frames = stream.codec_context.decode(packet)
        except EOFError:  # flushed already
            return []
        except self._av.FFmpegError:
            self.counts["corrupt"] += 1
            return []
        good = [frame for frame in frames if not frame.is_corrupt]
        self.counts["corrupt"] += len(frames) - len(good)
        return good

    def _open(self) -> Any:
        if not self.path.is_file():
            raise SourceError(f"{self.path} does not exist or is not a file")
        if self.path.stat().st_size == 0:
            raise SourceError(f"{self.path} is empty: fetch it again")
        try:
            # A playlist that calls itself .mp4 must not make this machine fetch other addresses.
            container = self._av.open(
                str(self.path.resolve()), options={"protocol_whitelist": "file"}
            )
        except (self._av.FFmpegError, ValueError) as error:
            raise SourceError(
                f"{self.path} is not a video, or is truncated ({error}): fetch it again"
            ) from error
        if not container.streams.video:
            container.close()
            raise SourceError(f"{self.path} holds no video stream")
        return container


def _end(frame: Any) -> float:
    """When the frame's time on the screen is over."""
    length = frame.duration * frame.time_base if frame.duration else 0
    return float((frame.time or 0.0) + length)


def _ends_early(stream: Any, size: int) -> bool:
    """Whether the index points behind the end of the file."""
    return any(entry.pos + entry.size > size for entry in stream.index_entries)


def _tagged_duration(stream: Any) -> float | None:
    """Seconds by Matroska's tag ``HH:MM:SS.fraction``."""
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        hours, minutes, seconds = (float(part) for part in parts)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds
