from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamhebb.benchmark.commands import app
from streamhebb.benchmark.stdp import measure
from streamhebb.errors import ConfigError
from streamhebb.rules import STDP


def test_the_window_has_the_time_constants_of_the_rule() -> None:
    rule = STDP(a_plus=0.3, a_minus=0.2, tau_plus=0.012, tau_minus=0.041, dt=5e-4)
    window = measure(rule, reach=0.05)
    assert window.tau_plus == pytest.approx(0.012, rel=1e-9)
    assert window.tau_minus == pytest.approx(0.041, rel=1e-9)
    assert (window.a_plus, window.a_minus) == pytest.approx((0.3, 0.2), rel=1e-9)
    assert window.apart < 1e-9
    assert len(window.lag) == len(window.change) == 201
    assert window.change[100] == pytest.approx(0.3)  # the same step: pre before post


def test_weights_in_the_middle_halve_a_multiplicative_window() -> None:
    window = measure(STDP(a_plus=1, a_minus=1, mu_plus=1, mu_minus=1))
    assert (window.a_plus, window.a_minus) == pytest.approx((0.5, 0.5))


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"reach=0.001 is not allowed; .* at least 0.002 s"):
        measure(STDP(), reach=0.001)
    with pytest.raises(ConfigError, match="nothing on one side"):
        measure(STDP(a_minus=0))


def test_the_command_writes_figures_and_a_picture(tmp_path: Path) -> None:
    out, picture = tmp_path / "stdp.json", tmp_path / "new" / "stdp.png"
    words = ["stdp", "--tau-plus", "0.01", "--out", str(out), "--picture", str(picture)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "tau_plus: 10 ms, fitted 10 ms" in result.output
    kept = json.loads(out.read_text("utf-8"))
    assert kept["rule"]["tau_plus"] == 0.01
    assert kept["stdp"]["tau_plus"] == pytest.approx(0.01)
    assert picture.read_bytes()[1:4] == b"PNG"
