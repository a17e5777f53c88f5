"""The first page in every state, and the pictures that are chosen on it."""

from __future__ import annotations

from io import BytesIO

import pytest
from browsing import InProcessEngine, MakeVisitor, Visitor
from page_cases import ALL, DAMAGED, GOOD, HUGE, png
from PIL import Image

from picasso.errors import ModelError
from picasso.web.templates import load_templates

# The start page


def test_start_page_for_a_first_visit(visitor: Visitor) -> None:
    page = visitor.page("/")
    assert "No pictures yet" in page.text
    links = [found["href"] for found in page.all("a")]
    assert [f"/visualizations/{name}" in links for name in ALL] == [True] * len(ALL)
    assert "Tiny" in page.text
    assert page.all("input", type="file")[0]["accept"]
    assert not visitor.client.get_cookie("picasso")  # nobody gets a session for looking


def test_start_page_shows_pictures_and_runs(visitor: Visitor) -> None:
    run = visitor.start("saliency", visitor.add("cat.png"), visitor.add("dog.png"))
    page = visitor.page("/")
    assert "cat.png" in page.text
    assert "2 pictures" in page.text
    assert page.all("a", href=f"/runs/{run.id}/")
    for image in page.all("img"):
        assert visitor.get(str(image["src"])).mimetype in ("image/png", "image/webp")


def test_start_page_while_the_model_loads(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(model=False, MODEL_NAME="Digits")
    page = visitor.page("/")
    assert "is loading" in page.text
    assert "Digits" in page.text
    waiting = page.all("span", id="model-state")[0]
    assert waiting["hx-get"] == "/status"
    assert "is loading" in visitor.page("/status").text
    assert visitor.get("/visualizations/occlusion?window=9999").status_code in (200, 422)
    assert visitor.get("/visualizations/occlusion/cost").status_code == 200


def test_start_page_when_the_model_failed(make_visitor: MakeVisitor, engine: InProcessEngine) -> None:
    visitor = make_visitor(model=False)
    engine.waiting = True
    engine.error = ModelError("The model file x.keras does not exist. Check MODEL_PATH.")
    page = visitor.page("/")
    assert "The model file x.keras does not exist. Check MODEL_PATH." in page.text
    assert "cannot be used" in page.text
    assert "hx-get" not in page.all("span", id="model-state")[0]
    run = visitor.start("occlusion")
    assert "The model file x.keras does not exist" in visitor.page(f"/runs/{run.id}/").text


def test_status_of_a_ready_model_asks_no_more(visitor: Visitor) -> None:
    assert "hx-get" not in visitor.page("/status").all("span", id="model-state")[0]


# Pictures


def test_good_files_go_on_and_damaged_ones_are_named(visitor: Visitor) -> None:
    response = visitor.upload(
        ("good.png", GOOD), ("bad.png", DAMAGED), ("notes.txt", b"hello"), ("ok.png", png(seed=1))
    )
    assert (response.status_code, response.location) == (303, "/")
    page = visitor.page("/")
    assert [image.filename for image in visitor.services.store.images(visitor.session)] == ["good.png", "ok.png"]
    assert page.text.count("bad.png") == page.text.count("notes.txt") == 1
    assert "bad.png" not in visitor.page("/").text  # said once


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ([("a.png", DAMAGED)], 422),
        ([("notes.txt", b"hello")], 415),
        ([("empty.png", b"")], 415),
        ([("huge.png", HUGE)], 413),
        ([("notes.txt", b"hello"), ("a.png", DAMAGED)], 422),
    ],
)
def test_none_good(visitor: Visitor, files: list[tuple[str, bytes]], status: int) -> None:
    for visualization in ("", "occlusion", "nothing"):
        response = visitor.upload(*files, visualization=visualization, window="8")
        assert response.status_code == status
        html = response.get_data(as_text=True)
        for name, _ in files:
            assert name in html
        assert ("on which pictures?" in html) == (visualization == "occlusion")
    assert visitor.services.store.images(visitor.session) == []


def test_no_file_at_all(visitor: Visitor) -> None:
    for response in (visitor.post("/images"), visitor.post("/images", {"file": (BytesIO(b""), "")})):
        assert response.status_code == 415
        assert "Choose, drop or paste" in response.get_data(as_text=True)


