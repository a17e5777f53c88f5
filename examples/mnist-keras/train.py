"""Train the small digit classifier that this example serves.

    .venv/bin/python examples/mnist-keras/train.py --out model.keras --samples samples

Without `--data` the digits come from `keras.datasets.mnist`. Held-out digits are used once, after the last epoch: they
choose neither the weights nor the number of epochs.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers
from PIL import Image

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SAMPLES = (0, 3, 4, 7, 8, 9)
HELD_OUT = 0.2
SPLIT_SEED = 0  # not `--seed`: the held-out digits stay the same whatever the training run
BATCH = 64


class Digits(NamedTuple):
    """Images are float32 (n, 28, 28, 1) in [0, 1], 0 is background; labels are uint8 (n,) in 0..9."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_held_out: np.ndarray
    y_held_out: np.ndarray


def split(y: np.ndarray, share: float = HELD_OUT, seed: int = SPLIT_SEED) -> tuple[np.ndarray, np.ndarray]:
    """Split labels (n,) into shuffled indices (train, held out) with `share` of every label held out.

    The order of `y` may be anything, sorted included. The same arguments always give the same split.
    """
    rng = np.random.default_rng(seed)
    train, held_out = [], []
    for label in np.unique(y):
        indices = rng.permutation(np.flatnonzero(y == label))
        count = round(share * len(indices))
        held_out.append(indices[:count])
        train.append(indices[count:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(held_out))


def as_input(images: np.ndarray) -> np.ndarray:
    """Turn uint8 (n, 28, 28) in 0..255 into model input: float32 (n, 28, 28, 1) in [0, 1]."""
    return (images.astype("float32") / 255.0)[..., np.newaxis]


def load_digits(path: Path | None = None) -> Digits:
    """Load digits from an .npz, or through `keras.datasets.mnist` when there is no path.

    An .npz holds `x` and `y`, which are split here, or `x_train`, `y_train`, `x_test`, `y_test`, whose test part is the
    held-out part. Images are uint8 (n, 28, 28), labels uint8 (n,).
    """
    if path is None:
        (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
        return Digits(as_input(x_train), y_train, as_input(x_test), y_test)
    with np.load(path) as file:
        if "x_train" in file:
            return Digits(as_input(file["x_train"]), file["y_train"], as_input(file["x_test"]), file["y_test"])
        x, y = as_input(file["x"]), file["y"]
    train, held_out = split(y)
    return Digits(x[train], y[train], x[held_out], y[held_out])


def build_classifier() -> keras.Model:
    """Build the network: (n, 28, 28, 1) in [0, 1] to probabilities (n, 10)."""

    def conv(x: Any, filters: int, name: str) -> Any:
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    image = keras.Input((28, 28, 1), name="image")
    x = conv(image, 32, "conv1")
    x = conv(x, 32, "conv2")
    x = layers.MaxPooling2D(name="pool1")(x)
    x = conv(x, 64, "conv3")
    x = conv(x, 64, "conv4")
    x = layers.MaxPooling2D(name="pool2")(x)
    x = conv(x, 64, "conv5")
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(0.3, name="dropout")(x)
    digits = layers.Dense(10, activation="softmax", name="digits")(x)
    return keras.Model(image, digits, name="mnist")


def train(x: np.ndarray, y: np.ndarray, epochs: int) -> keras.Model:
    """Train on images float32 (n, 28, 28, 1) in [0, 1] and labels (n,); return the network, never compiled.

    Augmentation and optimizer belong to a wrapper around the network, so neither ends up in the saved file.
    """
    classifier = build_classifier()
    # Black (0) is what a digit moved or turned leaves behind.
    border = {"fill_mode": "constant", "fill_value": 0.0}
    wrapper = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.RandomTranslation(0.08, 0.08, **border),
            layers.RandomRotation(10 / 360, **border),
            layers.RandomZoom(0.1, 0.1, **border),
            classifier,
        ]
    )
    rate = keras.optimizers.schedules.CosineDecay(2e-3, decay_steps=epochs * math.ceil(len(x) / BATCH))
    wrapper.compile(
        optimizer=keras.optimizers.AdamW(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    wrapper.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=2)
    return classifier


def predict(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return the predicted digit, int (n,), of images float32 (n, 28, 28, 1) in [0, 1]."""
    return model.predict(x, batch_size=256, verbose=0).argmax(axis=-1)


def write_samples(folder: Path, x: np.ndarray, y: np.ndarray, predicted: np.ndarray) -> None:
    """Write the first correctly read image of each digit in `SAMPLES` as a 28x28 greyscale PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for digit in SAMPLES:
        right = np.flatnonzero((y == digit) & (predicted == digit))
        if right.size == 0:
            print(f"No held-out {digit} was read correctly: {NAMES[digit]}.png is not written.")
            continue
        pixels = np.rint(x[right[0], ..., 0] * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{NAMES[digit]}.png")


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, report the held-out accuracy, save."""
    parser = argparse.ArgumentParser(description="Train a small classifier of handwritten digits.")
    parser.add_argument("--data", type=Path, help=".npz with x, y or x_train, y_train, x_test, y_test")
    parser.add_argument("--out", type=Path, default=Path("model.keras"), help="file to write (%(default)s)")
    parser.add_argument("--samples", type=Path, help="folder for a few held-out digits as PNG")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the training digits (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of initial weights, order and augmentation (%(default)s)")
    options = parser.parse_args(arguments)

    keras.utils.set_random_seed(options.seed)
    digits = load_digits(options.data)
    model = train(digits.x_train, digits.y_train, options.epochs)

    predicted = predict(model, digits.x_held_out)
    right, count = int((predicted == digits.y_held_out).sum()), len(predicted)
    print(f"Held-out accuracy: {right / count:.2%} ({right} of {count} digits never trained on)")

    model.save(options.out)
    print(f"{options.out}: {model.count_params():,} parameters, {options.out.stat().st_size / 1000:.0f} kB")
    if options.samples:
        write_samples(options.samples, digits.x_held_out, digits.y_held_out, predicted)


if __name__ == "__main__":
    main()
