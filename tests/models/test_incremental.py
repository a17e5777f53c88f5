"""Incremental occlusion gives the numbers of the dense one, for networks drawn at random and for known ones."""

from __future__ import annotations

from concurrent.futures import CancelledError

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from keras import layers

from picasso.errors import Cancelled, NotSupported
from picasso.models.base import hide
from picasso.models.incremental import planning
from picasso.models.incremental.folding import fold
from picasso.models.incremental.occluder import Occluder
from picasso.models.incremental.reading import read
from picasso.models.incremental.rounding import rounded
from picasso.models.keras_flat import flatten
from picasso.models.windows import Windows

TOLERANCE = 2e-5  # of the largest logit
SHAPE = (19, 14, 3)  # height, width, channels
KERNELS = st.tuples(st.integers(1, 4), st.integers(1, 4))
PADDING = st.sampled_from(["same", "valid"])
GRID = np.stack(np.meshgrid(np.arange(-2, 19, 4), np.arange(-2, 14, 4), indexing="ij"), -1).reshape(-1, 2)
CELLWISE = [
    lambda: layers.BatchNormalization(),
    lambda: layers.ReLU(6.0),
    lambda: layers.LeakyReLU(0.2),
    lambda: layers.PReLU(shared_axes=[1, 2]),
    lambda: layers.PReLU(),  # a weight for each cell: not cellwise
    lambda: layers.Activation("tanh"),
    lambda: layers.Activation("softmax"),
    lambda: layers.Dropout(0.5),
    lambda: layers.LayerNormalization(),
    lambda: layers.GroupNormalization(1),  # over the whole map
    lambda: layers.Rescaling(1.5, offset=-0.1),
    lambda: layers.Dense(4, activation="elu"),
    lambda: layers.RandomFlip(),
    lambda: layers.UpSampling2D(2),
]


def dense(network, x, corners, window, fill):
    """The network run once per window, each image made as the dense occlusion makes it."""
    return np.asarray(network(hide(x, corners, window, fill), training=False))


def randomise(network, seed):
    """Weights of both signs everywhere, scales near 1: outputs differ visibly between windows."""
    rng = np.random.default_rng(seed)
    for weight in network.weights:
        if weight.dtype != "float32":
            continue
        if "variance" in weight.name or "gamma" in weight.name:
            values = rng.uniform(0.5, 1.5, weight.shape)
        else:
            values = rng.normal(size=weight.shape) / max(1, np.prod(weight.shape[:-1])) ** 0.5
        weight.assign(values.astype(np.float32))


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def occluder_of(network, shape=SHAPE, outputs=None):
    flat = flatten(network)
    inputs, ends = flat.model.inputs, outputs or flat.model.outputs
    return Occluder(fold(read(flat, inputs[0], ends, shape, lambda images: [images])))


def agrees(network, corners, window, *, shape=SHAPE, seed=0, occluder=None, **options):
    """Asserts that both ways give the same scores, and returns them."""
    x, fill = noise((1, *shape), seed), noise(shape, seed + 1)
    occluder = occluder or occluder_of(network, shape)
    corners = np.asarray(corners)
    scores = occluder.occlude(x, corners, window, fill, **options)
    expected = dense(network, x, corners, window, fill)
    assert scores.shape == expected.shape
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=0, atol=TOLERANCE * max(1, np.abs(expected).max()))
    return scores


