"""Real servers, a real Chromium, and pages that may not complain.

Every page of every test is watched: an error on its console (a violation of the policy is one), an uncaught error in
its scripts, or an answer of 500 fails the test.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from .helpers import ROOT, SAMPLES, Visitor, add_samples, answer, watch

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_SECONDS = 120

Serve = Callable[..., Any]


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[str]:
    """Runs `picasso serve` on a free port, with its data in `folder` and `PICASSO_*` settings; gives its address."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PICASSO_")}
    environ = clean | {"PICASSO_DATA_DIR": str(folder / "data")} | {f"PICASSO_{k}": v for k, v in settings.items()}
    command = [sys.executable, "-m", "picasso", "serve", "--port", "0"]
    with (
        (folder / "stderr.txt").open("w") as errors,
        subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Picasso is at http://"), (line, (folder / "stderr.txt").read_text())
            yield line.split()[3].rstrip("/")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    assert process.returncode == 0, (folder / "stderr.txt").read_text()


def wait_until_loaded(url: str) -> None:
    """Until the server's model is there."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with urlopen(f"{url}/status") as response:
            if b"is loading" not in response.read():
                return
        time.sleep(0.2)
    raise AssertionError(f"The model was not loaded after {START_SECONDS} seconds.")


@pytest.fixture(scope="session")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server that all tests share: the default config with the real ImageNet model."""
    with serving(tmp_path_factory.mktemp("server")) as url:
        wait_until_loaded(url)
        yield url


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The Chromium that is on this machine."""
    spec = importlib.util.spec_from_file_location("find_chromium", ROOT / "tools" / "find_chromium.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {**browser_type_launch_args, "executable_path": module.find(), "args": CHROMIUM_FLAGS}


@pytest.fixture
def new_context(new_context: Callable[..., BrowserContext]) -> Iterator[Callable[..., BrowserContext]]:
    """Makes contexts, each a visitor of its own, whose pages are watched."""
    watched = []

    def make(**options: Any) -> BrowserContext:
        context = new_context(**options)
        watched.append(watch(context))
        return context

    yield make
    for complaints in watched:
        assert complaints() == []


@pytest.fixture(scope="session")
def visitor(browser: Browser, base_url: str) -> Visitor:
    """Somebody who has put the samples in and looked at them in every way: for tests that only look at pages."""
    context = browser.new_context(base_url=base_url)
    complaints = watch(context)
    page = context.new_page()
    page.goto("/")
    add_samples(page, *SAMPLES)
    pages = {
        "probabilities": answer(page, "class-probabilities"),
        "occlusion": answer(page, "occlusion", window=64, stride=32),
        "saliency": answer(page, "saliency"),
        "integrated gradients": answer(page, "saliency", method="integrated gradients", classes=1, points=17),
        "activation": answer(page, "class-activation"),
        "masks": answer(page, "random-masks", masks=64),
        "features": answer(page, "feature-maps", channels=6),
        "checks": answer(page, "trust", methods="gradient,Grad-CAM", classes=2, steps=10, maps=1),
    }
    state = context.storage_state()
    context.close()
    assert complaints() == []
    return Visitor(state, pages)


@pytest.fixture
def visitor_page(new_context: Callable[..., BrowserContext], visitor: Visitor) -> Page:
    """A fresh page of that somebody."""
    return new_context(storage_state=visitor.state).new_page()
