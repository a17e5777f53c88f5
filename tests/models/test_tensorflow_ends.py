"""Where TensorFlow graphs are entered and left: what is found, and what is asked when it cannot be."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_zoo import (
    BIAS,
    CLASSES,
    FILTER,
    SHAPE,
    Module,
    classifier,
    direct_gradients,
    features,
    image,
    linear,
    noise,
    open_tensorflow,
    save_checkpoint,
    save_frozen,
    save_module,
    save_tf1_saved_model,
    tf1,
    tf1_logits,
    trainable,
    v1,
)

from picasso.errors import ConfigError, ModelError, NotSupported
from picasso.models.info import Assumption

pytestmark = pytest.mark.slow  # many small models


# Whole numbers as input
def whole_numbers(path, build):
    tf1(lambda: tf.nn.softmax(tf1_logits(build(image(dtype=tf.uint8))), name="scores"), save_frozen(path))
    return path


def test_whole_numbers_are_given_as_such(tmp_path):
    path = whole_numbers(tmp_path / "frozen.pb", lambda x: tf.cast(x, tf.float32) / 255)
    model = open_tensorflow(path)
    model.warm_up()
    assert model.info.capabilities == {"predict", "gradients", "logits", "activations"}
    (assumed,) = model.info.assumptions
    assert "pictures are given to it as 0..255" in assumed.sentence
    assert model.solid(51).max() == 51
    x = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x), tf.nn.softmax(linear(x / 255)), atol=1e-5)
    np.testing.assert_allclose(model.predict(x + 0.3), model.predict(x), atol=1e-6)
    expected = direct_gradients(lambda x: linear(x / 255), x, [0, 1, 2])
    np.testing.assert_allclose(model.gradients(x, [0, 1, 2]), expected, atol=1e-6)
    chosen = open_tensorflow(path, MODEL_PREPROCESS={"scale": [0, 100]})
    assert (chosen.info.assumptions, chosen.solid(255).max()) == ((), 100)


def test_whole_numbers_without_gradients(tmp_path):
    path = whole_numbers(tmp_path / "frozen.pb", lambda x: v1.image.resize_bilinear(x, SHAPE[:2]) / 255)
    model = open_tensorflow(path)
    model.warm_up()
    assert model.info.capabilities == {"predict", "logits", "activations"}
    assert "cannot be differentiated with respect to its input" in model.info.warnings[-1]
    x = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x), tf.nn.softmax(linear(x / 255)), atol=1e-5)


def test_an_operation_without_gradient(tmp_path):
    def build():
        tf.nn.softmax(tf1_logits(tf.bitcast(tf.bitcast(image(), tf.int32), tf.float32)), name="scores")

    tf1(build, save_frozen(tmp_path / "frozen.pb"))
    model = open_tensorflow(tmp_path / "frozen.pb")
    model.warm_up()
    assert model.info.capabilities == {"predict", "logits", "activations"}
    assert model.info.warnings[0].startswith("frozen")
    with pytest.raises(NotSupported, match="frozen"):
        model.gradients(noise(), [0])


# Several that fit
def two_outputs(folder):
    def build():
        logits = tf1_logits(image())
        tf.nn.softmax(logits, name="kind")
        tf.nn.softmax(-logits, name="colour")

    tf1(build, save_tf1_saved_model(folder / "m", ["kind", "colour"]))
    return folder / "m"


@pytest.mark.parametrize(("output", "sign"), [("kind", 1), ("colour", -1), ("colour:0", -1), (0, -1), ("1", 1)])
def test_outputs_are_chosen_by_name_or_number(tmp_path, output, sign):
    model = open_tensorflow(two_outputs(tmp_path), MODEL_OUTPUT=output)
    np.testing.assert_allclose(model.predict(noise(2)), tf.nn.softmax(sign * linear(noise(2))), atol=1e-5)


def test_another_output_is_mentioned(tmp_path):
    def build():
        logits = tf1_logits(image())
        tf.nn.softmax(logits, name="kind")
        tf.sigmoid(-logits, name="flags")

    tf1(build, save_checkpoint(tmp_path / "model"))
    info = open_tensorflow(tmp_path).info
    assert (info.outputs, info.output) == (("flags", "kind"), "kind")
    sentence = "The output 'kind' is explained; the model also has flags."
    assert info.assumptions[0] == Assumption(sentence, 'MODEL_OUTPUT = "kind"')


def two_images():
    one, two = image(), v1.placeholder(tf.float32, [None, *SHAPE], name="second")
    tf.nn.softmax(tf1_logits(one + two), name="scores")


def no_image():
    tf.nn.softmax(v1.placeholder(tf.float32, [None, CLASSES], name="row"), name="scores")


def no_output():
    tf.reduce_sum(image(), name="sum")


def apart():
    classifier()
    tf.nn.softmax(v1.get_variable("row", initializer=BIAS[None]), name="elsewhere")


AMBIGUOUS = {
    "two images": (
        two_images,
        {},
        r"several inputs .*image \(\(None, 5, 7, 3\) float32\), second .*MODEL_INPUT = ",
    ),
    "no image": (no_image, {}, r"No image input .*row \(\(None, 4\) float32\).*MODEL_INPUT = \"name:0\""),
    "no output": (no_output, {}, r"No output with one score per class.*MODEL_OUTPUT = \"name:0\""),
    "unknown input": (classifier, {"MODEL_INPUT": "imag"}, r"no tensor 'imag'. The nearest: image"),
    "unknown output": (classifier, {"MODEL_OUTPUT": "score:0"}, r"no tensor 'score:0'. The nearest: scores"),
    "unknown constant": (
        classifier,
        {"MODEL_OTHER_INPUTS": {"keep": 1}},
        "OTHER_INPUTS: the graph has no tensor",
    ),
    "input is no image": (
        classifier,
        {"MODEL_INPUT": "scores"},
        r"scores \(\(None, 4\) float32\) is not an image input",
    ),
    "output is no row": (classifier, {"MODEL_OUTPUT": "image"}, r"image .* has not one score per class"),
    "output apart": (apart, {"MODEL_OUTPUT": "elsewhere"}, "elsewhere:0 does not depend on the input image:0"),
    "output's number": (classifier, {"MODEL_OUTPUT": 1}, r"numbered 0 to 0: scores"),
    "switches": (trainable, {}, r'MODEL_OTHER_INPUTS = {"is_training": 0, "keep_prob": 1.0}'),
    "switches but no labels": (
        trainable,
        {"MODEL_OUTPUT": "masked"},
        r"masked:0 also needs is_training .*keep_prob \(",
    ),
    "constant's shape": (
        two_images,
        {"MODEL_INPUT": "image", "MODEL_OTHER_INPUTS": {"second": [1, 2]}},
        "second must be",
    ),
    "a size that is fixed": (classifier, {"MODEL_INPUT_SIZE": (6, 6)}, r"takes images of \(5, 7\). Leave it out"),
}


@pytest.mark.parametrize(("build", "config", "sentence"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_cannot_be_decided_is_asked(tmp_path, build, config, sentence):
    tf1(lambda: [build(), v1.get_variable("unused", initializer=0.0)], save_checkpoint(tmp_path / "model"))
    with pytest.raises((ConfigError, NotSupported), match=sentence):
        open_tensorflow(tmp_path, **config)


def test_two_outputs_of_one_kind(tmp_path):
    with pytest.raises(ConfigError, match=r"several outputs .*colour .*kind .*MODEL_OUTPUT = \"colour\""):
        open_tensorflow(two_outputs(tmp_path))


def test_an_open_size(tmp_path):
    save_module(tmp_path / "m", ["score"], shape=(None, None, 3))
    with pytest.raises(ModelError, match=r"cannot compute scores of images \(224, 224, 3\).*MODEL_INPUT_SIZE"):
        open_tensorflow(tmp_path / "m")
    with pytest.raises(ModelError, match=r"cannot compute scores of images \(9, 9, 3\).*MODEL_INPUT_SIZE"):
        open_tensorflow(tmp_path / "m", MODEL_INPUT_SIZE=(9, 9))


def test_a_size_is_assumed(tmp_path):
    def build():
        x = image(shape=(None, 7, 3))
        tf.nn.softmax(tf.reduce_mean(features(x), [1, 2]), name="scores")

    tf1(build, save_frozen(tmp_path / "frozen.pb"))
    model = open_tensorflow(tmp_path / "frozen.pb")
    assert model.info.input_shape == (224, 7, 3)
    sentence = "The model takes pictures of any height: 224 x 7 (height x width) is used."
    assert model.info.assumptions[0] == Assumption(sentence, "MODEL_INPUT_SIZE = (224, 7)")
    x = noise(2, shape=(224, 7, 3))
    np.testing.assert_allclose(model.predict(x), tf.nn.softmax(tf.reduce_mean(features(x), [1, 2])), atol=1e-5)


@pytest.mark.parametrize(("config", "value"), [({}, 0), ({"age": 0.5}, 0.5), ({"age": [1.0, -2.0]}, [1, -2])])
def test_other_inputs_of_a_keras_export(tmp_path, config, value):
    """Left out, they are zeros, and the assumption's line does the same; one number fills all of an input."""
    picture, age = keras.Input(SHAPE, name="picture"), keras.Input((2,), name="age")
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(picture), age])
    network = keras.Model([picture, age], keras.layers.Dense(CLASSES, "softmax")(joined))
    network.export(tmp_path / "m", verbose=False)
    model = open_tensorflow(tmp_path / "m", MODEL_OTHER_INPUTS=config)
    filled = np.broadcast_to(np.float32(value), (3, 2))
    np.testing.assert_allclose(model.predict(noise(3)), network([noise(3), filled]), atol=1e-5)
    sentence = "The input age (2,) is filled with zeros."
    assumed = [one for one in model.info.assumptions if one.sentence == sentence]
    assert [one.line for one in assumed] == ([] if config else ['MODEL_OTHER_INPUTS = {"age": [0.0, 0.0]}'])