def convolution(draw):
    """A layer that moves a kernel over the map. Layers draw random weights, which hypothesis' strategies must not."""
    stride = draw(st.integers(1, 3))
    unequal = (stride, draw(st.integers(1, 3)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2))) if unequal == (1, 1) else 1
    kernel, padding = draw(KERNELS), draw(PADDING)
    options = {"strides": unequal, "padding": padding}
    equal = options | {"strides": stride}  # which depthwise ones need
    kind = draw(
        st.sampled_from(
            ["convolution", "grouped", "depthwise", "separable", "transpose", "max", "average", "zeros", "cut"]
        )
    )
    activation = draw(st.sampled_from([None, "relu", "silu"]))
    wide = {"dilation_rate": dilation, "activation": activation, **options}
    deep = {"dilation_rate": 1 if stride > 1 else draw(st.integers(1, 2)), "activation": activation, **equal}
    return {
        "convolution": lambda: layers.Conv2D(4, kernel, **wide),
        "grouped": lambda: layers.Conv2D(4, kernel, groups=4, **wide),
        "depthwise": lambda: layers.DepthwiseConv2D(kernel, depth_multiplier=1, **deep),
        "separable": lambda: layers.SeparableConv2D(4, kernel, **deep),
        "transpose": lambda: layers.Conv2DTranspose(4, kernel, **options),
        "max": lambda: layers.MaxPooling2D(kernel, **options),
        "average": lambda: layers.AveragePooling2D(kernel, **options),
        "zeros": lambda: layers.ZeroPadding2D((kernel, (stride, 0))),
        "cut": lambda: layers.Cropping2D(((0, 1), (1, 0))),
    }[kind]()


def _applied(layer, x):
    """The layer's output; the input where the map is too small for it."""
    try:
        y = layer(x)
    except ValueError:
        return x
    return y if min(y.shape[1:3]) > 0 and max(y.shape[1:3]) < 60 else x


def drawn(draw):
    """A network of convolutions, pools and cellwise layers, with branches that are joined again, and models inside."""
    image = keras.Input(draw(st.sampled_from([SHAPE, (13, 22, 3), (16, 16, 1)])))
    x = layers.Conv2D(4, draw(KERNELS), padding=draw(PADDING))(image)
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["convolution", "cellwise", "branch", "squeeze", "model"]))
        if kind == "convolution":
            x = _applied(convolution(draw), x)
        elif kind == "cellwise":
            x = draw(st.sampled_from(CELLWISE))()(x)
        elif kind == "model":
            part = keras.Sequential([keras.Input(x.shape[1:]), layers.Conv2D(x.shape[-1], 3, padding="same")])
            x = part(part(x)) if draw(st.booleans()) else part(x)
        elif kind == "squeeze":
            factor = layers.Dense(x.shape[-1], activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
            x = layers.Multiply()([x, factor])
        else:
            y = layers.Conv2D(x.shape[-1], draw(KERNELS), padding="same", activation="relu")(x)
            y = layers.BatchNormalization()(y) if draw(st.booleans()) else y
            join = draw(st.sampled_from(["add", "concatenate", "maximum", "operation"]))
            x = {
                "add": lambda x=x, y=y: layers.Add()([x, y]),
                "concatenate": lambda x=x, y=y: layers.Conv2D(4, 1)(layers.Concatenate()([x, y])),
                "maximum": lambda x=x, y=y: layers.Maximum()([y, x]),
                "operation": lambda x=x, y=y: 1.0 - x * y / 2,
            }[join]()
    end = draw(st.sampled_from([layers.Flatten, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D]))()(x)
    return keras.Model(image, layers.Dense(3)(end))


def compare_drawn(data):
    keras.backend.clear_session()
    network = drawn(data.draw)
    randomise(network, data.draw(st.integers(0, 99)))
    window = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    shape = network.input_shape[1:]
    overhanging = st.tuples(st.integers(-8, shape[0] + 2), st.integers(-8, shape[1] + 2))
    corners = data.draw(st.lists(overhanging, min_size=1, max_size=7))
    agrees(network, corners, window, shape=shape, most=data.draw(st.integers(1, 7)))


@settings(max_examples=2, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_networks_drawn_at_random(data):
    compare_drawn(data)


@pytest.mark.slow
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_many_networks_drawn_at_random(data):
    compare_drawn(data)


def test_nested_models_are_taken_apart():
    inner = keras.Sequential([keras.Input((None, None, 4)), layers.Conv2D(4, 3, padding="same"), layers.ReLU()])
    image = keras.Input(SHAPE)
    x = inner(inner(layers.Conv2D(4, 3, strides=2)(image)))
    network = keras.Model(image, layers.Dense(3)(layers.Flatten(name="flat")(x)))
    randomise(network, 1)
    occluder = occluder_of(network)
    agrees(network, GRID, (1, 1), occluder=occluder)
    assert occluder.plan(GRID, (1, 1)).whole_from == "flat"


def test_other_inputs_are_the_same_for_every_window():
    image, mask, factor = keras.Input(SHAPE), keras.Input((*SHAPE[:2], 1)), keras.Input((4,))
    x = layers.Conv2D(4, 3, padding="same")(layers.Concatenate()([image, layers.Conv2D(2, 1)(mask)]))
    x = layers.Multiply()([x, layers.Reshape((1, 1, 4))(layers.Dense(4)(factor))])
    x = layers.Flatten(name="flat")(layers.MaxPooling2D(2)(x))
    network = keras.Model([mask, image, factor], layers.Dense(3)(layers.Concatenate()([factor, x])))
    randomise(network, 2)
    constants = noise((1, *SHAPE[:2], 1), 5), noise((1, 4), 6)

    def feed(images):
        mask, factor = (tf.repeat(constant, len(images), 0) for constant in constants)
        return [mask, tf.constant(images), factor]

    flat = flatten(network)
    occluder = Occluder(fold(read(flat, flat.model.inputs[1], flat.model.outputs, SHAPE, feed)))
    agrees(lambda x, training: network(feed(x), training=training), GRID, (4, 4), occluder=occluder)
    assert occluder.plan(GRID[7:9], (2, 2)).whole_from == "flat"


def test_scores_and_logits_come_from_one_graph():
    image = keras.Input(SHAPE)
    logits = layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(image)))
    network = keras.Model(image, [layers.Softmax()(logits), logits])
    randomise(network, 3)
    occluder = occluder_of(network)
    for output in (0, 1):
        agrees(lambda x, training, k=output: network(x)[k], GRID, (5, 5), occluder=occluder, output=output)


