"""Experiments whose cells are presets."""

from __future__ import annotations

import pytest

from streamhebb import layers
from streamhebb.competition import HardWTA, SoftWTA
from streamhebb.suite import find


def plastic(cell):
    return [each for each in cell.trial.build().net.layers if isinstance(each, layers.PlasticLayer)]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_competitions_differ_in_nothing_else(depth):
    kinds = set()
    cells = find("competition").only(columns=str(depth)).cells
    for row in zip(*map(plastic, cells), strict=True):
        assert [type(each.competition) for each in row] == [SoftWTA, SoftWTA, HardWTA]
        kinds |= {each.competition.anti_hebbian for each in row[:2]}
        configs = [each.config() for each in row]
        for config in configs:
            del config["competition"]
        assert configs[0] == configs[1] == configs[2]
    assert kinds == {True, False}
