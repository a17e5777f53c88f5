"""Hiding a part by hand: the numbers are those of the picture covered by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from picasso.attribution.fills import FILLS, make_fill
from picasso.errors import InvalidSetting
from picasso.visualizations.base import Input
from picasso.visualizations.discovery import discover

WhatIf = discover().get("what-if")


def picture(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8))


def run(model, **values):
    settings = WhatIf.parse_settings(values, model.info)
    (result,) = WhatIf(model).make_visualization([Input("a.png", picture())], None, settings)
    return result


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("what", ["hide", "keep"])
def test_numbers_are_those_of_the_picture_covered_by_hand(tiny_model, fill, what):
    x = tiny_model.preprocess([picture()]).x
    cover = make_fill(fill, x[0], tiny_model.solid)
    by_hand = x[0].copy() if what == "hide" else cover.copy()
    by_hand[2:7, 3:9] = cover[2:7, 3:9] if what == "hide" else x[0, 2:7, 3:9]
    before, after = tiny_model.predict(np.stack([x[0], by_hand]))
    result = run(tiny_model, region="3,2,6,5", fill=fill, what=what)
    np.testing.assert_array_equal(result["scores"], [before, after])
    assert [one["index"] for one in result["classes"]] == list(np.argsort(-before))
    for one in result["classes"]:
        assert (one["before"], one["after"]) == (before[one["index"]], after[one["index"]])
        assert one["label"] == tiny_model.info.labels[one["index"]]
    assert result["share"] == pytest.approx(30 / 192 if what == "hide" else 162 / 192)


def test_pictures_show_what_the_model_was_given(tiny_model):
    result = run(tiny_model, region="3,2,6,5", fill="black")
    seen, after = np.asarray(result["view"]), np.asarray(result["after"])
    np.testing.assert_array_equal(seen, np.asarray(picture()))
    assert (after[2:7, 3:9] == 0).all()
    after = after.copy()
    after[2:7, 3:9] = seen[2:7, 3:9]
    np.testing.assert_array_equal(after, seen)


def test_classes_that_come_up_stand_behind_the_best():
    class Model:
        info = type("Info", (), {"labels": tuple("abcdefghijkl")})

        def decode(self, scores, top):
            from picasso.models.decoding import highest

            return highest(scores, list(self.info.labels), top)

    from picasso.visualizations.what_if import changes

    before = np.linspace(1, 0, 12, dtype=np.float32)
    rows = changes(Model(), before, before[::-1])
    assert "".join(row["label"] for row in rows) == "abcde" + "lkj"
    assert (rows[0]["before"], rows[0]["after"], rows[5]["after"]) == (1, 0, 1)


@pytest.mark.parametrize(
    ("region", "sentence"),
    [("", "'region' is empty"), ("50", "'region' is empty"), ("99,99,2,2", "does not touch"), ("0.zz", "does not fit")],
)
def test_regions_that_cannot_be_saved(tiny_model, region, sentence):
    with pytest.raises(InvalidSetting, match=sentence) as caught:
        WhatIf.parse_settings({"region": region}, tiny_model.info)
    assert caught.value.field == "region"


def test_it_goes_on_from_every_other_one_with_its_fill(tiny_model):
    occlusion = discover().get("occlusion")
    assert WhatIf.goes_on_from(occlusion, {"fill": "blur", "window": 3}, tiny_model.info) == {"fill": "blur"}
    assert WhatIf.goes_on_from(occlusion, {"fill": "lava"}, tiny_model.info) == {}
    assert WhatIf.goes_on_from(WhatIf, {}, tiny_model.info) is None
