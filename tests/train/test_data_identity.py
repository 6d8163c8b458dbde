"""Runs and the data that they were trained on: the same elsewhere, or other data in its place."""

import csv
import json
import os
import pathlib
import shutil

import nibabel
import numpy as np
import pytest

from segjax import cli
from segjax.data import staging, store
from segjax.data.volumes import cases
from segjax.errors import UserError
from segjax.train import preflight, run, volumes, workdir
from tests.data.test_acdc import PATIENTS, SPACING, manual
from tests.train import runs
from tests.train.test_volumes import words
from tests.wrong_input.words import picture

__all__ = ["manual"]
pytestmark = pytest.mark.usefixtures("command_settings")


def release():
    """Lets go of the caches that this process holds, as if it had ended."""
    for handle in staging._held.values():
        os.close(handle)
    staging._held.clear()


def prepare(manual, data):
    command = ["data", "prepare", "acdc", "--manual_dir", str(manual), "--data_dir", str(data)]
    assert cli.main(command) == 0


def correct_labels(manual):
    """A left ventricle two rows larger in every label file."""
    for path in sorted(manual.rglob("*_gt.nii.gz")):
        volume = nibabel.load(path)
        labels = np.asarray(volume.dataobj).copy()
        labels[20:30, 12:18, 1:3] = 3
        nibabel.save(nibabel.Nifti1Image(labels, volume.affine), path)


def true_volumes(manual):
    """Millilitres of label 3 by case, from the label files themselves."""
    found = {}
    for number, (*frames, _) in PATIENTS.items():
        for phase, frame in zip(("ED", "ES"), frames, strict=True):
            (path,) = manual.rglob(f"patient{number:03d}_frame{frame:02d}_gt.nii.gz")
            voxels = np.count_nonzero(np.asarray(nibabel.load(path).dataobj) == 3)
            found[f"patient{number:03d}_{phase}"] = voxels * np.prod(SPACING) / 1000
    return found


def evaluated_volumes(folder):
    with (folder / "predictions_validation.csv").open(newline="") as file:
        return {row["image"]: float(row["true_volume_LV"]) for row in csv.DictReader(file)}


def check_volumes(folder, manual):
    wanted, found = true_volumes(manual), evaluated_volumes(folder)
    assert len(found) == 4
    for name, value in found.items():
        assert value == pytest.approx(wanted[name], rel=1e-5)


def test_labels_that_were_corrected_are_used_everywhere(tmp_path, manual, capsys):
    """Training, its maps, evaluation and the plan; nothing is made of the labels of before."""
    data, first, second = tmp_path / "data", tmp_path / "first", tmp_path / "second"
    settings = {"data__name": "acdc", "train__steps": 1}
    plans = [tmp_path / f"plan{i}.json" for i in range(2)]
    plan = ["plan", "acdc", "--data_dir", str(data), "--output"]
    prepare(manual, data)
    assert cli.main(words(first, data, **settings)) == 0
    assert cli.main([*plan, str(plans[0])]) == 0
    check_volumes(first, manual)
    cached = {path: path.read_bytes() for path in (data / cases.FOLDER).rglob("*.npy")}
    assert len(cached) == 2 * len(cases.KINDS) + 1  # two splits, and the maps of one

    correct_labels(manual)
    shutil.rmtree(data / "acdc")
    release()
    capsys.readouterr()
    prepare(manual, data)
    assert "1 preprocessed from data that are gone" in capsys.readouterr().out
    assert not any(path.exists() for path in cached)

    digests = [workdir.data_digest(first)]
    assert cli.main(words(first, data, **settings)) == 2
    error = capsys.readouterr().err
    assert cli.main(words(second, data, **settings)) == 0
    digests.append(workdir.data_digest(second))
    assert error.count("\n") == 1 and all(digest[:12] in error for digest in digests)
    check_volumes(second, manual)
    found = {path: path.read_bytes() for path in (data / cases.FOLDER).rglob("*.npy")}
    assert len(found) == len(cached) and not set(found.values()) & set(cached.values()) - {
        content for path, content in cached.items() if path.name == "image.npy"
    }

    capsys.readouterr()
    assert cli.main(["evaluate", "--workdir", str(first)]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "digest" in line]
    assert len(said) == 1 and all(digest[:12] in said[0] for digest in digests)
    check_volumes(first, manual)
    metrics = json.loads((first / "metrics_validation.json").read_text())
    assert metrics["data_digest"] == digests[1] and metrics["data_changed"] is True
    metrics = json.loads((second / "metrics_validation.json").read_text())
    assert metrics["data_digest"] == digests[1] and metrics["data_changed"] is False
    assert cli.main(["report", str(first)]) == 0
    assert f"trained on {digests[0][:12]}" in (first / "report.md").read_text()

    assert cli.main([*plan, str(plans[1])]) == 0
    kept = [json.loads(path.read_text()) for path in plans]
    assert [one["data"] for one in kept] == digests
    assert kept[0]["intensities"] != kept[1]["intensities"]
    followed = workdir.open_existing(second, {"plan_digest": digests[0]})
    with pytest.raises(UserError, match="plan_digest.*measured on other data.*segjax plan acdc"):
        run.check_data(followed, tmp_path / "new", digests[1])


@pytest.fixture(scope="module")
def volume_run(tmp_path_factory):
    """A run on drawn hearts and the folder of its data; other tests move copies of both."""
    folder = tmp_path_factory.mktemp("identity")
    assert cli.main(words(folder / "run", folder / "data", train__steps=1)) == 0
    release()
    return folder


