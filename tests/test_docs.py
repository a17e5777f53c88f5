"""What README and docs say is tried: their code blocks run, their tables are current, their links lead somewhere."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest
from PIL import Image

from picasso.config import Config, load_config
from picasso.testing import problems
from picasso.visualizations.discovery import discover

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if re.search(r"^MODEL_\w+ =", page.read_text(encoding="utf-8"), re.M)],
    ids=lambda page: page.name,
)
def test_config_blocks_are_valid_settings(page: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-01.keras").touch()
    configs = [block for block in blocks(page, "python") if re.search(r"^MODEL_\w+ =", block, re.M)]
    assert configs
    for number, block in enumerate(configs):
        file = tmp_path / f"config{number}.py"
        file.write_text(block, encoding="utf-8")
        assert load_config(file, environ={})


def test_own_preprocess_of_the_docs_works() -> None:
    (block,) = [block for block in blocks(ROOT / "docs" / "models.md", "python") if "def preprocess" in block]
    names: dict[str, object] = {}
    exec(block, names)  # the docs are ours
    x = names["preprocess"]([Image.new("L", (9, 5), 255)])  # type: ignore[operator]
    assert x.shape == (1, 64, 64, 3)
    assert x.max() == 1


@pytest.mark.parametrize(("name", "template"), [("Contrast", "picasso_map("), ("Halves", "outputs/")])
def test_visualizations_of_the_docs_keep_to_their_contract(
    name: str, template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = ROOT / "docs" / "your-own-visualization.md"
    for file, language, word in (
        (f"{name.lower()}.py", "python", f"class {name}("),
        (f"{name}.html", "html", template),
    ):
        text = next(block for block in blocks(guide, language) if word in block)
        (tmp_path / file).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert problems(getattr(importlib.import_module(name.lower()), name)) == []


def test_settings_page_is_current() -> None:
    spec = importlib.util.spec_from_file_location("document_settings", ROOT / "tools" / "document_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == module.page()
    assert all(f"`{name}`" in module.page() for name in Config.model_fields)


def test_readme_names_the_two_commands_and_they_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in ("serve", "test"):
        assert f"make {command}" in text
        assert re.search(rf"^{command}:", makefile, re.M)


def test_every_visualization_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for visualization in discover().visualizations.values():
        assert visualization.title in text
