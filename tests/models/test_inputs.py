"""What a model is given that is not what it takes: a clear error, before anything is computed."""

from __future__ import annotations

import numpy as np
import pytest

from picasso.errors import NotFinite

WINDOW = (2, 2)


@pytest.fixture
def x(tiny_model):
    return np.random.default_rng(0).normal(size=(2, *tiny_model.info.input_shape))  # float64


def asked(model):
    """Everything that takes images."""
    layer, corners = model.info.default_layer, np.array([[0, 0], [3, 3]])
    return {
        "predict": model.predict,
        "gradients": lambda x: model.gradients(x, [1] * len(x)),
        "scored_gradients": lambda x: model.scored_gradients(x, [1] * len(x)),
        "guided_gradients": lambda x: model.guided_gradients(x, [1] * len(x)),
        "activations": lambda x: model.activations(x, layer),
        "layer_gradients": lambda x: model.layer_gradients(x, [1] * len(x), layer),
        "occlude": lambda x: model.occlude(x[:1], corners, WINDOW, np.zeros_like(x[0])),
    }


def test_float64_is_taken(tiny_model, x):
    for name, ask in asked(tiny_model).items():
        found, expected = ask(x), ask(x.astype(np.float32))
        pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
        for one, same in pairs:
            np.testing.assert_array_equal(one, same, err_msg=name)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_images_that_are_not_finite(tiny_model, x, value):
    x[0, 3, 4, 1] = value
    for ask in asked(tiny_model).values():
        with pytest.raises(NotFinite, match="is given to tiny"):
            ask(x)


def test_a_fill_that_is_not_finite(tiny_model, x):
    with pytest.raises(NotFinite, match="is given to tiny"):
        tiny_model.occlude(x[:1], np.array([[0, 0]]), WINDOW, x[0] * np.nan)


def test_large_numbers_are_finite(tiny_model, x):
    assert np.isfinite(tiny_model.activations(np.full_like(x, 1e36), tiny_model.info.layers[0].path)).all()


@pytest.mark.parametrize("change", [lambda x: x[:0], lambda x: x[0], lambda x: x[:, 1:], lambda x: x[..., :1]])
def test_images_of_another_shape(tiny_model, x, change):
    for ask in asked(tiny_model).values():
        with pytest.raises((ValueError, IndexError)):
            ask(change(x))
    with pytest.raises(ValueError, match=r"Images must be \(N, 12, 16, 3\) with N at least 1, got"):
        tiny_model.predict(change(x))


@pytest.mark.parametrize("classes", [[0], [0, 1, 2], [0, -1], [4, 0]])
def test_classes_that_do_not_fit(tiny_model, x, classes):
    with pytest.raises(ValueError, match="2 images need as many classes, 0 to 3; got"):
        tiny_model.gradients(x, classes)


def test_windows_that_do_not_fit(tiny_model, x):
    one, fill, corners = x[:1], x[0], [[0, 0]]
    assert tiny_model.occlude(one, corners, WINDOW, fill).shape == (1, 4)
    for wrong in ((x, corners, WINDOW, fill), (one, corners, WINDOW, fill[0]), (one, corners, WINDOW, fill[..., :1])):
        with pytest.raises(ValueError, match=r"Windows need one image \(1, H, W, C\) and a fill \(H, W, C\)"):
            tiny_model.occlude(*wrong)
    for wrong in ([0, 0], [[0.5, 0.5]], [[1, 2, 3]]):
        with pytest.raises(ValueError, match="Corners are int"):
            tiny_model.occlude(one, wrong, WINDOW, fill)
