"""Sentences of a sweep's report on its seeds and trainings."""

import numpy as np
import pytest

from segjax.report import results, sweep, text
from segjax.report.comparison import compare
from segjax.tasks import amounts
from segjax.tasks.segmentation import metrics
from tests.report.fabricated import DICE, POINTS, VALUES, Volumes, write_all


def test_a_difference_that_turns_with_the_seed_is_named(tmp_path):
    values = VALUES.copy()
    values[2, :, :, DICE] = values[0, :, :, DICE] + np.array([[0.01], [-0.01]])
    write_all(tmp_path, values)
    read = results.read(tmp_path)
    (line,) = (
        line for line in text.reversed_by_seeds(read, compare(read)) if line.startswith("Dice RV:")
    )
    assert "`loss=region_wise`" in line and line.endswith("for `loss=focal_loss`.")
    sweep.write(tmp_path)
    assert f"- {line}\n" in (tmp_path / "report.md").read_text()
    # The second setting is worse under both
    assert "`loss=dice`" not in line


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
