"""A metric: a statistic of columns, of the cases that count, under its names."""

import numpy as np
import pytest

from segjax.metrics import statistics
from segjax.report.comparison import summary_of
from segjax.tasks.base import Evaluation
from segjax.tasks.metric import Metric, values_of

COLUMNS = {
    "score": np.array([0.1, 0.8, 0.6, 0.4], np.float32),
    "label": np.array([0, 1, 0, 1]),
    "distance_mm": np.array([1.0, np.nan, 3.0, 5.0]),
}
NAMES = ["a/left", "b/right", "c/left", "d/right"]


def test_of_takes_its_columns_in_its_order():
    auroc = Metric("auroc", ("score", "label"), statistics.roc_auc)
    assert auroc.of(COLUMNS) == 0.75
    assert Metric("other", ("label", "score"), lambda a, b: np.sum(a - b)).of(
        COLUMNS
    ) == pytest.approx(0.1)
    assert isinstance(auroc.of(COLUMNS), float)


def test_the_statistic_gets_float64():
    seen = []
    Metric("x", ("score", "label"), lambda *c: seen.extend(c) or 0.0).of(COLUMNS)
    assert [column.dtype for column in seen] == [np.float64] * 2


def test_only_some_cases_count():
    left = Metric("left", ("distance_mm",), cases="/left")
    assert left.of(COLUMNS, NAMES) == 2.0
    assert Metric("right", ("distance_mm",), cases="right").of(COLUMNS, NAMES) == 5.0
    assert np.isnan(Metric("none", ("distance_mm",), cases="/up").of(COLUMNS, NAMES))
    assert left.counted(NAMES).tolist() == [True, False, True, False]
    assert Metric("all", ("distance_mm",)).counted(NAMES).all()


def test_values_of_leaves_out_what_lacks_a_column():
    metrics = (
        Metric("b", ("score",)),
        Metric("auroc", ("score", "label"), statistics.roc_auc),
        Metric("gone", ("score", "missing"), statistics.roc_auc),
    )
    assert [*values_of(metrics, COLUMNS)] == ["b", "auroc"]
    assert not metrics[2].given(COLUMNS) and metrics[1].given(COLUMNS)


def test_is_mean_is_of_one_column_alone():
    assert Metric("x", ("score",)).is_mean
    assert not Metric("x", ("score", "label")).is_mean
    assert not Metric("x", ("score",), statistics.r_aed).is_mean


def test_headings_and_what_the_papers_figures_are_called():
    metric = Metric("hd_lv", ("hd_lv",), title="HD", cases="ED")
    assert metric.heading == "HD" and Metric("hd", ("hd",)).heading == "hd"
    assert metric.keys == ("hd_lv", "hd_lv/ED", "hd/lv/ED")
    assert Metric("auroc", ("score", "label")).keys == ("auroc", "score", "score")


class Judged:
    headline = "second"
    metrics = (Metric("first", ("score",)), Metric("second", ("distance_mm",)))


def test_an_evaluation_has_its_headline_first_and_a_table():
    evaluation = Evaluation(COLUMNS, NAMES, {"loss": 0.5})
    values = evaluation.values(Judged)
    assert [*values] == ["second", "loss", "first"] and values["second"] == 3.0
    assert evaluation.count == 4
    header, rows = evaluation.table(["label", "gone", "distance_mm"])
    assert header == ["label", "distance_mm"] and rows.shape == (4, 2)
    np.testing.assert_array_equal(rows[:, 1], COLUMNS["distance_mm"])
    without = Evaluation({"score": COLUMNS["score"]})
    assert [*without.values(Judged)] == ["first"]


def test_a_report_takes_the_statistic_of_each_seed():
    """Over the cases that are finite under every seed, with an interval that holds the mean."""
    generator = np.random.default_rng(0)
    score, label = generator.random((3, 30)), np.tile(generator.integers(0, 2, 30), (3, 1))
    score[1, 4] = np.nan
    metric = Metric("auroc", ("score", "label"), statistics.roc_auc)
    paper = {"auroc": (0.7, np.nan)}
    found = summary_of(metric, [score, label.astype(float)], paper)
    kept = np.arange(30) != 4
    wanted = statistics.roc_auc(score[:, kept], label[:, kept])
    assert found.seed_means == pytest.approx(tuple(wanted))
    assert found.mean == pytest.approx(wanted.mean()) and found.low < found.mean < found.high
    assert (found.cases, found.left_out, found.not_finite) == (29, 1, 1)
    assert found.paper[0] == 0.7 and np.isnan(found.sd)


def test_a_statistic_that_is_no_mean_has_the_cases_of_its_columns_mean():
    far = Metric("far", ("distance_mm",))
    left = Metric("far/left", ("distance_mm",), cases="/left")
    spread = Metric("spread", ("distance_mm",), lambda column: np.max(column, axis=-1))
    of_left = Metric("spread/left", ("distance_mm",), spread.statistic, cases="/left")
    known = (spread, far, of_left, left)
    assert far.of_cases(()) is far
    assert spread.of_cases(known) is far and of_left.of_cases(known) is left
    assert Metric("auroc", ("score", "label"), statistics.roc_auc).of_cases(known) is None
