import numpy as np
import pytest

from segjax.errors import UserError
from segjax.explore import shapes
from segjax.explore.loss_text import label_of, parse_loss
from tests.explore.figures import pixels_of

SMALL = {"size": 32, "radius": 6.0}


def test_the_perfect_member_is_the_truth():
    for kind in shapes.KINDS:
        members = shapes.family(kind, **SMALL)
        index = int(np.argmin(np.abs(members.parameter - members.perfect)))
        assert members.parameter[index] == members.perfect
        predicted = members.logits[index].argmax(axis=-1)
        np.testing.assert_array_equal(predicted, members.labels[index])
        assert members.logits.shape == (33, 32, 32, 2) and members.labels.dtype == np.int32


def test_areas_follow_the_parameter():
    def areas(kind):
        members = shapes.family(kind, size=64, radius=12.0)
        return members.parameter, (members.logits[..., 1] > 0).sum(axis=(1, 2))

    disc = np.pi * 12**2
    _, shifted = areas("shift")
    np.testing.assert_allclose(shifted, disc, rtol=0.02)
    radius, grown = areas("grow")
    np.testing.assert_allclose(grown, np.pi * radius**2, atol=16)
    radius, holed = areas("hole")
    np.testing.assert_allclose(holed, disc - np.pi * radius**2, atol=16)


def test_overlap_is_blind_beyond_contact():
    members = shapes.family("shift", size=64, radius=12.0, steps=19)
    values = shapes.values_over(parse_loss("dice"), members)
    assert values.shape == (19,) and np.argmin(values) == 0
    apart = members.parameter > 26
    assert apart.sum() > 3 and np.ptp(values[apart]) < 1e-4 < np.ptp(values[~apart])


def test_the_best_radius_is_the_true_one_and_a_hole_always_costs():
    for name in ("dice", "cross_entropy"):
        grown = shapes.family("grow", **SMALL)
        best = grown.parameter[np.argmin(shapes.values_over(parse_loss(name), grown))]
        assert abs(best - grown.perfect) <= 0.4
        values = shapes.values_over(parse_loss(name), shapes.family("hole", **SMALL))
        assert (np.diff(values) > -1e-6).all() and values[-1] > 2 * values[0]


def test_descent_is_minus_the_gradient():
    members = shapes.family("shift", **SMALL, steps=3)
    found = shapes.descent(parse_loss("cross_entropy"), members.logits, members.labels)
    object_ = 1 / (1 + np.exp(members.logits[..., 0] - members.logits[..., 1]))
    np.testing.assert_allclose(found, (members.labels - object_) / 32**2, atol=1e-8)


def test_normalised():
    np.testing.assert_allclose(shapes.normalised(np.array([-3.0, -1.0, 1.0])), [0, 0.5, 1])
    np.testing.assert_array_equal(shapes.normalised(np.full(3, 7.0)), np.zeros(3))


@pytest.mark.parametrize(
    "kind, options, word",
    [
        ("turn", {}, "'turn'"),
        ("shift", {"radius": 17.0}, "radius 17"),
        ("shift", {"radius": 1.0}, "radius 1"),
        ("grow", {"steps": 1}, "steps=1"),
    ],
)
def test_families_that_cannot_be(kind, options, word):
    with pytest.raises(UserError, match=word):
        shapes.family(kind, **options)


@pytest.mark.parametrize("kind", shapes.KINDS)
def test_the_figure_has_a_curve_for_each_loss(kind):
    terms = [
        parse_loss("dice"),
        parse_loss("focal:gamma=3"),
        parse_loss("tversky:alpha=0.3,beta=0.7"),
    ]
    figure = shapes.shapes_figure(terms, kind, **SMALL, steps=9)
    *strips, panel = figure.axes
    assert len(strips) == 5
    curves = [line for line in panel.lines if len(line.get_xdata()) == 9]
    assert [line.get_label() for line in curves] == [label_of(term) for term in terms]
    for line in curves:
        assert line.get_ydata().min() == 0 and line.get_ydata().max() == 1
    assert "pixels" in panel.get_xlabel()
    assert pixels_of(figure).std() > 10


def test_labels_say_what_was_chosen():
    assert label_of(parse_loss("dice")) == "dice"
    assert label_of(parse_loss("focal:gamma=3")) == "focal, gamma 3"


@pytest.mark.parametrize(
    "text, words",
    [
        ("dcie", ["'dcie'", "did you mean 'dice'?"]),
        ("dice:smoth=1", ["smoth", "did you mean 'smooth'?"]),
        ("dice:squared", ["option=value", "'squared'"]),
        ("focal:gamma=-1", ["'focal:gamma=-1'", "`gamma`"]),
        ("triplet", ["anchor", "logits, labels and maps"]),
        ("coordinate_mean_squared_error", ["heatmap"]),
    ],
)
def test_losses_that_cannot_be_chosen(text, words):
    with pytest.raises(UserError) as caught:
        parse_loss(text)
    for word in words:
        assert word in str(caught.value)


def test_a_loss_of_ones_own_is_chosen_by_module_and_name():
    term = parse_loss("segjax.losses:tversky:alpha=0.3,beta=0.7")
    assert label_of(term) == "segjax.losses:tversky, alpha 0.3, beta 0.7"
    assert parse_loss("segjax.losses:dice").function is parse_loss("dice").function
