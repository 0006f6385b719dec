"""The camera: newest frame only, never twice, everything counted, nothing left behind."""

from __future__ import annotations

import queue
import socket
import threading
import time

import numpy as np
import pytest
import torch

from streamhebb.clock import VirtualClock
from streamhebb.errors import ConfigError, MissingExtraError, SourceError
from streamhebb.sources import Camera, samples


def frame(n, shape=(4, 6, 3)):
    return np.full(shape, n % 256, np.uint8)


class Fake:
    """A capture that gives what it is fed, and blocks (or fails) when it has nothing."""

    def __init__(self, *frames, opens=True, failing=False):
        self.feed = queue.Queue()
        for f in frames:
            self.feed.put(f)
        self.opens, self.failing = opens, failing
        self.asked = 0
        self.released = 0
        self.unblock = threading.Event()

    def isOpened(self):
        return self.opens

    def read(self):
        self.asked += 1
        while True:
            try:
                item = self.feed.get(timeout=0.005)
            except queue.Empty:
                if self.failing or self.released or self.unblock.is_set():
                    return False, None
                continue
            if isinstance(item, Exception):
                raise item
            return item is not None, item

    def release(self):
        self.released += 1


class Endless(Fake):
    """A camera much faster than its viewer: frame ``n`` holds the number ``n`` in its bytes."""

    def __init__(self):
        super().__init__()
        self.given = 0

    def read(self):
        time.sleep(0.0002)
        pixels = np.zeros((4, 6, 3), np.uint8)
        pixels[0, 0] = (self.given // 65536 % 256, self.given // 256 % 256, self.given % 256)
        self.given += 1
        return True, pixels


@pytest.fixture
def camera():
    """Cameras over fakes; every thread is gone at the end."""
    before = set(threading.enumerate())
    fakes = []

    def make(fake, **options):
        fakes.append(fake)
        return Camera(0, open=lambda device: fake, **{"timeout": 2.0, **options})

    yield make
    for fake in fakes:
        fake.unblock.set()
    wait_for(lambda: not set(threading.enumerate()) - before)
    assert all(fake.released == 1 for fake in fakes)


def consume(source, got):
    """Keep what came before an error."""
    for sample in source:
        got.append(sample)


def wait_for(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.002)


def test_the_newest_frame_wins_and_the_rest_is_counted(camera):
    fake = Fake(*(frame(n) for n in range(5)))
    with camera(fake) as cam:
        wait_for(lambda: fake.asked == 6)  # all five are read
        stream = iter(cam)
        first = next(stream)
        assert (first.id, round(float(first.x[0, 0, 0]) * 255)) == (4, 4)
        assert cam.counts == {"dropped": 4, "failed": 0}
        fake.feed.put(frame(5))
        assert next(stream).id == 5
        assert cam.counts["dropped"] == 4
        fake.failing = True


def test_a_frame_is_never_handed_out_twice(camera):
    fake = Fake(frame(0))
    with camera(fake, timeout=0.3) as cam:
        stream = iter(cam)
        assert next(stream).id == 0
        began = time.monotonic()
        with pytest.raises(SourceError, match=r"camera:0: no frame within 0.3 s.*plugged in"):
            next(stream)
        assert 0.25 < time.monotonic() - began < 1.5
        fake.failing = True


def test_nothing_is_lost_uncounted(camera):
    fake = Endless()
    got = []
    with camera(fake) as cam:
        for sample in cam:
            red, green, blue = (int(v) for v in (sample.x[:, 0, 0] * 255).round())
            got.append((sample.id, red + 256 * green + 65536 * blue))
            if len(got) % 10 == 0:
                time.sleep(0.003)
            if len(got) == 150:
                break
    ids = [i for i, _ in got]
    assert ids == sorted(set(ids)), "a frame came twice or out of order"
    assert all(number == content for number, content in got)
    assert cam.counts["dropped"] > 0
    assert len(got) + cam.counts["dropped"] == fake.given


def test_failed_reads_are_counted_and_survived(camera):
    fake = Fake(None, frame(0), None, None)
    with camera(fake) as cam:
        stream = iter(cam)
        next(stream)
        wait_for(lambda: cam.counts["failed"] == 3)
        fake.feed.put(frame(1))
        assert next(stream).id == 1
        fake.failing = True


def test_a_camera_that_vanishes_raises(camera):
    fake = Fake(frame(0), failing=True)
    with camera(fake, timeout=0.2) as cam:
        stream = iter(cam)
        next(stream)
        with pytest.raises(SourceError, match="no frame within"):
            next(stream)
        assert cam.counts["failed"] > 0


def test_a_camera_that_hangs_raises_and_can_be_left(camera):
    fake = Fake(frame(0))  # then read() blocks for good
    began = time.monotonic()
    with pytest.raises(SourceError, match="no frame within"), camera(fake, timeout=0.1) as cam:
        list(cam)
    assert time.monotonic() - began < 3


def test_an_error_in_the_reader_reaches_the_loop(camera):
    fake = Fake(frame(0), ValueError("the cable burns"))
    with camera(fake) as cam:
        wait_for(lambda: fake.released)
        with pytest.raises(SourceError, match="the cable burns") as caught:
            for _ in cam:
                pass
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_camera_that_does_not_open(camera):
    with pytest.raises(SourceError, match="cannot be opened"), camera(Fake(opens=False)):
        pass


def test_opening_that_fails_or_hangs():
    def fails(device):
        raise RuntimeError(f"no device {device}")

    with pytest.raises(SourceError, match="no device 7"), Camera(7, open=fails):
        pass
    over = threading.Event()

    def hangs(device):
        over.wait(10)
        return Fake(opens=False)

    began = time.monotonic()
    with pytest.raises(SourceError, match="no frame within"), Camera(7, open=hangs, timeout=0.1):
        pass
    assert time.monotonic() - began < 3
    over.set()


def test_time_stamps_come_from_the_clock(camera):
    clock = VirtualClock(10.0)
    fake = Fake(frame(0))
    with camera(fake, clock=clock) as cam:
        stream = iter(cam)
        assert next(stream).t == 10.0
        wait_for(lambda: fake.asked == 2)
        clock.advance(0.5)
        fake.feed.put(frame(1))
        assert next(stream).t == 10.5
        fake.failing = True


def test_colours_size_and_range(camera):
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[:, :, 0], pixels[:, :, 2] = 51, 255  # blue and red, as OpenCV has them
    with camera(Fake(pixels, failing=True), size=(4, 6)) as cam:
        got = next(iter(cam))
    assert cam.shape == got.x.shape == (3, 4, 6)
    assert got.x.dtype == torch.float32
    assert got.x.is_contiguous()
    assert got.x[:, 0, 0].tolist() == pytest.approx([1.0, 0.0, 0.2])
    with camera(Fake(pixels, failing=True), gray=True) as cam:
        got = next(iter(cam))
    assert got.x.shape == (1, 8, 12)
    assert float(got.x[0, 0, 0]) == pytest.approx(0.299 + 0.114 * 0.2)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 4)])
