"""Pictures and sentences of a localisation: true for its losses, its decoding and its sizes."""

import types

import numpy as np
import pytest

from segjax.errors import UserError
from segjax.ops import heatmap
from segjax.recipes.localization import localization_loss
from segjax.tasks.localization import Localization
from segjax.tasks.localization.decoding import DECODERS

pytestmark = pytest.mark.pictures
NAMES = ["a", "b", "c"]
TRUE = np.array([[10.0, 10.0], [20.0, 12.0], [30.0, 14.0]])
HEAT = np.random.default_rng(0).normal(0, 0.4, (1, 16, 16)).astype(np.float32)


def figures(task, terms, widths=(40, 40, 40)):
    """The figures of three photographs, whose heat map is the same."""
    point = np.asarray(task.predict({"logits": HEAT[..., None]})["points"])[0]
    sizes = np.array([(width, 24) for width in widths], np.float32)
    columns = np.concatenate([TRUE, point * sizes / 16], axis=1).T
    columns = dict(zip(task.columns[:4], columns, strict=True))

    def open_case(index):
        image = np.zeros((24, widths[index], 3), np.uint8)
        fields = {"image": np.zeros((1, 16, 16, 3), np.uint8), "size": sizes[[index]]}
        return image, fields, {"logits": HEAT[..., None]}

    found = task.case_figures(open_case, columns, NAMES, terms)
    return found, columns, point


def axes_of(figure):
    """The panels of positions, a row a scale."""
    return figure.subfigs[1].axes


@pytest.mark.parametrize(
    "word, rows, words",
    [
        ("msce", 4, ("softmax", "a row a scale", "of the finest scale alone.")),
        ("sce", 1, ("softmax", "most probable pixel of each axis.")),
        ("mse", 1, ("sigmoid", "weight in the centre of mass", "is the centre of mass")),
    ],
)
def test_axis_logits_are_those_of_the_loss_and_the_decoding(word, rows, words):
    terms, options = localization_loss(word)
    task = Localization(**options)
    found, columns, point = figures(task, terms)
    drawn = found["axis_logits"]
    assert len(axes_of(drawn)) == 2 * rows
    caption = drawn.get_label()
    assert all(text in caption for text in words) and "multiscale loss" not in caption
    assert DECODERS[task.decode].answer in caption
    assert ("a row a scale" in caption) == (rows > 1)
    for k, axes in enumerate(axes_of(drawn)):
        weights = np.array([bar.get_height() for bar in axes.patches])
        assert weights.sum() == pytest.approx(1)
        # The middle case by distance, in pixels of the network's input
        true, predicted = (line.get_xdata()[0] for line in axes.lines)
        ranked = np.argsort(np.linalg.norm(TRUE - point * np.array([40, 24]) / 16, axis=1))
        assert true == pytest.approx(TRUE[ranked[1], k % 2] * 16 / (40, 24)[k % 2])
        assert predicted == pytest.approx(point[k % 2], abs=1e-4)
    if word == "mse":
        places = np.arange(16) + 0.5
        for k, axes in enumerate(axes_of(drawn)):
            weights = np.array([bar.get_height() for bar in axes.patches])
            assert weights @ places == pytest.approx(point[k], abs=1e-4)
    shown = drawn.subfigs[0].axes[0].lines
    assert [line.get_color() for line in shown] == ["lime", "white"]
    np.testing.assert_allclose([v[0] for v in shown[1].get_data()], point, atol=1e-4)


def test_axis_logits_of_several_terms_of_none_and_of_agreement():
    terms = {"a": localization_loss("sce")[0]["sce"], "b": localization_loss("msce")[0]["msce"]}
    terms["b"].scales = 3
    assert len(axes_of(figures(Localization(), terms)[0]["axis_logits"])) == 6
    assert len(axes_of(figures(Localization(), {})[0]["axis_logits"])) == 2
    agreed = figures(Localization(decode="agreement"), {})[0]["axis_logits"]
    assert len(axes_of(agreed)) == 2 * heatmap.maximum_scales(16, 16)
    assert agreed.get_label().endswith("on which all scales agree most.")


def test_cases_have_the_width_of_their_photograph_and_of_a_pixel_of_the_input():
    found, _, _ = figures(Localization(), {})
    for axes in found["cases"].axes:
        assert axes.get_title().endswith(" px of 40 px width")
    told = "One pixel of the network's input is {} px wide and 1.5 px high there."
    assert told.format("2.5") in found["cases"].get_label()
    assert "distance in pixels" in found["cases"].get_label()
    different, _, _ = figures(Localization(), {}, widths=(40, 48, 44))
    assert told.format("2.5 to 3.0") in different["cases"].get_label()


@pytest.mark.parametrize("decode", DECODERS)
def test_how_exact_a_point_is_follows_from_its_decoding(decode):
    told = Localization(decode=decode, image_size=(64, 96)).explained
    assert "1/96 of the width and 1/64 of the height of a photograph" in told["resolution"]
    whole = decode in ("argmax", "agreement")
    assert ("a smaller distance is not resolved" in told["resolution"]) == whole
    assert (f"decoding by `{decode}` goes below one" in told["resolution"]) != whole
    assert ("the middle of a pixel of the" in told["predicted_x"]) == whole
    assert "where it is" not in told["predicted_x"]
    # As the words say
    points = np.asarray(DECODERS[decode].function(HEAT))
    assert (np.mod(points, 1) == 0.5).all() == whole


def table(true, predicted):
    rows = np.concatenate([true, predicted], axis=1).T
    return dict(zip(Localization().columns[:4], rows, strict=True))


def test_points_that_hardly_vary_are_remarked():
    generator = np.random.default_rng(0)
    true = np.array([300, 200]) + generator.normal(size=(40, 2)) * [33, 21]
    still = np.array([300, 200]) + generator.normal(size=(40, 2)) * [8, 3]
    task = Localization()
    sd = [np.std(points, axis=0, ddof=1) for points in (still, true)]
    pairs = ["{:.0f} x {:.0f} px".format(*pair) for pair in sd]
    said = f"Predicted points hardly vary: sd {pairs[0]}, annotated {pairs[1]}."
    assert task.remarks(table(true, still)) == [said]
    # Along one axis only, as far as those annotated, and of few cases
    assert task.remarks(table(true, np.stack([still[:, 0], true[:, 1]], axis=1))) == []
    assert task.remarks(table(true, true + 50)) == []
    assert task.remarks(table(true[:4], still[:4])) == []
    assert task.remarks(table(still, still)) == []
    unknown = np.where(np.arange(40)[:, None] < 36, np.nan, true)
    assert task.remarks(table(unknown, still)) == []
    assert task.remarks({"true_x": true[:, 0]}) == []
    assert "sd 0 x 0 px" in task.remarks(table(true, np.full_like(true, 100.0)))[0]


class Points:
    """A data set of points, some of them not annotated."""

    name = "eyes"

    def __init__(self, points):
        self.points = [np.array(point, np.float32) for point in points]

    def column(self, split, field):
        assert field == "fovea"
        return self.points


def test_photographs_without_the_point_are_left_out():
    nowhere = (np.nan, np.nan)
    experiment = types.SimpleNamespace(data=Points([(1, 2), nowhere, (3, 4), nowhere]))
    assert Localization().kept(experiment, "train") == [0, 2]
    experiment.data = Points([(1, 2), (3, 4)])
    assert Localization().kept(experiment, "train") is None
    experiment.data = Points([nowhere])
    message = "config.task_options.target='fovea': no photograph of the split 'test' of eyes has"
    with pytest.raises(UserError, match=message):
        Localization().kept(experiment, "test")
