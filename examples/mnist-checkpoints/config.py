"""A training as a model with many states. Make them with `.venv/bin/python examples/mnist-checkpoints/train.py`, then
`PICASSO_SETTINGS=examples/mnist-checkpoints/config.py make serve`."""

MODEL_NAME = "digits"
MODEL_CHECKPOINTS = "checkpoints"  # a folder, relative to this file
MODEL_PREPROCESS = {"geometry": "resize", "scale": [0, 1]}
MODEL_LABELS = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
SAMPLE_IMAGES = [
    "../mnist-keras/samples/three.png",
    "../mnist-keras/samples/seven.png",
    "../mnist-keras/samples/eight.png",
]
