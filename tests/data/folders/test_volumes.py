"""A folder in nnU-Net's layout, from the command to the records."""

import json

import nibabel
import numpy as np
import pytest

from segjax.cli import main
from segjax.data import own, store

LABELS = {"background": 0, "liver": 1, "tumour": 2}
SHAPE = (6, 5, 4)  # x, y, z


def write(path, array, spacing=(1.0, 1.0, 3.0)):
    """A NIfTI file of an array `[x, y, z]`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, np.diag([*spacing, 1.0]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def labels_of(seed):
    """Voxels of three labels, all of which are there."""
    found = np.random.default_rng(seed).integers(0, 3, SHAPE).astype(np.uint8)
    found.reshape(-1)[:3] = 0, 1, 2
    return found


@pytest.fixture
def folder(tmp_path):
    """Six cases of two channels, two of each patient."""
    root = tmp_path / "Dataset007_Livers"
    for n in range(6):
        name = f"pat{n // 2}_{n:03d}"
        for channel in range(2):
            image = np.random.default_rng(10 * n + channel).normal(size=SHAPE).astype(np.float32)
            write(root / "imagesTr" / f"{name}_{channel:04d}.nii.gz", image)
        write(root / "labelsTr" / f"{name}.nii.gz", labels_of(n))
    describe(root)
    return root


def describe(root, **changes):
    content = {"channel_names": {"0": "T1", "1": "T2"}, "labels": LABELS, "numTraining": 6}
    content |= {"file_ending": ".nii.gz"} | changes
    kept = {key: value for key, value in content.items() if value is not None}
    (root / "dataset.json").write_text(json.dumps(kept))


def prepare(folder, *words, name="livers"):
    """The command; its exit status."""
    given = ["--manual_dir", str(folder), "--name", name, *map(str, words)]
    return main(["data", "prepare", "nnunet", "--data_dir", str(folder.parent / "data"), *given])


def records(folder, split):
    made = store.builder("livers", str(folder.parent / "data"))
    source = store.open_split(made, split)
    return {source[i]["image_id"].decode(): source[i] for i in range(len(source))}


def test_cases_become_a_set_that_can_be_planned(folder, capfd):
    before = sorted(folder.rglob("*"))
    assert prepare(folder, "--group", "pat{group}_*", "--validation", "0.3") == 0
    shown = capfd.readouterr().out
    for words in (
        "cases        6 in ",
        "channels     T1, T2",
        "voxels       4x5x6 to 4x5x6, median 4x5x6, slices first",
        "spacing      3x1x1 to 3x1x1 mm",
        "class        tumour: label 2; in 6 of 6 cases",
        "groups       3 by pat{group}_*, 2 cases each",
        "splits       train 4, validation 2: whole groups drawn with seed 0",
        "prepared: ",
    ):
        assert words in shown
    assert sorted(folder.rglob("*")) == before
    train, held = records(folder, "train"), records(folder, "validation")
    assert not {e["patient"] for e in train.values()} & {e["patient"] for e in held.values()}
    for name, example in {**train, **held}.items():
        number = int(name[-3:])
        np.testing.assert_array_equal(example["labels"], labels_of(number).T)
        first = np.random.default_rng(10 * number).normal(size=SHAPE).astype(np.float32)
        np.testing.assert_array_equal(example["image"][..., 0], first.T)
        np.testing.assert_array_equal(example["spacing"], [3, 1, 1])
    place = ["--data_dir", str(folder.parent / "data")]
    assert main(["plan", "livers", *place]) == 0
    plan = json.loads((folder.parent / "data" / "plans" / "livers-v1.json").read_text())
    assert plan["dataset"] == "livers"
    capfd.readouterr()
    assert prepare(folder, "--group", "pat{group}_*", "--validation", "0.3") == 0
    assert "already prepared" in capfd.readouterr().out


def test_a_changed_case_is_noticed(folder, capfd):
    assert prepare(folder) == 0
    write(folder / "labelsTr" / "pat1_002.nii.gz", labels_of(99))
    capfd.readouterr()
    assert prepare(folder) == 2
    assert "1 changed (pat1_002); --overwrite" in capfd.readouterr().err
    assert prepare(folder, "--overwrite") == 0
    found = records(folder, "train") | records(folder, "validation")
    np.testing.assert_array_equal(found["pat1_002"]["labels"], labels_of(99).T)


def test_the_description_of_version_1(folder, capfd):
    names = sorted(path.name for path in (folder / "labelsTr").iterdir())
    training = [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in names]
    version_1 = {
        "channel_names": None,
        "file_ending": None,
        "modality": {"0": "CT", "1": "PET"},
        "labels": {"0": "background", "1": "liver", "2": "tumour"},
        "training": training,
    }
    describe(folder, **version_1)
    assert prepare(folder) == 0
    assert "channels     CT, PET" in capfd.readouterr().out
    training.append({"image": "./imagesTr/gone.nii.gz", "label": "./labelsTr/gone.nii.gz"})
    describe(folder, **version_1)
    assert prepare(folder, name="other") == 2
    assert "names 1 file that is not in labelsTr: gone.nii.gz" in capfd.readouterr().err


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda f: (f / "dataset.json").unlink(),
            "should hold dataset.json, imagesTr and labelsTr",
        ),
        (lambda f: (f / "dataset.json").write_text("{"), "dataset.json: damaged"),
        (lambda f: describe(f, labels=None), "has no 'labels', which says what the numbers mean"),
        (
            lambda f: describe(f, labels={"background": 0, "all": [1, 2]}),
            "regions_class_order: takes a number above 0 for each of all, got None",
        ),
        (
            lambda f: describe(f, labels={"background": 0, "a": 2}),
            "takes 0, 1, 2, … once each, got",
        ),
        (
            lambda f: describe(f, labels={"background": 0, "liver": 1.0, "tumour": 2}),
            "labels: 'liver' has no whole number: 1.0",
        ),
        (
            lambda f: describe(f, labels={"0": "background", "1": "liver", "2": "liver"}),
            "labels: two are called 'liver'",
        ),
        (
            lambda f: describe(f, labels=dict(zip(map(str, range(256)), range(256), strict=True))),
            "labels: names 255 classes; 254 are taken at most",
        ),
        (
            lambda f: describe(f, labels=LABELS | {"cyst": 3}),
            "the class 'cyst' (3) is in no volume",
        ),
        (
            lambda f: describe(f, channel_names={"0": "T1"}),
            "has the channels 0, 1, dataset.json says",
        ),
        (
            lambda f: describe(f, channel_names={"0": "T1", "2": "T2"}),
            "channel_names: takes 0, 1, …",
        ),
        (lambda f: describe(f, file_ending=".mha"), "no files *.mha; it holds pat0_000"),
        (
            lambda f: (f / "labelsTr" / "pat1_002.nii.gz").unlink(),
            "labelsTr: 1 case has no labels: pat1_002\n",
        ),
        (
            lambda f: [(f / "imagesTr" / f"pat1_002_000{c}.nii.gz").unlink() for c in (0, 1)],
            "imagesTr: 1 case has no image: pat1_002",
        ),
        (
            lambda f: (f / "imagesTr" / "pat1_002_0001.nii.gz").unlink(),
            "pat1_002 has the channels 0, dataset.json says 0, 1",
        ),
        (
            lambda f: (f / "imagesTr" / "pat1_002_0001.nii.gz").write_bytes(b"no"),
            "pat1_002_0001.nii.gz: is not a NIfTI file",
        ),
        (
            lambda f: write(f / "labelsTr" / "pat0_000.nii.gz", np.full(SHAPE, 7, np.uint8)),
            "pat0_000.nii.gz: holds the label 7; taken are 0, 1, 2",
        ),
        (
            lambda f: write(f / "labelsTr" / "pat1_003.nii.gz", labels_of(3)[:, :, :3]),
            "pat1_003.nii.gz: has 6x5x3 voxels, ",
        ),
        (
            lambda f: write(f / "labelsTr" / "pat1_003.nii.gz", labels_of(3), (1.0, 1.0, 4.0)),
            "pat1_003.nii.gz: its affine differs from that of ",
        ),
        (
            lambda f: write(
                f / "imagesTr" / "pat1_003_0001.nii.gz", labels_of(3).astype("float32")[:5]
            ),
            "pat1_003_0001.nii.gz: has 5x5x4 voxels, ",
        ),
    ],
)
def test_what_is_wrong_is_one_line(folder, capfd, change, message):
    change(folder)
    capfd.readouterr()
    assert prepare(folder) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and message in errors, errors
    assert own.names(folder.parent / "data") == []


def test_flags_of_photographs_are_not_those_of_volumes(folder, capfd):
    assert prepare(folder, "--masks", folder) == 2
    assert "--masks: goes with `segjax data prepare folder`" in capfd.readouterr().err


def test_too_few_cases_are_called_cases(folder, capfd):
    for n in range(1, 6):
        for path in [*folder.glob(f"*/pat{n // 2}_{n:03d}*")]:
            path.unlink()
    assert prepare(folder) == 2
    assert ": 1 case: too few for the splits train, validation" in capfd.readouterr().err
