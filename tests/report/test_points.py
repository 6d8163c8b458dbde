"""The report of a sweep of localisations: of a statistic that is no mean, beside a baseline."""

import json

import numpy as np
import pytest

from segjax.report import figures, results, sweep
from segjax.tasks.localization import Localization
from tests.report.fabricated import POINTS, write_manifest, write_point

CASES = [f"eye{k}" for k in range(8)]
LOGGED = ("distance_widths", "distance", "distance_pixels", "r_aed", "loss")
R_AED, PIXELS = "R-AED ↑", "distance in pixels (px of the original) ↓"


def fabricate(folder, *, cases=CASES, points=POINTS[:4], logged=LOGGED, patients=None):
    """Two settings, the second one far off; the baseline lies within the spread of the first."""
    columns = Localization().columns
    write_manifest(folder, points)
    for number, point in enumerate(points):
        distance = np.round(np.random.default_rng(number).uniform(0.02, 0.08, len(cases)), 6)
        distance += 0.3 * (number // 2)
        table = np.stack([np.zeros(len(cases))] * 4 + [distance, 100 * distance], axis=1)
        place = write_point(
            folder, point, table, columns=columns, cases=cases, task="localization",
            metrics={"r_aed": float(1 / (distance.mean() + 0.1))},
            curves=[(10, name, 1.0) for name in logged],
        )  # fmt: skip
        path = place / "metrics_validation.json"
        more = {"baseline": {"r_aed": 1 / 0.15, "distance": 0.05, "distance_pixels": 5.0}}
        more |= {"patients": patients} if patients else {}
        path.write_text(json.dumps(json.loads(path.read_text()) | more))
    return folder


def reported(folder, **options):
    sweep.write(fabricate(folder, **options))
    return tuple((folder / f"report.{ending}").read_text() for ending in ("md", "tex"))


def test_panels_have_the_title_of_the_metric_that_they_show(tmp_path):
    read = results.read(fabricate(tmp_path / "all"))["point fovea"]
    drawn = figures.curves_figure(read)
    assert [axes.get_title() for axes in drawn.axes] == [R_AED, PIXELS]
    # Where none that is reported was logged, whatever was has its own title, too
    bare = results.read(fabricate(tmp_path / "some", logged=("distance", "distance_widths")))[
        "point fovea"
    ]
    titles = [axes.get_title() for axes in figures.curves_figure(bare).axes]
    assert titles == ["normalised distance ↓", "distance in widths (image widths) ↓"]


def test_the_cases_of_a_statistic_are_those_of_its_column_by_name(tmp_path):
    read = results.read(fabricate(tmp_path))["point fovea"]
    labels = [figures.cases_figure(read, m).axes[0].get_xlabel() for m in read.metrics]
    assert labels == ["normalised distance ↓, case by case", f"{PIXELS}, case by case"]
    sweep.write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    section = text.partition(f"## {R_AED}")[2].partition("## ")[0]
    assert "\nnormalised distance ↓, of which R-AED is made: a point is a case" in section
    assert f"\n{PIXELS}: a point is a case" in text
    for line in ("**R-AED** (`r_aed`): 1 / (", "**normalised distance** (`distance`): From the"):
        assert text.count(f"- {line}") == 1


def test_whatever_has_a_panel_is_explained(tmp_path):
    text, _ = reported(tmp_path, logged=("distance_widths",))
    assert "- **distance in widths** (`distance_widths`): From the predicted" in text


def test_each_description_stands_by_itself():
    for metric in Localization().metrics:
        assert metric.description.startswith(("1 / (", "From the predicted to the annotated"))


def test_every_setting_stands_to_the_baseline_as_its_interval_shows(tmp_path):
    text, _ = reported(tmp_path)
    first, second = (f"`{point['arg']}`" for point in POINTS[:4:2])
    for title in ("R-AED", "distance in pixels"):
        assert (
            f"- {title}: {first} cannot be told from the baseline, which lies in the interval; "
            f"{second} not better than the baseline.\n"
        ) in text
    assert f"- {second}: 2 of 2 failed; 2 not better than the baseline in R-AED" in text


def test_the_caption_in_latex_explains_what_its_table_has(tmp_path):
    grouped = {case: f"p{k // 2}" for k, case in enumerate(CASES)}
    for name, options, starred in (("star", {}, True), ("none", {"patients": grouped}, False)):
        text, tex = reported(tmp_path / name, **options)
        caption = tex.partition("\\caption{")[2]
        assert ("$^{*}$" in tex) == ("* differs from" in caption) == starred
        assert ("\\* differs from" in text) == starred
        assert ("No setting differs from" in text) != starred
        assert "Bold: the best value of a column." in caption
        assert "R-AED: 1 / (the mean distance + 0.1), where each side" in caption
        assert "this report" not in tex
        for point in POINTS[:4:2]:
            assert f"\\texttt{{{point['arg'].replace('_', chr(92) + '_')}}} & 2" in tex
    assert "this report cannot show" in text


def test_a_single_setting_has_neither_bold_nor_stars_to_explain(tmp_path):
    text, tex = reported(tmp_path, points=POINTS[:2])
    for words in ("Bold", "differs from", "exchanges"):
        assert words not in text and words not in tex


def test_patients_are_what_is_tested_and_drawn(tmp_path):
    patients = {case: f"p{k // 2}" for k, case in enumerate(CASES)}
    text, _ = reported(tmp_path / "few", patients=patients)
    assert "The test exchanges patients between the two rows" in text
    assert "permutation test over patients (changing the sign of a patient's differences" in text
    assert "exchanging whole patients between the two rows" in text
    assert "| too few patients |" in text and "too few cases" not in text
    assert "- 4 patients: too few for an interval, which takes at least 5." in text
    section = text.partition(f"## {R_AED}")[2].partition("## ")[0]
    assert "An interval takes at least 5 patients with a value." in section
    cases = [f"eye{k}" for k in range(12)]
    patients = {case: f"p{k // 2}" for k, case in enumerate(cases)}
    text, _ = reported(tmp_path / "more", cases=cases, patients=patients)
    assert "The interval is over seeds and patients" in text
    assert "The interval is over patients (BCa bootstrap" in text
    alone, _ = reported(tmp_path / "cases")
    assert "exchanges cases between" in alone and "patients (" not in alone


@pytest.mark.parametrize("spread, said", [(2.0, True), (40.0, False)])
def test_settings_that_answer_one_point_are_named(tmp_path, spread, said):
    columns, places = Localization().columns, np.random.default_rng(0).normal(100, 40, (8, 2))
    write_manifest(tmp_path, POINTS[:1])
    found = 100 + np.random.default_rng(1).normal(0, spread, (8, 2))
    far = np.full((8, 2), 0.1)
    write_point(
        tmp_path, POINTS[0], np.concatenate([places, found, far], axis=1), columns=columns,
        cases=CASES, task="localization", metrics={"r_aed": 5.0},
    )  # fmt: skip
    sweep.write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert ("- Predicted points hardly vary: sd " in text) == said
