"""A folder with a table of findings and regions: what it means, what is stored, what is refused."""

import json

import numpy as np
import openpyxl
import pytest
from PIL import Image, ImageDraw

from segjax.cli import main
from segjax.data import own, store
from segjax.data.folders import annotations
from segjax.data.regions import REGIONS
from tests.data.folders.settings import SIZE, picture, table
from tests.data.folders.test_photographs import prepare, records

HEADER = ("image", "annotator", "finding", "regions", "disc_x", "disc_y", "fovea_x", "fovea_y")
HEIGHT, WIDTH = SIZE
POINTS = (8, 10, 20, 10.5)
PEOPLE = ("Kim", "Lee", "Park")
NAMES = [f"p{n}" for n in range(10)]


def seen(name, who, finding="", regions="", points=None):
    """A row; points only where something is marked, unless they are given."""
    points = points if points is not None else POINTS if finding else ("",) * 4
    return [name, who, finding, regions, *points]


def rows_of(votes, finding="Hard exudate", regions="macula; temporal"):
    """Three annotators of each image, of whom the first `votes` mark the finding."""
    return [
        seen(name, who, *((finding, regions) if place < number else ()))
        for name, number in zip(NAMES, votes, strict=True)
        for place, who in enumerate(PEOPLE)
    ]


VOTES = (3, 2, 1, 0, 3, 2, 1, 0, 3, 0)


@pytest.fixture
def folder(tmp_path):
    """Ten photographs."""
    for n, name in enumerate(NAMES):
        picture(tmp_path / "images" / f"{name}.png", seed=n)
    return tmp_path


def given(folder, rows, header=HEADER):
    return ["--findings", table(folder / "findings.csv", header, *rows)]


def refused(folder, capfd, message, rows, *words, header=HEADER):
    capfd.readouterr()
    assert prepare(folder, *given(folder, rows, header), *words) == 2
    errors = capfd.readouterr().err
    assert errors.startswith("segjax: ") and errors.count("\n") == 1 and message in errors, errors
    assert own.names(folder / "data") == []


# --- what is stored ----------------------------------------------------------------------------


def test_three_annotators_become_fields_of_the_task(folder, capfd):
    rows = rows_of(VOTES)
    rows[0] = seen("p0.png", "Kim", "hard exudate", "Disc_Superior|macula")
    assert prepare(folder, *given(folder, rows)) == 0
    found = records(folder)
    labels = [int(found[name]["hard_exudate_label"]) for name in NAMES]
    assert labels == [{3: 1, 2: 1, 1: -1, 0: 0}[votes] for votes in VOTES]
    for name, votes in zip(NAMES, VOTES, strict=True):
        wanted = {"macula", "temporal"} if votes else set()
        wanted |= {"disc_superior"} if name == "p0" else set()
        marked = found[name]["hard_exudate_regions"]
        assert marked.shape == (8,) and marked.dtype == np.uint8
        assert {REGIONS[k] for k in np.flatnonzero(marked)} == wanted
        for point, where in {"disc": POINTS[:2], "fovea": POINTS[2:]}.items():
            assert found[name][point].dtype == np.float32
            np.testing.assert_array_equal(found[name][point], where if votes else [np.nan] * 2)
    features = store.builder("mine", str(folder / "data")).info.features
    assert np.issubdtype(features["hard_exudate_label"].np_dtype, np.signedinteger)


def test_what_is_understood_is_printed(folder, capfd):
    rows = rows_of(VOTES)
    rows[0] = seen("p0", "Kim", "Hard exudate", "macula")
    rows += [seen("p9", "Kim", "Drusen", "temporal")] + [seen("p9", "Lee", "Drusen", "macula")]
    rows = [row for row in rows if row[0] != "p9" or row[2] or row[1] == "Park"]
    assert prepare(folder, *given(folder, rows), "--dry_run") == 0
    shown = capfd.readouterr().out
    for line in (
        "point        disc, in pixels of the image, x to the right, y down\n",
        "annotators   3, 3 an image\n",
        "present      where marked by two thirds of an image's annotators, at least 2",
        "note         2 images without a mark have no disc and fovea, which are stored as nan\n",
        "finding      drusen: present in 1, absent in 9 of 10 images\n",
        "             in macula 1, temporal 1\n",
        "finding      hard_exudate: present in 5, absent in 3, undecided in 2 of 10 images\n",
        "             in macula 5, temporal 5\n",
        "agreement    drusen: Fleiss' kappa 0.46, Jaccard index of regions 0.00 over 1 pair of ",
        "agreement    hard_exudate: Fleiss' kappa 0.47, Jaccard index of regions 0.91 over 11 pa",
        "splits       train 8, validation 2: images drawn with seed 0\n",
        "has no image with drusen: training on it is refused",
    ):
        assert line in shown, line


