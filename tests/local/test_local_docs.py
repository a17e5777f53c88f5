"""docs/command-line.md and docs/python.md, word for word; and that they leave nothing out."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from picasso import errors
from picasso.cli import main
from picasso.commands.explain import explain

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
PYTHON = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.M | re.S)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the examples in it."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_commands(folder):
    (block,) = blocks(COMMANDS, "bash")
    for line in block.replace("\\\n", " ").splitlines():
        words, _, file = line.removeprefix("picasso ").partition(" > ")
        done = CliRunner().invoke(main, shlex.split(words))
        assert done.exit_code == 0, done.output
        if file:
            (folder / file).write_text(done.stdout)
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    names = {"seven": 7, "three": 3, "zero": 0, "four": 4, "eight": 8, "nine": 9}
    assert {Path(line["name"]).stem: line["predictions"][0]["index"] for line in lines} == names
    assert {path.name for path in (folder / "results" / "seven.png").iterdir()} >= {"result.json", "maps.0.map.npy"}


@pytest.mark.slow
def test_the_programs(folder):
    names = {}
    for block in blocks(PYTHON, "python"):
        exec(block, names)  # the docs are ours
    assert names["best"].label == "7"
    with Image.open(folder / "seven.png") as drawn:
        assert drawn.size == (28, 28)
    assert (folder / "results" / "seven.png" / "result.json").is_file()


def test_options_and_exit_codes_are_in_the_docs():
    for option in explain.params:
        assert all(f"`{name}`" in COMMANDS or f"`{name} " in COMMANDS for name in option.opts if name[0] == "-"), option
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PicassoError)]
    documented = [int(code) for code in re.findall(r"^\| (\d+) \|", COMMANDS, re.M)]
    assert documented == sorted({0, *(kind.exit_code for kind in kinds)})


def test_every_command_is_in_the_table():
    assert set(re.findall(r"^\| `picasso (\w+)` \|", COMMANDS, re.M)) == main.commands.keys()