def test_other_layouts_of_pixels(camera, shape):
    with camera(Fake(frame(255, shape), failing=True)) as cam:
        got = next(iter(cam))
    assert got.x.shape == (3, 4, 6)
    assert got.x.min() == 1


def test_deep_pixels_are_refused(camera):
    fake = Fake(np.zeros((4, 6), np.uint16), failing=True)
    with camera(fake) as cam, pytest.raises(SourceError, match="uint16"):
        next(iter(cam))


def test_a_change_of_size_keeps_the_shape(camera):
    fake = Fake(frame(1))
    with camera(fake) as cam:
        stream = iter(cam)
        next(stream)
        fake.feed.put(frame(2, (8, 12, 3)))
        assert next(stream).x.shape == cam.shape == (3, 4, 6)
        fake.failing = True


def test_the_shape_is_known_once_open(camera):
    cam = camera(Fake(frame(0), failing=True))
    with pytest.raises(SourceError, match="size="):
        _ = cam.shape
    with cam:
        assert cam.shape == (3, 4, 6)
    assert Camera(0, size=(2, 3), open=Fake).shape == (3, 2, 3)


def test_iterating_without_with_opens_and_closes(camera):
    fake = Endless()
    for n, _ in enumerate(camera(fake)):
        if n == 3:
            break
    assert fake.released == 1
    fake = Endless()
    stream = samples(camera(fake))
    next(stream)
    stream.close()
    assert fake.released == 1


def test_the_limit_ends_it(camera):
    fake = Endless()
    assert len(list(camera(fake, limit=5))) == 5
    assert fake.released == 1


def test_leaving_the_block_ends_a_loop_elsewhere(camera):
    fake = Fake(frame(0))
    cam = camera(fake, timeout=30.0)
    got = []
    with cam:
        thread = threading.Thread(target=lambda: got.extend(cam))
        thread.start()
        wait_for(lambda: fake.asked == 2)
        fake.failing = True
    thread.join(5)
    assert not thread.is_alive()
    assert len(got) <= 1


