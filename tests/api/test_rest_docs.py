"""The sessions of docs/rest.md, word for word, with a server as `picasso serve` starts it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import requests
from browsing import MNIST
from flask import Flask
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "rest.md").read_text(encoding="utf-8")
DRAINING = 3  # seconds
SHOWN = "http://127.0.0.1:8000"


def blocks(language: str) -> str:
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S))


def ends(process: subprocess.Popen[str], address: str) -> None:
    """Tells a server to end; it says that it will before it does."""
    process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + DRAINING
    while (answer := requests.get(f"{address}/health/ready", timeout=30)).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert answer.json()["error"]["code"] == "busy"
    assert requests.get(f"{address}/health/live", timeout=30).status_code == 200
    assert process.wait(timeout=60) == 0


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server with the MNIST model, and its address, once it is ready."""
    command = [sys.executable, "-m", "picasso", "serve", "--config", str(MNIST / "config.py"), "--port", "0"]
    variables = {**os.environ, "PICASSO_DATA_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    variables["PICASSO_DRAIN_SECONDS"] = str(DRAINING)
    with subprocess.Popen(command, cwd=folder, env=variables, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://[\d.:]+", process.stdout.readline())[0]  # type: ignore[index]
            deadline = time.monotonic() + 300
            while requests.get(f"{address}/health/ready", timeout=30).status_code != 200:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            yield process, address
        finally:
            process.terminate()


@pytest.mark.slow
def test_the_sessions_of_the_docs_and_the_end_of_the_server(tmp_path: Path) -> None:
    for name in ("seven", "three"):
        shutil.copy(MNIST / "samples" / f"{name}.png", tmp_path)
    with serving(tmp_path) as (process, address):
        script = "set -e -o pipefail\n" + blocks("bash").replace(SHOWN, address)
        done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        program = tmp_path / "program.py"
        program.write_text(blocks("python").replace(SHOWN, address), encoding="utf-8")
        command = [sys.executable, str(program)]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert found.returncode == 0, found.stderr
        ends(process, address)
    assert found.stdout.startswith("seven.png 7 ")
    values = np.load(tmp_path / "map.npy")
    assert (values.shape, values.dtype) == ((28, 28), np.float32)
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.size == (28, 28)
    assert '"label":"7"' in (tmp_path / "explanation.json").read_text()
    for name in ("bundle.zip", "explanation.zip"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            assert "manifest.json" in archive.namelist()


def test_every_route_is_in_the_docs(shared_app: Flask) -> None:
    """Those of programs in docs/rest.md, those of pages in docs/addresses.md."""
    addresses = (ROOT / "docs" / "addresses.md").read_text(encoding="utf-8")
    missing = [
        f"{method} {rule.rule}"
        for rule in shared_app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if f"`{method} {rule.rule}`" not in PAGE
        and f"| {method} | `{rule.rule}` |" not in addresses
        and rule.endpoint != "static"
    ]
    assert missing == []


def test_every_code_that_a_program_may_meet_is_in_the_docs() -> None:
    from picasso import errors
    from picasso.web.errors import CODES

    kinds = {kind.code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "code")}
    missing = {code for code in (kinds | set(CODES.values())) if f"`{code}`" not in PAGE}
    assert missing == {"config", "differs"}  # told at start; an exit code of `picasso explain --again`
