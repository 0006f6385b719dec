"""The presets and data settings that come along: complete, findable, told by name."""

from __future__ import annotations

import re

import pytest
import yaml

from streamhebb import presets
from streamhebb.errors import ConfigError
from streamhebb.presets import catalogue
from streamhebb.presets._files import read_yaml


def test_names_are_published_or_explain_themselves():
    for name in presets.names():
        preset = presets.find(name)
        assert preset.name == name
        assert preset.about
        explains = [n for n in (name, *preset.aliases) if re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", n)]
        assert explains, f"{name} has no name that explains itself"


def test_no_name_means_two_presets():
    every = [n.lower() for p in map(presets.find, presets.names()) for n in (p.name, *p.aliases)]
    assert len(set(every)) == len(every)


def test_depth_and_size_in_an_alias_are_true():
    for name in presets.names():
        preset = presets.find(name)
        found = [re.search(r"(\d)conv", n) for n in (name, *preset.aliases)]
        depths = {int(match[1]) for match in found if match}
        assert depths <= {len(preset.blocks) - 1}
        rule = preset.blocks[0].code.rule
        kind = {"softkrotov": "softhebb", "hard": "hard-wta", "BP": "backprop", "soft": "soft-wta"}
        own = [n for n in preset.aliases if n == n.lower()]
        assert all(alias.startswith(kind[rule]) for alias in own)


def test_every_family_of_the_published_figures_is_there():
    for rule in ("softhebb", "hard-wta", "backprop", "random", "normed-random"):
        for depth in (1, 2, 3):
            assert len(presets.find(f"{rule}-cifar-{depth}conv").blocks) == depth + 1
        for depth in (1, 2, 3, 4, 5):
            assert len(presets.find(f"{rule}-imagenet-{depth}conv").blocks) == depth + 1
    for rule in ("softhebb", "backprop", "random"):
        for depth in (3, 4):
            assert len(presets.find(f"{rule}-stl-{depth}conv").blocks) == depth + 1


def test_capitals_and_blanks_do_not_matter():
    assert presets.find(" 4softhebbcnncifar ").name == "4SoftHebbCnnCIFAR"
    assert presets.find("Hard WTA cifar 1conv").name == "2HardCnnCIFAR"
    # published without its R
    assert presets.find("2HardCnnCIFAR_speed_linearDecay").name == "2HardCnnCIFA_speed_linearDecay"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("4SoftHebCnnCIFAR", "did you mean 4SoftHebbCnnCIFAR"),
        ("softhebb-cifar", "softhebb-cifar-1conv, softhebb-cifar-2conv"),
        ("hardwta-cifar-2conv", "hard-wta-cifar-2conv"),
        ("resnet", "streamhebb presets list"),
        ("", "streamhebb presets list"),
    ],
)
def test_a_mistake_is_refused_with_near_names(name, said):
    with pytest.raises(ConfigError, match="there is no preset") as caught:
        presets.find(name)
    assert said in str(caught.value)


def test_names_of_the_published_notes_that_were_never_published_say_so():
    with pytest.raises(ConfigError) as caught:
        presets.find("5HardCnnSTL")
    assert "never published" in caught.value.__notes__[0]


def test_what_is_like_another_takes_its_blocks_and_data():
    origin, control = presets.find("5SoftHebbCnnSTL"), presets.find("random-stl-4conv")
    assert control.blocks == origin.blocks
    assert control.supervised == origin.supervised
    assert (origin.hidden, control.hidden, control.mode) == ("learns", "random", "consecutive")
    assert control.aliases == ()


def test_the_files_hold_plain_data_and_nothing_else():
    for name in ("presets.yaml", "data.yaml"):
        data = read_yaml(name)
        assert yaml.safe_load(yaml.safe_dump(data)) == data


def test_a_preset_is_built_by_name():
    built = presets.build("softhebb-cifar-1conv", "cifar100", seed=2, mode="simultaneous")
    assert len(built.net.labels) == 100
    assert [stage.data.name for stage in built.stages] == ["CIFAR100_50"]
    assert built.net.seed == 2
    assert catalogue.build is presets.build
