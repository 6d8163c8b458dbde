"""Truth and prediction over an image: told apart, and where they belong."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from segjax.tasks.segmentation import Segmentation, pictures
from segjax.tasks.volume_segmentation import VolumeSegmentation
from segjax.tasks.volume_segmentation import pictures as volumes

pytestmark = pytest.mark.pictures
TRUE = np.zeros((8, 10), int)
TRUE[2:5, 3:7] = 1
FOUND = np.zeros((8, 10), int)
FOUND[1:3, 1:4], FOUND[6, 8] = 1, 2  # a part, and a single pixel


def outlines(axes):
    """The corners of every outline, and how they are drawn."""
    return [
        (path.vertices, contour.get_linewidth()[0], contour.get_linestyle()[0])
        for contour in axes.collections
        for path in contour.get_paths()
    ]


def check(axes, height, width):
    """The fill is where the annotation is, lines go around what is predicted, both in place."""
    image, filled = axes.images
    assert tuple(image.get_extent()) == tuple(filled.get_extent()) == (0, width, height, 0)
    np.testing.assert_array_equal(filled.get_array()[..., 3] > 0, TRUE == 1)
    assert 0 < filled.get_array()[..., 3].max() < 1
    found = outlines(axes)
    assert len(found) == 2
    for (corners, thick, style), (rows, columns) in zip(
        found, (((1, 3), (1, 4)), ((6, 7), (8, 9))), strict=True
    ):
        assert thick < 1 and style[1] is None  # thin, without gaps
        assert [corners[:, 0].min(), corners[:, 0].max()] == list(columns)
        assert [corners[:, 1].min(), corners[:, 1].max()] == list(rows)


def test_slices_of_volumes():
    image = np.random.default_rng(0).normal(size=(1, 8, 10))
    drawn = volumes.cases_figure([("a", image, TRUE[None], FOUND[None])], ("one", "two"))
    check(drawn.axes[0], 8, 10)
    assert "annotated structures filled" in drawn.get_label() and "mean Dice" in drawn.get_label()
    assert "dashed" not in drawn.get_label()
    alone = volumes.cases_figure([("a", image, None, FOUND[None])], ("one", "two"))
    assert len(alone.axes[0].images) == 1 and len(outlines(alone.axes[0])) == 2
    assert [text.get_text() for text in alone.legends[0].texts] == ["predicted", "one", "two"]


def test_photographs_and_their_colours():
    image = np.full((8, 10, 3), 90, np.uint8)
    several = pictures.cases_figure([("a", image, TRUE, FOUND)], ("one", "two"), "mean Dice")
    check(several.axes[0], 8, 10)
    alone = pictures.cases_figure([("a", image, TRUE, FOUND > 1)], ("one",), "Dice one")
    filled = alone.axes[0].images[1].get_array()
    assert tuple(filled[3, 4][:3]) == to_rgba(pictures.SHOWN["annotated"])[:3]
    line = alone.axes[0].collections[0].get_edgecolor()[0]
    assert tuple(line) == to_rgba(pictures.SHOWN["predicted"])
    assert "the lowest Dice one: masks as they were drawn filled" in alone.get_label()


def test_the_loss_is_told_from_one_less_dice():
    photographs = Segmentation(targets=("vessel",)).explained["loss"]
    assert "probabilities at the network's input size, and not of the masks" in photographs
    assert "1 - Dice is another number" in photographs
    volume = VolumeSegmentation().explained["loss"]
    assert "2-D patches in the resampled grid" in volume and "1 - Dice is another" in volume


def test_what_is_said_of_sizes_follows_the_size_of_patches():
    task = Segmentation(targets=("vessel",), full_size=(384, 400), image_size=(64, 64))
    told = " ".join(metric.description for metric in task.metrics) + str(task.explained)
    assert "network's input" not in told and "at 384 x 400 pixels" in told
    assert "at 384 x 400 pixels, of patches in training" in task.explained["loss"]
    assert "task_options.full_size" not in told
    small = {metric.name: metric.description for metric in Segmentation().metrics}
    assert "`task_options.full_size`" in small["limit"]
    for description in (small["dice"], small["jaccard"]):
        assert description.endswith("in validations during training at the network's input size.")
