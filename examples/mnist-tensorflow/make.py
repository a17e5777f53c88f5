"""Build and train a TF1-style graph that reads digits, and write it as a SavedModel and as a TF1 checkpoint.

    .venv/bin/python examples/mnist-tensorflow/make.py

Without `--data` the digits come from `keras.datasets.mnist`. Digits and split are those of `examples/mnist-keras`.
The graph is as such programs write it: placeholders for images, labels and `keep_prob`, a loss, an optimizer.
"""

import argparse
import importlib.util
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
HERE = Path(__file__).resolve().parent
BATCH = 64
FILTERS = (16, 32, 48)
KEEP = 0.7
RATE = 3e-3
SHIFT = 2  # pixels that digits are moved by, at most, while training


def keras_example() -> ModuleType:
    """`examples/mnist-keras/train.py`, for its digits and its split; loaded by path, as its folder has a hyphen."""
    spec = importlib.util.spec_from_file_location("mnist_keras_train", HERE.parent / "mnist-keras" / "train.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build() -> dict[str, Any]:
    """Build the graph: images (n, 28, 28, 1) in [0, 1] and keep_prob to scores (n, 10)."""
    image = v1.placeholder(tf.float32, [None, 28, 28, 1], name="image")
    keep = v1.placeholder_with_default(1.0, [], name="keep_prob")
    label = v1.placeholder(tf.int64, [None], name="label")
    rate = v1.placeholder(tf.float32, [], name="rate")
    x, channels = image, 1
    initial = v1.glorot_uniform_initializer()
    for number, filters in enumerate(FILTERS, start=1):
        with v1.variable_scope(f"conv{number}"):
            kernel = v1.get_variable("kernel", [3, 3, channels, filters], initializer=initial)
            bias = v1.get_variable("bias", [filters], initializer=v1.zeros_initializer())
            x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias), name="relu")
            if number < len(FILTERS):
                x = tf.nn.max_pool2d(x, 2, 2, "SAME", name="pool")
        channels = filters
    x = v1.nn.dropout(tf.reshape(tf.nn.max_pool2d(x, 2, 2, "SAME"), [-1, 16 * channels]), rate=1 - keep)
    with v1.variable_scope("digits"):
        kernel = v1.get_variable("kernel", [16 * channels, 10], initializer=initial)
        bias = v1.get_variable("bias", [10], initializer=v1.zeros_initializer())
        logits = tf.nn.bias_add(tf.matmul(x, kernel), bias, name="logits")
    scores = tf.nn.softmax(logits, name="scores")
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(label, logits), name="loss")
    step = v1.train.AdamOptimizer(rate).minimize(loss)
    return {"image": image, "keep": keep, "label": label, "rate": rate, "scores": scores, "step": step}


def batches(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All digits once, in random order, each moved by up to `SHIFT` pixels."""
    padded = np.pad(x, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)))
    order = rng.permutation(len(x))
    for start in range(0, len(x), BATCH):
        chosen = order[start : start + BATCH]
        corners = rng.integers(0, 2 * SHIFT + 1, (len(chosen), 2))
        moved = [padded[i, top : top + 28, left : left + 28] for i, (top, left) in zip(chosen, corners, strict=True)]
        yield np.stack(moved), y[chosen]


def predict(session: Any, graph: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """The predicted digit, int (n,), of images float32 (n, 28, 28, 1) in [0, 1]."""
    parts = np.array_split(x, max(1, len(x) // 256))
    return np.concatenate([session.run(graph["scores"], {graph["image"]: part}) for part in parts]).argmax(axis=-1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, report the held-out accuracy, save twice."""
    parser = argparse.ArgumentParser(description="Train a small TF1 graph to read handwritten digits.")
    parser.add_argument("--data", type=Path, help=".npz with x, y or x_train, y_train, x_test, y_test")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (%(default)s)")
    parser.add_argument("--epochs", type=int, default=12, help="passes over the training digits (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of initial weights, order and dropout (%(default)s)")
    options = parser.parse_args(arguments)

    digits = keras_example().load_digits(options.data)
    rng = np.random.default_rng(options.seed)
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(options.seed)
        graph = build()
        weights = v1.trainable_variables()
        session.run(v1.global_variables_initializer())
        for epoch in range(options.epochs):
            rate = RATE * (1 + np.cos(np.pi * epoch / options.epochs)) / 2
            for x, y in batches(digits.x_train, digits.y_train, rng):
                feeds = {graph["image"]: x, graph["label"]: y, graph["keep"]: KEEP, graph["rate"]: rate}
                session.run(graph["step"], feeds)
            print(f"Epoch {epoch + 1} of {options.epochs}")

        right = int((predict(session, graph, digits.x_held_out) == digits.y_held_out).sum())
        count = len(digits.y_held_out)
        print(f"Held-out accuracy: {right / count:.2%} ({right} of {count} digits never trained on)")

        for folder in ("saved_model", "checkpoint"):
            shutil.rmtree(options.out / folder, ignore_errors=True)
        v1.saved_model.simple_save(
            session, str(options.out / "saved_model"), {"image": graph["image"]}, {"scores": graph["scores"]}
        )
        (options.out / "checkpoint").mkdir()
        # The optimizer's variables are left out: they would triple the size.
        saver = v1.train.Saver(weights, save_relative_paths=True)
        saver.save(session, str(options.out / "checkpoint" / "digits.ckpt"))
    written = [file for name in ("saved_model", "checkpoint") for file in (options.out / name).rglob("*")]
    size = sum(file.stat().st_size for file in written if file.is_file()) / 1000
    parameters = sum(int(np.prod(weight.shape)) for weight in weights)
    print(f"{options.out}: {parameters:,} parameters, {size:.0f} kB in all")


if __name__ == "__main__":
    main()
