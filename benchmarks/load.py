"""A hundred visitors at once at the real server: `make load`, or `make load ARGS="--minutes 30"`.

Starts `picasso serve` with the default model over a data folder of its own, lets visitors come (`load_visitors`), asks
its health meanwhile (`load_watch`), waits at the end for every run that was accepted and opens its result. Writes
`benchmarks/load.json` and the section "Load" of docs/reliability.md. Ends with status 1 where a promise was broken,
which it names. Locust is not in Picasso's environment: this runs in one of its own.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import locust.env  # before requests: it replaces the sockets that these take
import requests
from gevent.pool import Pool

from benchmarks import load_report
from benchmarks.load_ledger import AGAIN, Accepted, Ledger
from benchmarks.load_visitors import UNFINISHED, VISITORS, Visitor

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
READY = 300.0  # seconds until the model is open
PATIENCE = 1800.0  # seconds, after which runs that have not ended count as lost
ENDED = 60.0  # seconds until the server has ended
AT_ONCE = 8  # results that are opened
LOOK_SECONDS = 5  # between two looks at all runs that have not ended


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--visitors", type=int, default=100)
    parser.add_argument("--python", default=str(ROOT / ".venv" / "bin" / "python"), help="that has Picasso")
    parser.add_argument("--config", help="of the server; the default model unless given")
    parser.add_argument("--try", action="store_true", dest="trial", help="write nothing but what is said here")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("It was told to end."))  # and the server with it
    with tempfile.TemporaryDirectory(prefix="picasso-load-") as folder:
        figures = measure(given, Path(folder))
    if not given.trial:
        (HERE / "load.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        load_report.write(figures, ROOT / "docs" / "reliability.md")
    print(load_report.markdown(figures))
    broken = load_report.broken(figures)
    for sentence in broken:
        print(f"Broken: {sentence}")
    sys.stdout.flush()
    os._exit(bool(broken))  # whatever a greenlet still waits for


def measure(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The figures of a whole run."""
    subprocess.run([given.python, HERE / "load_pictures.py", folder / "pictures"], check=True)  # noqa: S603 - our own
    ledger, log = Ledger(), folder / "log"
    with serving(given, folder, log) as (server, url):
        wait_until_ready(url)
        with watching(url, server.pid, folder / "watch") as rows:
            began = time.time()
            visit(url, given, folder / "pictures", ledger)
            left = time.time()
            say(f"{ledger.accepted} runs were accepted; waiting for those that are not deleted: {len(ledger.runs)}")
            lost = reckon(url, ledger, server)
        ended = rows()
    said = log.read_text(errors="replace")
    return load_report.figures(ledger, ended, lost, (began, left), given.visitors, said, given.config or "the default")


