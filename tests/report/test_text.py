"""Sentences of a sweep's report on its seeds and trainings."""

import json

import numpy as np
import pytest

from segjax.report import results, sweep, sweep_text
from segjax.report.comparison import compare
from segjax.report.convergence import convergence
from segjax.tasks import amounts
from segjax.tasks.segmentation import metrics
from tests.report.fabricated import (
    DICE,
    DISTANCE,
    POINTS,
    VALUES,
    Volumes,
    write_all,
    write_manifest,
    write_point,
)


def test_a_difference_that_turns_with_the_seed_is_named(tmp_path):
    values = VALUES.copy()
    values[2, :, :, DICE] = values[0, :, :, DICE] + np.array([[0.01], [-0.01]])
    write_all(tmp_path, values)
    read = results.read(tmp_path)[""]
    (line,) = (
        line
        for line in sweep_text.reversed_by_seeds(read, compare(read))
        if line.startswith("Dice RV:")
    )
    assert "`loss=region_wise`" in line and line.endswith("for `loss=focal_loss`.")
    sweep.write(tmp_path)
    assert f"- {line}\n" in (tmp_path / "report.md").read_text()
    # The second setting is worse under both
    assert "`loss=dice`" not in line


def test_a_sign_is_of_the_cases_that_both_have_and_nan_and_0_are_none(tmp_path):
    """The largest case of a better setting is missing under one seed."""
    values = VALUES.copy()
    values[0, :, 0, DICE] += 3
    values[2] = values[0] + 0.1
    values[2, 0, 0, DICE] = np.inf
    values[1, 0] = np.nan
    write_all(tmp_path, values)
    read = results.read(tmp_path)[""]
    assert sweep_text.reversed_by_seeds(read, compare(read)) == []
    values[1] = values[0]
    values[1, 0] += 0.1
    write_all(tmp_path / "zero", values)
    read = results.read(tmp_path / "zero")[""]
    assert sweep_text.reversed_by_seeds(read, compare(read)) == []


def test_settings_without_a_common_seed_are_named(tmp_path):
    points = [{"arg": f"loss={loss}", "seed": seed} for seed, loss in enumerate("abab")]
    write_all(tmp_path, VALUES[:2], points)
    read = results.read(tmp_path)[""]
    (line,) = (x for x in sweep_text.reversed_by_seeds(read, compare(read)) if "common" in x)
    assert line == "`loss=b` and `loss=a` have no seed in common."


def test_a_metric_with_too_few_pairs_is_named(tmp_path):
    values = VALUES.copy()
    values[..., 3:, DISTANCE] = np.inf
    write_all(tmp_path, values)
    read = results.read(tmp_path)[""]
    lines = sweep_text.smallest_p(read, compare(read))
    assert any("3 cases no corrected p of HD RV can fall below 0.5" in line for line in lines)


def test_remarks_of_all_trainings_are_said_once_and_others_with_their_seeds(tmp_path, monkeypatch):
    def remarks(self, columns):
        worse = columns["dice_RV"].mean() < 0.6
        return ["of all", *["of one setting"] * int(worse)]

    monkeypatch.setattr(Volumes, "remarks", remarks, raising=False)
    write_all(tmp_path)
    sweep.write(tmp_path)
    said = (tmp_path / "report.md").read_text()
    assert "- of all\n- `loss=dice`, seeds 0, 1: of one setting\n" in said
    assert POINTS[2]["arg"] == "loss=dice"


def test_trainings_no_better_than_the_baseline_are_counted(tmp_path):
    points = [{"arg": "loss=dice", "seed": seed} for seed in range(3)]
    write_manifest(tmp_path, points)
    for point, dice in zip(points, (0.2, 0.3, 0.9), strict=True):
        place = write_point(tmp_path, point, VALUES[0, 0], metrics={"dice": dice})
        path = place / "metrics_validation.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"baseline": {"dice": 0.3}}))
    told = convergence(results.read(tmp_path)[""], 0.1, chosen=False)
    assert told[-1] == "- `loss=dice`: 0 of 3 failed; 2 not better than the baseline in dice"


@pytest.mark.parametrize(
    "found, there, said",
    [
        (0.2, 0.1, None),
        (0.5, 0.1, "disc: the predicted area is 5 times the annotated one."),
        (0.01, 0.1, "disc: the predicted area is 0.1 times the annotated one."),
        (0.0, 0.1, "disc was predicted in no case."),
        (0.1, 0.0, amounts.absent("disc")),
        (0.0, 0.0, amounts.absent("disc")),
    ],
)
def test_amounts_far_from_the_annotated_ones_are_remarked(found, there, said):
    columns = {"area_disc": np.array([found, found]), "true_area_disc": np.array([there, there])}
    assert amounts.remarks(["disc", "cup"], columns, "area") == [said] * (said is not None)


def test_a_low_limit_is_remarked():
    columns = {"limit_vessels": np.array([0.6, 0.7, np.nan]), "limit_disc": np.array([1.0, 0.95])}
    (line,) = metrics.limits(["disc", "vessels", "cup"], columns)
    assert line.startswith("vessels: Dice cannot exceed 0.650")
