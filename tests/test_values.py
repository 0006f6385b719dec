"""The values that travel are small, frozen, and start empty."""

import dataclasses

import pytest
import torch

from streamhebb.values import LocalUpdate, Outer, Sample, StepResult


def test_a_sample_needs_only_what_is_seen():
    sample = Sample(torch.ones(3))
    assert (sample.target, sample.t, sample.id) == (None, None, None)


@pytest.mark.parametrize(
    "value",
    [Sample(torch.ones(3)), StepResult(prediction=1, scores=None, seconds=0.1, sample=0)],
    ids=lambda value: type(value).__name__,
)
def test_values_are_frozen_and_take_no_new_fields(value):
    first = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, first, None)
    assert not hasattr(value, "__dict__")


def test_step_results_do_not_share_their_activity():
    one, other = (StepResult(prediction=None, scores=None, seconds=0.0, sample=n) for n in (0, 1))
    assert one.activity == {}
    assert one.activity is not other.activity


def test_an_update_is_outer_products_alone_unless_told_otherwise():
    update = LocalUpdate(outer=(Outer(post=torch.ones(1, 2), pre=torch.ones(1, 3)),))
    assert update.decay is None
    assert update.dense is None
