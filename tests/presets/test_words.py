"""The words around a layer: what they mean, and what is said of others."""

from __future__ import annotations

import pytest

from streamhebb.errors import ConfigError
from streamhebb.presets import words


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("triangle", {"type": "Triangle", "power": 1.0}),
        ("triangle_1.4", {"type": "Triangle", "power": 1.4}),
        ("relu", {"type": "ReLU"}),
        ("repu_4", {"type": "RePU", "power": 4.0}),
        ("softmax_5", {"type": "Softmax", "t": 5.0}),
        ("exp_2", {"type": "Exp", "t": 2.0}),
        ("tanh", {"type": "Tanh", "slope": 1.0}),
        ("sigmoid_3", {"type": "Sigmoid"}),  # published: slope 10, whatever is asked for
        ("hard", {"type": "Winner"}),
    ],
)
def test_activations(text, entry):
    assert words.activation(text) == entry


@pytest.mark.parametrize("text", ["", "Relu", "relu_", "relu_x", "relu_-1", "elu", "relu_1_2", "1"])
def test_other_activations_are_refused(text):
    with pytest.raises(ConfigError, match="triangle_0.7"):
        words.activation(text)


def test_an_activation_of_power_nothing_is_refused():
    with pytest.raises(ConfigError, match="above 0"):
        words.activation("triangle_0")


def test_a_slip_is_guessed():
    with pytest.raises(ConfigError, match=r"did you mean triangle\?"):
        words.activation("trianlge_0.7")
    with pytest.raises(ConfigError, match=r"did you mean batchnorm2d\?"):
        words.operations("batchnrom2d flatten")


def test_operations_run_in_the_published_order():
    every = "normnorm maxnorm batchnorm1d+flatten,batchnorm2d"
    assert words.operations(every) == tuple(words.OPERATIONS)
    assert words.operations("flatten_batchnorm1d") == ("flatten", "batchnorm1d")
    assert words.operations(" ") == ()


def test_pools():
    found = {"type": "AvgPool2d", "kernel_size": 4, "stride": 2, "padding": 1}
    assert words.pool("avg_4_2_1") == found


@pytest.mark.parametrize(
    "text", ["", "max", "max_4", "max_4_2", "min_2_2_0", "max_4_2_1_1", "max_a_2_1", "max_4_-2_1"]
)
def test_other_pools_are_refused(text):
    with pytest.raises(ConfigError, match="max_4_2_1"):
        words.pool(text)


@pytest.mark.parametrize("text", ["max_0_2_0", "max_2_0_0", "max_2_2_2", "max_3_1_2"])
def test_pools_that_could_not_be_built_are_refused(text):
    with pytest.raises(ConfigError, match="half the side"):
        words.pool(text)
