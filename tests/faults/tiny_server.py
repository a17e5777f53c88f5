"""`picasso serve` with a tiny model in the place of one of TensorFlow's: it is there within a second or two.

The worker process imports this file too.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from picasso import sessions
from picasso.config import Config
from picasso.models import opening
from picasso.testing import TinyModel


def open_tiny(_config: Config) -> TinyModel:
    """What workers open."""
    return TinyModel()


opening.open_model = open_tiny
if "FAKETIME_TIMESTAMP_FILE" in os.environ:  # under libfaketime, Python's own sleep is refused (EINVAL)
    time.sleep = lambda seconds: threading.Event().wait(seconds)
if "SWEEPS_EVERY" in os.environ:
    sessions.SWEEP_SECONDS = float(os.environ["SWEEPS_EVERY"])
    sessions.FIRST_SWEEP_SECONDS = 0.0

if __name__ == "__main__":
    from picasso.cli import main

    main(["serve", "--port", "0", *sys.argv[1:]])