@pytest.mark.slow
def test_cells_that_a_stride_passes_over_are_not_computed():
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    for _ in range(2):
        y = layers.Conv2D(8, 3, padding="same")(layers.Conv2D(8, 1, activation="relu")(x))
        x = layers.ReLU()(layers.Add()([x, layers.BatchNormalization()(y)]))
    first, second = (layers.Conv2D(8, 1, strides=2)(x) for _ in range(2))
    network = keras.Model(image, layers.Dense(3)(layers.Flatten()(first * second)))
    randomise(network, 4)
    occluder = occluder_of(network, (32, 32, 3))
    agrees(network, GRID, (6, 3), shape=(32, 32, 3), occluder=occluder)
    assert occluder.graph.work < 0.8 * occluder.graph.dense_work


def test_the_mean_is_taken_before_a_convolution_of_single_cells():
    image = keras.Input((32, 32, 3))
    x = layers.AveragePooling2D(3, padding="same")(layers.Conv2D(16, 1)(layers.Conv2D(8, 3)(image)))
    network = keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))
    randomise(network, 5)
    occluder = occluder_of(network, (32, 32, 3))
    agrees(network, GRID, (6, 3), shape=(32, 32, 3), occluder=occluder)
    assert occluder.graph.work < occluder.graph.dense_work


def test_zeros_around_a_map_count_in_a_mean():
    """As cells of it: the pool, whose own padding would not count, has none here, as 8 and 6 are even."""
    image = keras.Input((7, 5, 3))
    x = layers.AveragePooling2D(2, padding="same")(layers.ZeroPadding2D(((0, 1), (0, 1)))(layers.ReLU()(image)))
    network = keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))
    randomise(network, 6)
    occluder = occluder_of(network, (7, 5, 3))
    assert not any("zero_padding" in step.path for step in occluder.graph.steps)
    agrees(network, GRID, (3, 2), shape=(7, 5, 3), occluder=occluder)


def test_an_image_of_whole_numbers():
    image = keras.Input(SHAPE, dtype="uint8")
    x = layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(image))
    network = keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))
    randomise(network, 6)
    occluder = occluder_of(network)
    x, fill = (np.random.default_rng(n).integers(0, 256, SHAPE).astype(np.float32) for n in (0, 1))
    scores = occluder.occlude(x[None], GRID, (4, 4), fill)
    np.testing.assert_allclose(scores, dense(network, x[None], GRID, (4, 4), fill), atol=1e-5)


