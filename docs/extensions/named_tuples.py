"""Give every NamedTuple its signature, so that the reference shows fields, types and defaults.

mkdocstrings reads the source without importing it. It knows how a dataclass is made into one with
an `__init__`, but not how a NamedTuple is, and rules and updates are NamedTuples.
"""

from __future__ import annotations

from typing import Any

import griffe


class NamedTuples(griffe.Extension):
    """Adds the `__init__` that the fields of a NamedTuple amount to."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        bases = {getattr(base, "canonical_path", str(base)) for base in cls.bases}
        if "typing.NamedTuple" not in bases or "__init__" in cls.members:
            return
        kind = griffe.ParameterKind.positional_or_keyword
        # An annotated attribute is a field; properties and methods are not attributes with one.
        fields = [
            griffe.Parameter(m.name, annotation=m.annotation, kind=kind, default=m.value)
            for m in cls.members.values()
            if m.is_attribute and m.annotation is not None and "property" not in m.labels
        ]
        init = griffe.Function(
            "__init__",
            parent=cls,
            parameters=griffe.Parameters(griffe.Parameter("self", kind=kind), *fields),
            returns="None",
        )
        cls.set_member("__init__", init)
