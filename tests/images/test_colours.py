"""Maps as pictures: ends of the range, opacity, missing values."""

from __future__ import annotations

import cmap
import numpy as np
import pytest
from PIL import Image

from picasso.images.colours import BAR_SIZE, COLOURS, DIVERGING, FULL_FROM, LEVELS, SEQUENTIAL, bar, draw, table


def pixels(values, low, high, colours="inferno"):
    return np.asarray(draw(np.asarray(values, np.float32), low, high, colours))


@pytest.mark.parametrize("name", COLOURS)
def test_tables_have_the_colours_of_their_source(name):
    expected = np.asarray(cmap.Colormap(COLOURS[name])(np.linspace(0, 1, LEVELS)))[:, :3] * 255
    assert table(name).shape == (LEVELS, 4)
    np.testing.assert_allclose(table(name)[:, :3], expected, atol=0.5)


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_sequential_maps_become_opaque_with_the_value(name):
    opacity = table(name)[:, 3].astype(int)
    assert (opacity[0], opacity[-1]) == (0, 255)
    assert (np.diff(opacity) >= 0).all()
    assert opacity[51] == round(51 / 255 / FULL_FROM * 255)  # a fifth of the range: a third of the opacity


@pytest.mark.parametrize("name", DIVERGING)
def test_diverging_maps_are_transparent_in_the_middle(name):
    opacity = table(name)[:, 3].astype(int)
    assert (opacity[0], opacity[-1]) == (255, 255)
    assert opacity[127:129].max() <= 2
    np.testing.assert_array_equal(opacity, opacity[::-1])


def test_draw_maps_the_range_to_the_ends():
    colours = table("inferno")
    result = pixels([[2, 4, 3]], 2, 4)
    np.testing.assert_array_equal(result, [[colours[0], colours[255], colours[128]]])  # 127.5 rounds to even


def test_values_beyond_the_range_take_the_end_colours():
    colours = table("vik")
    np.testing.assert_array_equal(pixels([[-9, 9]], -1, 1, "vik"), [[colours[0], colours[255]]])


def test_values_that_are_missing_are_transparent():
    result = pixels([[np.nan, np.inf, -np.inf, 1]], 0, 1)
    assert result[0, :3].tolist() == [[0, 0, 0, 0]] * 3
    assert result[0, 3, 3] == 255


@pytest.mark.parametrize(("low", "high"), [(5, 5), (5, 4)])
def test_an_empty_range_gives_the_lowest_colour(low, high):
    np.testing.assert_array_equal(pixels([[5, 6]], low, high), [[table("inferno")[0]] * 2])


def test_draw_keeps_the_shape():
    image = draw(np.zeros((3, 5)), 0, 1, "magma")
    assert (image.mode, image.size) == ("RGBA", (5, 3))


def test_an_unknown_colour_map_is_an_error():
    with pytest.raises(KeyError, match="jet"):
        draw(np.zeros((1, 1)), 0, 1, "jet")


def test_bar_runs_from_low_to_high():
    image = bar("viridis")
    assert isinstance(image, Image.Image)
    assert (image.mode, image.size) == ("RGBA", BAR_SIZE)
    for row in np.asarray(image):
        np.testing.assert_array_equal(row, table("viridis"))


@pytest.mark.parametrize("name", COLOURS)
def test_a_map_that_is_the_same_everywhere_is_neither_low_nor_high(name):
    expected = table(name)[round(0.5 * (LEVELS - 1))] if name in DIVERGING else table(name)[0]
    assert (np.asarray(draw(np.zeros((2, 3)), 0, 0, name)) == expected).all()
