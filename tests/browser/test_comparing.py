"""Side by side: one range and one cursor for all maps, a link that opens the same, two models sorted, a training."""

from __future__ import annotations

import importlib.util
import io
import json
import re
from collections.abc import Callable, Iterator
from urllib.parse import urljoin, urlsplit

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import BrowserContext, Page, expect

from .conftest import serving
from .helpers import RESULT_MILLISECONDS, ROOT, Visitor, accessibility_problems, add_samples, sideways_scrolling
from .test_everywhere import PHONE

pytestmark = pytest.mark.slow

STEPS = [0, 20, 60]


def run_of(page: str) -> str:
    """The run that a result's address names."""
    return urlsplit(page).path.split("/")[2]


def compare(page: Page, visitor: Visitor, *names: str, more: str = "") -> None:
    """The comparison of some of the visitor's runs."""
    page.goto(f"/compare?{'&'.join(f'run={run_of(visitor.pages[name])}' for name in names)}{more}")


def scales(page: Page) -> list[list[str]]:
    """The values at the ends of the colours of each map that is drawn."""
    return [scale.locator("span").all_inner_texts() for scale in page.locator(".cell .map-scale").all()]


def values(page: Page, number: int) -> list[float]:
    found: list[float] = page.evaluate(
        "async (number) => Array.from((await document.querySelectorAll('picasso-map')[number].ready).values)", number
    )
    return found


# With the real model


def test_the_grid(visitor_page: Page, visitor: Visitor, new_context: Callable[..., BrowserContext]) -> None:
    page = visitor_page
    compare(page, visitor, "occlusion", "saliency")
    expect(page.get_by_role("columnheader").filter(has_text="Occlusion")).to_be_visible()
    expect(page.get_by_text("The columns plot 2 different things")).to_be_visible()
    maps = page.locator("picasso-map")
    expect(maps).to_have_count(6)
    for number in range(6):
        values(page, number)
    ends = scales(page)
    assert len({tuple(pair) for pair in ends[::2]}) == 1  # one range for each unit
    assert len({tuple(pair) for pair in ends[1::2]}) == 1
    limit = max(abs(value) for number in (0, 2, 4) for value in values(page, number))
    assert float(ends[0][1].split()[0]) == pytest.approx(limit, abs=0.0006)
    raw = np.load(io.BytesIO(page.request.get(urljoin(page.url, str(maps.first.get_attribute("src")))).body()))
    np.testing.assert_allclose(np.array(values(page, 0)), raw.ravel(), rtol=1e-6)

    # One cursor: what is under it is told for every map.
    stages = page.locator(".map-stage")
    stages.first.focus()
    page.keyboard.press("ArrowRight")
    readings = page.locator(".map-reading .what")
    expect(readings).to_have_count(6)
    where = page.locator(".map-reading .where").all_inner_texts()
    assert len(set(where)) == 1

    # One zoom, and a link that opens the same.
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_label("Strongest").select_option(index=4)
    expect(page).to_have_url(re.compile("#.*strongest=.*zoom="))
    other = new_context(storage_state=visitor.state).new_page()
    other.goto(page.url)
    expect(other.get_by_role("button", name="Show the whole picture")).to_have_text("150 %")
    assert other.get_by_label("Strongest").input_value() == page.get_by_label("Strongest").input_value()

    # Any class for all columns.
    page.get_by_label("Class", exact=True).fill("cup")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("No map of cup here").first).to_be_visible()  # the saliency run has only its best
    expect(page.locator('picasso-map[label="cup"]').first).to_be_visible()

    # On a phone runs are rows, pictures columns.
    compare(page, visitor, "occlusion", "saliency")
    cells = [page.locator(f"#cell-{row}-{column}") for row, column in ((0, 0), (0, 1), (1, 0))]
    boxes = [cell.bounding_box() for cell in cells]
    assert boxes[0]["y"] == boxes[1]["y"] < boxes[2]["y"]
    page.set_viewport_size(PHONE)
    boxes = [cell.bounding_box() for cell in cells]
    assert boxes[0]["y"] == boxes[2]["y"] < boxes[1]["y"]
    assert sideways_scrolling(page) == 0
    assert accessibility_problems(page) == []


def test_from_a_result(visitor_page: Page, visitor: Visitor) -> None:
    visitor_page.goto(visitor.pages["activation"])
    visitor_page.get_by_role("link", name="Compare with…").click()
    visitor_page.get_by_label("Class probabilities").check()
    assert accessibility_problems(visitor_page) == []
    visitor_page.get_by_role("button", name="Compare", exact=True).click()
    expect(visitor_page.get_by_role("columnheader")).to_have_count(3)
    expect(visitor_page.locator("progress")).to_have_count(0, timeout=RESULT_MILLISECONDS)
    expect(visitor_page.locator("picasso-map")).to_have_count(3)
    expect(visitor_page.locator(".cell .bars")).to_have_count(3)


