"""The default: EfficientNet-Lite0 on ImageNet. To look into your own model, change these lines (docs/models.md)."""

from examples.imagenet.prepare import model_path

MODEL_NAME = "EfficientNet-Lite0 · ImageNet-1k"
MODEL_PATH = model_path()
MODEL_PREPARE = "examples.imagenet.prepare:main"  # makes the file at MODEL_PATH when it is not there
MODEL_PREPROCESS = {"geometry": "resize", "resample": "bicubic", "subtract": 127, "divide": 128}
MODEL_LABELS = "imagenet"
SAMPLE_IMAGES = ["skimage:data/coffee.png", "skimage:data/camera.png", "skimage:data/chelsea.png"]
VISUALIZATION_FOLDERS = []  # folders with your own visualizations; examples/plugin is one to copy
