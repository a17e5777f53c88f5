"""What <picasso-map> is given: addresses in pages, the tables of its colours, the labels of all classes."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest
from browsing import InProcessEngine, MakeVisitor, Visitor

from picasso.images import colours
from picasso.runs.artifacts import load_array
from picasso.runs.run import State

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "your-own-visualization.md"


def block(language: str, word: str) -> str:
    """The block of the guide that has a word in it."""
    found = re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    return next(text for text in found if word in text)


def test_the_line_of_the_guide(make_visitor: MakeVisitor) -> None:
    plugin = {"contrast.py": block("python", "class Contrast"), "Contrast.html": block("html", "picasso_map(")}
    visitor = make_visitor(plugins=plugin)
    run = visitor.start("contrast", visitor.add("a.png", 1), visitor.add("b.png", 2))
    assert (run.state, run.error) == (State.DONE, None)
    page = visitor.page(f"/runs/{run.id}/")
    found = page.all("picasso-map")
    assert [(one["of"], one["label"], one["signed"]) for one in found] == [
        (name, "contrast", None) for name in ("a.png", "b.png")
    ]
    values = load_array(visitor.get(str(found[1]["src"])).data)
    assert (values.min(), values.max()) == pytest.approx((float(str(found[1]["low"])), float(str(found[1]["high"]))))
    assert visitor.get(str(found[1]["image"])).mimetype == "image/png"
    assert [one["box"] for one in found] == ["0 0 28 28"] * 2


def test_the_guide_knows_every_attribute(visitor: Visitor) -> None:
    rows = re.findall(r"^\| (.*?) \|", GUIDE.read_text(encoding="utf-8").split("attribute of `<picasso-map>`")[1], re.M)
    documented = {name for row in rows for name in re.findall(r"`([\w-]+)[=`]", row)}
    page = visitor.page(f"/runs/{visitor.start('occlusion').id}/")
    assert page.all("picasso-map")[0].keys() - {"id"} <= documented


def test_the_tables_are_those_that_the_server_draws_with(visitor: Visitor) -> None:
    answer = visitor.get("/colours.json")
    assert "max-age" in answer.headers["Cache-Control"]
    assert [sorted(answer.json[sign]) for sign in ("unsigned", "signed")] == [
        sorted(colours.SEQUENTIAL),
        sorted(colours.DIVERGING),
    ]
    for named in answer.json.values():
        for name, text in named.items():
            table = np.frombuffer(base64.b64decode(text), np.uint8).reshape(colours.LEVELS, 4)
            np.testing.assert_array_equal(table, colours.table(name))


def test_the_labels_are_those_of_the_model_that_made_the_run(
    make_visitor: MakeVisitor, engine: InProcessEngine
) -> None:
    visitor = make_visitor(labels=("ant", "bee"))
    run = visitor.start("occlusion")
    address = str(visitor.page(f"/runs/{run.id}/").all("picasso-map")[0]["classes"])
    engine.waiting = True
    waiting = visitor.start("occlusion", visitor.add(seed=1))
    assert visitor.get(f"/runs/{waiting.id}/labels.json").json == ["ant", "bee"]
    assert engine.host is not None
    engine.roster = type(engine.roster)(visitor.services.config)  # the model is another one, or not there any more
    engine.host = None
    assert visitor.get(address).json == ["ant", "bee"]
    assert visitor.get(f"/runs/{waiting.id}/labels.json").status_code == 404


def test_nobody_reads_the_labels_of_somebody_else(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor()
    run = visitor.start("occlusion")
    assert Visitor(visitor.app).get(f"/runs/{run.id}/labels.json").status_code == 404