def test_one_annotator_decides_alone_and_two_who_differ_do_not(folder, capfd):
    rows = [seen(n, "a", *(("x", "macula") if n < "p3" else ())) for n in NAMES]
    assert prepare(folder, *given(folder, [[r[0], *r[2:]] for r in rows],
                                  [h for h in HEADER if h != "annotator"])) == 0  # fmt: skip
    shown = capfd.readouterr().out
    assert "annotators   not told apart: what is marked is present" in shown
    assert "agreement" not in shown
    assert [int(records(folder)[n]["x_label"]) for n in NAMES] == [1] * 3 + [0] * 7
    rows += [seen("p0", "b"), seen("p1", "B", "X", "macula temporal"), seen("p4", "b")]
    assert prepare(folder, *given(folder, rows), name="two") == 0
    shown = capfd.readouterr().out
    assert "annotators   2, 1 to 2 an image" in shown
    # Of the three images of both: a share of 2/3 agree, 4/9 by chance
    told = (
        "agreement    x: Cohen's kappa 0.40, Jaccard index of regions 0.50 over 1 pair of marks\n"
    )
    assert told in shown
    found = records(folder, name="two")
    assert [int(found[n]["x_label"]) for n in NAMES[:5]] == [-1, 1, 1, 0, 0]


def test_needed_annotators(folder, capfd):
    assert prepare(folder, *given(folder, rows_of(VOTES)), "--needed", "3") == 0
    assert "present      where marked by 3 annotators; by none absent" in capfd.readouterr().out
    found = records(folder)
    labels = [int(found[name]["hard_exudate_label"]) for name in NAMES]
    assert labels == [{3: 1, 2: -1, 1: -1, 0: 0}[votes] for votes in VOTES]
    note = own.source(own.folder_of("mine", folder / "data"))
    assert note["request"]["needed"] == 3 and note["request"]["findings"].endswith("findings.csv")


@pytest.mark.parametrize("units", ["fractions", "pixels"])
def test_points_in_fractions(folder, capfd, units):
    points = (0.25, 0.5, 0.75, 0.5)
    rows = [row[:4] + list(points if row[2] else row[4:]) for row in rows_of(VOTES)]
    words = ["--units", units] if units == "pixels" else []
    assert prepare(folder, *given(folder, rows), *words) == 0
    assert f"point        fovea, in {units} of the image" in capfd.readouterr().out
    scale = (WIDTH, HEIGHT) if units == "fractions" else (1, 1)
    example = records(folder)["p0"]
    np.testing.assert_allclose(example["disc"], np.multiply(points[:2], scale))
    np.testing.assert_allclose(example["fovea"], np.multiply(points[2:], scale))


def test_a_workbook_with_other_headers(folder):
    book = openpyxl.Workbook()
    header = ("Image Name", "Grader", "Finding", "Region", "Disc X", "Disc Y", "FoveaX", "fovea y")
    for row in (header, *rows_of(VOTES)):
        book.active.append([cell if cell != "" else None for cell in row])
    book.save(folder / "findings.xlsx")
    assert prepare(folder, "--findings", folder / "findings.xlsx") == 0
    assert int(records(folder)["p1"]["hard_exudate_label"]) == 1


