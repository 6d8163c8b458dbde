"""An output folder that holds earlier predictions: they stay, and are named."""

import nibabel
import numpy as np
import pytest

from segjax.cli import main
from segjax.data.png import write_png
from segjax.data.volumes import nifti
from segjax.inference import earlier
from tests.wrong_input.words import picture

pytestmark = [pytest.mark.usefixtures("command_settings"), pytest.mark.pictures]


@pytest.fixture
def predicted(tmp_path, trained, capfd):
    """Predicts photographs into a folder; what it says as remarks."""

    def run(*names, into="out"):
        paths = [picture(tmp_path / name) for name in names]
        words = ["predict", "--workdir", trained, "--input", *paths, "--output", tmp_path / into]
        capfd.readouterr()
        assert main([str(word) for word in words]) == 0
        return [line for line in capfd.readouterr().err.splitlines() if "earlier" in line]

    return run


def test_what_earlier_predictions_left_is_named_and_stays(tmp_path, predicted):
    assert predicted("a.png", "b.png") == []
    kept = (tmp_path / "out" / "overlays" / "a.png").read_bytes()
    (line,) = predicted("c.png")
    assert line == (
        f"segjax: {tmp_path / 'out'} also holds 2 files of earlier predictions, not of this one, "
        "whose rows predictions.csv no longer has: "
        "overlays/a.png, overlays/b.png"
    )
    assert (tmp_path / "out" / "overlays" / "a.png").read_bytes() == kept
    rows = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["image", "c.png"]
    assert predicted("a.png", "b.png", "c.png") == []  # all written again


def test_what_another_run_writes_elsewhere_is_named_too(tmp_path, predicted):
    out = tmp_path / "out"
    write_png(out / "labels" / "c.png", np.zeros((4, 4), np.uint8))
    labels = np.zeros((2, 3, 4), int)
    for name in ("x", "y"):
        nifti.write_labels(out / f"{name}.nii.gz", labels, np.eye(4), np.ones(3))
    corrected = nibabel.load(out / "y.nii.gz")  # by hand, in a program that keeps the header
    voxels = np.asarray(corrected.dataobj) + np.uint8(1)
    nibabel.save(nibabel.Nifti1Image(voxels, None, corrected.header), out / "y.nii.gz")
    # Of others, or of no kind that predictions have
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), out / "scan.nii.gz")
    (out / "broken.nii.gz").write_bytes(b"\x1f\x8b\x08 no more")
    picture(out / "labels" / "mine.png")
    write_png(out / "sheet.png", np.zeros((4, 4), np.uint8))
    (out / "labels" / "notes.txt").write_text("segjax")
    (line,) = predicted("c.png")
    assert line.endswith(
        " also holds 3 files of earlier predictions, not of this one, "
        "whose rows predictions.csv no longer has: "
        "labels/c.png, x.nii.gz, y.nii.gz"
    )


def test_of_many_the_first_are_named(tmp_path):
    for number in range(5):
        write_png(tmp_path / "overlays" / f"{number}.png", np.zeros((4, 4), np.uint8))
    before = earlier.files_of(tmp_path)
    assert earlier.remark(tmp_path, before, most=2) == (
        f"{tmp_path} also holds 5 files of earlier predictions, not of this one, "
        "whose rows predictions.csv no longer has: "
        "overlays/0.png, overlays/1.png and 3 more"
    )
    for number in range(1, 5):
        write_png(tmp_path / "overlays" / f"{number}.png", np.zeros((4, 4), np.uint8))
    assert " also holds 1 file of earlier predictions" in earlier.remark(tmp_path, before)
    (tmp_path / "overlays" / "0.png").unlink()
    assert earlier.remark(tmp_path, before) is None
    assert earlier.remark(tmp_path, earlier.files_of(tmp_path / "new")) is None
