"""The report that ends a sweep: its numbers against NumPy, its files as a reader finds them."""

import itertools
import json
import re
import types

import numpy as np
import pytest

from segjax import stats
from segjax.metrics import statistics
from segjax.report import comparison, sweep
from segjax.tasks.localization import Localization
from segjax.tasks.metric import Metric
from segjax.tasks.segmentation import Segmentation
from segjax.tasks.volume_segmentation import VolumeSegmentation
from segjax.train.sweepdir import folder_of
from tests.report import fabricated
from tests.report.fabricated import (
    CASES,
    CLASSES,
    COLUMNS,
    DICE,
    DISTANCE,
    LOSSES,
    POINTS,
    VALUES,
    lines_of,
    write_all,
    write_manifest,
    write_point,
)


def exact_p(a, b):
    """Share of all sign assignments whose |mean difference| reaches the observed one."""
    difference = a - b
    sums = [np.dot(s, difference) for s in itertools.product((-1, 1), repeat=len(difference))]
    return np.mean(np.abs(sums) >= abs(difference.sum()) - 1e-9)


def test_numbers_are_numpys(tmp_path):
    write_all(tmp_path)
    assert sweep.write(tmp_path) == tmp_path / "report.md"
    lines = lines_of(tmp_path)
    assert len(lines) == 3 * 6
    for column in (DICE, DISTANCE):
        by_case = VALUES[..., column].mean(axis=1)
        raw = [exact_p(by_case[i], by_case[0]) for i in (1, 2)]
        # Holm, written out for two: the smaller doubled, the larger not below it.
        first = min(1, 2 * min(raw))
        holm = [first if p == min(raw) else max(first, p) for p in raw]
        for i, loss in enumerate(LOSSES):
            line = lines[f"loss={loss}", COLUMNS[column]]
            got = {key: float(line[key]) for key in ("mean", "sd", "low", "high")}
            low, high = stats.bootstrap_interval(by_case[i])
            wanted = {"mean": by_case[i].mean(), "sd": by_case[i].std(ddof=1)}
            assert got == pytest.approx(wanted | {"low": low, "high": high}, rel=1e-9)
            seeds = [float(value) for value in line["seed_means"].split()]
            assert seeds == pytest.approx(list(VALUES[i, :, :, column].mean(axis=1)))
            assert line["seeds"] == "0 1" and line["cases"] == "6" and line["left_out"] == "0"
            if i:
                assert float(line["difference"]) == pytest.approx(
                    by_case[i].mean() - by_case[0].mean()
                )
                assert float(line["p"]) == pytest.approx(raw[i - 1])
                assert float(line["p_holm"]) == pytest.approx(holm[i - 1])
                assert line["significant"] == ("yes" if holm[i - 1] < 0.05 else "no")
    assert lines["loss=dice", "dice_RV"]["p"] == str(2 / 64)
    reference = lines["loss=region_wise", "dice_RV"]
    assert reference["p"] == reference["difference"] == "" and reference["significant"] == "no"


def test_stars_follow_the_corrected_value_and_the_reference_can_be_chosen(tmp_path):
    # With one comparison 2 / 64 is below 0.05, with two Holm doubles it.
    write_all(tmp_path / "two", VALUES[:2], POINTS[:4])
    write_all(tmp_path / "three")
    for name, starred in (("two", "yes"), ("three", "no")):
        sweep.write(tmp_path / name)
        assert lines_of(tmp_path / name)["loss=dice", "dice_RV"]["significant"] == starred
    two = (tmp_path / "two" / "report.md").read_text()
    assert re.search(r"`loss=dice` \| 2 \| 0\.\d+ ± 0\.\d+\\\* ", two)
    assert "$^{*}$" in (tmp_path / "two" / "report.tex").read_text()
    three = (tmp_path / "three" / "report.md").read_text()
    assert "Holm's correction over the 2 comparisons of each metric" in three

    sweep.write(tmp_path / "two", against="loss=dice")
    lines = lines_of(tmp_path / "two")
    assert lines["loss=dice", "dice_RV"]["p"] == ""
    assert lines["loss=region_wise", "dice_RV"]["significant"] == "yes"
    assert float(lines["loss=region_wise", "dice_RV"]["difference"]) > 0.2
    assert "differs from `loss=dice`" in (tmp_path / "two" / "report.md").read_text()


