"""Who comes first where processors are busy: the server, before what computes for it."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache

NICENESS = 5  # more than the server's: about a third of the time that it gets where both want a processor


@cache  # once for each process
def give_way() -> None:
    """Lowers the priority of this process; on Linux that of this thread, and of what it starts from now on."""
    if hasattr(os, "nice"):  # Windows has none
        with suppress(OSError):
            os.nice(NICENESS)
