"""What result pages say of a map: how it is read, where it was tried, and what is odd about it."""

from __future__ import annotations

from io import BytesIO

import pytest
from browsing import Visitor
from PIL import Image

from picasso.numbers import counted, percent

TEST = "a cup of espresso beside a camera on a tripod, in one picture"


def result(visitor: Visitor, name: str, *images: str, **settings: object) -> str:
    """The text of a result page, each space one."""
    run = visitor.start(name, *images, **settings)
    return " ".join(visitor.page(f"/runs/{run.id}/").text.split())


def plain_picture(grey: int) -> bytes:
    stream = BytesIO()
    Image.new("L", (28, 28), grey).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("name", ["class-activation", "occlusion", "random-masks", "saliency"])
def test_every_map_says_what_it_explains_what_it_cannot_tell_and_where_it_was_tried(
    visitor: Visitor, name: str
) -> None:
    text = result(visitor, name)
    for part in (
        "Explainsthe ",
        "Valuessigned" if name in ("occlusion", "random-masks") else "Valueswithout sign",
        "What it cannot tell.",
        f"Tried with EfficientNet-Lite0 and the default settings on {TEST}:",
        "Where the method comes from:",
    ):
        assert part in text, part


def test_figures_are_those_of_the_settings(visitor: Visitor) -> None:
    black, white, blur = (
        result(visitor, "saliency", method="integrated gradients", baseline=baseline)
        for baseline in ("black", "white", "blur")
    )
    failed = "It failed with baseline white (70 % and 49 % in their own halves)."
    assert "and the default settings on" in black
    assert "65 % of its positive values" in black
    assert failed in black
    assert "Tried with EfficientNet-Lite0 and baseline white on" in white
    assert "49 % of those for “tripod” in the camera's. Chance is 50 %: it failed this test." in white
    assert "It failed" not in white
    assert "It also failed" not in white
    assert "Tried with" not in result(visitor, "saliency", method="integrated gradients", points=17)
    assert "62 % of its positive values" in blur


def test_settings_that_were_not_tried_have_no_figures_but_those_that_failed(visitor: Visitor) -> None:
    text = result(visitor, "occlusion", window=9)
    assert "Not tried with window 9 px. The test was made with EfficientNet-Lite0 and the default settings:" in text
    assert "of its positive values" not in text
    text = result(visitor, "saliency", method="integrated gradients", points=17, gap=0.5)
    assert "Not tried with points 17, gap 0.5." in text
    assert "the default settings, baseline grey, baseline white, baseline mean or baseline blur:" in text
    assert "It failed with baseline white (70 % and 49 % in their own halves)." in text


def test_an_empty_occlusion_map_says_so(visitor: Visitor) -> None:
    visitor.upload(("black.png", plain_picture(0)), ("white.png", plain_picture(255)))
    black, white = (image.id for image in visitor.services.store.images(visitor.session))
    empty = "The map is empty: no window changed the probability."
    assert empty in result(visitor, "occlusion", black, fill="black")
    assert empty not in result(visitor, "occlusion", white, fill="black")


def test_one_is_said_as_one(visitor: Visitor) -> None:
    text = result(visitor, "occlusion", window=28, stride=28)
    assert "· 1 position ·" in text
    text = result(visitor, "saliency", method="SmoothGrad", samples=1, noise=0)
    assert "The mean of the gradients at 1 noisy copy." in text
    assert "whatever the noise" not in text


def test_a_number_and_its_sign_stay_in_one_line(visitor: Visitor) -> None:
    run = visitor.start("saliency")
    html = visitor.get(f"/runs/{run.id}/").get_data(as_text=True)
    assert "60\N{NO-BREAK SPACE}% of its positive values" in html
    assert " %" not in html


@pytest.mark.parametrize(
    ("share", "written"), [(0.123, "12 %"), (1, "100 %"), (None, "–"), (float("nan"), "–"), (float("inf"), "–")]
)
def test_a_share_as_it_is_written(share: float | None, written: str) -> None:
    assert percent(share).replace("\N{NO-BREAK SPACE}", " ") == written


def test_counts_as_they_are_written() -> None:
    assert [counted(1, "map"), counted(1000, "map"), counted(0, "copy", "copies")] == [
        "1 map",
        "1,000 maps",
        "0 copies",
    ]
