"""Every page, in every state, through the routes. `ExaminingClient` (conftest) checks each answer besides: headers,
no inline code or style, a title, no traceback."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import InProcessEngine, MakeVisitor, Visitor
from PIL import Image

from picasso.errors import ModelError, PluginError, WorkerLost
from picasso.models.info import OcclusionCost
from picasso.runs.run import State
from picasso.web import templates

XSS = "<img src=x onerror=alert(1)>"
NOBODY = "0" * 32
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
ALL = [*BUILT_IN, "hidden-halves"]
WITH_SETTINGS_PAGE = [name for name in ALL if name != "what-if"]  # whose page is a tool
SHOWING_CLASSES = [name for name in BUILT_IN if name != "feature-maps"]


def png(size: tuple[int, int] = (28, 28), seed: int = 0) -> bytes:
    stream = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


GOOD = png()
DAMAGED = GOOD[:60]
HEADER = b"IHDR" + struct.pack(">II", 100_000, 100_000) + GOOD[24:29]
HUGE = GOOD[:12] + HEADER + struct.pack(">I", zlib.crc32(HEADER)) + GOOD[33:]


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


# Settings


def test_deep_link_fills_in_the_settings(visitor: Visitor) -> None:
    path = "/visualizations/occlusion?window=8&stride=4&fill=black"
    page = visitor.page(path)
    assert (page.field("window"), page.field("stride")) == ("8", "4")
    assert b"<option selected>black</option>" in visitor.get(path).data


def test_deep_link_of_the_readme_while_the_model_loads(make_visitor: MakeVisitor) -> None:
    page = make_visitor(model=False).page("/visualizations/occlusion?window=32&stride=16")
    assert (page.field("window"), page.field("stride")) == ("32", "16")


@pytest.mark.parametrize("name", WITH_SETTINGS_PAGE)
def test_settings_page_has_a_labelled_field_for_each_setting(visitor: Visitor, name: str) -> None:
    page = visitor.page(f"/visualizations/{name}")
    fields = visitor.services.registry.get(name).settings_model.model_fields
    for setting in fields:
        group = page.all("div", role="group", **{"aria-labelledby": f"label-{setting}"})  # several to choose
        assert page.all("label", **{"for": f"field-{setting}"}) or group
    assert page.all("form", action="/runs", method="post")


@pytest.mark.parametrize(
    ("query", "field", "sentence"),
    [
        ("window=0", "window", "'window' should be greater than or equal to 1, got '0'."),
        ("window=29", "window", "'window' must be 1..28 pixels for this model, got 29."),
        ("window=wide", "window", "'window' should be a valid integer"),
        ("fill=pink", "fill", "'fill' should be 'grey'"),
        ("score=logit&window=-1", "window", "'window'"),
    ],
)
def test_invalid_settings_are_said_beside_their_field(visitor: Visitor, query: str, field: str, sentence: str) -> None:
    for path in (f"/visualizations/occlusion?{query}", f"/visualizations/occlusion/pictures?{query}"):
        response = visitor.get(path)
        html = response.get_data(as_text=True).replace("&#39;", "'")
        assert response.status_code == 422
        start = html.index(f'id="help-{field}"')
        assert sentence in html[start : html.index("</p>", start)]
        assert html.count('role="alert"') == 1
    values = dict(part.split("=") for part in query.split("&"))
    response = visitor.post("/runs", {"visualization": "occlusion", "image": visitor.add(), **values})
    assert response.status_code == 422
    assert sentence in response.get_data(as_text=True).replace("&#39;", "'")
    assert visitor.services.store.runs(visitor.session) == []


def test_unknown_setting_is_named_with_the_known_ones(visitor: Visitor) -> None:
    page = visitor.page("/visualizations/occlusion?windw=3", 422)
    assert "There is no setting 'windw'. The settings are: window, stride" in page.text


@pytest.mark.parametrize("query", ["name=x", "_external=1", "_anchor=x", "_scheme=https&_external=1", "_method=POST"])
def test_settings_that_mean_something_to_flask_are_unknown_ones(visitor: Visitor, query: str) -> None:
    values = dict(part.split("=") for part in query.split("&"))
    assert "There is no setting" in visitor.page(f"/visualizations/occlusion?{query}", 422).text
    assert "There is no setting" in visitor.page(f"/visualizations/occlusion/pictures?{query}", 422).text
    answer = visitor.upload(("a.png", GOOD), visualization="occlusion", **values)
    assert answer.status_code in (303, 422)
    assert (answer.location or "/").startswith("/")
    assert visitor.post("/runs", {"visualization": "occlusion", **values}).status_code == 422
    assert visitor.upload(("a.png", DAMAGED), visualization="occlusion", **values).status_code == 422


def test_unknown_visualization(visitor: Visitor) -> None:
    for path in ("", "/pictures", "/cost"):
        page = visitor.page(f"/visualizations/nothing{path}", 404)
        if page.title:
            assert "There are: class-activation, class-probabilities" in page.text
    assert visitor.post("/runs", {"visualization": "nothing"}).status_code == 404
    assert visitor.post("/runs").status_code == 404


def test_cost_is_said_before_it_starts(visitor: Visitor) -> None:
    assert "17 model calls for each picture" in visitor.page("/visualizations/occlusion?window=7&stride=7").text
    one = visitor.page("/visualizations/occlusion/cost?window=7&stride=7&fill=grey&classes=3&score=probability")
    assert "17 model calls" in one.text
    assert "model calls" not in visitor.page("/visualizations/occlusion/cost?window=0").text


def test_the_cost_of_windows_is_said(visitor: Visitor, engine: InProcessEngine) -> None:
    assert engine.host is not None
    slot = engine.host.shelf._slot("")
    assert slot.model is not None
    costs = (OcclusionCost(4, 0.25, 0.2, "conv"), OcclusionCost(28, 0.25, 0.6, "conv"))
    slot.model.info = replace(slot.model.info, occlusion=costs)
    sentence = "16 positions for each picture, each 25 % of the work of running the whole network."
    for path, time in (("?", "A few seconds for 1 picture"), ("/cost?image=1&image=2&", "About 10 s for 2 pictures")):
        said = visitor.page(f"/visualizations/occlusion{path}window=7&stride=7").text
        assert sentence in said
        assert time in said
    about = visitor.page("/model").text
    assert "Hiding 4 × 4 px20 % of the work" in about
    assert "from conv on" in about


def test_what_may_stop_early_costs_at_most_so_much(visitor: Visitor) -> None:
    assert "At most 2,001 model calls for each picture" in visitor.page("/visualizations/random-masks").text
    assert "At most 2,001" in visitor.get("/visualizations/random-masks/cost").text
    for exact in ("random-masks?tolerance=0", "saliency?method=SmoothGrad", "class-activation"):
        assert "At most" not in visitor.page(f"/visualizations/{exact}").text


def test_layers_are_a_choice_of_the_models_own(visitor: Visitor) -> None:
    for name in ("class-activation", "feature-maps"):
        assert b"<option selected>half</option>" in visitor.get(f"/visualizations/{name}").data
        response = visitor.get(f"/visualizations/{name}?layer=nothing")
        assert response.status_code == 422
        assert "should be a layer of Tiny" in response.text


def test_settings_that_were_not_used_are_not_listed(visitor: Visitor) -> None:
    noisy = visitor.start("saliency", method="SmoothGrad", samples=2)
    plain = visitor.start("saliency")
    for run, listed in ((noisy, True), (plain, False)):
        data = visitor.get(f"/runs/{run.id}/").data
        assert (b"<dt>Noise</dt>" in data) is listed
        assert b"<dt>Baseline</dt>" not in data


def test_several_choices_are_check_boxes(visitor: Visitor) -> None:
    page = visitor.page("/visualizations/trust?methods=gradient&methods=occlusion&seed=3")
    boxes = page.all("input", type="checkbox", name="methods")
    assert [box["value"] for box in boxes if "checked" in box] == ["gradient", "occlusion"]
    response = visitor.upload(("a.png", GOOD), visualization="trust", methods="gradient,occlusion")
    assert response.location == "/visualizations/trust/pictures?methods=gradient,occlusion"
    assert visitor.page(response.location).field("methods") == "gradient,occlusion"
    assert visitor.start("trust", methods=["", "gradient", "occlusion"]).settings["methods"] == [
        "gradient",
        "occlusion",
    ]
    response = visitor.post("/runs", {"visualization": "trust", "image": visitor.add(), "methods": ""})
    assert response.status_code == 422
    assert "should be at least one of them" in response.get_data(as_text=True)


def test_a_map_leads_to_its_checks_with_its_settings(visitor: Visitor) -> None:
    run = visitor.start("saliency", method="SmoothGrad", samples=2, noise=0.5)
    (link,) = [a["href"] for a in visitor.page(f"/runs/{run.id}/").all("a") if "/trust?" in str(a["href"])]
    page = visitor.page(str(link))
    boxes = page.all("input", type="checkbox", name="methods")
    assert [box["value"] for box in boxes if "checked" in box] == ["gradient", "SmoothGrad", "Grad-CAM", "occlusion"]
    assert page.field("method_settings") == "samples=2; noise=0.5"
    assert "checked" in page.all("input", name="image", value=run.images[0])[0]
    without = visitor.start("class-probabilities")
    assert not any("/trust?" in str(a["href"]) for a in visitor.page(f"/runs/{without.id}/").all("a"))


def test_checks_are_sentences_with_the_manifests_numbers(visitor: Visitor) -> None:
    run = visitor.start("trust", methods="gradient", steps=10)
    manifest = visitor.services.store.manifest(run)
    assert manifest is not None
    (best,) = manifest["results"][0]["classes"]
    (one,) = best["methods"]
    before, after = (templates.number(one["deletion"]["curve"][step]) for step in (0, 1))
    text = visitor.page(f"/runs/{run.id}/").text
    label = best["label"]
    assert f"Hiding the strongest 10 % drops {label} from {before} to {after}; a random 10 %" in text
    assert f"Area under the curve: {templates.number(one['insertion']['area'])}; of 5 random maps" in text
    assert "Another seed: no chance in it." in text
    assert "Those of this model cannot be shuffled" in text


def test_stopped_checks_say_what_was_not_done(visitor: Visitor, engine: InProcessEngine) -> None:
    engine.waiting = True
    run = visitor.start("trust", visitor.add(), methods="gradient,SmoothGrad,occlusion", classes=2, steps=10, maps=1)
    visitor.services.store.change_run(run.id, (State.QUEUED,), state=State.RUNNING)
    outcome = engine.execute(run)
    first, second = outcome.results[0].content["classes"]
    outcome.results[0].content["layers"] = 4
    first["methods"][0]["shuffling"] = {"stages": [{"layers": 1, "similarity": 0.25}], "verdict": "unfinished"}
    first["methods"][0]["shuffling"] |= {"similarity": 0.25, "unmoved": 0}
    first["methods"][1].pop("again")
    first["methods"].pop()
    first["not_begun"], second["not_begun"], second["methods"] = ["occlusion"], ["SmoothGrad", "occlusion"], []
    engine.partials[run.id] = outcome.results
    text = visitor.page(f"/runs/{run.id}/").text
    assert ".250 with 1 layer of 4 so far." in text
    assert "stopped" not in text
    engine.finish(run, replace(outcome, stopped=0.4))
    text = visitor.page(f"/runs/{run.id}/").text
    assert "This run was stopped at 40 %" in text
    assert "Shuffled weights: not finished." in text
    assert ".250 with 1 layer of 4: the run was stopped before it came to all." in text
    assert "Shuffled weights: not checked. The run was stopped before." in text
    assert "Another seed: not checked. The run was stopped before." in text
    assert "Not checked, because the run was stopped before: occlusion." in text
    assert "Not checked, because the run was stopped before: SmoothGrad, occlusion." in text


def test_checks_of_several_classes_are_apart(visitor: Visitor) -> None:
    run = visitor.start("trust", visitor.add("cat.png"), methods="gradient", classes=2, steps=10, maps=1)
    page, manifest = visitor.page(f"/runs/{run.id}/"), visitor.services.store.manifest(run)
    assert manifest is not None
    for number, explained in enumerate(manifest["results"][0]["classes"]):
        assert page.all("a", href=f"#image-0-{number}")
        assert page.all("h2", id=f"image-0-{number}")
        assert f"cat.png: {explained['label']}" in page.text
        shown = templates.number(explained["methods"][0]["insertion"]["curve"][1])
        assert f"Showing only the strongest 10 % brings {explained['label']} to {shown}" in page.text
    assert "the 2 best classes of each picture" in page.text


def test_unsupported_visualization_is_greyed_out_with_its_reason(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(capabilities=frozenset({"predict"}))
    reason = "Needs gradients of its scores, which Tiny does not give."
    page = visitor.page("/")
    assert reason in page.text
    assert not page.all("a", href="/visualizations/saliency")
    assert page.all("a", href="/visualizations/occlusion")
    visitor.add()
    for path in ("/visualizations/saliency", "/visualizations/saliency/pictures"):
        page = visitor.page(path)
        assert reason in page.text
        assert "disabled" in page.all("button", **{"class": "primary"})[0]
    response = visitor.post("/runs", {"visualization": "saliency", "image": visitor.add()})
    assert response.status_code == 422
    assert reason in response.get_data(as_text=True)
    response = visitor.post("/runs", {"visualization": "occlusion", "score": "logit", "image": visitor.add()})
    assert response.status_code == 422


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


# Runs


def test_without_pictures_the_pictures_step_comes_first(visitor: Visitor) -> None:
    response = visitor.post("/runs", {"visualization": "occlusion", "window": "8"})
    assert response.location == "/visualizations/occlusion/pictures?window=8"
    assert "No pictures yet" in visitor.page(response.location).text


def test_the_same_run_again_is_the_kept_one(visitor: Visitor) -> None:
    first, second = visitor.add("a.png"), visitor.add("b.png", seed=1)
    run = visitor.start("occlusion", first, window=8)
    assert "kept result" not in visitor.page(f"/runs/{run.id}/").text
    response = visitor.post("/runs", {"visualization": "occlusion", "image": first, "window": "8"})
    assert response.location.startswith(f"/runs/{run.id}/")
    assert "kept result" in visitor.page(response.location).text
    for images, window in (((first,), 9), ((second,), 8), ((first, second), 8), ((second, first), 8)):
        assert visitor.start("occlusion", *images, window=window).id != run.id


def test_a_run_under_way_is_not_called_kept(visitor: Visitor, engine: InProcessEngine) -> None:
    engine.waiting = True
    image = visitor.add()
    run = visitor.start("occlusion", image)
    response = visitor.post("/runs", {"visualization": "occlusion", "image": image})
    assert response.location.startswith(f"/runs/{run.id}/")
    assert "kept result" not in visitor.page(response.location).text


def test_the_same_picture_twice_is_looked_at_once(visitor: Visitor) -> None:
    image = visitor.add()
    assert visitor.start("occlusion", image, image).images == [image]


def test_pictures_of_nobody_are_not_found(visitor: Visitor) -> None:
    visitor.add()
    assert visitor.post("/runs", {"visualization": "occlusion", "image": NOBODY}).status_code == 404


def test_cancel_and_again(visitor: Visitor, engine: InProcessEngine) -> None:
    engine.waiting = True
    run = visitor.start("occlusion", window=8)
    assert visitor.post(f"/runs/{run.id}/cancel").location == f"/runs/{run.id}/"
    assert visitor.run(run.id).state is State.CANCELLED
    page = visitor.page(f"/runs/{run.id}/")
    assert "nothing of it is kept" in page.text
    assert page.all("form", action=f"/runs/{run.id}/again")
    visitor.post(f"/runs/{run.id}/cancel")  # twice does no harm
    engine.waiting = False
    response = visitor.post(f"/runs/{run.id}/again")
    again = visitor.run(response.location.split("/")[2])
    assert again.id != run.id
    assert again.state is State.DONE
    assert again.settings == run.settings
    visitor.post(f"/runs/{again.id}/cancel")
    assert visitor.run(again.id).state is State.DONE


def test_more_runs_than_may_wait_are_refused_for_now(make_visitor: MakeVisitor, engine: InProcessEngine) -> None:
    visitor = make_visitor(SESSION_MAX_UNFINISHED_RUNS=2, MAX_UNFINISHED_RUNS=3)
    engine.waiting = True
    cancelled = visitor.start("occlusion", window=8)
    visitor.post(f"/runs/{cancelled.id}/cancel")
    runs = [visitor.start("occlusion", window=window) for window in (9, 10)]
    image = runs[0].images[0]
    form = {"visualization": "occlusion", "image": image}
    for path, data in (
        ("/runs", form | {"window": "11"}),
        (f"/runs/{cancelled.id}/again", {}),
        ("/compare", form),
    ):
        answer = visitor.post(path, data)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "10"), path
        assert "2 of your runs are waiting or under way" in answer.text
    assert visitor.post("/runs", form | {"window": "9"}).status_code == 303  # the one that there is
    other = Visitor(visitor.app)
    other.start("occlusion")
    answer = other.post("/runs", {"visualization": "occlusion", "image": other.add("dog.png"), "window": "11"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "3 runs are waiting on this server" in answer.text
    assert len(visitor.services.store.unfinished_runs()) == 3


@pytest.mark.parametrize("name", ["occlusion", "saliency", "hidden-halves"])
def test_what_can_be_stopped_is_stopped_and_kept(visitor: Visitor, engine: InProcessEngine, name: str) -> None:
    engine.waiting = True
    run = visitor.start(name, visitor.add("cat.png"), visitor.add("dog.png", seed=1))
    url, stoppable = f"/runs/{run.id}/", name != "hidden-halves"
    visitor.services.store.change_run(run.id, (State.QUEUED,), state=State.RUNNING)
    assert not visitor.page(url).all("form", action=f"{url}stop")  # there is nothing to keep
    whole = engine.execute(run)
    engine.partials[run.id] = whole.results[:1]
    assert bool(visitor.page(url).all("form", action=f"{url}stop")) == stoppable
    assert visitor.post(f"{url}stop").location == url
    assert engine.stopped == [run.id] * stoppable
    engine.finish(run, replace(whole, results=whole.results[:1], stopped=0.3))
    page = visitor.page(url)
    assert "This run was stopped at 30 %, and what was there is kept. Not begun: dog.png." in page.text
    assert "Run it in full" in page.text
    assert visitor.post(f"{url}again").status_code == 303


def test_runs_ahead_are_said(visitor: Visitor, engine: InProcessEngine) -> None:
    engine.waiting = True
    image = visitor.add()
    runs = [visitor.start("occlusion", image, window=window) for window in (5, 6, 7)]
    texts = [visitor.page(f"/runs/{run.id}/").text for run in runs]
    assert ["1 run is ahead" in texts[1], "2 runs are ahead" in texts[2], "ahead" in texts[0]] == [True, True, False]


def test_list_of_runs(visitor: Visitor, engine: InProcessEngine) -> None:
    assert "No runs yet" in visitor.page("/runs").text
    run = visitor.start("occlusion", visitor.add("cat.png"), window=8)
    engine.waiting = True
    visitor.start("saliency", *run.images)
    page = visitor.page("/runs")
    assert page.all("span", **{"class": "state done"})
    assert page.all("span", **{"class": "state queued"})
    assert "window 8" in page.text
    assert "cat.png" in page.text


@pytest.mark.parametrize("name", ALL)
def test_result(visitor: Visitor, name: str) -> None:
    run = visitor.start(name, visitor.add("cat.png"), visitor.add("dog.png", seed=1))
    assert run.state is State.DONE, run.error
    pictures, links = set(), set()
    for query in ("", "?range=own", "?range=own&signed=vik&unsigned=viridis", "?range=nonsense&signed=inferno"):
        page = visitor.page(f"/runs/{run.id}/{query}")
        assert "cat.png" in page.text
        assert "dog.png" in page.text
        assert "hx-get" not in page.all("div", id="run")[0]
        pictures |= {str(found["src"]) for found in page.all("img")}
        pictures |= {str(found["href"]) for found in page.all("image")}
        links |= {str(found["href"]) for found in page.all("a")}
    for picture in pictures:
        assert visitor.get(picture, follow_redirects=True).mimetype == "image/png", picture
    for link in links:
        if link.startswith("/"):
            assert visitor.get(link, follow_redirects=True).status_code == 200, link


@pytest.mark.parametrize("name", ALL)
def test_running_with_partial_results(visitor: Visitor, engine: InProcessEngine, name: str) -> None:
    engine.waiting = True
    run = visitor.start(name, visitor.add("cat.png"), visitor.add("dog.png", seed=1))
    url = f"/runs/{run.id}/"
    visitor.services.store.change_run(
        run.id, (State.QUEUED,), state=State.RUNNING, progress=0.5, message="Hiding parts of cat.png"
    )
    page = visitor.page(url)  # nothing there yet
    assert "Hiding parts of cat.png…" in page.text
    waiting = page.all("section", id="live")[0]
    assert waiting["hx-get"] == url
    assert page.all("progress")[0]["value"] == "0.5"
    assert page.all("form", action=f"{url}cancel")
    engine.partials[run.id] = engine.execute(run).results[:1]
    page = visitor.page(url)
    sources = {str(found["src"]) for found in page.all("img")} | {str(found["href"]) for found in page.all("image")}
    assert any("/files/" in source for source in sources)
    for source in sources:
        assert visitor.get(source).mimetype == "image/png"


@pytest.mark.parametrize("name", ALL)
def test_run_without_a_result(visitor: Visitor, engine: InProcessEngine, name: str) -> None:
    engine.waiting = True
    run = visitor.start(name)
    for state, error, sentence in [
        (State.QUEUED, None, "Waiting…"),
        (State.FAILED, PluginError("It failed at my_plugin.py, line 3."), "It failed at my_plugin.py, line 3."),
        (State.INTERRUPTED, WorkerLost("The server stopped."), "The server stopped."),
        (State.CANCELLED, None, "This run was cancelled"),
    ]:
        engine.end(run, state, error)
        html = visitor.get(f"/runs/{run.id}/", headers={"HX-Request": "true"}).get_data(as_text=True)
        assert sentence in html, state
        assert (f'hx-get="/runs/{run.id}/"' in html) != state.finished, state  # it asks for news
        assert (f"/runs/{run.id}/again" in html) == state.finished, state


def test_a_run_while_the_model_loads(make_visitor: MakeVisitor, engine: InProcessEngine) -> None:
    visitor = make_visitor(model=False)
    engine.waiting = True
    run = visitor.start("occlusion")
    assert run.key is None
    assert "Waiting…" in visitor.page(f"/runs/{run.id}/").text


def test_results_whose_files_are_gone(visitor: Visitor) -> None:
    run = visitor.start()
    (visitor.services.store.run_folder(run) / "manifest.json").unlink()
    assert "The files of this run are gone. Run it again." in visitor.page(f"/runs/{run.id}/", 404).text


def test_raw_values(visitor: Visitor) -> None:
    run = visitor.start()
    manifest = visitor.services.store.manifest(run)
    assert manifest is not None
    name = next(name for name in manifest["files"] if name.endswith("map.npy"))
    response = visitor.get(f"/runs/{run.id}/files/{name}")
    assert response.headers["Content-Disposition"].startswith("attachment")
    assert response.mimetype == "application/octet-stream"
    assert np.load(BytesIO(response.data)).shape == (28, 28)
    drawn = visitor.get(f"/runs/{run.id}/files/{name}.png?low=-1&high=1&colours=coolwarm")
    with Image.open(BytesIO(drawn.data)) as picture:
        assert picture.size == (28, 28)


def test_drawing_needs_a_range_and_colours(visitor: Visitor) -> None:
    run = visitor.start("saliency")
    manifest = visitor.services.store.manifest(run)
    assert manifest is not None
    name = next(name for name in manifest["files"] if name.endswith("map.npy"))
    for query in (
        "",
        "low=1&high=0&colours=vik",
        "low=nan&high=1&colours=vik",
        "low=-inf&high=inf&colours=vik",
        "low=0&high=1e400&colours=vik",
        "low=0&high=1&colours=pink",
        "low=a&high=1&colours=vik",
    ):
        assert visitor.get(f"/runs/{run.id}/files/{name}.png?{query}").status_code == 422, query


def test_only_files_of_the_manifest_are_served(visitor: Visitor) -> None:
    run = visitor.start()
    for name in (
        "manifest.json",
        "..%2F..%2Fimages",
        "%2e%2e/%2e%2e/%2e%2e/%2e%2e/picasso.sqlite",
        "nothing.npy",
        "nothing.npy.png",
    ):
        for door in ("files", "outputs", "inputs"):
            assert visitor.get(f"/runs/{run.id}/{door}/{name}").status_code == 404, (door, name)


def test_arrays_that_are_no_maps_are_not_drawn(visitor: Visitor) -> None:
    run = visitor.start("class-probabilities")
    assert visitor.get(f"/runs/{run.id}/files/0.answer.npy.png?low=0&high=1&colours=vik").status_code == 404


def test_colour_bars(visitor: Visitor) -> None:
    response = visitor.get("/colours/inferno.png")
    assert response.mimetype == "image/png"
    assert "max-age" in response.headers["Cache-Control"]
    assert visitor.get("/colours/pink.png").status_code == 404


# Nothing of another session


def test_another_session_sees_nothing(visitor: Visitor) -> None:
    """Every route with an id, also those written after this test."""
    run = visitor.start("hidden-halves", visitor.add("cat.png"))
    manifest = visitor.services.store.manifest(run)
    assert manifest is not None
    other = Visitor(visitor.app)
    other.add("dog.png", seed=1)
    nobody = Visitor(visitor.app)  # has no session at all
    files = [*manifest["files"]]
    names = [*files, *(name.removeprefix("0.") for name in files), "cat.png", "output.png"]
    values = {"image": run.images, "run": [run.id], "name": names, "number": [0], "index": [0]}
    tried = 0
    adapter = visitor.app.url_map.bind("localhost")
    for rule in visitor.app.url_map.iter_rules():
        if not {"image", "run"} & rule.arguments:
            assert rule.arguments <= {"name", "number", "filename"}, f"Is {rule} about a session? Teach this test."
            continue
        parts: list[dict[str, Any]] = [{}]
        for argument in rule.arguments:
            parts = [part | {argument: value} for part in parts for value in values[argument]]
        for part in parts:
            path = adapter.build(rule.endpoint, part)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                for stranger in (other, nobody):
                    answer = stranger.client.open(path, method=method)
                    missing = 401 if stranger is nobody and path.startswith("/api/") else 404
                    assert answer.status_code == missing, f"{method} {path}"
                    assert b"cat.png" not in answer.data
                    tried += 1
    assert tried > 20
    assert visitor.run(run.id) == run
    assert visitor.get(f"/images/{run.images[0]}.png").status_code == 200
    assert "cat.png" not in other.page("/").text + other.page("/runs").text + nobody.page("/").text
    answer = other.post("/runs", {"visualization": "occlusion", "image": run.images[0]})
    assert answer.status_code == 404


# Errors


@pytest.mark.parametrize(
    ("method", "path", "status", "advice"),
    [
        ("GET", "/nothing", 404, "The address may be mistyped"),
        ("GET", f"/runs/{NOBODY}/", 404, "Start again from the first page"),
        ("POST", "/", 405, "Go back and use the buttons"),
        ("GET", "/start-over", 405, "Go back and use the buttons"),
        ("DELETE", "/runs", 405, "Go back and use the buttons"),
        ("POST", "/images", 415, "Choose, drop or paste"),
        ("GET", "/visualizations/occlusion?window=0", 422, "greater than or equal to 1"),
    ],
)
def test_error_pages_have_a_title_and_advice(
    visitor: Visitor, method: str, path: str, status: int, advice: str
) -> None:
    response = visitor.client.open(path, method=method)
    assert response.status_code == status
    assert advice in response.get_data(as_text=True)


def test_unexpected_errors_show_nothing_of_the_inside(visitor: Visitor) -> None:
    run = visitor.start()
    (visitor.services.store.run_folder(run) / "manifest.json").write_text("damaged")
    page = visitor.page(f"/runs/{run.id}/", 500)
    assert "Something went wrong inside Picasso" in page.title
    assert "The server's log has the details." in page.text
    assert "JSON" not in page.text


def test_addresses_that_are_no_text(visitor: Visitor) -> None:
    for path in (
        "/%ff%fe",
        "/visualizations/%ff",
        "/colours/%00.png",
        "/runs/%0a/",
        "/visualizations/occlusion?window=%ff",
    ):
        assert visitor.get(path).status_code in (400, 404, 422)


# Text is text


def test_file_names_are_text(visitor: Visitor) -> None:
    image = visitor.add(XSS)
    name = visitor.services.store.images(visitor.session)[0].filename
    assert name == XSS
    runs = [visitor.start(visualization, image) for visualization in ALL]
    paths = ["/", "/runs", "/visualizations/occlusion", "/visualizations/occlusion/pictures"]
    for path in [*paths, *(f"/runs/{run.id}/" for run in runs)]:
        page = visitor.page(path)  # the client has seen that there is no onerror
        assert XSS in page.text, path
        assert not page.all("img", src="x")
    response = visitor.upload((XSS, DAMAGED))
    assert XSS.encode() not in response.data
    visitor.upload((XSS, DAMAGED), ("good.png", GOOD))
    assert XSS in visitor.page("/").text


def test_labels_and_names_are_text(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(labels=tuple(f"{XSS}{digit}" for digit in "0123456789"))
    for name in SHOWING_CLASSES:
        page = visitor.page(f"/runs/{visitor.start(name).id}/")
        assert XSS in page.text
        assert not page.all("img", src="x")


def test_what_was_typed_is_text(visitor: Visitor) -> None:
    for path in (
        f"/visualizations/occlusion?window={XSS}",
        f"/visualizations/occlusion?{XSS}=1",
        f"/visualizations/{XSS}",
        f"/{XSS}",
        f"/runs/{XSS}/",
        f"/visualizations/occlusion/pictures?fill={XSS}",
    ):
        response = visitor.get(path)
        assert response.status_code in (404, 422)
        assert XSS.encode() not in response.data


def test_a_failed_runs_sentence_is_text(visitor: Visitor, engine: InProcessEngine) -> None:
    engine.waiting = True
    run = visitor.start()
    engine.end(run, State.FAILED, PluginError(XSS))
    assert XSS in visitor.page(f"/runs/{run.id}/").text


# Headers, and who may change something


@pytest.mark.parametrize("path", ["/", "/static/nothing.css", "/nothing", "/colours/vik.png"])
def test_headers(visitor: Visitor, path: str) -> None:
    headers = visitor.get(path).headers  # policy and nosniff: the client checks them on every answer
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_nothing_of_a_session_is_stored_on_the_way(visitor: Visitor) -> None:
    run = visitor.start()
    for path in ("/", "/runs", f"/runs/{run.id}/", f"/images/{run.images[0]}.png", "/nothing"):
        assert visitor.get(path).headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://localhost.evil.example"}, False),
        ({"Origin": "http://localhost:81"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, False),
    ],
)
def test_changes_come_from_our_own_pages(visitor: Visitor, headers: dict[str, str], allowed: bool) -> None:
    response = visitor.post("/start-over", headers=headers)
    assert (response.status_code != 403) is allowed
    if not allowed:
        assert "came from another site" in response.get_data(as_text=True)
    assert visitor.get("/", headers=headers).status_code == 200


def test_nothing_is_changed_from_elsewhere(visitor: Visitor) -> None:
    """Every route that changes something, also those written after this test."""
    run = visitor.start()
    tried, adapter = 0, visitor.app.url_map.bind("localhost")
    for rule in visitor.app.url_map.iter_rules():
        values = {"run": run.id, "image": run.images[0], "name": "occlusion"}
        path = adapter.build(rule.endpoint, {name: values.get(name, 0) for name in rule.arguments})
        for method in sorted((rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}):
            for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
                answer = visitor.client.open(path, method=method, headers=headers)
                assert answer.status_code == 403, f"{method} {path}"
                tried += 1
    assert tried > 20
    assert visitor.run(run.id) == run


# Plugins

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
