"""Settings pages: fields, what is said of wrong values, what a run will cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from browsing import InProcessEngine, MakeVisitor, Visitor
from page_cases import DAMAGED, GOOD, WITH_SETTINGS_PAGE

from picasso.models.info import OcclusionCost
from picasso.runs.run import State
from picasso.web import templates


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
    """But where the model leaves no choice: this one has no preview."""
    page = visitor.page(f"/visualizations/{name}")
    fields = visitor.services.registry.get(name).settings_model.model_fields
    for setting in fields.keys() - {"precision"}:
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


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ("window=0", "'window' should be"),
        ("window=", "'window' should be"),
        ("window=300", "'window' must be 1..28 pixels for this model, got 300."),
        ("named=unicorn", "unicorn"),
    ],
)
def test_in_place_of_the_cost_stands_what_is_wrong(visitor: Visitor, values: str, sentence: str) -> None:
    said = visitor.page(f"/visualizations/occlusion/cost?{values}").text
    assert sentence in said
    assert "model calls" not in said
    page = visitor.page(f"/visualizations/occlusion?{values}", 422)
    assert page.text.count(sentence) == 1  # beside its field only


def test_what_leaves_no_choice_is_no_field(visitor: Visitor, engine: InProcessEngine) -> None:
    """A model with raw scores has nothing but these to plot: neither page speaks of a probability."""
    page = visitor.page("/visualizations/occlusion")
    assert "Plot the drop of" in page.text
    assert "Precision" not in page.text  # this machine's model has no preview
    assert engine.host is not None
    slot = engine.host.shelf._slot("")
    assert slot.model is not None
    raw = slot.model.info.capabilities - {"logits"}
    slot.model.info = replace(slot.model.info, capabilities=raw, score_kind="raw score")
    page = visitor.page("/visualizations/occlusion")
    assert "Plot the drop of" not in page.text
    assert page.field("score") == "probability"  # sent all the same
    run = visitor.start("occlusion", window=14, stride=14)
    text = visitor.page(f"/runs/{run.id}/").text
    assert "drop of raw score" in text
    assert "Plot the drop of" not in text


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


def test_verdicts_say_no_more_than_their_numbers(visitor: Visitor) -> None:
    run = visitor.start("trust", methods="gradient,gradient x input,Grad-CAM", steps=10)
    manifest = visitor.services.store.manifest(run)
    assert manifest is not None
    (best,) = manifest["results"][0]["classes"]
    text = visitor.page(f"/runs/{run.id}/").text
    than_chance = {"better": "better", "chance": "not clearly better", "worse": "worse"}
    for one in best["methods"]:
        more = sum(other["verdict"] == "more" for other in one["agreement"])
        assert more == sum(other["overlap"] > other["chance"] for other in one["agreement"])
        words = {0: "no more than by chance", 1: "more than by chance with 1 of 2", 2: "more than by chance"}
        assert f"Other maps: shares {words[more]}." in text
        assert f"Showing: {than_chance[one['insertion']['verdict']]} than chance." in text
        assert f"Hiding: {than_chance[one['deletion']['verdict']]} than chance." in text


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
