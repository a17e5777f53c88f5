"""The Keras adapter, with networks small enough to compute by hand."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from picasso.attribution.saliency import saliency
from picasso.config import Config
from picasso.errors import Cancelled, ConfigError, ModelError, NotSupported
from picasso.models.base import MAX_BATCH
from picasso.models.info import Layer
from picasso.models.opening import open_model

SHAPE = (5, 7, 3)
CLASSES = 3
PIXEL = (3, 5)


@keras.saving.register_keras_serializable("picasso_tests")
class Counting(layers.Layer):
    """Passes its input on and counts how often Python runs it: once per trace, not once per call."""

    runs = 0

    def call(self, inputs):
        Counting.runs += 1
        return inputs


@keras.saving.register_keras_serializable("picasso_tests")
class Sharper(layers.Dense):
    """Says that its activation is a softmax, but doubles the values before it."""

    def call(self, inputs):
        return keras.ops.softmax(2 * keras.ops.matmul(inputs, self.kernel))


def softmax(logits):
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def noise(count=1, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *SHAPE)).astype(np.float32)


def functional(*last):
    """A network with layers that behave differently in training, and `last` at its end."""
    image = keras.Input(SHAPE)
    outcome = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="tanh", name="conv")(image))
    outcome = layers.Flatten()(layers.Dropout(0.5)(outcome))
    for layer in last:
        outcome = layer(outcome)
    return keras.Model(image, outcome)


def sequential(*last):
    return keras.Sequential([keras.Input(SHAPE), layers.Flatten(), *last])


def dense(activation=None, classes=CLASSES, **options):
    return layers.Dense(classes, activation=activation, bias_initializer="normal", **options)


def before_last_dense(network, x):
    """The logits by plain arithmetic: what enters the last Dense layer, times its kernel, plus its bias."""
    layer = [layer for layer in network.layers if isinstance(layer, layers.Dense)][-1]
    entering = keras.Model(network.inputs, layer.input)([x], training=False).numpy()
    return entering @ layer.kernel.numpy() + layer.bias.numpy()


def weights(model):
    return [weight.copy() for weight in model.network.get_weights()]


@pytest.fixture
def opened(tmp_path):
    """Saves a network and opens the file as a worker does."""

    def open_it(network, suffix=".keras", **config):
        path = tmp_path / f"network{suffix}"
        network.save(path)
        return open_model(Config(MODEL_PATH=path, DATA_DIR=tmp_path, **config))

    return open_it


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A model for the tests that only look, and the network that it was saved from."""
    keras.utils.set_random_seed(3)
    network = functional(dense("softmax"))
    path = tmp_path_factory.mktemp("keras") / "network.keras"
    network.save(path)
    return open_model(Config(MODEL_PATH=path, DATA_DIR=path.parent)), network


# Scores and logits
WITH_SOFTMAX = {
    "functional, Dense(softmax)": lambda: functional(dense("softmax")),
    "functional, Softmax layer": lambda: functional(dense(), layers.Softmax()),
    "functional, Activation(softmax)": lambda: functional(dense(), layers.Activation("softmax")),
    "Sequential, Dense(softmax)": lambda: sequential(dense("softmax")),
    "Sequential, Softmax layer": lambda: sequential(dense(), layers.Softmax()),
    "Sequential, Activation(softmax)": lambda: sequential(dense(), layers.Activation("softmax")),
    "dropout behind it": lambda: functional(dense("softmax"), layers.Dropout(0.5), layers.Activation("linear")),
    "a map of one cell": lambda: functional(layers.Reshape((1, 1, -1)), dense(), layers.Softmax()),
    "a map of one cell, reshaped": lambda: sequential(
        layers.Reshape((1, 1, -1)), dense("softmax"), layers.Flatten(), layers.Reshape((CLASSES,)), layers.Identity()
    ),
}


@pytest.mark.parametrize("suffix", [".keras", pytest.param(".h5", marks=pytest.mark.slow)])
@pytest.mark.parametrize("make", WITH_SOFTMAX.values(), ids=WITH_SOFTMAX)
def test_logits_behind_a_softmax(opened, make, suffix):
    network = make()
    model = opened(network, suffix)
    x = noise(3)
    assert model.info.capabilities - {"activations", "guided"} == {"predict", "gradients", "logits"}
    assert (model.info.score_kind, model.info.warnings) == ("probability", ())
    logits = before_last_dense(network, x)
    logits = logits.reshape(3, CLASSES)
    np.testing.assert_allclose(model.predict(x, logits=True), logits, atol=1e-5)
    np.testing.assert_allclose(model.predict(x), softmax(logits), atol=1e-5)


