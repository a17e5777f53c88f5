"""Who comes first where processors are busy: the server, before what computes for it."""

from __future__ import annotations

import os
from contextlib import suppress

NICENESS = 5  # of 19: about a third of the time of a processor that the server wants as well


def give_way() -> None:
    """Lowers the priority of this process, once; on Linux that of this thread, and of what it starts from now on."""
    if hasattr(os, "nice"):  # Windows has none
        with suppress(OSError):
            os.nice(max(0, NICENESS - os.nice(0)))
