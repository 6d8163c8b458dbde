"""Predictions never harm their input, nor a file that segjax did not write."""

import json
import os
import shutil

import nibabel
import numpy as np
import pytest

from segjax.cli import main
from segjax.config import files
from segjax.data import images, outputs, store
from segjax.data.png import write_png
from segjax.data.volumes import nifti
from segjax.errors import UserError
from segjax.tasks.volume_segmentation import VolumeSegmentation
from segjax.train import checkpoint
from tests.data.fake_volumes import write
from tests.train import runs
from tests.wrong_input.conftest import snapshot
from tests.wrong_input.words import ROOT, picture

pytestmark = [pytest.mark.usefixtures("command_settings"), pytest.mark.pictures]
CARDIAC = ROOT / "experiments" / "regionwise" / "demo.py"


@pytest.fixture
def on_volumes(tmp_path_factory, monkeypatch):
    """What is read of a folder trained on volumes of two channels before a volume is predicted."""
    folder = tmp_path_factory.mktemp("volumes")
    options = {"channels": 2, "slice_axis": 0, "normalization": ("zscore", "zscore")}
    config = files.load(f"{CARDIAC}:rrw", {f"task_options.{k}": v for k, v in options.items()})
    (folder / "config.json").write_text(files.to_json(config))
    monkeypatch.setattr(checkpoint, "require", lambda *_: None)
    return folder


@pytest.fixture
def on_one_channel(on_volumes):
    file = on_volumes / "config.json"
    options = {"channels": 1, "normalization": ["zscore"]}
    config = json.loads(file.read_text())
    config["task_options"] |= options
    file.write_text(json.dumps(config))
    return on_volumes


def volume(path, seed=0, shape=(20, 24, 4), spacing=(1.5, 1.5, 8.0), **place):
    array = np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)
    write(path, array, spacing, **place)
    return path


@pytest.fixture
def places(tmp_path):
    """A folder of pictures or volumes under many names."""

    def make(one):
        (tmp_path / "pictures" / "below").mkdir(parents=True)
        one(tmp_path / "pictures")
        (tmp_path / "link").symlink_to("pictures")
        (tmp_path / "linked").mkdir()
        (tmp_path / "linked" / "overlays").symlink_to("../pictures")
        shutil.copytree(tmp_path / "pictures", tmp_path / "around" / "pictures")

    return make


# --input, --output, and what the message says of them
MIXED = {
    "the input": ("pictures", "pictures", "is the input pictures"),
    "through ..": ("pictures", "pictures/below/..", "is the input pictures"),
    "through a link": ("link", "pictures", "is the input link"),
    "through a linked output": ("pictures", "link", "is the input pictures"),
    "absolute": ("pictures", "{}/pictures", "is the input pictures"),
    "inside": ("pictures", "pictures/out/deep", "lies in the input pictures"),
    "inside a link": ("pictures", "link/out", "lies in the input pictures"),
    "around": ("around/pictures", "around", "holds the input around/pictures"),
    "around a file": ("{file}", "pictures", "holds the input"),
    "a folder of the output": ("pictures", "linked", "overlays: is the input pictures"),
}


@pytest.mark.parametrize("case", MIXED)
def test_predictions_apart_from_pictures(refuses, places, tmp_path, trained, case):
    places(lambda folder: picture(folder / "a.png"))
    given, output, part = (word.format(tmp_path, file="pictures/a.png") for word in MIXED[case])
    words = ["predict", "--workdir", trained, "--input", given, "--output", output]
    refuses(*words, names=[f"--output {output}", part])
    good = picture(tmp_path / "good.png")
    refuses(*words[:4], good, *words[4:], names=[part])  # one of several


@pytest.mark.parametrize("case", MIXED)
def test_predictions_apart_from_volumes(refuses, places, tmp_path, on_one_channel, case):
    places(lambda folder: volume(folder / "a.nii.gz"))
    given, output, part = (word.format(tmp_path, file="pictures/a.nii.gz") for word in MIXED[case])
    words = ["predict", "--workdir", on_one_channel, "--input", given, "--output", output]
    refuses(*words, names=[f"--output {output}", part])


def test_a_link_to_a_file_of_the_output(refuses, tmp_path, on_one_channel):
    volume(tmp_path / "originals" / "a.nii.gz")
    (tmp_path / "chosen").mkdir()
    (tmp_path / "chosen" / "a.nii.gz").symlink_to("../originals/a.nii.gz")
    words = ["predict", "--workdir", on_one_channel, "--input", "chosen", "--output", "originals"]
    refuses(*words, names=["--output originals", "holds the input chosen/a.nii.gz"])


