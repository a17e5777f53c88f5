"""Every page does its work without JavaScript, up to dropping, pasting and the map's opacity."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from .helpers import COFFEE, RESULT_MILLISECONDS, bars, tray, wait_for_result

pytestmark = [pytest.mark.slow, pytest.mark.browser_context_args(java_script_enabled=False)]


def test_the_whole_path(page: Page) -> None:
    page.goto("/")
    page.locator("#file").set_input_files(COFFEE)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(tray(page)).to_have_text(["coffee.png"])
    page.get_by_role("link", name="Occlusion").click()
    page.get_by_label("Window").fill("48")
    page.get_by_label("Stride").fill("16")
    page.get_by_label("Hidden with").select_option("blur")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page).to_have_url(re.compile("/runs/"))
    wait_for_result(page)  # the page asks again by itself
    assert [label for label, _ in bars(page)] == ["espresso", "cup", "coffee mug"]
    shown = page.locator("figure:visible .of b")
    expect(shown).to_have_text(["espresso"])
    page.locator(".classes label").nth(2).click()
    expect(shown).to_have_text(["coffee mug"])
    page.get_by_text("Original", exact=True).click()
    expect(page.locator(".stage:visible")).to_have_attribute("viewBox", "0 0 600 400")
    page.get_by_role("link", name="Each map its own").click()
    expect(page.get_by_role("link", name="Each map its own")).to_have_attribute("aria-current", "true")
    for name in ["Copy link", "Opacity of the map"]:
        expect(page.get_by_label(name).or_(page.get_by_role("button", name=name))).to_be_hidden()


def test_a_run_is_cancelled(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Add the sample coffee.png").click()
    page.goto("/visualizations/occlusion?window=16&stride=4")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("progress")).to_be_visible()
    page.get_by_role("button", name="Cancel").click(timeout=RESULT_MILLISECONDS)
    expect(page.get_by_role("heading", name="Cancelled")).to_be_visible()


def test_a_run_is_stopped_and_kept(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Add the sample coffee.png").click()
    page.goto("/visualizations/occlusion?window=16&stride=4")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("button", name="Stop and keep").click(timeout=RESULT_MILLISECONDS)
    expect(page.get_by_text("This run was stopped at")).to_be_visible(timeout=RESULT_MILLISECONDS)
    expect(page.get_by_text("of 2,809 positions").first).to_be_visible()
    expect(page.get_by_role("button", name="Run it in full")).to_be_visible()
