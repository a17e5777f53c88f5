"""Which pixel values a model takes: told by the config, by the model's first layers, by its structure."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from picasso.config import Config, Preprocessing
from picasso.models import pixels
from picasso.models.anatomy import Anatomy
from picasso.models.families import Family
from picasso.models.pixels import find_pixels, preprocess_line, taken_by

SHAPE = (6, 8, 3)
RED_FIRST = np.float32([0.485, 0.456, 0.406])
DEVIATION = np.float32([0.229, 0.224, 0.225])
BGR_MEAN = np.float32([103.939, 116.779, 123.68])


def normalization(mean, variance, **more):
    layer = layers.Normalization(mean=mean, variance=variance, **more)
    return lambda x: np.asarray(layer(x))


def chain(*parts):
    network = keras.Sequential([keras.Input(SHAPE), *parts])
    return lambda x: np.asarray(network(x, training=False))


TAKEN = {
    "0..255": {
        "Rescaling(1/255)": chain(layers.Rescaling(1 / 255)),
        "Rescaling(1/127.5, -1)": chain(layers.Rescaling(1 / 127.5, offset=-1)),
        "(x - 127) / 128": lambda x: (x - 127) / 128,
        "Normalization of pixels": normalization([123.7, 116.3, 103.5], [58.4**2, 57.1**2, 57.4**2]),
        "Normalization of dark pixels": normalization(5.0, 10.0**2),
        "Normalization of bright pixels": normalization(250.0, 4.0**2),
        "two steps": chain(layers.Rescaling(1 / 255), layers.Normalization(mean=RED_FIRST, variance=DEVIATION**2)),
        "caffe": lambda x: x[..., ::-1] - BGR_MEAN,
        "caffe without a change of channels": lambda x: x - BGR_MEAN[::-1],
        "inverted": lambda x: 1 - x / 255,
        "inverted pixels": lambda x: 255 - x,
        "grey": lambda x: x.mean(axis=-1, keepdims=True) / 255,
        "padded": chain(layers.Rescaling(1 / 255), layers.ZeroPadding2D(2)),
        "flattened": chain(layers.Rescaling(1 / 255), layers.Flatten()),
        "clipped behind": lambda x: np.clip(x / 255, 0, 1),
        "square root": lambda x: np.sqrt(x / 255),
        "half precision": lambda x: (x / 255).astype(np.float16),
    },
    "0..1": {
        "Rescaling(2, -1)": chain(layers.Rescaling(2, offset=-1)),
        "x - 0.5": lambda x: x - 0.5,
        "Normalization of 0..1": normalization(RED_FIRST, DEVIATION**2),
        "Normalization of dark 0..1": normalization(0.13, 0.31**2),
        "to pixels and caffe": lambda x: x[..., ::-1] * 255 - BGR_MEAN,
    },
    "clipped to 0..1": {
        "clip(x, 0, 1)": lambda x: np.clip(x, 0, 1),
        "minimum(x, 1)": lambda x: np.minimum(x, 1),
        "brought to -1..1": lambda x: np.clip(2 * x - 1, -1, 1),
        "of quantised training": lambda x: np.asarray(tf.quantization.fake_quant_with_min_max_args(x, 0, 1)),
    },
    "clipped to -1..1": {
        "clip(x, -1, 1)": lambda x: np.clip(x, -1, 1),
        "brought to 0..1": lambda x: (np.clip(x, -1, 1) + 1) / 2,
    },
    "as given": {
        "clip(x, 0, 255)": lambda x: np.clip(x, 0, 255),
        "nothing": lambda x: x,
        "padding": chain(layers.ZeroPadding2D(3)),
        "augmentation": chain(layers.RandomFlip(), layers.RandomRotation(0.1)),
        "flattening": chain(layers.Flatten()),
    },
    "not known": {
        "BGR": lambda x: x[..., ::-1],
        "standardised for each picture": lambda x: x - x.mean(axis=(1, 2, 3), keepdims=True),
        "Normalization of -1..1": normalization(0.0, 0.5**2),
        "doubled": lambda x: 2 * x,
        "one colour left out": lambda x: x / 255 * np.float32([1, 1, 0]),
        "colours of their own": lambda x: x * np.float32([1, 1 / 255, 1]),
        "saturating": lambda x: np.tanh(x),
        "clipped elsewhere": lambda x: np.clip(x, 0, 6),
        "not a number": lambda x: x * np.nan,
    },
}
CASES = [(taken, name) for taken, cases in TAKEN.items() for name in cases]


@pytest.mark.parametrize(("taken", "name"), CASES, ids=[name for _, name in CASES])
def test_what_first_layers_tell(taken, name):
    assert taken_by(TAKEN[taken][name], SHAPE) == taken


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_any_number_of_channels(channels):
    assert taken_by(lambda x: x / 255, (3, 2, channels)) == "0..255"
    assert taken_by(lambda x: x, (3, 2, channels)) == "as given"


def test_an_entrance_that_nobody_knows():
    assert taken_by(None, SHAPE) == "as given"


@given(st.floats(0.15, 0.85), st.floats(0.1, 1), st.booleans())
def test_any_standardisation_is_told_by_its_range(mean, share, whole):
    """A deviation is at most the square root of mean * (1 - mean), in units of the range (Bhatia and Davis 2000)."""
    deviation = share * np.sqrt(mean * (1 - mean))
    scale = 255 if whole else 1
    assert taken_by(lambda x: (x / scale - mean) / deviation, SHAPE) == ("0..255" if whole else "0..1")


# What is made of it
def anatomy(**known):
    return Anatomy(SHAPE, 10, 0, **known)


def found(config=None, **known):
    return find_pixels(config or Config(), anatomy(**known))


def built_as(monkeypatch, scale, inside=False):
    monkeypatch.setattr(pixels, "family_of", lambda _: Family("SomeNet", scale, inside))


def the_assumption(pixels, sentence):
    """Checks the one assumption, and that its line says what is done."""
    (assumption,) = pixels.assumptions
    assert sentence in assumption.sentence
    names: dict[str, object] = {}
    exec(assumption.line, names)
    assert Preprocessing(**names["MODEL_PREPROCESS"]) == pixels.preprocess


def test_nothing_is_known():
    pixels = found()
    assert (pixels.text, pixels.preprocess) == ("0..1", Preprocessing(scale=(0, 1)))
    assert pixels.assumptions[0].line == 'MODEL_PREPROCESS = {"geometry": "resize", "scale": [0, 1]}'
    the_assumption(pixels, "nothing in the model says which range")


def test_whole_numbers():
    pixels = found(whole=True)
    assert (pixels.text, pixels.preprocess.scale) == ("0..255", (0, 255))
    the_assumption(pixels, "takes whole numbers")


@pytest.mark.parametrize("entrance", [lambda x: x / 255, lambda x: x - BGR_MEAN])
def test_a_model_that_scales_pixels_itself(entrance, monkeypatch):
    built_as(monkeypatch, "caffe")  # what the model does itself counts more than its family
    pixels = found(entrance=entrance)
    assert (pixels.text, pixels.preprocess.scale) == ("0..255", (0, 255))
    the_assumption(pixels, "The model scales pixel values itself, so it is given 0..255.")


def test_a_model_that_scales_0_to_1_itself():
    pixels = found(entrance=lambda x: 2 * x - 1)
    assert (pixels.text, pixels.preprocess.scale) == ("0..1", (0, 1))
    the_assumption(pixels, "from 0..1")


@pytest.mark.parametrize(("low", "text"), [(0, "0..1"), (-1, "-1..1")])
def test_a_model_that_clips(low, text):
    pixels = found(entrance=lambda x: np.clip(x, low, 1))
    assert (pixels.text, pixels.preprocess.scale) == (text, (low, 1))
    the_assumption(pixels, f"The model clips pixel values to {text}, so it is given these.")


@pytest.mark.parametrize("entrance", [None, lambda x: x])
@pytest.mark.parametrize(("scale", "text"), [("caffe", "caffe: BGR, ImageNet mean subtracted"), ("tf", "-1..1")])
def test_a_known_family(entrance, scale, text, monkeypatch):
    built_as(monkeypatch, scale)
    pixels = found(entrance=entrance)
    assert (pixels.text, pixels.preprocess.scale) == (text, scale)
    the_assumption(pixels, "built as SomeNet")


def test_a_family_that_scales_pixels_itself(monkeypatch):
    built_as(monkeypatch, "torch", inside=True)
    assert found(entrance=None).text == "0..255"
    assert found(entrance=lambda x: x / 255).text == "0..255"
    # built without the layers that do it: include_preprocessing=False
    assert found(entrance=lambda x: x).text == "torch: 0..1, then ImageNet mean and deviation"


def test_a_family_behind_something_that_is_not_understood(monkeypatch):
    built_as(monkeypatch, "caffe")
    assert found(entrance=lambda x: x[..., ::-1]).text == "0..1"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ({"scale": (-1, 1)}, "-1..1"),
        ({"scale": "imagenet"}, "imagenet: 0..1, then ImageNet mean and deviation"),
        ({"subtract": 0}, "0..255"),
        ({"subtract": 127, "divide": 128}, "-0.992188..1"),
        ({"subtract": (1, 2, 3), "divide": 2}, "(x - [1, 2, 3]) / 2"),
    ],
)
def test_what_the_config_says_counts(written, text):
    pixels = found(Config(MODEL_PREPROCESS=Preprocessing(**written)), whole=True, entrance=lambda x: x / 255)
    assert (pixels.preprocess, pixels.text, pixels.assumptions) == (Preprocessing(**written), text, ())


def test_a_function_of_ones_own():
    pixels = found(Config(MODEL_PREPROCESS="mine:prepare"))
    assert (pixels.preprocess, pixels.text, pixels.assumptions) == ("mine:prepare", "as mine:prepare gives them", ())


def test_a_geometry_without_a_range():
    config = Config(MODEL_PREPROCESS=Preprocessing(geometry="center_crop", resample="bicubic"))
    pixels = found(config, whole=True)
    assert pixels.preprocess == Preprocessing(geometry="center_crop", resample="bicubic", scale=(0, 255))
    assert pixels.assumptions[0].line == (
        'MODEL_PREPROCESS = {"geometry": "center_crop", "resample": "bicubic", "scale": [0, 255]}'
    )


@given(
    st.sampled_from(["resize", "center_crop", "letterbox"]),
    st.one_of(st.sampled_from(["imagenet", "caffe", "tf"]), st.tuples(st.floats(-9, 0), st.floats(0.001, 300))),
)
def test_lines_say_what_is_meant(geometry, scale):
    spec = Preprocessing(geometry=geometry, scale=scale)
    names: dict[str, object] = {}
    exec(preprocess_line(spec), names)
    assert Preprocessing(**names["MODEL_PREPROCESS"]) == spec
