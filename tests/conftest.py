"""Fixtures that several suites share: two tiny models, opened as a worker opens them."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
from hypothesis import HealthCheck, settings
from long_forms import OF_TESTS

settings.register_profile("picasso", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
settings.load_profile("picasso")

for _name in [name for name in os.environ if name.startswith("PICASSO_")]:
    _value = os.environ.pop(_name)  # settings of whoever runs the tests are not what is tested
    if _name in OF_TESTS:
        os.environ[OF_TESTS[_name]] = _value  # under a name that Picasso does not take for a setting

TINY_SHAPE = (12, 16, 3)  # height, width, channels: not square, so that mixing them up shows
TINY_CLASSES = ("ant", "bee", "cat", "dog")


def save_tiny_keras(path, shape):
    """A convolutional softmax network with random weights, always the same; and what behaves otherwise in training."""
    import keras

    keras.utils.set_random_seed(7)
    network = keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.ReLU(),
            keras.layers.Dropout(0.5),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(len(TINY_CLASSES), activation="softmax"),
        ]
    )
    network.layers[1].moving_mean.assign([0.1, 0.2, 0.3, 0.4])
    network.layers[1].moving_variance.assign([0.5, 1, 2, 4])
    network.layers[-1].kernel.assign(network.layers[-1].kernel * 8)  # scores that differ visibly between inputs
    network.save(path)


def open_tiny(folder, shape):
    from picasso.config import Config
    from picasso.models.opening import open_model

    path = folder / f"tiny-{shape[2]}.keras"
    save_tiny_keras(path, shape)
    return open_model(Config(MODEL_PATH=path, MODEL_LABELS=list(TINY_CLASSES), DATA_DIR=folder))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Colour, 12 rows of 16 pixels, four classes, a softmax."""
    return open_tiny(tmp_path_factory.mktemp("tiny"), TINY_SHAPE)


@pytest.fixture(scope="session")
def tiny_grey_model(tmp_path_factory):
    """The same with one channel."""
    return open_tiny(tmp_path_factory.mktemp("tiny-grey"), (*TINY_SHAPE[:2], 1))
