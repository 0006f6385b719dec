"""All experiments by name."""

from __future__ import annotations

import difflib

from streamhebb.errors import ConfigError
from streamhebb.suite.bayesian import EXPERIMENTS as BAYESIAN
from streamhebb.suite.drawn import EXPERIMENTS as DRAWN
from streamhebb.suite.experiment import Experiment
from streamhebb.suite.mnist import EXPERIMENTS as MNIST
from streamhebb.suite.published import EXPERIMENTS as PUBLISHED
from streamhebb.suite.stream import EXPERIMENTS as STREAM
from streamhebb.suite.unmet import EXPERIMENTS as UNMET


def experiments() -> dict[str, Experiment]:
    """All experiments, in the order in which they are listed.

    Example:
        >>> next(iter(experiments()))
        'figure-1'
    """
    every = (*PUBLISHED, *UNMET, *MNIST, *STREAM, *BAYESIAN, *DRAWN)
    return {each.name: each for each in every}


def find(name: str) -> Experiment:
    """Look an experiment up.

    Raises:
        ConfigError: with names that are near, if there is none.

    Example:
        >>> find("figure-1").rows
        ('SoftHebb',)
    """
    known = experiments()
    if name.lower() not in known:
        near = difflib.get_close_matches(name.lower(), known, 3, 0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "streamhebb bench list shows all"
        raise ConfigError(f"there is no experiment {name!r}; {hint}")
    return known[name.lower()]