# Unusual shapes
def without_shape():
    tf.nn.softmax(tf.reduce_mean(features(v1.placeholder(tf.float32, name="x")), [1, 2]), name="scores")


def in_a_row():
    tf.nn.softmax(
        tf1_logits(tf.reshape(v1.placeholder(tf.float32, [None, 105], name="x"), [-1, *SHAPE], "y")), name="z"
    )


def of_a_file():
    picture = tf.cast(tf.image.decode_jpeg(v1.placeholder(tf.string, [], name="x"), 3), tf.float32)
    tf.nn.softmax(tf1_logits(tf.identity(v1.image.resize_bilinear(picture[None], SHAPE[:2]), name="y")), name="z")


@pytest.mark.parametrize(
    ("build", "suggested"),
    [
        (without_shape, r'x \(unknown shape float32\).* write MODEL_INPUT = "x" and MODEL_INPUT_SIZE = \(224, 224\)'),
        (in_a_row, r'follow from them: y \(\(None, 5, 7, 3\) float32\)\. Write .*MODEL_INPUT = "y"'),
        (of_a_file, r"follow from them: ResizeBilinear \(\(1, 5, 7, 3\) float32\), y \("),
    ],
)
def test_what_takes_the_image_is_suggested(tmp_path, build, suggested):
    tf1(lambda: [build(), v1.get_variable("unused", initializer=0.0)], save_checkpoint(tmp_path / "model"))
    with pytest.raises(ConfigError, match=suggested):
        open_tensorflow(tmp_path)


