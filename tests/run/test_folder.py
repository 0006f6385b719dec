"""The run folder refuses what it must, and stays whole."""

from __future__ import annotations

import datetime
import os

import pytest

from streamhebb.errors import ConfigError, RunFolderError
from streamhebb.run.folder import MetricsFile, RunFolder, new_folder


def test_a_folder_that_holds_something_is_refused_with_the_cure(tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(ConfigError, match=r"not empty.*another folder.*--resume"):
        RunFolder(tmp_path).create()


def test_an_empty_folder_is_taken(tmp_path):
    RunFolder(tmp_path).create()
    RunFolder(tmp_path / "a" / "b").create()
    assert (tmp_path / "a" / "b").is_dir()


def test_a_file_is_refused(tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(ConfigError, match="is a file"):
        RunFolder(tmp_path / "x").create()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="choose a folder that can be written"):
        RunFolder(tmp_path / "file" / "run").create()


def test_names_of_new_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    now = datetime.datetime(2030, 1, 2, 3, 4, 5)
    first = new_folder("My Film.mp4", "nets/small one.yaml", now).path
    assert str(first) == os.path.join("runs", "20300102-030405-my-film.mp4-small-one")
    first.mkdir(parents=True)
    assert new_folder("My Film.mp4", "nets/small one.yaml", now).path.name.endswith("-2")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"sample": 1}\n{"sample": 2}\n{"sample": 3}\n', 2),
        ('{"sample": 1}\n{"sample": 2}', 1),  # the last line was cut off
        ('{"sample": 1}\nrubbish\n{"sample": 2}\n', 1),
        ("", 0),
    ],
)
def test_cut_metrics(tmp_path, text, left):
    folder = RunFolder(tmp_path)
    folder.metrics.write_text(text)
    folder.cut_metrics(2)
    assert [row["sample"] for row in folder.rows()] == [1, 2][:left]
    assert folder.metrics.read_text() == "".join(f'{{"sample": {i}}}\n' for i in (1, 2)[:left])
    metrics = MetricsFile(folder.metrics)
    metrics.write({"sample": 9})
    metrics.close()
    assert len(folder.rows()) == left + 1


def test_metrics_on_a_full_disk():
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    metrics = MetricsFile(RunFolder("/dev/full").path)
    with pytest.raises(RunFolderError, match="free some space"):
        metrics.write({"sample": 1})
    metrics.close()


def test_resume_needs_settings(tmp_path):
    with pytest.raises(ConfigError, match=r"no settings\.json"):
        RunFolder(tmp_path).read_settings()
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        RunFolder(tmp_path).read_settings()
