"""Counter-based numbers against SplitMix64 as it is written down."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from streamhebb.chance.counters import mixed, numbers, signed, start

FULL = (1 << 64) - 1


def splitmix(z: int) -> int:
    """The mixing function of SplitMix64, with Python's unbounded numbers."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & FULL
    z = (z ^ z >> 27) * 0x94D049BB133111EB & FULL
    return z ^ z >> 31


def test_the_published_first_numbers_of_splitmix64() -> None:
    """Of seed 1234567, as in the reference code of S. Vigna and in Rosetta Code."""
    gamma = 0x9E3779B97F4A7C15
    states = torch.tensor([signed(1234567 + gamma * n) for n in range(1, 6)])
    assert [int(z) & FULL for z in mixed(states)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@given(st.lists(st.integers(0, FULL), min_size=1, max_size=20))
def test_mixing_is_that_of_splitmix64(states: list[int]) -> None:
    found = mixed(torch.tensor([signed(z) for z in states]))
    assert [int(z) & FULL for z in found] == [splitmix(z) for z in states]


@given(st.integers(-(1 << 70), 1 << 70))
def test_signed_numbers_are_the_same_modulo_two_to_the_64(number: int) -> None:
    assert -(1 << 63) <= signed(number) < 1 << 63
    assert (signed(number) - number) % (1 << 64) == 0
    assert start(number) == start(signed(number))


def test_a_row_depends_on_seed_and_counter_alone() -> None:
    whole = numbers(7, torch.tensor(3), 5, 9)
    for row in range(5):
        assert torch.equal(whole[row : row + 1, :6], numbers(7, torch.tensor(3 + row), 1, 6))
    assert not torch.equal(whole, numbers(8, torch.tensor(3), 5, 9))
