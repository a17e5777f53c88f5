"""What the browser tests do over and over."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import BrowserContext, JSHandle, Locator, Page, expect

ROOT = Path(__file__).resolve().parents[2]
AXE = (Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
SAMPLES = ["coffee.png", "camera.png", "chelsea.png"]
COFFEE, CAMERA, CHELSEA = (Path(find_spec("skimage").submodule_search_locations[0]) / "data" / name for name in SAMPLES)
AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RESULT_MILLISECONDS = 300_000  # a check of three pictures takes half a minute where nothing else runs


@dataclass(frozen=True)
class Visitor:
    """A session with finished runs: what a browser keeps of it, and the runs' addresses by name."""

    state: Any
    pages: dict[str, str]


# Watching


def watch(context: BrowserContext) -> Callable[[], list[str]]:
    """Listens to the pages of a context; the function it returns gives what they complained about."""
    said: list[tuple[str, str]] = []
    refused: set[str] = set()  # pages that answered 4xx: a test asked for them, and Chromium says so on the console

    def on_response(response: Any) -> None:
        if response.status >= 500:
            said.append((f"{response.status}", response.url))
        elif response.status >= 400 and response.request.is_navigation_request():
            refused.add(response.url)

    context.on("page", lambda page: page.on("filechooser", lambda _: None))  # choosers are caught from the start on
    context.on("response", on_response)
    context.on("weberror", lambda error: said.append((str(error.error), "")))
    context.on("console", lambda message: _on_console(message, said))

    def complaints() -> list[str]:
        return [
            f"{text} {url}" for text, url in said if not (text.startswith("Failed to load resource") and url in refused)
        ]

    return complaints


def _on_console(message: Any, said: list[tuple[str, str]]) -> None:
    if message.type == "error" or "Content Security Policy" in message.text:
        said.append((message.text, message.location["url"]))


# Pictures in


def add_samples(page: Page, *names: str) -> None:
    """Puts samples into the tray, each with its button."""
    for name in names:
        page.get_by_role("button", name=f"Add the sample {name}").click()
        expect(tray(page).filter(has_text=name)).to_be_visible()


def upload(page: Page, *files: Path) -> None:
    """Chooses files in the file chooser; the page sends them by itself."""
    with page.expect_file_chooser() as chooser:
        page.locator(".drop").click()
    with page.expect_navigation():
        chooser.value.set_files(files)


def tray(page: Page) -> Locator:
    """The names of the pictures that are in."""
    return page.locator("ul.tray span")


def transfer(page: Page, *files: Path) -> JSHandle:
    """A `DataTransfer` with files, as a drop or a paste brings it."""
    contents = [[file.name, base64.b64encode(file.read_bytes()).decode()] for file in files]
    return page.evaluate_handle(
        """(contents) => {
          const transfer = new DataTransfer();
          for (const [name, text] of contents) {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], name, {type: "image/png"}));
          }
          return transfer;
        }""",
        contents,
    )


# Runs


def start_run(page: Page, visualization: str, **settings: object) -> None:
    """Fills the settings of a visualization in by its address and presses Run, on all pictures of the tray."""
    query = "&".join(f"{name}={value}" for name, value in settings.items())
    page.goto(urljoin(page.url, f"/visualizations/{visualization}?{query}"))
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url("**/runs/**")


def wait_for_result(page: Page) -> None:
    """Until the run of this page is done and the page shows it."""
    expect(page.get_by_role("heading", name="This run")).to_be_visible(timeout=RESULT_MILLISECONDS)
    page.wait_for_load_state()


def answer(page: Page, visualization: str, **settings: object) -> str:
    """Runs a visualization to its end; gives the address of its result."""
    start_run(page, visualization, **settings)
    wait_for_result(page)
    return page.url


def bars(part: Page | Locator) -> list[tuple[str, float]]:
    """The classes and scores that a result lists, in their order."""
    rows = part.locator(".bars li, .classes label").all()
    scores = [row.locator(".value").inner_text().replace("−", "-") for row in rows]
    return [(row.locator(".label").inner_text(), float(score)) for row, score in zip(rows, scores, strict=True)]


def raw_map(page: Page) -> NDArray[np.float32]:
    """The numbers behind the map that is shown."""
    address = page.locator("picasso-map").locator("visible=true").first.get_attribute("src")
    response = page.request.get(urljoin(page.url, str(address)))
    assert response.ok
    loaded: NDArray[np.float32] = np.load(io.BytesIO(response.body()), allow_pickle=False)
    return loaded


# Judging


def accessibility_problems(page: Page) -> list[str]:
    """What axe finds wrong by WCAG 2.0, 2.1 and 2.2, A and AA, and by its best practices."""
    if page.evaluate("!window.axe"):
        page.evaluate(AXE)
    found = page.evaluate("(rules) => axe.run({runOnly: rules, resultTypes: ['violations']})", AXE_RULES)
    assert found["passes"]  # it did look
    return [
        f"{violation['id']}: {violation['help']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def shifting(page: Page) -> float:
    """How much of what is visible moved by itself since the page was opened (cumulative layout shift)."""
    return float(
        page.evaluate(
            """() => new Promise((resolve) => {
              const seen = (list) => resolve(list.getEntries().reduce((sum, {value}) => sum + value, 0));
              new PerformanceObserver(seen).observe({type: "layout-shift", buffered: true});
              setTimeout(() => resolve(0), 100);
            })"""
        )
    )


class Traffic:
    """Counts the bytes that a page's loading takes on the wire, with nothing kept by the browser.

    Pictures are left out, and arrays, which are drawn as pictures.
    """

    def __init__(self, page: Page) -> None:
        self._counted: dict[str, float] = {}
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        session.on("Network.requestWillBeSent", self._on_request)
        session.on("Network.loadingFinished", self._on_finished)

    def _on_request(self, event: Any) -> None:
        if event["type"] != "Image" and not event["request"]["url"].endswith((".npy", ".png", ".webp")):
            self._counted[event["requestId"]] = 0

    def _on_finished(self, event: Any) -> None:
        if event["requestId"] in self._counted:
            self._counted[event["requestId"]] = event["encodedDataLength"]

    def taken(self) -> float:
        """The bytes since it was asked last."""
        total = sum(self._counted.values())
        self._counted.clear()
        return total


def sideways_scrolling(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def inside(point: Sequence[int], box: tuple[int, int, int, int]) -> bool:
    """Whether (row, column) lies in (left, top, right, bottom)."""
    row, column = point
    left, top, right, bottom = box
    return left <= column <= right and top <= row <= bottom
