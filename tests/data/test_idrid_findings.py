"""idrid/findings: lesions of part A as regions, healthy eyes of part B with points of part C."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from segjax.cli import main
from segjax.data import downloads, store
from segjax.data.regions import REGIONS
from segjax.data.sets import idrid_findings
from segjax.data.sets.idrid import MASKS, Idrid
from segjax.errors import DamagedError, UserError
from segjax.inference import points
from tests.data import test_idrid as official
from tests.data.preparing import examples

FOVEA_A = {"IDRiD_01": (8.0, 20.04), "IDRiD_02": (30.0, 16.0)}


@pytest.fixture
def manual(tmp_path):
    root = tmp_path / "download"
    official.localization(root, "train")
    official._grading(root, "train")
    official._segmentation(root, "train")
    return root


def made_with(tmp_path, fovea=FOVEA_A):
    made = store.builder("idrid/findings", str(tmp_path / "prepared"))
    made.given = fovea
    return made


def prepared(tmp_path, manual):
    made = made_with(tmp_path)
    assert downloads.prepare(made, str(manual), overwrite=False) == (True, "")
    return examples(made, "train")


def test_lesions_are_marked_by_region_and_healthy_eyes_have_the_points_of_part_c(tmp_path, manual):
    found = prepared(tmp_path, manual)
    # Of part B only the one that is graded 0
    assert {*found} == {"IDRiD_01", "IDRiD_02", "IDRiD_002"}
    one = found["IDRiD_01"]
    assert one["haemorrhage_label"] == 1 and found["IDRiD_02"]["haemorrhage_label"] == 0
    rows, columns = np.nonzero(official._inside("optic_disc", "IDRiD_01"))
    np.testing.assert_allclose(one["disc"], [columns.mean() + 0.5, rows.mean() + 0.5])
    assert one["disc_diameter"] == pytest.approx(2 * np.sqrt(len(rows) / np.pi))
    np.testing.assert_allclose(one["fovea"], FOVEA_A["IDRiD_01"])
    # The small mask lies in one region or across a border: its centre tells one of them
    mask = official._inside("microaneurysms", "IDRiD_01")
    from segjax.data.regions import region_map

    regions = region_map(one["disc"], one["fovea"], *mask.shape)
    named = {REGIONS[k] for k in np.flatnonzero(one["microaneurysm_regions"])}
    assert named <= {REGIONS[k] for k in np.unique(regions[mask])}
    assert REGIONS[np.bincount(regions[mask]).argmax()] in named
    healthy = found["IDRiD_002"]
    np.testing.assert_allclose(healthy["fovea"], official.FOVEA["IDRiD_002"])
    assert not any(healthy[f"{finding}_label"] for finding in idrid_findings.FINDINGS)
    assert healthy["points_from"] == b"table of part C" and np.isnan(healthy["disc_diameter"])


def test_points_of_part_c_take_the_size_of_part_b(tmp_path, manual):
    folder = manual / "B. Disease Grading/1. Original Images/a. Training Set"
    path = folder / "IDRiD_002.jpg"
    Image.open(path).resize((96, 64)).save(path, quality=95)
    found = prepared(tmp_path, manual)["IDRiD_002"]
    np.testing.assert_allclose(found["disc"], 2 * np.array(official.DISC["IDRiD_002"]))


def test_two_photographs_of_one_number_are_refused(tmp_path, manual):
    folder = manual / "B. Disease Grading/1. Original Images/a. Training Set"
    shutil.copy(folder / "IDRiD_003.jpg", folder / "IDRiD_002.jpg")
    with pytest.raises(UserError, match="one number and show two photographs"):
        downloads.prepare(made_with(tmp_path), str(manual), overwrite=False)


def test_a_healthy_eye_without_its_photograph_in_part_c_is_refused(tmp_path, manual):
    part = manual / "C. Localization"
    next(part.rglob("IDRiD_002.jpg")).unlink()
    with pytest.raises(UserError, match="part C has no photograph of this number"):
        downloads.prepare(made_with(tmp_path), str(manual), overwrite=False)


def test_the_fovea_is_asked_for_and_complete(tmp_path, manual):
    with pytest.raises(UserError, match="--fovea RUN is needed"):
        downloads.prepare(made_with(tmp_path, None), str(manual), overwrite=False)
    only = {"IDRiD_01": (8.0, 20.0)}
    with pytest.raises(UserError, match=r"IDRiD_02\.jpg: no predicted fovea"):
        downloads.prepare(made_with(tmp_path, only), str(manual), overwrite=False)


def test_a_fovea_in_the_middle_of_the_disc_is_refused_by_name(tmp_path, manual):
    rows, columns = np.nonzero(official._inside("optic_disc", "IDRiD_01"))
    same = FOVEA_A | {"IDRiD_01": (columns.mean() + 0.5, rows.mean() + 0.5)}
    with pytest.raises(UserError, match="IDRiD_01.*other than `disc`"):
        downloads.prepare(made_with(tmp_path, same), str(manual), overwrite=False)


def test_an_empty_mask_of_the_disc_is_named(tmp_path, manual):
    (path,) = manual.rglob("IDRiD_01_OD.tif")
    Image.fromarray(np.zeros_like(np.asarray(Image.open(path)))).save(path)
    with pytest.raises(UserError, match="IDRiD_01_OD.tif: the mask of the optic disc is empty"):
        downloads.prepare(made_with(tmp_path), str(manual), overwrite=False)


def test_an_unusual_distance_of_the_fovea_is_said(capsys):
    masks = {kind: np.zeros((60, 100, 1), np.uint8) for kind in MASKS}
    masks["optic_disc"][25:35, 15:25] = 1  # the diameter of a circle of its area is 11.3
    idrid_findings.of_masks("eye", masks, (50, 30))
    assert capsys.readouterr().err == ""
    idrid_findings.of_masks("eye", masks, (36, 30))
    assert "eye: the predicted fovea lies 1.4 diameters of the disc" in capsys.readouterr().err


def test_findings_are_counted_and_the_hint_has_the_run(tmp_path, manual, capsys):
    words = ["data", "prepare", "idrid/findings", "--data_dir", str(tmp_path / "prepared")]
    with pytest.raises(UserError, match="--manual_dir FOLDER --fovea RUN --data_dir"):
        store.ensure_prepared("idrid/findings", str(tmp_path / "prepared"))
    found = prepared(tmp_path, manual)
    capsys.readouterr()
    assert main(words) == 0
    shown = capsys.readouterr().out
    for finding in idrid_findings.FINDINGS:
        present = sum(int(each[f"{finding}_label"]) for each in found.values())
        assert f"finding {finding}: present in {present}, absent in {3 - present}\n" in shown


def test_a_damaged_run_is_named_without_a_flag_of_another_verb(tmp_path, monkeypatch):
    parts = SimpleNamespace(
        config=ConfigDict({"task": "localization", "task_options": {"target": "fovea"}}),
        task=SimpleNamespace(predictor=lambda: SimpleNamespace(columns=points.COLUMNS)),
    )

    def damaged(*given):
        raise DamagedError("best/4: damaged (why)", "--checkpoint latest does")

    monkeypatch.setattr(points, "open_parts", lambda *given, **options: parts)
    monkeypatch.setattr(points, "predict", damaged)
    with pytest.raises(UserError) as caught:
        points.predicted_points(tmp_path, [], "fovea")
    assert str(caught.value) == f"--fovea {tmp_path}: best/4: damaged (why); train it again"


def test_predictions_are_kept_and_other_ones_are_noticed(tmp_path, manual):
    prepared(tmp_path, manual)
    made = made_with(tmp_path)
    kept = json.loads((made.data_path / idrid_findings.POINTS).read_text())
    assert kept["fovea"]["IDRiD_01"] == [8.0, 20.0]
    assert downloads.prepare(made, str(manual), overwrite=False) == (False, "")
    other = made_with(tmp_path, FOVEA_A | {"IDRiD_02": (31.0, 16.0)})
    with pytest.raises(UserError, match=r"another points\.json"):
        downloads.prepare(other, str(manual), overwrite=False)
    assert downloads.prepare(other, str(manual), overwrite=True) == (True, "")
    assert examples(other, "train")["IDRiD_02"]["fovea"][0] == 31.0


def test_a_set_that_is_there_needs_no_run(tmp_path, manual):
    prepared(tmp_path, manual)
    assert downloads.prepare(made_with(tmp_path, None), str(manual), overwrite=False) == (False, "")


@pytest.mark.parametrize(
    ("name", "named"),
    [("idrid/findings", "no such work folder"), ("drive", "goes with"), ("folder", "goes with")],
)
def test_a_run_that_is_missing_and_a_set_that_takes_none(name, named, tmp_path, manual, capsys):
    words = ["data", "prepare", name, "--fovea", str(tmp_path / "run")]
    assert main([*words, "--manual_dir", str(manual), "--data_dir", str(tmp_path)]) == 2
    assert named in capsys.readouterr().err


def test_masks_beyond_the_tolerance_are_reported(capsys):
    masks = {kind: np.zeros((60, 100, 1), np.uint8) for kind in MASKS}
    masks["optic_disc"][28:33, 18:23] = 1
    # A component of which a seventh lies far inside the next region
    masks["hard_exudates"][30, 55:97] = 1
    masks["hard_exudates"][20:40, 62:66] = 1
    idrid_findings.of_masks("eye", masks, (50.5, 30.5))
    err = capsys.readouterr().err
    assert "eye" in err and "hard_exudates" in err


def test_the_files_of_all_parts_are_its_source(tmp_path, manual):
    made = made_with(tmp_path)
    found = made.source_files(manual)
    assert isinstance(made, Idrid) and {name.partition("/")[0] for name in found} == {
        "A. Segmentation",
        "B. Disease Grading",
        "C. Localization",
    }
    assert [path.stem for path in made.to_predict(manual)] == ["IDRiD_01", "IDRiD_02"]
