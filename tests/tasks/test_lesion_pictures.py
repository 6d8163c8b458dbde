"""Figures of lesion segmentation: the points of curves, and which photographs are shown."""

import numpy as np
import pytest

from segjax.tasks.lesions import metrics, pictures
from segjax.tasks.patch_refinement.pictures import mistakes_figure


def columns(cases=4, seed=0, lesions=True):
    """Falling counts at rising thresholds, as a table of photographs has them."""
    generator = np.random.default_rng(seed)
    pixels = np.full(cases, 1000.0)
    positives = generator.integers(5, 50, cases).astype(float) * lesions
    found = {"positives": positives, "pixels": pixels}
    for kind, most in (("tp", positives), ("fp", pixels - positives)):
        for number, name in enumerate(metrics.names(kind, metrics.THRESHOLDS)):
            found[name] = np.floor(most * (1 - number / len(metrics.THRESHOLDS)) ** 2)
    found["lesions"] = np.floor(positives / 5)
    for number, score in enumerate(metrics.SCORES):
        share = 1 - number / len(metrics.SCORES)
        (hit,), (wrong,) = metrics.names("found", [score]), metrics.names("false", [score])
        found[hit] = np.floor(found["lesions"] * share)
        found[wrong] = np.full(cases, np.floor(40 * share))
    return found


def test_the_curve_is_of_pooled_pixels_with_its_dot_at_one_half():
    table = columns()
    recall, precision, at = pictures.curve(table)
    for k in range(33):
        right, false = (table[f"{kind}_{k / 32:g}"].sum() for kind in ("tp", "fp"))
        assert recall[k] == pytest.approx(right / table["positives"].sum())
        if right + false:
            assert precision[k] == pytest.approx(right / (right + false))
        else:
            assert np.isnan(precision[k])  # and not drawn
    assert metrics.GREY[at] == 0.5
    figure = pictures.curve_figure({"one": table, "two": columns(seed=1)})
    (axes,) = figure.axes
    drawn = axes.get_lines()
    np.testing.assert_allclose(drawn[0].get_xydata(), np.column_stack([recall, precision]))
    np.testing.assert_allclose(drawn[1].get_xydata(), [[recall[at], precision[at]]])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"]


def test_a_split_without_lesions_has_an_empty_curve():
    recall, _, _ = pictures.curve(columns(lesions=False))
    assert np.isnan(recall).all()
    assert pictures.curve_figure({"": columns(lesions=False)}).get_label()
    assert pictures.ranked(columns(lesions=False)) == {}


def test_the_best_a_middle_and_the_worst_are_those_of_photographs_with_lesions():
    table = columns(5)
    table["positives"] = np.array([10.0, 0.0, 10.0, 10.0, 10.0])
    table["tp_0.5"] = np.array([5.0, 0.0, 9.0, 1.0, 5.0])
    table["fp_0.5"] = np.array([0.0, 0.0, 0.0, 5.0, 3.0])
    assert pictures.ranked(table) == {"best": 2, "middle": 4, "worst": 3}


def test_lesions_found_over_false_ones_a_photograph():
    table = columns()
    (axes,) = pictures.found_figure({"one": table}).axes
    (line,) = axes.get_lines()
    right, wrong = (
        [0.0] + [table[name].sum() for name in metrics.names(kind, metrics.SCORES[::-1])]
        for kind in ("found", "false")
    )
    false, found = line.get_xydata().T
    assert false[0] == 0 and false[-1] == max(8, wrong[-1] / 4)
    np.testing.assert_allclose(
        found, np.interp(false, np.array(wrong) / 4, right) / table["lesions"].sum()
    )
    # As on the curve of the metric, whose mean at seven rates is FROC
    rates = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8]
    (froc, _) = metrics.of_lesions("overlap")
    drawn = np.mean(np.interp(rates, false, found))
    assert drawn == pytest.approx(froc.statistic(*(table[n] for n in froc.columns)), abs=1e-3)


def test_rows_that_differ_in_fusion_share_a_colour():
    names = ["HGN 1x", "PRN geometric", "PRN arithmetic", "cls arithmetic"]
    for figure in (pictures.curve_figure, pictures.found_figure):
        lines = figure(dict.fromkeys(names, columns())).axes[0].get_legend().get_lines()
        assert [line.get_color() for line in lines] == ["C0", "C1", "C1", "C2"]
        assert [line.get_linestyle() for line in lines] == ["-", "-", "--", "-"]


def test_where_nothing_false_is_found_there_is_a_line():
    table = columns()
    for name in metrics.names("false", metrics.SCORES):
        table[name] = np.zeros(4)
    (line,) = pictures.found_figure({"one": table}).axes[0].get_lines()
    false, found = line.get_xydata().T
    assert false[0] == 0 and false[-1] == 8 and np.all(found == 1)


@pytest.mark.parametrize("size", [(60, 80), (1200, 500), (1, 1)])
def test_photographs_are_shown_whole_and_close(size):
    image = np.full((*size, 3), 90, np.uint8)
    true, probability = np.zeros(size, np.uint8), np.zeros(size, np.float32)
    true[size[0] // 2, size[1] // 2] = 1
    probability[0, 0] = 1.0
    figure = pictures.cases_figure({"best: a": (image, true, probability)})
    above, below = figure.axes
    assert max(above.get_images()[0].get_array().shape[:2]) == min(max(size), pictures.SHOWN)
    close = min(*size, pictures.CLOSE)
    assert below.get_images()[0].get_array().shape == (close, close, 3)
    assert above.get_title() == "best: a"


def test_mistakes_are_shown_with_a_cross_on_the_pixel_that_is_judged():
    patch = np.zeros((9, 7, 3), np.uint8)
    figure = mistakes_figure([("a", 0.1, patch)] * 3, [("b", 0.9, patch)])
    assert len(figure.axes) == 6
    assert figure.axes[0].get_lines()[0].get_xydata().tolist() == [[3, 4]]
    shown = [len(axes.get_images()) for axes in figure.axes]
    assert shown == [1, 1, 1, 1, 0, 0]
    assert mistakes_figure([], []).axes


def test_candidates_all_over_a_photograph_are_remarked_on():
    table = columns()
    (line,) = metrics.remarks(table)[-1:]
    share = np.sum(table["tp_0.1"] + table["fp_0.1"]) / 4000
    assert share > 0.1 and f"cover {100 * share:.0f} % of all pixels" in line
    assert "FROC" not in " ".join(
        metrics.remarks(table | {"tp_0.1": np.zeros(4), "fp_0.1": np.full(4, 99.0)})
    )
    pixels = {name: table[name] for name in metrics.PIXELS}
    assert "FROC" not in " ".join(metrics.remarks(pixels))
