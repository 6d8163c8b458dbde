"""Flags that say more of what others name, and go with those alone."""

import pytest

from tests.data.folders.settings import table
from tests.data.folders.test_annotations import NAMES, VOTES, folder, refused, rows_of
from tests.data.folders.test_photographs import prepare

__all__ = ["folder"]  # a fixture


@pytest.mark.parametrize(
    "words, message",
    [
        (["--points", "p.csv"], "--findings: has points of its own, and is not taken with --poin"),
        (["--masks", "m"], "--findings: has points of its own, and is not taken with --masks"),
        (["--needed", "4"], "--needed 4: no image has more than 3 annotators in"),
        (["--needed", "0"], "--needed 0: takes a whole number of at least 1"),
        (["--group", "patient"], "--group 'patient': no table has such a column"),
        (["--classes", "a,b"], "--classes: goes with --masks, whose classes it names"),
        (["--colours", "c.csv"], "--colours: goes with --masks, whose colours it explains"),
        (["--mask_pattern", "{name}_m"], "--mask_pattern: goes with --masks, whose files it finds"),
    ],
)
def test_flags(folder, capfd, words, message):
    refused(folder, capfd, message, rows_of(VOTES), *words)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--needed", "2"], "--needed: goes with --findings, whose annotators it counts"),
        (["--classes", "a"], "--classes: goes with --masks, whose classes it names"),
    ],
)
def test_flags_beside_points(folder, capfd, words, message):
    points = table(folder / "p.csv", ("name", "x", "y"), *[(name, 3, 4) for name in NAMES])
    assert prepare(folder, "--points", points, *words) == 2
    assert message in capfd.readouterr().err


def test_a_row_in_fractions_among_others_in_pixels_is_named(folder, capfd):
    rows = [(name, 3, 4) for name in NAMES]
    rows[4] = ("p4", 0.2, 0.3)
    points = table(folder / "p.csv", ("name", "x", "y"), *rows)
    assert prepare(folder, "--points", points) == 2
    message = "row 6 (p4): 'point' is nowhere above 1, as fractions are, and in other rows is"
    assert message in capfd.readouterr().err
    assert prepare(folder, "--points", points, "--units", "pixels", "--dry_run") == 0


def test_units_are_of_points(folder, capfd):
    labels = table(folder / "l.csv", ("name", "grade"), *[(n, k % 2) for k, n in enumerate(NAMES)])
    assert prepare(folder, "--labels", labels, "--units", "pixels") == 2
    message = "--units: goes with --points or --findings, whose points it measures"
    assert message in capfd.readouterr().err
