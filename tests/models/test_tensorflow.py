"""The TensorFlow adapter: every kind of file, with networks made here, against the same computation done directly."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from picasso.config import Config, load_config
from picasso.errors import ConfigError, ModelError, NotSupported
from picasso.models.base import MAX_BATCH
from picasso.models.opening import open_model

pytestmark = pytest.mark.slow  # a zoo of models, each traced

v1 = tf.compat.v1
DOCS = Path(__file__).parents[2] / "docs" / "models.md"
SHAPE = (5, 7, 3)
PIXELS = 5 * 7 * 3
CLASSES = 4
KERNEL = np.random.default_rng(1).normal(0, 0.2, (PIXELS, CLASSES)).astype(np.float32)
BIAS = np.linspace(-0.5, 0.5, CLASSES).astype(np.float32)
FILTER = np.random.default_rng(2).normal(0, 0.4, (3, 3, 3, 3)).astype(np.float32)


def noise(count=1, seed=0, shape=SHAPE):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def features(x):
    """Something that is not linear, so that gradients differ between images."""
    return tf.nn.silu(tf.nn.conv2d(x, FILTER, 1, "SAME"))


def linear(x):
    return tf.reshape(features(x), [-1, PIXELS]) @ KERNEL + BIAS


def direct_gradients(function: Callable[[Any], Any], x, classes):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        chosen = tf.gather(function(x), classes, batch_dims=1)
    return tape.gradient(chosen, x)


def open_tensorflow(path, **config):
    return open_model(Config(MODEL_PATH=path, MODEL_FRAMEWORK="tensorflow", **config))


# What makes files
def tf1(build: Callable[[], Any], save: Callable[[Any], None]):
    """Builds a TF1 graph, gives its variables their values, saves it."""
    with tf.Graph().as_default(), v1.Session() as session:
        build()
        session.run(v1.global_variables_initializer())
        save(session)


def tensor(session, name):
    return session.graph.get_tensor_by_name(f"{name}:0")


def tf1_logits(x, resource=False):
    """The same as `linear`, with variables of the old kind or the newer."""
    kernel = v1.get_variable("kernel", initializer=KERNEL, use_resource=resource)
    bias = v1.get_variable("bias", initializer=BIAS, use_resource=not resource)
    convolved = tf.nn.conv2d(x, v1.get_variable("filter", initializer=FILTER, use_resource=resource), 1, "SAME")
    flat = tf.reshape(convolved * tf.sigmoid(convolved), [-1, PIXELS])
    return tf.nn.bias_add(tf.matmul(flat, kernel), bias, name="logits")


def image(batch=None, dtype=tf.float32, shape=SHAPE):
    return v1.placeholder(dtype, [batch, *shape], name="image")


def classifier(batch=None):
    return tf.nn.softmax(tf1_logits(image(batch)), name="scores")


def trainable():
    """As tutorials build it: labels, dropout, batch statistics' switch, a loss, an optimizer, an accuracy, the best."""
    x = image()
    labels = v1.placeholder(tf.float32, [None, CLASSES], name="labels")
    keep = v1.placeholder(tf.float32, name="keep_prob")
    training = v1.placeholder(tf.bool, [], name="is_training")
    x = tf.cond(training, lambda: x * 100, lambda: x)
    logits = tf1_logits(v1.nn.dropout(x, keep_prob=keep))
    scores = tf.nn.softmax(logits, name="scores")
    loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, logits))
    v1.train.AdamOptimizer().minimize(loss)
    right = tf.equal(tf.argmax(scores, 1), tf.argmax(labels, 1))
    tf.reduce_mean(tf.cast(right, tf.float32), name="accuracy")
    tf.multiply(scores, labels, name="masked")
    tf.nn.top_k(scores, 2, name="best")


def save_frozen(path, output="scores"):
    def save(session):
        frozen = v1.graph_util.convert_variables_to_constants(session, session.graph.as_graph_def(), [output])
        path.write_bytes(frozen.SerializeToString())

    return save