def test_groups_splits_and_equal_images(folder, capfd):
    """As for any other table: a column of patients, a proposal of it, a list of splits."""
    picture(folder / "images" / "p9.png", seed=3)
    header = (*HEADER, "patient", "split")
    rows = [[*row, NAMES.index(row[0]) // 2, "x"] for row in rows_of(VOTES)]
    assert prepare(folder, *given(folder, rows, header), "--dry_run") == 0
    shown = capfd.readouterr().out
    assert "5 values under 'patient' for 10 images: --group patient keeps" in shown
    assert "same image   p3, p9: pixel by pixel, kept in one split" in shown
    words = [*given(folder, rows, header), "--group", "patient", "--validation", "0.3"]
    assert prepare(folder, *words, "--test", "0.2") == 0
    assert "groups       5 by patient, 2 images each: 0, 1, 2, …" in capfd.readouterr().out
    splits = own.splits(own.folder_of("mine", folder / "data"))
    assert splits["p2"][0] == splits["p3"][0] == splits["p8"][0] == splits["p9"][0]
    assert splits["p4"] == (splits["p5"][0], "2")


def test_one_image_with_and_without_a_finding_is_a_contradiction(folder, capfd):
    picture(folder / "images" / "p9.png", seed=0)
    message = "p0.png and p9.png are one image, pixel by pixel, with 'hard_exudate' and without it"
    refused(folder, capfd, message, rows_of(VOTES))
    picture(folder / "images" / "p9.png", seed=2)  # undecided: no contradiction
    assert prepare(folder, *given(folder, rows_of(VOTES)), "--dry_run") == 0


def test_regions_with_blanks_or_hyphens(folder):
    for text, names in (
        ("Superior Temporal, macula", ("macula", "superior_temporal")),
        ("disc-superior temporal", ("disc_superior", "temporal")),
        ("disc_superior temporal", ("disc_superior", "temporal")),
        ("temporal superior_temporal", ("temporal", "superior_temporal")),
        ("temporal; superior nasal|macula", ("macula", "temporal", "superior_nasal")),
    ):
        assert annotations._regions("here", text) == names


def test_images_are_turned_upright(folder, capfd):
    exif = Image.Exif()
    exif[274] = 6
    noise = np.random.default_rng(3).integers(0, 255, (*SIZE, 3), np.uint8)
    (folder / "images" / "p0.png").unlink()
    Image.fromarray(noise).save(folder / "images" / "p0.jpg", exif=exif)
    rows = rows_of(VOTES)
    for row in rows[:3]:
        row[4:] = (8, 28, 15, 29)  # inside of what is as high as the others are wide
    assert prepare(folder, *given(folder, rows)) == 0
    assert "orientation  1 image is turned by its orientation tag" in capfd.readouterr().out
    assert records(folder)["p0"]["image"].shape == (WIDTH, HEIGHT, 3)


def test_a_changed_table_is_noticed(folder, capfd):
    assert prepare(folder, *given(folder, rows_of(VOTES))) == 0
    before = json.dumps(own.source(own.folder_of("mine", folder / "data")))
    capfd.readouterr()
    assert prepare(folder, *given(folder, rows_of(VOTES)[::-1])) == 0
    assert "already prepared: " in capfd.readouterr().out  # the order of rows says nothing
    changed = given(folder, rows_of((0, *VOTES[1:])))
    assert prepare(folder, *changed, "--dry_run") == 0
    told = "was prepared from something else: a table has changed"
    assert told in capfd.readouterr().out
    assert prepare(folder, *changed) == 2
    assert f"{told}; --overwrite prepares it again" in capfd.readouterr().err
    assert json.dumps(own.source(own.folder_of("mine", folder / "data"))) == before
    assert prepare(folder, *changed, "--needed", "2") == 2
    assert "--needed was not given, is 2" in capfd.readouterr().err
    assert prepare(folder, *changed, "--overwrite") == 0
    assert int(records(folder)["p0"]["hard_exudate_label"]) == 0


@pytest.mark.pictures
def test_the_sheet_has_regions_and_what_is_marked(folder, monkeypatch, capfd):
    written, usual = [], ImageDraw.ImageDraw.text

    def text(draw, place, words, *more, **options):
        written.append(" ".join(words.split()))
        return usual(draw, place, words, *more, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    assert prepare(folder, *given(folder, rows_of(VOTES))) == 0
    shown = "".join(f"{line}\n" for line in written)
    for name, votes in zip(NAMES, VOTES, strict=True):
        ends = {0: "", 1: ", hard_exudate: undecided"}.get(votes, ", hard_exudate: macula tempora")
        split = own.splits(own.folder_of("mine", folder / "data"))[name][0]
        assert f"{name}\nsplit: {split}{ends}" in shown
    assert written.count("disc") == sum(votes > 0 for votes in VOTES)
    assert main(["data", "list", "--data_dir", str(folder / "data")]) == 0
    assert "prepared: train 8, validation 2" in capfd.readouterr().out
    words = ["mine", "--data_dir", str(folder / "data"), "--output", str(folder / "sheet.png")]
    assert main(["data", "show", *words, "--count", "4"]) == 0
    assert (folder / "sheet.png").is_file()


# --- what is refused ---------------------------------------------------------------------------


def replaced(row, **cells):
    """A row of `rows_of(VOTES)` with other cells; by their header."""

    def change(rows):
        for header, value in cells.items():
            rows[row][HEADER.index(header)] = value
        return rows

    return change


CHANGES = {
    "a region that is none": (
        replaced(1, regions="temporal maculla"),
        "findings.csv, row 3 (p0): there is no region 'maculla', did you mean 'macula'? It takes: "
        "disc_superior, disc_inferior, macula,",
    ),
    "a mark without regions": (
        replaced(1, regions=""),
        "findings.csv, row 3 (p0): 'Hard exudate' is marked without regions, which guidance needs",
    ),
    "regions without a finding": (
        replaced(9, regions="macula"),
        "findings.csv, row 11 (p3): has regions (macula) and no finding",
    ),
    "disc and fovea in one place": (
        lambda rows: [row[:4] + [8, 10, 8, 10] if row[0] == "p4" else row for row in rows],
        "findings.csv, row 14 (p4): disc and fovea are one point, (8, 10)",
    ),
    "a point outside": (
        lambda rows: [row[:4] + [8, 10, 31, 10] if row[0] == "p4" else row for row in rows],
        "findings.csv, row 14 (p4): fovea_x is 31, outside its image of 30x20 pixels",
    ),
    "a point that is no number": (
        lambda rows: [row[:4] + [8, "ten", 9, 10] if row[0] == "p4" else row for row in rows],
        "findings.csv, row 14 (p4): disc_y is 'ten', not a number",
    ),
    "points that differ": (
        replaced(1, disc_y=11),
        "findings.csv, row 3 (p0): disc_y is 11, and 10 in row 2, of the same image",
    ),
    "half a point": (
        replaced(1, disc_y=""),
        "findings.csv, row 3 (p0): has disc_x, fovea_x, fovea_y, but no disc_y; a row has all four",
    ),
    "marks without points": (
        lambda rows: [row[:4] + [""] * 4 if row[0] in ("p0", "p4") else row for row in rows],
        "2 images have marked findings, and no disc and fovea: p0.png, p4.png",
    ),
    "pixels and fractions": (
        lambda rows: [row[:4] + [0.2, 0.3, 9, 5] if row[2] else row for row in rows],
        "--findings {folder}/findings.csv: 'disc' is nowhere above 1, as fractions are, and 'fov",
    ),
    "other regions in a second row": (
        lambda rows: [*rows, seen("p0", "kim", "hard exudate", "macula")],
        "findings.csv, row 32 (p0): 'hard_exudate' by kim is in macula, and by row 2 in macula "
        "temporal; write all regions in one row",
    ),
    "normal and a finding": (
        lambda rows: [*rows, seen("p0", "Kim")],
        "findings.csv, row 32 (p0): finds nothing by Kim, and row 2 'hard_exudate'",
    ),
    "an image without a row": (
        lambda rows: rows[3:],
        "--findings {folder}/findings.csv: 1 image has no row: p0.png",
    ),
    "a row without an image": (
        lambda rows: [*rows, seen("p77", "Kim")],
        "--findings {folder}/findings.csv: 1 name in it is of no image: p77",
    ),
    "an empty name": (replaced(4, image=""), "findings.csv, row 6: names no image"),
    "nobody": (replaced(4, annotator=""), "findings.csv, row 6 (p1): names no annotator"),
    "no name for a finding": (
        replaced(0, finding="黄斑"),
        "findings.csv, row 2 (p0): the finding '黄斑' gives no name; it takes letters from a to z",
    ),
    "two spellings": (
        replaced(1, finding="hard-exudate"),
        "row 3 (p0): the finding 'hard-exudate' and 'Hard exudate' of row 2 would both be called "
        "hard_exudate; write them alike",
    ),
    "a finding that is nowhere": (
        lambda rows: rows_of((1, 0, 0, 0, 1, 0, 0, 0, 0, 0)),
        "'hard_exudate' is present in none of 10 images (2 undecided), so that nothing can be",
    ),
    "a finding that is everywhere": (
        lambda rows: rows_of((3,) * 10),
        "'hard_exudate' is absent in none of 10 images, so that nothing can be learned of it",
    ),
    "no finding": (lambda rows: rows_of((0,) * 10), "findings.csv: names no finding"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_rows(folder, capfd, case):
    change, message = CHANGES[case]
    refused(folder, capfd, message.format(folder=folder), change(rows_of(VOTES)))


@pytest.mark.parametrize(
    "headers, message",
    [
        (
            {"annotator": "anotator"},
            "has a column 'anotator', did you mean 'annotator'? It takes: image, annotator, find",
        ),
        ({"regions": "patient"}, "findings.csv: no column 'regions' or 'region'; the headers are"),
        ({"fovea_y": "patient"}, "findings.csv: no column 'fovea_y'; the headers are"),
        ({"image": "patient"}, "findings.csv: no column 'name' or 'image'"),
        ({"disc_y": "Disc X"}, "two columns are headed 'Disc X'; rename one"),
    ],
)
def test_headers(folder, capfd, headers, message):
    header = [headers.get(name, name) for name in HEADER]
    refused(folder, capfd, message, rows_of(VOTES), header=header)


def test_patients_that_differ(folder, capfd):
    rows = [[*row, "a"] for row in rows_of(VOTES)]
    rows[1][-1] = "b"
    message = "findings.csv, row 3 (p0): has 'b' under 'patient', and an earlier row of the image"
    refused(folder, capfd, message, rows, header=(*HEADER, "patient"))


@pytest.mark.parametrize(
    "text, name",
    [
        ("Hard  exudate", "hard_exudate"),
        (" RNFL-defect (wedge)", "rnfl_defect_wedge"),
        ("Œdème", ""),
        ("dégénération", "degeneration"),
        ("2nd", ""),
        ("?", ""),
    ],
)
def test_names_of_findings(text, name):
    assert annotations.identifier(text) == name
