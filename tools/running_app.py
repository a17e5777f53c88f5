"""Picasso as a person has it in front of them: a server of its own on the real model, and a Chromium to look with."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urljoin

from find_chromium import find
from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
LONG = 300_000  # milliseconds


@contextmanager
def running_app(**settings: str) -> Iterator[tuple[Browser, str]]:
    """A browser, and the address of a server over an empty data folder; both end with the block.

    Args:
        settings: of `PICASSO_*`, in place of the default config's.
    """
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        process = subprocess.Popen(
            [sys.executable, "-m", "picasso", "serve", "--port", "0"],
            env=os.environ | {"PICASSO_DATA_DIR": data} | {f"PICASSO_{name}": text for name, text in settings.items()},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"http://\S+", line)
            if found is None:
                sys.exit(f"The server did not start: {line}")
            yield playwright.chromium.launch(executable_path=find(), args=FLAGS), found[0]
        finally:
            process.terminate()
            process.wait(30)


def begin(page: Page, address: str, samples: int) -> None:
    """The start page once the model is there, with the first samples in the tray."""
    page.goto(address)
    page.wait_for_selector(".dot.ready", timeout=LONG)
    for number in range(samples):
        page.click(f".samples button >> nth={number}")


def run(page: Page, path: str) -> None:
    """Runs a visualization on all pictures of the tray and waits for its result.

    Args:
        path: its name, with settings: "occlusion?window=48".
    """
    page.goto(urljoin(page.url, f"/visualizations/{path}"))
    page.click("button.primary")
    page.wait_for_selector(".about", timeout=LONG)
    page.wait_for_load_state("networkidle")
