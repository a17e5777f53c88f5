"""One process of measuring: `python -m benchmarks.measure '{"question": "warm", ...}'`, started by `benchmarks`.

Every row is a line of JSON on the standard output, told as soon as it is known.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import networks
from benchmarks.cases import Case, Job

LIBRARIES = ("picasso", "plain", "xplique", "tf_explain", "tf_keras_vis", "saliency")
WINDOW = 32  # that all libraries are compared with; how long a window takes them does not depend on its size
MOST_ROUNDS = 60
TARGET = 281  # the class that is explained
MEGABYTE = 1024  # kilobytes
Row = dict[str, Any]
Tell = Callable[[Row], None]


def main() -> None:
    """Answers one question."""
    task = json.loads(sys.argv[1])
    rows = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries write progress bars there

    def tell(row: Row) -> None:
        print(json.dumps({**row, "network": task["network"], "load": os.getloadavg()[0]}), file=rows, flush=True)

    path = networks.network_file(task["network"], Path(task["folder"]))
    if task["question"] == "able":
        able(tell)
    elif task["question"] == "asking":
        from benchmarks import asking

        tell({"question": "asking", "method": "by hand", "library": "Picasso"} | asking.measure(path, task["seconds"]))
    elif task["question"] == "browsing":
        from benchmarks import browsing

        row = {"question": "browsing", "method": "by hand", "library": "Picasso", "window": 0}
        tell(row | browsing.measure(path, task["seconds"]))
    elif task["question"] == "recovery":
        from benchmarks import recovery

        row = {"question": "recovery", "method": "a worker killed", "library": "Picasso", "window": 0}
        tell(row | recovery.measure(path))
    elif task["question"] == "warm":
        warm(path, task["methods"], task["windows"], task["seconds"], task["rounds"], tell)
    else:
        cold(path, task["method"], task["library"], task["warm_up"], tell)


def able(tell: Tell) -> None:
    """Which methods each library has."""
    for name in LIBRARIES:
        tell({"module": name, "methods": list(_library(name).METHODS)})


def warm(path: Path, methods: Sequence[str], windows: Sequence[int], seconds: float, rounds: int, tell: Tell) -> None:
    """All libraries in one process, in turn."""
    libraries = {name: _library(name) for name in LIBRARIES}
    opened = {name: library.open_network(path) for name, library in libraries.items()}
    opened["picasso"].warm_up()
    for method in methods:
        for window in windows if method == "occlusion" else (0,):
            able = {name: library for name, library in libraries.items() if method in library.METHODS}
            if window not in (0, WINDOW):
                able = {name: able[name] for name in ("picasso", "plain")}
            case = _case(opened["plain"], window or WINDOW)
            facts = {"question": "warm", "method": method, "window": window}
            compare(able, opened, case, facts, seconds, rounds, tell)
            if method == "occlusion":
                tell(facts | {"question": "exactness", "library": able["picasso"].NAME} | exactness(opened, case))
                if opened["picasso"].info.preview_speed:
                    found = preview(opened, case, seconds, rounds)
                    tell(facts | {"question": "preview", "library": able["picasso"].NAME} | found)


def compare(
    libraries: dict[str, Any], opened: dict[str, Any], case: Case, facts: Row, seconds: float, rounds: int, tell: Tell
) -> None:
    """One method of all libraries that have it. The first call of each compiles, and is not counted."""
    jobs: dict[str, Job] = {}
    for name, library in libraries.items():
        try:
            job = library.METHODS[facts["method"]](opened[name], case)
            job.run()
            jobs[name] = job
        except Exception as error:  # whatever a library raises is what its users meet
            tell(facts | {"library": library.NAME, "problem": _sentence(error)})
    times = alternate(list(jobs.values()), seconds, rounds)
    for (name, job), pairs in zip(jobs.items(), times, strict=True):
        wall, processor = (statistics.median(clock) / job.positions for clock in zip(*pairs, strict=True))
        numbers = {"seconds": wall, "processor": processor, "rounds": len(pairs)}
        tell(facts | {"library": libraries[name].NAME} | numbers)


def alternate(jobs: Sequence[Job], seconds: float, least: int) -> list[list[tuple[float, float]]]:
    """Times of each job, by the clock and of the processor, for about so many seconds.

    In rounds, each in an order of its own: what a job leaves in the caches is then not always the same one's loss.
    """
    times: list[list[tuple[float, float]]] = [[] for _ in jobs]
    start, rng = time.perf_counter(), np.random.default_rng(0)
    for count in range(MOST_ROUNDS):
        if count >= least and time.perf_counter() - start > seconds * count / (count + 1):
            break
        for number in rng.permutation(len(jobs)):
            times[number].append(timed(jobs[number].run)[:2])
    return times


def timed(run: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds of the clock, seconds of the processor with all its cores, and what came of it."""
    wall, processor = time.perf_counter(), time.process_time()
    result = run()
    return time.perf_counter() - wall, time.process_time() - processor, result