WITH_SIGMOID = {
    "functional, Dense(sigmoid)": lambda: functional(dense("sigmoid")),
    "Activation(sigmoid)": lambda: sequential(dense(), layers.Activation("sigmoid")),
    "one sigmoid": lambda: sequential(dense("sigmoid", classes=1)),
    "keras.ops": lambda: functional(dense(), keras.ops.sigmoid),
}


@pytest.mark.parametrize("make", WITH_SIGMOID.values(), ids=WITH_SIGMOID)
def test_logits_behind_a_sigmoid(opened, make):
    network = make()
    model, x = opened(network), noise(3)
    assert {"logits", "gradients"} <= model.info.capabilities
    assert (model.info.score_kind, model.info.warnings) == ("probability", ())
    logits = before_last_dense(network, x)
    np.testing.assert_allclose(model.predict(x, logits=True), logits, atol=1e-5)
    np.testing.assert_allclose(model.predict(x), 1 / (1 + np.exp(-logits)), atol=1e-5)


@pytest.mark.slow
def test_one_sigmoid_with_two_labels_is_two_classes(opened):
    """Class 1 is what the network computes; class 0 is the rest: 1 - p, with the logit -z."""
    network = functional(dense("sigmoid", classes=1))
    model, one = opened(network, MODEL_LABELS=["cat", "dog"]), opened(network)
    x, fill = noise(3), noise(1, seed=1)[0]
    p, z = one.predict(x), one.predict(x, logits=True)
    assert (model.info.labels, model.info.both_sides, one.info.both_sides) == (("cat", "dog"), True, False)
    np.testing.assert_allclose(model.predict(x), np.concatenate([1 - p, p], axis=1), atol=1e-7)
    np.testing.assert_allclose(model.predict(x, logits=True), np.concatenate([-z, z], axis=1))
    np.testing.assert_allclose(model.predict(x), softmax(model.predict(x, logits=True) / 2), atol=1e-6)
    signs = np.float32([-1, 1, -1])[:, None, None, None]
    for logits in (True, False):
        gradients = one.gradients(x, [0, 0, 0], logits=logits)
        np.testing.assert_allclose(model.gradients(x, [0, 1, 0], logits=logits), signs * gradients, atol=1e-7)
        activations, gradients = one.layer_gradients(x, [0, 0, 0], "conv", logits=logits)
        found = model.layer_gradients(x, [0, 1, 0], "conv", logits=logits)
        np.testing.assert_allclose(found[0], activations)
        np.testing.assert_allclose(found[1], signs * gradients, atol=1e-7)
    assert model.occlude(x[:1], np.array([(0, 0), (1, 1)]), (2, 2), fill).shape == (2, 2)
    assert [row[0].label for row in model.decode(model.predict(x), 1)] == [
        ["cat", "dog"][int(q > 0.5)] for q in p[:, 0]
    ]


@pytest.mark.parametrize("labels", [["cat"], None])
def test_one_sigmoid_with_one_label_is_one_class(opened, labels):
    model = opened(sequential(dense("sigmoid", classes=1)), MODEL_LABELS=labels)
    assert (model.info.classes, model.predict(noise(2)).shape) == (1, (2, 1))


def test_only_a_sigmoid_has_two_sides(opened):
    with pytest.raises(ConfigError, match="MODEL_LABELS has 2 names, but the model has 1 classes"):
        opened(sequential(dense(classes=1)), MODEL_LABELS=["cat", "dog"])


WITHOUT_LOGITS = {
    "raw scores": (lambda: functional(dense()), "raw score"),
    "relu": (lambda: sequential(dense("relu")), "raw score"),
    "hard sigmoid": (lambda: sequential(dense("hard_sigmoid", classes=1)), "raw score"),
    "softmax with something behind it": (lambda: sequential(dense("softmax"), layers.Rescaling(1.0)), "probability"),
}


