"""Names with dots, and names whose letters are written in other ways, belong together."""

import json
import unicodedata

import numpy as np
import pytest

from segjax.data import names, own
from segjax.data.tables import rows_by_name
from segjax.errors import UserError
from tests.data.folders import test_volumes
from tests.data.folders.settings import mask, picture, table
from tests.data.folders.test_photographs import prepare, records


def apart(text):
    """As macOS writes it: é is two characters."""
    return unicodedata.normalize("NFD", text)


@pytest.mark.parametrize(
    "name, stem",
    [
        ("scan.0", "scan.0"),
        ("scan.0.png", "scan.0"),
        ("a.JPEG", "a"),
        ("a.nii.gz", "a"),
        ("a.nii.png", "a.nii"),
        ("a.b.nii", "a.b"),
        ("a.tar.gz", "a.tar.gz"),
        (".png", ".png"),
        ("png", "png"),
    ],
)
def test_only_endings_that_are_read_are_cut(name, stem):
    assert names.stem(name) == stem


@pytest.mark.parametrize("form", [str, apart])
def test_a_name_is_compared_by_its_letters(form):
    assert names.key(form("Éva")) == "éva"


@pytest.mark.parametrize("ending", ["", ".png"])
@pytest.mark.parametrize("flag", ["points", "split"])
def test_a_table_of_names_with_dots(tmp_path, ending, flag):
    for n in range(4):
        picture(tmp_path / "images" / f"Scan.{n}.png", seed=n)
        mask(tmp_path / "masks" / f"Scan.{n}.png")
    rows = [(f"scan.{n}{ending}", 3 + n, 7) for n in range(4)]
    words = ["--points", table(tmp_path / "p.csv", ("name", "x", "y"), *rows)]
    if flag == "split":
        rows = [(name, "train" if x > 3 else "validation") for name, x, _ in rows]
        split = table(tmp_path / "s.csv", ("name", "split"), *rows)
        words = ["--masks", tmp_path / "masks", "--split", split]
    assert prepare(tmp_path, *words) == 0
    assert set(records(tmp_path)) == {f"Scan.{n}" for n in range(4)}


def test_the_whole_name_is_preferred_and_numbers_need_no_decimals():
    rows = [{"row": n, "name": name} for n, name in enumerate(["a.png", "a.tif", 17.0, "18.0"])]
    found = rows_by_name("t.csv", rows, {"a.png", "a", "17", "18"})
    assert {name: row["row"] for name, row in found.items()} == {
        "a.png": 0,
        "a": 1,
        "17": 2,
        "18": 3,
    }


def test_two_rows_of_one_name_are_still_refused():
    rows = [{"row": 2, "name": "a.0.png"}, {"row": 3, "name": "A.0.tif"}]
    with pytest.raises(UserError, match="row 3: A.0.tif already stands in row 2"):
        rows_by_name("t.csv", rows)


@pytest.mark.parametrize("files, tables", [(apart, str), (str, apart), (apart, apart)])
def test_letters_of_photographs_masks_and_tables(tmp_path, capfd, files, tables):
    for n in range(4):
        picture(tmp_path / "images" / files(f"Ré_{n}.png"), seed=n)
        mask(tmp_path / "masks" / tables(f"Ré_{n}_Gefäß.png"))
    rows = [(tables(f"ré_{n}"), 3 + n, 7, tables("é") if n < 2 else "é") for n in range(4)]
    header = ("name", "x", "y", tables("Prénom"))
    points = table(tmp_path / "p.csv", header, *rows)
    split = [(tables(f"Ré_{n}"), "train" if n < 3 else "validation") for n in range(4)]
    words = ["--masks", tmp_path / "masks", "--points", points]
    assert prepare(tmp_path, *words, "--mask_pattern", tables("{name}_gefäß.png")) == 0
    made = own.folder_of("mine", tmp_path / "data")
    split = table(tmp_path / "s.csv", ("name", "split"), *split)
    assert prepare(tmp_path, *words, "--split", split, name="given") == 0
    assert prepare(tmp_path, *words, "--split", made / own.SPLIT_TABLE, name="again") == 0
    capfd.readouterr()
    for how in (files("Prénom"), tables("ré_{group}")):
        assert prepare(tmp_path, *words, "--group", how, "--dry_run") == (2 if "P" in how else 0)
    errors = capfd.readouterr().err
    assert "1 group of images: too few for the splits" in errors  # all are of one é


def test_two_files_that_differ_in_the_way_letters_are_written(tmp_path, capfd):
    for form in (str, apart):
        picture(tmp_path / "images" / form("é.png"))
        mask(tmp_path / "masks" / form("é.png"))
    assert prepare(tmp_path, "--masks", tmp_path / "masks") == 2
    assert "--images: two files are called 'é.png'" in capfd.readouterr().err


@pytest.mark.parametrize("images, labels", [(apart, str), (str, apart)])
def test_letters_of_volumes(tmp_path, images, labels):
    root = tmp_path / "volumes"
    for n in range(4):
        image = np.random.default_rng(n).normal(size=test_volumes.SHAPE).astype(np.float32)
        test_volumes.write(root / "imagesTr" / images(f"é{n}.nii.gz"), image)
        found = test_volumes.labels_of(n)
        test_volumes.write(root / "labelsTr" / labels(f"é{n}.nii.gz"), found)
    listed = [{"image": f"é{n}.nii.gz", "label": f"é{n}.nii.gz"} for n in range(4)]
    test_volumes.describe(root, channel_names={"0": "MR"}, training=listed)
    assert json.loads((root / "dataset.json").read_text())["training"] == listed
    split = [(images(f"É{n}"), "train" if n else "validation") for n in range(4)]
    words = ["--split", table(tmp_path / "s.csv", ("name", "split"), *split)]
    assert test_volumes.prepare(root, *words) == 0
    assert set(test_volumes.records(root, "validation")) == {"é0"}
    test_volumes.write(root / "imagesTr" / labels("é1.nii.gz"), image)
    assert test_volumes.prepare(root, *words) == 2


def test_messages_name_cases_as_their_files_do(tmp_path, capfd):
    for n in range(4):
        picture(tmp_path / "images" / f"Eye {n}.png", seed=n // 2)
        mask(tmp_path / "masks" / f"Eye {n}.png")
    words = ["--masks", tmp_path / "masks"]
    assert prepare(tmp_path, *words, "--dry_run") == 0
    assert "same image   Eye 0, Eye 1: pixel by pixel" in capfd.readouterr().out
    for splits, said in (
        (["train", "validation", "train"], "1 image has no row: Eye 3\n"),
        (["train", "validation"] * 2, "Eye 0 in train, Eye 1 in validation\n"),
    ):
        rows = [(f"eye {n}", split) for n, split in enumerate(splits)]
        split = table(tmp_path / "s.csv", ("name", "split"), *rows)
        assert prepare(tmp_path, *words, "--split", split) == 2
        assert said in capfd.readouterr().err
    assert prepare(tmp_path, *words, "--split", split, "--group", "Eye{group}*") == 2
    assert "the group ' ' is on both sides: Eye 0 in train, Eye 1 in" in capfd.readouterr().err
