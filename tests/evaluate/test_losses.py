import pytest
import torch

from streamhebb.errors import ConfigError, LabelError, ShapeError
from streamhebb.evaluate.losses import power_loss


def test_against_loops():
    scores = torch.tensor([[0.5, -2.0, 1.5], [0.0, 0.25, -1.0]], dtype=torch.float64)
    target = [2, 0]
    total = 0.0
    for n, row in enumerate(scores.tolist()):
        for k, score in enumerate(row):
            total += abs(score - (1 if k == target[n] else -1)) ** 5
    assert float(power_loss(scores, torch.tensor(target), 5)) == pytest.approx(total, rel=1e-12)


def test_a_perfect_answer_costs_nothing():
    assert power_loss(torch.tensor([1.0, -1.0]), torch.tensor(0)) == 0


def test_bad_input():
    scores = torch.zeros(2, 3)
    with pytest.raises(ShapeError, match="needs"):
        power_loss(scores, torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ShapeError, match="needs"):
        power_loss(torch.tensor(1.0), torch.tensor(0))
    for bad in (torch.tensor([0, 3]), torch.tensor([-1, 0]), torch.tensor([0.0, 1.0])):
        with pytest.raises(LabelError, match="whole numbers from 0 to 2"):
            power_loss(scores, bad)
    with pytest.raises(ConfigError, match="power"):
        power_loss(scores, torch.tensor([0, 1]), 0)
