"""A set of a folder with images of four axes and with voxels of which nothing is known, trained."""

import csv
import json
import pathlib

import nibabel
import numpy as np
import pytest

from segjax.cli import main
from segjax.config import files
from segjax.data.volumes import nifti
from segjax.errors import UserError
from segjax.inference.open import load_trained
from segjax.tasks.volume_segmentation.data import open_cases, open_patches
from segjax.tasks.volume_segmentation.evaluation import VolumeNetwork
from segjax.train import experiment
from tests.data.folders.test_volumes import write
from tests.train import runs
from tests.train.test_volumes import brute_hausdorff

pytestmark = pytest.mark.pictures

SHAPE, SPACING = (24, 20, 5), (1.5, 1.5, 6.0)  # x, y, z
SMALL = [
    "--config.model.features=(4,8)",
    "--config.model.strides=((1,1),(2,2))",
    "--config.model.kernels=((3,3),(3,3))",
]


def case(number):
    """An image of two channels with a ball in a shell, and labels of which a half is not known."""
    generator = np.random.default_rng(number)
    grid = np.stack(np.meshgrid(*(np.arange(n) - n / 2 for n in SHAPE), indexing="ij"))
    far = np.sqrt((grid / np.array([1, 1, 0.4])[:, None, None, None]) ** 2).max(axis=0)
    labels = np.select([far < 4, far < 8], [2, 1], 0).astype(np.uint8)
    image = np.stack([100.0 + 40 * labels, 100.0 - 40 * (labels == 2)], axis=-1)
    image += generator.normal(0, 5, image.shape)
    labels[:, : SHAPE[1] // 2] = 3  # the half that nobody has looked at
    labels[12, 6, 2] = 1
    return image.astype(np.float32), labels


def make_folder(root):
    for part, numbers in (("Tr", range(4)), ("Ts", range(4, 6))):
        for number in numbers:
            image, labels = case(number)
            write(root / f"images{part}" / f"ball{number}.nii.gz", image, SPACING)
            write(root / f"labels{part}" / f"ball{number}.nii.gz", labels, SPACING)
    content = {
        "channel_names": {"0": "one", "1": "two"},
        "labels": {"background": 0, "all": [1, 2], "ball": 2, "ignore": 3},
        "regions_class_order": [1, 2],
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def desk(tmp_path_factory, command_settings):
    """The folder in which the set is prepared and a network of a few steps trained."""
    desk = tmp_path_factory.mktemp("desk")
    make_folder(desk / "balls")
    data, file, work = (str(desk / name) for name in ("data", "balls.py", "work"))
    place = ["--data_dir", data]
    prepare = ["data", "prepare", "nnunet", "--manual_dir", str(desk / "balls"), "--name", "balls"]
    assert main([*prepare, *place]) == 0
    assert main(["new", file, "--data", "balls", *place]) == 0
    assert main(["train", "--config", f"{file}:steps=6", "--workdir", work, *SMALL]) == 0
    return desk


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_experiment_file_says_so(desk):
    config = files.load(str(desk / "balls.py"))
    assert config.task_options.ignored is True
    assert config.task_options.classes == ("all_only", "ball")
    assert config.data.splits.to_dict() == {s: s for s in ("train", "validation", "test")}
    losses = list(runs.logged(desk / "work", "train", "loss").values())
    assert losses and np.isfinite(losses).all()


def test_without_the_option_nothing_is_trained(desk, capsys):
    words = ["train", "--config", f"{desk / 'balls.py'}:steps=6", *SMALL]
    words += ["--workdir", str(desk / "other"), "--config.task_options.ignored=False"]
    capsys.readouterr()
    assert main(words) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "config.task_options.ignored=False: balls has vox" in errors
    assert not (desk / "other").exists()
    config = files.load(f"{desk / 'balls.py'}:steps=6", {"task_options.ignored": False})
    with pytest.raises(UserError, match="ignored=False: balls has voxels labelled 255"):
        open_patches(experiment.build(config, devices=1), "train")


def test_the_final_table_is_of_what_is_known(desk, capsys):
    work = desk / "work"
    assert main(["evaluate", "--workdir", str(work), "--split", "test"]) == 0
    rows = {row["image"]: row for row in rows_of(work / "predictions_test.csv")}
    assert sorted(rows) == ["ball4", "ball5"]
    trained = load_trained(work)
    network = VolumeNetwork(trained.experiment, trained.devices)
    network.place(trained.state)
    hidden = []
    for held in open_cases(trained.experiment, "test"):
        predicted = network.labels(held.image, held.geometry)
        labels = case(int(held.name[-1]))[1].T
        known, row = labels != 3, rows[held.name]
        hidden.append((predicted[~known] > 0).sum())
        np.testing.assert_array_equal(np.asarray(held.stored_labels) == 255, ~known)
        for k, name in ((1, "all_only"), (2, "ball")):
            here, true = (predicted == k) & known, labels == k
            sizes = here.sum() + true.sum()
            dice = 2 * (here & true).sum() / sizes if sizes else 1.0
            assert float(row[f"dice_{name}"]) == pytest.approx(dice, abs=1e-4)
            millilitres = np.prod(SPACING) / 1000
            for column, mask in ((f"volume_{name}", here), (f"true_volume_{name}", true)):
                assert float(row[column]) == pytest.approx(mask.sum() * millilitres, rel=1e-4)
            if here.any() and true.any():
                wanted = brute_hausdorff(here, true, SPACING[::-1])
                assert float(row[f"hausdorff_{name}"]) == pytest.approx(wanted, rel=1e-4)
    assert min(hidden) > 0  # something is predicted where it does not count
    evaluator = trained.experiment.task.evaluator(trained.experiment, "test", trained.devices)
    ((_, _, drawn, _),) = evaluator.panels(trained.state, {"one": 0})
    assert {*np.unique(drawn)} == {0, 1, 2}  # no contour around what is ignored


def test_one_file_of_four_axes_is_predicted_as_its_channels_are(desk, tmp_path, capsys):
    image, _ = case(9)
    channels = tmp_path / "channels"
    for channel in range(2):
        write(channels / f"c_000{channel}.nii.gz", image[..., channel], SPACING)
    # A name that would be channel 1 of a case, were it not for the header
    whole = tmp_path / "whole" / "c_0001.nii.gz"
    write(whole, image, SPACING)
    head = ["predict", "--workdir", str(desk / "work")]
    for source, out in ((channels, "one"), (whole.parent, "two")):
        assert main([*head, "--input", str(source), "--output", str(tmp_path / out)]) == 0
    one = nibabel.load(tmp_path / "one" / "c.nii.gz")
    two = nibabel.load(tmp_path / "two" / "c_0001.nii.gz")
    assert two.shape == SHAPE
    np.testing.assert_array_equal(np.asarray(one.dataobj), np.asarray(two.dataobj))
    np.testing.assert_array_equal(one.affine, two.affine)
    first, second = (rows_of(tmp_path / out / "predictions.csv")[0] for out in ("one", "two"))
    assert first.pop("image") == "c" and second.pop("image") == "c_0001" and first == second


def test_wrong_files_of_four_axes(desk, tmp_path, capsys):
    head = ["predict", "--workdir", str(desk / "work"), "--output", str(tmp_path / "out")]

    def refused(*paths, message):
        capsys.readouterr()
        assert main([*head, "--input", *map(str, paths)]) == 2
        errors = capsys.readouterr().err
        assert errors.startswith("segjax: ") and errors.count("\n") == 1, errors
        assert message in errors, errors
        assert not (tmp_path / "out").exists()

    image, _ = case(9)
    three, bare = tmp_path / "three.nii.gz", tmp_path / "bare.nii.gz"
    write(three, np.concatenate([image, image[..., :1]], axis=-1), SPACING)
    refused(three, message=f"--input {three}: holds 3 channels; the model takes 2")
    write(bare, image[..., 0], SPACING)
    refused(bare, message="or one file with 2 channels along a fourth axis")
    whole = tmp_path / "c.nii.gz"
    write(whole, image, SPACING)
    channel = tmp_path / "c_0000.nii.gz"
    write(channel, image[..., 0], SPACING)
    refused(channel, whole, message=f"--input {whole}: case c is {channel} already")
    refused(whole, channel, message=f"--input {channel}: case c is {whole} already")
    other = tmp_path / "else" / "c.nii"
    write(other, image, SPACING)
    refused(whole, other, message=f"--input {other}: case c is {whole} already")
    whole.write_bytes(whole.read_bytes()[:3000])
    refused(whole, message="c.nii.gz: damaged or cut short")


def test_a_model_of_one_channel_is_given_several(tmp_path):
    from segjax.tasks.volume_segmentation import VolumeSegmentation

    path = tmp_path / "c.nii.gz"
    write(path, case(0)[0], SPACING)
    predictor = VolumeSegmentation().predictor()
    assert predictor.cases([path]) == {"c": [path]}
    with pytest.raises(UserError, match=r"c.nii.gz: holds 2 channels .*; the model takes 1$"):
        predictor.check([path])
    assert nifti.count_channels(pathlib.Path(path)) == 2
