"""What is found out at start by running a model: functions that do not fit, constant answers, what the scores are."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
import pytest

from picasso.config import Config, Preprocessing
from picasso.errors import ModelError, NotSupported
from picasso.models.examination import activated, examine, is_constant, no_probabilities
from picasso.models.opening import open_model
from picasso.models.preprocessing import OwnFunction, ReadyMade
from picasso.models.samples import sample_pictures

SHAPE = (4, 6, 3)
READY = ReadyMade(Preprocessing(scale=(0, 1)), SHAPE)


class Scores:
    """A model: its logits are some numbers of the picture's mean colour, its scores what `end` makes of them."""

    def __init__(self, end=lambda z: z, factor=1.0, shift=0.0):
        self.end, self.factor, self.shift = end, np.float32(factor), np.float32(shift)

    def _scores(self, x, logits):
        z = self.factor * x.mean(axis=(1, 2)) @ np.float32([[1, -2, 0], [0, 1, 3], [2, 0, -1]]) + self.shift
        return z if logits else self.end(z).astype(np.float32)


def softmax(z):
    return activated(z, sigmoid=False)


def sigmoid(z):
    return activated(z, sigmoid=True)


def examined(model, preprocess=READY, **known):
    return examine(model, SHAPE, preprocess, **{"logits": False, "sigmoid": False} | known)


def test_sample_pictures_are_the_same_and_differ():
    pictures = sample_pictures()
    assert all(a.tobytes() == b.tobytes() for a, b in zip(pictures, sample_pictures(), strict=True))
    assert {picture.mode for picture in pictures} == {"RGB", "L"}
    assert len({picture.size for picture in pictures}) == len(pictures)
    for picture in pictures:
        assert picture.width != picture.height
        assert np.ptp(np.asarray(picture)) > 0
    means = [np.asarray(picture).mean() for picture in pictures]
    assert min(means) < 10
    assert max(means) > 245


# Scores
def test_probabilities_with_their_logits():
    outcome = examined(Scores(softmax), logits=True)
    assert (outcome.kind, outcome.warnings) == ("probability", ())
    assert outcome.capabilities == {"predict", "gradients", "logits"}
    outcome = examined(Scores(sigmoid), logits=True, sigmoid=True)
    assert (outcome.kind, outcome.warnings) == ("probability", ())
    assert "logits" in outcome.capabilities


@pytest.mark.parametrize(("end", "is_sigmoid"), [(softmax, True), (sigmoid, False)])
def test_logits_of_other_scores_are_refused(end, is_sigmoid):
    outcome = examined(Scores(end), logits=True, sigmoid=is_sigmoid)
    assert "logits" not in outcome.capabilities
    assert "do not give the model's scores" in outcome.warnings[0]


def test_the_tolerance_follows_the_precision_of_the_scores():
    halves = Scores(lambda z: softmax(z).astype(np.float16))
    assert "logits" not in examined(halves, logits=True).capabilities
    assert "logits" in examined(halves, logits=True, rounding=float(np.finfo(np.float16).eps)).capabilities


def test_scores_that_do_not_sum_to_1():
    outcome = examined(Scores(sigmoid))
    assert outcome.kind == "raw score"
    assert outcome.warnings[0].startswith("The scores do not sum to 1 (they sum to ")
    assert outcome.warnings[0].endswith(" for two sample pictures): they are shown as raw scores.")
    sums = np.float32([[0.5, 0.5], [0.6, 0.6], [0.9, 0.9]])
    assert no_probabilities(sums, each_for_itself=False) == (
        "The scores do not sum to 1 (they sum to 1.2 and 1.8 for two sample pictures)"
    )
    assert no_probabilities(sums, each_for_itself=True) == ""


def test_scores_outside_0_to_1():
    assert no_probabilities(np.float32([[-0.25, 7]]), each_for_itself=True) == (
        "The scores do not lie in 0..1 (those of sample pictures in -0.25..7)"
    )
    assert "do not lie in 0..1" in examined(Scores()).warnings[0]


def test_one_picture_that_does_not_sum_to_1():
    assert "sum to 1 and 0.8" in no_probabilities(np.float32([[0.5, 0.5], [0.5, 0.5], [0.4, 0.4]]), False)


