"""Experiments whose cells are presets."""

from __future__ import annotations

import pytest

from streamhebb import layers, presets
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


def nets(name: str, row: str) -> list[str]:
    cells = sorted((c for c in find(name).cells if c.row == row), key=lambda cell: cell.column)
    return [presets.find(cell.trial.net).name for cell in cells]


def test_figure_3_has_the_nets_that_the_published_commands_name():
    cifar = ["2SoftHebbCnnCIFAR", "3SoftHebbCnnCIFAR", "4SoftHebbCnnCIFAR"]
    random = "random, not normalised"
    for data in ("cifar10", "cifar100"):
        assert nets(f"figure-3-{data}", "SoftHebb") == nets(f"figure-3-{data}", random) == cifar
    deep = [*cifar[:2], "4SoftHebbCnnSTL", "5SoftHebbCnnSTL"]
    assert nets("figure-3-stl10", "SoftHebb") == nets("figure-3-stl10", random) == deep
    wanted = [*cifar, "5SoftHebbCnnSTL", "6SoftHebbCnnImNet"]
    assert nets("figure-3-imagenette", "SoftHebb") == wanted
    wide = [f"{blocks}SoftHebbCnnImNet" for blocks in range(2, 7)]
    assert nets("figure-3-imagenette", random) == wide
    hard = [name.replace("SoftHebb", "Hard") for name in wide]
    assert nets("figure-3-imagenette", "hard WTA") == hard
