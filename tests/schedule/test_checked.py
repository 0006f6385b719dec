"""The second run of the tests of orders does check for races."""

from __future__ import annotations

import pytest

import streamhebb as sh


def test_the_detector_looks_on(request: pytest.FixtureRequest) -> None:
    net = sh.StreamNet(sh.Dense(2, 2))
    assert net.check_races == (request.node.callspec.id == "races checked")
