"""Side by side: the plan of runs, columns and cells, what is compared with what, the order of the rows, training."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from browsing import InProcessEngine, MakeVisitor, Page, TinyModel, Visitor
from scipy import stats
from werkzeug.test import TestResponse

from picasso.errors import ModelError
from picasso.runs.artifacts import pack
from picasso.runs.run import Run, State
from picasso.web.cells import Pick
from picasso.web.classes import Class, same_class
from picasso.web.comparison import answers_apart, compare
from picasso.web.templates import number

DIGITS = tuple("0123456789")


def tiny(name: str, seed: int = 0, labels: tuple[str, ...] = DIGITS) -> TinyModel:
    """A model with weights of its own, small enough that several classes have a chance."""
    model = TinyModel(labels, frozenset({"predict", "gradients", "logits"}))
    model.weights = np.random.default_rng(seed).normal(size=model.weights.shape).astype(np.float32) / 5
    model.info = replace(model.info, name=name, fingerprint=name * 8)
    return model


@pytest.fixture
def several(make_visitor: MakeVisitor, engine: InProcessEngine) -> Visitor:
    """A visitor to an application with two models, and a training of three states."""
    names = ["a", "b", "t@1", "t@20", "t@3"]
    visitor = make_visitor(
        MODELS={name: {"MODEL_PATH": f"{name}.keras"} for name in names},
        others={name: tiny(name, seed) for seed, name in enumerate(names) if seed},
    )
    assert engine.host is not None
    engine.host.shelf.put(tiny("a"))
    engine.status()
    return visitor


def ask(visitor: Visitor, **form: Any) -> TestResponse:
    """Presses "Run all"."""
    return visitor.post("/compare", form)


def runs_of(visitor: Visitor, response: TestResponse) -> list[Run]:
    """The runs that an answer leads to."""
    assert response.status_code == 303, response.get_data(as_text=True)
    return [visitor.run(part.removeprefix("run=")) for part in response.location.partition("?")[2].split("&")]


def address(*runs: Run, **more: Any) -> str:
    query = [f"run={run.id}" for run in runs] + [f"{name}={value}" for name, value in more.items()]
    return f"/compare?{'&'.join(query)}"


def values(visitor: Visitor, url: str | None) -> Any:
    response = visitor.get(str(url))
    assert response.status_code == 200, response.get_data(as_text=True)
    return np.load(io.BytesIO(response.get_data()))


# Starting


def test_each_visualization_with_each_model(several: Visitor) -> None:
    images = [several.add("one.png"), several.add("two.png", 1)]
    form = {"image": images, "visualization": ["saliency", "occlusion"], "model": ["a", "b"]}
    runs = runs_of(several, ask(several, **form))
    asked = [(run.visualization, run.model) for run in runs]
    assert asked == [(way, model) for way in ("saliency", "occlusion") for model in "ab"]
    assert all(run.images == images and run.state is State.DONE for run in runs)
    again = runs_of(several, ask(several, **form))
    assert [run.id for run in again] == [run.id for run in runs]  # they have an answer already


def test_several_values_of_a_setting(several: Visitor) -> None:
    runs = runs_of(
        several,
        ask(
            several, image=several.add(), visualization=["occlusion", "saliency"], setting="occlusion.window",
            values="4, 8,8",
        ),
    )  # fmt: skip
    assert [(run.visualization, run.settings.get("window")) for run in runs] == [
        ("occlusion", 4),
        ("occlusion", 8),
        ("saliency", None),
    ]
    text = several.page(address(*runs)).text
    assert "window 4 px" in text
    assert "window 8 px" in text
    assert "stride" not in text  # they do not differ in that


def test_a_run_with_others(several: Visitor) -> None:
    first = several.start("occlusion", window=7, stride=7)
    page = several.page(f"/runs/{first.id}/")
    assert page.all("a", href=f"/compare/with/{first.id}")
    assert not several.page(f"/compare/with/{first.id}").all("input", name="image")
    runs = runs_of(
        several,
        ask(several, run=first.id, visualization="saliency", model="b", setting="occlusion.window", values="14"),
    )
    assert [(run.visualization, run.model, run.settings.get("window")) for run in runs] == [
        ("occlusion", "a", 7),
        ("saliency", "a", None),
        ("occlusion", "b", 7),
        ("occlusion", "a", 14),
    ]
    assert all(run.images == first.images for run in runs)
    response = ask(several, run=first.id, setting="occlusion.window", values=",".join(map(str, range(1, 13))))
    assert "These would be 13 runs; 12 fit side by side." in Page(response.get_data(as_text=True)).text


def test_what_cannot_be_started_is_said(visitor: Visitor) -> None:
    many = ",".join(map(str, range(1, 15)))
    for form, says in [
        ({"visualization": []}, "Choose at least one visualization."),
        ({"visualization": "occlusion", "image": []}, "Choose at least one picture."),
        ({"visualization": "occlusion", "setting": "occlusion.window", "values": " "}, "Write the values"),
        ({"visualization": "occlusion", "setting": "occlusion.window", "values": "4,99"}, "1..28 pixels"),
        ({"visualization": "occlusion", "setting": "occlusion.window", "values": "4,9999"}, "equal to 28 for this"),
        ({"visualization": "occlusion", "setting": "occlusion.windw", "values": "4"}, "There is no setting"),
        ({"visualization": "occlusion", "setting": "saliency.method", "values": "x"}, "Choose Saliency as well"),
        ({"visualization": "occlusion", "setting": "occlusion.window", "values": many}, "14 runs; 12 fit"),
    ]:
        response = ask(visitor, **{"image": visitor.add()} | form)
        assert response.status_code == 422
        page = Page(response.get_data(as_text=True))
        assert says in page.text
        assert page.field("values") == form.get("values", "")  # nothing that was typed is lost
        ticked = [one["value"] for one in page.all("input", name="visualization") if "checked" in one]
        assert ticked == [one for one in [form["visualization"]] if one]
        known = [one["value"] for one in page.all("option", value=str(form.get("setting")))]
        assert [one["value"] for one in page.all("option") if "selected" in one] == known
    assert visitor.services.store.runs(visitor.session) == []


def test_ticking_runs(visitor: Visitor) -> None:
    runs = [visitor.start("occlusion", window=size) for size in range(4, 17)]
    for ticked, says in [([], "Tick the runs to compare first."), (runs, "13 runs are ticked; 12 fit side by side.")]:
        response = visitor.get(address(*ticked).replace("?", "/ticked?"))
        page = Page(response.get_data(as_text=True))
        assert response.status_code == 422
        assert says in page.text
        assert len([one for one in page.all("input", name="run") if "checked" in one]) == len(ticked)
    assert visitor.get(address(*runs[:2]).replace("?", "/ticked?")).location == address(*runs[:2])


def test_what_a_model_cannot_do_is_left_out_and_said(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(capabilities=frozenset({"predict"}))
    (run,) = runs_of(visitor, ask(visitor, image=visitor.add(), visualization=["saliency", "occlusion"]))
    assert run.visualization == "occlusion"
    assert "Needs gradients of its scores, which Tiny does not give." in visitor.page(address(run)).text


def test_the_page_that_starts(several: Visitor) -> None:
    page = several.page("/compare")
    assert "No pictures yet" in page.text
    assert page.all("a", href="/compare")
    run = several.start("occlusion")
    page = several.page("/compare")
    assert page.all("input", name="run", value=run.id)
    assert [field["value"] for field in page.all("input", name="visualization")] == [
        "class-activation", "class-probabilities", "occlusion", "random-masks", "saliency",
    ]  # fmt: skip
    assert "t (3 checkpoints)" in page.text


# Cells


def test_which_class_is_shown_and_how_maps_agree(several: Visitor) -> None:
    runs = runs_of(
        several, ask(several, image=several.add(), visualization=["occlusion", "saliency"], model=["a", "b"])
    )
    manifest = several.services.store.manifest(runs[0])
    assert manifest is not None
    best = [one["label"] for one in manifest["results"][0]["maps"]]

    def labels(path: str) -> list[str | None]:
        return [one["label"] for one in several.page(path).all("picasso-map")]

    assert labels(address(*runs[:2])) == best[:1] * 2  # the best of the first column
    assert labels(f"{address(runs[0])}&rank=1&rank=2") == best[:2]
    assert labels(address(runs[0], **{"class": "3;5"})) == ["3", "5"]
    unknown = several.page(address(runs[0], **{"class": "thirteen", "endpoint": "x", "_external": 1}))
    assert "no class 'thirteen'" in unknown.text
    assert unknown.field("class") == "thirteen"

    page = several.page(address(*runs, **{"class": 7}))
    maps = page.all("picasso-map")
    assert [one["label"] for one in maps][:2] == ["7", "7"]  # occlusion has all classes, saliency its best three
    assert len(maps) + page.text.count("No map of 7 here") == 4
    first, other = (values(several, one["src"]) for one in maps[:2])
    expected = stats.spearmanr(first.ravel(), other.ravel()).statistic
    assert f"Agreement{number(expected)}" in "".join(page.text.split())


def test_the_map_of_any_class(visitor: Visitor) -> None:
    run = visitor.start("occlusion", window=7, stride=7)
    base, scores, corners = (
        np.load(io.BytesIO(visitor.services.store.artifact(run, f"0.{name}.npy")))
        for name in ("base", "scores", "corners")
    )
    for cls in (3, 8):
        drawn = values(visitor, f"/runs/{run.id}/maps/0/{cls}/map.npy")
        for (top, left), score in zip(corners, scores, strict=True):  # the windows lie side by side
            np.testing.assert_allclose(drawn[top : top + 7, left : left + 7], base[cls] - score[cls], atol=1e-6)
    drawn = visitor.get(f"/runs/{run.id}/maps/0/3/map.npy.png?low=-1&high=1&colours=vik")
    assert drawn.mimetype == "image/png"
    for nothing in ("1/3/map.npy", "0/10/map.npy", "0/3/other.npy"):
        assert visitor.get(f"/runs/{run.id}/maps/{nothing}").status_code == 404
    every = {"class": ";".join(DIGITS)}
    assert len(visitor.page(address(run, **every)).all("picasso-map")) == 10
    page = visitor.page(address(run, visitor.start("saliency"), **every))
    assert "12 columns fit: the first 6 of 10 classes are shown." in page.text
    assert page.field("class") == "; ".join(DIGITS)


def test_units_are_never_mixed_silently(several: Visitor) -> None:
    runs = runs_of(several, ask(several, image=several.add(), visualization=["occlusion", "saliency"]))
    page = several.page(address(*runs))
    assert "The columns plot 2 different things" in page.text
    assert len({one["unit"] for one in page.all("picasso-map")}) == 2
    again = runs_of(
        several, ask(several, run=runs[1].id, setting="saliency.method", values="gradient x input,SmoothGrad")
    )
    units = [one["unit"] for one in several.page(address(*again)).all("picasso-map")]
    assert units == ["logit, gradient", "logit", "logit, SmoothGrad"]  # the one with a sign has a range of its own


def test_states_of_cells(several: Visitor, engine: InProcessEngine) -> None:
    done, image = several.start("occlusion"), several.add("dog.png", 1)
    engine.waiting = True
    queued, running, failed = (several.start("occlusion", image, window=size) for size in (4, 5, 6))
    several.services.store.change_run(running.id, (State.QUEUED,), state=State.RUNNING, progress=0.25)
    engine.end(failed, State.FAILED, ModelError("It broke."))
    view = np.zeros((28, 28), np.uint8)
    part = {
        "maps": [{"index": 1, "label": "1", "score": 0.5, "map": view.astype(np.float32), "low": 0.0, "high": 0.0}],
        "view": view,
        "box": None,
        "plotted": "probability",
        "score_kind": "probability",
    }
    engine.partials[running.id] = [pack(part, "0")]
    query = address(done, queued, running, failed)
    page = several.page(query)
    assert "Waiting for its turn." in page.text
    assert "Failed: It broke." in page.text
    assert "This run is not of this picture." in page.text  # the first one is of another
    state = several.get(query.replace("?", "/state?")).get_json()
    assert state["finished"] is False
    assert set(state["parts"]) == {"ranges", *(f"cell-{row}-{column}" for row in (0, 1) for column in range(4))}
    stamps = {found["id"]: found["data-stamp"] for _, found in page.elements if "data-stamp" in found}
    assert stamps == state["parts"]
    part_page = several.page(query.replace("?", "/parts?") + "&part=cell-1-2&part=ranges&part=nothing")
    assert [found["id"] for _, found in part_page.elements if "data-stamp" in found] == ["cell-1-2", "ranges"]
    several.services.store.change_run(running.id, (State.RUNNING,), progress=0.5)
    changed = several.get(query.replace("?", "/state?")).get_json()["parts"]
    assert {name for name in changed if changed[name] != stamps[name]} == {"cell-1-2"}


# Order


def test_rows_by_how_much_maps_or_answers_disagree(several: Visitor) -> None:
    images = [several.add(f"{seed}.png", seed) for seed in range(4)]
    runs = runs_of(several, ask(several, image=images, visualization="occlusion", model=["a", "b"]))
    answers = [
        [np.load(io.BytesIO(several.services.store.artifact(run, f"{at}.answer.npy"))) for at in range(4)]
        for run in runs
    ]
    apart = [np.abs(p - q).sum() / 2 for p, q in zip(*answers, strict=True)]
    page = several.page(address(*runs, order="answers"))
    names = [one["of"] for one in page.all("picasso-map")][::2]
    assert names == [f"{at}.png" for at in np.argsort(apart)[::-1]]
    assert "half the sum of the differences of the scores of all 10 classes" in page.text

    maps = several.page(address(*runs)).all("picasso-map")
    drawn = [values(several, one["src"]) for one in maps]
    pairs = zip(drawn[::2], drawn[1::2], strict=True)
    unlike = [1 - stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in pairs]
    names = [one["of"] for one in several.page(address(*runs, order="maps")).all("picasso-map")][::2]
    assert names == [f"{at}.png" for at in np.argsort(unlike)[::-1]]
    assert [one["of"] for one in maps][::2] == [f"{at}.png" for at in range(4)]


def test_why_rows_are_not_sorted(several: Visitor, engine: InProcessEngine) -> None:
    image = several.add()
    engine.waiting = True
    runs = [several.start("occlusion", image, model=model) for model in "ab"]
    assert "sorted when all runs have ended" in several.page(address(*runs, order="maps")).text
    for run in runs:
        engine.end(run, State.FAILED, ModelError("It broke."))
    assert "no picture has a map of one class in both" in several.page(address(*runs, order="maps")).text


def test_answers_of_models_with_different_classes(several: Visitor, engine: InProcessEngine) -> None:
    image = several.add()
    one = several.start("class-probabilities", image, model="a")
    assert engine.host is not None
    engine.host.shelf.put(tiny("b", 1, ("9", "8", "x")), "b")
    engine.status()
    other = several.start("class-probabilities", image, model="b")
    p, q = (np.load(io.BytesIO(several.services.store.artifact(run, "0.answer.npy"))) for run in (one, other))
    expected = (abs(p[9] - q[0]) + abs(p[8] - q[1]) + q[2] + p[:8].sum()) / 2
    with several.app.test_request_context():
        row = compare([one, other], [Pick()]).rows[0]
        assert answers_apart(*row.cells) == pytest.approx(expected, abs=1e-6)


def test_a_class_of_another_model() -> None:
    birds, more = ("crane", "owl", "crane"), ("owl", "crane", "x", "crane")
    assert same_class(Class(1, "owl"), birds, more) == Class(0, "owl")
    assert same_class(Class(0, "crane"), birds, more) == Class(1, "crane")
    assert same_class(Class(2, "crane"), birds, more) == Class(3, "crane")
    assert same_class(Class(2, "x"), more, birds) is None
    assert same_class(Class(2, "x"), more, ()) == Class(2, "x")


# Training


def test_through_a_training(several: Visitor) -> None:
    form = {"image": several.add(), "play": 1, "training": "t", "way": "occlusion", "visualization": "saliency"}
    response = ask(several, **form)
    assert response.location.startswith("/compare/time-line?")
    runs = runs_of(several, response)
    assert [(run.model, run.visualization) for run in runs] == [(f"t@{step}", "occlusion") for step in (1, 3, 20)]
    page = several.page(response.location)
    maps = page.all("picasso-map")
    best = several.services.store.manifest(runs[2])["results"][0]["maps"][0]["label"]  # type: ignore[index]
    assert [one["label"] for one in maps] == [best] * 3  # the newest says which class
    assert len({one["unit"] for one in maps}) == 1
    assert len(page.all("polyline")) >= 3
    assert page.all("a", href=f"/compare?{'&'.join(f'run={run.id}' for run in runs)}")
    assert runs_of(several, ask(several, **form, most=2))[-1].model == "t@20"
    assert [run.model for run in runs_of(several, ask(several, **form, most=2))] == ["t@1", "t@20"]


def test_a_training_with_gaps(several: Visitor, engine: InProcessEngine) -> None:
    image = several.add()
    done = several.start("occlusion", image, model="t@3")
    engine.waiting = True
    waiting = [several.start("occlusion", image, model=model) for model in ("t@1", "t@20", "a")]
    query = address(waiting[0], done, waiting[1]).replace("?", "/time-line?")
    page = several.page(query)
    assert len(page.all("picasso-map")) == 1
    assert len(page.all("circle")) == 3  # of three classes, at one step
    assert not page.all("polyline")
    state = several.get(query.replace("time-line?", "state?curves=1&")).get_json()
    assert "curve-0" in state["parts"]
    parts = several.page(query.replace("time-line?", "parts?curves=1&part=curve-0&part=cell-0-1&"))
    assert parts.all("div", role="group", id="cell-0-1")[0]["aria-label"] == "step 3"
    assert page.all("div", role="group", id="cell-0-1")
    assert several.get(address(done, waiting[2]).replace("?", "/time-line?")).status_code == 422  # not one training
    assert ask(several, image=image, play=1, training="none", way="occlusion").status_code == 404


# Whose


def test_only_own_runs(several: Visitor) -> None:
    run = several.start("occlusion")
    stranger = Visitor(several.app)
    stranger.add()
    for path in (
        address(run),
        address(run).replace("?", "/time-line?"),
        address(run).replace("?", "/state?"),
        address(run).replace("?", "/parts?"),
        f"/compare/with/{run.id}",
        f"/runs/{run.id}/maps/0/3/map.npy",
    ):
        assert stranger.get(path).status_code == 404, path
        assert Visitor(several.app).get(path).status_code == 404, path
    assert ask(stranger, run=run.id, visualization="saliency").status_code == 404
    mine = stranger.start("occlusion")
    assert stranger.get(address(mine, run)).status_code == 404
