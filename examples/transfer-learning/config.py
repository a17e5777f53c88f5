"""Swap the model: a pretrained backbone nested in a new model. Start with
`PICASSO_SETTINGS=examples/transfer-learning/config.py make serve`."""

from textures import model_path

MODEL_NAME = "Textures"
MODEL_PATH = model_path()
MODEL_PREPARE = "textures:main"  # trains it when nothing is there, in less than a minute
MODEL_LABELS = ["brick", "grass", "gravel"]
SAMPLE_IMAGES = [
    "samples/brick.png",
    "samples/grass.png",
    "samples/gravel.png",
    "samples/brick-gravel.png",
    "samples/gravel-grass.png",
]
