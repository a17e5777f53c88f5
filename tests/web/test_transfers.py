"""How answers travel."""

from __future__ import annotations

import gzip
from io import BytesIO
from pathlib import Path

import pytest
from browsing import MakeVisitor, Visitor
from PIL import Image

PLUGIN = """
from picasso.visualizations.base import BaseVisualization

class Bare(BaseVisualization):
    description = "Nothing."

    def make_visualization(self, inputs, output_dir, settings):
        return [{} for _ in inputs]
"""
TEMPLATE = '{% extends "result.html" %}'
GZIP = {"Accept-Encoding": "gzip, deflate, br"}


def stylesheet(visitor: Visitor) -> str:
    """The stylesheet's address."""
    return str(visitor.page("/").all("link", rel="stylesheet")[0]["href"])


def test_text_and_arrays_are_compressed_and_pictures_are_not(visitor: Visitor) -> None:
    run = visitor.start("saliency")
    files = f"/runs/{run.id}/files/0.maps.0.map.npy"
    for path in ("/", f"/runs/{run.id}/", stylesheet(visitor), files):
        plain = visitor.get(path)
        assert "Content-Encoding" not in plain.headers
        packed = visitor.get(path, headers=GZIP)
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.data) == plain.data
        assert len(packed.data) < len(plain.data)
    for path in (f"/images/{run.images[0]}.png", f"{files}.png?low=0&high=1"):
        assert "Content-Encoding" not in visitor.get(path, headers=GZIP).headers


def test_static_files_are_kept_for_good_under_addresses_of_their_content(visitor: Visitor) -> None:
    path = stylesheet(visitor)
    assert visitor.get(path).headers["Cache-Control"] == "public, max-age=31536000, immutable"
    folder, _, name = path.rpartition("/")
    for other in (f"{folder}/nothing.css", f"{folder[:-1]}x/{name}"):
        gone = visitor.get(other)
        assert (gone.status_code, gone.headers["Cache-Control"]) == (404, "private, no-store")


@pytest.mark.parametrize("ending", ["webp", "jpg", "png"])
def test_a_visualization_brings_a_picture_for_its_card(make_visitor: MakeVisitor, tmp_path: Path, ending: str) -> None:
    visitor = make_visitor(plugins={"bare.py": PLUGIN, "Bare.html": TEMPLATE, f"Bare.{ending}": "not there yet"})
    Image.new("RGB", (1280, 800), "teal").save(tmp_path / "plugins" / f"Bare.{ending}")
    images = {str(found["src"]) for found in visitor.page("/").all("img")}
    (own,) = [source for source in images if source.startswith("/visualizations/bare/picture?v=")]
    response = visitor.get(own)
    assert response.mimetype == "image/webp"
    assert Image.open(BytesIO(response.data), formats=["WEBP"]).size == (640, 400)
    assert "immutable" in response.headers["Cache-Control"]
    for name in visitor.services.registry.visualizations:
        assert any(source.startswith(f"/visualizations/{name}/picture?v=") for source in images), name


def test_a_visualization_without_a_picture_has_its_letter(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(plugins={"bare.py": PLUGIN, "Bare.html": TEMPLATE})
    assert len(visitor.page("/").all("span", **{"class": "blank"})) == 1
    assert visitor.get("/visualizations/bare/picture").status_code == 404
