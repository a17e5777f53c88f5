"""A zoo of TensorFlow models on disk, made here, each with what it must compute in plain TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from picasso.config import Config
from picasso.models.opening import open_model

v1 = tf.compat.v1
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


def head(maps):
    """What makes logits of features."""
    return tf.reshape(maps, [-1, PIXELS]) @ KERNEL + BIAS


def linear(x):
    return head(features(x))


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
    """The same as `linear`, with variables of the old kind and the newer."""
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


def raw(values):
    """Scores without anything behind them."""
    return values


@dataclass(frozen=True)
class Case:
    """A model on disk, and what it must compute: `final(head(body(x)))`.

    Attributes:
        body: from images to what the only convolution gives, with its activation; None without a convolution.
        head: from there to the logits.
        final: from these to the scores.
    """

    path: Path
    config: dict[str, Any]
    body: Callable[[Any], Any] | None = features
    head: Callable[[Any], Any] = head
    final: Callable[[Any], Any] = tf.nn.softmax
    parameters: int = PIXELS * CLASSES + CLASSES + 3 * 3 * 3 * 3

    def values(self, x, logits=False):
        found = self.head(x if self.body is None else self.body(x))
        return found if logits else self.final(found)

    @property
    def has_logits(self):
        return self.final is not raw


def keras_export(folder):
    network = keras_network()
    network.export(folder / "export", verbose=False)
    convolution, *between, _ = network.layers

    def head(maps):
        for layer in between:
            maps = layer(maps, training=False)
        return maps

    return Case(folder / "export", {}, convolution, head, parameters=network.count_params())


def soft(path, **config):
    return Case(path, config)


def module_default(folder):
    module = Module()
    tf.saved_model.save(module, str(folder / "m"), signatures={"serving_default": module.score, "other": module.raw})
    return soft(folder / "m")


def module_chosen(folder):
    return Case(save_module(folder / "m"), {"MODEL_SIGNATURE": "raw"}, final=raw)


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

    config = {"MODEL_OTHER_INPUTS": {"a_row": [3.0, 1.0], "b_flip": 1.0}, "MODEL_OUTPUT": "m_scores"}
    return Case(folder / "m", config, head=lambda maps: -2 * 2 * (head(maps) + 2 * BIAS))


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
    return Case(folder / "frozen.pb", {"MODEL_INPUT": "image:0", "MODEL_OUTPUT": "logits"}, final=raw)


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

    config = {"MODEL_OTHER_INPUTS": {"more": [1.0, 0.5]}}
    parameters = (PIXELS + 2) * CLASSES
    return Case(folder / "frozen.pb", config, None, lambda x: head(x) + 0.5 * BIAS, parameters=parameters)


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
    return Case(folder / "frozen.pb", {}, final=raw)


def sigmoid(folder, classes=CLASSES):
    tf1(lambda: tf.sigmoid(tf1_logits(image())[:, :classes], name="scores"), save_frozen(folder / "frozen.pb"))
    return Case(folder / "frozen.pb", {}, head=lambda maps: head(maps)[:, :classes], final=tf.sigmoid)


def half_precision(folder):
    def build():
        x = tf.cast(image(dtype=tf.float16), tf.float32)
        tf.cast(tf.nn.softmax(tf1_logits(x)), tf.float64, name="scores")

    tf1(build, save_frozen(folder / "frozen.pb"))

    return Case(folder / "frozen.pb", {}, lambda x: features(tf.cast(tf.cast(x, tf.float16), tf.float32)))


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
