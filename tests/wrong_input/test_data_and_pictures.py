"""Wrong data sets, downloads and pictures."""

import pytest

from segjax.cli import main
from tests.train import runs
from tests.wrong_input.words import picture

pytestmark = pytest.mark.usefixtures("command_settings")


@pytest.mark.parametrize("verb", ["prepare", "show"])
def test_a_data_set_that_is_unknown(refuses, verb):
    refuses("data", verb, "idird", names=["'idird'", "did you mean 'idrid'?", "synthetic_fundus"])
    refuses("data", verb, "idrid/gradin", names=["'idrid/gradin'", "did you mean 'grading'?"])


@pytest.mark.parametrize("name", ["idrid", "idrid/segmentation", "refuge2"])
def test_a_wrong_manual_dir(refuses, tmp_path, name):
    words = ["data", "prepare", name]
    refuses(*words, names=["--manual_dir is needed"])
    refuses(*words, "--manual_dir", "absent", names=["--manual_dir absent", "no such folder"])
    (tmp_path / "file").write_text("")
    refuses(*words, "--manual_dir", "file", names=["--manual_dir file"])
    (tmp_path / "empty").mkdir()
    errors = refuses_but_for_data(refuses, tmp_path, *words, "--manual_dir", "empty")
    assert "empty" in errors
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("not a data set")
    errors = refuses_but_for_data(refuses, tmp_path, *words, "--manual_dir", "other")
    assert "other" in errors


def refuses_but_for_data(refuses, tmp_path, *words):
    """As `refuses`; TFDS has begun, so its folder may exist, but holds no prepared set."""
    folder = tmp_path.with_name(tmp_path.name + "_data")
    errors = refuses(*words, "--data_dir", folder, names=["manual_dir"])
    assert not [path for path in folder.rglob("*") if "record" in path.name]
    assert not list(folder.rglob("dataset_info.json"))
    return errors


def test_a_data_dir_that_cannot_be_written(refuses, tmp_path):
    (tmp_path / "file").write_text("")
    name = "synthetic_fundus/48px_2_1_1"
    refuses("data", "prepare", name, "--data_dir", "file/data", names=["--data_dir", "file/data"])
    refuses(*runs.words("run", "file/data"), names=["file/data"])


def test_showing_what_is_not_there(refuses, tmp_path, data_dir):
    words = ["data", "show", runs.DATA, "--data_dir", data_dir]
    refuses(*words, "--split", "trian", names=["--split='trian'", "did you mean 'train'?"])
    refuses("data", "show", "idrid", names=["'idrid'", "segjax data prepare"])
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    refuses(*words, "--output", "file/sheet.png", names=["--output file", "cannot write"])
    refuses(*words, "--output", "folder", names=["--output", "folder"])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("not a picture at all\n" * 50)


def truncated(path):
    picture(path, (200, 200))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", ["bad.png", "bad.jpg", "bad.tif"])
@pytest.mark.parametrize("make", [empty, text, truncated])
def test_an_unreadable_picture(refuses, tmp_path, trained, make, name):
    (tmp_path / "pictures").mkdir()
    picture(tmp_path / "pictures" / "good.png")
    make(tmp_path / "pictures" / name)
    words = ["predict", "--workdir", trained, "--output", "out", "--input"]
    refuses(*words, "pictures", names=[f"pictures/{name}"], untouched=[trained])


def test_pictures_that_are_not_there(refuses, tmp_path, trained):
    words = ["predict", "--workdir", trained, "--output", "out", "--input"]
    good = picture(tmp_path / "good.png")
    refuses(*words, good, "absent.png", names=["absent.png", "no such file"])
    (tmp_path / "empty").mkdir()
    refuses(*words, "empty", names=["--input empty", "no image"])
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("notes")
    refuses(*words, good, "texts", names=["--input texts", "no image"])


@pytest.mark.parametrize("output", ["file", "file/out", "x" * 300])
def test_an_output_that_cannot_be_written(refuses, tmp_path, trained, output):
    (tmp_path / "file").write_text("a file")
    good = picture(tmp_path / "good.png")
    words = ["predict", "--workdir", trained, "--input", good, "--output", output]
    refuses(*words, names=[output], untouched=[trained])


def test_a_good_picture_is_taken(tmp_path, trained):
    good = picture(tmp_path / "good.png")
    words = ["predict", "--workdir", trained, "--input", good, "--output", tmp_path / "out"]
    assert main([str(word) for word in words]) == 0
    lines = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert len(lines) == 2 and lines[1].startswith("good.png,")
    assert (tmp_path / "out" / "overlays" / "good.png").is_file()
