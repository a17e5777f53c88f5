"""What holds for every page: it fits a phone, in light and in dark, and axe finds nothing wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from .helpers import (
    RESULT_MILLISECONDS,
    Traffic,
    Visitor,
    accessibility_problems,
    add_samples,
    shifting,
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
    "compare": "/compare",
    "runs": "/runs",
    "model": "/model",
    "server": "/admin",
    "not found": "/nowhere",
    "REST": "/api/v1/docs",
}
MOST_BYTES = 300_000  # of a page without its pictures
LEAST_SEEN = 0.01  # the share of the window that may move unnoticed


def check(page: Page, name: str = "") -> None:
    """Checks the page at a desk and at phone width, in both colour schemes."""
    desk = page.viewport_size
    for size in (desk, PHONE):
        page.set_viewport_size(size)
        assert sideways_scrolling(page) == 0, (name, size)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            assert accessibility_problems(page) == [], (name, size, scheme)
    page.set_viewport_size(desk)


def check_all(page: Page, pages: dict[str, str]) -> None:
    """Opens pages as for the first time: they are light, nothing on them moves while they load, and axe is content."""
    traffic = Traffic(page)
    for name, address in pages.items():
        page.goto(address, wait_until="networkidle")
        assert 0 < traffic.taken() < MOST_BYTES, name
        assert shifting(page) < LEAST_SEEN, name
        check(page, name)


def test_pages_of_somebody_who_was_here(visitor_page: Page) -> None:
    visitor_page.goto("/")
    by_hand = visitor_page.get_by_role("link", name="Hide a part of").first.get_attribute("href")
    check_all(visitor_page, PAGES | {"by hand": str(by_hand)})


def test_results(visitor_page: Page, visitor: Visitor) -> None:
    check_all(visitor_page, {name: f"{address}?kept=1" for name, address in visitor.pages.items()})


def test_pages_of_somebody_new(page: Page) -> None:
    check_all(page, {name: PAGES[name] for name in ("start", "pictures", "runs")})


def test_words_say_what_they_mean(visitor_page: Page) -> None:
    page = visitor_page
    page.set_viewport_size(PHONE)
    page.goto(PAGES["settings"])
    word = page.locator("#help-score .term", has_text="logit")
    shown = "(term) => getComputedStyle(term, '::after').content"
    assert word.evaluate(shown) == "none"
    for reach, leave in [(word.hover, lambda: page.mouse.move(0, 0)), (word.focus, word.blur)]:
        reach()
        assert "before it is made a probability" in word.evaluate(shown)
        assert accessibility_problems(page) == []
        assert sideways_scrolling(page) == 0
        page.keyboard.press("Escape")
        assert word.evaluate(shown) == "none"
        leave()


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


@pytest.mark.parametrize(("width", "columns"), [(1280, 8), (1000, 4), (390, 3)])
def test_the_usual_channels_fill_their_rows(visitor: Visitor, visitor_page: Page, width: int, columns: int) -> None:
    visitor_page.set_viewport_size({"width": width, "height": 900})
    visitor_page.goto(visitor.pages["features"])
    expect(visitor_page.locator(".channels").first.locator(".map-stage.drawn")).to_have_count(6)
    style = "one => getComputedStyle(one).gridTemplateColumns.split(' ').length"
    assert visitor_page.locator(".channels").first.evaluate(style) == columns
    assert 24 % columns == 0
    tile = visitor_page.locator(".channels li").first
    above, link = tile.locator("picasso-map").bounding_box(), tile.get_by_role("link").bounding_box()
    assert above is not None
    assert link is not None
    assert link["y"] < above["y"] + above["height"]  # in the line where the map says its value


def test_no_rule_below_the_last_setting_that_is_shown(visitor_page: Page) -> None:
    visitor_page.goto("/visualizations/class-activation")
    rows = visitor_page.locator(".field:visible")
    rules = rows.evaluate_all("rows => rows.map(row => parseFloat(getComputedStyle(row).borderTopWidth))")
    below = rows.evaluate_all("rows => rows.map(row => parseFloat(getComputedStyle(row).borderBottomWidth))")
    assert rules == [0, 1, 1, 1]
    assert not any(below)
