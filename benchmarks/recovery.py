"""How long a worker process that dies is missed: from `kill -9` to the next answer, over HTTP.

Meanwhile a process is started, TensorFlow imported and the model opened.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from urllib.error import HTTPError

import psutil

from benchmarks.asking import PATIENCE, questioner, serving, waited
from benchmarks.measure import Row

DEATHS = 3


def measure(path: Path) -> Row:
    """The median and the longest time in seconds."""
    times = []
    with serving(path) as url:
        ask = questioner(url)
        for _ in range(DEATHS):
            waited(ask)  # until it has warmed up, too
            worker().kill()
            start = time.perf_counter()
            while time.perf_counter() - start < PATIENCE:
                try:
                    ask("0,0,9,9")
                    break
                except HTTPError as error:
                    if error.code != 503:
                        raise
                    time.sleep(0.1)
            else:
                raise TimeoutError(f"The worker was not back after {PATIENCE} s.")
            times.append(time.perf_counter() - start)
    return {"seconds": statistics.median(times), "late": max(times), "rounds": len(times)}


def worker() -> psutil.Process:
    """The worker process of the server that this process has started: the one with the model in memory."""
    return max(psutil.Process().children(recursive=True), key=lambda process: process.memory_info().rss)
