"""Visualizations of one's own that change while the application runs, and those whose code fails in its pages."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import pytest
from browsing import MakeVisitor, Visitor
from PIL import Image

from picasso.runs.run import State

CODE = """
from picasso.visualizations.base import BaseVisualization

class Mine(BaseVisualization):
    description = "Mine"
    settings = {"Kind": ["one", "two"]}

    def make_visualization(self, inputs, output_dir, settings):
        return [{"text": "first"} for _ in inputs]
"""
TEMPLATE = '{% extends "result.html" %}{% block vis %}<p>{{ results[0].text }}!</p>{% endblock %}'
PLUGINS = {"mine.py": CODE, "Mine.html": TEMPLATE}


@pytest.fixture
def visitor(make_visitor: MakeVisitor) -> Visitor:
    """A visitor to an application that reads changed files again."""
    return make_visitor(plugins=PLUGINS, RELOAD_PLUGINS=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "plugins"


def shown(visitor: Visitor, **settings: str) -> str:
    """What a run's page has in it."""
    run = visitor.start("mine", **settings)
    return visitor.page(f"/runs/{run.id}/", 200).text


def test_a_change_of_the_same_size_at_the_same_second(visitor: Visitor, folder: Path) -> None:
    """Compiled code that Python keeps has its source's date in whole seconds and its size."""
    assert "first!" in shown(visitor)
    code = folder / "mine.py"
    second = int(code.stat().st_mtime)
    for text, nanoseconds in (("third", 300), ("sixth", 600)):
        code.write_text(CODE.replace("first", text))
        os.utime(code, ns=(second * 10**9 + nanoseconds, second * 10**9 + nanoseconds))
        assert f"{text}!" in shown(visitor)  # a run of its own, not the kept one
    (folder / "Mine.html").write_text(TEMPLATE.replace("!", "?"))
    assert "sixth?" in shown(visitor)
    run = visitor.start("mine", visitor.add("again.png"))
    assert visitor.start("mine", *run.images).id == run.id  # nothing has changed: the kept one


