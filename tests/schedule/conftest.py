"""What tests of schedulers share: a run with the race detector beside the one without."""

from __future__ import annotations

import pytest

from streamhebb.races import VARIABLE


@pytest.fixture(params=["0", "1"], ids=["", "races checked"])
def races(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether nets built in this test check for races."""
    monkeypatch.setenv(VARIABLE, request.param)
    return bool(request.param == "1")
