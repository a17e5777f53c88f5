"""Measures Picasso beside other libraries: `make bench`, or `make bench ARGS="--only methods --models ResNet50"`.

Every question is answered by a process of its own (`benchmarks.measure`); rows are kept as they come, so that a crash
costs what that process had still to do, and a part can be measured again. Writes `benchmarks/results.json` and `.md`
and the table of the README; with `--quick`, which says only that everything functions, files in `benchmarks/.cache`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.results import Results, conditions

HERE = Path(__file__).parent
CACHE = HERE / ".cache"
QUESTIONS = ("occlusion", "methods", "asking", "browsing", "recovery", "cold")
NETWORKS = ("MobileNetV2", "ResNet50", "VGG16", "DenseNet121", "EfficientNetLite0")
FOR_METHODS = ("MobileNetV2", "ResNet50", "EfficientNetLite0")
FOR_PEOPLE = ("EfficientNetLite0",)  # the others come without samples to ask about
FOR_COLD = ("MobileNetV2", "ResNet50")  # occlusion's memory is measured with all networks
WINDOWS = (16, 32, 64)
QUICK_COLD = ("occlusion", "gradient", "Grad-CAM")
SILENCE = 1200  # seconds after which a process is given up
Task = dict[str, Any]


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=QUESTIONS)
    parser.add_argument("--models", nargs="+", default=(), help="of keras.applications, or EfficientNetLite0")
    parser.add_argument("--methods", nargs="+", default=(), help="as the tables name them")
    parser.add_argument("--seconds", type=float, default=12, help="for the rounds of one method on one network")
    parser.add_argument("--rounds", type=int, default=3, help="at least")
    parser.add_argument("--quick", action="store_true", help="one network, one round")
    parser.add_argument("--report", action="store_true", help="only write the tables of the last results again")
    given = parser.parse_args()
    if given.quick:
        given.models, given.seconds, given.rounds = given.models or NETWORKS[:1], 0, 1
    folder = CACHE if given.quick else HERE
    results = Results(folder / "results.json")
    if not given.report:
        results.conditions = conditions()
        for task in tasks(given):
            for row in answers(task):
                results.add(row)
                print(report.line(row), flush=True)
    report.write(results, folder / "results.md", None if given.quick else HERE.parent / "README.md")
    print(f"Written: {folder / 'results.md'}")


def tasks(given: argparse.Namespace) -> Iterator[Task]:
    """What to measure, in order; which library has which method is asked first."""
    for network in given.models or NETWORKS:
        base = {"network": network, "folder": str(CACHE), "seconds": given.seconds, "rounds": given.rounds}
        able = {row["module"]: row["methods"] for row in answers(base | {"question": "able"})}
        if not able:
            continue
        wanted = [method for method in able["picasso"] if method in (given.methods or able["picasso"])]
        others = [method for method in wanted if method != "occlusion"]
        if "occlusion" in given.only and "occlusion" in wanted:
            yield base | {"question": "warm", "methods": ["occlusion"], "windows": WINDOWS}
        if "methods" in given.only and network in (given.models or FOR_METHODS):
            yield base | {"question": "warm", "methods": others, "windows": ()}
        for question in ("asking", "browsing", "recovery"):
            if question in given.only and network in (given.models or FOR_PEOPLE):
                yield base | {"question": question}
        if "cold" in given.only:
            yield from cold_tasks(base, able, wanted if network in (given.models or FOR_COLD) else ["occlusion"], given)


def cold_tasks(base: Task, able: dict[str, list[str]], methods: list[str], given: argparse.Namespace) -> Iterator[Task]:
    """A process for each method of each library; first the network alone."""
    yield base | {"question": "cold", "method": "loading", "library": "plain", "warm_up": False}
    for method in methods:
        if given.quick and method not in (given.methods or QUICK_COLD):
            continue
        for library in [name for name, offered in able.items() if method in offered and name != "plain"]:
            for warm_up in (True, False) if library == "picasso" and method != "occlusion" else (True,):
                yield base | {"question": "cold", "method": method, "library": library, "warm_up": warm_up}


def answers(task: Task) -> Iterator[dict[str, Any]]:
    """The rows of one process, as they come."""
    CACHE.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.measure", json.dumps(task)]
    with (CACHE / "stderr.log").open("w+") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own module
            command, cwd=HERE.parent, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        timer = threading.Timer(SILENCE, process.kill)
        timer.start()
        for line in process.stdout or ():
            yield json.loads(line)
        timer.cancel()
        if process.wait():
            errors.seek(0)
            last = (errors.read().strip() or "no word").splitlines()[-1]
            print(f"Ended with {process.returncode}: {last}\n  {task}", flush=True)


if __name__ == "__main__":
    main()
