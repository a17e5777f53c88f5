"""Swap the framework: handwritten digits read by a TensorFlow SavedModel. Start with
`PICASSO_SETTINGS=examples/mnist-tensorflow/config.py make serve`."""

MODEL_NAME = "MNIST digits (SavedModel)"
MODEL_FRAMEWORK = "tensorflow"
MODEL_PATH = "saved_model"  # a folder, relative to this file
MODEL_PREPROCESS = {"geometry": "resize", "scale": [0, 1]}
MODEL_LABELS = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
SAMPLE_IMAGES = [f"../mnist-keras/samples/{name}.png" for name in ("zero", "three", "four", "seven", "eight", "nine")]
