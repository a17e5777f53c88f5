"""Makes the model of this example: brick, grass or gravel, learnt on top of EfficientNet-Lite0's ImageNet features.

    .venv/bin/python examples/transfer-learning/textures.py [--out textures.keras]

It is built as transfer learning mostly is: augmentation, scaling and the pretrained backbone are layers of the new
model, the backbone a whole network in one layer; the backbone stays as it is, and only a new head is trained.
Pictures: brick.png, grass.png and gravel.png of scikit-image (CC0, 512 x 512, grey). Their upper halves are trained
on, crops of their lower halves are held out.
"""

from __future__ import annotations

import argparse
import importlib.util
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from PIL import Image

HERE = Path(__file__).resolve().parent
TEXTURES = ("brick", "grass", "gravel")
SIDE = 224  # of the model's input
CROPS = (112, 224)  # the smallest and the largest side of a crop, in pixels of the textures
HALF = 256
TRAINED, HELD_OUT = 60, 40  # crops of each texture
EPOCHS = 60


def model_path() -> Path:
    """Return where the model is kept. Nothing is made or looked up."""
    return platformdirs.user_cache_path("picasso") / "models" / "textures.keras"


def main(path: str | Path | None = None) -> Path:
    """Make the model's `.keras` file at `path`, or at `model_path()`, unless there is one. Return its path."""
    out = model_path() if path is None else Path(path)
    if not out.exists():
        network, accuracy = train()
        out.parent.mkdir(parents=True, exist_ok=True)
        new = out.with_name(f".{out.stem}-{secrets.token_hex(8)}.keras")
        network.save(new)
        new.replace(out)  # in one step: several processes may do this at once
        print(f"{out}: {accuracy:.1%} of {HELD_OUT * len(TEXTURES)} held-out crops are right")
    return out


def train() -> tuple[Any, float]:
    """Train the head; return the whole model and its accuracy on held-out crops."""
    import keras

    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    backbone = load_backbone()
    network = build(backbone)
    x, y = crops(rng, TRAINED, upper=True)
    features = keras.Sequential([network.get_layer("scale"), backbone, network.get_layer("pool")])
    head = keras.Sequential([network.get_layer("dropout"), network.get_layer("texture")])
    head.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    # The backbone does not change: its features are computed once, not in every epoch.
    head.fit(features.predict(x, verbose=0), y, epochs=EPOCHS, verbose=0)
    x, y = crops(rng, HELD_OUT, upper=False)
    return network, float((network.predict(x, verbose=0).argmax(axis=-1) == y).mean())


def build(backbone: Any) -> Any:
    """Return the untrained model: float32 (n, 224, 224, 3), RGB 0..255, to probabilities (n, 3)."""
    import keras

    backbone.trainable = False
    image = keras.Input((SIDE, SIDE, 3), name="image")
    augmentation = keras.Sequential([keras.layers.RandomFlip(), keras.layers.RandomRotation(0.1)], name="augmentation")
    x = augmentation(image)
    x = keras.layers.Rescaling(1 / 128, offset=-127 / 128, name="scale")(x)
    x = backbone(x, training=False)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(0.2, name="dropout")(x)
    return keras.Model(image, keras.layers.Dense(len(TEXTURES), activation="softmax", name="texture")(x))


def load_backbone() -> Any:
    """Return EfficientNet-Lite0 up to its last map (7, 7, 1280), with ImageNet weights."""
    import keras

    sys.path.insert(0, str(HERE.parents[1]))  # first: some installed packages bring a folder called examples
    from examples.imagenet import prepare

    whole = keras.saving.load_model(prepare.main(), compile=False)
    return keras.Model(whole.input, whole.get_layer("avg_pool").input, name="backbone")


def crops(rng: np.random.Generator, count: int, upper: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` square crops of each texture's half, float32 (n, 224, 224, 3), and their classes (n,)."""
    pictures = [crop(rng, texture(name, upper)) for name in TEXTURES for _ in range(count)]
    return np.stack(pictures), np.repeat(np.arange(len(TEXTURES)), count)


def crop(rng: np.random.Generator, picture: Image.Image) -> np.ndarray:
    """Return a square of random size and place, turned at random, float32 (224, 224, 3)."""
    side = int(rng.integers(CROPS[0], CROPS[1] + 1))
    left, top = (int(rng.integers(0, length - side + 1)) for length in picture.size)
    square = picture.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    turned = np.rot90(np.asarray(square.convert("RGB"), np.float32), int(rng.integers(4)))
    return turned[:, ::-1] if rng.integers(2) else turned


def texture(name: str, upper: bool) -> Image.Image:
    """Return one half of a texture, 512 x 256, grey."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("The pictures come with scikit-image: pip install scikit-image", name="skimage")
    whole = Image.open(Path(spec.origin).parent / "data" / f"{name}.png").convert("L")
    return whole.crop((0, 0, 2 * HALF, HALF) if upper else (0, HALF, 2 * HALF, 2 * HALF))


def samples(folder: Path) -> None:
    """Write the sample pictures: a held-out piece of each texture, and two that lie side by side."""
    folder.mkdir(exist_ok=True)
    for name in TEXTURES:
        texture(name, upper=False).crop((0, 0, HALF, HALF)).save(folder / f"{name}.png", optimize=True)
    for left, right in (("brick", "gravel"), ("gravel", "grass")):
        both = Image.new("L", (HALF, HALF))
        both.paste(texture(left, upper=False).crop((0, 0, HALF // 2, HALF)), (0, 0))
        both.paste(texture(right, upper=False).crop((0, 0, HALF // 2, HALF)), (HALF // 2, 0))
        both.save(folder / f"{left}-{right}.png", optimize=True)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train a head for brick, grass and gravel on a pretrained backbone.")
    parser.add_argument("--out", type=Path, help="the file to write; in the cache folder unless given")
    parser.add_argument("--samples", action="store_true", help="write the sample pictures as well")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    options = parse()
    if options.samples:
        samples(HERE / "samples")
    print(main(options.out))
