"""The sides of `streamhebb bench spiking` do the same, as far as they say so."""

from __future__ import annotations

import json
import math
import sys
from types import ModuleType

import pytest
import torch
from typer.testing import CliRunner

from streamhebb import kernels
from streamhebb.benchmark.commands import app
from streamhebb.benchmark.spiking import compare, others
from streamhebb.benchmark.spiking.plain import Task, at_the_end, every_step
from streamhebb.errors import ConfigError

pytest.importorskip("norse")

TASK = Task(n_in=40, n_out=12, steps=30, active=0.1, lr=1e-3)


def by_hand(task, weight, spikes, every):
    """LIF neurons and pair STDP, spike by spike: every pair of spikes counts by its distance."""
    n, r = task.neuron, task.rule
    weight = weight.clone()
    v, i = [n.v_leak] * task.n_out, [0.0] * task.n_out
    inputs, fired, change = [], [], torch.zeros_like(weight)
    for t, x in enumerate(spikes):
        inputs += [(t, k) for k in range(task.n_in) if x[k]]
        new = []
        for j in range(task.n_out):
            i[j] += sum(float(weight[j, k]) for k in range(task.n_in) if x[k])
            v[j] += n.dt / n.tau_mem * (n.v_leak - v[j] + i[j])
            i[j] -= n.dt / n.tau_syn * i[j]
            if v[j] > n.v_th:
                new.append((t, j))
                v[j] = n.v_reset
        fired += new
        for _, j in new:
            for s, k in inputs:
                change[j, k] += r.a_plus * math.exp(-(t - s) * r.dt / r.tau_plus)
        for s, j in fired:
            for k in range(task.n_in):
                if x[k]:
                    change[j, k] -= r.a_minus * math.exp(-(t - s) * r.dt / r.tau_minus)
        if every:
            weight += task.lr * change
            change.zero_()
    return weight + task.lr * change, len(fired)


def a_presentation():
    return TASK.weight().double(), TASK.spikes(2)[1].double()


@pytest.mark.parametrize(("make", "every"), [(every_step, True), (at_the_end, False)])
def test_plain_calls_are_the_equation(make, every):
    weight, spikes = a_presentation()
    expected, fired = by_hand(TASK, weight, spikes, every)
    assert make(TASK, weight)(spikes) == fired > 5
    torch.testing.assert_close(weight, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("changes", [compare.EVERY, compare.END])
@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_the_library_does_the_same(changes, backend):
    weight, spikes = a_presentation()
    own = weight.clone()
    plain = compare.makers(changes, ())["plain"][0](TASK, weight)
    ours = compare.ours(TASK, own, changes)
    with kernels.use(backend):
        for part in (spikes, spikes.flip(0)):  # the second one begins as the benchmark's do
            assert plain(part) == ours(part) > 5
    torch.testing.assert_close(own, weight, rtol=1e-10, atol=1e-10)


def test_norse_does_the_same():
    weight, spikes = a_presentation()
    own = weight.clone()
    assert others.norse(TASK, own)(spikes) == every_step(TASK, weight)(spikes) > 5
    torch.testing.assert_close(own, weight, rtol=1e-6, atol=1e-6)  # its constants are float32


def test_what_is_not_there_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "bindsnet", None)
    with pytest.raises(others.Absent, match="does not load|not installed"):
        others.bindsnet(TASK, TASK.weight())


def test_what_breaks_while_it_loads_is_said(monkeypatch, tmp_path):
    (tmp_path / "bindsnet").mkdir()
    (tmp_path / "bindsnet" / "__init__.py").write_text("raise RuntimeError('torch is too new')")
    for name in [name for name in sys.modules if name.partition(".")[0] == "bindsnet"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(others.Absent, match="does not load: torch is too new"):
        others.bindsnet(TASK, TASK.weight())


def test_the_table_the_picture_and_the_file(monkeypatch, tmp_path):
    monkeypatch.setattr(others, "_load", refusing(others._load))
    out, picture = tmp_path / "spiking.json", tmp_path / "spiking.png"
    words = "--threads", "1", "--rounds", "1", "--inputs", "20", "--neurons", "10", "--steps", "5"
    result = CliRunner().invoke(
        app, ["spiking", *words, "--out", str(out), "--picture", str(picture)]
    )
    assert result.exit_code == 0, result.output
    assert len([line for line in result.output.splitlines() if "numba  " in line]) == 2
    assert "not installed" in result.output
    assert picture.read_bytes()[1:4] == b"PNG"
    kept = json.loads(out.read_text())
    missing = [row["way"] for row in kept["spiking"] if row["took"] is None]
    assert missing == ["bindsnet"]
    assert kept["versions"]["norse"]


def refusing(load):
    """Of two libraries one is not installed."""

    def other(name: str) -> ModuleType:
        if name.startswith("bindsnet"):
            raise others.Absent("not installed")
        return load(name)

    return other


@pytest.mark.parametrize("words", [("--steps", "0"), ("--threads", "x"), ("--neurons", "0")])
def test_what_cannot_be_is_refused(words):
    result = CliRunner().invoke(app, ["spiking", *words])
    assert isinstance(result.exception, ConfigError)
    assert words[0].removeprefix("--") in str(result.exception)
