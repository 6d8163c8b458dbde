"""Tables of predictions are known again by their headers and the form of their numbers."""

import pytest

from segjax.config import lookup
from segjax.data import outputs
from segjax.errors import UserError
from segjax.files import write_table
from segjax.tasks.guided_classification import GuidedClassification
from segjax.tasks.lesion_segmentation import LesionSegmentation
from segjax.tasks.localization import Localization
from segjax.tasks.segmentation import Segmentation
from segjax.tasks.volume_segmentation import VolumeSegmentation

TASKS = {
    "guided_classification": lambda: GuidedClassification(),
    "lesion_segmentation": lambda: LesionSegmentation(),
    "localization": lambda: Localization(),
    "segmentation": lambda: Segmentation(targets=("disc", "soft_drusen"), topology=True),
    "volume_segmentation": lambda: VolumeSegmentation(classes=("left atrium", "Läsion, groß")),
}


def written(path, columns, rows=((12.3456789, float("nan"), -0.0, 1e6),)):
    values = [[row[k % len(row)] for k in range(len(columns))] for row in rows]
    write_table(path, columns, [f"a, {n}.png" for n in range(len(rows))], values)
    return path


def test_every_task_is_known():
    # Patches are judged where a segmentation proposes them: that task predicts nothing alone
    assert TASKS.keys() | {"patch_refinement"} == set(lookup.names("tasks"))


@pytest.mark.parametrize("name", TASKS)
def test_tables_of_every_task_are_known_again(tmp_path, name):
    task = TASKS[name]()
    columns = task.predictor().columns
    path = written(tmp_path / "a.csv", columns)
    assert outputs.is_own(path, columns)
    # A probability may be of anybody's table: it is known to who predicts the same
    assert outputs.is_own(path) == (name != "guided_classification")
    # Earlier versions wrote all columns, and left those empty that want annotations
    if name not in ("guided_classification", "lesion_segmentation"):
        assert outputs.is_own(written(tmp_path / "b.csv", task.columns))


@pytest.mark.parametrize(
    "text",
    [
        "image,label\na.png,1\n",
        "image,\na.png,1\n",
        "image\na.png\n",
        "image,dice_disc\na.png,0.5\n",  # nothing predicted
        "image,predicted_x,predicted_y,comment\na.png,1,2,3\n",
        "case,predicted_x,predicted_y\na.png,1,2\n",
        "image,predicted_x,predicted_y\na.png,1.50,2\n",  # by another program
        "image,predicted_x,predicted_y\na.png,left,2\n",
        "image,predicted_x,predicted_y\na.png,1,2,3\n",
        "",
        "\n",
        "\0",
    ],
)
def test_tables_of_others(tmp_path, text):
    path = tmp_path / "predictions.csv"
    path.write_text(text)
    assert not outputs.is_own(path)
    with pytest.raises(UserError, match="exists, and segjax did not write it"):
        outputs.check_replaceable([path])


def test_one_that_is_no_text(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"image,predicted_x\n\xff,1\n")
    assert not outputs.is_own(tmp_path / "a.csv") and not outputs.is_own(tmp_path / "absent.csv")


def test_a_task_of_ones_own_knows_its_table(tmp_path):
    path = written(tmp_path / "a.csv", ["probability"])
    assert not outputs.is_own(path) and outputs.is_own(path, ["probability"])
    assert not outputs.is_own(path, ["other"])


@pytest.mark.parametrize("other", ["É.png", "e\u0301.png", "E\u0301.png"])
def test_two_outputs_that_a_file_system_takes_for_one(tmp_path, other):
    with pytest.raises(UserError, match="rename one"):
        outputs.check_names([("é.png", tmp_path / "a"), (other, tmp_path / "b")])
