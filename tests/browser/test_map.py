"""<picasso-map>: what it says equals the raw numbers, and everything on it is done by mouse, finger and keyboard."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

from picasso.attribution.occlusion import average
from picasso.web.templates import number

from .helpers import Visitor, add_samples, answer, sideways_scrolling

pytestmark = pytest.mark.slow

SIZE = 224  # of the model's view
WINDOW = (64, 64)  # of the visitor's occlusion
SIDES = [("x", "width"), ("y", "height")]  # of a bounding box


def the_map(page: Page) -> Locator:
    """The map that is seen first, drawn."""
    found = page.locator("picasso-map").locator("visible=true").first
    found.evaluate("(map) => map.ready.then(() => null)")
    return found


def draw_all(page: Page) -> None:
    """Has all maps drawn that are not hidden, also those out of sight."""
    page.locator("picasso-map").evaluate_all(
        "(maps) => Promise.all(maps.filter((map) => map.offsetParent).map((map) => map.ready)).then(() => null)"
    )


def array(page: Page, element: Locator, attribute: str = "src") -> NDArray[Any]:
    """What the server has at an address of a map."""
    response = page.request.get(urljoin(page.url, str(element.get_attribute(attribute))))
    assert response.ok
    loaded: NDArray[Any] = np.load(io.BytesIO(response.body()), allow_pickle=False)
    return loaded


def drawn(element: Locator) -> NDArray[np.float32]:
    """The numbers that a map draws."""
    values = element.evaluate("(map) => [map.grid.height, map.grid.width, Array.from(map.values)]")
    return np.array([np.nan if value is None else value for value in values[2]], np.float32).reshape(values[:2])


def place(element: Locator, row: int, column: int) -> tuple[float, float]:
    """Where a pixel of the view lies on the screen."""
    element.locator(".map-stage").scroll_into_view_if_needed()
    box = element.locator(".place").first.bounding_box()
    assert box is not None
    return box["x"] + (column + 0.5) / SIZE * box["width"], box["y"] + (row + 0.5) / SIZE * box["height"]


def ends(page: Page) -> list[list[str]]:
    """The numbers on the colour bars of all maps that are seen."""
    bars = page.locator(".map-scale").locator("visible=true").all()
    return [[str(end.inner_text()).split()[0] for end in bar.locator(":scope > span").all()] for bar in bars]


def choose(page: Page, field: str, text: str) -> None:
    """Finds a class by typing, with the keyboard alone."""
    box = page.get_by_role("combobox", name=field, exact=True).first
    box.focus()
    page.keyboard.type(text)
    expect(page.get_by_role("listbox").get_by_role("option", selected=True)).to_contain_text(text)
    page.keyboard.press("Enter")


def test_what_is_said_of_a_pixel_is_what_the_arrays_have(visitor_page: Page, visitor: Visitor) -> None:
    page = visitor_page
    page.goto(visitor.pages["occlusion"])
    shown = the_map(page)
    raw = array(page, shown)
    np.testing.assert_array_equal(drawn(shown), raw)
    scores, base, corners = (array(page, shown, name) for name in ("scores", "base", "corners"))
    labels = page.request.get(urljoin(page.url, str(shown.get_attribute("classes")))).json()
    reading = shown.locator("output")
    for row, column in [(100, 90), (0, 0), (SIZE - 1, SIZE - 1)]:
        page.mouse.move(*place(shown, row, column))
        expect(reading).to_contain_text("With this window hidden")
        expect(reading.locator(".where")).to_have_text(f"Row {row}, column {column}: ")
        expect(reading.locator(".what")).to_have_text(number(float(raw[row, column])))
        middles = corners + np.array(WINDOW) / 2 - 0.5
        covering = ((corners <= (row, column)) & (corners + WINDOW > (row, column))).all(axis=1)
        nearest = np.where(covering, np.hypot(*(middles - (row, column)).T), np.inf).argmin()
        chosen = int(str(shown.get_attribute("target")))
        most = np.argsort(-np.abs(scores[nearest].astype(np.float64) - base), kind="stable")
        most = [chosen, *[one for one in most if one != chosen][:2]]
        told = [f"{labels[one]} {number(float(base[one]))} → {number(float(scores[nearest][one]))}" for one in most]
        expect(shown.locator(".tip td:nth-child(n+2)")).to_have_count(6)
        assert [" ".join(row.locator("td").all_inner_texts()) for row in shown.locator(".tip tr").all()] == told
        outline = shown.locator(".window").evaluate("(window) => [window.style.top, window.style.left].map(parseFloat)")
        np.testing.assert_allclose(outline, corners[nearest] / SIZE * 100, atol=1e-3)
    expect(reading).to_have_attribute("aria-live", "polite")
    page.mouse.move(0, 0)
    expect(reading).to_contain_text("Point at the map")


def test_any_class_is_that_of_a_fresh_run(
    visitor_page: Page, visitor: Visitor, new_context: Callable[..., BrowserContext], base_url: str
) -> None:
    fresh = new_context().new_page()
    fresh.goto(base_url)
    add_samples(fresh, "coffee.png")
    answer(fresh, "occlusion", window=64, stride=32, classes=10)
    others = fresh.locator("picasso-map").all()[7:]
    page = visitor_page
    page.goto(visitor.pages["occlusion"])
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    maps = []
    for other in others:
        choose(page, "Class", str(other.get_attribute("label")))
        shown = page.locator(".viewer").first.locator("picasso-map").locator("visible=true")
        expect(shown.locator(".map-about b")).to_have_text(str(other.get_attribute("label")))
        maps.append(drawn(shown))
        np.testing.assert_allclose(maps[-1], array(fresh, other), atol=1e-6)
    assert not [url for url in asked if "/files/" not in url and "/labels" not in url and "/static/" not in url]
    assert len([url for url in asked if "scores" in url]) == 1  # only the first one had to load them
    choose(page, "Minus the map of", str(others[0].get_attribute("label")))
    expect(shown.locator(".map-about b")).to_contain_text(" − ")
    named = [str(one.get_attribute("label")) for one in (others[0], others[-1])]
    expect(shown.locator(".map-scale small")).to_have_text([f"costs {label} more" for label in named])
    expect(page.get_by_text("of the first class less that of the second").locator("visible=true")).to_have_count(1)
    np.testing.assert_allclose(drawn(shown), maps[-1] - maps[0], atol=1e-6)
    scores, corners = array(page, shown, "scores"), array(page, shown, "corners")
    target = int(str(others[-1].get_attribute("target")))
    drops = array(page, shown, "base")[target] - scores[:, target]
    np.testing.assert_allclose(maps[-1], average(drops, corners, WINDOW, (SIZE, SIZE)), atol=1e-7)
    page.locator(".classes label").first.click()
    expect(page.locator(".map-about b").locator("visible=true").first).to_have_text("espresso")
    expect(page.locator(".map-scale small").locator("visible=true").first).to_have_text("rises")
    expect(page.get_by_text("of the first class less that of the second").locator("visible=true")).to_have_count(0)


def test_what_is_typed_while_classes_are_loading_stays(visitor_page: Page, visitor: Visitor) -> None:
    page, held = visitor_page, []
    page.route("**/labels**", lambda route: held.append(route))
    page.goto(f"{visitor.pages['occlusion']}#class.0=281")  # another class than those listed: its name is loading
    field = page.get_by_role("combobox", name="Class", exact=True).first
    field.click()
    page.keyboard.type("espresso")
    expect(page.get_by_role("listbox", name="Class")).to_be_hidden()
    for route in held:
        route.continue_()
    expect(page.get_by_role("listbox").get_by_role("option", selected=True)).to_contain_text("espresso")
    expect(field).to_have_value("espresso")


def test_ranges_and_the_strongest(visitor_page: Page, visitor: Visitor) -> None:
    page = visitor_page
    page.goto(visitor.pages["occlusion"])
    the_map(page)
    raw = [array(page, one) for one in page.locator("picasso-map").all()]
    largest = number(float(max(np.abs(one).max() for one in raw)))
    tools = page.locator("picasso-map-tools").first
    expect(page.locator(".map-scale > span:last-child").first).to_contain_text(largest)
    draw_all(page)
    assert ends(page) == [[f"−{largest}", largest]] * 3
    tools.get_by_label("Range").select_option("this map")
    own = [number(float(np.abs(one).max())) for one in raw[::3]]
    expect(page.locator(".map-scale > span:last-child").locator("visible=true").last).to_contain_text(own[2])
    assert ends(page) == [[f"−{end}", end] for end in own]
    tools.get_by_label("Ends").select_option("99.5 %")
    expect(page.locator(".map-scale > span:last-child").first).to_contain_text(
        number(float(np.quantile(np.abs(raw[0]), 0.995)))
    )
    tools.get_by_label("Ends").select_option("fixed")
    tools.get_by_label("Lowest value").fill("-0.25")
    tools.get_by_label("Highest value").fill("0.5")
    page.keyboard.press("Tab")
    expect(page.locator(".map-scale > span:last-child").first).to_contain_text(".500")
    assert ends(page)[0] == ["−.250", ".500"]
    tools.get_by_label("Ends").select_option("automatic")
    tools.get_by_label("Smooth").uncheck()
    tools.get_by_label("Strongest").select_option("10 %")
    pixels = "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
    first = page.locator("picasso-map").first
    expect(first.locator("canvas.map")).to_have_class(re.compile("cells"))
    shown = np.array(first.locator("canvas.map").evaluate(pixels)).reshape(SIZE, SIZE, 4)[..., 3] > 0
    least = np.sort(np.abs(raw[0]), axis=None)[-int(np.ceil(0.1 * raw[0].size))]
    assert not shown[np.abs(raw[0]) < 0.99 * least].any()
    assert shown[np.abs(raw[0]) > 1.01 * least].all()


def test_one_bar_of_tools_stays_in_sight(visitor_page: Page, visitor: Visitor) -> None:
    page, tools = visitor_page, visitor_page.locator("picasso-map-tools")
    for size, most in [({"width": 1280, "height": 900}, 120), ({"width": 390, "height": 844}, 60)]:
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.goto(visitor.pages["checks"])
        expect(tools).to_have_count(1)
        page.locator("picasso-map").last.scroll_into_view_if_needed()
        page.locator("picasso-map").last.evaluate("(map) => map.ready.then(() => null)")
        box = tools.bounding_box()
        assert box is not None
        assert -1 <= box["y"] < 2
        assert box["height"] < most
    more = tools.get_by_role("button", name="More")
    expect(tools.get_by_label("Strongest")).to_be_hidden()
    more.click()
    expect(tools.get_by_label("Strongest")).to_be_visible()
    assert page.locator("picasso-map-tools").evaluate("(tools) => tools.offsetHeight") < 844 / 2
    page.goto(visitor.pages["features"])  # of one kind
    expect(tools.locator(".together").first.locator("label")).to_have_count(1)


def test_a_link_opens_the_same_view(visitor_page: Page, visitor: Visitor) -> None:
    page = visitor_page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(visitor.pages["occlusion"])
    shown = the_map(page)
    tools = page.locator("picasso-map-tools").first
    tools.get_by_label("Opacity of the map").fill("40")
    tools.get_by_label("Colours").select_option("vik")
    tools.get_by_label("Range").select_option("this map")
    tools.get_by_label("Smooth").uncheck()
    tools.get_by_text("Original", exact=True).click()
    tools.get_by_role("button", name="Swipe").click()
    tools.get_by_role("button", name="Zoom in").click()
    page.mouse.click(*place(shown, 90, 130))
    choose(page, "Minus the map of", "coffeepot")
    expect(page.locator(".map-about b").first).to_have_text("espresso − coffeepot")

    def seen(of: Page) -> list[Any]:
        the_map(of)
        expect(of.locator("output").first).to_contain_text("With this window hidden")
        return list(
            of.evaluate(
                """() => {
                  const map = document.querySelector("picasso-map");
                  const style = (name) => map.querySelector(name).getAttribute("style");
                  return [map.querySelector("canvas.map").toDataURL(), map.querySelector("output").textContent,
                    map.querySelector(".map-scale").textContent, map.querySelector(".map-about").textContent,
                    style(".world"), style(".map-stage"), style(".place"), style(".swipe"),
                    map.querySelector(".picture").src];
                }"""
            )
        )

    tools.get_by_role("button", name="Link to this view").click()
    expect(tools.get_by_role("button", name="Copied")).to_be_visible()
    before = seen(page)
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(visitor.pages["occlusion"] + "#")
    other = page.context.new_page()
    other.goto(link)
    expect(other.locator(".map-about b").first).to_have_text("espresso − coffeepot")
    assert seen(other) == before
    expect(other.get_by_label("Opacity of the map").first).to_have_value("40")


def test_with_keys_alone(visitor_page: Page, visitor: Visitor) -> None:
    page, press = visitor_page, visitor_page.keyboard.press
    page.goto(visitor.pages["saliency"])
    shown = the_map(page)
    raw = array(page, shown)
    shown.get_by_role("application").focus()
    press("ArrowRight")
    where = shown.locator(".where")
    expect(where).to_have_text("Row 112, column 112: ")
    for key in ("ArrowRight", "Shift+ArrowUp", "ArrowUp", "Shift+ArrowLeft"):
        press(key)
    expect(where).to_have_text("Row 101, column 103: ")
    expect(shown.locator(".what")).to_have_text(number(float(raw[101, 103])))
    expect(shown.locator("output")).to_have_attribute("aria-live", "polite")
    press("+")
    expect(page.get_by_role("group", name="Zoom").first).to_contain_text("150 %")
    press("0")
    expect(page.get_by_role("group", name="Zoom").first).to_contain_text("100 %")
    press("+")
    press("Escape")
    expect(page.get_by_role("group", name="Zoom").first).to_contain_text("100 %")
    expect(shown.locator("output")).to_contain_text("Point at the map")
    page.get_by_role("button", name="Swipe").first.focus()
    press("Enter")
    handle = shown.get_by_role("slider")
    handle.focus()
    press("ArrowRight")
    expect(handle).to_have_attribute("aria-valuenow", "52")
    press("Home")
    expect(handle).to_have_attribute("aria-valuenow", "0")
    for other in page.locator(".swipe").locator("visible=true").all():
        other.scroll_into_view_if_needed()  # maps that are not near what is seen wait
        expect(other).to_have_attribute("aria-valuenow", "0")


def test_with_fingers_on_a_phone(visitor: Visitor, new_context: Callable[..., BrowserContext]) -> None:
    context = new_context(storage_state=visitor.state, viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(visitor.pages["occlusion"])
    shown = the_map(page)
    shown.scroll_into_view_if_needed()
    raw = array(page, shown)
    page.touchscreen.tap(*place(shown, 60, 120))
    expect(shown.locator(".what")).to_have_text(re.compile(r"\d"))
    row, column = (int(found) for found in re.findall(r"\d+", shown.locator(".where").inner_text()))
    assert abs(row - 60) <= 1
    assert abs(column - 120) <= 1
    expect(shown.locator(".what")).to_have_text(number(float(raw[row, column])))
    expect(shown.locator(".tip")).to_be_visible()
    tip, window = (shown.locator(part).bounding_box() for part in (".tip", ".window"))
    assert tip is not None
    assert window is not None
    assert any(tip[at] >= window[at] + window[size] or window[at] >= tip[at] + tip[size] for at, size in SIDES)
    assert sideways_scrolling(page) == 0
    hand = context.new_cdp_session(page)
    x, y = place(shown, 112, 112)
    for kind, apart in [("touchStart", 40), ("touchMove", 60), ("touchMove", 80), ("touchEnd", None)]:
        fingers = [] if apart is None else [{"x": x + side * apart, "y": y, "id": side + 1} for side in (-1, 1)]
        hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    expect(page.get_by_role("group", name="Zoom").first).to_contain_text("200 %")
    expect(shown.locator(".picture.whole")).to_be_hidden()
    handle = page.get_by_role("button", name="Swipe").first
    handle.scroll_into_view_if_needed()
    handle.tap()
    expect(shown.locator(".swipe")).to_be_visible()


def test_the_mouse_swipes_zooms_and_saves(visitor_page: Page, visitor: Visitor) -> None:
    page = visitor_page
    page.goto(visitor.pages["activation"])
    shown = the_map(page)
    tools = page.locator("picasso-map-tools").first
    tools.get_by_role("button", name="Swipe").click()
    expect(shown.locator(".swipe")).to_be_visible()
    x, y = place(shown, 112, 112)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y)
    page.mouse.up()
    expect(shown.locator(".swipe")).to_have_attribute("aria-valuenow", re.compile("5[6-9]|6."))
    page.mouse.move(x - 80, y)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    expect(page.get_by_role("group", name="Zoom").last).to_contain_text("272 %")
    before = str(shown.locator(".world").get_attribute("style"))
    page.mouse.down()
    page.mouse.move(x - 120, y + 30, steps=3)
    page.mouse.up()
    expect(shown.locator(".world")).not_to_have_attribute("style", before)
    with page.expect_download() as download:
        tools.get_by_role("button", name="Save values").click()
    saved = np.load(download.value.path(), allow_pickle=False)
    np.testing.assert_array_equal(saved, array(page, shown))
    tools.get_by_label("Smooth").uncheck()
    expect(shown.locator("canvas.map")).to_have_attribute("width", "7")  # the layer's own values
    np.testing.assert_array_equal(drawn(shown), array(page, shown, "cells"))
    with page.expect_download() as download:
        tools.get_by_role("button", name="Save picture").click()
    assert download.value.suggested_filename == "coffee espresso.png"
    with Image.open(download.value.path()) as picture:
        assert picture.format == "PNG"
        assert picture.width == 1024
        assert picture.height > 1024 + 60  # the colours and numbers are below
        assert len(np.unique(np.asarray(picture.convert("RGB"))[:1024].reshape(-1, 3), axis=0)) > 100


def test_arrays_as_numpy_writes_them(page: Page, base_url: str) -> None:
    page.goto(f"{base_url}/runs")
    read = """async (text) => {
      const sheet = document.querySelector('link[href$="/picasso.css"]');
      const { parse } = await import(new URL("map/npy.js", sheet.href).href);
      try {
        const { shape, data } = parse(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
        return [shape, Array.from(data)];
      } catch (error) {
        return error.message;
      }
    }"""
    values = np.arange(24).reshape(2, 3, 4)

    def parsed(array: NDArray[Any]) -> Any:
        stream = io.BytesIO()
        np.save(stream, array)
        return page.evaluate(read, base64.b64encode(stream.getvalue()).decode())

    for kind in ["<f4", "<f8", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8"]:
        assert parsed(values.astype(kind)) == [[2, 3, 4], list(range(24))], kind
    assert parsed(np.asfortranarray(values.astype("<f4"))) == [[2, 3, 4], list(range(24))]
    assert parsed(np.float32([[1.5, -2.25]])) == [[1, 2], [1.5, -2.25]]
    for kind in [">f4", "<c8", "<f2"]:
        assert parsed(values.astype(kind)).startswith(f"This .npy file has values of type {kind}")
    assert page.evaluate(read, "bm8gYXJyYXkgYXQgYWxs") == "This is no .npy file."