def exactness(opened: dict[str, Any], case: Case) -> Row:
    """How much work Picasso's occlusion saves, and how far it is from the dense one, relative to the largest score."""
    from benchmarks.libraries import plain
    from picasso.attribution.occlusion import corners

    model, window = opened["picasso"], (case.window, case.window)
    positions = corners(case.x.shape[1:3], window, plain.STRIDE)
    scores = model.occlude(
        case.x, positions, window, np.zeros_like(case.x[0]), logits="logits" in model.info.capabilities
    )
    expected = plain.occlusion_scores(opened["plain"], case)()
    deviation = np.abs(scores[plain.some_windows(case)] - expected).max() / np.abs(expected).max()
    plan = model.occlusion_plan(positions, window)
    return {
        "share": plan.share,
        "whole_from": plan.whole_from,
        "deviation": float(deviation),
        "positions": len(positions),
    }


def preview(opened: dict[str, Any], case: Case, seconds: float, rounds: int) -> Row:
    """How quick occlusion in bfloat16 is beside the dense one in float32, and how alike its map is to the exact one."""
    from benchmarks.libraries import picasso, plain

    jobs = [picasso.occlude(opened["picasso"], case, preview=True), plain.occlude(opened["plain"], case)]
    for job in jobs:
        job.run()
    ours, dense = (
        statistics.median(wall for wall, _ in pairs) / job.positions
        for job, pairs in zip(jobs, alternate(jobs, seconds, rounds), strict=True)
    )
    maps = [picasso.occlude(opened["picasso"], case, preview=fast).run() for fast in (True, False)]
    return {"seconds": ours, "dense": dense, "correlation": float(np.corrcoef(*(one.ravel() for one in maps))[0, 1])}


def cold(path: Path, method: str, name: str, warm_up: bool, tell: Tell) -> None:
    """One library alone: from the opened network to the first map, and the memory that takes.

    Args:
        warm_up: for Picasso: that it has warmed up, as its worker does by itself after opening.
    """
    library = _library(name)
    row: Row = {"question": "cold", "method": method, "window": 0, "library": library.NAME, "warm_up": warm_up}
    row["imported_mb"] = resident("VmRSS")
    row["open_seconds"], opened = timed(lambda: library.open_network(path))[::2]
    row["loaded_mb"] = resident("VmRSS")
    if method == "loading":
        return tell(row)
    forget_peak()
    if name == "picasso" and warm_up:
        row["warm_up_seconds"] = timed(opened.warm_up)[0]
    case = _case(getattr(opened, "network", opened), WINDOW)
    try:
        wall, processor, job = timed(lambda: _done(library.METHODS[method](opened, case)))
    except Exception as error:  # whatever a library raises is what its users meet
        return tell(row | {"problem": _sentence(error)})
    row |= {"seconds": wall / job.positions, "processor": processor / job.positions}
    return tell(row | {"peak_mb": resident("VmHWM")})


def forget_peak() -> None:
    """From here on VmHWM is the highest memory since now."""
    Path("/proc/self/clear_refs").write_text("5")


def resident(kind: str) -> float:
    """Megabytes of this process: VmRSS now, VmHWM at most. Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(kind))) / MEGABYTE


def _done(job: Job) -> Job:
    job.run()
    return job


def _library(name: str) -> Any:
    return importlib.import_module(f"benchmarks.libraries.{name}")


def _case(network: Any, window: int) -> Case:
    x = np.random.default_rng(0).normal(size=(1, *networks.SHAPE)).astype(np.float32)
    return Case(x, TARGET, networks.last_map(network), window)


def _sentence(error: Exception) -> str:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}"[:200]


if __name__ == "__main__":
    main()
