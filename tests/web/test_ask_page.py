"""The page on which a model is asked by hand, and what it is answered."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from browsing import InProcessEngine, MakeVisitor, Visitor
from PIL import Image

from picasso.errors import Busy
from picasso.runs.run import State

NOBODY = "0" * 32
PAINTED = "2s.5.n.5.n.5"  # three rows of five pixels of 28


def ask(visitor: Visitor, image: str, **question: Any) -> Any:
    return visitor.post(f"/ask/{image}/answer", json=question)


def test_the_page_is_a_form_whose_fields_are_the_settings(visitor: Visitor) -> None:
    image = visitor.add("cat.png")
    page = visitor.page(f"/ask/{image}?region={PAINTED}&what=keep&fill=blur")
    form = page.all("form", **{"class": "asking"})[0]
    assert (form["data-width"], form["data-height"], form["data-best"], form["data-risen"]) == ("28", "28", "5", "3")
    assert page.field("region") == PAINTED
    assert "checked" in page.all("input", name="what", value="keep")[0]
    assert "checked" in page.all("input", name="fill", value="blur")[0]
    for name in ("visualization", "image", "region", "what", "fill"):
        assert page.all("input", name=name)
    assert all(found["form"] == "tools" for name in ("tool", "size", "erase") for found in page.all("input", name=name))
    assert page.all("div", role="application")[0]["tabindex"] == "0"
    assert visitor.page(f"/ask/{image}").field("region") == "9,9,9,9"  # the middle


def test_a_wrong_region_in_the_address_is_said(visitor: Visitor) -> None:
    page = visitor.page(f"/ask/{visitor.add()}?region=99,99,2,2", 422)
    assert "does not touch the picture of 28 x 28 pixels" in page.text
    assert page.field("region") == "9,9,9,9"


def test_ways_to_the_page(visitor: Visitor) -> None:
    assert "No pictures yet" in visitor.page("/ask").text
    first, second = visitor.add("cat.png"), visitor.add("dog.png", seed=1)
    assert visitor.get("/ask").location == f"/ask/{second}"
    assert visitor.get(f"/ask?image={first}&image={second}&fill=blur&_external=1").location == f"/ask/{first}?fill=blur"
    address = urlsplit(visitor.get(f"/visualizations/what-if?image={first}&region=1,1,2,2&nonsense=1").location)
    assert (address.path, parse_qs(address.query)) == ("/ask", {"image": [first], "region": ["1,1,2,2"]})
    assert urlsplit(visitor.get("/visualizations/what-if/pictures").location).path == "/ask"
    links = [str(found["href"]) for found in visitor.page("/").all("a")]
    assert f"/ask/{first}" in links
    assert "/visualizations/what-if" in links
    run = visitor.start("occlusion", first, fill="mean")
    (link,) = [str(a["href"]) for a in visitor.page(f"/runs/{run.id}/").all("a") if "what-if" in str(a["href"])]
    page = visitor.page(link, follow_redirects=True)
    assert "checked" in page.all("input", name="fill", value="mean")[0]
    uploaded = visitor.upload(("eel.png", visitor.get(f"/images/{first}.png").data), visualization="what-if")
    assert visitor.get(uploaded.location, follow_redirects=True).request.path.startswith("/ask/")


def test_while_the_model_loads(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(model=False)
    image = visitor.add()
    page = visitor.page(f"/ask/{image}?fill=blur")
    assert page.all("section", id="waiting")[0]["hx-get"] == f"/ask/{image}?fill=blur"
    answer = ask(visitor, image, region="1,1,2,2")
    assert answer.status_code == 503
    assert answer.json["error"]["again"] is True


def test_the_waiting_page_becomes_the_tool(visitor: Visitor) -> None:
    image = visitor.add()
    assert visitor.get(f"/ask/{image}", headers={"HX-Request": "true"}).headers["HX-Refresh"] == "true"


def test_the_answer_is_the_models_own(visitor: Visitor, engine: InProcessEngine) -> None:
    image = visitor.add()
    with engine.host.shelf.lend("", lambda: None) as model:  # type: ignore[union-attr]
        x = model.preprocess([Image.open(io.BytesIO(visitor.get(f"/images/{image}.png").data))]).x
        covered = x.copy()
        covered[0, 4:9, 3:13] = model.solid(0)[4:9, 3:13]
        before, after = model.predict(np.concatenate([x, covered]))
    rows = ask(visitor, image, region="3,4,10,5", fill="black", what="hide").json["classes"]
    assert [row["index"] for row in rows[:5]] == list(np.argsort(-before)[:5])
    for row in rows:
        assert row["before"] == pytest.approx(before[row["index"]], abs=1e-6)
        assert row["after"] == pytest.approx(after[row["index"]], abs=1e-6)
    assert len(rows) == 8
    ask(visitor, image, region=PAINTED)
    assert len(engine.sent) == 1  # the picture travels once


def test_pictures_and_pieces(visitor: Visitor) -> None:
    image = visitor.add()
    both = Image.open(io.BytesIO(visitor.get(f"/ask/{image}/pictures.png?fill=white").data))
    assert both.size == (56, 28)
    stream = io.BytesIO()
    Image.fromarray(np.kron(np.array([[0, 90], [180, 255]], np.uint8), np.ones((14, 14), np.uint8))).save(stream, "PNG")
    assert visitor.upload(("quarters.png", stream.getvalue())).status_code == 303
    quarters = visitor.services.store.images(visitor.session)[-1].id
    response = visitor.get(f"/ask/{quarters}/pieces?count=9")
    pieces = np.frombuffer(response.data, "<u2")
    assert pieces.size == 28 * 28
    assert pieces.max() >= 3


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ({"region": "99,99,2,2"}, "does not touch"),
        ({"region": "1,1,2"}, "four whole numbers"),
        ({"region": "0.m3"}, "has 795 pixels, the picture 784"),
        ({"region": float("nan")}, "'region'"),
        ({"region": [1, 2]}, "'region'"),
        ({"region": None}, "'region'"),
        ({"fill": "lava"}, "'fill' should be"),
        ({"what": "eat"}, "'what' should be"),
        ({"nonsense": 1}, "There is no setting 'nonsense'"),
    ],
)
def test_bad_questions_are_refused(visitor: Visitor, question: dict[str, Any], sentence: str) -> None:
    answer = ask(visitor, visitor.add(), **question)
    assert answer.status_code == 422
    assert sentence in answer.json["error"]["message"]
    assert answer.json["error"]["again"] is False


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"\xff", b"NaN"])
def test_what_is_no_question_is_refused(visitor: Visitor, body: bytes) -> None:
    answer = visitor.post(f"/ask/{visitor.add()}/answer", data=body, content_type="application/json")
    assert (answer.status_code, answer.mimetype) == (422, "application/json")


def test_what_is_too_long_or_too_fine_is_refused(visitor: Visitor) -> None:
    image = visitor.add()
    assert ask(visitor, image, region="1." * 10**6).status_code in (413, 422)
    for count in ("1", "99999"):
        assert visitor.get(f"/ask/{image}/pieces?count={count}").status_code == 422
    assert visitor.get(f"/ask/{image}/pictures.png?fill=lava").status_code == 422


def test_only_ones_own_pictures(visitor: Visitor) -> None:
    image = visitor.add()
    other = Visitor(visitor.app)
    for known in (False, True):  # without a session, and with another one
        if known:
            other.add()
        for path in ("", "/pictures.png", "/pieces"):
            assert other.get(f"/ask/{image}{path}").status_code == 404
        assert ask(other, image, region="1,1,2,2").status_code == 404
    assert ask(visitor, NOBODY, region="1,1,2,2").status_code == 404
    assert visitor.post(f"/ask/{image}/answer?model=nonsense", json={}).status_code == 404
    elsewhere = {"Origin": "http://elsewhere"}
    assert visitor.post(f"/ask/{image}/answer", json={}, headers=elsewhere).status_code == 403


def test_busy_is_told_as_something_to_ask_again(visitor: Visitor, engine: InProcessEngine, monkeypatch: Any) -> None:
    def busy(*_: Any) -> Any:
        raise Busy("Many are asking at once. This is asked again.")

    image = visitor.add()
    monkeypatch.setattr(engine, "ask", busy)
    answer = ask(visitor, image, region="1,1,2,2")
    assert (answer.status_code, answer.json["error"]["again"]) == (503, True)


def test_what_was_asked_is_saved_and_leads_back(visitor: Visitor) -> None:
    image = visitor.add("cat.png")
    run = visitor.start("what-if", image, region=PAINTED, what="keep", fill="white")
    assert run.state is State.DONE, run.error
    page = visitor.page(f"/runs/{run.id}/")
    assert "15 px painted" in page.text
    assert "98 % hidden with white" in page.text
    (back,) = [str(a["href"]) for a in page.all("a") if PAINTED in str(a["href"])]
    again = visitor.page(back, follow_redirects=True)
    assert again.field("region") == PAINTED
    assert "checked" in again.all("input", name="what", value="keep")[0]
    assert "part 15 px painted" in visitor.page("/runs").text
    answered = ask(visitor, image, region=PAINTED, what="keep", fill="white").json["classes"]
    saved = visitor.services.store.manifest(run)["results"][0]["classes"]  # type: ignore[index]
    for row, kept in zip(answered, saved, strict=True):
        assert row == kept | {name: pytest.approx(kept[name], abs=1e-6) for name in ("before", "after")}


def test_what_cannot_be_saved_leads_back_to_the_tool(visitor: Visitor) -> None:
    image = visitor.add()
    fields = {"visualization": "what-if", "image": image, "region": "", "fill": "mean"}
    response = visitor.post("/runs", fields, follow_redirects=True)
    assert response.request.path == f"/ask/{image}"
    assert "is empty: paint or choose a part" in response.get_data(as_text=True)