def save_checkpoint(prefix, step=None):
    return lambda session: v1.train.Saver().save(session, str(prefix), global_step=step)


def save_tf1_saved_model(path, outputs=("scores",), inputs=("image",)):
    def save(session):
        ends = ({name: tensor(session, name) for name in names} for names in (inputs, outputs))
        v1.saved_model.simple_save(session, str(path), *ends)

    return save


class Module(tf.Module):
    """Two functions that share their variables."""

    def __init__(self, batch=None, shape=SHAPE):
        super().__init__()
        self.kernel = tf.Variable(KERNEL)
        spec = tf.TensorSpec([batch, *shape], tf.float32, name="picture")
        self.score = tf.function(lambda picture: {"p": tf.nn.softmax(self.logits(picture))}, input_signature=[spec])
        self.raw = tf.function(lambda picture: {"raw": self.logits(picture)}, input_signature=[spec])

    def logits(self, x):
        return tf.reshape(features(x), [-1, PIXELS]) @ self.kernel + BIAS


def save_module(path, names=("score", "raw"), **options):
    module = Module(**options)
    tf.saved_model.save(module, str(path), signatures={name: getattr(module, name) for name in names})
    return path


def keras_network():
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(4, 3, activation="silu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(CLASSES, bias_initializer="normal"),
            layers.Softmax(),
        ]
    )


@dataclass(frozen=True)
class Case:
    """A model on disk, and what it must compute."""

    path: Path
    config: dict[str, Any]
    scores: Callable[[Any], Any]
    logits: Callable[[Any], Any] | None = None
    kind: str = "probability"
    parameters: int = PIXELS * CLASSES + CLASSES + 3 * 3 * 3 * 3


def soft(path, **config):
    return Case(path, config, lambda x: tf.nn.softmax(linear(x)), linear)


def keras_export(folder):
    network = keras_network()
    network.export(folder / "export", verbose=False)
    logits = keras.Sequential(network.layers[:-1])
    return Case(
        folder / "export",
        {},
        lambda x: network(x, training=False),
        lambda x: logits(x, training=False),
        parameters=network.count_params(),
    )


def module_default(folder):
    module = Module()
    tf.saved_model.save(module, str(folder / "m"), signatures={"serving_default": module.score, "other": module.raw})
    return soft(folder / "m")


def module_chosen(folder):
    case = soft(save_module(folder / "m"), MODEL_SIGNATURE="raw")
    return Case(case.path, case.config, linear, kind="raw score")


def module_only(folder):
    return soft(save_module(folder / "m", ["score"]))


def module_file(folder):
    return soft(save_module(folder / "m", ["score"]) / "saved_model.pb")


def module_one_image(folder):
    return soft(save_module(folder / "m", ["score"], batch=1))


def module_three_images(folder):
    return soft(save_module(folder / "m", ["score"], batch=3))


def module_any_size(folder):
    return soft(save_module(folder / "m", ["score"], shape=(None, None, 3)), MODEL_INPUT_SIZE=SHAPE[:2])


class Many(tf.Module):
    """Several inputs and outputs, whose names sort otherwise than they are written."""

    def __init__(self):
        super().__init__()
        self.bias = tf.Variable(BIAS)

    def score(self, z_image, b_flip, a_row):
        """A condition and a loop inside, which stay functions of the graph."""
        logits = tf.reshape(features(z_image), [-1, PIXELS]) @ KERNEL + self.bias * a_row[:, :1]
        logits = tf.cond(b_flip > 0.5, lambda: -logits, lambda: logits)
        logits = tf.while_loop(lambda i, _: i < 2, lambda i, row: (i + 1, row * 2), (0, logits))[1]
        scores = tf.nn.softmax(logits)
        return {"z_logits": logits, "m_scores": scores, "a_class": tf.argmax(scores, 1), "b_row": a_row}


