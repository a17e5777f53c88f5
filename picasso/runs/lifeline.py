"""A worker process of this machine ends with its server whatever it does, and rather than it where memory runs out.

Where processors are busy the server comes first too: whoever waits for a page does not wait for a run.
"""

from __future__ import annotations

import ctypes
import signal
import sys
from contextlib import suppress
from pathlib import Path

from picasso.priority import give_way

PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
VICTIM = 500  # -1000..1000: thousandths of all memory that Linux adds to what a process has when it chooses one to end
SCORE = Path("/proc/self/oom_score_adj")


def tie_to_server() -> None:
    """Called in the worker process, which the server started; but for its priority it does nothing but on Linux.

    Dask has a thread that looks whether the server is gone; a call in C that keeps Python's lock never lets it run.
    """
    give_way()
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    with suppress(OSError, ValueError):  # some containers do not allow it
        SCORE.write_text(str(max(VICTIM, int(SCORE.read_text()))))
