"""Neurons against the equations, against norse, and against bad settings."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

import streamhebb as sh
from streamhebb.errors import ConfigError, MissingExtraError
from streamhebb.neurons import _norse
from tests import oracles

pytest.importorskip("nir", reason="the extra 'spiking' is not installed")

NEURONS = [sh.LIF, sh.LIFBox, sh.LIFRefractory, sh.ALIF, sh.LI]
DT = 0.001


def run(neuron: Any, drive: Tensor, threshold: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Outputs and voltages over time; ``drive`` is (T, ..., n)."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(drive.dtype)  # a leak of 0.1 is another number in float32
    try:
        rest = neuron.init(drive.shape[-1])
    finally:
        torch.set_default_dtype(before)
    state = {name: value.expand(drive.shape[1:]) for name, value in rest.items()}
    outs, voltages = [], []
    for now in drive:
        out, voltage, state = neuron.step(now, state, threshold)
        outs.append(out)
        voltages.append(voltage)
    return torch.stack(outs), torch.stack(voltages)


times = st.floats(0.001, 0.05)


@st.composite
def cases(draw: Any) -> tuple[Any, dict[str, Any], Tensor, Tensor]:
    """A neuron, the same for the oracle, drives and thresholds."""
    kind = draw(st.sampled_from(NEURONS))
    names = {field.name for field in fields(kind)}
    given_: dict[str, Any] = {n: draw(times) for n in ("tau_mem", "tau_syn") if n in names}
    given_ |= {"v_leak": draw(st.floats(-0.5, 0.5)), "dt": DT}
    if "v_th" in names:
        given_ |= {"v_th": draw(st.floats(0.1, 1.5)), "v_reset": draw(st.floats(-1.0, 0.0))}
    oracle = dict(given_)
    if kind is sh.ALIF:
        more = {"tau_adapt": draw(times), "beta": draw(st.floats(0.0, 0.5))}
        given_ |= more
        oracle |= more
    if kind is sh.LIFRefractory:
        oracle["rest"] = draw(st.integers(0, 4))
        given_["refractory"] = oracle["rest"] * DT
    seed = draw(st.integers(0, 10**6))
    chance = torch.Generator().manual_seed(seed)
    drive = torch.randn(12, 2, 3, generator=chance, dtype=torch.float64) * 3
    shift = torch.rand(3, generator=chance, dtype=torch.float64)
    return kind(**given_), oracle, drive, shift


@given(case=cases(), shifted=st.booleans())
def test_a_neuron_equals_its_equation(case: Any, shifted: bool) -> None:
    neuron, oracle, drive, shift = case
    outs, voltages = run(neuron, drive, shift if shifted else None)
    expected = torch.zeros(2, 12, 2, 3, dtype=torch.float64)
    for b in range(2):
        for j in range(3):
            own = float(shift[j]) if shifted else 0.0
            spikes, voltage, margin = oracles.spiking(drive[:, b, j].tolist(), shift=own, **oracle)
            assume(margin > 1e-9)  # nearer to the threshold, rounding decides
            both = [voltage if isinstance(neuron, sh.LI) else spikes, voltage]
            expected[:, :, b, j] = torch.tensor(both, dtype=torch.float64)
    torch.testing.assert_close(outs, expected[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(voltages, expected[1], rtol=0, atol=1e-12)


def whole_norse(neuron: Any, drive: Tensor) -> tuple[Tensor, Any]:
    """The spikes and last state of norse's own whole step, surrogate and all."""
    from norse.torch.functional import leaky_integrator, lif, lif_box, lif_refrac, lsnn

    zero, n = torch.zeros_like(drive[0]), neuron
    own = {"v_th": n.v_th, "v_reset": n.v_reset} if hasattr(n, "v_th") else {}
    own |= {"tau_mem_inv": 1 / n.tau_mem, "v_leak": n.v_leak}
    if not isinstance(n, sh.LIFBox):
        own |= {"tau_syn_inv": 1 / n.tau_syn}
    v = zero + n.v_leak
    state: Any
    match n:
        case sh.LIF():
            step, state = lif.lif_feed_forward_step, lif.LIFFeedForwardState(v, zero)
            parameters: Any = lif.LIFParameters(**own)
        case sh.LIFBox():
            step, state = lif_box.lif_box_feed_forward_step, lif_box.LIFBoxFeedForwardState(v)
            parameters = lif_box.LIFBoxParameters(**own)
        case sh.LIFRefractory():
            step = lif_refrac.lif_refrac_feed_forward_step
            start = lif.LIFFeedForwardState(v, zero)
            state = lif_refrac.LIFRefracFeedForwardState(start, zero)
            steps = float(round(n.refractory / n.dt))
            parameters = lif_refrac.LIFRefracParameters(lif.LIFParameters(**own), steps)
        case sh.ALIF():
            step = lsnn.lsnn_feed_forward_step
            state = lsnn.LSNNFeedForwardState(v, zero, zero + n.v_th)
            parameters = lsnn.LSNNParameters(tau_adapt_inv=1 / n.tau_adapt, beta=n.beta, **own)
        case _:
            step, state = leaky_integrator.li_feed_forward_step, leaky_integrator.LIState(v, zero)
            parameters = leaky_integrator.LIParameters(**own)
    outs = []
    for now in drive:
        out, state = step(now, state, parameters, n.dt)
        outs.append(out)
    return torch.stack(outs), state


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", NEURONS)
def test_a_neuron_equals_the_whole_step_of_norse_bit_for_bit(kind: Any, dtype: torch.dtype) -> None:
    drive = torch.randn(60, 4, 50, generator=torch.Generator().manual_seed(1)).to(dtype) * 2 + 0.5
    neuron = kind(v_leak=0.1)
    outs, voltages = run(neuron, drive)
    expected, state = whole_norse(neuron, drive)
    assert outs.dtype == voltages.dtype == dtype
    assert torch.equal(outs, expected)
    assert isinstance(neuron, sh.LI) or 0 < float(outs.sum()) < outs.numel()
    v = getattr(state, "lif", state).v
    quiet = outs[-1] == (outs[-1] if isinstance(neuron, sh.LI) else 0)
    assert torch.equal(voltages[-1][quiet], v[quiet])


