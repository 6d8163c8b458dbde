"""What a preparation notes of a folder on its own: likely patients; and whom its sheet shows."""

import warnings

import numpy as np
import pytest

from segjax.data.folders import columns, preparing
from segjax.data.folders.columns import Table
from segjax.data.folders.description import likely_patients
from segjax.errors import UserError
from tests.data.folders import test_volumes
from tests.data.folders.settings import mask, picture
from tests.data.folders.test_photographs import prepare

folder = test_volumes.folder


@pytest.mark.parametrize(
    "names, said",
    [
        (["heart01_1", "heart01_2", "heart02_1", "heart02_2"], "--group 'heart{group}_*'"),
        (["visit 01 OD", "visit 01 OS", "visit 02 OD", "visit 03 OS"], None),
        (["visit 01 OD", "visit 01 OS", "visit 02 OD", "visit 02 OS"], "'visit {group} *'"),
        (["17 L", "17 R", "18 L", "18 R", "19 L"], "--group '{group} *'"),
        (["Eye 001_OD", "eye 001_OS", "EYE 2_L", "eye 2_R"], "Eye 001_OD and eye 001_OS: if those"),
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


@pytest.mark.parametrize("kind", ["photographs", "volumes"])
def test_where_nothing_is_held_out_the_summary_says_what_that_means(request, kind, tmp_path, capfd):
    def run(*words):
        if kind == "volumes":
            return test_volumes.prepare(request.getfixturevalue("folder"), *words)
        return prepare(tmp_path, "--masks", tmp_path / "masks", *words)

    for n in range(5):
        picture(tmp_path / "images" / f"{n}.png", seed=n)
        mask(tmp_path / "masks" / f"{n}.png")
    said = "note         nothing is held out for validation, which training needs: leave out"
    for words, noted in ((["--validation", "0"], True), ([], False)):
        assert run("--dry_run", *words) == 0
        assert (said in capfd.readouterr().out) is noted


@pytest.mark.parametrize(
    "fovea, disc, units",
    [
        ((0.5, 0.5), (20, 20), None),
        ((20, 0.5), (0.5, 0.9), None),
        ((20, 0.5), (0.5, 20), "pixels"),  # a point near an edge
        ((0.5, 1), (0.5, 0), "fractions"),
        (("", ""), (20, 20), "pixels"),
    ],
)
def test_points_in_fractions_beside_points_in_pixels(tmp_path, fovea, disc, units):
    headers = ("fovea_x", "fovea_y", "disc_x", "disc_y")
    cells = dict(zip(headers, (*fovea, *disc), strict=True))
    rows = {name: {"name": name, "row": n, **cells} for n, name in enumerate("ab", 2)}
    found, sizes = Table(tmp_path / "p.csv", headers, rows), dict.fromkeys("ab", (100, 100))
    if units is None:
        words = "p.csv: '(fovea|disc)' is nowhere above 1, as fractions are, and '(disc|fovea)' is"
        with pytest.raises(UserError, match=words):
            columns.points(found, sizes, None)
        # Whoever says it has it so
        assert columns.points(found, sizes, "pixels")[1] == "pixels"
    elif "" in fovea:
        with pytest.raises(UserError, match=r"row 2 \(a\): fovea_x is '', not a number"):
            columns.points(found, sizes, None)
    else:
        assert columns.points(found, sizes, None)[1] == units


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
