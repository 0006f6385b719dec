import itertools

import pytest

from streamhebb.errors import ConfigError
from streamhebb.evaluate.schedule import halving_epochs, halving_rate


def test_published_epochs():
    assert halving_epochs(50) == halving_epochs(50, "demo") == (10, 17, 25, 30, 35, 40, 45)
    assert halving_epochs(49) == (24, 36)
    assert halving_epochs(20) == (10, 15)
    assert halving_epochs(19) == ()
    assert halving_epochs(20, "demo") == (4, 7, 10, 12, 14, 16, 18)


def test_rate_halves_at_the_start_of_each():
    rates = [halving_rate(1.0, epoch, 20, "demo") for epoch in range(20)]
    assert rates[3:5] == [1.0, 0.5]
    assert rates[-1] == 0.5**7
    assert sum(a != b for a, b in itertools.pairwise(rates)) == 7


@pytest.mark.parametrize("epochs", [0, -1, 2.5, True, "ten"])
def test_bad_number_of_epochs(epochs):
    with pytest.raises(ConfigError, match="epochs"):
        halving_epochs(epochs)


def test_bad_style_and_rate():
    with pytest.raises(ConfigError, match="'full', 'demo'"):
        halving_epochs(50, "cosine")
    with pytest.raises(ConfigError, match="lr"):
        halving_rate(-1.0, 0, 50)
    with pytest.raises(ConfigError, match="epoch"):
        halving_rate(1.0, -1, 50)
