"""Models with shuffled weights: they are what they say, and afterwards what they were."""

from __future__ import annotations

import contextlib
import threading
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_zoo as zoo
from keras import layers
from keras_directly import check, noise

from picasso.config import Config
from picasso.errors import Cancelled, NotSupported
from picasso.models.keras_flat import flatten
from picasso.models.keras_learnt import learnt, shuffled_variables
from picasso.models.opening import open_model

SHAPE = (6, 8, 3)


def network():
    """A layer that is called twice inside a nested model, batch statistics, dropout, a mean that is subtracted."""
    keras.utils.set_random_seed(5)
    strong = keras.initializers.RandomNormal(stddev=0.5)
    inner = keras.Input((*SHAPE[:2], 4))
    shared = layers.Conv2D(4, 3, padding="same", activation="relu", bias_initializer=strong, name="shared")
    norm = layers.BatchNormalization(name="norm")
    body = keras.Model(inner, shared(norm(shared(inner))), name="body")
    image = keras.Input(SHAPE)
    scaled = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1, 2, 3], name="scaled")(image)
    first = layers.Conv2D(4, 1, bias_initializer=strong, name="first")(scaled)
    pooled = layers.GlobalAveragePooling2D(name="pool")(layers.Dropout(0.5, name="dropout")(body(first)))
    beside = layers.Dense(2, name="beside")(pooled)
    scores = layers.Dense(3, activation="softmax", kernel_initializer=strong, name="scores")(pooled)
    rng = np.random.default_rng(6)
    norm.set_weights([rng.uniform(0.5, 2, 4) for _ in range(4)])
    return keras.Model(image, [scores, beside])


def open_keras(folder, whole):
    path = folder / "network.keras"
    whole.save(path)
    return open_model(Config(MODEL_PATH=path, DATA_DIR=folder))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_keras(tmp_path_factory.mktemp("shuffled"), network())


def weights(model):
    return {variable.path: variable.numpy() for variable in model.network.variables}


def beside(model, x):
    """What another thread is told the scores are."""
    found = []
    thread = threading.Thread(target=lambda: found.append(model.predict_beside(x, 0)))
    thread.start()
    thread.join()
    return found[0]


def changed(before, after):
    return {path for path, values in before.items() if (values != after[path]).any()}


def test_layers_go_from_the_scores_to_the_image(model):
    """A shared layer once, by its last call; nothing that the scores do not depend on, nothing that is not learnt."""
    assert model.weighted_layers == ("scores", "body/shared#2", "body/norm", "first")


def test_values_change_places_inside_their_arrays(model):
    before, whole = weights(model), network()
    with model.shuffled(99, 0):
        after, scores = weights(model), model.predict(noise(SHAPE))
        whole.set_weights(model.network.get_weights())
    np.testing.assert_allclose(scores, whole(noise(SHAPE))[0], atol=1e-5)
    assert changed(before, after) >= {"scores/kernel", "shared/kernel", "norm/moving_variance", "first/kernel"}
    assert not {path for path in changed(before, after) if "scaled" in path or "seed" in path}
    for path, values in before.items():
        np.testing.assert_array_equal(np.sort(values, axis=None), np.sort(after[path], axis=None))
    assert changed(before, weights(model)) == set()


def test_more_layers_shuffle_the_first_ones_alike(model):
    before, found = weights(model), []
    for count in (0, 1, 3, 4):
        with model.shuffled(count, 7):
            found.append(weights(model))
    assert changed(before, found[0]) == set()
    assert changed(before, found[1]) == {"scores/kernel"}  # its bias is zero
    assert changed(found[1], found[2]) == {"shared/kernel", "shared/bias", *(f"norm/{name}" for name in (
        "gamma", "beta", "moving_mean", "moving_variance"))}  # fmt: skip
    assert changed(found[2], found[3]) == {"first/kernel", "first/bias"}
    with model.shuffled(1, 8):
        assert changed(found[1], weights(model)) == {"scores/kernel"}


@pytest.mark.slow
def test_everything_is_that_of_the_shuffled_model(model, tmp_path):
    """Without anything being compiled again."""
    whole = network()
    check(model, whole, tmp_path)
    compiled = dict(model._trace._made)
    with model.shuffled(3, 1):
        whole.set_weights(model.network.get_weights())
        check(model, whole, tmp_path)
    assert model._trace._made == compiled
    check(model, network(), tmp_path)


@pytest.mark.parametrize("error", [Cancelled("The run was cancelled."), ZeroDivisionError(), KeyboardInterrupt()])
def test_weights_come_back_after_an_error(model, error):
    before, scores = weights(model), model.predict(noise(SHAPE))
    with pytest.raises(type(error)), model.shuffled(4, 0), model.shuffled(2, 1):
        raise error
    assert changed(before, weights(model)) == set()
    np.testing.assert_array_equal(model.predict(noise(SHAPE)), scores)


