"""Hiding parts of a picture by hand, on the real model: mouse, keyboard, touch, paint, pieces, saving it as a run."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from .helpers import accessibility_problems, add_samples, sideways_scrolling, wait_for_result

pytestmark = pytest.mark.slow

CUP = (108, 60)  # the middle of the cup's opening, in the model's 224 x 224 pixels
CORNER = (196, 200)  # the table
SIDE = 224
ANSWER = 15_000  # milliseconds; on a quiet machine it takes less than a tenth of a second
PHONE = {"width": 390, "height": 844}


def at(page: Page, point: tuple[float, float]) -> tuple[float, float]:
    """Where a pixel of the model's input is on the page."""
    page.locator(".board").scroll_into_view_if_needed()
    box = page.locator(".board").bounding_box()
    assert box is not None
    return box["x"] + box["width"] * point[0] / SIDE, box["y"] + box["height"] * point[1] / SIDE


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*at(page, start))
    page.mouse.down()
    page.mouse.move(*at(page, end), steps=6)
    page.mouse.up()


def choose(page: Page, name: str, value: str) -> None:
    page.locator(f"label[for={name}-{value}]").click()


SHOWN = """() => {
  const asked = new URL(location).searchParams;
  const {region, what, fill} = document.querySelector("form.asking").elements;
  const same = [region, what, fill].every((field) => asked.get(field.name ?? field[0].name) === field.value);
  return same && document.querySelector(".outcome").textContent; // which a fresh page has only after an answer
}"""


def rest(page: Page) -> list[tuple[str, float]]:
    """Waits until the hand rests and what is shown is what was asked last; the classes and their scores now."""
    page.wait_for_function(SHOWN, timeout=ANSWER)
    return shown(page)


def shown(page: Page) -> list[tuple[str, float]]:
    """The classes and their scores now; what is too small to be written is 0."""
    rows = page.locator(".changes li").all()
    scores = [row.locator(".value").inner_text().replace("<.001", "0") for row in rows]
    return [(row.locator(".label").inner_text(), float(score)) for row, score in zip(rows, scores, strict=True)]


def open_tool(page: Page) -> None:
    page.goto("/")
    add_samples(page, "coffee.png")
    page.get_by_role("link", name="Hide a part of coffee.png").click()
    expect(page.locator(".board.ready")).to_be_visible(timeout=ANSWER)
    rest(page)


def test_dragging_the_square_over_the_cup(page: Page) -> None:
    open_tool(page)
    page.locator("[name=size]").fill("96")
    drag(page, CORNER, CORNER)
    assert rest(page)[0] == ("espresso", pytest.approx(0.9, abs=0.05))
    before = page.locator(".changes .was").first.inner_text()
    page.mouse.move(*at(page, (150, 150)))
    page.mouse.down()
    page.mouse.move(*at(page, CUP), steps=8)
    expect(page.locator(".changes li").first).to_have_class(
        re.compile("fallen"), timeout=ANSWER
    )  # the hand is still down
    page.mouse.up()
    label, score = rest(page)[0]
    assert (label, before) == ("espresso", page.locator(".changes .was").first.inner_text())
    assert score < 0.6
    expect(page.locator(".outcome")).to_contain_text(re.compile(r"espresso from \.\d+ to "))
    assert accessibility_problems(page) == []
    # The link opens the same, and what is saved has the same numbers and leads back here.
    seen, region = shown(page), page.locator("[name=region]").input_value()
    page.goto(page.url)
    assert rest(page) == seen
    page.get_by_role("button", name="Save as a run").click()
    wait_for_result(page)
    assert [(label, pytest.approx(score, abs=0.0011)) for label, score in seen] == shown(page)
    assert accessibility_problems(page) == []
    page.get_by_role("link", name="Change settings").click()
    expect(page.locator("[name=region]")).to_have_value(region)


def test_keyboard(page: Page) -> None:
    open_tool(page)
    board = page.locator(".board")
    board.focus()
    left, top, width, height = map(int, page.locator("[name=region]").input_value().split(","))
    for key in ("ArrowLeft", "ArrowUp", "ArrowUp", "Shift+ArrowRight"):
        board.press(key)
    expect(page.locator("[name=region]")).to_have_value(f"{left - 3},{top - 8},{width},{height}")
    expect(page.locator(".where")).to_contain_text(f"{width} by {height} pixels")
    board.press("+")
    expect(page.locator("[name=region]")).to_have_value(re.compile(f",{width + 4},{height + 4}$"))
    for _ in range(3):
        board.press("Control+z")
    expect(page.locator(".undo")).to_be_disabled()
    page.locator("#tool-square").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tool-pieces")).to_be_checked()
    expect(page.locator(".where")).to_contain_text("Piece ", timeout=ANSWER)  # they are cut
    board.focus()
    board.press("ArrowUp")
    expect(page.locator(".where")).to_contain_text("not picked", timeout=ANSWER)
    board.press(" ")
    expect(page.locator(".where")).to_contain_text(", picked")
    assert "." in page.locator("[name=region]").input_value()
    rest(page)


def test_painting_pieces_and_keeping_only_a_part(page: Page) -> None:
    open_tool(page)
    choose(page, "tool", "brush")
    page.locator("[name=size]").fill("60")
    drag(page, (80, 60), (140, 60))
    assert rest(page)[0][1] < 0.85
    drag(page, (60, 110), (150, 110))
    painted = page.locator("[name=region]").input_value()
    rest(page)
    choose(page, "what", "keep")
    choose(page, "fill", "blur")
    kept = rest(page)[0][1]
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_role("button", name="Save as a run")).to_be_disabled()
    assert rest(page)[0][1] < kept
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("[name=region]")).to_have_value(painted)
    page.get_by_label("Erase").check()
    drag(page, (0, 110), (223, 110))
    drag(page, (0, 60), (223, 60))
    assert len(page.locator("[name=region]").input_value()) < len(painted)
    choose(page, "what", "hide")
    choose(page, "tool", "pieces")
    page.get_by_role("button", name="Clear").click()
    page.wait_for_timeout(500)
    page.mouse.click(*at(page, CUP))
    expect(page.locator("[name=region]")).to_have_value(re.compile(r"\w+\.\w+"), timeout=ANSWER)
    assert rest(page)[0][1] < 0.9
    page.mouse.click(*at(page, CUP))
    expect(page.locator("[name=region]")).to_have_value("")


def test_touch_on_a_phone(new_context: Callable[..., BrowserContext]) -> None:
    context = new_context(viewport=PHONE, has_touch=True, color_scheme="dark")
    page = context.new_page()
    open_tool(page)
    assert sideways_scrolling(page) == 0
    clear = page.get_by_role("button", name="Clear").bounding_box()
    assert clear is not None
    assert clear["x"] + clear["width"] <= PHONE["width"]
    board, says = (page.locator(part).bounding_box() for part in (".board", ".says"))
    assert board is not None
    assert says is not None
    top, height = map(int, page.locator("[name=region]").input_value().split(",")[1::2])
    assert board["y"] + (top + height) / SIDE * board["height"] < says["y"]  # the square is not below the answer
    touch = context.new_cdp_session(page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        found = [dict(zip("xy", at(page, point), strict=True)) for point in points]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": found})

    page.locator("[name=size]").fill("90")
    send("touchStart", (112, 150))
    for step in range(6):
        send("touchMove", (112, 150 - 15 * step))
    send("touchEnd")
    assert rest(page)[0][1] < 0.8
    expect(page.locator(".changes .value").first).to_be_in_viewport()
    expect(page.locator(".board")).to_be_in_viewport(ratio=0.8)
    assert accessibility_problems(page) == []