def test_settings_and_modules_beside_a_class_are_read_again_too(
    visitor: Visitor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = visitor.start("mine", Kind="two")
    monkeypatch.syspath_prepend(str(folder))
    (folder / "_words_of_mine.py").write_text("word = 'helped'")
    code = CODE.replace("from picasso", "from _words_of_mine import word\nfrom picasso", 1).replace('"first"', "word")
    (folder / "mine.py").write_text(code.replace('"Kind": ["one", "two"]', '"Size": ["1", "2"]'))
    assert visitor.page("/visualizations/mine").all("select", name="Size")
    assert "first!" in visitor.page(f"/runs/{run.id}/").text  # also of settings that are not there any more
    assert "helped!" in shown(visitor)
    (folder / "_words_of_mine.py").write_text("word = 'better'")
    assert "better!" in shown(visitor)


def test_new_ones_broken_ones_and_removed_ones(visitor: Visitor, folder: Path) -> None:
    run = visitor.start("mine")
    (folder / "other.py").write_text(CODE.replace("Mine", "Other"))
    page = visitor.page("/")
    assert "Its template is missing: write Other.html" in page.text
    (folder / "Other.html").write_text(TEMPLATE)
    assert "Other" in visitor.page("/").text
    (folder / "mine.py").write_text(CODE + "\nx = (")
    page = visitor.page("/")
    assert str(folder / "mine.py") in page.text
    assert "mine.py, line 11: SyntaxError: '(' was never closed" in page.text
    assert "> 11 | x = (" in page.text
    for path in ("/visualizations/mine", f"/runs/{run.id}/"):
        text = visitor.page(path, 500).text
        assert "The visualization failed" in text
        assert "> 11 | x = (" in text
    assert visitor.get("/api/v1/visualizations/mine").json["error"]["code"] == "plugin"
    (folder / "mine.py").write_text(CODE)
    assert "first!" in visitor.page(f"/runs/{run.id}/").text
    (folder / "Mine.html").write_text('{% extends "result.html" %}\n{% block vis %}\n{{ results[0].no }}{% endblock %}')
    text = visitor.page(f"/runs/{run.id}/", 500).text
    assert f"The template failed at {folder / 'Mine.html'}, line 3: UndefinedError" in text
    assert "> 3 | {{ results[0].no }}" in text
    (folder / "Mine.html").write_text("{{ 1 + }}")
    assert "Mine.html, line 1: TemplateSyntaxError" in visitor.page(f"/runs/{run.id}/", 500).text
    (folder / "mine.py").unlink()
    assert "There is no visualization 'mine'" in visitor.page(f"/runs/{run.id}/", 404).text
    assert "Mine" not in visitor.page("/").text


PLAIN = """
import os
from picasso.visualizations.base import BaseVisualization

class Plain(BaseVisualization):
    description = "The plain form"
    settings = {"Size of it": ["0.50", "0.25"]}

    def make_visualization(self, inputs, output_dir, settings=None):
        results = []
        for number, item in enumerate(inputs):
            item["data"].save(os.path.join(output_dir, f"{number}.png"))
            results.append({"name": item["filename"], "output": f"{number}.png", "size": settings["Size of it"]})
        return results
"""
PLAIN_TEMPLATE = """
{% extends "result.html" %}
{% block vis %}{% for result in results %}
<p>{{ result["name"] }} {{ result.size }}</p>
<img class="in" src="inputs/{{ inputs[loop.index0]["filename"]|urlencode }}">
<img class="out" src="outputs/{{ result["output"] }}">
{% endfor %}{% endblock %}
"""


def test_pictures_of_the_same_name_are_told_apart(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(plugins={"plain.py": PLAIN, "Plain.html": PLAIN_TEMPLATE})
    names = ["cat.png", "cat.png", "cat (2).png", "50% #1?.png"]
    images = [visitor.add(name, seed) for seed, name in enumerate(names)]
    run = visitor.start("plain", *images, **{"Size of it": "0.25"})
    page = visitor.page(f"/runs/{run.id}/")
    for shown_as in ("cat.png 0.25", "cat (2).png 0.25", "cat (2) (2).png 0.25", "50% #1?.png 0.25"):
        assert shown_as in page.text

    def pixels(path: str) -> bytes:
        return Image.open(BytesIO(visitor.get(path).data)).convert("L").tobytes()

    uploaded = [pixels(f"/images/{image}.png") for image in images]
    assert len(set(uploaded)) == 4
    for kind in ("in", "out"):
        assert [pixels(f"/runs/{run.id}/{one['src']}") for one in page.all("img", **{"class": kind})] == uploaded


FAILING = {
    "Unsupported": ("unsupported_reason(cls, info)", ["", "/pictures"]),
    "Limits": ("limits(cls, info)", [""]),
    "Calls": ("model_calls(cls, settings, info)", [""]),
    "Offers": ("goes_on_from(cls, visualization, settings, info)", []),
}


@pytest.mark.parametrize("reads_again", [True, False])
def test_code_that_fails_in_pages(make_visitor: MakeVisitor, reads_again: bool) -> None:
    """Its own pages say where, with the source for its author; all others are as they were."""
    plugins = {}
    for name, (method, _) in FAILING.items():
        plugins[f"{name.lower()}.py"] = (
            CODE.replace("Mine", name) + f"\n    @classmethod\n    def {method}:\n        1 / 0\n"
        )
        plugins[f"{name}.html"] = TEMPLATE
    visitor = make_visitor(plugins=plugins, RELOAD_PLUGINS=reads_again)
    page = visitor.page("/")
    assert page.all("a", href="/visualizations/occlusion")
    assert page.text.count("line 13: ZeroDivisionError: division by zero") == 3  # those that are asked for a card
    listed = {one["name"]: one for one in visitor.get("/api/v1/visualizations").json["visualizations"]}
    assert "line 13: ZeroDivisionError" in listed["unsupported"]["reason"]
    assert listed["occlusion"]["available"]
    run = visitor.start("occlusion")
    assert run.state is State.DONE
    visitor.page(f"/runs/{run.id}/")
    for name, (_, pages) in FAILING.items():
        for path in pages:
            text = visitor.page(f"/visualizations/{name.lower()}{path}", 500).text
            assert "The visualization failed" in text
            assert f"{name.lower()}.py, line 13: ZeroDivisionError: division by zero" in text
            assert ("> 13 |" in text) is reads_again
            assert ("/plugins/" in text) is reads_again  # nothing of the machine otherwise


def test_nothing_of_the_machine_is_shown_to_strangers(make_visitor: MakeVisitor, tmp_path: Path) -> None:
    broken = {"broken.py": "import nothing_of_that_name", "again.py": CODE}
    failing = {"failing.py": CODE.replace("Mine", "Failing").replace('"first"', "1 / 0"), "Failing.html": ""}
    visitor = make_visitor(plugins=broken | failing | PLUGINS, VISUALIZATION_FOLDERS=[tmp_path / "nowhere"])
    text = visitor.page("/").text
    for sentence in ("broken.py, line 1: ModuleNotFoundError", "already taken by plugins/again.py", "nowhere"):
        assert sentence in text
    run = visitor.start("failing")
    assert run.error == "failing failed at failing.py, line 9: ZeroDivisionError: division by zero"
    assert str(tmp_path) not in text + visitor.page(f"/runs/{run.id}/").text
    (tmp_path / "plugins" / "failing.py").unlink()  # a change waits for the next start
    assert visitor.page("/visualizations/failing").all("select", name="Kind")
