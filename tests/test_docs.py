"""What the documentation says is true: its code runs, its commands and links exist."""

from __future__ import annotations

import doctest
import functools
import re
from pathlib import Path

import pytest
import typer

from streamhebb import sources
from streamhebb.cli import app

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(
    r"^(?P<indent> *)```(?: *\{ *\.(?P<name>\w+)(?P<marks>[^}\n]*)\}|(?P<plain>\w*)[^\n]*)\n"
    r"(?P<code>.*?)^(?P=indent)```",
    re.M | re.S,
)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block:
    """One fenced block of a page: its language, its marks (`.not-run`), its text."""

    def __init__(self, page: Path, found: re.Match[str]) -> None:
        text = page.read_text(encoding="utf-8")
        self.page = page
        self.line = text.count("\n", 0, found.start("code"))
        self.language = found["name"] or found["plain"]
        self.marks = set((found["marks"] or "").replace(".", " ").split())
        indent = len(found["indent"])
        self.code = "".join(line[indent:] for line in found["code"].splitlines(keepends=True))


def blocks(page: Path, *languages: str) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = [Block(page, match) for match in FENCE.finditer(text)]
    return [block for block in found if block.language in languages]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def run(block: Block, names: dict[str, object]) -> None:
    """Run a block in the names that earlier blocks of its page have left."""
    place = f"{relative(block.page)}, line {block.line}"
    if block.language == "python":
        exec(compile("\n" * block.line + block.code, str(block.page), "exec"), names)
        return
    parsed = doctest.DocTestParser().get_doctest(block.code, names, place, place, block.line)
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
    runner.run(parsed, out=told.append, clear_globs=False)
    names.update(parsed.globs)
    assert not runner.failures, "".join(told)


with_code = [page for page in PAGES if blocks(page, "python", "pycon")]


@pytest.mark.parametrize("page", with_code, ids=relative)
def test_the_code_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    """Blocks marked `.not-run` are only compiled. Digits end after 200 samples here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "digits", functools.partial(sources.digits, limit=200))
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page, "python", "pycon"):
        if "not-run" in block.marks:
            compile(block.code, str(page), "exec")
        else:
            run(block, names)


def test_a_wrong_example_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```pycon\n>>> 1 + 1\n3\n\n```\n", encoding="utf-8")
    block = Block(page, next(FENCE.finditer(page.read_text(encoding="utf-8"))))
    block.page = ROOT / "page.md"
    with pytest.raises(AssertionError, match="Expected"):
        run(block, {})


def commands() -> list[tuple[str, list[str]]]:
    """Page and words of each `streamhebb ...` in a console block or in backquotes."""
    found = []
    for page in PAGES:
        lines = [line for block in blocks(page, "console") for line in block.code.splitlines()]
        lines += re.findall(r"`(streamhebb [^`\n]+)`", page.read_text(encoding="utf-8"))
        for line in lines:
            match = re.search(r"(?:^|/|\s|-m )streamhebb(?= [a-z-])(.*)", line)
            if match:
                found.append((relative(page), match[1].split()))
    return found


def test_every_command_in_the_docs_exists():
    found = commands()
    assert {"run", "nets", "doctor", "verify"} <= {words[0] for _, words in found}
    for page, words in found:
        command, said = typer.main.get_command(app), "streamhebb"
        while hasattr(command, "commands") and words and not words[0].startswith("-"):
            said = f"{said} {words[0]}"
            assert words[0] in command.commands, f"{page}: there is no command {said!r}"
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        unknown = {word for word in words if word.startswith("--")} - options - {"--help"}
        assert not unknown, f"{page}: {said} has no {unknown}"


def test_every_make_target_in_the_docs_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for page in PAGES:
        used = set(re.findall(r"(?:`|\$ )make ([a-z]+)", page.read_text(encoding="utf-8")))
        assert used <= targets, f"{relative(page)}: no such target of make: {used - targets}"


def test_every_built_in_net_is_on_the_page_of_nets():
    from streamhebb.spec import net_names

    page = (DOCS / "guides" / "nets.md").read_text(encoding="utf-8")
    lost = [name for name in net_names() if f"| `{name}` |" not in page]
    assert not lost, f"docs/guides/nets.md has no row for {lost}"


def test_every_built_in_source_is_on_the_page_of_sources():
    from streamhebb.sources import source_names

    page = (DOCS / "guides" / "sources.md").read_text(encoding="utf-8")
    lost = [name for name in source_names() if f"| `{name}` |" not in page]
    assert not lost, f"docs/guides/sources.md has no row for {lost}"


def test_links_of_the_readme_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert (ROOT / target).exists(), f"README.md: {target} does not exist"