def test_scores_that_are_not_finite():
    def some(z):
        return np.where(z[:, :1] > 0.1, softmax(z), np.nan)

    outcome = examined(Scores(some), logits=True)
    assert outcome.warnings == ("The model gives scores that are NaN or infinite for some sample pictures.",)
    assert (outcome.kind, "logits" in outcome.capabilities) == ("probability", True)
    with pytest.raises(ModelError, match=r"NaN or infinite, whatever the picture.*MODEL_PREPROCESS"):
        examined(Scores(lambda z: z * np.nan))


# Pictures beside each other
def test_scores_that_depend_on_the_pictures_beside_are_refused():
    with pytest.raises(NotSupported, match=r"depend on the pictures beside it: alone, they differ by \d+ %"):
        examined(Scores(lambda z: softmax(9 * z / z.max())))


def test_scores_that_are_random_are_said():
    rng = np.random.default_rng(0)
    (warning,) = examined(Scores(lambda z: softmax(z + rng.normal(size=z.shape)))).warnings
    assert "other scores each time" in warning


@pytest.mark.parametrize(("most", "coarsest"), [(5e-4, {}), (0.01, {"coarsest": 2**-10})])
def test_rounding_is_no_dependence(most, coarsest):
    assert not examined(Scores(lambda z: softmax(z) * np.float32(1 + most * (len(z) == 1))), **coarsest).warnings


# A constant answer
@pytest.mark.parametrize(
    "end",
    [
        lambda z: softmax(z * 0),
        lambda z: z * 0,
        lambda z: softmax(z * 0 + [0, 900, 0]),  # saturated
        lambda z: softmax(z * 1e-8),
    ],
)
def test_a_constant_answer_is_said(end):
    assert any("the same scores for very different pictures" in text for text in examined(Scores(end)).warnings)


class OneClass(Scores):
    """A softmax over one class: always 1."""

    def _scores(self, x, logits):
        z = super()._scores(x, logits=True)[:, :1]
        return z if logits else softmax(z)


@pytest.mark.parametrize("logits", [True, False])
def test_a_softmax_over_one_class_is_constant(logits):
    (warning,) = examined(OneClass(), logits=logits).warnings
    assert warning.endswith("A softmax over one class is always 1: the model may need a sigmoid there instead.")


def test_what_is_common_to_all_logits_is_constant():
    class Common(Scores):
        def _scores(self, x, logits):
            z = np.float32([[1, 2, 3]]) + x.mean(axis=(1, 2))[:, :1].round()
            return z if logits else softmax(z)

    assert any("the same scores" in text for text in examined(Common(), logits=True).warnings)


@pytest.mark.parametrize("factor", [1e-4, 1])
def test_answers_that_differ_little_are_not_constant(factor):
    for end in (softmax, sigmoid, lambda z: z):
        warnings = examined(Scores(end, factor)).warnings
        assert not any("the same scores" in text for text in warnings), warnings


def test_a_model_that_is_sure_of_every_picture_is_not_constant():
    outcome = examined(Scores(softmax, shift=[0, 0, 99]), logits=True)
    assert (outcome.warnings, "logits" in outcome.capabilities) == ((), True)


def test_constant_is_relative_to_the_largest_score():
    assert is_constant(np.float32([[1000, 1], [1000.0001, 1]]))
    assert not is_constant(np.float32([[0.001, 1e-9], [0.001, 9e-9]]))
    assert is_constant(np.zeros((2, 3), np.float32))


# Functions of the user's own
def own(function):
    return OwnFunction(function, "mine:prepare", SHAPE)


def test_a_function_that_uses_the_pictures_own_range_passes():
    def prepare(images):
        arrays = [np.asarray(image.convert("RGB").resize((6, 4)), float) for image in images]
        return np.stack([(x - x.min()) / (x.max() - x.min()) for x in arrays])

    assert examined(Scores(softmax), own(prepare)).warnings == ()


