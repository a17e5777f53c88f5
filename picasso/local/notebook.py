"""An explanation as a notebook shows it: one piece of HTML, with its pictures in it."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from markupsafe import Markup
from PIL import Image

from picasso.images.reading import encode_png

if TYPE_CHECKING:
    from picasso.local.explanation import Explanation

MOST_MAPS = 10  # that are drawn; the rest is counted
FIGURE = Markup(
    '<figure style="display: inline-block; margin: 0 1em 1em 0"><img src="data:image/png;base64,{}" alt="{}" '
    'style="image-rendering: pixelated; width: {}px; max-width: 100%"><figcaption>{}</figcaption></figure>'
)
SMALLEST = 224  # pixels that a picture is wide, at least


def as_html(explanation: Explanation) -> str:
    """The title, each map over the picture under the name of its class, and the scores."""
    title = f"{explanation.run['visualization']['title']}: {explanation.filename}"
    labels = explanation.found.labels
    names = list(explanation.maps)[:MOST_MAPS]
    figures = [_figure(explanation.overlay(name), labels.get(f"{name}.npy", name)) for name in names]
    rest = len(explanation.maps) - len(names)
    rows = [
        Markup("<tr><td>{}</td><td>{:.4g}</td></tr>").format(one.label, one.score) for one in explanation.predictions
    ]
    return str(
        Markup("<div><p><strong>{}</strong></p>{}{}<table><tr><th>class</th><th>{}</th></tr>{}</table></div>").format(
            title,
            Markup("").join(figures or [_figure(explanation.view, "what the model saw")]),
            Markup("<p>and {} more maps</p>").format(rest) if rest else "",
            explanation.run["model"]["score_kind"],
            Markup("").join(rows),
        )
    )


def _figure(picture: Image.Image, caption: str) -> Markup:
    data = b64encode(encode_png(picture)).decode("ascii")
    return FIGURE.format(data, caption, max(SMALLEST, picture.width), caption)