@pytest.mark.parametrize(("make", "kind"), WITHOUT_LOGITS.values(), ids=WITHOUT_LOGITS)
def test_no_logits_without_a_final_softmax_or_sigmoid(opened, make, kind):
    network = make()
    model = opened(network)
    x = noise(2)
    assert model.info.capabilities - {"activations", "guided"} == {"predict", "gradients"}
    assert model.info.score_kind == kind
    assert bool(model.info.warnings) == (kind == "raw score")
    np.testing.assert_allclose(model.predict(x), network(x, training=False), atol=1e-6)
    for ask in (model.predict, lambda x, logits: model.gradients(x, [0, 0], logits=logits)):
        with pytest.raises(NotSupported, match="network has no logit"):
            ask(x, logits=True)


def test_logits_that_do_not_give_the_scores_are_refused(opened):
    model = opened(sequential(Sharper(CLASSES, activation="softmax", use_bias=False)))
    assert "logits" not in model.info.capabilities
    assert "do not give the model's scores" in model.info.warnings[0]


def test_a_softmax_that_is_used_twice_has_the_logit_of_its_last_use(opened):
    image, shared = keras.Input(SHAPE), layers.Softmax()
    network = keras.Model(image, shared(dense()(shared(dense()(layers.Flatten()(image))))))
    model, x = opened(network), noise(2)
    np.testing.assert_allclose(model.predict(x, logits=True), before_last_dense(network, x), atol=1e-5)


def test_training_layers_are_off(pair):
    model, network = pair
    x = noise(2)
    np.testing.assert_array_equal(model.predict(x), model.predict(x))
    np.testing.assert_allclose(model.predict(x), network(x, training=False), atol=1e-6)


# What is known of a model
def test_info(opened, tmp_path):
    network = sequential(dense("softmax"))
    model = opened(network, MODEL_LABELS=["a", "b", "c"], MODEL_NAME="Mine")
    info, file = model.info, tmp_path / "network.keras"
    assert (info.name, info.framework, info.file) == ("Mine", "keras", "network.keras")
    assert (info.input_shape, info.labels, info.classes) == (SHAPE, ("a", "b", "c"), 3)
    assert info.fingerprint == hashlib.sha256(file.read_bytes()).hexdigest()
    assert info.modified == file.stat().st_mtime
    assert info.parameters == 5 * 7 * 3 * 3 + 3
    assert dict(info.versions)["keras"] == keras.__version__
    assert info.seconds_per_image > 0
    assert info.as_dict()["classes"] == 3


def test_solid_goes_through_the_preprocessing(pair):
    np.testing.assert_allclose(pair[0].solid(51), np.full(SHAPE, 0.2), atol=1e-6)


# A network that looks at one pixel only
@pytest.fixture
def one_pixel():
    """Class 1 has the logit 2.5 r - 4 b + 0.5 of the red and blue at (3, 5); the others have 0."""
    layer = dense("softmax")
    network = sequential(layer)
    kernel = np.zeros((*SHAPE, CLASSES), np.float32)
    kernel[(*PIXEL, 0, 1)], kernel[(*PIXEL, 2, 1)] = 2.5, -4
    layer.set_weights([kernel.reshape(-1, CLASSES), np.float32([0, 0.5, 0])])
    return network


def peak_only(height):
    expected = np.zeros(SHAPE[:2])
    expected[PIXEL] = height
    return expected


@pytest.mark.slow
def test_saliency_peaks_where_the_network_looks(opened, one_pixel):
    model, x = opened(one_pixel), noise(1)
    np.testing.assert_allclose(saliency(model.gradients(x, [1]))[0], peak_only(4), atol=1e-6)
    logit = 2.5 * x[(0, *PIXEL, 0)] - 4 * x[(0, *PIXEL, 2)] + 0.5
    p = np.exp(logit) / (np.exp(logit) + 2)
    of_probability = saliency(model.gradients(x, [1], logits=False))[0]
    np.testing.assert_allclose(of_probability, peak_only(4 * p * (1 - p)), atol=1e-6)
    # Class 0 loses what class 1 wins: the derivative of its probability is -p0 p1 times that of the logit.
    of_another = saliency(model.gradients(x, [0], logits=False))[0]
    np.testing.assert_allclose(of_another, peak_only(4 * p * (1 - p) / 2), atol=1e-6)


