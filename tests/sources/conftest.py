"""Real data, clips and an MJPEG camera on loopback for the tests of sources."""

from __future__ import annotations

import gzip
import io
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def data() -> Path:
    """The folder of real data sets, or a skip."""
    named = os.environ.get("STREAMHEBB_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("STREAMHEBB_DATA names no folder of real data")
    return Path(named)


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any data: an empty data folder, an empty cache, no published checksums."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("STREAMHEBB_DATA", str(folder))
    monkeypatch.setattr("streamhebb.sources._find.cache_folder", lambda: tmp_path / "cache")
    # Files that tests make are small; test_checksums.py has the real sums.
    monkeypatch.setattr("streamhebb.sources._checksums.KNOWN", {})
    monkeypatch.setattr("streamhebb.sources._checksums.SHEETS", {})
    return folder


def idx_bytes(array: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes."""
    header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def small_mnist(no_data: Path) -> Path:
    """``MNIST/raw`` with 20 training and 10 test pictures: plain training files, packed others."""
    raw = no_data / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for stem, rows in (("train", 20), ("t10k", 10)):
        x = (np.arange(rows * 784) % 256).reshape(rows, 28, 28)
        y = np.arange(rows) % 10
        for name, array in ((f"{stem}-images-idx3-ubyte", x), (f"{stem}-labels-idx1-ubyte", y)):
            if stem == "train":
                (raw / name).write_bytes(idx_bytes(array))
            else:
                (raw / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))
    return raw


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[..., Path]:
    """Encode a clip whose frame ``n`` is grey of brightness ``10 n``, with moving noise."""
    av = pytest.importorskip("av", reason="the extra 'video' is not installed")

    def make(name: str = "clip.mp4", frames: int = 20, bitrate: int = 400_000) -> Path:
        path = tmp_path / name
        options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
        noise = np.random.RandomState(0).randint(0, 10, (frames, 48, 64, 3))
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.bit_rate = bitrate
            for n in range(frames):
                pixels = (noise[n] + 10 * n).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture
def clip(data: Path) -> list[np.ndarray]:
    """The frames of a real clip, RGB."""
    av = pytest.importorskip("av", reason="the extra 'video' is not installed")
    path = data / "video" / "carphone_pristine.mp4"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in STREAMHEBB_DATA")
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def jpeg(pixels: np.ndarray) -> bytes:
    """One frame as a camera would send it."""
    image = pytest.importorskip("PIL.Image")
    out = io.BytesIO()
    image.fromarray(pixels).save(out, "JPEG", quality=92)
    return out.getvalue()


class MjpegServer(ThreadingHTTPServer):
    """A network camera: sends JPEG pictures over one never-ending answer."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, frames: list[bytes], fps: float, end: int | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.frames, self.fps, self.end = frames, fps, end
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/video.mjpg"

    def handle_error(self, request: object, client_address: object) -> None:
        """A viewer that hangs up is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: MjpegServer

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        n = 0
        while n != self.server.end and not self.server.over.wait(1 / self.server.fps):
            body = self.server.frames[n % len(self.server.frames)]
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body + b"\r\n")
            n += 1

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def mjpeg(clip: list[np.ndarray]) -> Iterator[Callable[..., MjpegServer]]:
    """Start cameras on loopback that send the real clip round and round."""
    frames = [jpeg(pixels) for pixels in clip]
    servers: list[MjpegServer] = []

    def start(fps: float = 60.0, end: int | None = None) -> MjpegServer:
        server = MjpegServer(frames, fps, end)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.over.set()
        server.shutdown()
        server.server_close()
