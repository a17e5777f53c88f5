"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 120.0  # seconds; how long a test waits for what should come much sooner


def wait_for(what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What `what` gives once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError(f"Not within {seconds:g} seconds: {what}")
