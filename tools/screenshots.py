"""Takes the pictures of README and docs from the running app, on the real model: `make screenshots`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from find_chromium import find
from PIL import Image
from playwright.sync_api import Page, sync_playwright

OUT = Path(__file__).parent.parent / "docs" / "images"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
WIDTH, HEIGHT = 1280, 860


def serve(data: str) -> tuple[subprocess.Popen[str], str]:
    """A server of its own, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "picasso", "serve", "--port", "0"],
        env=os.environ | {"PICASSO_DATA_DIR": data},
        stdout=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline() if process.stdout else ""
    found = re.search(r"http://\S+", line)
    if found is None:
        sys.exit(f"The server did not start: {line}")
    return process, found[0].rstrip("/")


def keep(page: Page, name: str) -> None:
    """Saves what is visible."""
    picture = Image.open(BytesIO(page.screenshot(caret="initial"))).convert("RGB")
    picture.save(OUT / f"{name}.jpg", quality=88, optimize=True)


def run(page: Page, address: str, path: str) -> None:
    """Runs a visualization on all pictures of the tray and waits for its result."""
    page.goto(f"{address}/visualizations/{path}")
    page.click("button.primary")
    page.wait_for_selector(".about", timeout=120_000)
    page.wait_for_load_state("networkidle")


def main() -> None:
    """All pictures, one after the other."""
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        process, address = serve(data)
        try:
            browser = playwright.chromium.launch(executable_path=find(), args=FLAGS)
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            page.goto(address)
            page.wait_for_selector(".dot.ready", timeout=120_000)
            for number in range(3):
                page.click(f".samples button >> nth={number}")
            keep(page, "start")
            page.goto(f"{address}/visualizations/occlusion?window=48&stride=12")
            keep(page, "settings")
            run(page, address, "occlusion?window=48&stride=12")
            keep(page, "occlusion")
            run(page, address, "saliency")
            keep(page, "saliency")
            run(page, address, "class-probabilities")
            keep(page, "class-probabilities")
            for name in ("class-activation", "random-masks", "feature-maps", "trust"):
                run(page, address, name)
                keep(page, name)
            page.goto(f"{address}/model")
            keep(page, "model")
            browser.close()
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    main()