def test_occlusion_sees_only_that_pixel(opened, one_pixel):
    model, x = opened(one_pixel), noise(1)
    corners = np.array([(top, left) for top in range(4) for left in range(6)])
    scores = model.occlude(x, corners, (2, 2), np.zeros(SHAPE, np.float32), logits=True)[:, 1]
    covers = [top <= 3 < top + 2 and left <= 5 < left + 2 for top, left in corners]
    logit = 2.5 * x[(0, *PIXEL, 0)] - 4 * x[(0, *PIXEL, 2)] + 0.5
    np.testing.assert_allclose(scores, np.where(covers, 0.5, logit), atol=1e-5)


# Gradients
@pytest.mark.parametrize("logits", [True, False])
def test_gradients_equal_direct_code(pair, logits):
    model, network = pair
    x, classes = tf.constant(noise(5)), [2, 0, 1, 1, 2]
    with tf.GradientTape() as tape:
        tape.watch(x)
        scores = network(x, training=False)
        if logits:
            last = network.layers[-1]
            scores = keras.Model(network.inputs, last.input)([x]) @ last.kernel + last.bias
        chosen = tf.stack([scores[i, c] for i, c in enumerate(classes)])
    expected = tape.gradient(chosen, x)
    gradients = model.gradients(x.numpy(), classes, logits=logits)
    assert (gradients.shape, gradients.dtype) == ((5, *SHAPE), np.float32)
    np.testing.assert_allclose(gradients, expected, atol=1e-5)


def test_gradients_equal_small_differences(pair):
    """Independent of any automatic differentiation: (f(x + h) - f(x - h)) / 2h for some pixels."""
    model, _ = pair
    x, step = noise(1), 1e-2
    gradient = model.gradients(x, [2])[0]
    for index in [(0, 0, 0), (3, 5, 1), (4, 6, 2), (2, 3, 0)]:
        moved = np.concatenate([x, x])
        moved[(0, *index)] += step
        moved[(1, *index)] -= step
        up, down = model.predict(moved, logits=True)[:, 2]
        assert gradient[index] == pytest.approx((up - down) / (2 * step), abs=2e-3)


def test_gradients_of_many_images_are_those_of_each(pair):
    model, _ = pair
    x, classes = noise(MAX_BATCH + 3), [index % CLASSES for index in range(MAX_BATCH + 3)]
    single = [model.gradients(x[i : i + 1], classes[i : i + 1])[0] for i in (0, 16, 17, 34)]
    np.testing.assert_allclose(model.gradients(x, classes)[[0, 16, 17, 34]], single, atol=1e-5)


# Occlusion
def hidden_by_hand(x, top, left, window, fill):
    copy = x.copy()
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            if top <= row < top + window[0] and left <= column < left + window[1]:
                copy[row, column] = fill[row, column]
    return copy


@pytest.mark.parametrize("logits", [True, False])
@pytest.mark.parametrize("window", [(2, 3), (1, 1), (5, 7), (9, 4)])
def test_occlude_equals_a_plain_loop(pair, window, logits):
    """Also where a window overhangs a border, or misses the image."""
    model, network = pair
    x, fill = noise(1), noise(1, seed=1)[0]
    corners = np.array([(0, 0), (1, 2), (-1, -2), (4, 6), (-1, 5), (3, -2), (-9, -9), (5, 0), (0, 7), (20, 20)])
    copies = np.stack([hidden_by_hand(x[0], top, left, window, fill) for top, left in corners])
    expected = before_last_dense(network, copies)
    scores = model.occlude(x, corners, window, fill, logits=logits)
    np.testing.assert_allclose(scores, expected if logits else softmax(expected), atol=1e-5)


def test_occlude_leaves_its_arguments_alone(pair):
    model, _ = pair
    x, fill, corners = noise(1), noise(1, seed=1)[0], np.array([(0, 0), (2, 2)])
    before = x.copy(), fill.copy(), corners.copy()
    model.occlude(x, corners, (3, 3), fill)
    for old, new in zip(before, (x, fill, corners), strict=True):
        np.testing.assert_array_equal(old, new)


# Batches
@pytest.mark.slow
def test_a_network_is_traced_once(opened):
    """For every number of images, and for what its layers give."""
    model = opened(functional(Counting(), dense("softmax")))
    model.gradients(noise(1), [0])
    before = Counting.runs
    for count in (1, 2, 5, MAX_BATCH + 1, 70):
        model.predict(noise(count))
        model.predict(noise(count), logits=True)
        model.gradients(noise(count), [1] * count)
        model.layer_gradients(noise(count), [1] * count, "conv")
    assert Counting.runs == before