def module_of_many(folder):
    module = Many()
    specs = [
        tf.TensorSpec([None, *SHAPE], name="z_image"),
        tf.TensorSpec([], name="b_flip"),
        tf.TensorSpec([None, 2], name="a_row"),
    ]
    function = tf.function(module.score).get_concrete_function(*specs)
    tf.saved_model.save(module, str(folder / "m"), signatures={"serving_default": function})

    def logits(x):
        return -2 * 2 * (tf.reshape(features(x), [-1, PIXELS]) @ KERNEL + 3 * BIAS)

    config = {"MODEL_OTHER_INPUTS": {"a_row": [3.0, 1.0], "b_flip": 1.0}, "MODEL_OUTPUT": "m_scores"}
    parameters = Case.parameters
    return Case(folder / "m", config, lambda x: tf.nn.softmax(logits(x)), logits, parameters=parameters)


def module_compiled(folder):
    """A function that asks not to be inlined."""
    module = Module()
    inner = tf.function(lambda x: tf.nn.softmax(module.logits(x)), jit_compile=True)
    spec = tf.TensorSpec([None, *SHAPE], name="x")
    tf.saved_model.save(module, str(folder / "m"), signatures=tf.function(lambda x: {"y": inner(x)}, [spec]))
    return soft(folder / "m")


def tf1_saved_model(folder):
    tf1(classifier, save_tf1_saved_model(folder / "m"))
    return soft(folder / "m")


def tf1_saved_model_estimator(folder):
    """Logits, probabilities and classes, as estimators export them; and a placeholder that no signature names."""

    def build():
        keep = v1.placeholder(tf.float32, [], name="keep")
        scores = tf.nn.softmax(tf1_logits(v1.nn.dropout(image(), keep_prob=keep), resource=True), name="scores")
        tf.argmax(scores, 1, name="classes")

    tf1(build, save_tf1_saved_model(folder / "m", ["logits", "scores", "classes"]))
    return soft(folder / "m", MODEL_OTHER_INPUTS={"keep": 1.0})


def frozen(folder):
    tf1(classifier, save_frozen(folder / "frozen.pb"))
    return soft(folder / "frozen.pb")


def frozen_named(folder):
    tf1(classifier, save_frozen(folder / "frozen.pb"))
    config = {"MODEL_INPUT": "image:0", "MODEL_OUTPUT": "logits"}
    return Case(folder / "frozen.pb", config, linear, kind="raw score")


def frozen_one_image(folder):
    tf1(lambda: classifier(1), save_frozen(folder / "frozen.pb"))
    return soft(folder / "frozen.pb")


def frozen_reshaped_to_one(folder):
    """The placeholder's batch is open, but a reshape inside knows one image only."""
    tf1(lambda: tf.reshape(classifier(), [1, CLASSES], name="one"), save_frozen(folder / "frozen.pb", "one"))
    return soft(folder / "frozen.pb")


def frozen_reshaped_softmax(folder):
    """As MobileNet's: logits (N, 1, 1, classes), squeezed behind the softmax."""

    def build():
        wide = tf.reshape(tf1_logits(image()), [-1, 1, 1, CLASSES])
        tf.identity(tf.squeeze(tf.nn.softmax(wide), [1, 2]), name="scores")

    tf1(build, save_frozen(folder / "frozen.pb"))
    return soft(folder / "frozen.pb")


def frozen_inner_input(folder):
    """As Inception's: the input is a JPEG file's bytes; the image is put in further on."""

    def build():
        decoded = tf.image.decode_jpeg(v1.placeholder(tf.string, [], name="contents"), 3)
        x = tf.identity(v1.image.resize_bilinear(tf.cast(decoded, tf.float32)[None], SHAPE[:2]), name="resized")
        tf.nn.softmax(tf1_logits(x), name="scores")

    tf1(build, save_frozen(folder / "frozen.pb"))
    return soft(folder / "frozen.pb", MODEL_INPUT="resized")


