"""Frameworks: the `Model` that everything else sees, and the adapters.

What TensorFlow and Keras read when they are imported is set here, before any adapter can import them.
"""

import logging
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its errors come as exceptions too
logging.getLogger("tensorflow").setLevel(logging.ERROR)  # its advice is for who writes models
