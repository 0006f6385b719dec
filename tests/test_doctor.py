"""The doctor reports whatever it meets, and never fails itself."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamhebb import doctor
from streamhebb.cli import app
from streamhebb.sources import source_names


@pytest.fixture
def loads(monkeypatch):
    """What each extra's module says when loaded; by default all is well."""
    said = dict.fromkeys(("cv2", "av", "torchvision"))
    monkeypatch.setattr(doctor, "_loads", lambda module: said[module])
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "1.2.3")
    return said


def report() -> str:
    return "\n".join(doctor.examine())


def test_the_command(loads):
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    for section in ("versions", "devices", "data", "extras", "folders"):
        assert f"{section}\n" in result.output
    for name in (*source_names(), "python", "torch", "river", "processor", "cuda", "cache"):
        assert f"  {name}" in result.output


def test_a_missing_data_set_comes_with_the_cure(loads, monkeypatch):
    found = {"digits": Path("somewhere"), "mnist": None}
    monkeypatch.setattr("streamhebb.sources.found", lambda: found)
    text = report()
    assert "digits           found  somewhere" in text
    assert "mnist            not found -> streamhebb run --source mnist downloads it" in text
    assert "STREAMHEBB_DATA" in text


def test_a_missing_extra_comes_with_the_command(loads):
    loads["av"] = ""
    assert "video            missing  (video files) -> pip install 'streamhebb[video]'" in report()


def test_an_extra_that_does_not_load(loads):
    loads["torchvision"] = "RuntimeError: operator torchvision::nms does not exist"
    text = report()
    assert "does not load: RuntimeError" in text
    assert "--force-reinstall" in text


def test_a_missing_package(monkeypatch, loads):
    def version(name):
        if name in ("river", "streamhebb"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(doctor.metadata, "version", version)
    assert "river            missing -> pip install river" in report()


def test_it_never_raises(monkeypatch, loads):
    def broken(*_):
        raise ZeroDivisionError("broken")

    for name in ("_versions", "_devices", "_data", "_extras", "_folders"):
        monkeypatch.setattr(doctor, name, broken)
    assert report().count("could not be found out: ZeroDivisionError: broken") == 5


def test_a_folder_of_data_that_does_not_exist(monkeypatch, loads, tmp_path):
    monkeypatch.setenv("STREAMHEBB_DATA", str(tmp_path / "gone"))
    assert "(does not exist) -> set it to a folder that exists, or unset it" in report()


def test_loading_happens_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "crashes_badly.py").write_text("import os; os._exit(3)")
    (tmp_path / "raises.py").write_text("raise RuntimeError('no driver')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert doctor._loads("crashes_badly") == "it ends with exit code 3"
    assert doctor._loads("raises") == "RuntimeError: no driver"
    assert doctor._loads("json") is None
    assert doctor._loads("no_such_module_of_ours") == ""
