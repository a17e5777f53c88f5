"""Choosing a model, the page about it, reading the models again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browsing import InProcessEngine, MakeVisitor, TinyModel, Visitor

from picasso.config import Config
from picasso.errors import ConfigError, ModelError
from picasso.models.info import Assumption, Layer, ModelInput
from picasso.runs.run import State

DIGITS = tuple("0123456789")
XSS = "<img src=x onerror=alert(1)>"


def tiny(name: str, labels: tuple[str, ...] = DIGITS, gradients: bool = True, **info: Any) -> TinyModel:
    """A model of that name; `info` is what else is known about it."""
    model = TinyModel(labels, frozenset({"predict", "gradients", "logits"} if gradients else {"predict"}))
    model.info = replace(model.info, name=name, file=f"{name}.keras", fingerprint=name * 8, **info)
    return model


@pytest.fixture
def two(make_visitor: MakeVisitor, engine: InProcessEngine) -> Visitor:
    """A visitor to an application with a model "old", open, and "new", which has gradients no more."""
    visitor = make_visitor(
        MODELS={"old": {"MODEL_PATH": "old.keras"}, "new": {"MODEL_PATH": "new.keras"}},
        others={"new": tiny("new", gradients=False)},
    )
    assert engine.host is not None
    engine.host.shelf.put(tiny("old"))
    return visitor


def header(visitor: Visitor, path: str = "/") -> tuple[list[str | None], str | None]:
    """The models that can be chosen at the top of a page, and the one that is."""
    options = visitor.page(path).all("option")
    references = [option["value"] for option in options if option.get("value") is not None]
    return references, next((option["value"] for option in options if "selected" in option), None)


def choose(visitor: Visitor, reference: str, **headers: str) -> str:
    """Chooses a model; where that leads."""
    response = visitor.post("/model", {"model": reference}, headers=headers)
    assert response.status_code == 303, response.get_data(as_text=True)
    return str(response.location)


# Choosing


def test_one_model_needs_no_choice(visitor: Visitor) -> None:
    page = visitor.page("/")
    assert not page.all("select", name="model")
    assert page.all("a", href="/model")
    assert not visitor.page("/visualizations/occlusion").all("input", name="model")


def test_a_choice_holds_for_every_page(two: Visitor) -> None:
    assert header(two) == (["old", "new"], "old")
    assert choose(two, "new") == "/"
    for path in ("/", "/runs", "/visualizations/occlusion", "/visualizations/occlusion/pictures", "/model"):
        assert header(two, path) == (["old", "new"], "new")
    assert two.page("/visualizations/occlusion").field("model") == "new"
    assert "Needs gradients of its scores, which new does not give." in two.page("/").text
    assert header(Visitor(two.app))[1] == "old"  # for this visitor only
    two.add()
    two.post("/start-over")
    assert header(two)[1] == "new"


@pytest.mark.parametrize(
    ("came_from", "leads_to"),
    [
        ("http://localhost/visualizations/occlusion?window=4&model=old", "/visualizations/occlusion?window=4"),
        ("http://localhost/visualizations/occlusion?_external=1", "/visualizations/occlusion?_external=1"),
        ("http://localhost/images", "/"),  # where pictures were refused: there is nothing to go back to
        ("http://localhost/nowhere", "/"),
        ("http://localhost//evil.example/x", "/"),
        ("http://evil.example/runs", "/"),
        ("", "/"),
    ],
)
def test_choosing_leads_back_to_the_page(two: Visitor, came_from: str, leads_to: str) -> None:
    assert choose(two, "new", Referer=came_from) == leads_to


@pytest.mark.parametrize("reference", ["", "other", "new@", "@", "new@output@more", XSS])
def test_only_models_that_there_are_can_be_chosen(two: Visitor, reference: str) -> None:
    assert two.post("/model", {"model": reference}).status_code == 404
    assert header(two)[1] == "old"


def test_outputs_are_choices_once_they_are_known(make_visitor: MakeVisitor, engine: InProcessEngine) -> None:
    both = {"outputs": ("species", "age"), "output": "species"}
    visitor = make_visitor(MODEL_NAME="Birds", others={"model@age": tiny("Birds", ("young", "old"), **both)})
    assert engine.host is not None
    engine.host.shelf.put(tiny("Birds", **both))
    page = visitor.page("/")
    assert "Birds: species" in page.text
    assert header(visitor) == (["model", "model@age"], "model")
    choose(visitor, "model@age")
    assert header(visitor)[1] == "model@age"
    run = visitor.start("class-probabilities")
    assert (run.state, run.model) == (State.DONE, "model@age")
    assert "young" in visitor.page(f"/runs/{run.id}/").text
    assert visitor.post("/model", {"model": "model@weight"}).status_code == 404


def test_a_model_that_nobody_used_is_opened_when_it_is_chosen(
    make_visitor: MakeVisitor, engine: InProcessEngine
) -> None:
    visitor = make_visitor(MODELS={"old": {}, "new": {"MODEL_PATH": "new.keras"}})
    visitor.page("/")
    assert engine.wanted == []
    choose(visitor, "new")
    page = visitor.page("/")
    assert set(engine.wanted) == {"new"}
    assert "is loading" in page.text
    assert page.all("span", id="model-state")[0]["hx-get"] == "/status"
    assert "hx-get" in visitor.page("/status").all("span", id="model-state")[0]
    assert "is loading" in visitor.page("/model").text
    assert engine.host is not None
    engine.host.shelf.put(tiny("new"), "new")
    assert "is loading" not in visitor.page("/").text


def test_the_start_page_says_what_there_is_to_say_once_the_model_is_open(
    make_visitor: MakeVisitor, engine: InProcessEngine
) -> None:
    visitor = make_visitor(MODELS={"old": {}, "new": {"MODEL_PATH": "new.keras"}})
    choose(visitor, "new")
    (notices,) = visitor.page("/").all("div", id="notices")
    assert (notices["hx-get"], notices["hx-select-oob"]) == ("/", "#cards,#using")
    assert visitor.get("/", headers={"HX-Request": "true"}).status_code == 204
    assert engine.host is not None
    engine.host.shelf.put(tiny("new", gradients=False, warnings=("It is odd.",)), "new")
    answer = visitor.get("/", headers={"HX-Request": "true"})
    assert answer.status_code == 200
    page = visitor.page("/")
    assert "hx-get" not in page.all("div", id="notices")[0]
    assert page.all("ul", id="cards")
    assert "new: It is odd." in page.text


def test_a_choice_from_before_a_restart_is_opened_again(make_visitor: MakeVisitor, engine: InProcessEngine) -> None:
    visitor = make_visitor(MODELS={"old": {}, "new": {}})
    with visitor.client.session_transaction() as cookie:
        cookie["model"] = "new@age"
    assert header(visitor) == (["old", "new", "new@age"], "new@age")
    assert set(engine.wanted) == {"new@age"}
    with visitor.client.session_transaction() as cookie:
        cookie["model"] = "gone"
    assert header(visitor) == (["old", "new"], "old")


def test_a_failed_model_says_why_and_others_can_be_chosen(make_visitor: MakeVisitor, tmp_path: Path) -> None:
    visitor = make_visitor(MODELS={"old": {}, "new": {"MODEL_PATH": tmp_path / "none.keras"}})
    engine = visitor.services.engine
    assert isinstance(engine, InProcessEngine)
    assert engine.host is not None
    thread = engine.host.shelf.want("new")
    assert thread is not None
    thread.join()
    choose(visitor, "new")
    page = visitor.page("/")
    assert "cannot be used" in page.text
    assert "none.keras does not exist. Check MODEL_PATH" in page.text
    assert header(visitor) == (["old", "new"], "new")
    choose(visitor, "old")
    assert "none.keras" not in visitor.page("/").text
    assert visitor.start("occlusion").state is State.DONE


# Runs


def test_a_run_is_of_the_model_that_its_form_was_for(two: Visitor) -> None:
    run = two.start("occlusion", model="new")
    assert (run.model, two.services.store.manifest(run)["model"]["name"]) == ("new", "new")  # type: ignore[index]
    page = two.page(f"/runs/{run.id}/")
    assert "This run is of another model than the one above: new." in page.text
    (checks, change) = [link for link in page.all("a") if "model=new" in str(link["href"])]
    assert str(checks["href"]).startswith("/visualizations/trust?")
    settings = two.page(str(change["href"]))
    assert settings.field("model") == "new"
    assert "These settings are for new, which is another model than the one above." in settings.text
    choose(two, "new")
    assert "another model" not in two.page(f"/runs/{run.id}/").text
    assert "1 picture · new" in two.page("/runs").text
    assert two.post("/runs", {"visualization": "occlusion", "model": "gone"}).status_code == 404


def test_kept_results_belong_to_their_model(two: Visitor) -> None:
    image = two.add()
    runs = [two.start("class-probabilities", image, model=model) for model in ("old", "new", "old")]
    assert runs[0].id == runs[2].id != runs[1].id


def test_what_the_model_cannot_do_is_asked_of_the_forms_model(two: Visitor) -> None:
    image = two.add()
    assert two.post("/runs", {"visualization": "saliency", "image": image, "model": "new"}).status_code == 422
    assert two.post("/runs", {"visualization": "saliency", "image": image, "model": "old"}).status_code == 303


def test_pictures_that_are_added_on_the_way_keep_the_model(two: Visitor) -> None:
    answer = two.upload(("a.png", tiny_png()), visualization="occlusion", model="new")
    assert answer.location == "/visualizations/occlusion/pictures?model=new"
    assert two.page(answer.location).field("model") == "new"


def test_again_with_a_model_that_is_gone_is_of_the_chosen_one(two: Visitor, engine: InProcessEngine) -> None:
    engine.waiting = True
    run = two.start("occlusion", model="new")
    engine.end(run, State.INTERRUPTED)
    engine.waiting = False
    engine.roster.begin_reload(Config(MODELS={"old": {"MODEL_PATH": "old.keras"}}))
    assert "another model than the one above: new." in two.page(f"/runs/{run.id}/").text
    again = two.run(two.post(f"/runs/{run.id}/again").location.split("/")[2])
    assert again.model == "old"


def tiny_png() -> bytes:
    from browsing import picture

    return picture()


# About


def test_about_the_model(make_visitor: MakeVisitor, engine: InProcessEngine) -> None:
    visitor = make_visitor(MODEL_NAME="Birds")
    layers = (Layer("stem/conv", "Conv2D", (14, 14, 8), True), Layer("pool", "MaxPooling2D", (7, 7, 8), False))
    line = 'MODEL_PREPROCESS = {"scale": [-1, 1]}'
    info = {
        "format": "Keras 3 (.keras)",
        "writer": "Keras 3.5.0",
        "inputs": (ModelInput("photo", (28, 28, 1)), ModelInput("age", (), "0.5")),
        "pixels": "0..1",
        "layers": layers,
        "weight_bytes": 3 * 2**20,
        "assumptions": (
            Assumption("Pixel values are mapped to 0..1.", line),
            Assumption("Classes have no names.", 'MODEL_LABELS = "labels.txt"'),
        ),
        "warnings": ("The scores are not probabilities.",),
    }
    assert engine.host is not None
    engine.host.shelf.put(tiny("Birds", **info))
    page = visitor.page("/model")
    for text in (
        "Birds.keras", "Keras 3 (.keras)", "Keras 3.5.0", "28 pixels wide, 28 high", "Input “age”", "always 0.5",
        "0..1", "0, 1, 2, 3, 4, 5, 6, 7, …", "stem/conv", "14 × 14 × 8", "MaxPooling2D", "3.0 MiB", "class scores",
        "the activations of a convolution", "Classes have no names.", line, "The scores are not probabilities.",
    ):  # fmt: skip
        assert text in page.text, text
    assert page.all("button", **{"data-copy": line})
    start = visitor.page("/")
    assert "Picasso assumed: Pixel values are mapped to 0..1. Classes have no names." in start.text
    assert len([one for one in start.all("p", role="note") if one]) == 2  # the warning, and one for what was assumed
    assert start.all("a", href="/model#assumptions")


def test_what_a_model_says_of_itself_is_text(make_visitor: MakeVisitor, engine: InProcessEngine) -> None:
    visitor = make_visitor()
    info = {"format": XSS, "writer": XSS, "output": XSS, "outputs": (XSS, "b"), "pixels": XSS}
    assert engine.host is not None
    engine.host.shelf.put(tiny(XSS, (XSS,) * 10, assumptions=(Assumption(XSS, XSS),), **info))
    for path in ("/", "/model"):
        page = visitor.page(path)
        assert XSS in page.text
        assert not page.all("img", src="x")


# Reading again


@pytest.fixture
def reloading(make_visitor: MakeVisitor, engine: InProcessEngine) -> Callable[..., Visitor]:
    """Makes a visitor to an application whose config is then another one, or wrong."""

    def make(after: Config | ConfigError | Callable[[Config], Config]) -> Visitor:
        def read_again() -> Config:
            if isinstance(after, ConfigError):
                raise after
            config = visitor.services.config
            return after if isinstance(after, Config) else after(config)

        visitor = make_visitor(MODEL_NAME="Digits", read_again=read_again)
        return visitor

    return make


JSON = {"Accept": "application/json"}


def test_reload_says_what_came_of_it(reloading: Callable[..., Visitor], engine: InProcessEngine) -> None:
    visitor = reloading(lambda config: config.model_copy(update={"PORT": 9000, "MODELS": {"a": {}, "b": {}}}))
    engine.waiting = True
    response = visitor.post("/model/reload")
    assert (response.status_code, response.location) == (303, "/model")
    page = visitor.page("/model")
    for line in (
        "Digits is not in the config any more.",
        "b is new; it is opened when it is chosen.",
        "a cannot be used: No model is configured.",
        "Changed as well, and used when the server is started again: PORT.",
    ):
        assert line in page.text
    assert header(visitor) == (["a", "b"], "a")


def test_reload_for_programs(reloading: Callable[..., Visitor]) -> None:
    visitor = reloading(lambda config: config)
    answer = visitor.post("/model/reload", headers=JSON)
    assert (answer.status_code, answer.mimetype) == (202, "application/json")
    content = visitor.get("/model/reload").json
    assert content == {"done": True, "lines": ["Digits is unchanged."]}


def test_a_config_that_fails_changes_nothing(reloading: Callable[..., Visitor], engine: InProcessEngine) -> None:
    visitor = reloading(ConfigError("MODEL_PAHT is not a setting of Picasso. Did you mean MODEL_PATH?"))
    before = engine.roster.reload
    assert visitor.post("/model/reload").status_code == 303
    assert "Nothing was changed. MODEL_PAHT is not a setting of Picasso." in visitor.page("/model").text
    answer = visitor.post("/model/reload", headers=JSON)
    assert answer.json == {
        "error": {"code": "config", "message": "MODEL_PAHT is not a setting of Picasso. Did you mean MODEL_PATH?"}
    }
    assert engine.roster.reload is before
    assert visitor.start("occlusion").state is State.DONE


def test_the_page_waits_while_it_is_read_again(visitor: Visitor, engine: InProcessEngine) -> None:
    engine.roster.begin_reload(engine.roster.config)
    page = visitor.page("/model")
    assert page.all("div", id="news")[0]["hx-get"] == "/model"
    assert "disabled" in page.all("button", title="Reads the config and the model files again")[0]
    assert "HX-Refresh" not in visitor.get("/model", headers={"HX-Request": "true"}).headers
    engine.roster.end_reload(["Tiny is unchanged."])
    assert "hx-get" not in visitor.page("/model").all("div", id="news")[0]
    assert visitor.get("/model", headers={"HX-Request": "true"}).headers["HX-Refresh"] == "true"


def test_why_the_new_file_is_not_used_is_said(visitor: Visitor, engine: InProcessEngine) -> None:
    assert engine.host is not None
    sentence = "The new tiny.keras could not be opened: it is damaged. The tiny.keras of 3 May, 10:00 stays in use."
    engine.host.shelf._slots["model"].error = ModelError(sentence)
    for path in ("/", "/model"):
        assert sentence in visitor.page(path).text
    assert "cannot be used" not in visitor.page("/").text
    assert visitor.start("occlusion").state is State.DONE


def test_a_result_of_the_old_file_says_so(visitor: Visitor, engine: InProcessEngine) -> None:
    image = visitor.add()
    run = visitor.start("class-probabilities", image)
    assert engine.host is not None
    engine.host.shelf.put(tiny("Tiny"))
    assert (
        "This result is of another model than the one above: Tiny (tiny.keras)."
        in visitor.page(f"/runs/{run.id}/").text
    )
    assert visitor.start("class-probabilities", image).id != run.id  # the kept one is not shown for the new model


def test_other_sites_cannot_reload(visitor: Visitor) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert visitor.post("/model/reload", headers=headers).status_code == 403
    assert visitor.post("/model", {"model": "model"}, headers=headers).status_code == 403
