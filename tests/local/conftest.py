"""An open model, and images to explain."""

from __future__ import annotations

import pytest
from gallery import blocks

from picasso.config import Config
from picasso.local.opened import OpenModel
from picasso.visualizations.discovery import discover


@pytest.fixture(scope="session")
def opened(tiny_model):
    """The tiny model as `open_model` gives it."""
    return OpenModel(tiny_model, discover(), Config(), {"model": "tiny.keras"})


@pytest.fixture
def photos(tmp_path):
    """A folder: five images, one of them two folders down, one broken, and what is no image."""
    folder = tmp_path / "photos"
    (folder / "deep" / "er").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.jpg", "c.png", "deep/er/a.png")):
        blocks(number).save(folder / name)
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:99])
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes((folder / "a.png").read_bytes())
    return folder