def test_the_image_is_run_once_and_another_one_again():
    network = small()
    occluder = occluder_of(network)
    first, fill = noise((1, *SHAPE)), noise(SHAPE, 1)
    before = occluder.occlude(first, GRID, (4, 4), fill)
    kept = occluder._kept
    np.testing.assert_array_equal(occluder.occlude(first.copy(), GRID, (4, 4), fill), before)
    assert occluder._kept is kept
    agrees(network, GRID, (4, 4), occluder=occluder, seed=7)


def test_each_batch_is_announced_and_can_be_the_last():
    occluder = occluder_of(small())
    announced = []
    occluder.occlude(noise((1, *SHAPE)), GRID, (4, 4), noise(SHAPE), checkpoint=announced.append, most=7)
    assert sum(announced) == len(GRID)
    assert max(announced) <= 7

    def cancel(windows):
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        occluder.occlude(noise((1, *SHAPE)), GRID, (4, 4), noise(SHAPE), checkpoint=cancel)


@pytest.fixture
def under_way(monkeypatch):
    """An occluder whose second batch and those after it are under way until nobody waits for them, and those ended."""
    occluder = occluder_of(small())
    run, ended = occluder._run, []
    first = occluder._batches(GRID, (4, 4), 7)[0]  # another may begin before it

    def later(batch, patches, kept, left):
        if batch.windows.tolist() == first.windows.tolist():
            return run(batch, patches, kept, left)
        assert left.wait(60)
        with pytest.raises(CancelledError):
            run(batch, patches, kept, left)
        ended.append(batch)
        raise CancelledError

    monkeypatch.setattr(occluder, "_run", later)
    return occluder, ended


def test_a_cancel_waits_for_no_whole_batch(under_way):
    occluder, ended = under_way

    def cancel_the_waiting(windows):
        if not windows:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        occluder.occlude(noise((1, *SHAPE)), GRID, (4, 4), noise(SHAPE), checkpoint=cancel_the_waiting, most=7)
    assert ended


def test_who_goes_away_leaves_nothing_running(under_way):
    occluder, ended = under_way
    parts = occluder.occlude_in_parts(Windows(noise((1, *SHAPE)), GRID, (4, 4), noise(SHAPE)), most=7)
    next(parts)
    parts.close()
    assert ended


def test_batches_are_larger_where_reading_the_weights_takes_long(monkeypatch):
    planner = occluder_of(small()).planner
    monkeypatch.setattr(planner, "_each", 0)
    many = planner.batches(GRID, (4, 4), len(GRID))
    monkeypatch.setattr(planner, "_each", 1e9)
    assert len(planner.batches(GRID, (4, 4), len(GRID))) == 1 < len(many)


def test_what_steps_read_is_known_without_their_biases():
    read_by_steps = [step.learnt for step in occluder_of(small()).graph.steps]
    assert read_by_steps == [3 * 3 * 3 * 8, 3 * 3 * 8, 8 * 8, 0, 9 * 6 * 8 * 3 + 3]  # of a Dense layer all


def test_a_plan_says_what_it_costs():
    occluder = occluder_of(small())
    small_window, large_window = (occluder.plan(GRID, window) for window in ((2, 2), (12, 12)))
    assert small_window.positions == len(GRID)
    assert 0 < small_window.share < large_window.share <= 1
    assert small_window.seconds == 0
    occluder.calibrate(noise((1, *SHAPE)), GRID, (4, 4))
    assert 0 < occluder.plan(GRID, (2, 2)).seconds < 10


def test_batches_keep_within_the_memory(monkeypatch):
    planner = occluder_of(small()).planner
    monkeypatch.setattr(planning, "MEMORY", 50_000)
    batches = planner.batches(GRID, (4, 4))
    assert len(batches) > 1
    assert max(planner.bytes(batch) for batch in batches) <= 50_000
    assert sorted(np.concatenate([batch.windows for batch in batches])) == list(range(len(GRID)))


def test_half_precision_is_refused():
    image = keras.Input(SHAPE)
    network = keras.Model(image, layers.Dense(3)(layers.Flatten()(layers.Conv2D(4, 3, dtype="mixed_bfloat16")(image))))
    with pytest.raises(NotSupported, match="bfloat16"):
        occluder_of(network)