def test_what_has_copies_of_the_weights_is_not_used_meanwhile(model, monkeypatch):
    monkeypatch.setattr(model, "_occluder", object())  # would fail
    corners, fill = np.array([(0, 0), (2, 3)]), np.zeros(SHAPE, np.float32)
    with model.shuffled(4, 0):
        model.occlude(noise(SHAPE, 1), corners, (2, 2), fill)
        assert model.occlusion_plan(corners, (2, 2)).share == 1
    with pytest.raises(AttributeError):
        model.occlude(noise(SHAPE, 1), corners, (2, 2), fill)


@pytest.mark.slow
def test_a_kernel_of_whole_numbers():
    image = keras.Input(SHAPE)
    whole = keras.Model(image, layers.Dense(3, name="dense")(layers.Flatten()(image)))
    with warnings.catch_warnings(action="ignore"):  # layers without weights are not quantized
        whole.quantize("int8")
    flat = flatten(whole)
    (variables,) = learnt(flat, flat.model.inputs[0], flat.model.outputs[0]).values()
    kernel = next(one for one in variables if one.dtype == "int8")
    before, scores = kernel.numpy(), whole(noise(SHAPE)).numpy()
    with shuffled_variables(variables, 0):
        assert (kernel.numpy() != before).mean() > 0.9
        assert np.abs(whole(noise(SHAPE)).numpy() - scores).max() > 0.1
    np.testing.assert_array_equal(kernel.numpy(), before)
    np.testing.assert_array_equal(whole(noise(SHAPE)), scores)


def test_a_model_without_weights_says_so(tmp_path):
    model = open_keras(tmp_path, keras.Sequential([keras.Input(SHAPE), layers.GlobalAveragePooling2D()]))
    assert model.weighted_layers == ()
    with pytest.raises(NotSupported, match="has no learnt weights"), model.shuffled(1, 0):
        pass


# TensorFlow
def channels_first(folder):
    def build():
        turned = tf.transpose(zoo.image(), (0, 3, 1, 2))
        maps = tf.nn.conv2d(turned, zoo.FILTER, 1, "SAME", data_format="NCHW", name="first/Conv2D")
        maps = tf.transpose(maps * tf.sigmoid(maps), (0, 2, 3, 1))
        logits = tf.nn.bias_add(tf.matmul(tf.reshape(maps, [-1, zoo.PIXELS]), zoo.KERNEL), zoo.BIAS)
        tf.nn.softmax(logits, name="scores")

    zoo.tf1(build, zoo.save_frozen(folder / "frozen.pb"))
    return zoo.soft(folder / "frozen.pb")


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [zoo.frozen, zoo.checkpoint, zoo.module_default, zoo.module_one_image, zoo.module_of_many, channels_first]
)
def test_graphs(make, tmp_path, monkeypatch):
    """Their constants are of the shapes that tell which is which."""
    case = make(tmp_path)
    model = zoo.open_tensorflow(case.path, **case.config)
    x, classes = zoo.noise(5), [0, 1, 2, 0, 1]  # as many as adapters divide among threads
    scores = model.predict(x)
    assert len(model.weighted_layers) == 2
    assert model.weighted_layers[1] == next(layer.path for layer in model.info.layers if layer.convolution)
    model.gradients(x, classes)
    operations = len(model._network._graph.get_operations())
    for layers_shuffled in (1, 2):
        with contextlib.suppress(Cancelled), monkeypatch.context() as patch, model.shuffled(layers_shuffled, 0):
            for name in ("KERNEL", "BIAS", "FILTER"):
                own = getattr(zoo, name)
                (given,) = (one for one in model._network._replaced.values.values() if one.shape == own.shape)
                np.testing.assert_array_equal(np.sort(given, axis=None), np.sort(own, axis=None))
                assert (given != own).any() == (layers_shuffled == 2 or name != "FILTER")
                patch.setattr(zoo, name, given)
            np.testing.assert_allclose(model.predict(x), case.values(x), atol=1e-5)
            expected = zoo.direct_gradients(lambda x: case.values(x, logits=True), x, classes)
            np.testing.assert_allclose(model.gradients(x, classes), expected, atol=1e-5)
            np.testing.assert_array_equal(beside(model, x), scores)  # who asks beside the run does not wait
            raise Cancelled("The run was cancelled.")
        np.testing.assert_array_equal(model.predict(x), scores)
    assert len(model._network._graph.get_operations()) == operations


@pytest.mark.slow
def test_the_default_model(tmp_path):
    """Every layer that has weights is reached, and the shuffled model is another one."""
    from pathlib import Path

    from picasso.config import load_config

    model = open_model(load_config(Path(__file__).resolve().parents[2] / "config.py", environ={}))
    before, x = weights(model), noise(model.info.input_shape, 1)
    scores = model.predict(x)
    with model.shuffled(len(model.weighted_layers), 0):
        after, shuffled = weights(model), model.predict(x)
        # Who asks beside the run does not wait; that function is compiled for itself, so not equal to the last bit.
        np.testing.assert_allclose(beside(model, x), scores, rtol=0, atol=1e-6)
    learnt = {path for path, values in before.items() if np.ptp(values) > 0}
    assert changed(before, after) == learnt
    assert np.abs(shuffled - scores).max() > 0.01
    assert changed(before, weights(model)) == set()
