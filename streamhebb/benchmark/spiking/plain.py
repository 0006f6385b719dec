"""A layer of LIF neurons with pair STDP as torch calls: nothing in the library uses it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from streamhebb.neurons import LIF
from streamhebb.rules import STDP

NEURON, RULE = LIF(), STDP(simultaneous="both")


@dataclass(frozen=True)
class Task:
    """What all sides do, as far as they can.

    Args:
        n_in: inputs.
        n_out: neurons.
        steps: time steps of a presentation.
        active: share of the inputs that spike in a time step.
        lr: learning rate; small, so that the neurons go on spiking as they do.
        neuron: LIF neurons.
        rule: pair STDP, additive, all pairs.
    """

    n_in: int = 784
    n_out: int = 400
    steps: int = 100
    active: float = 0.05
    lr: float = 1e-5
    neuron: LIF = NEURON
    rule: STDP = RULE

    def weight(self) -> Tensor:
        """First weights, so large that a typical neuron spikes now and then."""
        chance = torch.Generator().manual_seed(0)
        current = self.active * self.n_in * self.neuron.tau_syn / self.neuron.dt
        return torch.rand(self.n_out, self.n_in, generator=chance) * (2 * 1.2 / current)

    def spikes(self, presentations: int) -> Tensor:
        """Spikes of the inputs, shape ``(presentations, T, n_in)``."""
        chance = torch.Generator().manual_seed(1)
        shape = presentations, self.steps, self.n_in
        return (torch.rand(shape, generator=chance) < self.active).float()


Present = Callable[[Tensor], float]
"""Learns from a presentation ``(T, n_in)``; returns how many spikes there were."""


def every_step(task: Task, weight: Tensor) -> Present:
    """Return a presentation in which weights change at every time step."""
    return _plain(task, weight, at_the_end=False)


def at_the_end(task: Task, weight: Tensor) -> Present:
    """Return a presentation after which weights change, once."""
    return _plain(task, weight, at_the_end=True)


def _plain(task: Task, weight: Tensor, at_the_end: bool) -> Present:
    neuron, rule = task.neuron, task.rule
    keep_pre, keep_post = math.exp(-rule.dt / rule.tau_plus), math.exp(-rule.dt / rule.tau_minus)
    leak, fade = neuron.dt / neuron.tau_mem, neuron.dt / neuron.tau_syn
    rest = weight.new_full((len(weight),), neuron.v_leak)
    last = [rest, torch.zeros_like(rest), weight.new_zeros(weight.shape[1]), torch.zeros_like(rest)]

    @torch.no_grad()
    def present(spikes: Tensor) -> float:
        # A presentation begins at rest; where weights change at every step, time goes on.
        v, i, heard, fired = (torch.zeros_like(s) for s in last) if at_the_end else last
        change, count = torch.zeros_like(weight), weight.new_zeros(())
        for x in spikes:
            i = i + weight @ x
            v = v + leak * (neuron.v_leak - v + i)
            i = i - fade * i
            y = (v > neuron.v_th).to(v.dtype)
            v = (1 - y) * v + y * neuron.v_reset
            heard = keep_pre * heard + x
            fired = keep_post * fired + y
            grow = rule.a_plus * torch.outer(y, heard)
            shrink = rule.a_minus * torch.outer(fired, x)
            if at_the_end:
                change += grow - shrink
            else:
                weight.add_(task.lr * (grow - shrink))
            count += y.sum()
        if at_the_end:
            weight.add_(task.lr * change)
        last[:] = v, i, heard, fired
        return float(count)

    return present
