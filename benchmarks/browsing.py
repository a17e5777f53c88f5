"""What a person waits for in the browser: Chromium on the same machine, the real server, the default model.

From the pointer to the bars: a square is dragged over a picture without a pause, and every change of the bars is
timed from the last movement of the pointer that it answers. First paint: as the browser itself reports it, with
nothing in its cache.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.asking import serving
from benchmarks.measure import Row
from tools.find_chromium import find

PATIENCE = 180_000  # milliseconds until the model is open and warm
FLAGS = ["--no-sandbox", "--disable-gpu"]
PAGES = ("/", "/visualizations/occlusion", "/visualizations/saliency", "/runs")
PAINTS = 5
# Questions go one at a time: a change of the bars belongs to the oldest one that was sent and not yet shown.
WATCH = """() => {
  let moved = 0;
  const sent = [];
  window.waits = [];
  addEventListener("pointermove", (event) => (moved = event.timeStamp), true);
  const ask = window.fetch;
  window.fetch = (...given) => (String(given[0]).endsWith("/answer") && sent.push(moved), ask(...given));
  const changes = { childList: true, subtree: true, characterData: true, attributes: true };
  const changed = () => {
    const since = sent.shift();
    if (since !== undefined) requestAnimationFrame(() => waits.push(performance.now() - since));
  };
  new MutationObserver(changed).observe(document.querySelector(".changes"), changes);
}"""


def measure(path: Path, seconds: float) -> Row:
    """Medians and 95th percentiles in seconds: bars alone and beside a check of maps, and the slowest first paint."""
    with serving(path) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=FLAGS)
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        ready(page, url)
        alone = drag(page, seconds)
        start_check(page.context.new_page(), url)
        beside = drag(page, seconds)
        paints = {path: first_paint(browser, url + path) for path in PAGES}
        browser.close()
    return {
        "seconds": statistics.median(alone),
        "late": float(np.quantile(alone, 0.95)),
        "beside": statistics.median(beside),
        "late_beside": float(np.quantile(beside, 0.95)),
        "paint": max(paints.values()),
        "answers": len(alone),
    }


def ready(page: Page, url: str) -> None:
    """Opens the tool for the first sample, and waits until the model answers evenly."""
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    page.request.post(f"{url}/images/samples", form={"sample": "0"})
    page.goto(f"{url}/ask")
    page.wait_for_selector(".board.ready")
    page.wait_for_function("() => document.querySelector('.outcome').textContent")
    time.sleep(20)  # warming up goes on beside the first answers
    page.evaluate(WATCH)


def drag(page: Page, seconds: float) -> Sequence[float]:
    """Seconds from the pointer to the bars, for every change of theirs while the square is dragged in circles."""
    box: Any = page.locator(".board").bounding_box()
    page.evaluate("waits.length = 0")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    end, step = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        step += 1
        across, down = 0.5 + 0.3 * np.cos(step / 20), 0.5 + 0.3 * np.sin(step / 20)
        page.mouse.move(box["x"] + box["width"] * across, box["y"] + box["height"] * down)
        page.wait_for_timeout(12)
    page.mouse.up()
    page.wait_for_timeout(1000)
    return [wait / 1000 for wait in page.evaluate("waits")]


def start_check(page: Page, url: str) -> None:
    """Starts "Can it be trusted?" of the same picture, which shuffles the model's weights meanwhile."""
    page.goto(f"{url}/visualizations/trust")
    page.click("button.primary")
    page.wait_for_url("**/runs/**")
    page.close()
    time.sleep(3)


def first_paint(browser: Browser, url: str) -> float:
    """Seconds; the median over fresh browser contexts."""
    paints = []
    for _ in range(PAINTS):
        context = browser.new_context()
        page = context.new_page()
        page.goto(url)
        page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length")
        paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000)
        context.close()
    return statistics.median(paints)