def test_an_error_in_the_block_passes_and_closes(camera):
    fake = Endless()
    with pytest.raises(KeyError), camera(fake):
        raise KeyError("mine")
    assert fake.released == 1


def test_twice_open_and_open_again(camera):
    fake = Endless()
    cam = camera(fake)
    with cam, pytest.raises(SourceError, match="open already"), cam:
        pass
    assert fake.released == 1


def test_fifty_times_in_and_out_leaves_nothing():
    fakes = []

    def opened(device):
        fakes.append(Endless())
        return fakes[-1]

    before = threading.active_count()
    cam = Camera(0, open=opened)
    for n in range(50):
        with cam:
            if n % 2:
                next(iter(cam))
        assert threading.active_count() == before
    assert len(fakes) == 50
    assert all(fake.released == 1 for fake in fakes)


@pytest.mark.parametrize(
    "device",
    [-1, 1.5, None, True, "", "0", "/dev/video0", "file:///etc/passwd", "ftp://a/b", "http://",
     "http://[::1", "concat:a|b", "http://a:99999/"],
)  # fmt: skip
def test_devices_that_are_refused(device):
    with pytest.raises(ConfigError):
        Camera(device, open=Fake)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": "5"}, {"size": 3}, {"limit": -1}])
def test_bad_options(options):
    with pytest.raises(ConfigError):
        Camera(0, open=Fake, **options)


def test_a_password_is_never_shown():
    cam = Camera("rtsp://me:secret@cam.local:554/live?token=secret", open=Fake)
    assert cam.name == "rtsp://cam.local:554/live"
    with pytest.raises(SourceError) as caught:
        _ = cam.shape
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError) as refused:
        Camera("ftp://me:secret@cam.local/live", open=Fake)
    assert "secret" not in str(refused.value)


def test_without_opencv_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"streamhebb\[camera\]"):
        Camera(0)


# --- OpenCV itself ---------------------------------------------------------------------------


@pytest.fixture
def opencv():
    return pytest.importorskip("cv2", reason="the extra 'camera' is not installed")


def test_a_network_camera_sends_the_real_clip(opencv, mjpeg, clip):
    server = mjpeg(fps=100)
    before = threading.active_count()
    got = []
    with Camera(server.url, timeout=5.0) as cam:
        assert cam.shape == (3, 144, 176)
        for sample in cam:
            got.append(sample)
            time.sleep(0.03)  # slower than the camera
            if len(got) == 25:
                break
    server.over.set()
    wait_for(lambda: threading.active_count() <= before)
    ids = [s.id for s in got]
    assert ids == sorted(set(ids))
    assert cam.counts["dropped"] >= ids[-1] + 1 - len(got)
    assert ids[-1] > len(got), "nothing was overtaken"
    times = [s.t for s in got]
    assert times == sorted(times)
    for sample in got:  # JPEG costs a little; a neighbour or swapped colours would cost more
        there = clip[sample.id % len(clip)].transpose(2, 0, 1) / 255.0
        assert np.abs(sample.x.numpy() - there).mean() < 0.012
    assert np.abs(got[0].x.numpy()[::-1] - there).mean() > 0.03, "this test could not fail"


def test_a_network_camera_that_ends_or_dies_raises(opencv, mjpeg):
    server = mjpeg(fps=200, end=30)
    got = []
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"no frame within 1\.0 s.*still sends"):
        consume(Camera(server.url, timeout=1.0, size=(16, 16)), got)
    got = [sample.id for sample in got]
    assert time.monotonic() - began < 8
    assert got
    assert got[-1] in (28, 29), "the last frame was not handed out"


def test_a_network_camera_fifty_times_in_and_out(opencv, mjpeg):
    server = mjpeg(fps=200)
    threads = {t.name for t in threading.enumerate()}
    for _ in range(50):
        with Camera(server.url, timeout=5.0):
            pass
    left = [t.name for t in threading.enumerate() if t.name.startswith("streamhebb")]
    assert left == [n for n in threads if n.startswith("streamhebb")] == []


def test_nobody_there_and_a_silent_server(opencv):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        began = time.monotonic()
        with pytest.raises(SourceError, match=r"127\.0\.0\.1.*check the address"):
            Camera(address, timeout=1.0).__enter__()
        listener.listen()  # accepts, and never answers
        with pytest.raises(SourceError, match=r"127\.0\.0\.1.*check the address"):
            Camera(address, timeout=1.0).__enter__()
        assert time.monotonic() - began < 6


def test_a_device_number_that_does_not_exist(opencv):
    with pytest.raises(SourceError, match="camera:97"), Camera(97):
        pass
