"""An explanation as a notebook shows it: one piece of HTML, with its pictures in it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from markupsafe import Markup
from PIL import Image

from picasso.images.reading import encode_png

if TYPE_CHECKING:
    from picasso.local.explanation import Explanation

MOST_MAPS = 24  # that are drawn, as many as feature maps has channels unless told; the rest is counted
FIGURE = Markup(
    '<figure style="display: inline-block; margin: 0 1em 1em 0"><img src="data:image/png;base64,{}" alt="{}" '
    'style="image-rendering: pixelated; width: {}px; max-width: 100%"><figcaption>{}</figcaption></figure>'
)
SMALLEST = 224  # pixels that a picture is wide, at least


def as_html(explanation: Explanation) -> str:
    """The title, each map over the picture under the name of its class, other pictures, and the scores."""
    title = f"{explanation.run['visualization']['title']}: {explanation.filename}"
    rest = len(explanation.maps) - MOST_MAPS
    return str(
        Markup("<div><p><strong>{}</strong></p>{}{}{}</div>").format(
            title,
            Markup("").join(_figure(picture, caption) for caption, picture in _pictures(explanation)),
            Markup("<p>and {} more maps: maps, overlay(name)</p>").format(rest) if rest > 0 else "",
            _classes(explanation),
        )
    )


def _pictures(explanation: Explanation) -> Iterator[tuple[str, Image.Image]]:
    """What is shown, each with what stands below it; what the model saw where no map lies over it."""
    if not explanation.maps:
        yield "what the model saw", explanation.view
    for name in islice(explanation.maps, MOST_MAPS):
        yield explanation.found.labels.get(f"{name}.npy", name), explanation.overlay(name)
    yield from ((name, picture) for name, picture in explanation.pictures.items() if name != "view")


def _classes(explanation: Explanation) -> Markup:
    if not explanation.predictions:
        return Markup("<p>It lists no classes. What it found is in <code>content</code>.</p>")
    rows = [
        Markup("<tr><td>{}</td><td>{:.4g}</td></tr>").format(one.label, one.score) for one in explanation.predictions
    ]
    return Markup("<table><tr><th>class</th><th>{}</th></tr>{}</table>").format(
        explanation.run["model"]["score_kind"], Markup("").join(rows)
    )


def _figure(picture: Image.Image, caption: str) -> Markup:
    data = b64encode(encode_png(picture)).decode("ascii")
    return FIGURE.format(data, caption, max(SMALLEST, picture.width), caption)
