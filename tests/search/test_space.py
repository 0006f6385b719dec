"""Search spaces: the published ones, and what a person may write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamhebb.errors import ConfigError
from streamhebb.search import Parameter, Space, find_space, read_spaces, spaces
from streamhebb.suite import find


def test_published_grids_have_their_published_sizes():
    sizes = {name: space.size for name, space in spaces().items()}
    assert (sizes["seed"], sizes["one-seed"], sizes["regimes"], sizes["radius"]) == (4, 1, 600, 81)
    assert [name for name, size in sizes.items() if size is None] == ["1", "2"]


def test_what_is_ours_says_so():
    for name, space in spaces().items():
        assert ("ours" in space.about) == (name in ("1", "2", "3a", "3b"))
        assert space.about.startswith("Published by its name") or "As published" in space.about


def test_powers_are_those_of_the_published_experiments():
    radii = find_space("radius").grid["block 0 r"]
    assert radii == sorted(find("b3a-radius").columns)
    assert radii[10] == 1
    temperatures = find_space("regimes").grid["hidden t"]
    assert len(temperatures) == 100
    assert temperatures[50] == 1
    assert temperatures[-1] == pytest.approx(1.25**49, rel=1e-5)


def test_points_become_changes_of_blocks():
    point = {"hidden rule": "soft", "hidden t": 2.0, "seed": 1}
    assert find_space("regimes").changes(point) == ({"hidden": {"rule": "soft", "t": 2.0}}, 1)
    assert find_space("3a").changes({"block 0 activation": "repu_2"}) == (
        {"0": {"activation": "repu_2"}},
        None,
    )


@given(st.integers(-20, 20), st.integers(0, 20), st.floats(1.01, 4))
def test_powers_are_as_many_as_exponents(first, more, base):
    found = Parameter(block=0, key="t", powers=(base, first, first + more)).values
    assert len(found) == more + 1
    for exponent, value in enumerate(found, first):
        assert value == pytest.approx(base**exponent, rel=1e-5)


def test_letters_and_names_are_the_same_key():
    one = Parameter(block=0, key="r", values=[1, 2])
    assert one == Parameter(block=0, key="radius", values=(1, 2))
    assert one.name == "block 0 r"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"block": 0, "key": "raduis", "values": [1]}, "did you mean radius"),
        ({"block": 0, "key": "R", "values": [1]}, "there is no key 'R'"),
        ({"key": "r", "values": [1]}, "say in which block"),
        ({"block": 0, "key": "seed", "values": [1]}, "seed belongs to no block"),
        ({"block": "first", "key": "r", "values": [1]}, "hidden"),
        ({"block": -1, "key": "r", "values": [1]}, "counted from 0"),
        ({"block": 0, "key": "r"}, "give values"),
        ({"block": 0, "key": "r", "values": []}, "give values"),
        ({"block": 0, "key": "r", "values": [1], "low": 1, "high": 2}, "give values"),
        ({"block": 0, "key": "r", "values": [1, 1.0]}, "twice"),
        ({"block": 0, "key": "r", "low": 1}, "high=None"),
        ({"block": 0, "key": "r", "low": 2, "high": 1}, "low must be below high"),
        ({"block": 0, "key": "r", "low": 1, "high": float("inf")}, "low must be below high"),
        ({"block": 0, "key": "r", "low": 0, "high": 1, "log": True}, "has no logarithm"),
        ({"block": 0, "key": "c", "low": 0.5, "high": 9, "whole": True}, "are whole"),
        ({"block": 0, "key": "rule", "low": 0, "high": 1}, "has no range"),
        ({"block": 0, "key": "r", "values": [1], "log": True}, "for ranges"),
        ({"block": 0, "key": "r", "powers": [2, 3]}, "base, first, last"),
        ({"block": 0, "key": "r", "powers": [2, 3, 1]}, "base above 0"),
        ({"block": 0, "key": "r", "powers": [2, 0, 10**9]}, "base above 0"),
        ({"block": 0, "key": "r", "value": [1]}, "there is no such entry; there are block, key"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(tmp_path, entry, words):
    path = tmp_path / "own.yaml"
    path.write_text(
        f"mine: {{parameters: [{entry}]}}".replace("True", "true").replace("inf", ".inf")
    )
    with pytest.raises(ConfigError, match=words):
        read_spaces(path)


def test_unknown_words_are_not_taken_for_seed():
    with pytest.raises(
        ConfigError, match="there are seed, one-seed, regimes, radius, 1, 2, 3a, 3b"
    ):
        find_space("xyz")
    with pytest.raises(ConfigError, match="did you mean radius"):
        find_space("raduis")
    assert find_space("One_Seed").name == "one-seed"


def test_own_files(tmp_path):
    yaml = tmp_path / "own.yaml"
    yaml.write_text("a: {parameters: [{block: 0, key: t, low: 1, high: 9}]}")
    assert find_space(str(yaml)).name == "a"
    toml = tmp_path / "own.toml"
    toml.write_text(
        '[[a.parameters]]\nblock = 0\nkey = "t"\nvalues = [1, 2]\n'
        '[[b.parameters]]\nkey = "seed"\nvalues = [0]\n'
    )
    assert find_space(f"{toml}:b").only_seeds
    with pytest.raises(ConfigError, match="there are a, b"):
        find_space(str(toml))
    with pytest.raises(ConfigError, match="no space 'c'"):
        find_space(f"{toml}:c")


@pytest.mark.parametrize("text", ["", "- 1", "a: 3", "a: {}", "a: [", "a: {parameters: 3}", "\0"])
def test_files_that_hold_no_spaces_are_refused(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="own.yaml"):
        find_space(str(path))


def test_a_file_that_is_missing_or_huge_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        find_space(str(tmp_path / "none.yaml"))
    path = tmp_path / "huge.yaml"
    path.write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        find_space(str(path))


def test_a_grid_too_large_is_refused():
    many = [Parameter(block=n, key="t", powers=(1.1, 0, 199)) for n in range(3)]
    with pytest.raises(ValueError, match="at most 1000000"):
        Space(name="huge", parameters=tuple(many))
    with pytest.raises(ValueError, match="twice"):
        Space(name="same", parameters=(many[0], many[0]))
