"""A model that is open in a moment."""

MODEL_PATH = "tiny.model"
MODEL_PREPROCESS = "tiny:preprocess"
DATA_DIR = "data"
