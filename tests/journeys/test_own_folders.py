"""From a bare folder to predictions and a report, in four commands and without Python.

On small parts of real sets, renamed as somebody else would have them.
"""

import csv
import json
import pathlib
import shutil

import pytest
from PIL import Image

from segjax.cli import main
from tests.train import runs

# A network that compiles in seconds; without it the commands are the same.
NARROW = "--config.model.features=(4,8)"
SHALLOW = "--config.model.strides=((1,1),(2,2)) --config.model.kernels=((3,3),(3,3))"
DATA = runs.ROOT.parent / "shared" / "data"
pytestmark = [
    pytest.mark.usefixtures("command_settings"),
    pytest.mark.skipif(not DATA.is_dir(), reason="the real images are not beside the checkout"),
]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """The folder in which somebody works."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands(*lines):
    """Runs the lines of a shell, each of which is a `segjax` command."""
    assert len(lines) <= 4
    for line in lines:
        assert main(line.split()) == 0, line


def check_results(name, columns, count):
    """A report, a table of the held-out cases, and one of the predictions."""
    report = pathlib.Path("work", name, "report.md").read_text()
    assert "## validation" in report
    metrics = json.loads(pathlib.Path("work", name, "metrics_validation.json").read_text())
    assert metrics["metrics"]
    with pathlib.Path("predicted", "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count and set(columns) <= set(rows[0])
    assert all(float(row[column]) >= 0 for row in rows for column in columns)


def test_fovea_points(desk):
    source = DATA / "idrid" / "C. Localization"
    images = sorted((source / "1. Original Images" / "a. Training Set").glob("*.jpg"))[:6]
    truth = next((source / "2. Groundtruths" / "2. Fovea Center Location").glob("*.csv"))
    with truth.open() as file:
        places = {row[0]: row[1:3] for row in csv.reader(file)}
    pathlib.Path("photos").mkdir()
    with open("clicks.csv", "w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Filename", "macula x", "macula y"])
        for number, path in enumerate(images):
            name = f"Patient {number:02d} OD.jpg"
            with Image.open(path) as picture:
                width, height = picture.size
                picture.resize((width // 8, height // 8)).save(pathlib.Path("photos", name))
            writer.writerow([name, *(float(v) / 8 for v in places[path.stem])])
    commands(
        "data prepare folder --images photos --points clicks.csv --name macula",
        "new macula.py --data macula",
        "train --config macula.py:steps=4,size=64 --workdir work/macula " + NARROW,
        "predict --workdir work/macula --input photos --output predicted",
    )
    check_results("macula", ["predicted_x", "predicted_y"], 6)


def test_vessels(desk):
    source = DATA / "DRIVE" / "training"
    for folder in ("eyes", "eyes drawn"):
        pathlib.Path(folder).mkdir()
    shutil.move("eyes drawn", "drawn")
    for path in sorted((source / "images").iterdir())[:6]:
        number = path.stem.partition("_")[0]
        with Image.open(path) as picture:
            picture.convert("RGB").resize((140, 146)).save(f"eyes/eye{number}.png")
        with Image.open(source / "1st_manual" / f"{number}_manual1.gif") as picture:
            picture.convert("L").resize((140, 146), Image.Resampling.NEAREST).save(
                f"drawn/eye{number}_by_hand.png"
            )
    commands(
        "data prepare folder --images eyes --masks drawn --name eyes",
        "new eyes.py --data eyes",
        "train --config eyes.py:steps=4,size=64 --workdir work/eyes " + NARROW,
        "predict --workdir work/eyes --input eyes --output predicted",
    )
    check_results("eyes", ["area_by_hand"], 6)
    assert len(list(pathlib.Path("predicted", "overlays").glob("*.png"))) == 6


def test_volumes_in_the_layout_of_nnunet(desk):
    hearts = pathlib.Path("Dataset012_Hearts")
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        (hearts / folder).mkdir(parents=True)
    labels = sorted((DATA / "ACDC" / "database" / "training").glob("patient*/*_gt.nii*"))[:4]
    ending = ".nii.gz" if labels[0].name.endswith(".gz") else ".nii"
    for path in labels:
        name = path.name.removesuffix(ending).removesuffix("_gt").replace("patient", "heart")
        image = path.with_name(path.name.replace("_gt", ""))
        shutil.copy(image, hearts / "imagesTr" / f"{name}_0000{ending}")
        shutil.copy(path, hearts / "labelsTr" / f"{name}{ending}")
    shutil.copy(image, hearts / "imagesTs" / f"new_0000{ending}")
    described = {
        "channel_names": {"0": "cine MRI"},
        "labels": {"background": 0, "right": 1, "muscle": 2, "left": 3},
        "numTraining": len(labels),
        "file_ending": ending,
    }
    (hearts / "dataset.json").write_text(json.dumps(described))
    commands(
        f"data prepare nnunet --manual_dir {hearts} --name hearts --group heart{{group}}_*",
        "new hearts.py --data hearts",
        f"train --config hearts.py:steps=2 --workdir work/hearts {NARROW} {SHALLOW}",
        f"predict --workdir work/hearts --input {hearts}/imagesTs --output predicted",
    )
    check_results("hearts", ["volume_left"], 1)
    result = json.loads(pathlib.Path("work", "hearts", "metrics_validation.json").read_text())
    # Two phases of one heart are one patient, in intervals too
    assert result["count"] == len(result["patients"]) == 2
    assert len({*result["patients"].values()}) == 1
    report = pathlib.Path("work", "hearts", "report.md").read_text()
    assert "2 cases of 1 patient: intervals draw whole patients" in report
    assert "1 patient: too few for an interval" in report
    assert list(pathlib.Path("predicted").glob("*.nii.gz"))