def frozen_batch_input(folder):
    """A second input with a row for each image."""

    def build():
        more = v1.placeholder(tf.float32, [None, 2], name="more")
        joined = tf.concat([tf.reshape(image(), [-1, PIXELS]), more], 1)
        kernel = np.concatenate([KERNEL, [BIAS, BIAS]]).astype(np.float32)
        tf.nn.softmax(tf.matmul(joined, kernel), name="scores")

    tf1(build, save_frozen(folder / "frozen.pb"))

    def logits(x):
        return tf.reshape(x, [-1, PIXELS]) @ KERNEL + 1.5 * BIAS

    config = {"MODEL_OTHER_INPUTS": {"more": [1.0, 0.5]}}
    return Case(
        folder / "frozen.pb",
        config,
        lambda x: tf.nn.softmax(logits(x)),
        logits,
        parameters=(PIXELS + 2) * CLASSES,
    )


def checkpoint(folder):
    tf1(classifier, save_checkpoint(folder / "model.ckpt"))
    return soft(folder / "model.ckpt.meta")


def checkpoint_prefix(folder):
    return soft(checkpoint(folder).path.with_suffix(""))


def checkpoint_of_training(folder):
    tf1(trainable, save_checkpoint(folder / "model.ckpt"))
    return soft(folder, MODEL_OTHER_INPUTS={"keep_prob": 1.0, "is_training:0": 0})


def no_softmax(folder):
    tf1(lambda: tf1_logits(image()), save_frozen(folder / "frozen.pb", "logits"))
    return Case(folder / "frozen.pb", {}, linear, kind="raw score")


def sigmoid(folder):
    tf1(lambda: tf.sigmoid(tf1_logits(image()), name="scores"), save_frozen(folder / "frozen.pb"))
    return Case(folder / "frozen.pb", {}, lambda x: tf.sigmoid(linear(x)))


def half_precision(folder):
    def build():
        x = tf.cast(image(dtype=tf.float16), tf.float32)
        tf.cast(tf.nn.softmax(tf1_logits(x)), tf.float64, name="scores")

    tf1(build, save_frozen(folder / "frozen.pb"))

    def logits(x):
        return linear(tf.cast(tf.cast(x, tf.float16), tf.float32))

    return Case(folder / "frozen.pb", {}, lambda x: tf.nn.softmax(logits(x)), logits)


CASES = [
    keras_export,
    module_default,
    module_chosen,
    module_only,
    module_file,
    module_one_image,
    module_three_images,
    module_any_size,
    module_of_many,
    module_compiled,
    tf1_saved_model,
    tf1_saved_model_estimator,
    frozen,
    frozen_named,
    frozen_one_image,
    frozen_reshaped_to_one,
    frozen_reshaped_softmax,
    frozen_inner_input,
    frozen_batch_input,
    checkpoint,
    checkpoint_prefix,
    checkpoint_of_training,
    no_softmax,
    sigmoid,
    half_precision,
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.__name__)
def pair(request, tmp_path_factory):
    """A case and its opened model."""
    case = request.param(tmp_path_factory.mktemp(request.param.__name__))
    model = open_tensorflow(case.path, **case.config)
    model.warm_up()
    return case, model


# Every kind of file computes what the framework computes
def test_what_is_known(pair):
    case, model = pair
    info = model.info
    assert info.framework == "tensorflow"
    assert (info.input_shape, info.classes, info.score_kind) == (SHAPE, CLASSES, case.kind)
    assert info.capabilities == {"predict", "gradients"} | ({"logits"} if case.logits else set())
    assert info.parameters == case.parameters
    assert bool(info.warnings) == (case.kind == "raw score")
    assert dict(info.versions).keys() == {"tensorflow", "numpy"}
    assert len(info.fingerprint) == 64
    assert info.seconds_per_image > 0


@pytest.mark.parametrize("count", [1, 2, 5, MAX_BATCH + 3])
def test_predict(pair, count):
    case, model = pair
    x = noise(count)
    scores = model.predict(x)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, case.scores(x), atol=1e-5)


def test_logits(pair):
    case, model = pair
    if case.logits is None:
        with pytest.raises(NotSupported, match="has no logit"):
            model.predict(noise(), logits=True)
    else:
        np.testing.assert_allclose(model.predict(noise(3), logits=True), case.logits(noise(3)), atol=1e-5)