# With a training of a very small network


def drawn_digits(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Digits in a font, moved about: x uint8 (n, 28, 28), y (n,)."""
    rng = np.random.default_rng(0)
    images, labels = [], []
    for label in range(10):
        for _ in range(count):
            picture = Image.new("L", (28, 28))
            right, down = rng.integers(-3, 4, 2)
            ImageDraw.Draw(picture).text((8 + right, 2 + down), str(label), 255, ImageFont.load_default(20))
            images.append(np.asarray(picture))
            labels.append(label)
    return np.stack(images), np.array(labels)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the digits model of the example, and with the checkpoints of a short training."""
    folder = tmp_path_factory.mktemp("training")
    np.savez(folder / "digits.npz", **dict(zip("xy", drawn_digits(), strict=True)))
    spec = importlib.util.spec_from_file_location("train", ROOT / "examples" / "mnist-checkpoints" / "train.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.train(*script.load_digits(folder / "digits.npz"), STEPS, folder / "run")
    models = {
        "good": {"MODEL_PATH": str(ROOT / "examples" / "mnist-keras" / "model.keras")},
        "short": {"MODEL_CHECKPOINTS": "run"},
    }
    samples = [str(ROOT / "examples" / "mnist-keras" / "samples" / f"{name}.png") for name in ("three", "seven")]
    config = folder / "config.py"
    config.write_text(
        f"MODELS = {json.dumps(models)}\nSAMPLE_IMAGES = {samples}\nMODEL_LABELS = {list('0123456789')}\n"
        'MODEL_PREPROCESS = {"geometry": "resize", "scale": [0, 1]}\n'
    )
    with serving(folder, SETTINGS=str(config)) as server:
        server.ready()
        yield server.address


def test_two_models_and_a_training(new_context: Callable[..., BrowserContext], url: str) -> None:
    page = new_context().new_page()
    page.goto(url)
    add_samples(page, "three.png", "seven.png")

    # Two models on the same pictures, those first on which they disagree most.
    page.get_by_role("link", name="Compare", exact=True).click()
    page.get_by_label("Occlusion").check()
    page.get_by_label("short@60").check()
    page.get_by_role("button", name="Run all").click()
    expect(page.get_by_text("Occlusion · 2 pictures · 2 columns")).to_be_visible()
    expect(page.locator("progress")).to_have_count(0, timeout=RESULT_MILLISECONDS)
    expect(page.locator("picasso-map")).to_have_count(4)
    for order in ("Maps disagree most", "Answers disagree most"):
        page.get_by_role("link", name=order).click()
        expect(page.locator(".apart")).to_have_count(2)
        apart = [float(text.split()[-1]) for text in page.locator(".apart").all_inner_texts()]
        assert apart == sorted(apart, reverse=True)
    assert accessibility_problems(page) == []

    # The training: what is there is shown while the rest is computed.
    page.goto(urljoin(url, "/compare"))
    page.get_by_label("Visualization").select_option("Occlusion")
    page.get_by_role("button", name="Run and play").click()
    page.wait_for_url("**/time-line?*")
    expect(page.locator("progress")).to_have_count(0, timeout=RESULT_MILLISECONDS)
    current = page.locator(".state-of.current picasso-map")
    expect(current).to_have_count(2)
    last = current.first.get_attribute("src")
    mark = page.locator(".curve line.now").first
    places = [mark.get_attribute("x1")]
    scores = [page.locator(".keys b").first.inner_text()]
    scrub = page.get_by_label("Checkpoint", exact=True)
    scrub.focus()
    page.keyboard.press("Home")
    expect(page.locator("output.step")).to_have_text("step 0")
    assert scrub.get_attribute("aria-valuetext") == "step 0"
    assert current.first.get_attribute("src") != last
    places.append(mark.get_attribute("x1"))
    scores.append(page.locator(".keys b").first.inner_text())
    assert len(set(places)) == len(set(scores)) == 2
    row = page.locator(".numbers").first.locator("tbody tr").nth(0)
    assert scores[1] in row.inner_text() or scores[1] in (row.text_content() or "")
    assert len({tuple(pair) for pair in scales(page) if all(pair)}) == 1  # one range for all checkpoints
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("#step=20"))
    assert accessibility_problems(page) == []

    page.get_by_role("button", name="Play").click()
    expect(page.locator("output.step")).to_have_text("step 60")
    expect(page.get_by_role("button", name="Play")).to_be_visible()  # it has come to the end
    page.set_viewport_size(PHONE)
    assert sideways_scrolling(page) == 0
