"""What is in the code is in the docs, and what the docs quote is in the code. The lists are made from the code."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import click
import pytest

from picasso.cli import main
from picasso.visualizations.discovery import discover

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]
VISUALIZATIONS = discover(frameworks=False).visualizations
PARTS_OF_A_PAGE = [
    "What it shows",
    "How to read it",
    "When it misleads",
    "What it costs",
    "Settings",
    "Where it comes from",
]
CALL = re.compile(r"^(?:\S+=\S+ )*(?:\S*/)?picasso (.+)", re.MULTILINE)  # with variables and a folder before it
COMMENT = re.compile(r"\s+#\s.*")
GROUP = "picasso"


@cache
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def every_page() -> str:
    return "\n".join(map(text, PAGES))


def blocks(page: Path, *languages: str) -> list[str]:
    found = re.findall(r"^ *```([^\n]*)\n(.*?)^ *```", text(page), re.M | re.S)
    return [block for language, block in found if language in languages]


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_the_code_says_is_current() -> None:
    parts = tool("document_code").parts()
    found = [
        (page.name, name, content)
        for page in PAGES
        for name, content in re.findall(r"<!-- from the code: (.+?) -->\n(.*?)<!-- end -->", text(page), re.S)
    ]
    for page, name, content in found:
        assert content == parts[name], f"{page}: python tools/document_code.py"
    assert {name for _, name, _ in found} == parts.keys()


@pytest.mark.parametrize("name", VISUALIZATIONS)
def test_every_visualization_has_a_page(name: str) -> None:
    page = DOCS / "visualizations" / f"{name}.md"
    assert text(page).startswith(f"# {VISUALIZATIONS[name].title}\n")
    headings = re.findall("^## (.+)", text(page), re.M)
    assert [heading for heading in headings if heading in PARTS_OF_A_PAGE] == PARTS_OF_A_PAGE
    assert f"](../images/{name}.jpg)" in text(page)
    assert VISUALIZATIONS[name].reference_link in text(page)
    for other in ("index", "choosing"):
        assert f"](visualizations/{name}.md)" in text(DOCS / f"{other}.md")


def commands(group: click.Command = main, name: str = GROUP) -> Iterator[tuple[str, click.Command]]:
    """All commands by what is typed."""
    if isinstance(group, click.Group):
        for below, command in group.commands.items():
            yield from commands(command, f"{name} {below}")
    else:
        yield name, group


def test_every_command_and_option_is_documented() -> None:
    everything = every_page()
    for name, command in commands():
        assert f"{name} " in everything or f"{name}`" in everything
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert max(option.opts, key=len) in everything, f"{name} {option.opts}"


def typed(page: Path) -> Iterator[list[str]]:
    """The words of each call of `picasso` in the blocks of a page."""
    for block in blocks(page, "sh", "bash", "console", ""):
        for call in CALL.findall(block.replace("\\\n", " ")):
            yield shlex.split(COMMENT.sub("", call))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_the_docs_can_be_typed(page: Path) -> None:
    for words in typed(page):
        command = main.commands[words[0]]
        with command.make_context(words[0], list(words[1:])):  # raises for what the command does not take
            pass


def test_the_commands_were_found() -> None:
    assert sum(len(list(typed(page))) for page in PAGES) > 8


def test_what_make_is_asked_for_exists() -> None:
    makefile = text_of_makefile()
    for page in PAGES:
        for target in re.findall(r"^make ([\w-]+)|`make ([\w-]+)", text(page), re.M):
            assert re.search(rf"^{''.join(target)}:", makefile, re.M), f"{page.name}: make {target}"


def text_of_makefile() -> str:
    return (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_are_well_formed(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, page.name, "exec")
    for block in blocks(page, "json"):
        json.loads(block)


def test_every_picture_is_on_a_page() -> None:
    shown = {name for page in PAGES for name in re.findall(r"images/([\w-]+)\.jpg\)", text(page))}
    assert {path.name for path in (DOCS / "images").iterdir()} == {
        f"{name}{ending}.jpg" for name in shown for ending in ("", "-dark")
    }


def test_the_proxy_of_the_docs_sets_every_header_that_is_believed() -> None:
    (server,) = (block for page in PAGES for block in blocks(page, "nginx"))
    set_there = re.findall(r"proxy_set_header X-Forwarded-(\w+) ", server)
    assert sorted(set_there) == ["For", "Host", "Port", "Prefix", "Proto"]  # what ProxyFix takes


def sentences() -> Iterator[str]:
    """Every text in the code, with … where something is put in."""
    for path in sorted((ROOT / "picasso").rglob("*.py")):
        for node in ast.walk(ast.parse(text(path))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_troubleshooting_quotes_the_code() -> None:
    known = list(sentences())
    quoted = re.findall(r"^### `(.+)`$", text(DOCS / "troubleshooting.md"), re.M)
    assert len(quoted) > 40
    assert [quote for quote in quoted if not any(quote in sentence for sentence in known)] == []