def test_the_best_mean_is_bold_on_the_side_that_is_better(tmp_path):
    write_all(tmp_path)
    sweep.write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    overview = {line.split("`")[1]: line for line in text.splitlines()[2:7] if "`" in line}
    cells = {label: line.split(" | ") for label, line in overview.items()}
    means = VALUES.mean(axis=(1, 2))
    for column in range(6):
        best = np.argmax(means[:, column]) if column % 2 == 0 else np.argmin(means[:, column])
        bold = [cells[f"loss={loss}"][2 + column].startswith("**") for loss in LOSSES]
        assert bold == [i == best for i in range(3)]
    assert "Dice RV ↑" in text and "HD RV (mm) ↓" in text


def test_infinite_values_are_left_out_counted_and_said(tmp_path):
    values = VALUES.copy()
    values[1, 0, 2, DISTANCE] = np.inf  # under one seed
    values[1, :, 4, DISTANCE] = np.inf, np.nan  # under both
    write_all(tmp_path, values)
    sweep.write(tmp_path)
    line = lines_of(tmp_path)["loss=dice", "hausdorff_RV"]
    assert (line["cases"], line["left_out"], line["not_finite"]) == ("5", "1", "3")
    kept = np.array([0, 1, 2, 3, 5])
    table = values[1, :, kept, DISTANCE]  # [cases, seeds]
    mine = np.where(np.isfinite(table), table, np.nan)
    by_case = np.nanmean(mine, axis=1)
    assert float(line["mean"]) == pytest.approx(by_case.mean())
    assert float(line["sd"]) == pytest.approx(by_case.std(ddof=1))
    other = values[0, :, kept, DISTANCE].mean(axis=1)
    assert line["pairs"] == "5"
    assert float(line["difference"]) == pytest.approx(np.mean(by_case - other))
    assert float(line["p"]) == pytest.approx(exact_p(by_case, other))
    seeds = [float(value) for value in line["seed_means"].split()]
    assert seeds == pytest.approx([np.nanmean(mine[:, 0]), np.nanmean(mine[:, 1])])
    untouched = lines_of(tmp_path)["loss=focal_loss", "hausdorff_RV"]
    assert untouched["left_out"] == "0" and untouched["pairs"] == "6"
    text = (tmp_path / "report.md").read_text()
    assert "HD RV, `loss=dice`: 3 of 12 values, 1 cases altogether" in text and "‡" in text
    assert "\\textdaggerdbl" in (tmp_path / "report.tex").read_text()


def test_a_row_without_a_finite_value_is_a_dash(tmp_path):
    values = VALUES.copy()
    values[0, :, :, DISTANCE] = np.inf  # the reference itself
    write_all(tmp_path, values)
    sweep.write(tmp_path)
    lines = lines_of(tmp_path)
    assert lines["loss=region_wise", "hausdorff_RV"]["mean"] == ""
    assert lines["loss=dice", "hausdorff_RV"]["p"] == ""
    assert lines["loss=dice", "hausdorff_RV"]["mean"] != ""
    assert lines["loss=dice", "dice_RV"]["p"] != ""
    assert "nan" not in (tmp_path / "report.md").read_text()


def test_one_row_one_seed_one_case(tmp_path):
    write_manifest(tmp_path, [{}])
    write_point(tmp_path, {}, VALUES[0, 0, :1], cases=CASES[:1])
    sweep.write(tmp_path)
    line = lines_of(tmp_path)["as written", "dice_RV"]
    assert line["sd"] == line["low"] == line["high"] == "" != line["mean"] == line["seed_means"]
    text = (tmp_path / "report.md").read_text()
    tables = "".join(line for line in text.splitlines() if line.startswith("|"))
    assert "Holm's" not in text and "**" not in tables
    # Columns of comparisons and of the paper would be empty
    assert "Holm" not in tables and "paper" not in tables and "difference" not in tables
    assert "1 validation case, 1 seed a setting" in text and "1 case: too few" in text
    assert "| too few cases |" in tables


