"""Two rules on one synapse."""

from __future__ import annotations

from dataclasses import dataclass

from streamhebb.errors import ConfigError
from streamhebb.parts import State, require_part
from streamhebb.rules.base import PlasticityRule, modulated, nonlocal_parts, traces
from streamhebb.values import Activity, LocalUpdate


@dataclass(frozen=True)
class Both:
    r"""Two rules on one synapse; their changes are summed.

    $$\Delta w_{ji} = \Delta w^{first}_{ji} + \Delta w^{second}_{ji}$$

    Either may be ``Both`` again. The state of each is kept under its own name.

    Args:
        first: a rule.
        second: a rule of another kind, which must agree with the first on whether neurons
            compete and on who uses the modulator.

    Raises:
        ConfigError: for rules that contradict each other, naming both.

    Example:
        >>> import torch
        >>> from streamhebb import Both, Dense, Hebb, Outstar
        >>> layer = Dense(3, 2, rule=Both(Hebb(), Outstar()), rate=0.1)
        >>> _, seen = layer.observe(torch.ones(1, 3))
        >>> layer.learn(seen)
    """

    first: PlasticityRule
    second: PlasticityRule

    def __post_init__(self) -> None:
        for name in ("first", "second"):
            require_part("Both", name, getattr(self, name), "Oja()")
        one, two = self.first, self.second
        if twice := {type(rule) for rule in _single(one)} & {type(rule) for rule in _single(two)}:
            name = min(kind.__name__ for kind in twice)
            raise ConfigError(
                f"Both: {one} and {two} are not allowed together: {name} would act twice on one "
                f"synapse; use one {name}"
            )
        if one.competes != two.competes:
            yes, no = (one, two) if one.competes else (two, one)
            raise ConfigError(
                f"Both: {one} and {two} are not allowed together: {yes} is meant for neurons that "
                f"compete, {no} for neurons that do not; choose two of one kind, or put them on "
                f"two layers"
            )
        if modulated(one) != modulated(two):
            yes, no = (one, two) if modulated(one) else (two, one)
            raise ConfigError(
                f"Both: {one} and {two} are not allowed together: {yes} uses the modulator itself, "
                f"{no} has it multiplied into its rate; put them on two layers"
            )

    @property
    def competes(self) -> bool:
        """As both rules say."""
        return self.first.competes

    @property
    def modulated(self) -> bool:
        """As both rules say."""
        return modulated(self.first)

    @property
    def nonlocal_parts(self) -> tuple[str, ...]:
        """Those of both rules."""
        parts = (*nonlocal_parts(self.first), *nonlocal_parts(self.second))
        return tuple(dict.fromkeys(parts))

    def init(self, n_in: int, n_out: int) -> State:
        """The state of both, as ``first_...`` and ``second_...``."""
        return _join(self.first.init(n_in, n_out), self.second.init(n_in, n_out))

    def rest(self, n_in: int, n_out: int) -> State:
        """The traces of both, as ``first_...`` and ``second_...``."""
        return _join(traces(self.first, n_in, n_out), traces(self.second, n_in, n_out))

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return the sum of what both want."""
        one, first = self.first.terms(seen, _own("first_", state))
        two, second = self.second.terms(seen, _own("second_", state))
        decay, dense = (
            b if a is None else a if b is None else a + b
            for a, b in ((one.decay, two.decay), (one.dense, two.dense))
        )
        return LocalUpdate((*one.outer, *two.outer), decay, dense), _join(first, second)


def _single(rule: PlasticityRule) -> tuple[PlasticityRule, ...]:
    """The rules that a rule is made of."""
    return (*_single(rule.first), *_single(rule.second)) if isinstance(rule, Both) else (rule,)


def _join(first: State, second: State) -> State:
    return {f"first_{k}": v for k, v in first.items()} | {
        f"second_{k}": v for k, v in second.items()
    }


def _own(prefix: str, state: State) -> State:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
