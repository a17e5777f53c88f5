"""Swap the model: handwritten digits instead of ImageNet. Start with
`PICASSO_SETTINGS=examples/mnist-keras/config.py make serve`."""

MODEL_NAME = "MNIST digits"
MODEL_FRAMEWORK = "keras"
MODEL_PATH = "model.keras"  # relative to this file
MODEL_PREPROCESS = {"geometry": "resize", "scale": [0, 1]}
MODEL_LABELS = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
SAMPLE_IMAGES = [
    "samples/zero.png",
    "samples/three.png",
    "samples/four.png",
    "samples/seven.png",
    "samples/eight.png",
    "samples/nine.png",
]