@pytest.mark.parametrize(("seconds", "side", "batch"), [(0.0, 9, 32), (0.1, 9, 10), (0.001, 2048, 8), (3.0, 9000, 1)])
def test_batches_are_smaller_where_images_take_long_or_much_memory(pair, monkeypatch, seconds, side, batch):
    model, _ = pair
    large = Layer("large", "Conv2D", (side, side, 4), convolution=True)
    monkeypatch.setattr(model, "info", replace(model.info, seconds_per_image=seconds, layers=(large,)))
    assert model.batch == batch


def test_batches_are_balanced_and_ask_the_checkpoint(pair):
    model, network = pair
    assert model.batch == MAX_BATCH  # the network is small
    asked, before = [], model.calls
    model.checkpoint = lambda: asked.append(model.calls - before)
    try:
        scores = model.predict(noise(70))
    finally:
        model.checkpoint = lambda: None
    assert asked == [0, 24, 47]  # 70 = 24 + 23 + 23
    assert model.calls - before == 70
    np.testing.assert_allclose(scores, network(noise(70), training=False), atol=1e-6)


# Nothing stays changed
@pytest.mark.slow
def test_weights_stay_after_everything_also_after_errors(opened):
    model = opened(functional(dense("softmax")))
    before, x = weights(model), noise(2)
    scores = model.predict(x)

    def stop():
        raise Cancelled("The run was cancelled.")

    model.warm_up()
    model.gradients(x, [0, 1])
    model.occlude(x[:1], np.array([(0, 0)]), (2, 2), x[1])
    with pytest.raises(tf.errors.InvalidArgumentError):
        model._gradients(x, np.array([0, CLASSES]), True)
    with pytest.raises((TypeError, ValueError)):
        model.predict(x[:, :2])
    model.checkpoint = stop
    with pytest.raises(Cancelled):
        model.occlude(x[:1], np.array([(0, 0)]), (2, 2), x[1])
    model.checkpoint = lambda: None
    for old, new in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(model.predict(x), scores)


# Files that are refused
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_in_a_file_needs_permission(opened, suffix):
    network = sequential(layers.Lambda(lambda x: x * 2, output_shape=(105,)), dense("softmax"))
    with pytest.raises(ModelError, match=r"contains Python code .*MODEL_ALLOW_UNSAFE = True"):
        opened(network, suffix)
    model = opened(network, suffix, MODEL_ALLOW_UNSAFE=True)
    np.testing.assert_allclose(model.predict(noise(1)), network(noise(1)), atol=1e-6)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("damage", [cut, lambda path: path.write_bytes(b""), lambda path: path.write_text("no model")])
def test_damaged_files(tmp_path, suffix, damage):
    path = tmp_path / f"damaged{suffix}"
    sequential(dense("softmax")).save(path)
    damage(path)
    with pytest.raises(ModelError) as caught:
        open_model(Config(MODEL_PATH=path))
    assert caught.value.message.startswith(f"damaged{suffix} is damaged or incomplete: ")
    assert 'save the model again with model.save("model.keras")' in caught.value.message
    assert "\n" not in caught.value.message


def pooled(shape):
    return keras.Sequential([keras.Input(shape), layers.GlobalAveragePooling2D(), dense("softmax")])


UNFIT = {
    "no image": (
        lambda: keras.Sequential([keras.Input((9,)), dense()]),
        "No input of the model takes an image",
    ),
    "a map as output": (lambda: keras.Sequential([keras.Input(SHAPE), layers.Conv2D(2, 1)]), "one score per class"),
}


@pytest.mark.parametrize(("make", "sentence"), UNFIT.values(), ids=UNFIT)
def test_networks_that_do_not_fit(opened, make, sentence):
    with pytest.raises(NotSupported, match=sentence):
        opened(make())


def test_four_channels_need_a_preprocess_function(opened):
    with pytest.raises(ConfigError, match="The model takes 4 channels"):
        opened(pooled((4, 4, 4)))


def test_the_number_of_labels_is_checked(opened):
    with pytest.raises(ConfigError, match="MODEL_LABELS has 1 names, but the model has 3 classes"):
        opened(sequential(dense("softmax")), MODEL_LABELS=["one"])