def settle(network, shape):
    """Batch normalizations that fit some noise: outputs of a deep random network differ visibly then."""
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    network(noise((8, *shape), 3), training=True)


def in_double_precision(network):
    """The same network in float64: what both ways of computing it in float32 are compared with."""

    def convert(layer):
        double = {"dtype": "float64"} if isinstance(layer, layers.Layer) else {}
        return type(layer).from_config(layer.get_config() | double)

    precise = keras.models.clone_model(network, clone_function=convert)
    precise.set_weights(network.get_weights())
    return precise


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["MobileNetV2", "MobileNetV3Small", "ResNet50", "VGG16", "DenseNet121", "EfficientNetB0", "Xception"]
)
def test_known_networks_are_as_near_to_the_truth_as_the_dense_way(name):
    shape, window = (96, 96, 3), (12, 10)
    keras.utils.set_random_seed(0)
    network = getattr(keras.applications, name)(weights=None, input_shape=shape, classes=10, classifier_activation=None)
    settle(network, shape)
    corners = np.stack(np.meshgrid([-6, 10, 30, 87], [-6, 16, 41, 76], indexing="ij"), -1).reshape(-1, 2)
    x, fill = noise((1, *shape)), noise(shape, 1)
    scores = occluder_of(network, shape).occlude(x, corners, window, fill)
    truth = dense(in_double_precision(network), x, corners, window, fill)
    scale, expected = np.abs(truth).max(), dense(network, x, corners, window, fill)
    assert np.abs(scores - truth).max() < 2 * np.abs(expected - truth).max() + TOLERANCE * scale
    assert np.abs(scores - truth).max() < 0.01 * np.ptp(truth, axis=0).max()


def small():
    image = keras.Input(SHAPE)
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    x = layers.SeparableConv2D(8, 3, padding="same")(x)
    network = keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))
    randomise(network, 8)
    return network


def rounded_scores(network, seed=0):
    """Scores of the preview and of the exact way."""
    shape = network.input_shape[1:]
    exact = occluder_of(network, shape)
    preview = Occluder(rounded(exact.graph))
    x, fill = noise((1, *shape), seed), noise(shape, seed + 1)
    return preview.occlude(x, GRID, (4, 3), fill), exact.occlude(x, GRID, (4, 3), fill)


@pytest.mark.slow
def test_the_preview_has_the_digits_of_bfloat16():
    image = keras.Input(SHAPE)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", use_bias=False)(image)))
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(layers.Conv2D(16, 1, activation="relu")(x))
    x = layers.Concatenate()([layers.MaxPooling2D(2)(x), layers.AveragePooling2D(2)(x)])
    factor = layers.Dense(32, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.UpSampling2D(2)(layers.Multiply()([x, factor]))  # an unknown layer: float32
    network = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x))))
    randomise(network, 9)
    preview, exact = rounded_scores(network)
    deviation = np.abs(preview - exact).max() / np.abs(exact).max()
    assert 1e-5 < deviation < 0.02
    assert preview.dtype == np.float32


@pytest.mark.slow
@settings(max_examples=10, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(st.data())
def test_the_preview_runs_any_network(data):
    keras.backend.clear_session()
    network = drawn(data.draw)
    randomise(network, data.draw(st.integers(0, 99)))
    preview, exact = rounded_scores(network)
    assert np.abs(preview - exact).max() <= 0.2 * max(1, np.abs(exact).max())


class Mistaken(layers.Layer):
    """Says that it gives more cells than it does."""

    def call(self, inputs):
        return inputs

    def compute_output_shape(self, shape):
        return (shape[0], shape[1] + 1, shape[2] + 1, shape[3])


def test_a_layer_that_is_wrong_about_what_it_gives_is_found():
    image = keras.Input(SHAPE)
    flat = flatten(keras.Model(image, layers.GlobalAveragePooling2D()(Mistaken()(layers.Conv2D(2, 3)(image)))))
    graph = read(flat, flat.model.inputs[0], flat.model.outputs, SHAPE, lambda images: [images])
    with pytest.raises(ValueError, match="incompatible"):
        graph.checked()
