"""The checks of maps: their numbers against plain code, and what a map that ignores the model is told."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from picasso.attribution.hiding_curves import moved, strongest_first
from picasso.config import load_config
from picasso.errors import InvalidSetting, ModelError
from picasso.models.opening import open_model
from picasso.runs.artifacts import pack
from picasso.visualizations.base import Input
from picasso.visualizations.checked import METHODS, Checked
from picasso.visualizations.checks import check_agreement, check_shuffling
from picasso.visualizations.class_activation import ClassActivation
from picasso.visualizations.discovery import discover
from picasso.visualizations.maps import Found
from picasso.visualizations.occlusion import Occlusion
from picasso.visualizations.random_masks import RandomMasks
from picasso.visualizations.saliency import Saliency
from picasso.visualizations.trust import Trust

discover()  # fills in what the classes need
ROOT = Path(__file__).resolve().parents[2]
PICTURE = Image.fromarray(np.random.default_rng(2).integers(0, 256, (12, 16, 3), dtype=np.uint8))
X = np.asarray(PICTURE, np.float32) / 255
QUICK = {"steps": 10, "maps": 2}


def run(visualization, model, folder, picture=PICTURE, **values):
    settings = visualization.parse_settings(values, model.info)
    (result,) = visualization(model).make_visualization([Input("a.png", picture)], folder, settings)
    return result


def checks(model, folder, picture=PICTURE, **values):
    """What is said of the best class."""
    (best,) = run(Trust, model, folder, picture, **values)["classes"]
    return best


def by_name(explained):
    return {one["name"]: one for one in explained["methods"]}


class Edges(Saliency):
    """A map that shows the picture and asks no model."""

    def explain(self, targets, settings, show):
        return Found(np.abs(np.diff(targets.x.sum(axis=-1), axis=-1, append=0)))


@pytest.mark.parametrize(
    ("name", "visualization", "values"),
    [
        ("gradient", Saliency, {}),
        ("SmoothGrad", Saliency, {"method": "SmoothGrad", "samples": 3}),
        ("LayerCAM", ClassActivation, {"method": "LayerCAM"}),
        ("occlusion", Occlusion, {"window": 5, "stride": 3, "score": "logit"}),
        ("occlusion", Occlusion, {}),
        ("random masks", RandomMasks, {"masks": 40, "cells": 3}),
    ],
)
def test_the_map_that_is_checked_is_the_one_of_the_methods_own_page(tiny_model, tmp_path, name, visualization, values):
    theirs = run(visualization, tiny_model, tmp_path, **values)
    made = visualization.parse_settings(values, tiny_model.info).model_dump(mode="json")
    settings = Trust.goes_on_from(visualization, made, tiny_model.info)
    assert name in settings["methods"]
    found = checks(tiny_model, tmp_path, **settings, **QUICK)
    assert found["index"] == theirs["maps"][0]["index"]
    np.testing.assert_allclose(by_name(found)[name]["map"], theirs["maps"][0]["map"], atol=1e-5)
    assert by_name(found)[name]["plotted"] == theirs["plotted"]
    drawn_with = by_name(found)[name]["settings"]
    assert drawn_with == {field: made[field] for field in drawn_with}
    assert set(values) - {"method"} <= set(drawn_with)


def test_the_settings_of_each_map_are_said(tiny_model, tmp_path):
    values = {"methods": "gradient,SmoothGrad,Grad-CAM,Score-CAM,occlusion", "method_settings": "samples=2; window=5"}
    result = run(Trust, tiny_model, tmp_path, **values, **QUICK)
    drawn_with = {one["name"]: one["settings"] for one in pack(result, "0").content["classes"][0]["methods"]}
    layer = tiny_model.info.default_layer
    assert json.loads(json.dumps(drawn_with)) == {
        "gradient": {},
        "SmoothGrad": {"samples": 2, "noise": 0.15, "seed": 0},
        "Grad-CAM": {"layer": layer},
        "Score-CAM": {"layer": layer, "channels": 4, "fill": "grey"},
        "occlusion": {"window": 5, "stride": 1, "fill": "grey", "score": "probability"},
    }


def test_hiding_equals_plain_code(tiny_model, tmp_path):
    """The curves of the map, and of the same map moved twice, over black."""
    result = checks(tiny_model, tmp_path, methods="gradient", fill="black", seed=3, **QUICK)
    (one,) = result["methods"]
    rng = np.random.default_rng(3)
    others = [moved(one["map"], rng) for _ in range(2)]
    orders = [strongest_first(values, rng) for values in (one["map"], *others)]
    for kind in ("deletion", "insertion"):
        curves = []
        for order in orders:
            first = np.stack([order < round(192 * share) for share in one["shares"]])[..., None]
            pictures = np.where(first, 0, X) if kind == "deletion" else np.where(first, X, 0)
            curves.append(tiny_model.network(pictures.astype(np.float32)).numpy()[:, result["index"]])
        found, areas = one[kind], np.trapezoid(curves, one["shares"])
        np.testing.assert_allclose(found["curve"], curves[0], atol=1e-5)
        np.testing.assert_allclose(found["random"]["mean"], np.mean(curves[1:], axis=0), atol=1e-5)
        np.testing.assert_allclose(found["random"]["low"], np.min(curves[1:], axis=0), atol=1e-5)
        np.testing.assert_allclose(found["random"]["high"], np.max(curves[1:], axis=0), atol=1e-5)
        assert [found["area"], *found["random"]["areas"]] == pytest.approx(areas, abs=1e-5)
        ahead = areas[1:] - areas[0] if kind == "deletion" else areas[0] - areas[1:]
        assert found["verdict"] == ("better" if min(ahead) > 0 else "worse" if max(ahead) < 0 else "chance")
    assert one["shares"][one["at"]] == 0.1


def test_occlusion_says_how_far_it_is_and_can_be_stopped_meanwhile(tiny_model, monkeypatch):
    """A map of many windows is told of batch by batch: with shuffled weights each takes the whole network."""
    monkeypatch.setattr(tiny_model, "info", replace(tiny_model.info, seconds_per_image=0.5))  # two at a time
    settings, told = Occlusion.parse_settings({"window": 4, "stride": 4, "classes": 1}, tiny_model.info), []

    def step(share, maps):
        told.append((share, np.isnan(maps).mean()))
        if len(told) == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        METHODS["occlusion"].draw(tiny_model, X, [0], settings, step)
    assert told == [(pytest.approx(n / 6), pytest.approx(1 - n / 6)) for n in (1, 2, 3)]


def test_each_class_is_checked_as_if_it_were_alone(tiny_model, tmp_path, monkeypatch):
    """The best class has the same numbers with or without others; the second best is explained as the best would be."""
    values = {"methods": "gradient,LayerCAM,occlusion,SmoothGrad", "method_settings": "samples=2; stride=4", **QUICK}
    first, second = run(Trust, tiny_model, tmp_path, classes=2, **values)["classes"]
    alone = [checks(tiny_model, tmp_path, **values)]
    order = np.argsort(-tiny_model.predict(X[None])[0])
    assert [first["index"], second["index"]] == order[:2].tolist()
    named = [{key: second[key] for key in ("index", "label", "score")}]
    monkeypatch.setattr(tiny_model, "own_decode", (lambda _: [named], "decode"))
    alone.append(checks(tiny_model, tmp_path, **values))
    for one, other in zip((first, second), alone, strict=True):
        assert [method["name"] for method in one["methods"]] == values["methods"].split(",")
        assert pack(one, "").content.keys() == pack(other, "").content.keys()
        for method, same in zip(one["methods"], other["methods"], strict=True):
            np.testing.assert_allclose(method["map"], same["map"], atol=1e-6)
            for kind in ("deletion", "insertion"):
                np.testing.assert_allclose(method[kind]["curve"], same[kind]["curve"], atol=1e-5)
            for check in ("shuffling", "agreement", "again"):
                assert method.get(check) == same.get(check)


def test_more_classes_cost_more(tiny_model):
    info = replace(tiny_model.info, seconds_per_image=0.1)
    calls, seconds = zip(
        *[
            (Trust.model_calls(settings, info), Trust.cost(settings, info).seconds)
            for classes in (1, 2, 4, 10)  # there are four
            for settings in [Trust.parse_settings({"methods": "gradient", "classes": classes, **QUICK}, info)]
        ],
        strict=True,
    )
    curves, maps = 2 + 2 * 9 * 3, 5
    assert calls == tuple(1 + classes * curves + maps * (1 + classes) for classes in (1, 2, 4, 4))
    assert seconds == tuple(sorted(seconds))


def test_a_stopped_one_has_the_checks_that_are_done(tiny_model, tmp_path):
    """However early it is stopped: each check that is there is whole, and what is missing is named."""
    values = {"methods": "gradient,SmoothGrad", "classes": 2, "method_settings": "samples=2", **QUICK}
    settings = Trust.parse_settings(values, tiny_model.info)
    asked, seen = [], set()

    def until(enough):
        made = Trust(tiny_model, None, enough)
        return made, made.make_visualization([Input("a.png", PICTURE)], tmp_path, settings)[0]

    _, whole = until(lambda: asked.append(None))
    for allowed in range(0, len(asked), 3):
        left = iter([False] * allowed)
        made, result = until(lambda left=left: next(left, True))
        assert made.stopped
        for one, other in zip(result["classes"], whole["classes"], strict=True):
            names = [method["name"] for method in one["methods"]]
            assert [*names, *one["not_begun"]] == ["gradient", "SmoothGrad"]
            for method, same in zip(one["methods"], other["methods"], strict=False):
                for check in ("deletion", "insertion", "again"):
                    assert method.get(check, same.get(check)) == same.get(check)
                done = method.get("shuffling", {"stages": [], "verdict": "unfinished"})
                assert done["stages"] == same["shuffling"]["stages"][: len(done["stages"])]
                assert (done["verdict"] == "unfinished") == (len(done["stages"]) < 3)
                seen.add((method["name"], "again" in method, len(done["stages"])))
    assert {("gradient", False, 0), ("SmoothGrad", False, 0), ("SmoothGrad", True, 0), ("SmoothGrad", True, 2)} <= seen


def test_shuffling_compares_with_the_map_of_the_shuffled_model(tiny_model, tmp_path):
    result = run(Trust, tiny_model, tmp_path, methods="gradient x input,Grad-CAM", seed=5, **QUICK)
    assert result["layers"] == len(tiny_model.weighted_layers) == 3
    (explained,) = result["classes"]
    for name, visualization in (("gradient x input", Saliency), ("Grad-CAM", ClassActivation)):
        one = by_name(explained)[name]
        assert [stage["layers"] for stage in one["shuffling"]["stages"]] == [1, 2, 3]
        for stage in one["shuffling"]["stages"]:
            with tiny_model.shuffled(stage["layers"], 5):
                maps = run(visualization, tiny_model, tmp_path, method=name, classes=4)["maps"]
            (shuffled,) = [one["map"] for one in maps if one["index"] == explained["index"]]  # the class stays
            if np.ptp(shuffled) == 0:  # nothing is left that speaks for the class
                assert stage["similarity"] is None
                continue
            expected = stats.spearmanr(np.abs(one["map"]).ravel(), np.abs(shuffled).ravel()).statistic
            assert stage["similarity"] == pytest.approx(expected, abs=1e-6)
        known = [stage["similarity"] for stage in one["shuffling"]["stages"] if stage["similarity"] is not None]
        assert one["shuffling"]["similarity"] == (known[-1] if known else None)


def test_a_map_that_is_the_same_everywhere_is_not_checked(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(Checked, "draw", lambda *_: np.zeros((1, *tiny_model.info.input_shape[:2]), np.float32))
    (one,) = checks(tiny_model, tmp_path, methods="gradient", **QUICK)["methods"]
    assert one["empty"]
    assert not {"deletion", "insertion", "shuffling", "agreement"} & set(one)


def test_a_map_that_ignores_the_model_is_caught(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "gradient x input", Checked(Edges, {"method": "gradient"}))
    result = by_name(checks(tiny_model, tmp_path, methods=["gradient", "gradient x input"], **QUICK))
    assert result["gradient x input"]["shuffling"]["similarity"] == pytest.approx(1)
    assert result["gradient x input"]["shuffling"]["verdict"] == "same"
    assert result["gradient"]["shuffling"]["similarity"] < 0.7
    assert result["gradient"]["shuffling"]["verdict"] != "same"


@pytest.mark.parametrize("broken", ["raises", "not finite"])
def test_a_shuffled_model_without_finite_numbers_gives_no_answer(tiny_model, tmp_path, monkeypatch, broken):
    trained = tiny_model.network.layers[-1].kernel.numpy()

    class Fragile(Saliency):
        def explain(self, targets, settings, show):
            found = super().explain(targets, settings, show)
            if (self.model.network.layers[-1].kernel.numpy() == trained).all():
                return found
            if broken == "raises":
                raise ModelError("The model gave scores that are NaN.")
            return Found(found.maps * np.nan)

    monkeypatch.setitem(METHODS, "gradient", Checked(Fragile, {"method": "gradient"}))
    (one,) = checks(tiny_model, tmp_path, methods="gradient", **QUICK)["methods"]
    assert [stage["similarity"] for stage in one["shuffling"]["stages"]] == [None, None, None]
    assert one["shuffling"]["verdict"] == "unknown"


@pytest.mark.parametrize(
    ("similarities", "verdict", "unmoved"),
    [
        ((0.2, 0.7), "same", 2),
        ((0.2, 0.5), "partly", 0),
        ((0.7, 0.1), "partly", 1),  # it depends on early layers only
        ((0.69, -0.9), "changes", 0),
        ((0.9, None), "same", 1),
        ((None, None), "unknown", 0),
    ],
)
def test_the_verdict_on_shuffled_weights(similarities, verdict, unmoved):
    found = check_shuffling(list(enumerate(similarities, 1)), 2)
    assert (found["verdict"], found["unmoved"]) == (verdict, unmoved)
    assert check_shuffling(list(enumerate(similarities, 1)), 3)["verdict"] == "unfinished"


def test_weights_that_cannot_be_shuffled_leave_the_other_checks(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(type(tiny_model), "weighted_layers", ())
    result = run(Trust, tiny_model, tmp_path, methods="gradient", **QUICK)
    assert result["layers"] == 0
    assert "shuffling" not in result["classes"][0]["methods"][0]


def test_another_seed_is_for_methods_with_chance_in_them(tiny_model, tmp_path):
    values = {"method_settings": "samples=2; noise=1; seed=7", **QUICK}
    result = by_name(checks(tiny_model, tmp_path, methods="gradient,SmoothGrad", **values))
    assert (result["gradient"]["seeded"], result["SmoothGrad"]["seeded"]) == (False, True)
    assert "again" not in result["gradient"]
    of_seed = {
        seed: run(Saliency, tiny_model, tmp_path, method="SmoothGrad", samples=2, noise=1, seed=seed)["maps"][0]["map"]
        for seed in (7, 8)
    }
    expected = stats.spearmanr(of_seed[7].ravel(), of_seed[8].ravel()).statistic
    assert result["SmoothGrad"]["again"]["similarity"] == pytest.approx(expected, abs=1e-6)
    assert result["SmoothGrad"]["again"]["verdict"] == ("stable" if expected >= 0.8 else "unstable")


def test_maps_agree_where_they_are_the_same(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "LayerCAM", METHODS["gradient"])
    result = by_name(checks(tiny_model, tmp_path, methods="gradient,LayerCAM,occlusion", **QUICK))
    same, other = result["gradient"]["agreement"]
    assert (same["name"], same["similarity"], same["overlap"]) == ("LayerCAM", pytest.approx(1), 1)
    assert same["verdict"] == "more"
    maps = [result[name]["map"].ravel() for name in ("gradient", "occlusion")]
    assert [result[name]["signed"] for name in ("gradient", "occlusion")] == [False, True]
    assert other["similarity"] == pytest.approx(stats.spearmanr(maps[0], np.abs(maps[1])).statistic, abs=1e-6)
    strongest = [set(np.argsort(-values, kind="stable")[:19]) for values in maps]
    assert other["overlap"] == pytest.approx(len(strongest[0] & strongest[1]) / 19, abs=0.2)  # values may be equal


def test_signs_count_where_both_maps_have_one():
    signed, most = np.linspace(-1, 1, 64).reshape(8, 8), {"moves": 1, "seed": 0}
    maps = {"one": signed, "opposite": -signed, "unsigned": np.abs(signed)}
    (opposite, unsigned) = check_agreement(maps, "one", **most)
    assert (opposite["similarity"], unsigned["similarity"]) == (pytest.approx(-1), pytest.approx(1))
    (nothing,) = check_agreement({"one": signed, "other": np.full((8, 8), np.nan)}, "one", **most)
    assert nothing["similarity"] is None


def test_the_numbers_stand_in_the_manifest(tiny_model, tmp_path):
    content = json.loads(json.dumps(pack(run(Trust, tiny_model, tmp_path, methods="gradient", **QUICK), "0").content))
    (one,) = content["classes"][0]["methods"]
    assert len(one["deletion"]["curve"]) == len(one["insertion"]["random"]["mean"]) == 11
    assert {"area", "verdict"} <= one["deletion"].keys()
    assert one["shuffling"]["stages"][0]["layers"] == 1


def test_a_method_is_offered_where_the_model_can_do_it(tiny_model):
    info = replace(tiny_model.info, capabilities=frozenset({"predict", "activations"}))
    assert Trust.limits(info)["methods"] == ["Score-CAM", "occlusion", "random masks"]
    assert "guided backpropagation" in Trust.limits(tiny_model.info)["methods"]
    assert Trust.parse_settings({}, info).methods == ("occlusion",)
    with pytest.raises(InvalidSetting, match=r"cannot do gradient\. Leave it out") as caught:
        Trust.parse_settings({"methods": "gradient"}, info)
    assert caught.value.field == "methods"
    assert Trust.goes_on_from(Saliency, {"method": "gradient"}, info) is None


def test_the_methods_are_those_of_the_visualizations():
    assert list(METHODS) == Trust.settings_model.model_json_schema()["properties"]["methods"]["items"]["enum"]


def test_settings_of_a_map_go_with_it(tiny_model):
    values = ClassActivation.parse_settings({"method": "Score-CAM", "channels": 2}, tiny_model.info)
    found = Trust.goes_on_from(ClassActivation, values.model_dump(mode="json"), tiny_model.info)
    assert found == {  # the layer is the default one: not said
        "methods": ["gradient", "Grad-CAM", "Score-CAM", "occlusion"],
        "method_settings": "channels=2",
    }
    assert Trust.goes_on_from(Trust, {}, tiny_model.info) is None


@pytest.mark.parametrize(("classes", "expected"), [(3, {}), (1, {"classes": "1"}), (4, {"classes": "4"})])
def test_classes_come_over_where_somebody_chose_them(tiny_model, classes, expected):
    values = Saliency.parse_settings({"classes": classes}, tiny_model.info).model_dump(mode="json")
    found = Trust.goes_on_from(Saliency, values, tiny_model.info)
    assert found == {"methods": ["gradient", "Grad-CAM", "occlusion"], "method_settings": "", **expected}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "samples=2",
            r"should be like 'fill=black; seed=1', got 'samples=2'\. The chosen methods use: fill, score, str",
        ),
        ("window", "got 'window'"),
        ("classes=2", "got 'classes=2'"),
        ("window=99", "'window' must be 1..16 pixels for this model, got 99"),
        ("fill=red", "'fill' should be 'grey', .* got 'red'"),
    ],
)
def test_wrong_settings_of_a_map(tiny_model, text, sentence):
    with pytest.raises(InvalidSetting, match=sentence) as caught:
        Trust.parse_settings({"methods": "occlusion", "method_settings": text}, tiny_model.info)
    assert caught.value.field == "method_settings"


@pytest.mark.parametrize(
    ("methods", "text", "used"),
    [
        ("gradient,Grad-CAM", "layer=conv; samples=1", "layer"),  # SmoothGrad, of the same visualization, has samples
        ("gradient,LayerCAM,occlusion", "channels=2", "fill, layer, score, stride, window"),
        ("gradient", "fill=black", "none"),
    ],
)
def test_a_setting_that_no_chosen_method_uses_is_refused(tiny_model, methods, text, used):
    wrong = text.rpartition("; ")[2]
    with pytest.raises(InvalidSetting, match=f"got '{wrong}'. The chosen methods use: {used}[.]"):
        Trust.parse_settings({"methods": methods, "method_settings": text}, tiny_model.info)


@pytest.mark.slow
def test_the_default_model_on_coffee(tmp_path):
    """What the sentence says, computed directly: the strongest tenth hidden with grey."""
    model = open_model(load_config(ROOT / "config.py", environ={}))
    picture = Image.open(Path(find_spec("skimage").submodule_search_locations[0]) / "data" / "coffee.png")
    result = run(Trust, model, tmp_path, picture, methods="gradient,Grad-CAM", **QUICK)
    (explained,) = result["classes"]
    assert (explained["label"], result["layers"]) == ("espresso", len(model.weighted_layers))
    for one in explained["methods"]:
        x = model.preprocess([picture]).x
        strongest = np.argsort(-one["map"].ravel(), kind="stable")[: round(0.1 * 224 * 224)]
        x.reshape(-1, 3)[strongest] = (128 - 127) / 128
        hidden = model.network(x).numpy()[0, explained["index"]]
        assert one["deletion"]["curve"][0] == pytest.approx(0.900, abs=0.005)
        assert one["deletion"]["curve"][one["at"]] == pytest.approx(hidden, abs=1e-3)
        assert one["deletion"]["verdict"] == "better"
        assert one["shuffling"]["verdict"] == "changes"
