"""What a preparation notes of a folder on its own: likely patients; and whom its sheet shows."""

import warnings

import numpy as np
import pytest

from segjax.data.folders import columns, preparing
from segjax.data.folders.columns import Table
from segjax.data.folders.description import likely_patients
from segjax.errors import UserError


@pytest.mark.parametrize(
    "names, said",
    [
        (["heart01_1", "heart01_2", "heart02_1", "heart02_2"], "--group 'heart{group}_*'"),
        (["visit 01 OD", "visit 01 OS", "visit 02 OD", "visit 03 OS"], None),
        (["visit 01 OD", "visit 01 OS", "visit 02 OD", "visit 02 OS"], "'visit {group} *'"),
        (["17 L", "17 R", "18 L", "18 R", "19 L"], "--group '{group} *'"),
        (["17_training", "18_training"], None),
        (["eye_001", "eye_002"], None),
        (["series1_001", "series1_002"], None),
        ([], None),
    ],
)
def test_names_that_look_like_several_of_one_patient(names, said):
    found = likely_patients(names)
    assert bool(found) == (said is not None) and (said or "") in found


@pytest.mark.parametrize(
    "counts, shown",
    [
        ({"train": 40, "validation": 10, "test": 8}, {"train": 6, "validation": 3, "test": 3}),
        ({"train": 40, "validation": 1}, {"train": 11, "validation": 1}),
        ({"train": 2, "validation": 10}, {"train": 2, "validation": 3}),
    ],
)
def test_the_sheet_shows_every_split(counts, shown):
    splits = {f"{split}{k:03d}": split for split, count in counts.items() for k in range(count)}
    drawn = preparing._drawn(splits)
    assert len(drawn) == len({*drawn})
    found = [splits[key] for key in drawn]
    assert {split: found.count(split) for split in shown} == shown


def test_cells_without_a_number_are_refused_without_a_warning(tmp_path):
    rows = {"a": {"name": "a", "row": 2, "x": "607,75", "y": "12,5"}}
    table = Table(tmp_path / "points.csv", ("x", "y"), rows)
    with warnings.catch_warnings(), pytest.raises(UserError, match="607,75"):
        warnings.simplefilter("error")
        columns.points(table, {"a": (100, 100)}, None)
    rows["a"] |= {"x": 0.5, "y": 0.25}
    found, units = columns.points(table, {"a": (100, 50)}, None)
    assert units == "fractions"
    np.testing.assert_allclose(found["point"]["a"], [50, 12.5])
