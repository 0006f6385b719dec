from __future__ import annotations

import torch

import streamhebb as sh
from streamhebb.layers.wins import wins


def test_every_pixel_of_every_group_has_its_winner() -> None:
    torch.manual_seed(0)
    layer = sh.Conv2d(4, 6, 3, groups=2)
    out = layer.respond(torch.rand(2, 4, 5, 5))
    counted = [0] * 6
    for image in out.tolist():
        for row in range(3):
            for col in range(3):
                for group in (0, 3):
                    values = [image[group + k][row][col] for k in range(3)]
                    counted[group + values.index(max(values))] += 1
    assert wins(layer, out).tolist() == counted
    assert wins(layer, out[0]).tolist() + wins(layer, out[1]).tolist() != counted
    assert (wins(layer, out[0]) + wins(layer, out[1])).tolist() == counted


def test_spikes_are_counted_over_time() -> None:
    layer = sh.Dense(3, 2, neuron=sh.LIF())
    spikes = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])  # T = 4 > n_out
    assert wins(layer, spikes).tolist() == [3, 1]
    assert wins(layer, torch.stack([spikes, spikes])).tolist() == [6, 2]
    graded = sh.Dense(3, 2, neuron=sh.LI())
    assert wins(graded, spikes).tolist() == [4, 0]  # the first of equals
