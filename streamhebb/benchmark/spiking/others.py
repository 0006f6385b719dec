"""The same layer in other libraries, each by its own step; imported when they are measured."""

from __future__ import annotations

import importlib
import math
import warnings
from typing import Any

import torch
from torch import Tensor

from streamhebb.benchmark.spiking.plain import Present, Task


class Absent(Exception):
    """A library is not installed, or does not load; says why."""


def _load(name: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it imports itself
            return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        missing = getattr(error, "name", None) or ""
        own = missing.partition(".")[0] == package
        raise Absent("not installed" if own else f"does not load: {error}") from error
    except Exception as error:  # whatever a package does while it loads is no reason to stop
        raise Absent(f"does not load: {error}") from error


def norse(task: Task, weight: Tensor) -> Present:
    r"""Its ``LIFCell`` and ``stdp_step_linear``; weights change at every step.

    Its traces decay by Euler steps of $dt / \\tau$. The time constants and amplitudes given here
    make of them the traces of the rule: the arithmetic is the same to rounding.

    Raises:
        Absent: it is not there.
    """
    cells, lif = _load("norse.torch.module.lif"), _load("norse.torch.functional.lif")
    stdp = _load("norse.torch.functional.stdp")
    neuron, rule = task.neuron, task.rule
    # Its default threshold comes with a surrogate gradient, which would cost it time for nothing.
    parameters = lif.LIFParameters(
        tau_syn_inv=torch.as_tensor(1 / neuron.tau_syn),
        tau_mem_inv=torch.as_tensor(1 / neuron.tau_mem),
        v_leak=torch.as_tensor(neuron.v_leak),
        v_th=torch.as_tensor(neuron.v_th),
        v_reset=torch.as_tensor(neuron.v_reset),
        method="heaviside",
    )
    cell = cells.LIFCell(parameters, dt=neuron.dt)
    lost = [1 - math.exp(-rule.dt / tau) for tau in (rule.tau_plus, rule.tau_minus)]
    learning = stdp.STDPParameters(
        a_pre=torch.as_tensor(1 / lost[0]),
        a_post=torch.as_tensor(1 / lost[1]),
        tau_pre_inv=torch.as_tensor(lost[0] / rule.dt),
        tau_post_inv=torch.as_tensor(lost[1] / rule.dt),
        eta_plus=task.lr * rule.a_plus,
        eta_minus=task.lr * rule.a_minus,
        hardbound=False,
    )
    traces = stdp.STDPState(weight.new_zeros(1, task.n_in), weight.new_zeros(1, task.n_out))
    own: dict[str, Any] = {"weight": weight, "state": None, "traces": traces}

    @torch.no_grad()
    def present(spikes: Tensor) -> float:
        count = weight.new_zeros(())
        for x in spikes[:, None]:
            y, own["state"] = cell(x @ own["weight"].T, own["state"])
            own["weight"], own["traces"] = stdp.stdp_step_linear(
                x, y, own["weight"], own["traces"], learning, rule.dt
            )
            count += y.sum()
        weight.copy_(own["weight"])
        return float(count)

    return present


def bindsnet(task: Task, weight: Tensor) -> Present:
    """Its ``LIFNodes``, ``Connection`` and ``PostPre``; weights change at every step.

    Not the same arithmetic: its neurons have no synaptic current, its connections a delay of one
    step, and a spike of the input in the step of the neuron's counts twice.

    Raises:
        Absent: it is not there.
    """
    network, nodes = _load("bindsnet.network"), _load("bindsnet.network.nodes")
    topology, learning = _load("bindsnet.network.topology"), _load("bindsnet.learning")
    neuron, rule = task.neuron, task.rule
    each = {"traces": True, "traces_additive": True}
    source = nodes.Input(n=task.n_in, tc_trace=rule.tau_plus / rule.dt, **each)
    target = nodes.LIFNodes(
        n=task.n_out,
        thresh=neuron.v_th,
        rest=neuron.v_leak,
        reset=neuron.v_reset,
        refrac=0,
        tc_decay=neuron.tau_mem / neuron.dt,
        tc_trace=rule.tau_minus / rule.dt,
        **each,
    )
    connection = topology.Connection(
        source,
        target,
        # Without a synaptic current, a spike drives a neuron for as long as its membrane leaks.
        w=weight.T.contiguous() * (neuron.tau_syn / neuron.tau_mem),
        update_rule=learning.PostPre,
        nu=(task.lr * rule.a_minus, task.lr * rule.a_plus),
    )
    net = network.Network(dt=1.0)
    net.add_layer(source, name="in")
    net.add_layer(target, name="out")
    net.add_connection(connection, source="in", target="out")
    monitor = _load("bindsnet.network.monitors").Monitor(target, ["s"], time=task.steps)
    net.add_monitor(monitor, name="spikes")

    def present(spikes: Tensor) -> float:
        with torch.no_grad():
            net.run(inputs={"in": spikes}, time=len(spikes))
            weight.copy_(connection.w.T)
        return float(monitor.get("s").sum())

    return present