def test_an_input_of_unknown_shape(tmp_path):
    tf1(without_shape, save_frozen(tmp_path / "frozen.pb"))
    model = open_tensorflow(tmp_path / "frozen.pb", MODEL_INPUT="x", MODEL_INPUT_SIZE=SHAPE[:2])
    assert model.info.input_shape == SHAPE
    expected = tf.nn.softmax(tf.reduce_mean(features(noise(3)), [1, 2]))
    np.testing.assert_allclose(model.predict(noise(3)), expected, atol=1e-5)


@pytest.mark.parametrize("axis", [1, 3])
def test_an_input_without_a_channel_axis(tmp_path, axis):
    """Of images of one channel, wherever the graph puts it."""

    def scores(x):
        grey = tf.expand_dims(x, axis)
        maps = tf.transpose(grey, [0, 2, 3, 1]) if axis == 1 else grey
        return tf.nn.softmax(tf.reduce_mean(tf.nn.conv2d(maps, FILTER[:, :, :1], 1, "SAME"), [1, 2]), name="scores")

    tf1(lambda: scores(image(shape=SHAPE[:2])), save_frozen(tmp_path / "frozen.pb"))
    model = open_tensorflow(tmp_path / "frozen.pb")
    assert model.info.input_shape == (5, 7, 1)
    x = noise(3, shape=(5, 7, 1))
    np.testing.assert_allclose(model.predict(x), scores(x[..., 0]), atol=1e-5)
    expected = direct_gradients(lambda x: scores(x[..., 0]), x, [0, 1, 2])
    np.testing.assert_allclose(model.gradients(x, [0, 1, 2], logits=False), expected, atol=1e-6)


@pytest.mark.parametrize("config", [{}, {"MODEL_OUTPUT": "scores"}])
def test_scores_with_dimensions_of_one(tmp_path, config):
    def build():
        maps = tf.reshape(tf1_logits(image()), [-1, 1, 1, CLASSES])
        tf.nn.softmax(maps, name="scores")

    tf1(build, save_frozen(tmp_path / "frozen.pb"))
    model = open_tensorflow(tmp_path / "frozen.pb", **config)
    assert (model.info.classes, "logits" in model.info.capabilities) == (CLASSES, True)
    np.testing.assert_allclose(model.predict(noise(3)), tf.nn.softmax(linear(noise(3))), atol=1e-5)


def test_signatures(tmp_path):
    path = save_module(tmp_path / "m")
    with pytest.raises(ConfigError, match=r"m has several signatures: 'raw', 'score'. Write which: MODEL_SIGNATURE = "):
        open_tensorflow(path)
    with pytest.raises(ConfigError, match="m has no signature 'other': 'raw', 'score'"):
        open_tensorflow(path, MODEL_SIGNATURE="other")
    tf.saved_model.save(Module(), str(tmp_path / "none"))
    with pytest.raises(ModelError, match="SavedModel none has no signature"):
        open_tensorflow(tmp_path / "none")
