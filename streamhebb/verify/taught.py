"""Replays a layer whose neurons are clamped to the label: 20 steps of the Hebbian readout."""

from __future__ import annotations

import numpy as np
import torch

from streamhebb.errors import SourceError
from streamhebb.presets.language import TAUGHT
from streamhebb.readouts import SoftHebbReadout
from streamhebb.scaling import LayerMax
from streamhebb.verify.cases import Array, Case
from streamhebb.verify.compare import Comparison, plain, rate_slack
from streamhebb.verify.layers import STEPS, check_converged
from streamhebb.verify.settings import Settings

_NEEDED = ("x", "labels", "w0", "u", "y", "dw_raw", "dw", "lr0", "w1", "w20", "norms", "lr20")


def is_taught(case: Case) -> bool:
    """Whether the case is about one supervised layer."""
    return case.meta.get("softness") == TAUGHT


def missing(case: Case) -> str:
    """Say what is not supported; empty if everything is."""
    return Settings.of(case.meta, case["w0"].ndim).missing()


def replay_taught(case: Case, comparison: Comparison) -> None:
    """Run the readout and compare everything the reference kept."""
    case.need(_NEEDED)
    settings = Settings.of(case.meta, 2)
    w0 = case.shaped("w0", (None, None))
    x = case.shaped("x", (None, case.meta.get("B"), w0.shape[1]))
    labels = case.shaped("labels", x.shape[:2])
    if labels.dtype.kind not in "iu":
        raise SourceError(f"labels have dtype {labels.dtype}; whole numbers are needed")
    comparison.used("x", "w0", "labels")
    rate = settings.rate()
    readout = SoftHebbReadout(w0.shape[1], len(w0), rate=rate, scaling=LayerMax())
    readout = readout.to(comparison.dtype)
    readout.weight.copy_(comparison.tensor(w0))
    batches = [comparison.tensor(batch) for batch in x]
    told = labels.tolist()
    floor = float(settings["lr"])

    drive, seen = readout.observe(batches[0])
    raw, hot = readout.delta(seen, told[0])
    scale = torch.linalg.vector_norm(raw, torch.inf) + 1e-30
    comparison.check("u", drive)
    comparison.check("y", hot)
    comparison.check("dw_raw", raw)
    comparison.check("dw", raw / scale)
    comparison.check("dw_scale", scale.reshape(case["dw_scale"].shape))
    comparison.check("lr0", readout.current_rate(), floor=floor, slack=_slack(readout))
    rates, radii = [plain(readout.current_rate())], []
    for step in range(STEPS):
        _, seen = readout.observe(batches[step % len(batches)])
        readout.learn(seen, told[step % len(batches)])
        rates.append(plain(readout.current_rate()))
        radii.append(plain(readout.radius()))
        if step == 0:
            comparison.check("w1", readout.weight)
    comparison.check("w20", readout.weight)
    comparison.check("norms", np.stack(radii))
    comparison.check("lr20", rates[-1], floor=floor, slack=_slack(readout))
    comparison.check("lr_seq", np.stack(rates[:-1]), floor=floor)
    apart = np.abs(radii[-1] - 1)
    comparison.check("convergence20", apart.mean())
    check_converged(case, comparison, apart, 0.005)


def _slack(readout: SoftHebbReadout) -> Array | float:
    return rate_slack(readout.rate, readout.radius())
