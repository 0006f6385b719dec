import numpy as np
import pytest
import torch

from streamhebb.rates import ConstantRate, NormRate
from streamhebb.verify.compare import rate_slack, relative


def test_relative_to_the_largest_entry():
    assert relative(np.array([1.0, 9.0]), np.array([0.0, 10.0])) == pytest.approx(0.1)


def test_zero_reference():
    assert relative(np.zeros(2), np.zeros(2)) == 0
    assert relative(np.array([1e-30]), np.zeros(1)) == float("inf")
    assert relative(np.array([0.5]), np.zeros(1), floor=5) == pytest.approx(0.1)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_infinitely_far(bad):
    assert relative(np.array([bad]), np.array([1.0])) == float("inf")
    assert relative(np.array([1.0]), np.array([bad])) == float("inf")
    assert relative(np.array([bad]), np.array([bad])) == float("inf")


def test_slack_only_where_the_radius_is_close_to_one():
    rate = NormRate(0.1, 0.2)
    slack = rate_slack(rate, torch.tensor([1.0, 1.0 + 1e-5, 1.01, 25.0]))
    assert slack[0] == pytest.approx(float(rate(torch.tensor([1 + 2e-6]).double(), 0)), rel=0.2)
    assert 0 < slack[1] < slack[0]
    assert (slack[2:] == 0).all()
    assert rate_slack(ConstantRate(0.1), torch.ones(2)) == 0