def test_missing_points_fewer_seeds_and_the_papers_figures(tmp_path):
    write_manifest(tmp_path, POINTS)
    paper = {"dice/RV": [0.9, 0.09], "hausdorff_RV": 14.58}
    for index, point in enumerate(POINTS[:3]):
        rows = VALUES[index // 2, index % 2]
        write_point(tmp_path, point, rows, paper=paper if index < 2 else {})
    folder_of(tmp_path, POINTS[3]).mkdir()  # begun, not done
    sweep.write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "Not done yet: `loss=dice`: 1 of 2 points; `loss=focal_loss`: 2 of 2 points." in text
    assert "`loss=dice` †" in text and "`loss=region_wise` †" not in text
    assert "† fewer seeds" in text
    assert "*0.90 ± 0.09*" in text and "*14.58*" in text
    lines = lines_of(tmp_path)
    first = lines["loss=region_wise", "dice_RV"]
    assert (first["paper_mean"], first["paper_sd"]) == ("0.9", "0.09")
    assert lines["loss=region_wise", "hausdorff_RV"]["paper_sd"] == ""
    assert lines["loss=dice", "dice_RV"]["paper_mean"] == ""
    tex = (tmp_path / "report.tex").read_text()
    assert "\\textcolor{gray}{\\textit{0.90 $\\pm$ 0.09}}" in tex


def test_rows_are_compared_over_the_cases_that_all_have_in_whatever_order(tmp_path):
    write_manifest(tmp_path, POINTS[:4])
    order = [3, 1, 0, 2]  # the third point lacks two cases, and lists the others in another order
    for index, point in enumerate(POINTS[:4]):
        rows, names = VALUES[index // 2, index % 2], list(CASES)
        if index == 2:
            rows, names = rows[order], [CASES[i] for i in order]
        write_point(tmp_path, point, rows, cases=names)
    sweep.write(tmp_path)
    line = lines_of(tmp_path)["loss=dice", "dice_RV"]
    by_case = VALUES[:2, :, :4, DICE].mean(axis=1)
    assert line["cases"] == "4"
    assert float(line["mean"]) == pytest.approx(by_case[1].mean())
    assert float(line["p"]) == pytest.approx(exact_p(by_case[1], by_case[0]))
    assert "2 cases that only some of the points have" in (tmp_path / "report.md").read_text()


def test_groups_of_cases_come_apart_with_the_papers_figures(tmp_path):
    names = [f"p{i}_{phase}" for i in range(3) for phase in ("ED", "ES")]
    options = {"classes": CLASSES, "groups": ("ED", "ES")}
    columns = VolumeSegmentation(**options).columns
    tables = np.round(np.random.default_rng(2).uniform(0.1, 0.9, (2, 6, len(columns))), 6)
    write_manifest(tmp_path, POINTS[:2])
    for point, table in zip(POINTS[:2], tables, strict=True):
        write_point(
            tmp_path, point, table, columns=columns, cases=names, task="volume_segmentation",
            task_options=options, data={"image_size": (8, 8)},
            paper={"dice_RV/ED": 0.95, "hausdorff_RV/ES": 13.9},
        )  # fmt: skip
    sweep.write(tmp_path)
    lines = lines_of(tmp_path)
    assert len(lines) == 2 * 3 * 2 + 1
    column = columns.index("hausdorff_RV")
    for phase, first, paper in (("ED", 0, ""), ("ES", 1, "13.9")):
        line = lines["loss=region_wise", f"hausdorff/RV/{phase}"]
        by_case = tables[:, first::2, column].mean(axis=0)
        assert line["cases"] == "3" and float(line["mean"]) == pytest.approx(by_case.mean())
        assert line["paper_mean"] == paper
    assert lines["loss=region_wise", "dice/RV/ED"]["paper_mean"] == "0.95"
    assert lines["loss=region_wise", "dice"]["cases"] == "6"


def test_a_statistic_that_is_no_mean(tmp_path):
    task = Localization()
    distances = np.round(np.random.default_rng(1).gamma(2, 0.03, (2, 9)), 6)
    write_manifest(tmp_path, POINTS[:2])
    for point, row in zip(POINTS[:2], distances, strict=True):
        table = np.stack([np.zeros(9)] * 4 + [row, 100 * row], axis=1)
        write_point(
            tmp_path, point, table, columns=task.columns, cases=range(9),
            metrics={"r_aed": float(1 / (row.mean() + 0.1))}, task="localization",
        )  # fmt: skip
    sweep.write(tmp_path)
    line = lines_of(tmp_path)["loss=region_wise", "r_aed"]
    scores = 1 / (distances.mean(axis=1) + 0.1)
    assert float(line["mean"]) == pytest.approx(scores.mean())
    assert [float(v) for v in line["seed_means"].split()] == pytest.approx(list(scores))
    interval = stats.crossed_bootstrap_interval(distances, statistic=statistics.r_aed)
    assert (float(line["low"]), float(line["high"])) == pytest.approx(interval)
    assert line["sd"] == ""
    assert "over seeds and cases" in (tmp_path / "report.md").read_text()


def test_a_statistic_of_what_is_unknown_sees_all_cases(tmp_path, monkeypatch):
    """A count of cases without a value is 0 of those that have one."""
    lost = Metric("lost", ("hausdorff_RV",), statistics.not_finite, higher_is_better=False)
    monkeypatch.setattr(fabricated.Volumes, "metrics", (*fabricated.Volumes.metrics, lost))
    values = VALUES.copy()
    values[0, :, :2, DISTANCE] = np.inf
    values[1, 0, 5, DISTANCE] = np.nan
    write_all(tmp_path, values)
    sweep.write(tmp_path)
    lines = lines_of(tmp_path)
    means = {row: float(lines[row, "lost"]["mean"]) for row, name in lines if name == "lost"}
    assert sorted(means.values()) == [0.0, 0.5, 2.0]
    assert means["loss=region_wise"] == 2.0 and means["loss=dice"] == 0.5
    assert 0 < float(lines["loss=dice", "lost"]["p"]) <= 1


@pytest.mark.parametrize("targets", [("optic_disc",), ("optic_disc", "optic_cup")])
def test_tasks_report_columns_and_metrics_that_they_have(targets):
    task = Segmentation(targets=targets, topology=True)
    shown = [metric for metric in task.metrics if metric.reported]
    found = {metric.columns[0]: metric for metric in shown}
    assert {f"dice_{target}" for target in targets} <= set(found) & set(task.columns)
    assert task.headline in {metric.name for metric in shown}
    if len(targets) > 1:
        assert found["dice_optic_cup"].name == "dice/optic_cup"
    assert not found["betti_error_0_optic_disc"].higher_is_better
    metrics = {metric.name: metric for metric in Localization().metrics if metric.reported}
    assert list(metrics) == ["r_aed", "distance_pixels"]
    assert metrics["distance_pixels"].columns == Localization().columns[-1:]
    assert metrics["distance_pixels"].unit == "px of the original"


@pytest.mark.parametrize(
    "reached, higher, threshold",
    [([0.8], True, 0.6), ([4.0], False, 16 / 3), ([-8.0], True, -10.0), ([-3.0], False, -2.0)],
)
def test_a_model_that_reaches_the_best_median_has_converged(reached, higher, threshold):
    headline = Metric("x", ("x",), higher_is_better=higher)
    rows = [types.SimpleNamespace(reached=np.array(reached))]
    one = types.SimpleNamespace(all_rows=rows, headline=headline)
    found = comparison.failure_threshold(one)
    assert found == pytest.approx(threshold)
    assert comparison.failed_share(reached, found, higher) == 0


def test_cases_of_one_patient_go_together(tmp_path):
    """The intervals and tests are those of the patients, who have two cases each."""
    cases = [f"patient{place:03d}_ED" for place in range(10)]
    generator = np.random.default_rng(1)
    values = generator.uniform(0.6, 0.9, (3, 2, 10, len(COLUMNS))).round(6)
    write_all(tmp_path, values, cases=cases)
    patients = {case: f"heart{place // 2}" for place, case in enumerate(cases)}
    for point in POINTS:
        path = folder_of(tmp_path, point) / "metrics_validation.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"patients": patients}))
    sweep.write(tmp_path)
    rows = {label: values[place].mean(axis=0)[:, DICE] for place, label in enumerate(LOSSES)}
    clusters = [patients[case] for case in cases]
    lines = lines_of(tmp_path)
    low, high = stats.bootstrap_interval(rows["dice"], clusters=clusters)
    line = lines["loss=dice", "dice_RV"]
    assert (float(line["low"]), float(line["high"])) == pytest.approx((low, high))
    p = stats.paired_permutation_test(rows["dice"], rows["region_wise"], clusters=clusters)
    assert float(line["p"]) == pytest.approx(p) and p * 32 == round(p * 32)
    text = (tmp_path / "report.md").read_text()
    assert "Over 10 validation cases of 5 patients." in text
    assert "5 patients are few" in text and "no two are known" not in text
