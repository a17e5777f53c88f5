"""Starting Python commands and `picasso serve` as processes of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """This environment without settings of Picasso, with a data folder of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PICASSO_")}
    return kept | {"PICASSO_DATA_DIR": str(folder / "data"), "PYTHONUNBUFFERED": "1"} | more


def run(folder: Path, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A Python command, to its end."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment(folder, **environ),
        capture_output=True,
        text=True,
        timeout=120,
    )


def start_serving(folder: Path, *options: str, **environ: str) -> tuple[subprocess.Popen[str], str]:
    """`picasso serve`, and its address; "" where it ended before it said it."""
    with (folder / "stderr").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "picasso", "serve", *options],
            cwd=folder,
            env=environment(folder, **environ),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            # Tests that a shell started in the background ignore Ctrl-C, and so would what they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    assert process.stdout is not None
    found = re.match(r"Picasso is at (http://\S+/) ", process.stdout.readline())
    return process, found[1] if found else ""


@contextmanager
def serving(folder: Path, *options: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`picasso serve`, up to the line with its address; afterwards it is ended, if it has not ended itself."""
    process, address = start_serving(folder, *options, **environ)
    try:
        assert address, (folder / "stderr").read_text()
        yield process, address
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def get(address: str) -> str:
    """A page."""
    with urllib.request.urlopen(address, timeout=60) as answer:
        text: str = answer.read().decode()
        return text


WITHOUT_TENSORFLOW = """
import sys, types

class Opening(types.ModuleType):
    def open_model(self, config):
        from picasso.testing.model import TinyModel
        return TinyModel()

sys.modules["picasso.models.opening"] = Opening("picasso.models.opening")
"""


def with_tiny_model(folder: Path, settings: str = "") -> dict[str, str]:
    """Writes a config.py whose model needs no TensorFlow; gives the environment in which all processes open it."""
    (folder / "config.py").write_text(f'MODEL_PATH = "tiny"\n{settings}')
    (folder / "sitecustomize.py").write_text(WITHOUT_TENSORFLOW)
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
