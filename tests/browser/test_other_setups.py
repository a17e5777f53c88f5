"""Another model by config, plugins in a folder, and a model that is still loading."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from .conftest import serving
from .helpers import (
    RESULT_MILLISECONDS,
    ROOT,
    accessibility_problems,
    add_samples,
    answer,
    bars,
    raw_map,
    start_run,
    wait_for_result,
)

pytestmark = pytest.mark.slow

MNIST = "examples/mnist-keras/config.py"
FAILING = """
from picasso.visualizations.base import BaseVisualization

class Failing(BaseVisualization):
    description = "Fails"

    def make_visualization(self, inputs, output_dir, settings):
        raise RuntimeError("no luck today")
"""
DIGITS = {"zero": "0", "three": "3", "four": "4", "seven": "7", "eight": "8", "nine": "9"}


@pytest.fixture(scope="module")
def other_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the digits model, the example plugin, one that cannot be loaded and one that fails."""
    folder = tmp_path_factory.mktemp("other")
    plugins = folder / "plugins"
    shutil.copytree(ROOT / "examples" / "plugin", plugins)
    (plugins / "broken.py").write_text("import a_module_that_is_not_there\n")
    shutil.copytree(Path(__file__).parent / "wall", plugins / "wall")
    (plugins / "failing.py").write_text(FAILING)
    (plugins / "Failing.html").write_text('{% extends "result.html" %}')
    with serving(folder, SETTINGS=MNIST, VISUALIZATION_FOLDERS=json.dumps([str(plugins)])) as server:
        server.ready()
        yield server.address


@pytest.fixture
def other_page(new_context: Callable[..., BrowserContext], other_url: str) -> Page:
    """The start page of that server."""
    page = new_context().new_page()
    page.goto(other_url)
    return page


def test_the_model_is_swapped_by_config(other_page: Page) -> None:
    expect(other_page.locator(".model")).to_contain_text("MNIST digits")
    add_samples(other_page, *(f"{name}.png" for name in DIGITS))
    answer(other_page, "class-probabilities")
    best = [bars(result)[0][0] for result in other_page.locator(".result").all()]
    assert best == list(DIGITS.values())


def test_occlusion_of_a_digit(other_page: Page) -> None:
    add_samples(other_page, "four.png")
    answer(other_page, "occlusion", window=7, stride=2)
    assert bars(other_page)[0][0] == "4"
    assert raw_map(other_page).shape == (28, 28)


@pytest.mark.parametrize("name", ["occlusion", "saliency"])
def test_the_defaults_suit_a_small_model(other_page: Page, name: str) -> None:
    add_samples(other_page, "four.png")
    answer(other_page, name)
    assert len(np.unique(raw_map(other_page))) > 28  # the parts of the picture differ


def test_a_plugin_in_a_folder_works(other_page: Page) -> None:
    add_samples(other_page, "seven.png")
    other_page.get_by_role("link", name="Hidden halves").click()
    other_page.get_by_label("Hidden with").select_option("black")
    other_page.get_by_role("button", name="Run", exact=True).click()
    wait_for_result(other_page)
    expect(other_page.get_by_role("heading", name="seven.png: 7")).to_be_visible()
    halves = other_page.locator("img[alt$='half hidden']")
    expect(halves).to_have_count(4)
    for half in halves.all():
        assert half.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 28
    assert accessibility_problems(other_page) == []


def test_three_hundred_maps_stay_smooth(other_page: Page) -> None:
    add_samples(other_page, "seven.png")
    answer(other_page, "wall")
    maps = other_page.locator("picasso-map")
    expect(maps).to_have_count(300)
    other_page.wait_for_load_state("networkidle")  # those in sight are loaded
    maps.first.evaluate("(map) => map.ready.then(() => null)")
    drawn = other_page.evaluate(
        """async () => {
          const frames = [];
          let painted = 0;
          const count = () => painted++;
          document.addEventListener("picasso-map-drawn", count);
          for (let before = -1; before < painted; ) { // those that are still being loaded
            before = painted;
            await new Promise((resolve) => setTimeout(resolve, 500));
          }
          painted = 0;
          const slider = document.querySelector(".opacity");
          let last = performance.now();
          for (let value = 100; value >= 0; value -= 2) {
            slider.value = value;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
            slider.dispatchEvent(new Event("input", { bubbles: true })); // more often than once in a frame
            const now = await new Promise(requestAnimationFrame);
            frames.push(now - last);
            last = now;
          }
          document.removeEventListener("picasso-map-drawn", count);
          const maps = [...document.querySelectorAll("picasso-map")];
          const place = (map) => map.getBoundingClientRect();
          const seen = maps.filter((map) => place(map).bottom > 0 && place(map).top < innerHeight);
          const opacities = seen.map((map) => getComputedStyle(map.querySelector("canvas.map")).opacity);
          return { frames, painted, opacities, loaded: maps.filter((map) => map.values).length };
        }"""
    )
    frames = sorted(drawn["frames"])
    print(f"Milliseconds between frames: {frames[len(frames) // 2]:.0f} at the median, {frames[-1]:.0f} at most")
    assert drawn["painted"] == 0  # opacity paints no map anew
    assert set(drawn["opacities"]) == {"0"}
    assert drawn["loaded"] < 300  # only those near what is seen
    maps.last.scroll_into_view_if_needed()
    assert maps.last.evaluate("(map) => map.ready.then(() => map.values.length)") == 28 * 28


def test_a_broken_plugin_is_listed_with_its_error(other_page: Page) -> None:
    card = other_page.locator(".card.broken")
    expect(card).to_contain_text("broken.py")
    expect(card).to_contain_text("a_module_that_is_not_there")
    expect(other_page.locator(".card:not(.broken)")).to_have_count(11)  # eight built in, three in folders
    assert accessibility_problems(other_page) == []


def test_a_run_that_fails_says_where(other_page: Page) -> None:
    add_samples(other_page, "zero.png")
    other_page.get_by_role("link", name="Failing").click()
    other_page.get_by_role("button", name="Run", exact=True).click()
    expect(other_page.get_by_role("heading", name="This run failed")).to_be_visible(timeout=RESULT_MILLISECONDS)
    expect(other_page.get_by_role("alert")).to_contain_text("failing.py")
    expect(other_page.get_by_role("alert")).to_contain_text("no luck today")
    assert accessibility_problems(other_page) == []
    answer(other_page, "class-probabilities")  # the next one works


def test_pages_are_there_while_the_model_loads(new_context: Callable[..., BrowserContext], tmp_path: Path) -> None:
    with serving(tmp_path, SETTINGS=MNIST) as server:
        context = new_context()
        page = context.new_page()
        page.goto(server.address)
        header = page.locator(".model")
        expect(header).to_contain_text("MNIST digits is loading…")
        page.evaluate("window.stayed = true")
        runner = context.new_page()
        runner.goto(server.address)
        add_samples(runner, "nine.png")
        start_run(runner, "class-probabilities")
        expect(runner.locator("#doing")).to_be_visible()
        assert accessibility_problems(page) == []
        expect(header).to_contain_text("model.keras", timeout=60_000)
        assert page.evaluate("window.stayed")  # without a reload
        wait_for_result(runner)
        assert bars(runner)[0][0] == "9"
        context.close()
