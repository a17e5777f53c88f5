"""What holds for every page: it fits a phone, in light and in dark, and axe finds nothing wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from .helpers import (
    RESULT_MILLISECONDS,
    Visitor,
    accessibility_problems,
    add_samples,
    sideways_scrolling,
    start_run,
)

pytestmark = pytest.mark.slow

PHONE = {"width": 390, "height": 844}
SCHEMES: list[Literal["light", "dark"]] = ["light", "dark"]
PAGES = {
    "start": "/",
    "settings": "/visualizations/occlusion",
    "several choices": "/visualizations/trust",
    "wrong settings": "/visualizations/occlusion?window=999",
    "pictures": "/visualizations/occlusion/pictures?window=40",
    "runs": "/runs",
    "not found": "/nowhere",
    "REST": "/api/v1/docs",
}


def check(page: Page) -> None:
    """Checks the page at phone width and at a desk, in both colour schemes."""
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        desk = page.viewport_size
        page.set_viewport_size(PHONE)
        assert sideways_scrolling(page) == 0, scheme
        page.set_viewport_size(desk)
        assert accessibility_problems(page) == [], scheme


@pytest.mark.parametrize("name", PAGES)
def test_pages_of_somebody_who_was_here(visitor_page: Page, name: str) -> None:
    visitor_page.goto(PAGES[name])
    check(visitor_page)


@pytest.mark.parametrize(
    "name",
    ["probabilities", "occlusion", "saliency", "integrated gradients", "activation", "masks", "features", "checks"],
)
def test_results(visitor_page: Page, visitor: Visitor, name: str) -> None:
    visitor_page.goto(f"{visitor.pages[name]}?kept=1")
    check(visitor_page)


@pytest.mark.parametrize("name", ["start", "pictures", "runs"])
def test_pages_of_somebody_new(page: Page, name: str) -> None:
    page.goto(PAGES[name])
    check(page)


def test_a_run_under_way_and_cancelled(page: Page) -> None:
    page.goto("/")
    add_samples(page, "coffee.png")
    start_run(page, "occlusion", window=16, stride=4)
    expect(page.locator(".viewer")).to_be_visible(timeout=RESULT_MILLISECONDS)
    page.route("**/runs/*/", lambda route: route.fulfill(status=204))  # the page stands still while it is looked at
    check(page)
    page.unroute_all()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Cancelled")).to_be_visible()
    check(page)


def test_dark_is_dark(new_context: Callable[..., BrowserContext]) -> None:
    page = new_context(color_scheme="dark").new_page()
    page.goto("/")
    expect(page.locator("body")).to_have_css("background-color", "rgb(22, 21, 19)")
