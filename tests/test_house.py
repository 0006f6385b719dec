"""The plan of the house is still true: names, sizes, documentation, packaging."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import streamhebb

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "streamhebb"
MODULES = sorted(PACKAGE.rglob("*.py"))
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
PUBLIC = list(getattr(streamhebb, "__all__", []))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

MODULE_LINES = 400
EXAMPLE_LINES = 60


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tracked_files() -> list[Path]:
    """What git tracks, and what it would track if added."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        out = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in out.split("\0") if name and (path := ROOT / name).is_file()]


# ------------------------------------------------------------------------------- public names


def case_then_name(name: str) -> tuple[int, str]:
    """CONSTANTS, Classes, the rest: the order that ruff's RUF022 also keeps."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return kind, name


def test_public_names_are_sorted_and_exist():
    assert sorted(set(PUBLIC), key=case_then_name) == PUBLIC
    missing = [name for name in PUBLIC if not hasattr(streamhebb, name)]
    assert not missing, f"in streamhebb.__all__ but not there: {missing}"


def test_public_names_are_all_of_them():
    """What `import streamhebb` offers without an underscore is in `__all__`, or is a submodule."""
    offered = {
        name
        for name, value in vars(streamhebb).items()
        if not name.startswith("_") and not isinstance(value, type(sys))
    }
    hidden = offered - set(PUBLIC) - {"annotations"}
    assert not hidden, f"add to streamhebb.__all__, or import under a private name: {hidden}"


def directives() -> set[str]:
    """Everything that a page of the reference documents with `::: name`."""
    pages = (ROOT / "docs" / "reference").rglob("*.md")
    found = (re.findall(r"^::: +(\S+)", page.read_text(encoding="utf-8"), re.M) for page in pages)
    return {name for names in found for name in names}


def is_documented(name: str, known: set[str]) -> bool:
    """Whether a dotted name, or a package it lies in, has a place in the reference."""
    parts = name.split(".")
    return any(".".join(parts[:n]) in known for n in range(len(parts), 1, -1))


def home_of(name: str) -> str:
    """Where a public name of `streamhebb` is defined: `streamhebb.values.Sample`."""
    value = getattr(streamhebb, name)
    if isinstance(value, type(sys)):
        return value.__name__
    return f"{getattr(value, '__module__', 'streamhebb')}.{name}"


def test_every_public_name_is_in_the_reference():
    known = directives() | {"streamhebb.__version__"}
    lost = [
        home_of(name)
        for name in PUBLIC
        if not is_documented(home_of(name), known) and f"streamhebb.{name}" not in known
    ]
    assert not lost, f"public, but no `::: ` on a page of docs/reference shows them: {lost}"


def has_code(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(not isinstance(node, ast.Expr) for node in body)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_every_public_module_is_in_the_reference(path):
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    if len(parts) == 1 or any(part.startswith("_") for part in parts) or not has_code(path):
        return
    name = ".".join(parts)
    assert is_documented(name, directives()), f"add `::: {name}` to a page of docs/reference"


def test_the_reference_names_only_what_exists():
    for name in sorted(directives()):
        module, value = name, None
        while module and value is None:
            try:
                value = importlib.import_module(module)
            except ModuleNotFoundError:
                module = module.rpartition(".")[0]
        for part in name.removeprefix(module).strip(".").split("."):
            if part:
                value = getattr(value, part, None)
        assert value is not None, f"docs/reference has `::: {name}`, which does not exist"


def test_every_page_of_the_reference_is_in_the_nav():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")]
    lost = [p for p in pages if p.startswith("reference/") and p not in nav]
    assert not lost, f"not in the nav of mkdocs.yml: {lost}"


# ------------------------------------------------------------------------------ shape of files


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_every_module_has_a_docstring_and_is_short(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    # An empty __init__.py has nothing to say.
    assert not tree.body or ast.get_docstring(tree), f"{relative(path)} needs a docstring"
    lines = text.count("\n")
    assert lines <= MODULE_LINES, f"{relative(path)} has {lines} lines: split it"


def test_docstrings_link_in_markdown():
    role = re.compile(r":(?:py:)?(?:class|func|meth|mod|attr|exc|data|math):`")
    found = [relative(p) for p in MODULES if role.search(p.read_text(encoding="utf-8"))]
    assert not found, f"Sphinx roles show up as they are; write [`X`][streamhebb.a.X]: {found}"


def test_every_example_is_short_and_says_what_it_shows():
    for path in EXAMPLES:
        text = path.read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), f"{relative(path)} needs a docstring"
        lines = text.count("\n")
        assert lines <= EXAMPLE_LINES, f"{relative(path)} has {lines} lines: shorten it"


# Only folders of a person's or a machine's own: /dev and /usr are the same everywhere.
MACHINE_PATH = re.compile(
    r"(?<![\w.~*<>\])}$-])/(?:home|root|tmp|work|opt|mnt|Users|private)/[\w.-]"
    r"|\b[A-Za-z]:\\{1,2}(?:Users|home|work)\b"
)


def test_the_pattern_of_machine_paths_finds_them():
    slash = "/"
    for folder in ("home/ada", "root/x", "tmp/run", "Users/ada"):
        assert MACHINE_PATH.search(f'open("{slash}{folder}")')
    assert MACHINE_PATH.search("C:" + "\\" + "Users")
    for innocent in ("https://example.org/home/page", "/dev/video0", "~/desk/x", "a/tmp/b"):
        assert not MACHINE_PATH.search(innocent)


def test_no_file_names_a_path_of_one_machine():
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line):
                found.append(f"{relative(path)}:{number}: {line.strip()[:80]}")
    assert not found, "\n".join(found)


def test_no_large_file_is_tracked():
    large = {relative(p): p.stat().st_size for p in tracked_files() if p.stat().st_size > 1_000_000}
    assert not large, f"data belongs in STREAMHEBB_DATA, not in the repository: {large}"


def test_texts_end_with_one_newline_and_have_no_trailing_space():
    suffixes = {".py", ".md", ".toml", ".yml", ".yaml", ".txt"}
    bad = []
    for path in tracked_files():
        if path.suffix in suffixes and (text := path.read_text(encoding="utf-8")):
            if not text.endswith("\n") or text.endswith("\n\n"):
                bad.append(f"{relative(path)}: end of file")
            bad += [
                f"{relative(path)}:{number}: trailing space"
                for number, line in enumerate(text.splitlines(), 1)
                if line != line.rstrip()
            ]
    assert not bad, "\n".join(bad)


# --------------------------------------------------------------------------------- packaging


def test_importing_streamhebb_loads_nothing_heavy_or_optional():
    heavy = [
        "cv2", "av", "torchvision", "matplotlib", "numba", "sklearn", "river.evaluate", "triton",
        "typer", "tensorboard",
    ]  # fmt: skip
    code = f"import sys, streamhebb; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert out.strip() == "[]", "import these inside the function that needs them"


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def constraints() -> dict[str, str]:
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, equals, version = line.partition("==")
            assert equals, f"constraints.txt: write name==version, not {line!r}"
            assert re.fullmatch(r"[0-9][\w.]*", version), f"constraints.txt: {line!r}"
            assert name_of(name) not in pins, f"constraints.txt: {name} stands there twice"
            pins[name_of(name)] = version
    return pins


def test_every_dependency_has_its_tested_version():
    wanted = {name_of(r) for r in PROJECT["dependencies"]}
    for extra in PROJECT["optional-dependencies"].values():
        wanted |= {name_of(r) for r in extra}
    missing = wanted - set(constraints()) - {"streamhebb"}
    assert not missing, f"add to constraints.txt: {sorted(missing)}"


def test_the_installed_version_is_the_one_in_pyproject():
    metadata = importlib.import_module("importlib.metadata")
    try:
        installed = metadata.version("streamhebb")
    except metadata.PackageNotFoundError:
        pytest.skip("run from a checkout that is not installed")
    assert installed == PROJECT["version"]
    assert getattr(streamhebb, "__version__", installed) == installed


def test_the_changelog_knows_this_version_or_has_unreleased_changes():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in text
    assert "### " in text.split("## [Unreleased]", 1)[1], "the changelog says nothing"


def test_a_readme_is_shown_where_the_package_is_listed():
    if (ROOT / "README.md").exists():
        assert PROJECT.get("readme") == "README.md", 'set readme = "README.md" in pyproject.toml'