@pytest.fixture
def moved(volume_run, tmp_path, monkeypatch):
    """Run and data in other places, the saved ones gone; nothing may be preprocessed again."""
    shutil.copytree(volume_run / "run", tmp_path / "moved" / "run")
    shutil.copytree(volume_run / "data", tmp_path / "moved" / "prepared")
    config = tmp_path / "moved" / "run" / "config.json"
    config.write_text(config.read_text().replace(str(volume_run / "data"), "/gone/data"))
    monkeypatch.setattr(cases, "_write", lambda *unused: pytest.fail("preprocessed again"))
    return tmp_path / "moved"


def test_a_moved_data_folder_keeps_its_caches_and_its_runs(moved, tmp_path):
    folder, places = str(moved / "run"), ["--data_dir", str(moved / "prepared")]
    before = (moved / "run" / "metrics_validation.json").read_bytes()
    assert cli.main(["evaluate", "--workdir", folder, *places]) == 0
    assert (moved / "run" / "metrics_validation.json").read_bytes() == before
    assert cli.main(["report", folder, *places]) == 0
    picture = str(tmp_path / "around.png")
    around = ["landscape", "parameters", "--workdir", folder, "--output", picture, *places]
    assert cli.main([*around, "--points=3", "--examples=1", "--eigenvalues=0"]) == 0
    assert cli.main(["export", "--workdir", folder, "--output", f"{folder}.out", *places]) == 0
    # Training goes on, or here finds that it is done, with the data where they are now.
    assert cli.main(words(folder, moved / "prepared", train__steps=1)) == 0
    assert json.loads((moved / "run" / "config.json").read_text())["data"]["data_dir"] != str(
        moved / "prepared"
    )


def test_a_cache_elsewhere_leaves_the_data_folder_alone(volume_run, tmp_path, capsys):
    """A data folder to read only: its cache cannot be made there, and need not."""
    data = tmp_path / "data"
    shutil.copytree(volume_run / "data", data, ignore=shutil.ignore_patterns(cases.FOLDER))
    (data / cases.FOLDER).write_text("nothing can be written here")
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    command = words(tmp_path / "run", data, train__steps=1)
    assert cli.main(command) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "--config.data.cache_dir=DIR" in errors
    assert str(data / cases.FOLDER) in errors and not (tmp_path / "run").exists()
    cache = tmp_path / "cache"
    assert cli.main([*command, f"--config.data.cache_dir={cache}"]) == 0
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before
    assert len(list(cache.rglob("cases.json"))) == 2
    other = tmp_path / "other"
    assert (
        cli.main(["evaluate", "--workdir", str(tmp_path / "run"), "--cache_dir", str(other)]) == 0
    )
    assert len(list(other.rglob("cases.json"))) == 1
    # Where the cache lies is no difference of experiments either.
    assert cli.main([*command, f"--config.data.cache_dir={other}"]) == 0


def test_a_config_saved_before_a_field_existed_has_its_default(volume_run, tmp_path):
    shutil.copytree(volume_run / "run", tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    saved = json.loads(path.read_text())
    for name in ("cache_dir", "plan_digest", "resident_megabytes"):
        del saved["data"][name]
    path.write_text(json.dumps(saved))
    assert cli.main(["evaluate", "--workdir", str(tmp_path / "run")]) == 0
    assert cli.main(words(tmp_path / "run", volume_run / "data", train__steps=1)) == 0
    assert json.loads(path.read_text()) == saved


def test_pictures_are_of_the_data_of_their_table(volume_run, tmp_path):
    """After the data have changed, the rows of a table belong to other cases."""
    shutil.copytree(volume_run / "run", tmp_path / "run")
    metrics = tmp_path / "run" / "metrics_validation.json"
    metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"data_digest": "0" * 64}))
    assert cli.main(["report", str(tmp_path / "run")]) == 0
    text = (tmp_path / "run" / "report.md").read_text()
    assert "No pictures of cases" in text and "cases_validation.png" not in text


def test_a_folder_of_the_time_before_digests_raises_no_complaint(
    trained, data_dir, tmp_path, capfd
):
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    described = json.loads((copy / "env.json").read_text())
    assert len(described.pop("data")["digest"]) == 64
    (copy / "env.json").write_text(json.dumps(described))
    assert workdir.data_digest(copy) is None
    capfd.readouterr()
    assert cli.main(["evaluate", "--workdir", str(copy)]) == 0
    assert "digest" not in capfd.readouterr().err
    assert json.loads((copy / "metrics_validation.json").read_text())["data_changed"] is False
    # Going on does not make it known.
    assert cli.main(runs.words(copy, data_dir)) == 0 and workdir.data_digest(copy) is None


def test_prediction_needs_no_data_folder(trained, tmp_path):
    own, out = picture(tmp_path / "own.png"), tmp_path / "out"
    command = ["predict", "--workdir", str(trained), "--input", str(own), "--output", str(out)]
    assert cli.main([*command, "--data_dir", str(tmp_path / "nowhere")]) == 0
    assert (out / "predictions.csv").exists() and not (tmp_path / "nowhere").exists()


def test_cases_are_kept_by_digest_and_split(volume_run):
    config = workdir.open_existing(volume_run / "run")
    task = preflight.make_task(config)
    found = volumes.open_cases(config, task, "train")
    made = store.builder(config.data.name, config.data.data_dir)
    folder = pathlib.Path(found[0].image.filename).parents[1]
    kept = json.loads((pathlib.Path(made.data_path) / "digest.json").read_text())["digest"]
    assert folder == volume_run / "data" / cases.FOLDER / kept[:16]
    keys = {json.loads(path.read_text())["key"] for path in folder.glob("*/cases.json")}
    assert keys == {f"{kept}/train", f"{kept}/validation"}
    assert runs.DATA not in str(keys)
