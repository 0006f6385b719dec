"""A live camera: always the newest frame, never the same one twice."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from streamhebb.clock import Clock, WallClock
from streamhebb.errors import ConfigError, SourceError
from streamhebb.sources._checks import optional_whole, picture_size, whole
from streamhebb.sources._late import late
from streamhebb.sources._newest import Capture, Frame, NewestFrame
from streamhebb.values import Sample, Shape

URL_SCHEMES = ("http", "https", "rtsp")

_log = logging.getLogger(__name__)


class Camera:
    """A camera by device number or URL, ``(C, H, W)`` RGB frames in [0, 1].

    A thread reads all the time and keeps only the newest frame. A frame is handed out once at most;
    frames that were overtaken are counted in ``counts["dropped"]``, reads that gave none in
    ``counts["failed"]``. ``t`` is the clock's time at which the frame arrived, ``id`` its number
    since the camera was opened, so gaps in ``id`` are drops.

    The device is opened by ``with`` (or by iterating without it), and released when the block (or
    the iteration) is left. A camera has no end: if no frame comes within ``timeout`` the iterator
    raises [`SourceError`][streamhebb.errors.SourceError], whether the camera vanished, hangs, or
    its URL came to an end. Nothing waits longer than about twice ``timeout``.

    Args:
        device: number, or a URL ``http://``, ``https://`` or ``rtsp://``.
        size: ``(height, width)`` to scale to; by default as it comes, known once open.
        gray: one channel instead of three.
        timeout: seconds to wait for a frame.
        clock: gives ``t``; by default the wall clock.
        open: opens the capture instead of OpenCV, for tests and other devices; called with
            ``device`` in the reader thread.
        limit: frames to hand out, ``None`` for no end.

    Raises:
        ConfigError: not a device number or an allowed URL, or a bad option.
        SourceError: it cannot be opened, or no frame came in time.
        MissingExtraError: OpenCV is not installed; the extra is ``camera``.

    Example:
        >>> with Camera(0, size=(32, 32)) as camera:  # doctest: +SKIP
        ...     for sample in camera:
        ...         net.step(sample.x)
    """

    classes = None

    def __init__(
        self,
        device: int | str,
        *,
        size: tuple[int, int] | None = None,
        gray: bool = False,
        timeout: float = 5.0,
        clock: Clock | None = None,
        open: Callable[[int | str], Capture] | None = None,
        limit: int | None = None,
    ) -> None:
        self.device, self.name = _device(device)
        self._size = None if size is None else picture_size(size)
        self.gray = gray
        if not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:  # type: ignore[redundant-expr]
            raise ConfigError(f"timeout={timeout!r} is not allowed; give seconds above 0")
        self.timeout = float(timeout)
        self.limit = optional_whole(limit, "limit", 0)
        self.counts = {"dropped": 0, "failed": 0}
        self._clock = WallClock() if clock is None else clock
        self._open = self._opencv if open is None else open
        if open is None:
            late("cv2", "a camera", "camera")
        self._reader: NewestFrame | None = None

    @property
    def shape(self) -> Shape:
        """``(C, H, W)``.

        Raises:
            SourceError: no ``size`` was given and the camera has not been opened yet.
        """
        if self._size is None:
            raise SourceError(
                f"the picture size of {self.name} is not known before it is open: give size=, or "
                "ask inside the with block"
            )
        return (1 if self.gray else 3, *self._size)

    def __enter__(self) -> Self:
        if self._reader is not None:
            raise SourceError(f"{self.name} is open already: leave its with block first")
        self.counts.update(dropped=0, failed=0)
        device = self.device
        self._reader = NewestFrame(
            lambda: self._open(device), self._clock, self.counts, f"streamhebb {self.name}"
        )
        try:
            first = self._asked(lambda reader: reader.first_shape(self.timeout))
            if first is None:
                raise SourceError(self._silent())
            if self._size is None:
                self._size = (int(first[0]), int(first[1]))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading and release the device. Closing twice does no harm."""
        reader, self._reader = self._reader, None
        if reader is not None and not reader.stop(self.timeout + 1.0):
            _log.warning("%s does not answer; its thread ends once it does", self.name)

    def __iter__(self) -> Iterator[Sample]:
        alone = self._reader is None
        if alone:
            self.__enter__()
        reader = self._reader
        handed = 0
        try:
            while reader is not None and handed != self.limit:
                frame = self._asked(lambda reader: reader.take(self.timeout), reader)
                if frame is None:
                    if reader.stopping:
                        return
                    raise SourceError(self._silent())
                yield self._sample(frame)
                handed += 1
        finally:
            if alone:
                self.close()

    def _asked(self, ask: Callable[[NewestFrame], Any], reader: NewestFrame | None = None) -> Any:
        reader = reader or self._reader
        if reader is None:
            raise SourceError(f"{self.name} is not open; use it in a with block")
        try:
            return ask(reader)
        except Exception as error:
            raise SourceError(f"{self.name}: {error}; {self._cure()}") from error

    def _silent(self) -> str:
        return f"{self.name}: no frame within {self.timeout} s; {self._cure()}"

    def _cure(self) -> str:
        if isinstance(self.device, int):
            return "check that it is plugged in, free, and has this number"
        return "check the address and that it still sends"

    def _sample(self, frame: Frame) -> Sample:
        pixels = frame.pixels
        if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
            raise SourceError(
                f"{self.name} sends {pixels.dtype} {pixels.shape}; 8-bit pictures are allowed"
            )
        if pixels.ndim == 3:  # BGR, perhaps with alpha, or one channel
            pixels = pixels[:, :, 2::-1] if pixels.shape[2] >= 3 else pixels[:, :, :1]
        x = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(pixels)))
        return Sample(self._observation(x.permute(2, 0, 1)), t=frame.t, id=frame.number)

    def _observation(self, x: Tensor) -> Tensor:
        """``uint8 (C, H, W)`` to float32 in [0, 1], of the right size and channels."""
        if self._size is not None and x.shape[1:] != self._size:
            x = interpolate(x[None], self._size, mode="bilinear", antialias=True)[0]
        unit = x.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
        if self.gray and len(unit) == 3:
            weights = unit.new_tensor((0.299, 0.587, 0.114))  # ITU-R BT.601, as OpenCV has it
            return torch.einsum("c,chw->hw", weights, unit)[None].clamp_(0, 1)
        return unit if self.gray or len(unit) == 3 else unit.expand(3, -1, -1).contiguous()

    def _opencv(self, device: int | str) -> Any:
        cv2 = late("cv2", "a camera", "camera")
        if isinstance(device, int):
            return cv2.VideoCapture(device)
        # Without these a silent server would hold the reader for half a minute and more.
        patience = int(self.timeout * 1000)
        options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, patience]
        options += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, patience]
        return cv2.VideoCapture(device, cv2.CAP_FFMPEG, options)


def _device(device: Any) -> tuple[int | str, str]:
    """Device and a name without the user's password."""
    if not isinstance(device, str):
        number = whole(device, "device", 0)
        return number, f"camera:{number}"
    try:
        parts = urlsplit(device)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"the camera address is not a URL ({error})") from None
    if parts.scheme not in URL_SCHEMES or not host:
        raise ConfigError(
            f"a camera is a device number or a URL of {', '.join(URL_SCHEMES)} with a host, "
            f"not {parts.scheme or device!r}"
        )
    return device, f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"
