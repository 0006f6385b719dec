"""``streamhebb bench search``."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

pytest.importorskip("optuna")

from streamhebb.benchmark.commands import app
from streamhebb.errors import ConfigError
from streamhebb.search import Search


def call(*words):
    return CliRunner().invoke(app, ["search", *map(str, words)])


def test_a_search_by_one_command(tmp_path, monkeypatch):
    monkeypatch.setattr(
        Search, "run", lambda self, point, *_: {"test_accuracy": 0.1 + point["seed"] / 100}
    )
    words = ["2SoftMlpMNIST", "--space", "seed", "--study", tmp_path / "a.db", "--twin"]
    out, picture = tmp_path / "new" / "a.json", tmp_path / "a.png"
    found = call(*words, "--trials", 3, "--out", out, "--picture", picture)
    assert found.exit_code == 0, found.output
    assert "trial 2 of 3" in found.output
    assert "OfflineTrial(net='2SoftMlpMNIST')" in found.output
    assert len(json.loads(out.read_text())["trials"]) == 3
    assert json.loads(out.read_text())["search"]["prune"] == "none"
    assert picture.stat().st_size > 1000
    assert "trial 3 of 4" in call(*words).output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["2SoftMlpMNIST", "--space", "raduis"], "did you mean radius"),
        (["2SoftMlpMNISTT", "--space", "radius"], "did you mean"),
        (["2SoftMlpMNIST", "--space", "2"], "readout"),
        (["2SoftMlpMNIST", "--space", "radius", "--prune", "meridian"], "'median', 'halving'"),
        (["2SoftMlpMNIST", "--space", "radius", "--address", "auto"], "add --ray"),
        (["2SoftMlpMNIST", "--space", "1"], "--trials 100"),
        (["backprop-mnist-mlp", "--space", "radius"], "ignores it"),
        (["2SoftMlpMNIST", "--space", "seed", "--seed", str(2**32)], "seed"),
        (["2SoftMlpMNIST", "--space", "seed", "--device", "gpu"], "take cpu, cuda"),
        (["2SoftMlpMNIST", "--space", "seed", "--device", "cuda:63"], "cannot be used here"),
        (["2SoftMlpMNIST", "--space", "radius", "--samples", "500"], "--prune none"),
    ],
)
def test_what_cannot_be_searched_is_refused(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    found = call(*words)
    assert isinstance(found.exception, ConfigError), found.output
    assert re.search(message, str(found.exception))
