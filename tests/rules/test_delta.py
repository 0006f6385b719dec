from __future__ import annotations

import pytest
import torch

import streamhebb as sh
from streamhebb.errors import ConfigError


@pytest.mark.parametrize("value", [-0.1, float("nan"), "small", None])
def test_a_decay_that_is_no_amount_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"Delta: weight_decay=.* must be a number >= 0"):
        sh.Delta(weight_decay=value)  # type: ignore[arg-type]


def test_without_an_error_nothing_changes_but_decay() -> None:
    seen = sh.Activity(torch.ones(1, 3), torch.zeros(1, 2), torch.ones(1, 2), torch.ones(2, 3))
    update, _ = sh.Delta().terms(seen, {})
    assert update.decay is None
    update, _ = sh.Delta(0.5).terms(seen, {})
    assert update.decay is not None
    assert update.decay.tolist() == [[0.5, 0.5]]
