"""Makes the pictures on the cards of the start page from the running app: `python tools/cards.py [name ...]`."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from running_app import begin, run, running_app

from picasso.visualizations.discovery import discover

OUT = Path(__file__).parent.parent / "picasso" / "visualizations"
SIZE = (640, 400)  # twice what a card shows
MAP = "picasso-map, .stage"
# What is run; which part of its page is shown; of that, which share of its width, from how far left and down.
PARTS = {
    "class-activation": ("class-activation", MAP, 1.0, (0.5, 0.3)),
    "class-probabilities": ("class-probabilities", ".results .result", 1.0, (0.5, 0.74)),
    "feature-maps": ("feature-maps?channels=14", ".channels", 0.49, (0.0, 0.0)),
    "occlusion": ("occlusion?window=48&stride=8", MAP, 1.0, (0.5, 0.3)),
    "random-masks": ("random-masks?masks=2000", MAP, 1.0, (0.5, 0.3)),
    "saliency": ("saliency?method=SmoothGrad", MAP, 1.0, (0.5, 0.3)),
    "what-if": ("what-if?fill=grey&region=75,55,62,62", ".pair figure:last-child img", 1.0, (0.5, 0.3)),
    "trust": ("trust?methods=gradient,Grad-CAM&steps=20&maps=5", ".chart", 1.0, (0.5, 1.0)),
}


def cut(shown: Image.Image, share: float, place: tuple[float, float]) -> Image.Image:
    """A part of a picture in the shape of a card's."""
    width = min(shown.width * share, shown.height * SIZE[0] / SIZE[1])
    height = width * SIZE[1] / SIZE[0]
    left, top = (shown.width - width) * place[0], (shown.height - height) * place[1]
    return shown.convert("RGB").resize(SIZE, box=(left, top, left + width, top + height))


def main(names: list[str]) -> None:
    """One picture for each built-in visualization, or for those named."""
    classes = discover(frameworks=False).visualizations
    with running_app() as (browser, address):
        page = browser.new_page(viewport={"width": 1000, "height": 900}, device_scale_factor=2)
        begin(page, address, samples=1)
        for name in names or PARTS:
            path, part, share, place = PARTS[name]
            run(page, path)
            shown = page.locator(part).locator("visible=true").first.screenshot(caret="initial")
            picture = cut(Image.open(BytesIO(shown)), share, place)
            picture.save(OUT / f"{classes[name].__name__}.webp", quality=80, method=6)


if __name__ == "__main__":
    main(sys.argv[1:])
