"""Threads that use a model at the same time get its own answers: TensorFlow's merged convolutions mix them up."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from keras import layers

from picasso.config import Config
from picasso.errors import Cancelled
from picasso.models.base import side_by_side
from picasso.models.opening import open_model

THREADS, CALLS = 4, 150
WINDOW = (3, 3)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Residual convolutions with biases: additions that TensorFlow merges into them. Large enough to be folded."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((8, 8, 3))
    x = layers.Conv2D(128, 1)(x)
    for _ in range(8):
        x = layers.Rescaling(0.5)(layers.Add()([x, layers.Conv2D(128, 1, bias_initializer="ones")(x)]))
    x = layers.Dense(5, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    path = tmp_path_factory.mktemp("model") / "residual.keras"
    keras.Model(image, x).save(path)
    model = open_model(Config(MODEL_PATH=path))
    model.warm_up()
    return model


@pytest.mark.slow
def test_threads_do_not_mix(model):
    """Without turns, this crashes or is wrong within seconds."""
    random = np.random.default_rng(0)
    images = [random.uniform(size=(count, 8, 8, 3)).astype(np.float32) for count in (3, 5, 8, 13)]
    layer = model.info.default_layer
    corners = random.integers(-1, 7, (24, 2))
    asked = [
        lambda x: model.predict(x),
        lambda x: model.gradients(x, [1] * len(x)),
        lambda x: model.activations(x, layer),
        lambda x: model.occlude(x[:1], corners, WINDOW, np.zeros_like(x[0])),
    ]
    expected = [[ask(x) for x in images] for ask in asked]

    def work(seed):
        choose = np.random.default_rng(seed)
        for _ in range(CALLS):
            ask, x = choose.integers(len(asked)), choose.integers(len(images))
            np.testing.assert_allclose(asked[ask](images[x]), expected[ask][x], rtol=1e-4, atol=1e-6)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(work, range(THREADS)))


@pytest.mark.slow
def test_a_question_does_not_wait_for_a_run(model):
    x = np.random.default_rng(0).uniform(size=(1, 8, 8, 3)).astype(np.float32)
    expected = model.predict(x)
    with model._folded._lock:  # as if a run had a batch in it
        np.testing.assert_allclose(model.predict_beside(x, 1), expected, atol=1e-6)


def test_parts_run_side_by_side_and_come_in_order():
    both = threading.Barrier(2)

    def meet(number):
        both.wait(60)
        return number

    assert side_by_side(meet, [(number,) for number in range(6)], 2) == list(range(6))


def test_a_single_stream_is_this_thread():
    assert side_by_side(threading.current_thread, [(), ()], 1) == [threading.current_thread()] * 2


def test_a_cancel_between_parts_ends_those_under_way():
    ended = []

    def calls():
        yield (1,)
        yield (2,)
        raise Cancelled("no more")

    with pytest.raises(Cancelled):
        side_by_side(ended.append, calls(), 2)
    assert sorted(ended) == [1, 2]
