"""The way of somebody who looks at pictures: in, settings, run, result, and everything on those pages."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from .helpers import (
    CAMERA,
    CHELSEA,
    COFFEE,
    RESULT_MILLISECONDS,
    Visitor,
    add_samples,
    answer,
    bars,
    inside,
    raw_map,
    start_run,
    transfer,
    tray,
    upload,
    wait_for_result,
)

pytestmark = pytest.mark.slow

CUP = (64, 10, 152, 117)  # left, top, right, bottom of the cup's opening, rim included, in the model's 224 x 224 pixels
DAMAGED = b"\x89PNG\r\n\x1a\nnothing more"
LONG = {"window": 16, "stride": 4}


# The whole path


def test_pictures_first_then_occlusion(page: Page) -> None:
    page.goto("/")
    upload(page, COFFEE)
    expect(tray(page)).to_have_text(["coffee.png"])
    page.get_by_role("link", name="Occlusion").click()
    page.get_by_label("Window").fill("0")
    expect(page.locator("#cost[role=status]")).to_contain_text("'window' should be")
    page.get_by_label("Window").fill("48")
    page.get_by_label("Stride").fill("24")
    page.get_by_label("Hidden with").select_option("mean")
    # Which of them it is depends on what this machine was found to be quicker at.
    expect(page.locator("#cost")).to_contain_text(re.compile("(82 model calls|81 positions) for each picture"))
    page.get_by_role("button", name="Run", exact=True).click()
    wait_for_result(page)
    label, score = bars(page)[0]
    assert (label, score) == ("espresso", pytest.approx(0.90, abs=0.03))
    values = raw_map(page)
    assert values.shape == (224, 224)
    assert inside(np.unravel_index(values.argmax(), values.shape), CUP)
    facts = page.locator("dl").inner_text()
    for fact in ["48 px", "24 px", "mean", "81 for each picture", "82"]:
        assert fact in facts


def test_visualization_first_then_pictures(page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name="Occlusion").click()
    page.get_by_label("Window").fill("64")
    page.get_by_label("Stride").fill("64")
    page.get_by_role("button", name="Next: pictures").click()
    expect(page.get_by_role("button", name="Run", exact=True)).to_have_count(0)
    upload(page, CHELSEA)
    add_samples(page, "coffee.png")
    page.get_by_label("chelsea.png").uncheck()
    page.get_by_role("button", name="Run", exact=True).click()
    wait_for_result(page)
    expect(page.locator(".viewer h2").first).to_have_text("coffee.png")
    expect(page.locator(".viewer")).to_have_count(1)
    expect(page.locator("dl")).to_contain_text("64 × 64 px, every 64 px")


def test_progress_sharpens_before_the_result(page: Page) -> None:
    page.goto("/")
    add_samples(page, "coffee.png")
    start_run(page, "occlusion", window=24, stride=12)
    expect(page.locator("progress")).to_be_visible()
    page.locator(".classes label").nth(1).click(timeout=RESULT_MILLISECONDS)
    expect(page.locator("progress")).to_be_visible()
    wait_for_result(page)
    expect(page.locator("progress")).to_have_count(0)
    expect(page.locator("figure:visible")).to_have_attribute("data-map", "1")  # chosen while the run was going on


def test_a_run_on_no_picture_asks_for_one(page: Page) -> None:
    page.goto("/")
    add_samples(page, "coffee.png")
    page.goto("/visualizations/saliency")
    page.get_by_label("coffee.png").uncheck()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".notice.error")).to_have_text("Choose at least one picture to run on.")
    page.get_by_role("button", name="Run", exact=True).click()
    wait_for_result(page)


def test_a_link_fills_the_settings_in(page: Page) -> None:
    page.goto("/visualizations/occlusion?window=30&stride=15&fill=black")
    expect(page.get_by_label("Window")).to_have_value("30")
    expect(page.get_by_label("Stride")).to_have_value("15")
    expect(page.get_by_label("Hidden with")).to_have_value("black")


def test_settings_that_do_not_matter_are_put_away(page: Page) -> None:
    page.goto("/visualizations/saliency?method=SmoothGrad")
    samples, points = page.get_by_label("Samples"), page.get_by_label("Points")
    expect(samples).to_be_visible()
    expect(points).to_be_hidden()
    samples.fill("0")  # which is refused, but not where it is not asked for
    page.get_by_label("Method").select_option("integrated gradients")
    expect(points).to_be_visible()
    expect(samples).to_be_hidden()
    page.get_by_role("button", name="Next: pictures").click()
    page.wait_for_url("**/saliency/pictures**")
    assert "points=" in page.url
    assert "samples=" not in page.url


# Ways for pictures to come in


def test_a_drop_brings_pictures(page: Page) -> None:
    page.goto("/")
    with page.expect_navigation():
        page.dispatch_event("#file", "drop", {"dataTransfer": transfer(page, COFFEE, CHELSEA)})
    expect(tray(page)).to_have_text(["coffee.png", "chelsea.png"])


def test_a_paste_brings_pictures(page: Page) -> None:
    page.goto("/")
    with page.expect_navigation():
        page.evaluate(
            "(files) => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: files, bubbles: true}))",
            transfer(page, CAMERA),
        )
    expect(tray(page)).to_have_text(["camera.png"])


def test_a_damaged_file_is_named_and_the_others_go_on(page: Page, tmp_path: Path) -> None:
    page.goto("/")
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(DAMAGED)
    upload(page, COFFEE, damaged, CAMERA)
    expect(tray(page)).to_have_text(["coffee.png", "camera.png"])
    expect(page.locator(".notice.error")).to_contain_text("damaged.png")


def test_a_damaged_file_alone_is_named(page: Page, tmp_path: Path) -> None:
    page.goto("/visualizations/occlusion/pictures?window=40")
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(DAMAGED)
    upload(page, damaged)
    expect(page.get_by_role("alert")).to_contain_text("damaged.png")
    upload(page, COFFEE)
    expect(page).to_have_url(re.compile(r"/visualizations/occlusion/pictures\?window=40$"))
    expect(tray(page)).to_have_text(["coffee.png"])


def test_a_picture_is_taken_out_again(page: Page) -> None:
    page.goto("/")
    add_samples(page, "coffee.png", "camera.png")
    page.get_by_role("button", name="Remove coffee.png").click()
    expect(tray(page)).to_have_text(["camera.png"])


# Results


def test_class_probabilities_of_the_samples(visitor_page: Page, visitor: Visitor) -> None:
    visitor_page.goto(visitor.pages["probabilities"])
    found = [bars(result)[0] for result in visitor_page.locator(".result").all()]
    assert found == [
        ("espresso", pytest.approx(0.90, abs=0.03)),
        ("tripod", pytest.approx(0.95, abs=0.03)),
        ("Egyptian cat", pytest.approx(0.77, abs=0.03)),
    ]


def test_saliency_has_a_map_for_each_top_class_and_says_logit(visitor_page: Page, visitor: Visitor) -> None:
    visitor_page.goto(visitor.pages["saliency"])
    expect(visitor_page.locator(".head")).to_contain_text("gradient of the logit")
    viewer = visitor_page.locator(".viewer").first
    assert [label for label, _ in bars(viewer)] == ["espresso", "cup", "coffee mug"]
    expect(viewer.locator("figure")).to_have_count(3)
    expect(viewer.locator("figcaption").first).to_contain_text("its logit")
    values = raw_map(visitor_page)
    assert values.shape == (224, 224)
    assert values.min() >= 0


def test_choosing_a_class_shows_its_map(visitor_page: Page, visitor: Visitor) -> None:
    visitor_page.goto(visitor.pages["occlusion"])
    viewer = visitor_page.locator(".viewer").first
    shown = viewer.locator("figure:visible .map-about b")
    expect(shown).to_have_text(["espresso"])
    viewer.locator(".classes label").nth(1).click()
    expect(shown).to_have_text(["cup"])
    visitor_page.keyboard.press("ArrowDown")
    expect(shown).to_have_text(["coffee mug"])
    other = visitor_page.locator(".viewer").nth(1)  # each picture has its own choice
    expect(other.locator("figure:visible")).to_have_attribute("data-map", "0")


def test_the_original_and_the_opacity(visitor_page: Page, visitor: Visitor) -> None:
    visitor_page.goto(visitor.pages["occlusion"])
    viewer = visitor_page.locator(".viewer").first
    tools = visitor_page.locator("picasso-map-tools")
    tools.get_by_text("Original", exact=True).click()
    shown = viewer.locator(".map-stage:visible")
    natural = "(image) => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
    expect(shown).to_have_class(re.compile("original"))
    assert shown.locator(".picture").first.evaluate(natural) == [600, 400]  # the upload's own shape
    box = shown.bounding_box()
    assert box is not None
    assert box["width"] / box["height"] == pytest.approx(1.5, abs=0.01)
    expect(viewer.locator("figcaption:visible")).to_have_count(1)
    tools.get_by_text("What the model sees", exact=True).click()
    expect(shown).not_to_have_class(re.compile("original"))
    assert shown.locator(".picture").first.evaluate(natural) == [224, 224]
    tools.get_by_label("Opacity of the map").fill("30")
    expect(shown.locator("canvas.map")).to_have_css("opacity", "0.3")


def test_maps_share_a_range_or_have_their_own(visitor_page: Page, visitor: Visitor) -> None:
    visitor_page.goto(visitor.pages["occlusion"])
    for viewer in visitor_page.locator(".viewer").all():
        viewer.locator("picasso-map").first.evaluate("(map) => map.ready.then(() => null)")
    ends = visitor_page.locator("figure .map-scale > span:last-child")
    assert len(ends.locator("visible=true").all()) == 3
    assert len(set(ends.locator("visible=true").all_inner_texts())) == 1
    shared = ends.first.inner_text()
    visitor_page.get_by_label("Range").select_option("this map")
    expect(ends.locator("visible=true").first).not_to_have_text(shared)
    assert len(set(ends.locator("visible=true").all_inner_texts())) == 3


def test_copying_the_link(visitor_page: Page, visitor: Visitor) -> None:
    visitor_page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor_page.goto(visitor.pages["probabilities"])
    visitor_page.get_by_role("button", name="Copy link").click()
    expect(visitor_page.get_by_role("button", name="Copied")).to_be_visible()
    assert visitor_page.evaluate("navigator.clipboard.readText()") == visitor.pages["probabilities"]


def test_the_same_run_again_is_kept(visitor_page: Page, visitor: Visitor) -> None:
    visitor_page.goto(visitor.pages["saliency"])
    visitor_page.get_by_role("link", name="Change settings").click()
    visitor_page.get_by_role("button", name="Run", exact=True).click()
    kept = visitor_page.get_by_role("status").filter(has_text="this is the kept result")
    expect(kept).to_be_visible()
    assert visitor_page.url.split("?")[0] == visitor.pages["saliency"]


def test_the_runs_page_leads_to_the_results(visitor_page: Page, visitor: Visitor) -> None:
    visitor_page.goto("/runs")
    looked = ["Feature maps", "Random masks", "Class activation", "Saliency", "Saliency", "Occlusion"]
    expect(visitor_page.locator(".runs b")).to_have_text(["Can it be trusted?", *looked, "Class probabilities"])
    expect(visitor_page.locator(".runs .state")).to_have_text(["done"] * 8)
    expect(tray(visitor_page)).to_have_count(3)
    visitor_page.get_by_role("link", name="Occlusion").click()
    expect(visitor_page).to_have_url(visitor.pages["occlusion"])


# Runs under way


def test_a_long_run_is_cancelled_and_the_next_one_works(page: Page) -> None:
    page.goto("/")
    add_samples(page, "coffee.png")
    start_run(page, "occlusion", **LONG)
    expect(page.locator(".live .value")).not_to_have_text("0 %", timeout=RESULT_MILLISECONDS)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Cancelled")).to_be_visible()
    expect(page.get_by_role("button", name="Run it again")).to_be_visible()
    answer(page, "class-probabilities")
    page.goto("/runs")
    expect(page.locator(".runs .state")).to_have_text(["done", "cancelled"])


def test_what_is_chosen_in_a_growing_result_stays(page: Page) -> None:
    page.goto("/")
    add_samples(page, "coffee.png")
    start_run(page, "occlusion", **LONG)
    page.locator(".classes label").nth(1).click(timeout=RESULT_MILLISECONDS)
    page.get_by_text("Original", exact=True).click()
    page.get_by_label("Opacity of the map").fill("40")
    page.locator("picasso-map").nth(1).evaluate("(map) => { window.watched = map }")
    page.get_by_role("button", name="Cancel").focus()
    before = page.locator("progress").get_attribute("value")
    expect(page.locator("progress")).not_to_have_attribute("value", str(before))
    expect(page.locator("figure:visible")).to_have_attribute("data-map", "1")
    expect(page.locator(".map-stage:visible")).to_have_class(re.compile("original"))
    expect(page.locator("canvas.map:visible")).to_have_css("opacity", "0.4")
    assert page.locator("picasso-map").nth(1).evaluate("(map) => map === window.watched")  # it was changed in its place
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Cancelled")).to_be_visible()


# Ends and errors


def test_starting_over_empties_everything(page: Page) -> None:
    page.goto("/")
    add_samples(page, "coffee.png")
    result = answer(page, "class-probabilities")
    page.get_by_role("button", name="Start over").click()
    expect(page.get_by_role("status")).to_have_text("Your pictures and runs were deleted.")
    expect(tray(page)).to_have_count(0)
    page.goto("/runs")
    expect(page.locator("main")).to_contain_text("No runs yet")
    gone = page.goto(result)
    assert gone is not None
    assert gone.status == 404


@pytest.mark.parametrize(
    ("address", "status", "says"),
    [
        ("/nowhere", 404, "Back to the start"),
        ("/runs/0123456789abcdef/", 404, "Back to the start"),
        ("/visualizations/oclusion", 404, "occlusion"),
        ("/visualizations/occlusion?window=999", 422, "must be 1..224 pixels for this model, got 999"),
        ("/visualizations/occlusion?window=many", 422, "got 'many'"),
        ("/visualizations/occlusion?widow=3", 422, "There is no setting 'widow'"),
    ],
)
def test_what_is_wrong_is_said_on_a_page(page: Page, address: str, status: int, says: str) -> None:
    response = page.goto(address)
    assert response is not None
    assert response.status == status
    expect(page.locator("main")).to_contain_text(says)
    expect(page.get_by_role("link", name="Picasso")).to_be_visible()


def test_nobody_sees_the_runs_of_somebody_else(page: Page, visitor: Visitor) -> None:
    response = page.goto(visitor.pages["occlusion"])
    assert response is not None
    assert response.status == 404


def test_too_much_at_once_is_said_before_it_is_sent(page: Page, tmp_path: Path) -> None:
    page.goto("/")
    half = tmp_path / "half.png"
    with half.open("wb") as stream:
        stream.truncate(30 * 2**20)  # Playwright sends at most 50 MiB; the page adds them up
    page.locator("form.drop").evaluate("form => { form.dataset.limit = 20 * 2**20 }")
    page.set_input_files("input[type=file]", half)
    expect(page.locator(".notice.error")).to_contain_text("Add the pictures in several steps.")
    expect(page).to_have_url(re.compile(r"/$"))
