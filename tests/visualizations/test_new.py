"""`picasso new`: what it writes works at once, and names that cannot be had are refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from picasso.cli import main
from picasso.config import Config
from picasso.errors import ConfigError
from picasso.new import write_visualization
from picasso.testing import problems
from picasso.visualizations.discovery import discover


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "views"


def test_what_it_writes_is_found_and_keeps_to_the_contract(folder):
    lines = write_visualization("my_view", Config(VISUALIZATION_FOLDERS=[folder]))
    assert sorted(path.name for path in (folder / "my_view").iterdir()) == [
        "MyView.html",
        "my_view.py",
        "test_my_view.py",
    ]
    assert [path.name for path in folder.iterdir()] == ["my_view"]  # nothing unfinished is left
    assert "from my_view import MyView" in (folder / "my_view" / "test_my_view.py").read_text()
    registry = discover([folder])
    found = registry.get("my-view")
    assert (registry.broken, found.title) == ([], "My view")
    assert problems(found) == []
    assert lines[0].endswith("has a visualization that works, called 'My view':")
    assert lines[-1].startswith("It is on the start page of a server that was started with --reload-plugins")


def test_a_folder_that_the_config_does_not_name(folder):
    lines = write_visualization("my_view", Config(), folder)
    assert lines[-1] == f"Name its folder in your config: VISUALIZATION_FOLDERS = ['{folder}']. Then start the server."
    with pytest.raises(ConfigError, match="The config names no folder for visualizations"):
        write_visualization("my_view", Config())


def written(folder):
    """All files in a folder but those that Python makes when it looks at it."""
    return sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("my-view", "'my-view' cannot be a module's name. Write lower-case letters, digits and _: my_view."),
        ("MyView", "cannot be a module's name"),
        ("", "cannot be a module's name"),
        ("2nd", "cannot be a module's name"),
        ("class", "cannot be a module's name"),
        ("../up", "cannot be a module's name"),
        ("ansicht_ä", "cannot be a module's name"),
        ("a" * 61, "cannot be a module's name"),
        ("_view", "A module called '_view' is not taken for a visualization."),
        ("test_view", "is not taken for a visualization"),
        ("tests", "is not taken for a visualization"),
        ("base", "is not taken for a visualization"),
        ("occlusion", "There is a visualization occlusion already, in "),
        ("what_if", "There is a visualization what-if already, in "),
        ("class_activation", "There is a visualization class-activation already"),
        ("taken", "There is a taken in "),
        ("a_file", "There is a a_file in "),
        ("json", "'json' is the name of a module that Python finds at "),
        ("numpy", "'numpy' is the name of a module that Python finds at "),
    ],
)
def test_names_that_cannot_be_had(folder, name, sentence):
    (folder / "taken").mkdir(parents=True)
    (folder / "a_file.py").touch()
    before = written(folder)
    with pytest.raises(ConfigError) as caught:
        write_visualization(name, Config(VISUALIZATION_FOLDERS=[folder]))
    assert sentence in caught.value.message
    assert written(folder) == before


def test_one_that_another_folder_has(folder, tmp_path):
    write_visualization("my_view", Config(), folder)
    with pytest.raises(ConfigError, match="There is a visualization my-view already, in "):
        write_visualization("my_view", Config(VISUALIZATION_FOLDERS=[folder]), tmp_path / "others")


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "views").touch()
    with pytest.raises(ConfigError, match=r"views/my_view cannot be written: Not a directory\."):
        write_visualization("my_view", Config(), tmp_path / "views")


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    Path("config.py").write_text('VISUALIZATION_FOLDERS = ["views"]')
    runner = CliRunner()
    done = runner.invoke(main, ["new", "my_view"])
    assert (done.exit_code, done.output.splitlines()[0]) == (
        0,
        f"{tmp_path}/views/my_view has a visualization that works, called 'My view':",
    )
    done = runner.invoke(main, ["new", "my_view"])
    assert (done.exit_code, done.stderr[:26]) == (2, "picasso: There is a my_vie")
