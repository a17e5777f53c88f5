"""Visualizations of one's own: their pages, and what is said of broken ones."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from browsing import MakeVisitor
from PIL import Image

from picasso.runs.run import State

PLAIN = """
from picasso.visualizations.base import BaseVisualization

class PlainForm(BaseVisualization):
    description = "The plain form of settings"
    settings = {"Window": ["0.50", "0.25"], "Fill": ["grey", "black"]}

    def make_visualization(self, inputs, output_dir, settings):
        results = []
        for number, item in enumerate(inputs):
            name = f"{number}.png"
            item["data"].save(output_dir / name)
            results.append({"name": item["filename"], "window": settings["Window"], "output": name})
        return results
"""
PLAIN_TEMPLATE = """
{% extends "result.html" %}
{% block vis %}
{% for result in results %}
<p>{{ inputs[loop.index0]["filename"] }}: {{ result["window"] }} of {{ settings["Window"] }}, {{ settings["Fill"] }}</p>
<img class="in" src="inputs/{{ inputs[loop.index0]["filename"] }}">
<img class="out" src="outputs/{{ result["output"] }}">
{% endfor %}
{{ current_vis.description }} {{ app_state.model }} {{ duration }} {{ reference_link }}
{% endblock %}
"""


def test_plugin_in_the_plain_form(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(plugins={"plain.py": PLAIN, "PlainForm.html": PLAIN_TEMPLATE})
    page = visitor.page("/visualizations/plain-form?Window=0.25")
    assert page.all("select", name="Window")
    assert b"<option selected>0.25</option>" in visitor.get("/visualizations/plain-form?Window=0.25").data
    assert "'Window' should be '0.50' or '0.25'" in visitor.page("/visualizations/plain-form?Window=2", 422).text
    run = visitor.start("plain-form", visitor.add("a.png"), visitor.add("b c.png", seed=1), Window="0.25")
    assert run.state is State.DONE, run.error
    page = visitor.page(f"/runs/{run.id}/")
    assert "a.png: 0.25 of 0.25, grey" in page.text
    for kind in ("in", "out"):
        pictures = []
        for found in page.all("img", **{"class": kind}):
            response = visitor.get(f"/runs/{run.id}/{found['src']}")
            assert response.mimetype == "image/png"
            pictures.append(np.asarray(Image.open(BytesIO(response.data))).tobytes())
        assert len(set(pictures)) == 2


def one_plugin(body: str, template: str | None = '{% extends "result.html" %}') -> dict[str, str]:
    text = f"from picasso.visualizations.base import BaseVisualization\nclass Mine(BaseVisualization):\n{body}"
    return {"mine.py": text} | ({"Mine.html": template} if template is not None else {})


MAKE = "    def make_visualization(self, inputs, output_dir, settings):\n        return [{'n': 1} for _ in inputs]\n"


@pytest.mark.parametrize(
    ("plugins", "sentence"),
    [
        ({"mine.py": "import nothing_of_that_name"}, "line 1: ModuleNotFoundError"),
        ({"mine.py": "x = 1\n\ndef ("}, "mine.py, line 3"),
        ({"mine.py": "import sys\nsys.exit(3)"}, "line 2: SystemExit"),
        ({"mine.py": "import torch"}, "Import it inside make_visualization"),
        (one_plugin(MAKE, None), "write Mine.html beside the class"),
        (one_plugin(MAKE, "{% extends 'result.html' %}\n{% block vis %}\n{{ 1 + }}"), "Mine.html, line 3"),
        (one_plugin("    settings = 3\n" + MAKE), "mine.py"),
        (one_plugin("    needs = {'magic'}\n" + MAKE), "needs names magic"),
        (one_plugin("    settings = {'name': ['a', 'b']}\n" + MAKE), "name"),
        (one_plugin("    settings = {'image': ['a', 'b']}\n" + MAKE), "image"),
        ({"o.py": PLAIN.replace("PlainForm", "Occlusion"), "Occlusion.html": "x"}, "occlusion is already taken"),
    ],
)
def test_a_broken_plugin_is_shown_as_broken(make_visitor: MakeVisitor, plugins: dict[str, str], sentence: str) -> None:
    visitor = make_visitor(plugins=plugins | {"plain.py": PLAIN, "PlainForm.html": PLAIN_TEMPLATE})
    page = visitor.page("/")
    assert len(page.all("li", **{"class": "panel card broken"})) == 1
    assert "Broken visualization" in page.text
    assert sentence in page.text
    assert page.all("a", href="/visualizations/plain-form")  # the rest work
    assert visitor.start("occlusion").state is State.DONE
    assert visitor.get("/visualizations/mine").status_code == 404


def test_a_folder_that_is_not_there_is_said(make_visitor: MakeVisitor, tmp_path: Path) -> None:
    visitor = make_visitor(VISUALIZATION_FOLDERS=[tmp_path / "nowhere"])
    assert "This folder does not exist. Check VISUALIZATION_FOLDERS." in visitor.page("/").text


def test_a_template_that_fails_is_named(make_visitor: MakeVisitor) -> None:
    template = '{% extends "result.html" %}{% block vis %}{{ results[0].missing.more }}{% endblock %}'
    visitor = make_visitor(plugins=one_plugin(MAKE, template))
    run = visitor.start("mine")
    page = visitor.page(f"/runs/{run.id}/", 500)
    assert "The template failed at Mine.html, line 1: UndefinedError" in page.text
    assert visitor.get("/").status_code == 200


def test_a_plugins_own_code_that_fails_is_named(make_visitor: MakeVisitor) -> None:
    body = "    def make_visualization(self, inputs, output_dir, settings):\n        return 1 / 0\n"
    visitor = make_visitor(plugins=one_plugin(body))
    run = visitor.start("mine")
    assert run.state is State.FAILED
    assert "mine.py, line 4: ZeroDivisionError" in visitor.page(f"/runs/{run.id}/").text


def test_a_plugins_templates_cannot_replace_ours(make_visitor: MakeVisitor) -> None:
    ours = ["layout.html", "start.html", "result.html", "settings.html", "error.html", "_macros.html", "Occlusion.html"]
    plugins = dict.fromkeys([*ours, *(f"templates/{name}" for name in ours)], "REPLACED")
    visitor = make_visitor(plugins=plugins | {"plain.py": PLAIN, "PlainForm.html": PLAIN_TEMPLATE})
    run = visitor.start("occlusion")
    for path in ("/", "/visualizations/occlusion", f"/runs/{run.id}/"):
        assert "REPLACED" not in visitor.page(path).text
    assert "REPLACED" not in visitor.page("/nothing", 404).text


def test_a_template_escapes_whatever_the_file_is_called(make_visitor: MakeVisitor) -> None:
    body = MAKE.replace("{'n': 1}", "{'text': '<b onclick=x>'}")
    template = '{% extends "result.html" %}{% block vis %}{{ results[0].text }}{% endblock %}'
    visitor = make_visitor(plugins=one_plugin(body, template))
    assert "<b onclick=x>" in visitor.page(f"/runs/{visitor.start('mine').id}/").text


def test_a_plugin_without_settings_goes_on_to_the_pictures(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(plugins=one_plugin(MAKE))
    assert visitor.get("/visualizations/mine").location == "/visualizations/mine/pictures"
    assert visitor.get("/visualizations/mine?window=1").status_code == 422
    run = visitor.start("mine")
    assert visitor.page(f"/runs/{run.id}/").all("a", href=f"/visualizations/mine/pictures?image={run.images[0]}")


def test_a_run_of_a_plugin_that_was_taken_away(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(plugins=one_plugin(MAKE))
    run = visitor.start("mine")
    del visitor.services.registry.visualizations["mine"]
    assert "There is no visualization 'mine'" in visitor.page(f"/runs/{run.id}/", 404).text
    assert "mine" in visitor.page("/runs").text
    assert visitor.get("/").status_code == 200
