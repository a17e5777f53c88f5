"""Takes the pictures of README and docs from the running app, on the real model: `make screenshots`.

With names, only those: `python tools/screenshots.py start model`. Each page is taken in light and in dark.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from secrets import token_urlsafe
from urllib.parse import urljoin

from PIL import Image
from playwright.sync_api import Page
from running_app import LONG, begin, run, running_app

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "images"
TRAINING = ROOT / "examples" / "mnist-checkpoints"
DIGITS = ROOT.parent / "shared" / "data" / "mnist_10k.npz"  # where there is none, Keras fetches them
WIDTH, HEIGHT = 1280, 860
TOKEN = token_urlsafe(16)
Visit = Callable[[Page], object]


def at(path: str) -> Visit:
    """A page by its address."""
    return lambda page: page.goto(urljoin(page.url, path), wait_until="networkidle")


def result(path: str) -> Visit:
    """The result of a visualization, "name?setting=value", on all pictures of the tray."""
    return lambda page: run(page, path)


def under_way(page: Page) -> None:
    """A run that goes on, with the first that it has found."""
    page.goto(urljoin(page.url, "/visualizations/occlusion?window=24&stride=4"))
    page.click("button.primary")
    page.wait_for_selector("#stop")


def compare_with(page: Page) -> None:
    """What a result may be set beside."""
    run(page, "class-probabilities")
    page.get_by_role("link", name="Compare with").first.click()
    page.wait_for_load_state("networkidle")


def side_by_side(page: Page) -> None:
    """Two visualizations of all pictures of the tray, when both have ended."""
    page.goto(urljoin(page.url, "/compare"))
    for name in ("Occlusion", "Saliency"):
        page.get_by_label(name).check()
    page.get_by_role("button", name="Run all").click()
    page.wait_for_selector(".compare:not(:has(progress))", timeout=LONG)
    page.wait_for_load_state("networkidle")


def through_a_training(page: Page) -> None:
    """A visualization at all checkpoints of a training, stopped at one of them."""
    page.goto(urljoin(page.url, "/compare"))
    page.get_by_label("Visualization").select_option("Occlusion")
    page.get_by_role("button", name="Run and play").click()
    page.wait_for_selector(".time-line:not(:has(progress))", timeout=LONG)
    page.get_by_label("Checkpoint", exact=True).fill("5")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_load_state("networkidle")


def by_hand(page: Page) -> None:
    """The page on which a part of the first picture is hidden by hand, with its first answer."""
    page.goto(urljoin(page.url, "/"))
    page.get_by_role("link", name="Hide a part of").first.click()
    page.wait_for_selector(".outcome:not(:empty)")


def server(page: Page) -> None:
    """The administrator's page while runs wait, once the disk was counted."""
    under_way(page)
    for stride in (8, 16):
        page.goto(urljoin(page.url, f"/visualizations/occlusion?window=48&stride={stride}"))
        page.click("button.primary")
        page.wait_for_selector("#live")
    page.goto(urljoin(page.url, "/admin"))
    page.wait_for_selector("dd:has-text('being counted')", state="detached")


def without_the_token(page: Page) -> None:
    """Back to the start, as somebody whom nobody let in."""
    page.context.clear_cookies()
    page.goto(urljoin(page.url, "/"))


# Every page, by the name of its picture, in this order: what is added here is in the docs.
PAGES: dict[str, Visit] = {
    "start": at("/"),
    "settings": at("/visualizations/occlusion?window=48&stride=12"),
    "pictures": at("/visualizations/occlusion/pictures?window=48&stride=12"),
    "occlusion": result("occlusion?window=48&stride=12"),
    "saliency": result("saliency"),
    "class-probabilities": result("class-probabilities"),
    "class-activation": result("class-activation"),
    "random-masks": result("random-masks"),
    "feature-maps": result("feature-maps"),
    "trust": result("trust"),
    "what-if": by_hand,
    "compare": at("/compare"),
    "compare-with": compare_with,
    "side-by-side": side_by_side,
    "running": under_way,
    "runs": at("/runs"),
    "model": at("/model"),
    "server": server,
    "rest": at("/api/v1/docs"),
    "error": at("/nothing-here"),
}

# The page for those who have not opened the link with the token.
OF_A_STRANGER: dict[str, Visit] = {"closed": without_the_token}

# The pages of a training, which the example with checkpoints has.
OF_A_TRAINING: dict[str, Visit] = {"time-line": through_a_training}


def keep(page: Page, name: str) -> None:
    """Saves what is visible, in light and in dark."""
    for scheme, ending in (("light", ""), ("dark", "-dark")):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        picture = Image.open(BytesIO(page.screenshot(caret="initial"))).convert("RGB")
        picture.save(OUT / f"{name}{ending}.jpg", quality=84, optimize=True, progressive=True)


def main(names: list[str]) -> None:
    """All pictures, or those named, one after the other."""
    names = names or [*PAGES, *OF_A_STRANGER, *OF_A_TRAINING]
    OUT.mkdir(parents=True, exist_ok=True)
    take({name: visit for name, visit in PAGES.items() if name in names})
    take({name: visit for name, visit in OF_A_STRANGER.items() if name in names}, ACCESS_TOKEN=TOKEN)
    if not OF_A_TRAINING.keys() & names:
        return
    with tempfile.TemporaryDirectory() as folder:
        data = ["--data", str(DIGITS)] if DIGITS.exists() else []
        train = [sys.executable, str(TRAINING / "train.py"), "--out", folder, *data]
        subprocess.run(train, check=True)  # noqa: S603 - our own script
        config = {"SETTINGS": str(TRAINING / "config.py"), "MODEL_CHECKPOINTS": folder}
        take({name: visit for name, visit in OF_A_TRAINING.items() if name in names}, **config)


def take(pages: dict[str, Visit], **settings: str) -> None:
    """Some pages of one server, which has these settings."""
    if not pages:
        return
    with running_app(**settings) as (browser, address):
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        begin(page, address, samples=3)
        for name, visit in pages.items():
            visit(page)
            keep(page, name)


if __name__ == "__main__":
    main(sys.argv[1:])
