"""What the reference needs to know about this library's sources, which are read without importing.

Each class is a griffe extension; mkdocs.yml names the file.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_KIND = griffe.ParameterKind.positional_or_keyword
_EXAMPLE = re.compile(r"^(\s*)Example:\s*$", re.M)


class Fields(griffe.Extension):
    """Give NamedTuples and pydantic models the `__init__` that their fields amount to.

    griffe knows how a dataclass gets one, but not how these do.
    """

    MADE = frozenset({"typing.NamedTuple", "pydantic.BaseModel"}) | {
        # models that others derive from; what derives from them shows its own fields
        f"streamhebb.suite.{name}"
        for name in ("trial.Trial", "about.NetTrial")
    }

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        bases = {getattr(base, "canonical_path", str(base)) for base in cls.bases}
        if not bases & self.MADE or "__init__" in cls.members:
            return
        # An annotated attribute is a field; properties and methods are not attributes with one.
        fields = [
            griffe.Parameter(m.name, annotation=m.annotation, kind=_KIND, default=m.value)
            for m in cls.members.values()
            if m.is_attribute and m.annotation is not None and "property" not in m.labels
        ]
        init = griffe.Function(
            "__init__",
            parent=cls,
            parameters=griffe.Parameters(griffe.Parameter("self", kind=_KIND), *fields),
            returns="None",
        )
        cls.set_member("__init__", init)


class Examples(griffe.Extension):
    """Show `Example:` as the code it is: griffe knows the section as `Examples:` only."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", obj.docstring.value)


class Once(griffe.Extension):
    """Show a name where it is defined, and not again in each package that re-exports it."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        modules = [pkg]
        while modules:
            module = modules.pop()
            if module.is_init_module:
                module.exports = None
            modules += [m for m in module.members.values() if not m.is_alias and m.is_module]
