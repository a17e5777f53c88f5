"""Score-CAM against plain loops, and which channels it takes."""

import numpy as np
import pytest
from fakes import Layered, noise
from PIL import Image

from picasso.attribution.feature_maps import strength, strongest
from picasso.attribution.score_cam import score_cam
from picasso.attribution.targets import Targets

V, Q = noise(3, 2, 3, 4), noise(3, seed=1)
IMAGES = noise(2, 4, 6, 4, seed=2)
FILL = noise(2, 4, 6, 4, seed=3)
TARGETS = Targets(IMAGES, np.array([1, 0, 1]), np.array([0, 2, 2]), logits=True)


def by_loop(model, image, cls, channels):
    """The paper's formula, one channel at a time."""
    a = IMAGES[image, ::2, ::2]
    order = np.argsort(-np.abs(a).mean(axis=(0, 1)))[:channels]
    scores = []
    for channel in order:
        mask = np.asarray(Image.fromarray(a[..., channel].copy()).resize((6, 4), Image.Resampling.BILINEAR))
        mask = ((mask - mask.min()) / (mask.max() - mask.min()))[..., None]
        scores.append(model.predict((IMAGES[image] * mask + FILL[image] * (1 - mask))[None], logits=True)[0, cls])
    weights = np.exp(scores) / np.exp(scores).sum()
    return np.maximum(sum(w * a[..., channel] for w, channel in zip(weights, order, strict=True)), 0)


@pytest.mark.parametrize("seconds", [0.0, 0.34])
@pytest.mark.parametrize("channels", [1, 3, 4, 100])
def test_equal_to_a_plain_loop(channels, seconds):
    model = Layered(V, Q, seconds)
    found = score_cam(model, TARGETS, "half", FILL, channels=channels)
    for one, image, cls in zip(found.maps, TARGETS.images, TARGETS.classes, strict=True):
        np.testing.assert_allclose(one, by_loop(model, image, cls, channels), atol=1e-5)
    assert found.used.tolist() == [min(channels, 4)] * 2
    assert found.channels == 4


def test_classes_of_an_image_share_the_calls():
    model = Layered(V, Q)
    score_cam(model, TARGETS, "half", FILL, channels=3)
    assert model.calls == 2 + 2 * 3


def test_channels_without_a_shape_are_left_out():
    x = IMAGES.copy()
    x[0, ..., 1] = 9  # the strongest, but the same everywhere
    x[1] = 0
    found = score_cam(Layered(V, Q), Targets(x, TARGETS.images, TARGETS.classes, True), "half", FILL, channels=4)
    assert found.used.tolist() == [3, 0]
    assert not found.maps[0].any()
    assert np.isfinite(found.maps).all()


def test_it_tells_how_far_it_is():
    said = []
    score_cam(Layered(V, Q, 0.5), TARGETS, "half", FILL, channels=4, step=lambda share, _: said.append(share))
    assert said == [0.25, 0.5, 0.75, 1]


def test_one_that_has_enough_gets_the_map_of_so_many_channels():
    stopped = score_cam(Layered(V, Q, 0.5), TARGETS, "half", FILL, channels=4, step=lambda *_: True)
    fewer = score_cam(Layered(V, Q, 0.5), TARGETS, "half", FILL, channels=2)
    assert stopped.used.tolist() == [2, 0]  # the second image was not begun
    np.testing.assert_array_equal(stopped.maps[[1]], fewer.maps[[1]])


def test_strength_is_the_mean_absolute_value():
    activations = np.float32([[[1, -3, 0], [1, 1, 0]]])
    np.testing.assert_array_equal(strength(activations), [1, 2, 0])
    assert strongest(activations, 2).tolist() == [1, 0]
    assert strongest(activations, 9).tolist() == [1, 0, 2]


def test_equally_strong_channels_keep_their_order():
    assert strongest(np.ones((2, 2, 5), np.float32), 5).tolist() == [0, 1, 2, 3, 4]