@pytest.mark.parametrize("logits", [True, False])
def test_gradients(pair, logits):
    case, model = pair
    x, classes = noise(5), [3, 0, 1, 1, 2]
    if logits and case.logits is None:
        with pytest.raises(NotSupported, match="has no logit"):
            model.gradients(x, classes, logits=True)
        return
    expected = direct_gradients(case.logits if logits else case.scores, x, classes)
    gradients = model.gradients(x, classes, logits=logits)
    assert (gradients.shape, gradients.dtype) == ((5, *SHAPE), np.float32)
    tolerance = 1e-3 if case.path.parent.name.startswith("half") else 1e-5  # the gradient is rounded to float16
    np.testing.assert_allclose(gradients, expected, atol=tolerance)


def test_occlude(pair):
    case, model = pair
    x, fill = noise(1), noise(1, seed=1)[0]
    corners = np.array([(top, left) for top in range(-1, 5) for left in range(-1, 7)])
    copies = np.repeat(x, len(corners), axis=0)
    for copy, (top, left) in zip(copies, corners, strict=True):
        rows, columns = slice(max(0, top), top + 2), slice(max(0, left), left + 3)
        copy[rows, columns] = fill[rows, columns]
    np.testing.assert_allclose(model.occlude(x, corners, (2, 3), fill), case.scores(copies), atol=1e-5)


# Whole numbers as input
def whole_numbers(path, build):
    tf1(lambda: tf.nn.softmax(tf1_logits(build(image(dtype=tf.uint8))), name="scores"), save_frozen(path))
    return path


def test_whole_numbers_are_given_as_such(tmp_path):
    path = whole_numbers(tmp_path / "frozen.pb", lambda x: tf.cast(x, tf.float32) / 255)
    model = open_tensorflow(path)
    model.warm_up()
    assert model.info.capabilities == {"predict", "gradients", "logits"}
    assert "pictures are given to it as 0..255" in model.info.assumptions[0].sentence
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
    assert model.info.capabilities == {"predict", "logits"}
    assert "cannot be differentiated with respect to its input" in model.info.warnings[-1]
    x = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x), tf.nn.softmax(linear(x / 255)), atol=1e-5)


def test_an_operation_without_gradient(tmp_path):
    def build():
        tf.nn.softmax(tf1_logits(tf.bitcast(tf.bitcast(image(), tf.int32), tf.float32)), name="scores")

    tf1(build, save_frozen(tmp_path / "frozen.pb"))
    model = open_tensorflow(tmp_path / "frozen.pb")
    model.warm_up()
    assert model.info.capabilities == {"predict", "logits"}
    assert model.info.warnings[0].startswith("frozen")
    with pytest.raises(NotSupported, match="frozen"):
        model.gradients(noise(), [0])


def test_no_batch_size_traces_again(tmp_path):
    model = open_tensorflow(frozen(tmp_path).path)
    model.gradients(noise(), [0])
    for count in (1, 2, 5, MAX_BATCH + 1, 70):
        model.predict(noise(count))
        model.gradients(noise(count), [1] * count)
    assert model._forward.experimental_get_tracing_count() == 1
    assert [one.experimental_get_tracing_count() for one in model._backward] == [0, 1]


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
    assert open_tensorflow(tmp_path).info.warnings == (
        "The output 'kind' is explained; the model also has flags. Another one: MODEL_OUTPUT = \"flags\".",
    )


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
    "labels needed": (trainable, {"MODEL_OUTPUT": "masked"}, r"masked:0 also needs .*labels \(\(None, 4\)"),
    "constant's shape": (two_images, {"MODEL_INPUT": "image", "MODEL_OTHER_INPUTS": {"second": 1}}, "second must be"),
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
    with pytest.raises(ConfigError, match=r"MODEL_INPUT_SIZE = \(224, 224\)"):
        open_tensorflow(tmp_path / "m")
    with pytest.raises(ModelError, match=r"cannot compute scores of images \(9, 9, 3\).*MODEL_INPUT_SIZE"):
        open_tensorflow(tmp_path / "m", MODEL_INPUT_SIZE=(9, 9))


