"""Choosing a model at the top of the page, the page about it, swapping it while the server runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from .conftest import serving
from .helpers import ROOT, accessibility_problems, add_samples, answer, bars, sideways_scrolling
from .test_everywhere import PHONE, SCHEMES
from .test_keyboard import tab_to

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
LOADED = 60_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's folder, with a model file that tests replace."""
    made = tmp_path_factory.mktemp("models")
    shutil.copy(EXAMPLES / "mnist-keras" / "model.keras", made)
    return made


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """A server with the digits model in Keras and in TensorFlow, and one whose file is not there."""
    labels = list("0123456789")
    models = {
        "Keras": {"MODEL_PATH": str(folder / "model.keras"), "MODEL_LABELS": labels},
        "TensorFlow": {
            "MODEL_PATH": str(EXAMPLES / "mnist-tensorflow" / "saved_model"),
            "MODEL_FRAMEWORK": "tensorflow",
            "MODEL_LABELS": [f"digit {label}" for label in labels],
        },
        "Missing": {"MODEL_PATH": str(folder / "none.keras")},
    }
    config = folder / "config.py"
    samples = [str(EXAMPLES / "mnist-keras" / "samples" / f"{name}.png") for name in ("three", "seven")]
    config.write_text(f"MODELS = {json.dumps(models)}\nSAMPLE_IMAGES = {samples}\n")
    with serving(folder, SETTINGS=str(config)) as server:
        server.ready()
        yield server.address


@pytest.fixture
def start(new_context: Callable[..., BrowserContext], url: str) -> Page:
    """The start page."""
    page = new_context().new_page()
    page.goto(url)
    return page


def model(page: Page) -> Locator:
    return page.get_by_label("Model", exact=True)


def go(page: Page, path: str) -> None:
    """Another page of the same server."""
    page.goto(urljoin(page.url, path))


def choose(page: Page, name: str) -> None:
    with page.expect_navigation():
        model(page).select_option(name)


def test_choose_a_model_and_run(start: Page) -> None:
    add_samples(start, "three.png")
    choose(start, "TensorFlow")
    expect(model(start)).to_have_value("TensorFlow")
    expect(start.locator(".model")).to_contain_text("saved_model", timeout=LOADED)  # the page says when it is open
    answer(start, "class-probabilities")
    assert bars(start)[0][0] == "digit 3"
    expect(start.locator("dl")).to_contain_text("TensorFlow")
    result = start.url
    choose(start, "Keras")
    assert start.url == result
    expect(start.get_by_text("This run is of another model than the one above: TensorFlow.")).to_be_visible()
    assert accessibility_problems(start) == []
    start.get_by_role("link", name="Change settings").click()
    expect(start.get_by_text("These settings are for TensorFlow")).to_be_visible()
    start.get_by_role("button", name="Run", exact=True).click()
    expect(start.get_by_text("this is the kept result")).to_be_visible()
    go(start, "/")
    answer(start, "class-probabilities")
    assert bars(start)[0][0] == "3"
    go(start, "/runs")
    expect(start.locator(".runs")).to_contain_text("TensorFlow")


def test_a_model_that_cannot_be_used_says_why(start: Page) -> None:
    choose(start, "Missing")
    expect(start.locator(".model")).to_contain_text("cannot be used", timeout=LOADED)
    expect(start.get_by_role("alert")).to_contain_text("none.keras does not exist")
    assert accessibility_problems(start) == []
    go(start, "/model")
    expect(start.get_by_role("alert")).to_contain_text("none.keras does not exist")
    choose(start, "Keras")
    expect(start.get_by_role("alert")).to_have_count(0)


def test_with_the_keyboard_alone(start: Page) -> None:
    tab_to(model(start))
    with start.expect_navigation():
        start.keyboard.type("Tens")
    expect(model(start)).to_have_value("TensorFlow")
    tab_to(start.get_by_role("link", name="About this model"))
    start.keyboard.press("Enter")
    expect(start.get_by_role("heading", level=1)).to_have_text("TensorFlow")
    tab_to(start.get_by_role("button", name="Reload model"))


@pytest.mark.browser_context_args(java_script_enabled=False)
def test_without_javascript(page: Page, url: str) -> None:
    page.goto(url)
    model(page).select_option("TensorFlow")
    page.get_by_role("button", name="Choose", exact=True).click()
    expect(model(page)).to_have_value("TensorFlow")
    page.get_by_role("link", name="About this model").click()
    expect(page.locator("dl").first).to_contain_text("saved_model", timeout=LOADED)  # the page asks again by itself
    page.get_by_role("button", name="Reload model").click()
    expect(page.get_by_text("TensorFlow is unchanged.")).to_be_visible(timeout=LOADED)


@pytest.mark.parametrize("path", ["/", "/model", "/visualizations/occlusion?model=TensorFlow"])
def test_pages_fit_in_light_and_dark(start: Page, path: str) -> None:
    go(start, path)
    desk = start.viewport_size
    assert desk is not None
    for details in start.locator("summary").all():
        details.click()
    for scheme in SCHEMES:
        start.emulate_media(color_scheme=scheme)
        start.set_viewport_size(PHONE)
        assert sideways_scrolling(start) == 0, scheme
        start.set_viewport_size(desk)
        assert accessibility_problems(start) == [], scheme


def test_swap_the_model(start: Page, folder: Path) -> None:
    add_samples(start, "seven.png")
    answer(start, "class-probabilities")
    before = start.url
    start.get_by_role("link", name="About this model").click()
    good = (folder / "model.keras").read_bytes()
    (folder / "model.keras").write_bytes(good[:5000])
    start.get_by_role("button", name="Reload model").click()
    news = start.locator("#news")
    expect(news).to_contain_text("The new model.keras could not be opened", timeout=LOADED)
    expect(news).to_contain_text("stays in use.")
    assert accessibility_problems(start) == []
    import keras

    network = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
    network.layers[-1].bias.assign([0.0] * 9 + [50.0])
    network.save(folder / "model.keras")
    start.get_by_role("button", name="Reload model").click()
    expect(news).to_contain_text("Keras was opened anew: model.keras", timeout=LOADED)
    go(start, "/")
    answer(start, "class-probabilities")  # the kept result of the old model is not shown
    assert bars(start)[0][0] == "9"
    start.goto(before)
    expect(
        start.get_by_text("This result is of another model than the one above: Keras (model.keras).")
    ).to_be_visible()
