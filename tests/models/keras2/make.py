"""Writes the files of this folder with Keras 2: `pip install tf-keras tensorflow`, then `python make.py`.

Each network is saved with the scores that Keras 2 itself gives for `x` of scores.npz
(x / 255, except functional: it divides itself).
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras import layers

FOLDER = Path(__file__).parent
SHAPE = (8, 10, 3)


def backbone():
    image = keras.Input(SHAPE)
    y = layers.Conv2D(4, 3, use_bias=False, name="stem/conv")(image)
    y = layers.BatchNormalization(axis=[3], name="stem_bn")(y)
    y = layers.ReLU(6.0)(y)
    y = layers.DepthwiseConv2D(3, padding="same")(y)
    y = layers.BatchNormalization(name="second_bn")(y)
    return keras.Model(image, layers.LeakyReLU(0.2)(y), name="backbone")


def functional():
    """Operations on tensors, a frozen backbone, two branches, an old hard sigmoid; compiled with a loss of its own."""
    image = keras.Input(SHAPE, name="image")
    y = tf.math.subtract(tf.math.truediv(image, 127.5), 1.0)[..., ::-1]
    inner = backbone()
    inner.trainable = False
    y = inner(y)
    gate = layers.Conv2D(4, 1, activation="hard_sigmoid", name="gate")(y)
    y = y * gate + tf.nn.relu(y)
    y = layers.SeparableConv2D(5, 3, activation="swish")(layers.ZeroPadding2D()(y))
    y = tf.concat([tf.reduce_mean(y, [1, 2]), layers.GlobalMaxPooling2D()(y)], axis=-1)
    model = keras.Model(image, layers.Dense(3, activation="softmax")(layers.Dropout(0.3)(y)), name="functional")
    model.compile(keras.optimizers.legacy.SGD(decay=1e-3), loss=lambda truth, scores: tf.reduce_sum(scores))
    return model


def nested():
    """A Sequential model of a partly frozen backbone and a Sequential head."""
    inner = backbone()
    inner.layers[1].trainable = False
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(3), layers.Softmax()], name="head")
    model = keras.Sequential([inner, head], name="nested")
    model.build((None, *SHAPE))
    return model


def shared():
    """A Sequential part that is used twice inside a functional model, behind an operation on a tensor."""
    image = keras.Input(SHAPE)
    part = keras.Sequential([layers.Conv2D(3, 3, padding="same", activation="tanh"), layers.BatchNormalization()])
    y = layers.Add()([part(part(tf.math.multiply(image, 1.5))), image])
    return keras.Model(image, layers.Dense(2, activation="softmax")(layers.Flatten()(y)), name="shared")


def mixed():
    """Mixed precision, with dtype policies."""
    keras.mixed_precision.set_global_policy("mixed_float16")
    image = keras.Input(SHAPE)
    y = layers.Flatten()(layers.Conv2D(2, 3, activation="relu")(image))
    model = keras.Model(image, layers.Activation("softmax", dtype="float32")(layers.Dense(3)(y)), name="mixed")
    keras.mixed_precision.set_global_policy("float32")
    return model


def main():
    keras.utils.set_random_seed(5)
    random = np.random.default_rng(5)
    x = random.uniform(0, 255, (4, *SHAPE)).astype(np.float32)
    scores = {"x": x}
    for make, suffix in ((functional, ".h5"), (nested, ".h5"), (shared, ".keras"), (mixed, ".h5")):
        model = make()
        model.set_weights([w + random.uniform(0, 0.2, w.shape) for w in model.get_weights()])
        scores[model.name] = model(x if make is functional else x / 255, training=False).numpy()
        model.save(FOLDER / f"{model.name}{suffix}")
        if make is nested:
            (FOLDER / "nested.json").write_text(model.to_json())
            model.save_weights(FOLDER / "nested_weights.h5")
        if make is shared:
            model.save_weights(FOLDER / "shared.weights.h5")
            model.save(FOLDER / "shared.h5")
    np.savez(FOLDER / "scores.npz", **scores)


if __name__ == "__main__":
    main()
