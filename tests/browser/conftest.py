"""Real servers, a real Chromium, and pages that may not complain.

Every page of every test is watched: an error on its console (a violation of the policy is one), an uncaught error in
its scripts, or an answer of 500 fails the test.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import serving as processes
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


def serving(folder: Path, **settings: str) -> AbstractContextManager[processes.Server]:
    """`picasso serve` of the default config, or of the one in SETTINGS, with `PICASSO_*` settings besides."""
    config = ROOT / settings.pop("SETTINGS", "config.py")
    environ = {f"PICASSO_{name}": value for name, value in settings.items()}
    return processes.serving(folder, "--config", str(config), **environ)


@pytest.fixture(scope="session")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server that all tests share: the default config with the real ImageNet model."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        server.ready()
        yield server.address


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
