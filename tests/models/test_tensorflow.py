"""The TensorFlow adapter: every kind of file computes what TensorFlow computes directly."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_zoo import (
    CASES,
    CLASSES,
    SHAPE,
    direct_gradients,
    frozen,
    half_precision,
    noise,
    open_tensorflow,
    raw,
    sigmoid,
)

from picasso.errors import NotSupported
from picasso.models.base import MAX_BATCH
from picasso.visualizations.base import Input
from picasso.visualizations.discovery import discover
from picasso.visualizations.saliency import Saliency

pytestmark = pytest.mark.slow  # a zoo of models

FORMATS = {
    "keras_export": ("SavedModel", f"Keras 3 (export), TensorFlow {tf.__version__}"),
    "module": ("SavedModel", f"TensorFlow {tf.__version__}"),
    "tf1": ("SavedModel", f"TensorFlow {tf.__version__}"),
    "checkpoint": ("TensorFlow 1 checkpoint", f"TensorFlow {tf.__version__}"),
}


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.__name__)
def pair(request, tmp_path_factory):
    """A case and its opened model."""
    case = request.param(tmp_path_factory.mktemp(request.param.__name__))
    model = open_tensorflow(case.path, **case.config)
    model.warm_up()
    return case, model


def has(case, model, logits=True):
    """Whether the model has logits where they are asked for; if not, it must say so."""
    if not logits or case.has_logits:
        return True
    for call in (model.predict, lambda x, **logits: model.gradients(x, [0], **logits)):
        with pytest.raises(NotSupported, match="has no logit"):
            call(noise(), logits=True)
    return False


def tolerance(case):
    return 1e-3 if case.path.parent.name.startswith("half") else 1e-5  # the gradient is rounded to float16


def test_what_is_known(request, pair):
    case, model = pair
    info = model.info
    assert info.framework == "tensorflow"
    assert (info.input_shape, info.classes) == (SHAPE, CLASSES)
    assert info.score_kind == ("raw score" if case.final is raw else "probability")
    can = {"predict", "gradients"} | ({"logits"} if case.has_logits else set())
    assert info.capabilities == can | ({"activations"} if case.body else {"guided"})  # its activation is a SiLU
    assert (info.parameters, info.weight_bytes) == (case.parameters, 4 * case.parameters)
    assert bool(info.warnings) == (case.final is raw)
    assert dict(info.versions).keys() == {"tensorflow", "numpy"}
    assert len(info.fingerprint) == 64
    assert info.seconds_per_image > 0
    kind = next((kind for kind in FORMATS if request.node.callspec.id.startswith(kind)), None)
    assert (info.format, info.writer) == FORMATS.get(kind, ("frozen graph (.pb)", ""))
    assert info.inputs[0].shape in (SHAPE, (None, None, 3))
    assert info.inputs[0].constant == ""
    assert len(info.inputs) == 1 + len(case.config.get("MODEL_OTHER_INPUTS", {}))
    assert info.output in info.outputs


@pytest.mark.parametrize("count", [1, 2, 5, MAX_BATCH + 3])
def test_predict(pair, count):
    case, model = pair
    x = noise(count)
    scores = model.predict(x)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, case.values(x), atol=1e-5)


def test_logits(pair):
    case, model = pair
    if has(case, model):
        np.testing.assert_allclose(model.predict(noise(3), logits=True), case.values(noise(3), logits=True), atol=1e-5)


@pytest.mark.parametrize("logits", [True, False])
def test_gradients(pair, logits):
    case, model = pair
    if not has(case, model, logits):
        return
    x, classes = noise(5), [3, 0, 1, 1, 2]
    gradients = model.gradients(x, classes, logits=logits)
    assert (gradients.shape, gradients.dtype) == ((5, *SHAPE), np.float32)
    expected = direct_gradients(lambda x: case.values(x, logits), x, classes)
    np.testing.assert_allclose(gradients, expected, atol=tolerance(case))
    scores, gradients = model.scored_gradients(x, classes, logits=logits)
    np.testing.assert_allclose(scores, case.values(x, logits), atol=1e-5)
    np.testing.assert_allclose(gradients, expected, atol=tolerance(case))


@pytest.mark.parametrize("logits", [True, False])
def test_layers(pair, logits):
    """The activations of every convolution, and the gradient of scores with respect to them."""
    case, model = pair
    x, classes = noise(5), [3, 0, 1, 1, 2]
    convolutions = [layer for layer in model.info.layers if layer.convolution]
    assert len(convolutions) == bool(case.body)
    for layer in convolutions:
        maps = np.asarray(case.body(x))
        assert (layer.kind, layer.shape) == ("Conv2D", maps.shape[1:])
        np.testing.assert_allclose(model.activations(x, layer.path), maps, atol=tolerance(case))
        if has(case, model, logits):
            activations, gradients = model.layer_gradients(x, classes, layer.path, logits=logits)
            expected = direct_gradients(lambda maps: case.final(case.head(maps)), maps, classes)
            if logits:
                expected = direct_gradients(case.head, maps, classes)
            assert (activations.dtype, gradients.dtype) == (np.float32, np.float32)
            np.testing.assert_allclose(activations, maps, atol=tolerance(case))
            np.testing.assert_allclose(gradients, expected, atol=1e-5)


def test_occlude(pair):
    case, model = pair
    x, fill = noise(1), noise(1, seed=1)[0]
    corners = np.array([(top, left) for top in range(-1, 5) for left in range(-1, 7)])
    copies = np.repeat(x, len(corners), axis=0)
    for copy, (top, left) in zip(copies, corners, strict=True):
        rows, columns = slice(max(0, top), top + 2), slice(max(0, left), left + 3)
        copy[rows, columns] = fill[rows, columns]
    np.testing.assert_allclose(model.occlude(x, corners, (2, 3), fill), case.values(copies), atol=1e-5)


def test_saliency(pair, tmp_path):
    case, model = pair
    discover()
    picture = Image.fromarray(np.random.default_rng(2).integers(0, 256, SHAPE, dtype=np.uint8))
    x = np.asarray(picture, np.float32)[None] / 255
    settings = Saliency.parse_settings({"classes": 2}, model.info)
    (result,) = Saliency(model).make_visualization([Input("a.png", picture)], tmp_path, settings)
    best = np.argsort(-np.asarray(case.values(x)[0], np.float32))[:2]
    assert [one["index"] for one in result["maps"]] == best.tolist()
    expected = direct_gradients(lambda x: case.values(x, case.has_logits), np.repeat(x, 2, axis=0), best)
    for one, gradient in zip(result["maps"], expected, strict=True):
        np.testing.assert_allclose(one["map"], np.abs(gradient).max(axis=-1), atol=tolerance(case))


@pytest.mark.parametrize("make", [frozen, half_precision])
def test_nothing_is_built_twice(tmp_path, make):
    model = open_tensorflow(make(tmp_path).path)
    path = model.info.layers[0].path

    def use():
        for count in (1, 2, 5, MAX_BATCH + 1):
            model.predict(noise(count))
            model.gradients(noise(count), [1] * count)
            model.activations(noise(count), path)
            model.layer_gradients(noise(count), [1] * count, path)
        return len(model._network._graph.get_operations())

    assert use() == use()


def test_one_sigmoid_with_two_names(tmp_path):
    """It is shown as two classes; the adapter computes the one that there is."""
    case = sigmoid(tmp_path, classes=1)
    model = open_tensorflow(case.path, MODEL_LABELS=["no", "yes"])
    x = noise(3)
    yes = np.asarray(case.values(x))
    np.testing.assert_allclose(model.predict(x), np.concatenate([1 - yes, yes], axis=1), atol=1e-5)
    expected = direct_gradients(lambda x: case.values(x, logits=True), x, [0, 0, 0])
    signs = np.array([-1, 1, -1], np.float32)[:, None, None, None]
    np.testing.assert_allclose(model.gradients(x, [0, 1, 0]), expected * signs, atol=1e-5)
    assert open_tensorflow(case.path).info.classes == 1