def test_two_inputs_of_one_output(refuses, tmp_path, on_one_channel, trained):
    one, two = volume(tmp_path / "a" / "case.nii.gz"), volume(tmp_path / "b" / "case.nii.gz")
    words = ["predict", "--workdir", on_one_channel, "--output", "out", "--input"]
    refuses(*words, "a", "b", names=["--input b/case.nii.gz", "case is a/case.nii.gz already"])
    shutil.copy(one, tmp_path / "a" / "Case.nii.gz")
    refuses(*words, "a", names=["a/case.nii.gz", "a/Case.nii.gz", "Case.nii.gz"])
    two.rename(two.with_name("case.nii"))
    refuses(*words, one, two.with_name("case.nii"), names=[one, two.with_name("case.nii")])

    words = ["predict", "--workdir", trained, "--output", "out", "--input"]
    (tmp_path / "x").mkdir()
    picture(tmp_path / "x" / "p.png")
    picture(tmp_path / "p.png")
    picture(tmp_path / "x__p.png")
    refuses(*words, "p.png", "x", "x__p.png", names=["x__p.png", "x/p.png"])
    refuses(*words, "p.png", "p.png", names=["--input p.png: is given twice"])
    long = picture(tmp_path / f"{'p' * 240}.png")
    refuses(*words, "p.png", long.name, names=[long.name, "too long a name"])


def test_what_segjax_did_not_write_is_left_alone(refuses, tmp_path, on_one_channel, trained):
    volume(tmp_path / "in" / "a.nii.gz")
    words = ["predict", "--workdir", on_one_channel, "--input", "in", "--output", "out"]
    manual = volume(tmp_path / "out" / "a.nii.gz", seed=1)  # labels by hand, as it were
    refuses(*words, names=[f"--output out/{manual.name}", "segjax did not write it"])
    labels = nifti.read_volume(manual).array > 120
    nifti.write_labels(manual, labels, np.eye(4), np.ones(3))
    assert outputs.is_own(manual)
    corrected = nibabel.load(manual)  # by hand, in a program that keeps the header
    voxels = np.asarray(corrected.dataobj).copy()
    voxels[0, 0, 0] ^= 1
    nibabel.save(nibabel.Nifti1Image(voxels, corrected.affine, corrected.header), manual)
    refuses(*words, names=[f"--output out/{manual.name}", "segjax did not write it"])
    manual.unlink()
    for text in ("patient,age\n1,63\n", "image,grade\na.nii.gz,3\n"):
        (tmp_path / "out" / "predictions.csv").write_text(text)
        refuses(*words, names=["--output out/predictions.csv", "segjax did not write it"])

    words = ["predict", "--workdir", trained, "--input", picture(tmp_path / "p.png")]
    (tmp_path / "other" / "overlays").mkdir(parents=True)
    picture(tmp_path / "other" / "overlays" / "p.png")
    refuses(*words, "--output", "other", names=["overlays/p.png", "did not write it"])


