"""Three doors to visualizations, and what is said of those that are broken."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from picasso.errors import InvalidSetting, NotFound
from picasso.visualizations.discovery import discover

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "plugin"
BUILT_IN = [
    "class-activation",
    "class-probabilities",
    "feature-maps",
    "occlusion",
    "random-masks",
    "saliency",
    "trust",
    "what-if",
]

PLUGIN = """
    from picasso.visualizations.base import BaseVisualization, Field, Settings

    class Mine(BaseVisualization):
        description = "Mine"
        reference_link = "https://example.org"
        {body}

        def make_visualization(self, inputs, output_dir, settings):
            return [None for _ in inputs]
"""


@pytest.fixture(autouse=True)
def _forget_modules(monkeypatch):
    """Plugins that a test imports go away with it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("picasso_plugin_", "picasso_fake_")):
            del sys.modules[name]


@pytest.fixture
def plugin(tmp_path):
    """Writes a plugin into `tmp_path`: its code, and its template unless that is None."""

    def write(body="", file="mine.py", template="Mine.html", code=PLUGIN, folder=tmp_path):
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(code).replace("{body}", body).lstrip())
        if template:
            (path.parent / template).parent.mkdir(exist_ok=True)
            (path.parent / template).write_text('{% extends "result.html" %}')
        return path

    return write


@pytest.fixture
def package(plugin, tmp_path):
    """A distribution that looks installed: modules and an entry point, on sys.path."""

    def install(entry, **options):
        folder = tmp_path / "site"
        path = plugin(folder=folder, **options)
        info = folder / "picasso_fake-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: picasso-fake\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[picasso.visualizations]\nmine = {entry}\n")
        sys.path.insert(0, str(folder))
        return path

    return install


def names(registry):
    return list(registry.visualizations)


def only_broken(folder, **options):
    """Discovers in a folder where everything is broken once; gives that entry."""
    registry = discover([folder], **options)
    assert names(registry) == BUILT_IN
    (broken,) = registry.broken
    return broken


# The doors
def test_built_in_ones():
    registry = discover()
    assert names(registry) == BUILT_IN
    assert registry.broken == []


def test_what_discovery_fills_in(plugin, tmp_path):
    path = plugin('settings = {"Window": ["0.50", "0.25"]}')
    found = discover([tmp_path]).get("mine")
    assert (found.name, found.title, found.template) == ("mine", "Mine", path.with_name("Mine.html"))
    assert list(found.settings_model.model_fields) == ["Window"]


def test_titles_of_ones_own(plugin, tmp_path):
    plugin('title = "My own"')
    found = discover([tmp_path]).get("mine")
    assert (found.name, found.title) == ("mine", "My own")


@pytest.mark.parametrize("file", ["mine.py", "sub/mine.py"])
@pytest.mark.parametrize("template", ["Mine.html", "templates/Mine.html"])
def test_a_folder_and_its_subfolders(plugin, tmp_path, file, template):
    path = plugin(file=file, template=template)
    assert discover([tmp_path]).get("mine").template == path.parent / template


def test_the_example_plugin():
    registry = discover([EXAMPLE])
    assert names(registry) == [*BUILT_IN, "hidden-halves"]
    assert registry.broken == []


@pytest.mark.parametrize("entry", ["picasso_fake_vis", "picasso_fake_vis:Mine"])
def test_an_installed_package(package, entry):
    path = package(entry, file="picasso_fake_vis.py")
    registry = discover()
    assert names(registry) == [*BUILT_IN, "mine"]
    assert registry.get("mine").template == path.with_name("Mine.html")


def test_two_folders_with_files_of_the_same_name(plugin, tmp_path):
    plugin(folder=tmp_path / "a")
    plugin(folder=tmp_path / "b", code=PLUGIN.replace("Mine", "Other"), template="Other.html")
    registry = discover([tmp_path / "a", tmp_path / "b"])
    assert names(registry) == [*BUILT_IN, "mine", "other"]
    assert registry.get("mine").template.parent != registry.get("other").template.parent


def test_files_that_are_no_plugins_are_not_imported(plugin, tmp_path):
    for file in ("_helper.py", "test_mine.py", "conftest.py", "setup.py", "tests/mine.py", "deep/er/mine.py"):
        plugin(file=file, template=None, code="raise RuntimeError('imported')")
    registry = discover([tmp_path])
    assert (names(registry), registry.broken) == (BUILT_IN, [])


def test_only_concrete_classes_of_the_module_itself(plugin, tmp_path):
    """What a module imports, and a class for others to derive from, is no visualization of its own."""
    code = """
        from picasso.visualizations.base import BaseVisualization
        from picasso.visualizations.occlusion import Occlusion

        class Helper(BaseVisualization):
            pass
    """
    plugin(code=code, template=None)
    registry = discover([tmp_path])
    assert (names(registry), registry.broken) == (BUILT_IN, [])


def test_discovering_twice_finds_the_same(plugin, tmp_path):
    plugin()
    first, second = discover([tmp_path]), discover([tmp_path])
    assert names(first) == names(second) == [*BUILT_IN, "mine"]
    assert second.broken == []


