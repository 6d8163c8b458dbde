"""`predict` takes and refuses what `data prepare` does, and says what it passes over."""

import numpy as np
import pytest
from PIL import Image

from segjax.cli import main
from segjax.inference.predict import passed_over
from tests.wrong_input.test_predict_outputs import on_one_channel, on_volumes, volume
from tests.wrong_input.words import picture

__all__ = ["on_one_channel", "on_volumes"]
pytestmark = [pytest.mark.usefixtures("command_settings"), pytest.mark.pictures]


def pages(path, count=3):
    """A file of several pages or frames."""
    rng = np.random.default_rng(0)
    drawn = [Image.fromarray(rng.integers(0, 255, (9, 9), np.uint8)) for _ in range(count)]
    drawn[0].save(path, save_all=True, append_images=drawn[1:])
    return path


@pytest.mark.parametrize(
    "name, what", [("a.tif", "pages"), ("a.TIFF", "pages"), ("a.gif", "frames")]
)
def test_a_file_of_several_pages(refuses, tmp_path, trained, name, what):
    (tmp_path / "in").mkdir()
    path = pages(tmp_path / "in" / name)
    words = ["predict", "--workdir", trained, "--output", "out", "--input"]
    for given in ("in", path):
        refuses(*words, given, names=[f"{name}: holds 3 {what}; save each as a file of its own"])


def test_a_folder_stands_for_gif_files_too(tmp_path, trained, capfd):
    (tmp_path / "in").mkdir()
    for name in ("a.gif", "b.bmp", "c.tif"):
        picture(tmp_path / "in" / name)
    assert predict(trained, tmp_path) == 0
    rows = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["image", "a.gif", "b.bmp", "c.tif"]
    assert "passes over" not in capfd.readouterr().err


def predict(trained, folder):
    words = ["predict", "--workdir", trained, "--input", folder / "in", "--output", folder / "out"]
    return main([str(word) for word in words])


def test_what_is_passed_over_is_counted_in_one_line(tmp_path, trained, capfd):
    (tmp_path / "in" / "below").mkdir(parents=True)
    picture(tmp_path / "in" / "a.png")
    for name in (".hidden.webp", "notes.txt", "t.csv", "t.xlsx", "Thumbs.db"):
        (tmp_path / "in" / name).write_bytes(b"")
    assert predict(trained, tmp_path) == 0
    assert "passes over" not in capfd.readouterr().err
    for name in ("a.webp", "b.heic", "c", "d.dcm"):
        (tmp_path / "in" / name).write_bytes(b"")
    picture(tmp_path / "in" / "below" / "b.png")
    assert predict(trained, tmp_path) == 0
    lines = [line for line in capfd.readouterr().err.splitlines() if "passes over" in line]
    assert lines == [
        f"segjax: --input {tmp_path / 'in'}: passes over 4 files of other kinds (a.webp, b.heic, "
        "c, …) and 1 image in folders below it"
    ]


def test_of_volumes_too(tmp_path):
    for name in ("a.nii.gz", "a.json", "b.mha", "below/c.nii", ".git/d.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (line,) = passed_over(
        [str(tmp_path), str(tmp_path / "a.nii.gz")], (".nii", ".nii.gz"), "volume"
    )
    said = "passes over 1 file of other kinds (b.mha) and 1 volume in folders below it"
    assert line == f"--input {tmp_path}: {said}"


def test_several_channels_for_a_model_of_one(refuses, tmp_path, on_one_channel):
    for case in "cd":
        for channel in range(2):
            volume(tmp_path / "in" / f"{case}_000{channel}.nii.gz", seed=channel)
    words = ["predict", "--workdir", on_one_channel, "--output", "out", "--input"]
    said = "the model takes 1 channel, case c has 2, _0000 to _0001; give one of them, or rename"
    refuses(*words, "in", names=[f"--input in/c_0000.nii.gz: {said}"])
    # A run that was evaluated on such names has no channels in them
    (on_one_channel / "predictions_validation.csv").write_text("image,dice\ns_0003,1\ns_0004,1\n")
    (tmp_path / "in" / "d_0001.nii.gz").write_bytes(b"no")
    refuses(*words, "in", names=["in/d_0001.nii.gz: is not a NIfTI file"])
    (on_one_channel / "predictions_validation.csv").write_text("image,dice\ns_003,1\n")
    refuses(*words, "in", names=[said])