def test_earlier_predictions_give_way_and_hidden_files_are_passed_over(tmp_path, trained, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (tmp_path / "out" / "notes").mkdir(parents=True)
    picture(folder / "p.png", (1, 1))
    (folder / "._p.png").write_bytes(b"\0\5\26\7resource fork")
    before = snapshot(folder)
    words = ["predict", "--workdir", trained, "--input", folder, "--output", tmp_path / "out"]
    for _ in range(2):
        assert main([str(word) for word in words]) == 0
    assert snapshot(folder) == before
    assert "notes" not in capsys.readouterr().out  # only what was written is told of
    lines = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["image", "p.png"]


def test_channels_of_a_case(refuses, tmp_path, on_volumes):
    """Each of 0 to n - 1 once, on one grid."""
    one, two = (volume(tmp_path / "in" / f"a_000{k}.nii.gz", seed=k) for k in range(2))
    words = ["predict", "--workdir", on_volumes, "--output", "out", "--input"]
    third = shutil.copy(two, tmp_path / "in" / "a_0002.nii.gz")
    refuses(*words, "in", names=["--input in/a_0002.nii.gz", "_0000.nii.gz to _0001.nii.gz"])
    third.unlink()
    other = volume(tmp_path / "other" / "a_0001.nii.gz")
    refuses(*words, "in", other, names=[other, "channel _0001 of case a is in/a_0001.nii.gz"])
    bare = volume(tmp_path / "b.nii.gz")
    refuses(*words, bare, names=["b.nii.gz", "takes 2 files a case"])
    refuses(*words, one, names=["a_0000.nii.gz: case a lacks the channel _0001"])
    refuses(*words, two, names=["a_0001.nii.gz: case a lacks the channel _0000"])
    # A corner moves by the shift of 3 mm; a channel of other spacing ends elsewhere.
    volume(two, shift=3.0)
    refuses(*words, "in", names=["in/a_0001.nii.gz: its affine differs", "in/a_0000", "3 mm"])
    volume(two, spacing=(1.5, 1.5, 9.0))
    refuses(*words, "in", names=["in/a_0001.nii.gz: its affine differs", "in/a_0000", "3 mm"])
    volume(two, shape=(20, 24, 5))
    refuses(*words, "in", names=["in/a_0001.nii.gz: has 20x24x5 voxels", "20x24x4"])


def test_channels_are_in_the_order_of_their_numbers(tmp_path):
    """Wherever they lie: by paths, the second channel would come first."""
    one = volume(tmp_path / "z" / "a_0000.nii.gz")
    two = volume(tmp_path / "b" / "a_0001.nii.gz", seed=1)
    task = VolumeSegmentation(channels=2, normalization=("zscore", "zscore"))
    cases = task.predictor().cases([two, one])
    assert cases == {"a": [one, two]}


def test_slices_along_another_axis(refuses, tmp_path, on_one_channel):
    """A model of slices along the file's last axis, and a volume in another order."""
    array = np.zeros((4, 24, 20), np.float32)
    write(tmp_path / "a.nii.gz", array, (8.0, 1.5, 1.5))
    words = ["predict", "--workdir", on_one_channel, "--output", "out", "--input"]
    refuses(*words, "a.nii.gz", names=["a.nii.gz: its slices should lie along z", "8 x 1.5 x 1.5"])


def test_axial_slices_along_another_axis_of_a_thin_ct(refuses, tmp_path, on_one_channel):
    """Spacing says nothing here, and CT is axial: the affine has the slices come first."""
    file = on_one_channel / "config.json"
    config = json.loads(file.read_text())
    bounds = {"mean": 0, "sd": 1, "percentile_00_5": -9, "percentile_99_5": 9}
    config["task_options"] |= {"normalization": ["CT"], "intensities": [list(bounds.values())]}
    file.write_text(json.dumps(config))
    write(tmp_path / "a.nii.gz", np.zeros((4, 24, 20), np.float32), (1, 0.8, 0.8), axes=(2, 1, 0))
    words = ["predict", "--workdir", on_one_channel, "--output", "out", "--input"]
    parts = ["a.nii.gz: its axial slices lie along x", "the model takes them along z"]
    refuses(*words, "a.nii.gz", names=parts)


def test_other_outputs_replace_nothing_of_others(refuses, tmp_path, data_dir):
    notes = tmp_path / "notes.png"
    picture(notes)
    show = ["data", "show", runs.DATA, "--data_dir", data_dir, "--output"]
    refuses(*show, "notes.png", names=["--output notes.png", "segjax did not write it"])
    shape = ["landscape", "shift", "--size=32", "--radius=6", "--steps=3", "--loss=dice"]
    refuses(*shape, "--output", "notes.png", names=["--output notes.png", "did not write it"])
    for name in ("config.json", "config.fingerprint.json"):
        (tmp_path / name).write_text('{"fingerprint": "mine"}')
        words = ["plan", "synthetic_cardiac", "--output", "config.json"]
        refuses(*words, names=[f"--output {name}", "segjax did not write it"])
        (tmp_path / name).unlink()
    for words in ([*show, "sheet.png"], [*shape, "--output", "shift.png"]):
        for _ in range(2):  # its own earlier one gives way
            assert main([str(word) for word in words]) == 0
    write_png(notes, np.zeros((4, 4, 3), np.uint8))
    assert main([str(word) for word in [*show, "notes.png"]]) == 0


def test_a_plan_gives_way_to_a_plan(tmp_path):
    name = "synthetic_cardiac/48px_3_2_1"
    store.ensure_prepared(name, str(tmp_path / "data"))
    words = ["plan", name, "--data_dir", tmp_path / "data", "--output", tmp_path / "plan.json"]
    for version in ("v1", "v2"):
        assert main([*map(str, words), "--version", version]) == 0


@pytest.mark.parametrize("ending", [".png", ".nii.gz"])
def test_what_is_no_file_is_not_waited_for(refuses, tmp_path, on_one_channel, trained, ending):
    """A pipe would be read for ever; a link to itself has no end either."""
    work = trained if ending == ".png" else on_one_channel
    words = ["predict", "--workdir", work, "--output", "out", "--input"]
    (tmp_path / "in").mkdir()
    place = tmp_path / "in" / f"a{ending}"
    for make, part in (
        (os.mkfifo, "neither a file nor a folder"),
        (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
        (lambda path: path.symlink_to("gone"), "is a link to gone, which is gone"),
    ):
        make(place)
        for given in ("in", place):
            refuses(*words, given, names=[f"--input {place if given == place else given}", part])
        place.unlink()
    odd = os.fsencode(tmp_path / "in") + b"/\xff" + ending.encode()
    with open(odd, "wb"):
        pass
    refuses(*words, "in", names=["\\udcff", "its name is not UTF-8"])
    with pytest.raises(UserError, match="is no file"):
        os.mkfifo(place)
        (images.read_image if ending == ".png" else nifti.read_volume)(place)
