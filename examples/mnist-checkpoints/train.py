"""Train a very small digit classifier for a few hundred steps, and keep it as it is at some of them.

    .venv/bin/python examples/mnist-checkpoints/train.py

Without `--data` the digits come from `keras.datasets.mnist`. Step 0 is the network before it has learnt anything.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
from keras import layers

HERE = Path(__file__).parent
BATCH = 32
STEPS = (0, 5, 10, 20, 40, 80, 160, 320, 640)


def load_digits(path: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Images float32 (n, 28, 28, 1) in [0, 1], 0 is background, and labels (n,); an .npz holds them as `x` and `y`."""
    if path is None:
        (x, y), _ = keras.datasets.mnist.load_data()
    else:
        with np.load(path) as file:
            x, y = file["x"], file["y"]
    return (x.astype("float32") / 255.0)[..., np.newaxis], y


def build() -> keras.Model:
    """The untrained network: (n, 28, 28, 1) in [0, 1] to probabilities (n, 10)."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            layers.Conv2D(8, 5, strides=2, padding="same", activation="relu", name="conv1"),
            layers.Conv2D(16, 3, padding="same", activation="relu", name="conv2"),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="conv3"),
            layers.Flatten(name="flat"),
            layers.Dense(10, activation="softmax", name="digits"),
        ],
        name="digits",
    )


def batches(x: np.ndarray, y: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches for ever, in another order each time."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(x))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            yield x[chosen], y[chosen]


def train(x: np.ndarray, y: np.ndarray, steps: Iterable[int], out: Path, seed: int = 1) -> list[Path]:
    """Trains until the last of `steps`, and saves the network at each: "step-00040.keras" in the folder `out`."""
    keras.utils.set_random_seed(seed)
    model = build()
    model.compile(optimizer=keras.optimizers.Adam(2e-3), loss="sparse_categorical_crossentropy")
    out.mkdir(parents=True, exist_ok=True)
    coming, done, saved = batches(x, y, seed), 0, []
    for step in sorted(steps):
        for _ in range(step - done):
            model.train_on_batch(*next(coming))
        done = step
        saved.append(out / f"step-{step:05d}.keras")
        model.save(saved[-1], include_optimizer=False)
    return saved


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, and says what was saved."""
    parser = argparse.ArgumentParser(description="Train a small classifier of digits and keep its checkpoints.")
    parser.add_argument("--data", type=Path, help=".npz with x, uint8 (n, 28, 28), and y (n,)")
    parser.add_argument("--out", type=Path, default=HERE / "checkpoints", help="folder to write to (%(default)s)")
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS), help="when to save (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of initial weights and order (%(default)s)")
    options = parser.parse_args(arguments)
    for path in train(*load_digits(options.data), options.steps, options.out, options.seed):
        print(path)


if __name__ == "__main__":
    main()
