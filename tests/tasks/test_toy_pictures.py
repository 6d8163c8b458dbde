import functools

import cv2
import numpy as np
import pytest

from segjax import files
from segjax.tasks.localization import toy

pytestmark = pytest.mark.pictures


@functools.cache
def paper():
    return toy.toy_losses()


def test_the_panels_of_the_paper():
    values = paper()
    assert list(values) == ["mse", "sce", "msce_4", "msce_8"]
    for curve in values.values():
        assert curve.shape == (256,)
        assert curve.max() == 1 and curve[70] == pytest.approx(0, abs=1e-6)
        assert np.argmin(curve) == 70


def test_the_squared_error_is_a_parabola():
    wanted = ((np.arange(256) - 70) / (255 - 70)) ** 2
    np.testing.assert_allclose(paper()["mse"], wanted, atol=1e-5)


@pytest.mark.parametrize("name, scales", [("sce", 1), ("msce_4", 4), ("msce_8", 8)])
def test_the_multiscale_losses_are_dyadic_staircases(name, scales):
    missed = [sum(j >> m != 70 >> m for m in range(scales)) for j in range(256)]
    assert len(set(missed)) == scales + 1
    np.testing.assert_allclose(paper()[name], np.array(missed) / scales, atol=1e-5)


def test_the_staircase_is_not_monotone_in_the_distance():
    # 63 and 64 lie in different halves of 0..127, so 63 costs more than 79, though it is nearer.
    assert paper()["msce_8"][63] > paper()["msce_8"][79]


def test_other_sizes_and_refusals():
    values = toy.toy_losses(16, 3)
    assert list(values) == ["mse", "sce", "msce_2", "msce_4"]
    for classes, target in ((12, 3), (4, 1), (16, 16), (16, -1)):
        with pytest.raises(ValueError, match="`"):
            toy.toy_losses(classes, target)


def test_the_figure_is_a_picture_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "toy.png"
    path.write_text("old")
    files.write_figure(path, toy.toy_figure(16, 3))
    picture = cv2.imread(str(path))
    assert picture.shape == (660, 990, 3)
    blue = (picture[..., 0] > 150) & (picture[..., 2] < 80)
    for rows in (slice(0, 330), slice(330, 660)):
        for columns in (slice(0, 495), slice(495, 990)):
            assert blue[rows, columns].sum() > 200, "a panel without its curve"
    assert [entry.name for entry in tmp_path.iterdir()] == ["toy.png"]