# Broken ones
@pytest.mark.parametrize(
    ("code", "line", "what"),
    [
        ("x = 1\nclass Mine(\n", 2, "'(' was never closed"),
        ("x = 1\n\nimport picasso_nowhere\n", 3, "ModuleNotFoundError: No module named 'picasso_nowhere'"),
        ("from json import picasso\n", 1, "ImportError: cannot import name 'picasso'"),
        ("\nraise SystemExit('no GPU')\n", 2, "SystemExit: no GPU"),
        ("x = 1\nx.y\n", 2, "AttributeError"),
        ("import json\nx = json.loads('')\n", 2, "JSONDecodeError"),  # fails in json: the author's line is what helps
    ],
)
def test_files_that_cannot_be_imported_are_named_with_the_authors_line(plugin, tmp_path, code, line, what):
    path = tmp_path / "broken.py"
    path.write_text(code)
    plugin(folder=tmp_path / "good")
    registry = discover([tmp_path])
    assert names(registry) == [*BUILT_IN, "mine"]
    (broken,) = registry.broken
    assert (broken.source, broken.short_source) == (str(path), "broken.py")
    kind = "SyntaxError: " if "closed" in what else ""
    assert broken.error.startswith(f"broken.py, line {line}: {kind}{what}")  # without the folders
    assert f"> {line} | {code.splitlines()[line - 1]}" in broken.excerpt


@pytest.mark.parametrize("template", [None, "mine.html", "Mine.htm", "sub/Mine.html"])
def test_a_template_that_is_missing_or_named_wrongly(plugin, tmp_path, template):
    path = plugin(template=template)
    broken = only_broken(tmp_path)
    assert broken.source == f"{path}: Mine"
    assert broken.error == "Its template is missing: write Mine.html beside the class, or in templates/."


def test_a_name_that_is_taken_by_another_folder(plugin, tmp_path):
    first = plugin(folder=tmp_path / "a")
    plugin(folder=tmp_path / "b")
    registry = discover([tmp_path / "a", tmp_path / "b"])
    assert registry.get("mine").template.parent == first.parent
    assert first.parent.name == "a"
    assert "The name mine is already taken by a/mine.py." in registry.broken[0].error


def test_a_name_that_is_built_in(plugin, tmp_path):
    plugin(code=PLUGIN.replace("Mine", "Occlusion"), template="Occlusion.html")
    assert "The name occlusion is already taken by " in only_broken(tmp_path).error


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ('needs = {"predict", "lime"}', "needs names lime; known are predict, gradients, logits, activations, guided."),
        ("class settings(Settings): size: int", "Every setting needs a default; size has none."),
        ("settings = dict", "settings must derive from picasso.visualizations.base.Settings"),
    ],
)
def test_declarations_that_are_wrong(plugin, tmp_path, body, sentence):
    path = plugin(body)
    broken = only_broken(tmp_path)
    assert broken.source == f"{path}: Mine"
    assert sentence in broken.error
    assert "\n" not in broken.error


@pytest.mark.parametrize("framework", ["tensorflow", "keras", "torch", "jax.numpy"])
def test_frameworks_at_the_top_are_refused_where_none_may_be_loaded(plugin, tmp_path, framework):
    path = plugin(template=None, code=f"x = 1\nimport {framework}.picasso\n")
    broken = only_broken(tmp_path, frameworks=False)
    name = framework.partition(".")[0]  # loaded already where other tests need it; then ".picasso" is looked for
    assert f"{path.name}, line 2: ImportError: {name}" in broken.error
    assert "is imported at the top of the file. Import it inside make_visualization" in broken.error


def test_frameworks_inside_a_function_are_fine(plugin, tmp_path):
    plugin("def helper(self): import tensorflow")
    assert "mine" in names(discover([tmp_path], frameworks=False))


def test_the_guard_against_frameworks_goes_away():
    before = list(sys.meta_path)
    discover(frameworks=False)
    assert sys.meta_path == before


def test_a_folder_that_is_not_there(tmp_path):
    broken = only_broken(tmp_path / "nowhere")
    assert broken.source == str(tmp_path / "nowhere")
    assert broken.error == "This folder does not exist. Check VISUALIZATION_FOLDERS."


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ("picasso_fake_none", "ModuleNotFoundError: No module named 'picasso_fake_none'"),
        ("picasso_fake_vis:Nothing", "AttributeError"),
        ("picasso_fake_vis:Settings", "Settings is not a BaseVisualization."),
    ],
)
def test_an_installed_package_that_is_broken(package, entry, what):
    package(entry, file="picasso_fake_vis.py")
    (broken,) = discover().broken
    assert broken.source.startswith(f"{entry} (installed package)")
    assert what in broken.error


def test_unknown_names_list_the_known():
    with pytest.raises(
        NotFound, match=r"no visualization 'occlusio'. There are: class-activation, class-probabilities, fe"
    ):
        discover().get("occlusio")


# The plain form of settings
def test_the_plain_form(plugin, tmp_path):
    plugin('settings = {"Window": ["0.50", "0.25"], "Hidden with": ("grey", "black")}')
    found = discover([tmp_path]).get("mine")
    settings = found.parse_settings({})
    assert (settings["Window"], settings["Hidden with"]) == ("0.50", "grey")
    assert found.parse_settings({"Window": "0.25"})["Window"] == "0.25"
    with pytest.raises(KeyError):
        settings["Stride"]
    with pytest.raises(InvalidSetting, match=r"'Window' should be '0.50' or '0.25', got '0.75'") as caught:
        found.parse_settings({"Window": "0.75"})
    assert caught.value.field == "Window"
    with pytest.raises(InvalidSetting, match=r"no setting 'Stride'. The settings are: Window, Hidden with."):
        found.parse_settings({"Stride": "1"})


def test_no_settings(plugin, tmp_path):
    plugin()
    found = discover([tmp_path]).get("mine")
    assert found.parse_settings({}).model_dump() == {}
    with pytest.raises(InvalidSetting, match=r"no setting 'Window'. The settings are: none."):
        found.parse_settings({"Window": "1"})
