"""Hard competition and random weights, where published figures do not come out."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from streamhebb import presets
from streamhebb.layers import Conv2d
from streamhebb.suite import OfflineTrial, find


def test_a_hard_layer_learns_what_the_equations_say():
    """Written down a second time: batch norm, correlation, largest change, rate by the radius."""
    (stage, _) = OfflineTrial(net="2HardCnnCIFAR", twin=True).build().stages
    net = OfflineTrial(net="2HardCnnCIFAR").build().net.double()
    (layer,) = [each for each in net.layers if isinstance(each, Conv2d)]
    layer.method = "direct"
    x = presets.load_data(stage.data, twin=True, samples=400).x.double()
    w = layer.weight.view(96, 5, 5, 3).permute(0, 3, 1, 2).clone()
    first = w.clone()
    for batch in x.split(10):
        net.step(batch)
        mean, variance = batch.mean((0, 2, 3), True), batch.var((0, 2, 3), False, keepdim=True)
        seen = F.pad((batch - mean) / (variance + 1e-5).sqrt(), (2, 2, 2, 2), mode="reflect")
        u = F.conv2d(seen, w)
        y = torch.zeros_like(u).scatter_(1, u.argmax(1, keepdim=True), 1.0)
        change = F.conv2d(seen.transpose(0, 1), y.transpose(0, 1)).transpose(0, 1)
        change -= (y * u).sum((0, 2, 3)).view(-1, 1, 1, 1) * w
        radius = w.flatten(1).norm(dim=1)
        rate = 0.08 * ((radius - 1).abs() + 1e-10) ** 0.5
        w += rate.view(-1, 1, 1, 1) * change / (change.abs().max() + 1e-30)
    found = layer.weight.view(96, 5, 5, 3).permute(0, 3, 1, 2)
    assert (w - first).abs().max() > 0.1
    torch.testing.assert_close(found, w, rtol=0, atol=1e-9)


def test_each_row_changes_what_it_says():
    experiment = find("hard-and-random")
    blocks = {
        cell.row: cell.trial.preset().blocks[0] for cell in experiment.cells if cell.column == 1
    }
    plain = presets.find("2HardCnnCIFAR").blocks[0]
    pooled = blocks["hard, maximum pooling"]
    assert (pooled.pool, pooled.activation) == ("max_4_2_1", "triangle_0.7")
    assert pooled.code == plain.code
    like = presets.find("3HardCnnCIFAR").blocks[0]
    taken = blocks["hard, first block of 3HardCnnCIFAR"]
    assert (taken.pool, taken.activation) == (like.pool, like.activation)
    assert taken.code.padding == like.code.padding == 1
    assert blocks["hard, rate 0.0005"].code.lr == 0.0005
    assert blocks["hard, radius 5"].code.radius == 5
    slow = next(c for c in experiment.cells if c.row == "hard, rate 0.005 in three layers")
    assert [block.code.lr for block in slow.trial.preset().blocks[:3]] == [0.005] * 3
    assert all(cell.published is not None for cell in experiment.cells)
