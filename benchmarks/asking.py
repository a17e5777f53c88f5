"""How long somebody waits who hides a part of a picture by hand: from the request to the answer, over HTTP.

In turn with one forward pass of the same network, which is what an answer costs at least.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

import numpy as np
import tensorflow as tf

from benchmarks.libraries import plain
from benchmarks.measure import Row, timed

ROOT = Path(__file__).parent.parent
PATIENCE = 180  # seconds until the model is open and warm
MOVES, MOST_MOVES = 40, 300
WINDOW = 48


def measure(path: Path, seconds: float) -> Row:
    """The median and the 95th percentile of the answers, and the median of a forward pass; takes about `seconds`."""
    network = plain.open_network(path)
    forward, shape = plain.compiled(network), network.input_shape[1:]
    x = tf.constant(np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32))
    rng = np.random.default_rng(1)
    answers, passes = [], []
    with serving(path) as url:
        ask = questioner(url)
        waited(ask)
        forward(x)
        start = time.perf_counter()
        while len(answers) < MOVES or (time.perf_counter() - start < seconds and len(answers) < MOST_MOVES):
            left, top = rng.integers(0, (shape[1] - WINDOW, shape[0] - WINDOW))
            answers.append(timed(lambda region=f"{left},{top},{WINDOW},{WINDOW}": ask(region))[0])
            passes.append(timed(lambda: forward(x).numpy())[0])
    return {
        "seconds": statistics.median(answers),
        "late": float(np.quantile(answers, 0.95)),
        "forward": statistics.median(passes),
        "rounds": len(answers),
        "window": WINDOW,
    }


@contextmanager
def serving(path: Path) -> Iterator[str]:
    """`picasso serve` of a model; gives its address."""
    with tempfile.TemporaryDirectory() as folder:
        environ = os.environ | {"PICASSO_DATA_DIR": folder}
        command = [sys.executable, "-m", "picasso", "serve", "--port", "0", "--model", str(path)]
        with subprocess.Popen(  # noqa: S603 - our own program
            command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            try:
                assert process.stdout is not None
                yield process.stdout.readline().split()[3].rstrip("/")
            finally:
                process.send_signal(signal.SIGTERM)


def questioner(url: str) -> Callable[[str], object]:
    """A visitor with a picture: a function that asks with a region hidden. Raises HTTPError."""
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    browser.open(f"{url}/images/samples", b"sample=0").close()
    with browser.open(f"{url}/ask") as page:  # leads to the picture's own page
        address = page.url.partition("?")[0] + "/answer"
    return lambda region: _ask(browser, address, region)


def _ask(browser: OpenerDirector, address: str, region: str) -> object:
    body = json.dumps({"region": region}).encode()
    with browser.open(Request(address, body, {"Content-Type": "application/json"})) as response:  # noqa: S310 - ours
        return json.load(response)["classes"]


def waited(ask: Callable[[str], object]) -> None:
    """Asks until there are answers, and then until they come evenly: the model warms up beside the first ones."""
    end, times = time.monotonic() + PATIENCE, [0.0]
    while time.monotonic() < end and (len(times) < 10 or max(times[-5:]) > 2 * statistics.median(times[-10:])):
        try:
            times.append(timed(lambda: ask("0,0,9,9"))[0])
        except HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(0.5)
            times = [0.0]
    time.sleep(1)
