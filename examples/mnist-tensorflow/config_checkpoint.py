"""The same graph as a TF1 checkpoint. Start with
`PICASSO_SETTINGS=examples/mnist-tensorflow/config_checkpoint.py make serve`."""

MODEL_NAME = "MNIST digits (TF1 checkpoint)"
MODEL_FRAMEWORK = "tensorflow"
MODEL_PATH = "checkpoint/digits.ckpt.meta"
MODEL_INPUT = "image"  # these two are found without being named, too
MODEL_OUTPUT = "scores"
MODEL_PREPROCESS = {"geometry": "resize", "scale": [0, 1]}
MODEL_LABELS = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
SAMPLE_IMAGES = [f"../mnist-keras/samples/{name}.png" for name in ("zero", "three", "four", "seven", "eight", "nine")]