def say(text: str) -> None:
    """What somebody sees who waits."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


@contextmanager
def serving(given: argparse.Namespace, folder: Path, log: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`picasso serve`, and its address; what it logs goes to a file."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PICASSO_")}
    environ = kept | {"PICASSO_DATA_DIR": str(folder / "data")}
    command = [given.python, "-m", "picasso", "serve", "--port", "0"]
    command += ["--config", given.config] if given.config else []
    with (
        log.open("w") as errors,
        subprocess.Popen(  # noqa: S603 - our own program
            command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as server,
    ):
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            if " at http" not in line:
                raise SystemExit(f"The server did not start:\n{log.read_text()}")
            yield server, line.split()[3].rstrip("/")
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(ENDED)
            except subprocess.TimeoutExpired:
                server.kill()


def wait_until_ready(url: str) -> None:
    """Until the model is open."""
    end = time.monotonic() + READY
    while requests.get(f"{url}/health/ready", timeout=30).status_code != 200:
        if time.monotonic() > end:
            raise SystemExit("The model was not open in time.")
        time.sleep(0.5)


@contextmanager
def watching(url: str, pid: int, file: Path) -> Iterator[Any]:
    """Asks how the server is until the end; gives a function that reads what was seen."""
    with (
        file.open("w") as rows,
        subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, HERE / "load_watch.py", url, str(pid)], stdin=subprocess.PIPE, stdout=rows, text=True
        ) as watcher,
    ):
        try:
            yield lambda: [json.loads(line) for line in file.read_text().splitlines()]
        finally:
            assert watcher.stdin is not None
            watcher.stdin.close()
            try:
                watcher.wait(60)
            except subprocess.TimeoutExpired:
                watcher.kill()


def visit(url: str, given: argparse.Namespace, pictures: Path, ledger: Ledger) -> None:
    """Has all visitors come at once, and go when the time is over, whatever they are doing."""
    Visitor.ledger = ledger
    Visitor.good, Visitor.bad = (sorted((pictures / name).iterdir()) for name in ("good", "bad"))
    runner = locust.env.Environment(user_classes=VISITORS, host=url, catch_exceptions=True).create_local_runner()
    runner.start(given.visitors, spawn_rate=given.visitors)
    end, told = time.monotonic() + 60 * given.minutes, 0
    while time.monotonic() < end:
        gevent.sleep(min(30, max(0, end - time.monotonic())))
        answers = sum(count.total() for count in ledger.statuses.values())
        for sentence in ledger.faults[told:]:
            say(sentence)
        told = len(ledger.faults)
        say(f"{runner.user_count} visitors, {answers} answers, {ledger.accepted} runs, {ledger.faulty} faults")
    with gevent.Timeout(60, False):
        runner.quit()
    for error in runner.exceptions.values():  # of the visitors' own code
        ledger.fault(f"A visitor failed: {error['traceback'][-600:]}")


def reckon(url: str, ledger: Ledger, server: subprocess.Popen[str]) -> list[str]:
    """Waits for every run that is to be there, and opens its result; sentences about those that are lost."""
    lost: list[str] = []
    left = dict(ledger.runs)
    end = time.monotonic() + PATIENCE
    while left and time.monotonic() < end and server.poll() is None:
        before = len(left)
        for run, sentence in zip(
            list(left), Pool(AT_ONCE).map(lambda run: settled(url, run, ledger), list(left.values())), strict=True
        ):
            if sentence is not None:
                del left[run]
                lost += [sentence] if sentence else []
        if len(left) < before:
            say(f"{len(left)} runs are left")
        gevent.sleep(LOOK_SECONDS if left else 0)
    return lost + [f"Run {run.run} ({run.what}) has not ended." for run in left.values()]


def settled(url: str, run: Accepted, ledger: Ledger) -> str | None:
    """None while a run is under way; "" where it has ended as it should; else what is wrong."""
    headers, address = dict(run.headers), f"{url}/api/v1/runs/{run.run}"
    try:
        found = requests.get(address, headers=headers, timeout=60)
        if found.status_code in AGAIN:
            return None
        if found.status_code != 200:
            return f"Run {run.run} ({run.what}): {found.status_code} {found.text[:200]}"
        told = found.json()
        if told["state"] in UNFINISHED:
            return None
        problem = opened(url, told, headers) if told["state"] == "done" else ""
        if problem is None:
            return None
    except requests.RequestException:
        return None  # asked again until there is no patience left
    ledger.ends[told["state"]] += 1
    if told["state"] not in ("done", "cancelled"):
        return f"Run {run.run} ({run.what}) {told['state']}: {(told['error'] or {}).get('message')}"
    return f"Run {run.run} ({run.what}): {problem}" if problem else ""


def opened(url: str, told: dict[str, Any], headers: dict[str, str]) -> str | None:
    """What is wrong with the result of a run that is done; "" nothing, None where it is to be asked again."""
    answer = requests.get(url + told["bundle"], headers=headers, timeout=60)
    if answer.status_code in AGAIN:
        return None
    if answer.status_code != 200 or not told["results"]:
        return f"its result cannot be read: {answer.status_code}"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as bundle:
        if "manifest.json" not in bundle.namelist():
            return "its result has no manifest"
        damaged = bundle.testzip()
    return f"its file {damaged} is damaged" if damaged else ""


if __name__ == "__main__":
    main()
