"""Preprocessing: geometry and ranges by hand, and what a function of one's own may get wrong."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from picasso.config import Preprocessing
from picasso.errors import ConfigError, ModelError
from picasso.models.preprocessing import OwnFunction, ReadyMade, fit, visible

RGB = (4, 6, 3)
GREY = (4, 6, 1)
NEAREST = Image.Resampling.NEAREST
GEOMETRIES = ("resize", "center_crop", "letterbox")


def noise(width, height, mode="RGB", seed=0):
    """A picture whose pixels are all different enough."""
    shape = (height, width) if mode == "L" else (height, width, 3)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def columns(*levels, height=4):
    """A grey picture that has one level per column."""
    return Image.fromarray(np.tile(np.uint8(levels), (height, 1)))


def box_of(image_size, model_size, geometry):
    return astuple(fit(Image.new("L", image_size), model_size, geometry)[1])


# Geometry; all sizes are (width, height), all boxes (left, top, right, bottom) in the original's pixels.
@pytest.mark.parametrize(
    ("image_size", "model_size", "geometry", "expected"),
    [
        ((8, 4), (6, 4), "resize", (0, 0, 8, 4)),
        ((1, 1), (6, 4), "resize", (0, 0, 1, 1)),
        ((8, 4), (2, 2), "center_crop", (2, 0, 6, 4)),
        ((4, 8), (2, 2), "center_crop", (0, 2, 4, 6)),
        ((7, 4), (2, 2), "center_crop", (1.5, 0, 5.5, 4)),  # odd: half a pixel is cut on both sides
        ((9, 6), (6, 4), "center_crop", (0, 0, 9, 6)),
        ((9, 9), (6, 4), "center_crop", (0, 1.5, 9, 7.5)),
        ((1, 1), (3, 2), "center_crop", (0, 1 / 6, 1, 5 / 6)),
        ((100, 1), (4, 4), "center_crop", (49.5, 0, 50.5, 1)),
        ((8, 4), (4, 4), "letterbox", (0, -2, 8, 6)),  # two rows in the middle; one row of padding is two pixels
        ((4, 8), (4, 4), "letterbox", (-2, 0, 6, 8)),
        ((5, 3), (4, 4), "letterbox", (0, -1.5, 5, 4.5)),  # 2.4 rows are rounded to 2, of 1.5 pixels each
        ((9, 6), (6, 4), "letterbox", (0, 0, 9, 6)),
        ((1, 1), (3, 2), "letterbox", (0, 0, 1.5, 1)),  # one column is left over: it goes to the right
        ((100, 1), (4, 4), "letterbox", (0, -1, 100, 3)),  # at least one row is kept
    ],
)
def test_boxes_by_hand(image_size, model_size, geometry, expected):
    assert box_of(image_size, model_size, geometry) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("geometry", "expected"),
    [("resize", [15, 35, 55, 75]), ("center_crop", [30, 40, 50, 60]), ("letterbox", [15, 35, 55, 75])],
)
def test_pixels_of_a_wide_picture(geometry, expected):
    picture = columns(10, 20, 30, 40, 50, 60, 70, 80)
    view, _ = fit(picture, (4, 4), geometry, Image.Resampling.BOX)
    assert np.asarray(view)[1].tolist() == expected


def test_letterbox_pads_evenly_with_grey():
    view, _ = fit(columns(*[7] * 8), (4, 4), "letterbox")
    assert np.asarray(view)[:, 0].tolist() == [128, 7, 7, 128]
    view, _ = fit(Image.new("RGB", (4, 8), (1, 2, 3)), (4, 4), "letterbox")
    assert np.asarray(view)[0].tolist() == [[128] * 3, [1, 2, 3], [1, 2, 3], [128] * 3]


@given(*[st.integers(1, 60)] * 4, st.sampled_from(GEOMETRIES))
def test_any_size_fits_any_model(width, height, model_width, model_height, geometry):
    view, box = fit(Image.new("L", (width, height), 9), (model_width, model_height), geometry)
    assert view.size == (model_width, model_height)
    across, down = box.right - box.left, box.bottom - box.top
    if geometry == "center_crop":
        assert box.left >= 0
        assert box.top >= 0
        assert across <= width + 1e-9
        assert down <= height + 1e-9
        assert across / model_width == pytest.approx(down / model_height)
        assert set(np.asarray(view).flat) == {9}
    else:
        assert across >= width - 1e-9
        assert down >= height - 1e-9


def test_a_box_that_rounding_makes_larger_than_the_picture():
    assert 7 * (29 / 7) > 29
    assert box_of((29, 29), (7, 7), "center_crop") == (0, 0, 29, 29)


# Ranges
@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"scale": (0, 1)}, [[0.0, 51 / 255, 1.0]]),
        ({"scale": (-1, 1)}, [[-1.0, -0.6, 1.0]]),
        ({"scale": (0, 255)}, [[0, 51, 255]]),
        ({}, [[0, 51, 255]]),
        ({"subtract": 127, "divide": 128}, [[-127 / 128, -76 / 128, 1]]),
        ({"subtract": 51}, [[-51, 0, 204]]),
        ({"divide": 2}, [[0, 25.5, 127.5]]),
    ],
)
def test_ranges_of_a_grey_model(spec, expected):
    x = ReadyMade(Preprocessing(**spec), (1, 3, 1))([columns(0, 51, 255, height=1)]).x
    assert (x.shape, x.dtype) == ((1, 1, 3, 1), np.float32)
    np.testing.assert_allclose(x[0, ..., 0], expected, atol=1e-6)


def test_subtract_and_divide_per_channel():
    spec = Preprocessing(subtract=(10, 20, 30), divide=(1, 2, 4))
    x = ReadyMade(spec, (1, 1, 3))([Image.new("RGB", (1, 1), (110, 120, 130))]).x
    assert x.tolist() == [[[[100, 50, 25]]]]


# Numbers by hand, from red, green, blue = 110, 120, 130
@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("caffe", [130 - 103.939, 120 - 116.779, 110 - 123.68]),
        ("imagenet", [(110 / 255 - 0.485) / 0.229, (120 / 255 - 0.456) / 0.224, (130 / 255 - 0.406) / 0.225]),
        ("torch", [(110 / 255 - 0.485) / 0.229, (120 / 255 - 0.456) / 0.224, (130 / 255 - 0.406) / 0.225]),
        ("tf", [110 / 127.5 - 1, 120 / 127.5 - 1, 130 / 127.5 - 1]),
    ],
)
def test_named_ranges(scale, expected):
    ready = ReadyMade(Preprocessing(scale=scale), (1, 1, 3))
    x = ready([Image.new("RGB", (1, 1), (110, 120, 130))]).x
    assert (x.dtype, x.flags.c_contiguous) == (np.float32, True)
    np.testing.assert_allclose(x[0, 0, 0], expected, rtol=1e-5)
    assert ready.picture(x[0]).getpixel((0, 0)) == (110, 120, 130)


@pytest.mark.parametrize("scale", ["caffe", "imagenet"])
def test_ranges_of_colours_are_not_for_grey_models(scale):
    with pytest.raises(ConfigError, match="'scale' has 3 numbers, but the model takes 1 channels"):
        ReadyMade(Preprocessing(scale=scale), GREY)


def test_no_range_is_the_pixels_themselves():
    assert not Preprocessing(geometry="letterbox").has_range
    assert Preprocessing(subtract=0).has_range
    x = ReadyMade(Preprocessing(), (1, 3, 1))([columns(0, 51, 255, height=1)]).x
    assert x.ravel().tolist() == [0, 51, 255]


@given(
    st.one_of(
        st.sampled_from(["caffe", "imagenet", "torch", "tf"]),
        st.tuples(st.floats(-300, 300), st.floats(0.1, 500)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    ),
    st.tuples(*[st.integers(0, 255)] * 3),
)
def test_picture_inverts_any_range(scale, colour):
    ready = ReadyMade(Preprocessing(scale=scale), (2, 3, 3))
    x = ready([Image.new("RGB", (5, 5), colour)]).x[0]
    assert ready.picture(x).getpixel((1, 1)) == colour


@pytest.mark.parametrize("key", ["subtract", "divide"])
@pytest.mark.parametrize("shape", [GREY, RGB])
def test_one_number_per_channel_or_one_for_all(key, shape):
    with pytest.raises(ConfigError, match=f"'{key}' has 2 numbers, but the model takes {shape[2]} channels"):
        ReadyMade(Preprocessing(**{key: (1.0, 2.0)}), shape)


def test_other_channels_need_a_function_of_ones_own():
    with pytest.raises(ConfigError, match=r"The model takes 4 channels.*module:function") as caught:
        ReadyMade(Preprocessing(), (4, 6, 4))
    assert caught.value.field == "MODEL_PREPROCESS"


# What is shown
@pytest.mark.parametrize("shape", [RGB, GREY])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_views_are_the_very_pixels(shape, geometry):
    prepared = ReadyMade(Preprocessing(geometry=geometry), shape)([noise(9, 5), noise(3, 8, "L")])
    assert prepared.exact
    assert len(prepared.boxes) == 2
    for view, x in zip(prepared.views, prepared.x, strict=True):
        assert view.mode == ("L" if shape == GREY else "RGB")
        np.testing.assert_array_equal(np.asarray(view, np.float32).reshape(shape), x)


def test_a_grey_model_sees_colours_as_pillow_converts_them():
    picture = noise(6, 4)
    prepared = ReadyMade(Preprocessing(), GREY)([picture])
    np.testing.assert_array_equal(prepared.x[0, ..., 0], np.asarray(picture.convert("L")))


def test_a_colour_model_sees_grey_three_times():
    picture = noise(6, 4, "L")
    x = ReadyMade(Preprocessing(), RGB)([picture]).x[0]
    np.testing.assert_array_equal(x, np.repeat(np.asarray(picture)[..., None], 3, axis=2))


@pytest.mark.parametrize("shape", [RGB, GREY])
@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"scale": (0, 1)},
        {"scale": (-1, 1)},
        {"scale": (1, 0)},
        {"subtract": 127, "divide": 128},
        {"subtract": 123.68, "divide": 58.4},
        {"scale": "tf"},
    ],
)
def test_picture_inverts_the_preprocessing(spec, shape):
    ready = ReadyMade(Preprocessing(**spec), shape)
    prepared = ready([noise(6, 4)])
    np.testing.assert_array_equal(ready.picture(prepared.x[0]), prepared.views[0])


@pytest.mark.parametrize(
    "spec",
    [{"subtract": (123.7, 116.8, 103.9), "divide": (58.4, 57.1, 57.4)}, {"scale": "caffe"}, {"scale": "imagenet"}],
)
def test_picture_inverts_per_channel(spec):
    ready = ReadyMade(Preprocessing(**spec), RGB)
    prepared = ready([noise(6, 4)])
    np.testing.assert_array_equal(ready.picture(prepared.x[0]), prepared.views[0])


def test_seen_is_what_a_result_page_needs():
    prepared = ReadyMade(Preprocessing(geometry="center_crop"), (2, 2, 3))([Image.new("RGB", (8, 4))])
    assert prepared.seen(0) == {"view": prepared.views[0], "box": (2, 0, 6, 4), "exact": True}


def test_visible_stretches_from_black_to_white():
    assert np.asarray(visible(np.float32([[[-3], [-2], [-1]]]))).tolist() == [[0, 127, 255]]
    assert np.asarray(visible(np.full((1, 2, 3), 5, np.float32))).tolist() == [[[0] * 3] * 2]
    assert visible(np.zeros((2, 3, 4), np.float32)).mode == "L"  # channels that are no colours: their mean


# Functions of one's own
def own(function, shape=(2, 3, 1)):
    return OwnFunction(function, "mine:prepare", shape)


def images(count=2):
    return [Image.new("L", (5, 5), level) for level in range(count)]


def test_own_function_gets_all_pictures_and_gives_float32():
    def prepare(pictures):
        assert [picture.getpixel((0, 0)) for picture in pictures] == [0, 1]
        return np.arange(12, dtype=np.float64).reshape(2, 2, 3, 1)

    prepared = own(prepare)(images())
    assert prepared.x.dtype == np.float32
    assert prepared.x.ravel().tolist() == list(range(12))
    assert (prepared.boxes, prepared.exact) == ([None, None], False)
    assert np.asarray(prepared.views[0]).tolist() == [[0, 51, 102], [153, 204, 255]]
    assert prepared.seen(1)["box"] is None


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool, np.float16])
def test_own_function_may_give_any_real_numbers(dtype):
    assert own(lambda _: np.ones((1, 2, 3, 1), dtype))(images(1)).x.dtype == np.float32


def test_own_function_may_give_lists():
    assert own(lambda _: [[[[1], [2], [3]], [[4], [5], [6]]]])(images(1)).x.shape == (1, 2, 3, 1)


@pytest.mark.parametrize(
    ("returned", "what"),
    [
        (np.zeros((2, 3, 2, 1)), r"returned \(2, 3, 2, 1\) of float64"),
        (np.zeros((2, 3, 1)), r"returned \(2, 3, 1\) of float64"),
        (np.zeros((1, 2, 3, 1)), r"returned \(1, 2, 3, 1\) of float64"),
        (np.zeros((2, 2, 3, 1), complex), r"of complex128"),
        (np.full((2, 2, 3, 1), "7"), r"of <U1"),
        (None, r"returned \(\) of object"),
    ],
)
def test_own_function_with_a_wrong_shape_or_type(returned, what):
    with pytest.raises(ModelError, match=what) as caught:
        own(lambda _: returned)(images())
    assert "mine:prepare must return (2, 2, 3, 1) numbers" in caught.value.message
    assert 'MODEL_PREPROCESS = {"geometry"' in caught.value.message


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_own_function_with_numbers_that_are_not_finite(number):
    with pytest.raises(ModelError, match=r"NaN or infinite. It must return \(2, 2, 3, 1\) finite numbers"):
        own(lambda _: np.full((2, 2, 3, 1), number))(images())


def test_own_function_that_fails_is_named_with_its_line():
    def prepare(pictures):
        raise KeyError("no such thing")

    line = prepare.__code__.co_firstlineno + 1
    with pytest.raises(ModelError) as caught:
        own(prepare)(images())
    sentence = f"The preprocess function mine:prepare failed at {__file__}, line {line}: KeyError: 'no such thing'"
    assert caught.value.message == sentence


def test_the_line_is_the_authors_not_the_librarys():
    def prepare(pictures):
        return np.stack([])

    with pytest.raises(ModelError, match=f"test_preprocessing.py, line {prepare.__code__.co_firstlineno + 1}: "):
        own(prepare)(images())


def test_own_function_with_arrays_of_several_sizes():
    with pytest.raises(ModelError, match="mine:prepare failed: ValueError"):
        own(lambda _: [np.zeros((2, 3, 1)), np.zeros((3, 2, 1))])(images())
