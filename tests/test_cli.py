"""The command line, as people use it: in a terminal, in a pipe, with Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import streamhebb
from streamhebb.cli import app
from streamhebb.schedule import Trace

NET = """\
layers:
  - RunningNorm
  - {type: Conv2d, n_out: 6, kernel_size: 3, padding: 1}
  - {type: MaxPool2d, kernel_size: 4}
  - Flatten
readout: {type: SoftmaxReadout, lr: 0.01}
"""
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def tiny(tmp_path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(NET, encoding="utf-8")
    return str(path)


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Call a command in an empty folder; nothing there looks like a terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    runner = CliRunner()

    def called(*words, code=0):
        result = runner.invoke(app, [str(word) for word in words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return called


def process(*words, cwd, **more):
    command = [sys.executable, "-m", "streamhebb", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, **more,
    )  # fmt: skip


# --------------------------------------------------------------------------------------- run


def test_run_and_where_it_is(call, tiny, tmp_path):
    result = call("run", "--net", tiny, "--limit", 30)
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("-digits-tiny")
    assert f"run folder: runs{os.sep}{folder.name}" in result.output
    assert "prequential accuracy" in result.output
    assert "over the last quarter" in result.output
    for path in folder.iterdir():
        assert f"  {path.name}\n" in result.output


def test_default_net_of_digits(call):
    result = call("run", "--limit", 12, "--out", "here")
    assert result.output.startswith("digits learns from digits: 12 samples of 1x8x8, 10 classes")


def test_quiet_prints_the_summary_only(call, tiny):
    result = call("run", "--net", tiny, "--limit", 20, "--quiet", "--out", "here")
    assert result.output.startswith("prequential accuracy")


def test_dry_run_writes_nothing(call, tiny, tmp_path):
    before = sorted(tmp_path.iterdir())
    result = call("run", "--net", tiny, "--limit", 30, "--seed", 4, "--dry-run")
    assert sorted(tmp_path.iterdir()) == before
    for words in (
        '"seed": 4',
        "Conv2d(ConvSynapse(n_in=1, n_out=6",
        "6x8x8",
        "parts that are not local",
        "30 samples",
        "nothing was written",
    ):
        assert words in result.output


def test_dry_run_names_parts_that_are_not_local(call, tmp_path):
    path = tmp_path / "wide.yaml"
    path.write_text(NET.replace("padding: 1}", "padding: 1, scaling: LayerMax}"), encoding="utf-8")
    result = call("run", "--net", path, "--dry-run")
    assert "1:Conv2d: LayerMax" in result.output


def test_resume_goes_on(call, tiny, tmp_path):
    call("run", "--net", tiny, "--limit", 20, "--out", "a", "-q")
    result = call("run", "--resume", "a", "--limit", 35)
    assert "going on after 20" in result.output
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["samples"] == 35
    call("run", "--net", tiny, "--limit", 35, "--out", "b", "-q")
    one, other = (streamhebb.load(tmp_path / f / "snapshot.safetensors") for f in "ab")
    assert str(one.state_dict()) == str(other.state_dict())


# ----------------------------------------------------------------------------------- bad input


def refused(call, *words):
    """One line on stderr, without a traceback."""
    result = call(*words, code=2)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_an_unknown_source_lists_what_there_is(call, tmp_path):
    said = refused(call, "run", "--source", "mnits")
    for name in ("digits", "'mnist'", "cifar100", "FOLDER", "camera:N", "http://"):
        assert name in said
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_net_lists_what_there_is(call):
    said = refused(call, "run", "--net", "digit")
    assert all(name in said for name in streamhebb.spec.net_names())
    assert ".yaml" in said


@pytest.mark.parametrize(
    "words", ["bench run nosuch", "bench speed --ways nosuch", "bench schedule speed --batches x"]
)
def test_benchmarks_say_errors_as_all_commands_do(call, words):
    assert "error: " in refused(call, *words.split())


def test_a_folder_that_is_not_empty_is_refused(call, tiny, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    said = refused(call, "run", "--net", tiny, "--limit", 5, "--out", "full")
    assert "not empty" in said
    assert "--resume full" in said
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_written(call, tiny, tmp_path):
    (tmp_path / "file").write_text("")
    said = refused(call, "run", "--net", tiny, "--limit", 5, "--out", "file/run", "-q")
    assert "--out" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--limit", "0"], "greater than or equal to 1"),
        (["--on-bad", "ignore"], "'raise' or 'skip'"),
        (["--size", "big"], "HEIGHTxWIDTH"),
        (["--resume", "nowhere"], "no settings.json"),
        (["--resume", "a", "--out", "b"], "cannot go together"),
        (["--resume", "a", "--seed", "1", "--net", "x"], "--net, --seed cannot change"),
        (["--source", "digits", "--gray"], "own size and colours"),
        (["--source", "cifar100", "--no-download"], "cifar100"),
    ],
)
def test_options_that_are_refused(call, words, said, monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMHEBB_DATA", str(tmp_path))
    monkeypatch.setattr("streamhebb.sources._find.cache_folder", lambda: tmp_path)
    assert said in refused(call, "run", *words)


def test_resume_with_another_source_is_refused(call, tiny):
    call("run", "--net", tiny, "--limit", 5, "--out", "a", "-q")
    assert "not the source of this run" in refused(
        call, "run", "--resume", "a", "--source", "mnist"
    )


def test_resume_from_a_damaged_snapshot(call, tiny, tmp_path):
    call("run", "--net", tiny, "--limit", 5, "--out", "a", "-q")
    path = tmp_path / "a" / "snapshot.safetensors"
    path.write_bytes(path.read_bytes()[:-20])
    assert "not a whole snapshot" in refused(call, "run", "--resume", "a", "--limit", 9)
    path.unlink()
    assert "no snapshot" in refused(call, "run", "--resume", "a", "--limit", 9)


def test_settings_of_another_version(call, tiny, tmp_path):
    call("run", "--net", tiny, "--limit", 5, "--out", "a", "-q")
    path = tmp_path / "a" / "settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "speed": 3}))
    assert "no setting 'speed'" in refused(call, "run", "--resume", "a")


def test_debug_shows_the_error_itself(call):
    with pytest.raises(streamhebb.errors.ConfigError):
        call("run", "--net", "nope", "--debug")


# ------------------------------------------------------------------------------ other commands


def test_help_is_shown_without_words(call):
    result = call(code=2)
    for name in ("run", "nets", "trace", "doctor", "verify"):
        assert name in result.output
    assert "within" not in result.output
    assert "less than 10 % over" in call("run", "--help").output


def test_version(call):
    assert call("--version").output.startswith("streamhebb ")


def test_nets(call):
    names = streamhebb.spec.net_names()
    lines = call("nets").output.splitlines()
    assert [line.split()[0] for line in lines] == list(names)
    assert streamhebb.spec.describe_net("digits") in "\n".join(lines)
    assert call("nets", "digits").output == streamhebb.spec.net_text("digits")
    assert "there are" in refused(call, "nets", "nope")


@pytest.fixture
def trace(tmp_path) -> Path:
    recorded = Trace()
    for n in range(20):
        recorded.add("respond 0:Dense", 0, n, "worker 0", n, n + 0.25)
        recorded.add("learn 0:Dense", 0, n, "worker 1", n + 0.25, n + 0.75)
    return recorded.write(tmp_path / "here" / "trace.json")


def test_trace_draws_beside_the_file_and_counts(call, trace):
    result = call("trace", "here/trace.json")
    lines = [line.split() for line in result.output.splitlines()]
    assert ["0", "0:Dense", "40", "250,000.0", "500,000.0"] in lines
    assert ["worker", "1", "50.6", "%"] in lines
    assert result.output.endswith(f"drawn: here{os.sep}trace.png\n")
    assert (trace.parent / "trace.png").read_bytes()[1:4] == b"PNG"
    before = (trace.parent / "trace.png").read_bytes()
    call("trace", "here/trace.json", "--first", 3, "--frames", 2, "--out", "part.png")
    assert (trace.parents[1] / "part.png").read_bytes() != before


def test_trace_refuses_what_is_no_trace_and_never_replaces_it(call, trace, tmp_path):
    assert "there is no trace at nowhere" in refused(call, "trace", "nowhere")
    (tmp_path / "net.yaml").write_text(NET)
    assert "not a whole trace" in refused(call, "trace", "net.yaml")
    assert "samples 0 to 19" in refused(call, "trace", trace, "--first", 20)
    assert "would replace the trace" in refused(call, "trace", trace, "--out", trace)
    named = trace.rename(tmp_path / "odd.png")
    assert "would replace the trace" in refused(call, "trace", named)
    assert "cannot write the picture" in refused(call, "trace", named, "--out", "no/where.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["here", "net.yaml", "odd.png"]


# -------------------------------------------------------------------------------- real processes


def test_in_a_pipe_there_are_plain_lines(tiny, tmp_path):
    with process("run", "--net", tiny, "--limit", 1500, "--out", "run", cwd=tmp_path) as run:
        out, err = run.communicate(timeout=100)
    assert run.returncode == 0, err
    assert err == ""
    lines = out.splitlines()
    assert lines[0].startswith("tiny learns from digits: 1,500 samples")
    assert "/1,500 samples" in out
    assert "\x1b" not in out
    assert "\r" not in out


def test_ctrl_c_keeps_what_was_learned(tiny, tmp_path):
    words = ("run", "--net", tiny, "--epochs", 500, "--out", "run")
    with process(*words, cwd=tmp_path) as run:
        run.stdout.readline()  # the headline: learning has begun
        time.sleep(0.5)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=100)
    assert run.returncode == 130, err
    assert "Traceback" not in err
    assert "--resume run" in out
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert summary["samples"] > 0
    net = streamhebb.load(tmp_path / "run" / "snapshot.safetensors")
    assert net.counts["samples"] == summary["samples"]
    assert (tmp_path / "run" / "learning_curve.png").stat().st_size > 1000


def test_a_reader_that_goes_away_ends_the_run_cleanly(tiny, tmp_path):
    with process("run", "--net", tiny, "--epochs", 500, "--out", "run", cwd=tmp_path) as run:
        run.stdout.readline()
        run.stdout.close()  # `| head -1`
        err = run.stderr.read()
        assert run.wait(timeout=100) == 141, err
    assert "Traceback" not in err
    assert "Exception" not in err
    assert streamhebb.load(tmp_path / "run" / "snapshot.safetensors").counts["samples"] > 0


def test_a_disk_that_fills_up_during_a_run(tiny, tmp_path):
    resource = pytest.importorskip("resource", reason="file size limits are POSIX")

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))

    words = ("run", "--net", tiny, "--limit", 200, "--out", "run", "-q")
    with process(*words, cwd=tmp_path, preexec_fn=small_files) as run:
        out, err = run.communicate(timeout=100)
    assert run.returncode == 2
    assert err.startswith("error: cannot")  # the snapshot, and before that the metrics
    assert "File too large" in err
    assert "free some space" in err
    assert "Traceback" not in err
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left <= {"settings.json", "net.txt", "metrics.jsonl"}  # nothing half written
