"""Which images are of one patient: patterns of names and of paths, and columns of tables."""

import pathlib

import pytest

from segjax.data.folders import columns
from segjax.data.folders.columns import Table
from segjax.data.folders.description import likely_column
from segjax.errors import UserError
from tests.data.folders.settings import mask, picture, table
from tests.data.folders.test_photographs import prepare

ROOT = pathlib.Path("photos")


def groups(pattern, *paths):
    images = {pathlib.Path(path).stem.lower(): ROOT / path for path in paths}
    return list(columns.groups(pattern, images, ROOT, []).values())


@pytest.mark.parametrize(
    "pattern, paths, wanted",
    [
        # A folder whose name fits is no part of the name of a file
        (
            "p{group}_*",
            ["pl_1/p00_l.png", "pl_1/p01_l.png", "pics_b/p02_r.png"],
            ["00", "01", "02"],
        ),
        ("p{group}_*", ["p00_a_l.png", "p00_b_r.png"], ["00", "00"]),
        ("p{group}_*.png", ["p00_l.png", "P01_l.PNG"], ["00", "01"]),
        # The extension is no part of a group
        ("*_{group}", ["l_p7.png", "r_p7.tif"], ["p7", "p7"]),
        ("{group}.0", ["a.0.png"], ["a"]),
        ("p{group}/*", ["p0/a.png", "p0/b.png", "P1/c.png"], ["0", "0", "1"]),
        ("*/p{group}_*", ["x/p0_l.png", "y/p0_r.png"], ["0", "0"]),
        ("{group}/*/*", ["a/left/1.png", "b/right/2.png"], ["a", "b"]),
    ],
)
def test_patterns(pattern, paths, wanted):
    assert groups(pattern, *paths) == wanted


@pytest.mark.parametrize(
    "pattern, path, message",
    [
        ("pl{group}", "pl_1/a.png", "does not fit 1 image: a.png"),
        ("p{group}/*", "p0/left/a.png", "does not fit 1 image: a.png"),
        ("p{group}/*", "p0.png", "does not fit 1 image: p0.png"),
        ("{group}_{group}", "a_a.png", "takes {group} once"),
    ],
)
def test_patterns_that_do_not_fit(pattern, path, message):
    with pytest.raises(UserError) as caught:
        groups(pattern, path)
    assert str(caught.value) == f"--group {pattern!r}: {message}"


def test_volumes_have_no_ending_in_their_group():
    images = {name: ROOT / f"{name}.nii.gz" for name in ("c1", "c2")}
    assert columns.groups("c{group}", images, ROOT, []) == {"c1": "1", "c2": "2"}


def test_the_summary_shows_some_of_the_groups(tmp_path, capfd):
    for n in range(8):
        picture(tmp_path / "images" / f"P{n // 2:02d}_{n}.png", seed=n)
        mask(tmp_path / "masks" / f"P{n // 2:02d}_{n}.png")
    words = ["--masks", tmp_path / "masks", "--dry_run", "--group"]
    assert prepare(tmp_path, *words, "p{group}_*") == 0
    said = "groups       4 by p{group}_*, 2 images each: 00, 01, 02, …\n"
    assert said in capfd.readouterr().out
    # Also where nothing is kept together, which may be a mistake
    assert prepare(tmp_path, *words, "*_{group}") == 0
    assert "groups       8 by *_{group}, 1 image each: 0, 1, 2, …\n" in capfd.readouterr().out


@pytest.mark.parametrize("header", ["Patient", "patient_id", "Subject No", "subjects", "PERSON"])
def test_a_column_that_is_called_after_patients(header):
    rows = {f"i{n}": {header: n // 2} for n in range(6)}
    said = likely_column(Table(pathlib.Path("t.csv"), ("eye", header), rows_with_eye(rows)))
    quoted = f"'{header}'" if " " in header else header
    assert said == (
        f"t.csv has 3 values under {header!r} for 6 images: --group {quoted} keeps the images of "
        "one in one split"
    )


@pytest.mark.parametrize(
    "header, values",
    [
        ("patient", [1, 2, 3, 4]),
        ("patient", [1, 1, 1, 1]),
        ("patient", [1, 1, None, 2]),
        ("eye", ["l", "r", "l", "r"]),
        ("patient age", [60, 60, 70, 70]),
    ],
)
def test_columns_that_say_nothing(header, values):
    rows = {f"i{n}": {header: value} for n, value in enumerate(values)}
    assert likely_column(Table(pathlib.Path("t.csv"), (header,), rows)) == ""


def rows_with_eye(rows):
    return {name: row | {"eye": "left"} for name, row in rows.items()}


def test_the_column_is_noted_before_the_names(tmp_path, capfd):
    rows = []
    for n in range(6):
        name = f"eye {n // 2:03d}_{'OD' if n % 2 else 'OS'}"
        picture(tmp_path / "images" / f"{name}.JPG", seed=n)
        rows.append((name.lower(), 3 + n, 7, f"a{n // 2}"))
    points = table(tmp_path / "p.csv", ("name", "x", "y", "Patient"), *rows)
    assert prepare(tmp_path, "--points", points, "--dry_run") == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("note  ")]
    first, second = lines
    assert first.startswith(
        "note         p.csv has 3 values under 'Patient' for 6 images: --group "
    )
    assert "note         eye 000_OD and eye 000_OS: if those are of one patient, " in second
    assert prepare(tmp_path, "--points", points, "--group", "Patient", "--dry_run") == 0
    shown = capfd.readouterr().out
    assert "groups       3 by Patient, 2 images each: a0, a1, a2\n" in shown
    assert "note  " not in shown
