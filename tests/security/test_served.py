"""What is served: pictures that were made here, text that is text; links and templates that lead nowhere else."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from browsing import MakeVisitor, Visitor, picture
from PIL import Image, PngImagePlugin

from picasso.runs.looking import _pictures

XSS = "<img src=x onerror=document.title=1>"
PLUGIN = """
from picasso.visualizations.base import BaseVisualization

class Bare(BaseVisualization):
    description = "Shows nothing"

    def make_visualization(self, inputs, output_dir, settings):
        return [{"text": "%s"} for _ in inputs]
"""
TEMPLATE = '{%% extends "result.html" %%}{%% block vis %%}%s{%% endblock %%}'


def webp_of(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data), formats=["WEBP"])


def test_pictures_are_encoded_anew_without_what_else_was_in_them(visitor: Visitor) -> None:
    stream, notes = BytesIO(), PngImagePlugin.PngInfo()
    notes.add_text("Comment", XSS)
    Image.new("RGB", (20, 10), "red").save(stream, "PNG", pnginfo=notes)
    assert visitor.upload(("a.png", stream.getvalue() + XSS.encode())).status_code == 303
    (image,) = visitor.services.store.images(visitor.session)
    for path, kind in ((f"/images/{image.id}.png", "png"), (f"/images/{image.id}/thumbnail.webp", "webp")):
        response = visitor.get(path)
        assert response.mimetype == f"image/{kind}"
        assert b"onerror" not in response.data
        assert Image.open(BytesIO(response.data), formats=[kind]).size == (20, 10)


def test_links_in_the_data_folder_are_not_followed(visitor: Visitor, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture(7))
    image = visitor.add()
    run = visitor.start("hidden-halves", image)
    store = visitor.services.store
    manifest = store.manifest(run)
    assert manifest is not None
    file = next(iter(manifest["files"]))
    kept = store.image(visitor.session, image)
    for path, address in [
        (store.thumbnail_path(kept), f"/images/{image}/thumbnail.webp"),
        (store.run_folder(run) / file, f"/runs/{run.id}/files/{file}"),
        (store.image_path(kept), f"/images/{image}.png"),
    ]:
        visitor.get(address)
        path.unlink()
        path.symlink_to(secret)
        response = visitor.get(address)
        assert secret.read_bytes() != response.data
        assert response.status_code == (200 if "thumbnail" in address else 404)  # which is made anew


def test_links_that_a_visualization_writes_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(picture())
    folder = tmp_path / "output"
    folder.mkdir()
    (folder / "own.png").write_bytes(picture())
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    assert list(_pictures(folder)) == ["own.png"]


def test_the_picture_of_a_card_is_a_picture(make_visitor: MakeVisitor, tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "bare.py").write_text(PLUGIN % XSS)
    (plugins / "Bare.html").write_text(TEMPLATE % "")
    card = plugins / "Bare.png"
    card.write_bytes(picture())
    visitor = make_visitor(VISUALIZATION_FOLDERS=[plugins])
    response = visitor.get("/visualizations/bare/picture")
    assert response.mimetype == "image/webp"
    assert webp_of(response.data).size == (28, 28)
    for content in (b"<script>", b"\x89PNG\r\n\x1a\n"):
        card.unlink()
        card.write_bytes(content)
        assert visitor.get("/visualizations/bare/picture").status_code == 404
    card.unlink()
    card.symlink_to("/etc/passwd")
    assert visitor.get("/visualizations/bare/picture").status_code == 404


@pytest.mark.parametrize("name", ["Bare.html", "templates/Bare.html"])
def test_a_plugin_is_escaped_and_replaces_nothing(make_visitor: MakeVisitor, tmp_path: Path, name: str) -> None:
    plugins = tmp_path / "plugins"
    (plugins / "templates").mkdir(parents=True)
    (plugins / "bare.py").write_text(PLUGIN % XSS)
    (plugins / name).write_text(TEMPLATE % "{{ results[0].text }} {{ inputs[0].filename }}")
    for core in ("layout.html", "result.html", "error.html", "start.html", "visualization:occlusion"):
        for folder in (plugins, plugins / "templates"):
            (folder / core).write_text("replaced")
    visitor = make_visitor(VISUALIZATION_FOLDERS=[plugins], labels=(XSS, *"123456789"))
    run = visitor.start("bare", visitor.add(f"{XSS}.png"))
    for path in ("/", f"/runs/{run.id}/", "/visualizations/occlusion", "/nothing", "/model"):
        page = visitor.get(path).get_data(as_text=True)
        assert "replaced" not in page
        assert "<img src=x" not in page, path
    assert "&lt;img src=x" in visitor.get(f"/runs/{run.id}/").get_data(as_text=True)
    rules = {rule.endpoint for rule in visitor.app.url_map.iter_rules()}
    assert {endpoint.partition(".")[0] for endpoint in rules} == {"pages", "api", "health", "static"}
