"""Video files: frames, time stamps, resuming, and files that are not whole."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import torch

from streamhebb.errors import ConfigError, MissingExtraError, SourceError
from streamhebb.sources import VideoFile


def consume(source, got):
    """Keep what came before an error."""
    for sample in source:
        got.append(sample)


def level(sample):
    """The number of the frame, from its brightness."""
    return round((float(sample.x.mean()) * 255 - 4.5) / 10)


def test_frames_come_whole_and_in_order(make_clip):
    video = VideoFile(make_clip())
    got = list(video)
    assert (len(video), video.shape, video.classes) == (20, (3, 48, 64), None)
    assert [s.id for s in got] == list(range(20))
    assert [level(s) for s in got] == list(range(20))
    assert [s.t for s in got] == pytest.approx([n / 10 for n in range(20)])
    x = got[0].x
    assert x.shape == (3, 48, 64)
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    assert 0 <= x.min() <= x.max() <= 1
    assert video.counts == {"corrupt": 0, "truncated": 0}


def test_size_and_gray(make_clip):
    video = VideoFile(make_clip(), size=(12, 20), gray=True)
    got = list(video)
    assert video.shape == got[0].x.shape == (1, 12, 20)
    assert [level(s) for s in got] == list(range(20))


def test_start_and_limit_are_positions_in_the_stream(make_clip):
    path = make_clip()
    video = VideoFile(path, start=5, limit=8)
    got = list(video)
    assert [s.id for s in got] == [5, 6, 7]
    assert [level(s) for s in got] == [5, 6, 7]
    assert len(video) == 3
    assert list(VideoFile(path, start=8, limit=8)) == []
    assert list(VideoFile(path, start=50)) == []


def test_a_loop_counts_on(make_clip):
    path = make_clip(frames=4)
    video = VideoFile(path, loop=True, limit=10)
    got = list(video)
    assert len(video) == 10
    assert [s.id for s in got] == list(range(10))
    assert [level(s) for s in got] == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert [s.t for s in got] == pytest.approx([n / 10 for n in range(10)])
    tail = list(VideoFile(path, loop=True, start=4_000_001, limit=4_000_003))
    assert [s.id for s in tail] == [4_000_001, 4_000_002]
    assert [level(s) for s in tail] == [1, 2]
    assert [s.t for s in tail] == pytest.approx([400_000.1, 400_000.2])
    with pytest.raises(TypeError):
        len(VideoFile(path, loop=True))


@pytest.mark.parametrize("start", [0, 1, 3, 4, 5, 8, 11])
def test_a_loop_resumes_anywhere(make_clip, start):
    path = make_clip(frames=4)
    whole = list(VideoFile(path, loop=True, limit=12))
    tail = list(VideoFile(path, loop=True, limit=12, start=start))
    assert [(s.id, level(s)) for s in tail] == [(s.id, level(s)) for s in whole[start:]]
    assert [s.t for s in tail] == pytest.approx([s.t for s in whole[start:]])


def test_two_readers_of_one_file_do_not_disturb_each_other(make_clip):
    video = VideoFile(make_clip())
    pairs = list(zip(video, video, strict=True))
    assert all(torch.equal(a.x, b.x) for a, b in pairs)
    assert len(pairs) == 20


def test_samples_own_their_pixels(make_clip):
    got = list(VideoFile(make_clip()))
    assert [level(s) for s in got] == list(range(20)), "a later frame overwrote an earlier one"


def cut(path, keep):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_file_that_breaks_off_gives_its_frames_then_says_so(make_clip, name):
    path = make_clip(name, frames=24)
    cut(path, 0.6)
    video = VideoFile(path)
    got = []
    with pytest.raises(SourceError, match="truncated: it breaks off after") as caught:
        consume(video, got)
    assert 5 < len(got) < 24
    assert f"after {len(got)} " in str(caught.value)
    assert str(path) in str(caught.value)
    assert video.counts["truncated"] == 1


def test_the_frames_before_the_break_are_all_good(make_clip):
    path = make_clip(frames=24)
    cut(path, 0.6)
    video, got = VideoFile(path), []
    with pytest.raises(SourceError, match=r"after \d+ of 24 frames"):
        consume(video, got)
    assert [level(s) for s in got] == list(range(len(got)))
    # What lies before the break can be used without complaint.
    assert len(list(VideoFile(path, limit=len(got)))) == len(got)


def test_a_looped_file_that_breaks_off_does_not_go_round(make_clip):
    path = make_clip()
    cut(path, 0.6)
    with pytest.raises(SourceError, match="truncated"):
        list(VideoFile(path, loop=True))


def test_a_damaged_packet_is_counted_and_the_rest_goes_on(make_clip):
    av = pytest.importorskip("av")
    path = make_clip()
    with av.open(str(path)) as container:
        entry = container.streams.video[0].index_entries[7]
    whole = bytearray(path.read_bytes())
    whole[entry.pos : entry.pos + entry.size] = bytes(entry.size)
    path.write_bytes(whole)
    video = VideoFile(path)
    got = list(video)
    assert video.counts["corrupt"] >= 1
    assert video.counts["truncated"] == 0
    assert len(got) + video.counts["corrupt"] == 20
    assert [s.id for s in got] == list(range(len(got)))


def test_counts_are_of_the_current_pass(make_clip):
    path = make_clip()
    cut(path, 0.6)
    video = VideoFile(path)
    for _ in range(2):
        with pytest.raises(SourceError):
            list(video)
        assert video.counts["truncated"] == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"this is no video" * 100, "not a video"),
        (None, "does not exist"),
    ],
)
def test_what_is_no_video(tmp_path, content, said):
    pytest.importorskip("av")
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=said) as caught:
        VideoFile(path)
    assert str(path) in str(caught.value)


def test_a_playlist_in_disguise_fetches_nothing(tmp_path):
    pytest.importorskip("av")
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    path = tmp_path / "a.mp4"
    segment = f"#EXTINF:1,\nhttp://127.0.0.1:{server.server_port}/a.ts\n"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n{segment}#EXT-X-ENDLIST\n")
    try:
        for name in ("a.mp4", "a.m3u8"):
            path = path.rename(tmp_path / name)
            with pytest.raises(SourceError):
                list(VideoFile(path))
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []


def test_one_byte_short_is_seen(make_clip):
    path = make_clip()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SourceError, match="after 19 of 20 frames"):
        list(VideoFile(path))


def test_header_only_or_cut_in_the_header(make_clip, tmp_path):
    path = make_clip()
    whole = path.read_bytes()
    for size in (8, 40, 200, whole.find(b"mdat") + 8):
        path.write_bytes(whole[:size])
        with pytest.raises(SourceError):
            list(VideoFile(path))


def test_a_folder_and_a_file_without_pictures(make_clip, tmp_path):
    av = pytest.importorskip("av")
    with pytest.raises(SourceError, match="not a file"):
        VideoFile(tmp_path)
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match="no video stream"):
        VideoFile(path)


@pytest.mark.parametrize(
    "options",
    [
        {"size": (0, 5)},
        {"size": 5},
        {"size": (5,)},
        {"size": (1 << 20, 1 << 20)},
        {"start": -1},
        {"limit": 1.5},
    ],
)
def test_bad_options(make_clip, options):
    with pytest.raises(ConfigError):
        VideoFile(make_clip(), **options)


def test_pictures_too_large_are_refused_before_decoding(make_clip, monkeypatch):
    monkeypatch.setattr("streamhebb.sources.video.MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(SourceError, match="64 x 48"):
        VideoFile(make_clip())


def test_without_pyav_the_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"streamhebb\[video\]"):
        VideoFile(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("name", "frames", "rate"),
    [("carphone_pristine.mp4", 120, 30000 / 1001), ("bikes.mp4", 250, 25.0)],
)
def test_real_clips(data, name, frames, rate):
    pytest.importorskip("av")
    path = data / "video" / name
    if not path.is_file():
        pytest.skip(f"{name} is not in STREAMHEBB_DATA")
    video = VideoFile(path, size=(16, 16))
    got = list(video)
    assert len(video) == len(got) == frames
    steps = np.diff([s.t for s in got])
    assert steps == pytest.approx(1 / rate, abs=1e-4)
    assert video.counts == {"corrupt": 0, "truncated": 0}
    assert len({s.x.numpy().tobytes() for s in got}) > frames * 0.9
