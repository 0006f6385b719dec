"""Trials that are about the net of another trial."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from streamhebb.suite.offline import Changes, OfflineTrial
from streamhebb.suite.trial import Trial


class NetTrial(Trial):
    """A trial about a preset's net. Kinds of trials derive from it.

    Args:
        net: name of a preset.
        data: a published pair of data settings; ``None`` is the preset's own.
        hidden: ``"learns"``, ``"random"`` or ``"normed"``; ``None`` is the preset's own.
        changes: settings of the mini-language, as in
            [`OfflineTrial`][streamhebb.suite.offline.OfflineTrial].
    """

    net: str
    data: str | None = None
    hidden: Literal["learns", "random", "normed"] | None = None
    changes: Changes = Field(default_factory=dict)

    def offline(self, **more: Any) -> OfflineTrial:
        """The trial that trains this net, from the same seed and as reduced."""
        shared = OfflineTrial.model_fields.keys() & NetTrial.model_fields.keys() - {"kind"}
        return OfflineTrial(**{name: getattr(self, name) for name in shared} | more)

    def label(self) -> str:
        """A few words that name it."""
        return f"{self.kind} {self.offline().label()}"

    def preset(self) -> Any:
        """The preset, with the changes made; see `OfflineTrial`."""
        return self.offline().preset()

    def resolved(self) -> dict[str, Any]:
        """The blocks of its net, and the settings of its data."""
        return self.offline().resolved()