def test_too_many_bytes(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(MAX_UPLOAD_BYTES=2**20, MAX_IMAGE_BYTES=2**10)
    response = visitor.post("/images", bytes(2**20 + 1), content_type="multipart/form-data; boundary=x")
    assert response.status_code == 413
    assert "One upload may have 1 MiB. Upload fewer or smaller pictures." in response.get_data(as_text=True)
    response = visitor.upload(("a.png", bytes(2**10 + 1)))
    assert response.status_code == 413
    assert "a.png" in response.get_data(as_text=True)


def test_too_many_pictures(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(MAX_IMAGES=1)
    visitor.add()
    assert visitor.upload(("b.png", GOOD)).status_code == 413


def test_upload_from_the_pictures_step_comes_back_to_it(visitor: Visitor) -> None:
    response = visitor.upload(("a.png", GOOD), visualization="occlusion", window="8", stride="4")
    assert response.location == "/visualizations/occlusion/pictures?window=8&stride=4"
    page = visitor.page(response.location)
    assert page.all("input", type="checkbox", name="image")
    assert page.all("input", type="hidden", name="window", value="8")


def test_samples(visitor: Visitor) -> None:
    assert visitor.get("/samples/0.webp").mimetype == "image/webp"
    assert visitor.post("/images/samples", {"sample": ["1", "0", "1"]}).status_code == 303
    names = [image.filename for image in visitor.services.store.images(visitor.session)]
    assert names == ["three.png", "zero.png"]
    for number in ("2", "99999999999999999999"):
        assert visitor.get(f"/samples/{number}.webp").status_code == 404
        assert visitor.post("/images/samples", {"sample": number}).status_code == 404
    for data in ({}, {"sample": "x"}, {"sample": "-1"}):
        assert visitor.post("/images/samples", data).status_code == 404


def test_remove_a_picture(visitor: Visitor) -> None:
    image = visitor.add()
    assert visitor.post(f"/images/{image}/remove").status_code == 303
    assert visitor.services.store.images(visitor.session) == []
    assert visitor.get(f"/images/{image}.png").status_code == 404


def test_a_picture_that_a_run_shows_stays_with_it(visitor: Visitor) -> None:
    run = visitor.start("class-probabilities", visitor.add("cat.png"))
    visitor.post(f"/images/{run.images[0]}/remove")
    assert "cat.png" in visitor.page(f"/runs/{run.id}/").text
    assert visitor.get(f"/images/{run.images[0]}/thumbnail.webp").status_code == 200


def test_thumbnails_are_small(visitor: Visitor) -> None:
    visitor.upload(("large.png", png((700, 350))))
    (image,) = visitor.services.store.images(visitor.session)
    with Image.open(BytesIO(visitor.get(f"/images/{image.id}/thumbnail.webp").data)) as small:
        assert (small.format, max(small.size)) == ("WEBP", 320)
    with Image.open(BytesIO(visitor.get(f"/images/{image.id}.png").data)) as whole:
        assert whole.size == (350, 700)


def test_start_over_deletes_everything(visitor: Visitor) -> None:
    run = visitor.start()
    session, store = visitor.session, visitor.services.store
    assert visitor.post("/start-over").location == "/"
    assert not store.session_folder(session).exists()
    assert store.runs(session) == store.images(session) == []
    page = visitor.page("/")
    assert "were deleted" in page.text
    assert "No pictures yet" in page.text
    assert visitor.get(f"/runs/{run.id}/").status_code == 404
    assert visitor.post("/start-over").status_code == 303  # nothing to delete does no harm
    visitor.add()
    assert visitor.session != session


def test_an_expired_session_is_like_a_first_visit(visitor: Visitor) -> None:
    run = visitor.start()
    visitor.services.store.delete_session(visitor.session)
    assert "No pictures yet" in visitor.page("/").text
    assert "No runs yet" in visitor.page("/runs").text
    assert visitor.get(f"/runs/{run.id}/").status_code == 404
    assert visitor.post("/runs", {"visualization": "occlusion", "image": run.images[0]}).status_code == 404
    visitor.add()
    assert visitor.get("/").status_code == 200


def test_a_forged_cookie_leads_nowhere(visitor: Visitor) -> None:
    visitor.client.set_cookie("picasso", "eyJpZCI6IngifQ.Zz.forged")
    assert "No pictures yet" in visitor.page("/").text
    visitor.add()


def test_the_cookie_is_for_this_site_and_no_script(visitor: Visitor) -> None:
    cookie = visitor.upload(("a.png", GOOD)).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Expires" in cookie


def test_all_pages_can_be_compiled_ahead(visitor: Visitor) -> None:
    app = visitor.client.application
    load_templates(app)
    cache = app.jinja_env.cache
    assert cache is not None
    loaded = {name for _, name in cache}
    assert {"layout.html", "start.html", "result.html", "error.html"} <= loaded
