import numpy as np
import pytest

from segjax.explore import plotting
from tests.explore.figures import pixels_of

RAMP = np.linspace(-1, 3, 20).reshape(4, 5)


def bars(figure):
    return [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]


def test_values_get_a_bar_classes_and_colours_do_not():
    images = {
        "values": RAMP,
        "classes": np.arange(20).reshape(4, 5) % 3,
        "colours": np.full((4, 5, 3), 0.5),
    }
    figure = plotting.image_row(images, label="pixels", outline=images["classes"], point=(2.5, 1.5))
    assert len(bars(figure)) == 1
    drawn = dict(zip(images, figure.axes, strict=False))
    assert drawn["values"].images[0].get_clim() == (-1, 3)
    assert [axes.get_title() for axes in drawn.values()] == list(images)
    for axes in drawn.values():
        np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[2, 1]])
    assert pixels_of(figure).std() > 10


def test_signed_values_are_centred_and_ranges_can_be_shared():
    figure = plotting.image_row({"a": RAMP, "b": 2 * RAMP}, signed=True)
    for axes, limit in zip(figure.axes, (3, 6), strict=False):
        low, high = axes.images[0].get_clim()
        assert low == -high and high == pytest.approx(limit, rel=0.05)
    assert len(bars(figure)) == 2
    figure = plotting.image_row({"a": RAMP, "b": 2 * RAMP}, shared=True, label="loss")
    assert len(bars(figure)) == 1 and bars(figure)[0].get_ylabel() == "loss"
    assert {axes.images[0].get_clim() for axes in figure.axes[:2]} == {(-2, 6)}


def test_rows_wrap_and_a_flat_image_is_drawn():
    images = {str(index): np.zeros((3, 3)) for index in range(5)}
    figure = plotting.image_row(images, signed=True, columns=3)
    shown = [axes for axes in figure.axes if axes.get_visible() and axes.images]
    assert len(shown) == 5
    assert pixels_of(figure).shape[2] == 3


def test_curves_can_be_told_apart():
    styles = [plotting.style_of(index) for index in range(14)]
    assert len({(style["color"], style["linestyle"]) for style in styles}) == 14
