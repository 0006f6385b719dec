"""The hand-written gradient of a linear layer, against torch's autograd."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from streamhebb.evaluate.linear import LinearLayer


def layers(dtype: torch.dtype) -> tuple[LinearLayer, torch.nn.Linear]:
    mine = LinearLayer(7, 4, 0.05, torch.Generator().manual_seed(1), torch.empty(0, dtype=dtype))
    theirs = torch.nn.Linear(7, 4, dtype=dtype)
    with torch.no_grad():
        theirs.weight.copy_(mine.weight)
        theirs.bias.copy_(mine.bias)
    return mine, theirs


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_steps_are_those_of_autograd_and_plain_adam(dtype: torch.dtype, apart: float) -> None:
    mine, theirs = layers(dtype)
    adam = torch.optim.Adam(theirs.parameters(), lr=0.05, foreach=False, fused=False)
    chance = torch.Generator().manual_seed(0)
    for step, count in enumerate([9, 9, 1, 5, 9] * 4):
        if step == 10:
            mine.lr = adam.param_groups[0]["lr"] = 0.01
        x = torch.randn(count, 7, generator=chance, dtype=dtype)
        y = torch.randint(4, (count,), generator=chance)
        scores = theirs(x)
        torch.testing.assert_close(mine.scores(x), scores.detach(), rtol=apart, atol=apart)
        loss, right = mine.learn(x, y)
        wanted = F.cross_entropy(scores, y)
        adam.zero_grad()
        wanted.backward()
        adam.step()
        assert float(loss) == pytest.approx(float(wanted.detach()) * count, rel=10 * apart)
        assert int(right) == int((scores.argmax(1) == y).sum())
        torch.testing.assert_close(mine.weight.grad, theirs.weight.grad, rtol=apart, atol=apart)
        torch.testing.assert_close(mine.bias.grad, theirs.bias.grad, rtol=apart, atol=apart)
    torch.testing.assert_close(mine.weight, theirs.weight.detach(), rtol=10 * apart, atol=apart)
    torch.testing.assert_close(mine.bias, theirs.bias.detach(), rtol=10 * apart, atol=apart)
    assert mine.lr == 0.01


def test_scores_that_are_far_apart_give_no_nan() -> None:
    mine, _ = layers(torch.float32)
    loss, _ = mine.learn(torch.full((2, 7), 1e30), torch.tensor([0, 1]))
    assert not torch.isnan(loss)


def test_no_graph_is_kept() -> None:
    mine, _ = layers(torch.float32)
    with torch.enable_grad():
        loss, _ = mine.learn(torch.rand(3, 7), torch.tensor([0, 1, 2]))
    assert not (loss.requires_grad)
    assert not (mine.weight.requires_grad)
    assert not (mine.scores(torch.rand(1, 7)).requires_grad)
