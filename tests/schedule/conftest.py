"""What tests of schedulers share: the race detector looks on while orders are compared."""

from __future__ import annotations

import pytest

from streamhebb.races import VARIABLE

CHECKED = (
    "test_the_detector_looks_on",
    "test_any_order_within_a_step_gives_the_same_bits",
    "test_any_order_across_samples_gives_the_same_bits",
    "test_samples_do_overtake_each_other",
    "test_random_nets_in_random_orders",
    "test_random_nets_in_threads_that_are_held_up",
    "test_a_long_stream_in_threads_that_are_held_up",
)
"""Tests that run twice: as they are, and with nets that check for races."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests above a second time."""
    if metafunc.function.__name__ in CHECKED:
        metafunc.parametrize("races", [False, True], indirect=True, ids=["", "races checked"])


@pytest.fixture(autouse=True)
def races(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nets that this test builds check for races, or not; else as the variable says."""
    if hasattr(request, "param"):
        monkeypatch.setenv(VARIABLE, "1" if request.param else "0")
