"""What a folder may be wrong in: one line, status 2, and nothing stored."""

import pytest

from segjax.cli import main
from segjax.data import own
from tests.data.folders.settings import mask, picture, table
from tests.data.folders.test_photographs import prepare


@pytest.fixture
def folder(tmp_path):
    """Five photographs with masks."""
    for n in range(5):
        picture(tmp_path / "images" / f"p{n}.png", seed=n)
        mask(tmp_path / "masks" / f"p{n}.png")
    return tmp_path


def refused(folder, capfd, message, *words, **options):
    capfd.readouterr()
    assert prepare(folder, *words, **options) == 2
    errors = capfd.readouterr().err
    assert errors.startswith("segjax: ") and errors.count("\n") == 1 and message in errors, errors
    assert own.names(folder / "data") == []


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: (f / "masks" / "p3.png").unlink(), "1 image has no mask by {name}.*: p3.png"),
        (lambda f: (f / "images" / "p3.png").unlink(), "1 mask has no image by {name}.*: p3.png"),
        (
            lambda f: mask(f / "masks" / "p2.png", size=(8, 8)),
            "p2.png: the mask has 8x8 pixels, its",
        ),
        (lambda f: picture(f / "images" / "x" / "P1.png"), "two images are called 'P1'"),
        (lambda f: (f / "images" / "p1.png").write_bytes(b"no"), "p1.png"),
        (
            lambda f: (f / "images" / "a.dcm").write_bytes(b"0"),
            "a.dcm: is a DICOM file, which --im",
        ),
        (lambda f: (f / "images" / "a.nii.gz").write_bytes(b"0"), "a.nii.gz: is a volume"),
        (
            lambda f: mask(f / "masks" / "p2.png", (0, 7, 255)),
            "masks hold the values 0, 7, 255, no",
        ),
        (lambda f: mask(f / "masks" / "p2.png", range(20)), "masks hold the values 0, 1, 2, 3, 4,"),
        (
            lambda f: [mask(f / "masks" / f"p{n}.png", (0,)) for n in range(5)],
            "all masks are empty",
        ),
    ],
)
def test_files(folder, capfd, change, message):
    change(folder)
    refused(folder, capfd, message, "--masks", folder / "masks")


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "--masks, --points, --labels or --findings: one of them says what"),
        (["--masks", "nowhere"], "--masks nowhere: no such folder"),
        (["--masks", "{masks}", "--classes", "a,b"], "--classes: 2 names for the masks of"),
        (["--masks", "{masks}", "--classes", "image"], "'image' cannot be the name of a class"),
        (
            ["--masks", "{masks}", "--validation", "1.5"],
            "--validation 1.5: takes a number of at le",
        ),
        (["--masks", "{masks}", "--validation", "0.9", "--test", "0.3"], "--validation and --test"),
        (["--masks", "{masks}", "--group", "patient"], "--group 'patient': no table has such a co"),
        (
            ["--masks", "{masks}", "--group", "q{group}"],
            "does not fit 5 images: p0.png, p1.png, p2",
        ),
        (["--masks", "{masks}", "--mask_pattern", "{name}_m.png"], "'{name}_m.png' fits none by"),
        (["--masks", "{masks}", "--split", "nowhere.csv"], "nowhere.csv: no such table"),
        (["--points", "nowhere.csv"], "nowhere.csv: no such table"),
        (["--manual_dir", "x"], "--manual_dir: goes with `segjax data prepare nnunet`"),
    ],
)
def test_flags(folder, capfd, words, message):
    words = [word.format(masks=folder / "masks", name="{name}", group="{group}") for word in words]
    refused(folder, capfd, message, *words)


@pytest.mark.parametrize(
    "header, rows, message",
    [
        (
            ("name", "x", "y"),
            [("p0", 1, 2)],
            "4 images have no row: p1.png, p2.png, p3.png, p4.png",
        ),
        (("name", "x", "y"), [(f"p{n}", 1, 2) for n in range(6)], "1 row names no image: p5"),
        (
            ("name", "x", "y"),
            [(f"p{n}", 1, 2 + 9 * n) for n in range(5)],
            "row 4 (p2): y is 20, out",
        )
        if False
        else (("name", "x", "y"), [(f"p{n}", 1, 2 + 9 * n) for n in range(5)], "outside its image"),
        (("name", "x", "y"), [(f"p{n}", 1, "") for n in range(5)], "y is empty, not a number"),
        (("who", "x", "y"), [(f"p{n}", 1, 2) for n in range(5)], "no column of image names"),
        (
            ("name", "u", "v"),
            [(f"p{n}", 1, 2) for n in range(5)],
            "no columns x and y, nor such as",
        ),
        (("name", "x", "X"), [(f"p{n}", 1, 2) for n in range(5)], "two columns are headed 'X'"),
    ],
)
def test_tables_of_points(folder, capfd, header, rows, message):
    refused(folder, capfd, message, "--points", table(folder / "points.csv", header, *rows))


def test_one_image(tmp_path, capfd):
    picture(tmp_path / "images" / "a.png")
    mask(tmp_path / "masks" / "a.png")
    refused(tmp_path, capfd, "1 image: too few for the splits train", "--masks", tmp_path / "masks")


def test_a_split_that_leaves_a_side_empty(folder, capfd):
    rows = [(f"p{n}", "train") for n in range(5)]
    words = [
        "--masks",
        folder / "masks",
        "--split",
        table(folder / "s.csv", ("name", "split"), *rows),
    ]
    refused(folder, capfd, "no image for the split validation", *words)
    rows[0] = ("p0", "vlidation")
    table(folder / "s.csv", ("name", "split"), *rows)
    refused(folder, capfd, "row 2: 'vlidation' is no split, did you mean 'validation'?", *words)


@pytest.mark.parametrize("name", ["Mine", "1st", "a-b", "", "drive"])
def test_names_that_a_set_may_not_have(folder, capfd, name):
    refused(folder, capfd, f"--name {name}" if name == "drive" else f"--name {name!r}",
            "--masks", folder / "masks", name=name)  # fmt: skip


def test_the_folder_is_never_written_into(folder, capfd):
    words = ["data", "prepare", "folder", "--images", str(folder / "images"), "--name", "mine"]
    words += ["--masks", str(folder / "masks"), "--data_dir", str(folder / "images" / "data")]
    before = sorted(folder.rglob("*"))
    assert main(words) == 2
    assert "into which nothing is written" in capfd.readouterr().err
    assert sorted(folder.rglob("*")) == before


def test_flags_of_a_folder_belong_to_it(capfd):
    assert main(["data", "prepare", "idrid", "--images", "x"]) == 2
    assert "--images: goes with `segjax data prepare folder`" in capfd.readouterr().err


def test_a_damaged_set_is_named_and_left_to_the_others(folder, capfd):
    assert prepare(folder, "--masks", folder / "masks") == 0
    (own.folder_of("mine", folder / "data") / "features.json").write_text("{")
    capfd.readouterr()
    assert main(["data", "list", "--data_dir", str(folder / "data")]) == 0
    assert "mine                             damaged: " in capfd.readouterr().out
