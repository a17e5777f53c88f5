"""Everything is reached and done with the keyboard alone, and one always sees where one is."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from .helpers import COFFEE, Visitor, tray, wait_for_result

pytestmark = pytest.mark.slow

MOST_STEPS = 60


def tab_to(target: Locator) -> None:
    """Presses Tab until the target has the focus, and checks that the focus is seen."""
    page = target.page
    target.wait_for(state="attached")
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        if target.evaluate("(element) => element === document.activeElement"):
            break
    expect(target).to_be_focused()
    focused = page.screenshot(caret="initial")
    target.evaluate("(element) => element.blur()")
    assert page.screenshot(caret="initial") != focused, f"The focus on {target} cannot be seen."
    target.focus()


def test_the_whole_path(page: Page) -> None:
    press = page.keyboard.press
    page.goto("/")
    tab_to(page.get_by_label("Drop, paste or choose pictures"))
    with page.expect_file_chooser() as chooser:
        press("Enter")
    with page.expect_navigation():
        chooser.value.set_files(COFFEE)
    tab_to(page.get_by_role("button", name="Add the sample camera.png"))
    press("Enter")
    expect(tray(page)).to_have_text(["coffee.png", "camera.png"])
    tab_to(page.get_by_role("link", name="Occlusion"))
    press("Enter")
    tab_to(page.get_by_label("Window"))
    press("Control+a")
    page.keyboard.type("64")
    tab_to(page.get_by_label("Stride"))
    press("Control+a")
    page.keyboard.type("32")
    tab_to(page.get_by_label("Hidden with"))
    page.keyboard.type("mean")
    expect(page.get_by_label("Hidden with")).to_have_value("mean")
    tab_to(page.get_by_label("camera.png"))
    press("Space")
    expect(page.get_by_label("camera.png")).not_to_be_checked()
    tab_to(page.get_by_role("button", name="Run", exact=True))
    press("Enter")
    wait_for_result(page)
    expect(page.locator("dl")).to_contain_text("64 × 64 px, every 32 px")


def test_a_result(visitor_page: Page, visitor: Visitor) -> None:
    page, press = visitor_page, visitor_page.keyboard.press
    page.goto(visitor.pages["occlusion"])
    viewer, tools = page.locator(".viewer").first, page.locator("picasso-map-tools")
    tab_to(tools.get_by_label("Opacity of the map"))
    press("Home")
    expect(viewer.locator("canvas.map:visible")).to_have_css("opacity", "0")
    tab_to(tools.get_by_label("Range"))
    page.keyboard.type("this")
    expect(page).to_have_url(re.compile("scale=own"))
    tab_to(tools.get_by_label("What the model sees"))
    press("ArrowRight")
    expect(viewer.locator(".map-stage:visible")).to_have_class(re.compile("original"))
    tab_to(tools.get_by_role("button", name="Save values"))
    tab_to(viewer.get_by_role("application"))
    press("ArrowRight")
    expect(viewer.locator("output:visible")).to_contain_text("Row 112, column 112")
    tab_to(viewer.get_by_role("radio", name="espresso"))
    press("ArrowDown")
    expect(viewer.locator(".map-about:visible b")).to_have_text(["cup"])
    tab_to(viewer.get_by_role("combobox", name="Class"))
    page.reload()
    tab_to(page.get_by_role("link", name="Change settings"))
    press("Enter")
    expect(page.get_by_label("Window")).to_have_value("64")


def test_the_rest(page: Page) -> None:
    press = page.keyboard.press
    page.goto("/")
    tab_to(page.get_by_role("link", name="Skip to the content"))
    press("Enter")
    tab_to(page.get_by_role("button", name="Add the sample chelsea.png"))  # what comes next is behind the header
    press("Space")
    tab_to(page.get_by_role("button", name="Remove chelsea.png"))
    press("Enter")
    expect(tray(page)).to_have_count(0)
    tab_to(page.get_by_role("link", name="Runs"))
    press("Enter")
    expect(page.get_by_role("heading", name="Your runs")).to_be_visible()
    tab_to(page.get_by_role("button", name="Start over"))
    press("Enter")
    expect(page.get_by_role("status")).to_have_text("Your pictures and runs were deleted.")
