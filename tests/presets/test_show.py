"""Presets as YAML, and the commands that show them."""

from __future__ import annotations

import pytest
import yaml
from typer.testing import CliRunner

import streamhebb as sh
from streamhebb import presets
from streamhebb.cli import app


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    runner = CliRunner()

    def called(*words, code=0):
        result = runner.invoke(app, ["presets", *words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.output

    return called


def test_a_preset_says_everything():
    shown = yaml.safe_load(presets.preset_yaml(presets.find("4SoftHebbCnnCIFAR")))
    assert shown["aliases"] == ["softhebb-cifar-3conv"]
    assert (shown["mode"], shown["hidden"], shown["input_shape"]) == (
        "successive", "learns", [3, 32, 32],
    )  # fmt: skip
    first, *_, readout = shown["blocks"]
    assert first == {
        "layer": "softkrotov-c96-k5-p2-t1-lr0.08-lp0.5", "before": "batchnorm2d",
        "activation": "triangle_0.7", "pool": "max_4_2_1", "n_in": 3,
        "output_shape": [96, 16, 16], "lr": 0.08, "power": 0.5, "t": 1.0, "radius": 25.0,
        "by_radius": True, "init": "Normal", "scale": 2.886751,
    }  # fmt: skip
    assert (readout["n_in"], readout["dropout"]) == (24576, 0.5)
    assert [phase["blocks"] for phase in shown["phases"]] == [[0], [1], [2], [3]]
    assert shown["phases"][3]["epochs"] == 50
    assert shown["data"]["CIFAR10_50"]["samples"] == 50000


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_can_be_shown(name):
    preset = presets.find(name)
    shown = yaml.safe_load(presets.preset_yaml(preset))
    assert len(shown["blocks"]) == len(preset.blocks)
    assert set(shown["data"]) == {phase["data"] for phase in shown["phases"]}
    net = yaml.safe_load(presets.net_yaml(preset))
    assert net["description"].startswith(name)


def test_other_data_show_other_shapes():
    preset = presets.find("2SoftHebbCnnCIFAR")
    shown = yaml.safe_load(presets.preset_yaml(preset, "stl10"))
    assert shown["blocks"][0]["output_shape"] == [96, 48, 48]
    assert set(shown["data"]) == {"STL10_unlabel", "STL10_100aug"}


def test_a_net_that_is_shown_is_a_net_file(call, tmp_path):
    (tmp_path / "own.yaml").write_text(call("show", "2SoftMlpMNIST", "--net"), encoding="utf-8")
    net = sh.build("own.yaml", input_shape=(1, 28, 28), classes=10)
    assert net.describe() == presets.build("2SoftMlpMNIST").net.describe() | {
        "readout": net.readout.config()
    }


def test_list(call):
    lines = call("list").splitlines()
    assert len(lines) == len(presets.names())
    assert lines[0].split()[:2] == ["2SoftHebbCnnCIFAR", "softhebb-cifar-1conv"]
    some = call("list", "STL").splitlines()
    assert len(some) == 8
    assert "no preset has 'lstm'" in call("list", "lstm", code=2)


def test_show(call):
    assert yaml.safe_load(call("show", "softhebb-stl-4conv"))["name"] == "5SoftHebbCnnSTL"
    shown = call("show", "softhebb-cifar-1conv", "--data", "cifar100")
    assert "CIFAR100_50" in shown
    assert "did you mean" in call("show", "softheb-cifar-1conv", code=2)
    said = call("show", "5HardCnnSTL", code=2)
    assert "was never published" in said
    assert "cifar10 or cifar100" in call("show", "2CnnCIFAR", "--data", "cifar", code=2)


def test_data(call):
    lines = call("data").splitlines()
    assert len(lines) == len(presets.data_names())
    assert yaml.safe_load(call("data", "STL10_unlabel"))["split"] == "unlabeled"
    assert "STL10_unlabel" in call("data", "STL10_unlab", code=2)


def test_layer(call):
    shown = call("layer", "Soft-c96-k5-t1")
    assert shown.startswith("soft-c96-k5-t1: a convolution\n")
    assert "lr  0.009  rate  (default)" in shown
    assert "t   1.0    inverse temperature\n" in shown
    said = call("layer", "soft-c96-kfive", code=2).splitlines()
    assert said[1:3] == ["  soft-c96-kfive", "            ^^^^"]
