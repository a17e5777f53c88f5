"""Asks a server's health once a second, and how much memory its processes have; a line of JSON for each.

A process of its own, so that nothing else that is measured holds it up: python benchmarks/load_watch.py URL PID
Each question is a connection of its own, as programs that watch servers make them. It ends with its standard input.
"""

from __future__ import annotations

import json
import select
import sys
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import psutil

INTERVAL = 1.0  # seconds
PATIENCE = 30.0
MEMORY_EVERY = 5  # questions


def main(url: str, pid: int) -> None:
    """Asks until there is nobody any more to tell."""
    place = urlsplit(url)
    number = 0
    while not select.select([sys.stdin], [], [], INTERVAL)[0]:
        began, start = time.time(), time.perf_counter()
        row = {"time": began, "path": ("/health/live", "/health/ready")[number % 2]}
        row["status"] = ask(place.hostname or "", place.port or 80, row["path"])
        row["ms"] = 1000 * (time.perf_counter() - start)
        if number % MEMORY_EVERY == 0:
            row["memory"] = memory(pid)
        print(json.dumps(row), flush=True)
        number += 1


def ask(host: str, port: int, path: str) -> int:
    """The status; 0 where there is no answer."""
    connection = HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()


def memory(pid: int) -> dict[str, float]:
    """Megabytes in memory: of the web process, of the worker (the largest that it started), of all others together."""
    try:
        web = psutil.Process(pid)
        children = Counter({child.pid: size(child) for child in web.children(recursive=True)})
        worker = max(children.values(), default=0.0)
        return {"web": size(web), "worker": worker, "others": sum(children.values()) - worker}
    except psutil.NoSuchProcess:
        return {}


def size(process: psutil.Process) -> float:
    """Of one process; 0 where it has just ended."""
    try:
        return float(process.memory_info().rss) / 2**20
    except psutil.NoSuchProcess:
        return 0.0


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