@pytest.mark.parametrize("kind", NEURONS[:4])
def test_the_voltage_is_the_one_the_spike_was_decided_on(kind: Any) -> None:
    drive = torch.rand(80, 20, generator=torch.Generator().manual_seed(2)) * 2
    neuron = kind(**({"beta": 0.0} if kind is sh.ALIF else {}))
    outs, voltages = run(neuron, drive)
    assert outs.sum() > 0
    assert torch.equal(outs, (voltages > neuron.v_th).float())


@pytest.mark.parametrize("kind", NEURONS[:4])
def test_a_raised_threshold_silences_its_neuron_only(kind: Any) -> None:
    drive = torch.full((40, 2), 3.0)
    plain, _ = run(kind(), drive)
    raised, _ = run(kind(), drive, torch.tensor([0.0, 50.0]))
    assert torch.equal(raised[:, 0], plain[:, 0])
    assert plain[:, 1].sum() > 0
    assert raised[:, 1].sum() == 0


@pytest.mark.parametrize("kind", NEURONS)
def test_a_step_is_pure_and_keeps_no_graph(kind: Any) -> None:
    neuron = kind()
    state = {name: value.expand(2, 3).clone() for name, value in neuron.init(3).items()}
    before = {name: value.clone() for name, value in state.items()}
    drive = torch.full((2, 3), 30.0)
    out, voltage, after = neuron.step(drive, state, None)
    assert all(torch.equal(state[name], before[name]) for name in state)
    assert after.keys() == state.keys()
    for value in (out, voltage, *after.values()):
        assert value.shape == (2, 3)
        assert value.grad_fn is None
        assert value.dtype == torch.float32


def test_the_threshold_adapts_and_recovers() -> None:
    outs, _ = run(sh.ALIF(beta=0.3, tau_adapt=0.05), torch.full((400, 1), 0.6))
    when = outs[:, 0].nonzero().flatten()
    apart = when.diff()
    assert apart[-1] > apart[0]  # fewer and fewer spikes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sh.LIF(tau_mem=0.0), "LIF: tau_mem=0.0 is not allowed; it must be a number > 0"),
        (lambda: sh.LIF(dt=-1.0), "LIF: dt=-1.0 is not allowed; it must be a number > 0"),
        (lambda: sh.LIF(dt=0.02), "LIF: dt=0.02 is not allowed beside tau_mem=0.01; a step must"),
        (lambda: sh.LI(dt=0.007), "LI: dt=0.007 is not allowed beside tau_syn=0.005"),
        (lambda: sh.LIF(v_reset=1.0), "LIF: v_reset=1.0 is not allowed; it must lie below v_th=1"),
        (lambda: sh.LIFBox(v_th=float("nan")), "LIFBox: v_th=nan is not allowed"),
        (lambda: sh.LIFRefractory(refractory=-0.1), "LIFRefractory: refractory=-0.1 is not allow"),
        (lambda: sh.ALIF(beta=-1.0), "ALIF: beta=-1.0 is not allowed; it must be a number >= 0"),
        (lambda: sh.ALIF(tau_adapt=1e-4), "ALIF: dt=0.001 is not allowed beside tau_adapt=0.0001"),
        (lambda: sh.LI(v_leak="0"), "LI: v_leak='0' is not allowed; it must be a number"),
    ],
)
def test_numbers_out_of_range_are_named(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_without_norse_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [m for m in sys.modules if m.partition(".")[0] in ("norse", "nir")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nir", None)
    fresh = _norse.norse.__wrapped__
    with pytest.raises(MissingExtraError, match=r"a spiking neuron needs the extra 'spiking'"):
        fresh()
