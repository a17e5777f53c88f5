"""Explaining images in this process: the same numbers as the visualization's own, whatever an image comes as."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from gallery import blocks
from PIL import Image

import picasso
from picasso.attribution.occlusion import corners
from picasso.errors import (
    Cancelled,
    Conflict,
    ImageDamaged,
    ImageRefused,
    InvalidRequest,
    InvalidSetting,
    NotFound,
    PluginError,
)
from picasso.images.colours import draw_over
from picasso.local.explaining import Explainer
from picasso.local.explanation import Explanation
from picasso.local.folder import RESULT, ResultsFolder
from picasso.local.pictures import Failure
from picasso.runs.requests import seed_of
from picasso.visualizations.base import Settings

WINDOWS = {"window": 6, "stride": 3}


def images(count, size=(30, 20)):
    return [blocks(10 + seed, size) for seed in range(count)]


def test_one_image(opened, photos):
    found = picasso.explain(opened, photos / "a.png", "occlusion", **WINDOWS)
    assert isinstance(found, Explanation)
    model = opened.model
    assert np.ptp(found.map()) > 0
    x = model.preprocess([blocks(0)]).x
    scores = model.predict(x)
    best = int(scores.argmax())
    assert [one.index for one in found.predictions] == list(np.argsort(-scores[0])[:3])
    assert found.predictions[0].score == pytest.approx(scores[0, best])
    assert found.map().shape == (12, 16)
    assert found.map() is found.map(best) or np.array_equal(found.map(), found.map(opened.info.labels[best]))
    positions = corners((12, 16), (6, 6), 3)
    hidden = model.occlude(x, positions, (6, 6), np.broadcast_to(model.solid(128), x.shape[1:]))
    np.testing.assert_allclose(found.arrays["scores"], hidden, atol=1e-6)
    assert found.settings["window"] == 6
    assert found.settings["fill"] == "grey"
    assert found.filename == "a.png"
    json.dumps(found.manifest, allow_nan=False)
    assert found.manifest["results"][0]["digest"] == found.picture.digest


def test_the_seed_is_that_of_the_setting_where_there_is_one(opened):
    def masks(random_seed, **settings):
        explainer = Explainer(opened, "random-masks", {"masks": 4, **settings}, seed=random_seed)
        assert explainer.run["seed"] == explainer.run["settings"]["seed"] == explainer.seed
        return explainer.together([explainer.read(("a", blocks(1)))])[0].map()

    assert np.array_equal(masks(3), masks(None, seed="3"))
    assert not np.array_equal(masks(3), masks(4, seed="4"))
    with pytest.raises(InvalidSetting, match="The seed is 3, but the setting 'seed' is 4"):
        masks(3, seed=4)
    with pytest.raises(InvalidSetting, match="'seed' should be less than or equal to 999999, got '1000000'"):
        masks(10**6)


def test_any_whole_number_may_be_a_seed():
    class Wide(Settings):
        seed: int = -1

    class Words(Settings):
        seed: str = "none"

    assert seed_of(Wide()) == 2**32 - 1
    assert seed_of(Wide(seed=2**70 + 5)) == 5
    assert (seed_of(Words()), seed_of(Words(), 7)) == (0, 7)


def test_a_path_a_picture_and_an_array_are_the_same_image(opened, photos):
    path = photos / "a.png"
    picture = blocks(0)
    picture.filename = str(path)
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned by 270 degrees
    turned.save(photos / "turned.jpg", quality=100, exif=exif)
    rgba = np.dstack([np.asarray(picture), np.full((20, 30), 255, np.uint8)])
    found = picasso.explain(opened, [path, str(path), picture, np.asarray(picture), rgba], "class-probabilities")
    assert len({one.picture.digest for one in found}) == 1
    assert [one.picture.name for one in found] == ["a.png", "a.png~2", "a.png~3", "image-4", "image-5"]
    for one in found:
        np.testing.assert_allclose(one.content["answer"], found[0].content["answer"], atol=1e-6)
    assert picasso.explain(opened, photos / "turned.jpg", "class-probabilities").picture.image.size == (
        30,
        20,
    )
    grey = picasso.explain(opened, np.zeros((4, 5), np.uint8), "class-probabilities")
    assert grey.picture.image.mode == "L"


@pytest.mark.parametrize(
    ("image", "kind", "sentence"),
    [
        (np.zeros((3, 4), np.float32), InvalidRequest, r"got float32 .* \(255 \* array\)"),
        (np.zeros((3, 4, 2), np.uint8), InvalidRequest, "1, 3 or 4 channels"),
        (np.zeros((0, 4, 3), np.uint8), InvalidRequest, "got uint8"),
        ("gone.png", NotFound, "There is no file .*gone.png"),
        (".", ImageRefused, r"is a folder\. Name the images in it: "),
        (3, InvalidRequest, "An image is a path, a PIL picture or a numpy array, .* got int"),
    ],
)
def test_what_is_no_image_is_refused(opened, image, kind, sentence):
    with pytest.raises(kind, match=sentence):
        picasso.explain(opened, image, "class-probabilities")


def worst_class(opened, picture):
    return int(opened.model.predict(opened.model.preprocess([picture]).x)[0].argmin())


def test_threads_wait_for_each_other(opened):
    """One shuffles the model's weights; the others' maps are of the weights as learnt."""
    one, other = images(2)
    expected = picasso.explain(opened, one, "saliency", class_=None).map()
    with ThreadPoolExecutor(1) as thread:
        checks = [thread.submit(picasso.explain, opened, other, "trust", steps=10, maps=1) for _ in range(2)]
        while not all(check.done() for check in checks):
            np.testing.assert_array_equal(picasso.explain(opened, one, "saliency").map(), expected)
    for check in checks:
        check.result()


def test_a_chosen_class_is_explained_instead_of_the_best_ones(opened):
    picture = images(1)[0]
    worst = worst_class(opened, picture)
    one = picasso.explain(opened, picture, "saliency", class_=opened.info.labels[worst])
    assert (one.predictions[0].index, one.run["classes"]) == (worst, [worst])
    assert list(one.found.labels.values()) == [opened.info.labels[worst]]
    both = picasso.explain(opened, picture, "saliency", class_=[worst, (worst + 1) % 4])
    assert list(both.maps) == ["maps.0.map", "maps.1.map"]
    np.testing.assert_allclose(both.map(worst), one.map(), atol=1e-7)
    everything = picasso.explain(opened, picture, "saliency", classes=4)
    np.testing.assert_allclose(everything.map(worst), one.map(), atol=1e-7)
    with pytest.raises(NotFound, match=r"There is no map of .* Have it explained: class_="):
        one.map((worst + 1) % 4)


@pytest.mark.slow
def test_every_visualization_of_classes_explains_the_chosen_one(opened):
    picture = images(1)[0]
    worst = worst_class(opened, picture)
    kinds = {name for name, one in opened.visualizations.visualizations.items() if one.of_classes}
    assert kinds == {"occlusion", "saliency", "class-activation", "random-masks", "trust"}
    cheap = {"random-masks": {"masks": 50}, "trust": {"methods": "gradient", "maps": 1, "steps": 10}}
    for name in kinds:
        found = picasso.explain(opened, picture, name, class_=worst, **cheap.get(name, {}))
        assert (found.predictions[0].index, found.settings["classes"]) == (worst, 1), name


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"class_": "owl"}, "The model has no class 'owl'"),
        ({"class_": 1.0}, "The model has no class '1.0'"),
        ({"class_": "ant", "classes": 2}, "'classes' says how many"),
        ({"class_": "ant", "named": "bee"}, "'named' names classes, and others are named besides"),
        ({"window": 99}, "'window' must be 1..16 pixels for this model, got 99."),
        ({"fill": "pink"}, "'fill' should be 'grey', 'black'"),
        ({"size": 3}, "There is no setting 'size'. The settings are: window, stride"),
    ],
)
def test_wrong_settings_name_what_is_allowed(opened, options, sentence):
    with pytest.raises(InvalidSetting, match=sentence.replace("(", "\\(")):
        picasso.explain(opened, images(1), "occlusion", **options)


def test_classes_are_refused_where_none_are_explained(opened):
    with pytest.raises(InvalidSetting, match=r"does not explain single classes\. Those that do: .*occlusion"):
        picasso.explain(opened, images(1), "class-probabilities", class_="ant")


def test_images_share_calls_of_the_visualization(opened):
    explainer = Explainer(opened, "class-probabilities", {})
    assert explainer.at_once == opened.model.batch
    sources = [(f"{number}.png", one) for number, one in enumerate(images(explainer.at_once + 2))]
    sources.insert(1, ("gone.png", Path("gone.png")))
    told = []
    found = list(explainer.stream(sources, lambda done, doing: told.append(done)))
    failures = [one for one in found if isinstance(one, Failure)]
    assert [one.name for one in failures] == ["gone.png"]
    assert len(found) == len(sources)
    assert {len(one.together) for one in found if isinstance(one, Explanation)} == {explainer.at_once - 1, 3}
    assert told == sorted(told)
    assert told[-1] == len(sources)


def test_an_image_that_fails_costs_the_others_nothing(opened, tmp_path):
    (tmp_path / "Picky.html").write_text("")
    (tmp_path / "picky.py").write_text(
        "from picasso.visualizations.base import BaseVisualization\n"
        "class Picky(BaseVisualization):\n"
        "    def make_visualization(self, inputs, output_dir, settings):\n"
        "        sizes = [100 // (item.data.width - 7) for item in inputs]\n"
        "        inputs[0].data.save(output_dir / 'kept.png')\n"
        "        return [{'size': size} for size in sizes]\n"
        "    @classmethod\n"
        "    def model_calls(cls, settings, info):\n"
        "        return 1\n"
    )
    from picasso.visualizations.discovery import discover

    model = type(opened)(opened.model, discover([tmp_path]), opened.config, {})
    three = [images(1)[0], images(1, (7, 5))[0], images(1)[0]]
    found = list(Explainer(model, "picky", {}).stream([(f"{n}.png", one) for n, one in enumerate(three)]))
    assert [one.content["size"] if isinstance(one, Explanation) else one.error.message for one in found] == [
        4,
        "picky failed at picky.py, line 4: ZeroDivisionError: integer division or modulo by zero",
        4,
    ]
    assert isinstance(found[1].error, PluginError)
    assert [*found[0].files()] == ["output.kept.png"]


def test_chance_goes_on_as_if_nothing_had_been(opened):
    np.random.seed(3)
    expected = np.random.random(2)
    np.random.seed(3)
    found = [np.random.random()]
    picasso.explain(opened, images(1), "class-probabilities")
    assert [*found, np.random.random()] == list(expected)


def test_it_ends_when_it_is_told_to(opened):
    asked = iter([False, True])
    explainer = Explainer(opened, "occlusion", WINDOWS, stop=lambda: next(asked))
    with pytest.raises(Cancelled):
        list(explainer.stream([("a.png", images(1)[0])]))
    assert picasso.explain(opened, images(1), "class-probabilities")  # nobody watches the model any more


def test_a_notebook_shows_it(opened):
    picture = images(1)[0]
    picture.filename = "<b>cat.png"
    found = picasso.explain(opened, picture, "occlusion", classes=2, **WINDOWS)
    html = found._repr_html_()
    assert html.count('<img src="data:image/png;base64,') == 2
    assert "&lt;b&gt;cat.png" in html
    assert all(f"<figcaption>{one.label}</figcaption>" in html for one in found.predictions)
    assert found._repr_png_().startswith(b"\x89PNG")
    assert repr(found).startswith("<Occlusion of <b>cat.png: ")
    scores = picasso.explain(opened, picture, "class-probabilities")
    assert scores._repr_html_().count("<img") == 1
    with pytest.raises(NotFound, match="has no map"):
        scores.map()


def test_an_overlay_is_of_the_map_that_is_named(opened):
    found = picasso.explain(opened, images(1), "saliency", classes=2)[0]
    assert list(found.maps) == ["maps.0.map", "maps.1.map"]
    assert found.overlay("maps.1.map").size == (16, 12)
    limit = found.content["maps"][1]["limit"]  # where the page's colours end
    expected = draw_over(found.view, found.maps["maps.1.map"], 0, limit)
    assert expected.tobytes() == found.overlay("maps.1.map").tobytes() != found.overlay("maps.1.map", high=9).tobytes()
    with pytest.raises(NotFound, match=r"There is no map 'maps\.9\.map'\. There are: maps\.0\.map, maps\.1\.map"):
        found.overlay("maps.9.map")


def test_maps_of_any_size_are_drawn_with_the_signs_of_their_page(opened, tmp_path):
    """Channels, smaller than the picture, of a layer with negative values; some have none."""
    layer = next(one for one in opened.info.layers if one.kind == "Conv2D").path
    found = picasso.explain(opened, images(1)[0], "feature-maps", layer=layer)
    names = [f"channels.{number}.activation" for number in range(4)]
    assert list(found.maps) == names
    assert (found.maps[names[0]].shape, found.view.size) == ((10, 14), (16, 12))
    for name, channel in zip(names, found.content["channels"], strict=True):
        limit = float(np.abs(channel["activation"]).max())
        expected = draw_over(found.view, channel["activation"], -limit, limit, "coolwarm")
        assert found.overlay(name).tobytes() == expected.tobytes()
    html = found._repr_html_()
    assert html.count("<img") == 4
    assert "<figcaption>Channel 0</figcaption>" in html
    assert "<table>" not in html
    assert "What it found is in <code>content</code>" in html
    written = {path.name for path in found.save(tmp_path / "out").iterdir()}
    assert {f"{name}.{ending}" for name in names for ending in ("npy", "png")} == written - {"view.png", RESULT}


def test_hiding_a_part_shows_both_pictures_and_what_the_model_says_of_the_whole(opened):
    found = picasso.explain(opened, images(1)[0], "what-if")
    assert list(found.pictures) == ["view", "after"]
    assert found._repr_html_().count("<img") == 2
    expected = picasso.explain(opened, images(1)[0], "class-probabilities").predictions[0]
    assert (found.predictions[0].index, found.predictions[0].score) == (expected.index, pytest.approx(expected.score))


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"colours": "pink"}, "'colours' should be one of inferno, magma, .*, got 'pink'"),
        ({"opacity": 3}, r"'opacity' should be 0\.\.1, got 3"),
        ({"low": 2, "high": 1}, "'low' should be at most 'high'"),
    ],
)
def test_an_overlay_is_refused_with_a_sentence(opened, how, sentence):
    with pytest.raises(InvalidRequest, match=sentence):
        picasso.explain(opened, images(1)[0], "saliency", classes=1).overlay(**how)


def test_saving_is_what_the_command_line_writes(opened, photos, tmp_path):
    found = picasso.explain(opened, [photos / "a.png", photos / "c.png"], "occlusion", **WINDOWS)
    out = tmp_path / "out"
    assert [one.save(out) for one in found] == [out / "a.png", out / "c.png"]
    assert found[0].save(out) == out / "a.png"
    np.testing.assert_array_equal(np.load(out / "a.png" / "maps.0.map.npy"), found[0].map())
    with Image.open(out / "a.png" / "maps.0.map.png") as drawn:
        assert drawn.size == (16, 12)
    assert json.loads((out / "a.png" / "result.json").read_text()) == json.loads(json.dumps(found[0].record))
    assert [*ResultsFolder(out).names()] == ["a.png", "c.png"]
    with pytest.raises(Conflict, match=f"{out} has results of another run: window is 6 there and 5 here"):
        picasso.explain(opened, photos / "a.png", "occlusion", window=5, stride=3).save(out)
    with pytest.raises(Conflict, match="the visualization is occlusion there and saliency here"):
        picasso.explain(opened, photos / "a.png", "saliency").save(out)
    other = images(1)[0]
    other.filename = "a.png"
    with pytest.raises(Conflict, match="is the result of another image of that name"):
        picasso.explain(opened, other, "occlusion", **WINDOWS).save(out)
    with pytest.raises(Conflict, match="has other files in it"):
        found[0].save(photos)
    assert [path.name for path in tmp_path.rglob("*unfinished*") if path.is_dir() and any(path.iterdir())] == []


def test_a_damaged_image_is_named(opened, photos):
    with pytest.raises(ImageDamaged, match=r'"broken\.png" is damaged'):
        picasso.explain(opened, photos / "broken.png", "class-probabilities")