def test_signatures(tmp_path):
    path = save_module(tmp_path / "m")
    with pytest.raises(ConfigError, match=r"m has several signatures: 'raw', 'score'. Write which: MODEL_SIGNATURE = "):
        open_tensorflow(path)
    with pytest.raises(ConfigError, match="m has no signature 'other': 'raw', 'score'"):
        open_tensorflow(path, MODEL_SIGNATURE="other")
    tf.saved_model.save(Module(), str(tmp_path / "none"))
    with pytest.raises(ModelError, match="SavedModel none has no signature"):
        open_tensorflow(tmp_path / "none")


# Files
def test_the_newest_or_a_named_checkpoint(tmp_path):
    for step, sign in ((9, 1), (10, -1)):
        tf1(
            lambda sign=sign: tf.nn.softmax(sign * tf1_logits(image()), name="scores"),
            save_checkpoint(tmp_path / "model", step),
        )
    newest, named = open_tensorflow(tmp_path), open_tensorflow(tmp_path, MODEL_CHECKPOINT="model-9")
    np.testing.assert_allclose(newest.predict(noise()), tf.nn.softmax(-linear(noise())), atol=1e-5)
    np.testing.assert_allclose(named.predict(noise()), tf.nn.softmax(linear(noise())), atol=1e-5)
    assert newest.info.fingerprint != named.info.fingerprint
    assert named.info.fingerprint == open_tensorflow(tmp_path / "model-9").info.fingerprint
    with pytest.raises(ModelError, match=r"MODEL_CHECKPOINT = 'model-8': .* has model-10, model-9"):
        open_tensorflow(tmp_path, MODEL_CHECKPOINT="model-8")


def test_files_of_the_other_framework(tmp_path):
    keras_network().save(tmp_path / "network.keras")
    with pytest.raises(ModelError, match=r'network.keras is a Keras model file.*Write MODEL_FRAMEWORK = "keras"'):
        open_tensorflow(tmp_path / "network.keras")
    for case, what in ((module_only, "SavedModel"), (frozen, "frozen graph"), (checkpoint, "checkpoint")):
        path = case(tmp_path).path
        with pytest.raises(ModelError, match=rf'is a TensorFlow {what}, .*Write MODEL_FRAMEWORK = "tensorflow"'):
            open_model(Config(MODEL_PATH=path, MODEL_FRAMEWORK="keras"))
        assert open_model(Config(MODEL_PATH=path)).info.framework == "tensorflow"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGED = {
    "pb cut": (frozen, "frozen.pb", cut, "cannot open frozen.pb: .*frozen TF1 graph, not damaged"),
    "pb empty": (frozen, "frozen.pb", empty, "cannot open frozen.pb: it holds no graph. Check"),
    "pb missing": (frozen, "frozen.pb", Path.unlink, "frozen.pb does not exist. Check MODEL_PATH"),
    "SavedModel cut": (module_only, "m/saved_model.pb", cut, "cannot open m: .*damaged SavedModel"),
    "SavedModel empty": (module_only, "m/saved_model.pb", empty, "cannot open m: saved_model.pb is empty"),
    "SavedModel gone": (module_only, "m/saved_model.pb", Path.unlink, "m is not a TensorFlow model"),
    "no variables": (module_only, "m/variables", shutil.rmtree, "cannot open m: .*the whole folder"),
    "no variables, TF1": (tf1_saved_model, "m/variables", shutil.rmtree, "cannot open m: .*the whole folder"),
    "meta cut": (checkpoint, "model.ckpt.meta", cut, "cannot open model.ckpt.meta: .*TF1 checkpoint, not damaged"),
    "meta empty": (checkpoint, "model.ckpt.meta", empty, "cannot open model.ckpt.meta: it holds no graph"),
    "no meta": (checkpoint_prefix, "model.ckpt.meta", Path.unlink, "model.ckpt has no model.ckpt.meta, .*the graph"),
    "no index": (checkpoint, "model.ckpt.index", Path.unlink, "model.ckpt has no model.ckpt.index"),
    "no data": (checkpoint, "model.ckpt.data-00000-of-00001", Path.unlink, "model.ckpt has no model.ckpt.data-"),
    "data cut": (checkpoint, "model.ckpt.data-00000-of-00001", cut, "cannot open model.ckpt: .*written together"),
}