def test_whole_numbers_for_a_model_of_floats_are_said():
    def prepare(images):
        return np.stack([np.asarray(image.convert("RGB").resize((6, 4))) for image in images])

    (warning,) = examined(Scores(softmax), own(prepare)).warnings
    assert warning.startswith("The preprocess function mine:prepare returns uint8, but the model takes float32")
    assert examined(Scores(softmax), own(prepare), whole=True).warnings == ()


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda images: np.zeros((len(images), 6, 4, 3)), r"must return \(5, 4, 6, 3\).*returned \(5, 6, 4, 3\)"),
        (lambda images: np.full((len(images), *SHAPE), "x"), r"of <U1"),
        (lambda images: np.full((len(images), *SHAPE), np.nan), "NaN or infinite"),
        (lambda images: np.stack([np.asarray(image) for image in images]), "failed at .*test_examination.py, line"),
        (lambda images: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_preprocess_function_that_does_not_fit(prepare, sentence):
    with pytest.raises(ModelError, match=f"The preprocess function mine:prepare .*{sentence}"):
        examined(Scores(softmax), own(prepare))


# Whole models
@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Opens a tiny network with settings, and functions of one's own from the text of a module."""
    import keras

    keras.utils.set_random_seed(7)
    parts = [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(4, activation="softmax")]
    keras.Sequential(parts).save(tmp_path / "tiny.keras")

    def open_it(module="", **settings):
        (tmp_path / "picasso_test_functions.py").write_text(module)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "picasso_test_functions", raising=False)
        return open_model(Config(MODEL_PATH=tmp_path / "tiny.keras", **settings))

    return open_it


def test_a_model_without_any_settings(opened):
    info = opened().info
    assert (info.framework, info.pixels, info.labels[3], info.warnings) == ("keras", "0..1", "class 3", ())
    (assumption,) = info.assumptions
    assert assumption.line == 'MODEL_PREPROCESS = {"geometry": "resize", "scale": [0, 1]}'


def test_a_model_with_all_settings(opened):
    info = opened(MODEL_PREPROCESS={"scale": "tf"}, MODEL_LABELS=["a", "b", "c", "d"], MODEL_FRAMEWORK="keras").info
    assert (info.pixels, info.labels, info.assumptions) == ("-1..1", ("a", "b", "c", "d"), ())


def test_functions_that_do_not_fit_are_said_at_start(opened):
    with pytest.raises(ModelError, match="picasso_test_functions:bad must return"):
        opened("def bad(images): return [1]\n", MODEL_PREPROCESS="picasso_test_functions:bad")
    with pytest.raises(ModelError, match=r"picasso_test_functions:bad failed at .*functions.py, line 2: KeyError: 3"):
        opened("def bad(scores):\n    return {}[3]\n", MODEL_DECODE="picasso_test_functions:bad")


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [("[]", "returned 0 lists for 2 images"), ("[[(4, 'x', 1)]] * 2", r"the index 4 is not one of 0\.\.3")],
)
def test_a_decode_function_that_does_not_fit(opened, returned, sentence):
    with pytest.raises(ModelError, match=sentence):
        opened(f"def decode(scores): return {returned}\n", MODEL_DECODE="picasso_test_functions:decode")


def test_a_decode_function_is_tried_with_probabilities(opened):
    model = opened(
        "def decode(scores):\n    assert scores.shape == (2, 4) and abs(scores.sum() - 2) < 1e-5\n"
        "    return [[(0, 'x', 1)]] * 2\n",
        MODEL_DECODE="picasso_test_functions:decode",
    )
    assert model.own_decode is not None


def test_what_was_found_is_in_the_key_of_runs(opened):
    found, written = opened().info, opened(MODEL_PREPROCESS={"scale": [0, 1]}).info
    assert found.functions == written.functions
    assert found.functions != opened(MODEL_PREPROCESS={"scale": [-1, 1]}).info.functions


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NotSupported("No gradients."), "No gradients."),
        (
            RuntimeError("out of luck\nmany lines"),
            "tiny has no gradients: the first one failed with RuntimeError: out of luck",
        ),
    ],
)
def test_a_first_gradient_that_fails_costs_the_gradients_only(opened, monkeypatch, error, sentence):
    def fail(*_):
        raise error

    model = opened()
    monkeypatch.setattr(model, "_gradients", fail)
    model.warm_up()
    assert model.info.capabilities == {"predict", "logits"}
    assert model.info.warnings == (sentence,)
