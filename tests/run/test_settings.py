"""Settings: what is refused, and what is kept."""

from __future__ import annotations

import pytest

from streamhebb.errors import ConfigError
from streamhebb.run.settings import RunSettings, has_lost_password, parse_size, without_password


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("limit", 0, "--limit 0: .*greater than or equal to 1"),
        ("seed", -1, "--seed -1"),
        ("threads", 0, "--threads 0"),
        ("window", 0, "--window 0"),
        ("save_every", -1, "--save-every -1"),
        ("on_bad", "ignore", "--on-bad ignore: .*'raise' or 'skip'"),
        ("epoch", 2, "no setting 'epoch'; there are source, net"),
    ],
)
def test_bad_settings(name, value, said):
    with pytest.raises(ConfigError, match=said):
        RunSettings.make(**{name: value})


def test_all_problems_at_once():
    with pytest.raises(ConfigError, match=r"(?s)--limit.*--seed"):
        RunSettings.make(limit=0, seed=-1)


def test_settings_survive_json():
    settings = RunSettings.make(source="a.mp4", size=(4, 5), limit=3)
    assert RunSettings.parse(settings.kept(), "") == settings


def test_passwords_are_not_kept():
    settings = RunSettings.make(source="http://me:secret@host:80/x?a=b")
    assert "secret" not in str(settings.kept())
    assert has_lost_password(settings.kept()["source"])
    assert without_password("camera:0") == "camera:0"
    assert without_password("a@b.mp4") == "a@b.mp4"


@pytest.mark.parametrize("text", ["48", "48x", "ax4", "48x64x3", "-1x4", ""])
def test_bad_size(text):
    with pytest.raises(ConfigError, match="HEIGHTxWIDTH"):
        parse_size(text)
