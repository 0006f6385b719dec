"""The examples run from start to end on little data, each in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed as dist

import streamhebb as sh

ROOT = Path(__file__).resolve().parents[2]


def run(name: str, *arguments: str, folder: Path, data: str = "") -> str:
    """Run an example in a folder of its own and return what it printed."""
    cache = folder / "cache"
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "STREAMHEBB_DATA": data,
        "XDG_CACHE_HOME": str(cache),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / name), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart_learns_and_saves(tmp_path):
    out = run("quickstart.py", "--limit", "300", folder=tmp_path)
    share = float(out.split("samples: ")[1].split("%")[0])
    assert share > 60, out  # a guess is right once in ten
    assert sh.load(tmp_path / "digits.safetensors").counts["learned"] == 300


def test_batch_prints_both_accuracies(tmp_path):
    out = run("batch.py", "--limit", "200", "--epochs", "10", folder=tmp_path)
    shares = [float(line.split("%")[0].split()[-1]) for line in out.splitlines() if "%" in line]
    assert len(shares) == 2, out
    assert min(shares) > 50, out


def test_batch_reads_mnist_where_it_is(tmp_path, data_dir):
    arguments = ("--data", "mnist", "--limit", "60", "--tested", "200", "--epochs", "1")
    out = run("batch.py", *arguments, folder=tmp_path, data=str(data_dir))
    assert "60 samples of mnist learned" in out
    assert "of 200 right" in out


def test_camera_falls_back_to_the_digits_and_says_so(tmp_path):
    out = run("camera.py", "camera:63", "--limit", "20", folder=tmp_path)
    assert "not from camera:63" in out
    assert "learning from digits" in out
    assert (tmp_path / "features.png").read_bytes()[1:4] == b"PNG"


def test_camera_falls_back_to_a_clip_and_says_so(tmp_path, data_dir):
    pytest.importorskip("av", reason="the extra 'video' is not installed")
    if not sorted(data_dir.glob("video/*.mp4")):
        pytest.skip("there is no clip in STREAMHEBB_DATA/video")
    arguments = ("camera:63", "--limit", "8", "--picture", "clip.png")
    out = run("camera.py", *arguments, folder=tmp_path, data=str(data_dir))
    assert ".mp4, samples of (1, 48, 64)" in out
    assert (tmp_path / "clip.png").is_file()


def test_spiking_shows_both_nets(tmp_path):
    pytest.importorskip("norse")
    out = run("spiking.py", "--limit", "300", folder=tmp_path)
    timing, random = (float(part.split()[-1].rstrip("%")) for part in out.split(","))
    assert timing > 30
    assert random > 30


def test_distributed_learns_in_two_processes(tmp_path):
    path = tmp_path / "net.safetensors"
    out = together(2, "--limit", "203", "--epochs", "5", "--save", str(path), folder=tmp_path)
    assert "epoch 5 of the readout, 2 processes: " in out
    assert float(out.split("%")[-2].split()[-1]) > 50, out  # a guess is right once in ten
    assert sh.load(path).counts["learned"] == 6 * 203


def together(count: int, *arguments: str, folder: Path) -> str:
    """Run examples/distributed.py in some processes, by what torchrun would set."""
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("this torch has no gloo")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    given |= {"MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / "distributed.py"), *arguments]
    running = [
        subprocess.Popen(
            command, cwd=folder, env=os.environ | given | {"RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(count)
    ]  # fmt: skip
    try:
        said = [one.communicate(timeout=100) for one in running]
    finally:
        for one in running:
            one.kill()
            one.wait()
    for one, (_, error) in zip(running, said, strict=True):
        assert one.returncode == 0, error
    assert not any(out for out, _ in said[1:])  # the first one speaks for all
    return said[0][0]