@pytest.mark.parametrize(("make", "file", "damage", "sentence"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_files(tmp_path, make, file, damage, sentence):
    path = make(tmp_path).path
    damage(tmp_path / file)
    with pytest.raises(ModelError, match=sentence) as caught:
        open_tensorflow(path)
    assert "\n" not in caught.value.message


def rewritten(path, change):
    graph = v1.GraphDef.FromString(path.read_bytes())
    change(graph)
    path.write_bytes(graph.SerializeToString())
    return path


def test_an_unknown_operation_is_named(tmp_path, monkeypatch):
    def change(graph):
        next(node for node in graph.node if node.op == "Softmax").op = "MySoftmax"

    path = rewritten(frozen(tmp_path).path, change)
    sentence = r'uses the operation MySoftmax, .*MODEL_CUSTOM_OBJECTS = {"MySoftmax": "module:function"}'
    with pytest.raises(ModelError, match=sentence):
        open_tensorflow(path)
    (tmp_path / "picasso_test_ops.py").write_text("def ops(): ...\nopen('imported', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError):
        open_tensorflow(path, MODEL_CUSTOM_OBJECTS={"MySoftmax": "picasso_test_ops:ops"})
    assert (tmp_path / "imported").exists()


def test_a_graph_that_is_not_frozen(tmp_path):
    def save(session):
        (tmp_path / "graph.pb").write_bytes(session.graph.as_graph_def().SerializeToString())

    tf1(classifier, save)
    with pytest.raises(ModelError, match=r"graph.pb is not frozen: its variable \w+ has no value"):
        open_tensorflow(tmp_path / "graph.pb")


def test_files_that_read_files_need_permission(tmp_path):
    def build():
        text = tf.io.read_file(str(tmp_path / "number"))
        tf.nn.softmax(tf1_logits(image()) * tf.strings.to_number(text), name="scores")

    (tmp_path / "number").write_text("2")
    tf1(build, save_frozen(tmp_path / "frozen.pb"))
    with pytest.raises(ModelError, match=r"\(ReadFile\). If you trust the file, write MODEL_ALLOW_UNSAFE = True"):
        open_tensorflow(tmp_path / "frozen.pb")
    model = open_tensorflow(tmp_path / "frozen.pb", MODEL_ALLOW_UNSAFE=True)
    np.testing.assert_allclose(model.predict(noise()), tf.nn.softmax(2 * linear(noise())), atol=1e-5)


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(ModelError, match="is not a TensorFlow model: that is a SavedModel folder"):
        open_tensorflow(tmp_path)


def test_the_recipes_of_the_docs(tmp_path, monkeypatch):
    """Each makes a model; the config block behind it opens it."""
    monkeypatch.chdir(tmp_path)
    section = DOCS.read_text(encoding="utf-8").split("## TensorFlow")[1].split("\n## ")[0]
    names, opened = {}, []
    for block in re.findall(r"^```python\n(.*?)^```", section, re.M | re.S):
        if "MODEL_PATH" not in block:
            exec(block, names)  # the docs are ours
            continue
        (tmp_path / "config.py").write_text(block)
        opened.append(open_model(load_config(tmp_path / "config.py", environ={})).info)
    assert [info.file for info in opened] == ["exported", "module", "checkpoints", "frozen.pb", "old"]
    assert {(info.input_shape, info.classes, "logits" in info.capabilities) for info in opened} == {
        ((28, 28, 1), 10, True)
    }
