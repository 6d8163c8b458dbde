"""Runs and the data that they were trained on: the same elsewhere, or other data in its place."""

import json
import os
import pathlib
import shutil

import nibabel
import numpy as np
import pytest

from segjax import cli
from segjax.config import files
from segjax.config.validation import check_fields
from segjax.data import array_files, staging, store
from segjax.data.dataset import Dataset
from segjax.data.volumes import cases
from segjax.errors import UserError
from segjax.launch import job
from segjax.tasks.volume_segmentation import data as volume_data
from segjax.train import experiment, workdir
from segjax.train.runs import Run
from tests.data.test_acdc import PATIENTS, manual
from tests.train import runs
from tests.train.test_volumes import CONFIG, SETTINGS
from tests.wrong_input.words import picture

__all__ = ["manual"]
pytestmark = pytest.mark.usefixtures("command_settings")


def release():
    """Lets go of the caches that this process holds, as if it had ended."""
    for handle in staging._held.values():
        os.close(handle)
    staging._held.clear()


def config_of(data, name, **fields):
    settings = SETTINGS | {"data.name": name, "data.data_dir": data}
    settings |= {f"data.{key}": value for key, value in fields.items()}
    return files.load(f"{CONFIG}:rrw", {key: str(value) for key, value in settings.items()})


def prepare(manual, data):
    command = ["data", "prepare", "acdc", "--manual_dir", str(manual), "--data_dir", str(data)]
    assert cli.main(command) == 0


def correct_labels(manual):
    """A larger left ventricle in every label file."""
    for path in sorted(manual.rglob("*_gt.nii.gz")):
        volume = nibabel.load(path)
        labels = np.asarray(volume.dataobj).copy()
        labels[24:34, 12:18, 1:3] = 3
        nibabel.save(nibabel.Nifti1Image(labels, volume.affine), path)


def labels_of_files(manual):
    """The labels [d, h, w] of each case, from the label files themselves."""
    found = {}
    for number, (*frames, _) in PATIENTS.items():
        for phase, frame in zip(("ED", "ES"), frames, strict=True):
            (path,) = manual.rglob(f"patient{number:03d}_frame{frame:02d}_gt.nii.gz")
            found[f"patient{number:03d}_{phase}"] = np.asarray(nibabel.load(path).dataobj).T
    return found


def check_labels(config, manual):
    """Cases of both splits have the labels of the files; gives the maps of the training cases."""
    parts, wanted = experiment.name_parts(config), labels_of_files(manual)
    for split in ("train", "validation"):
        found = volume_data.open_cases(parts, split)
        assert len(found) == 4
        for case in found:
            np.testing.assert_array_equal(case.stored_labels, wanted[case.name])
    volume_data.open_patches(parts, "train")
    folder = volume_data.cache_of(config, parts.data.digest)
    (maps,) = folder.glob("*.npy")
    return maps.read_bytes()


def test_labels_that_were_corrected_are_used_everywhere(tmp_path, manual, capsys):
    """In training, in its maps, in evaluation and in the plan: nothing is left of those before."""
    data = tmp_path / "data"
    plans = [tmp_path / f"plan{i}.json" for i in range(2)]
    plan = ["plan", "acdc", "--data_dir", str(data), "--output"]
    prepare(manual, data)
    config = config_of(data, "acdc")
    digests, maps = [Dataset(config.data).digest], [check_labels(config, manual)]
    assert cli.main([*plan, str(plans[0])]) == 0
    cached = list((data / array_files.FOLDER).rglob("*.npy"))
    assert len(cached) == 2 * len(cases.KINDS) + 1  # two splits, and the maps of one

    correct_labels(manual)
    shutil.rmtree(data / "acdc")
    release()
    capsys.readouterr()
    prepare(manual, data)
    assert "1 preprocessed from data that are gone" in capsys.readouterr().out
    assert not any(path.exists() for path in cached)
    digests.append(Dataset(config.data).digest)
    maps.append(check_labels(config, manual))
    assert digests[0] != digests[1] and maps[0] != maps[1]

    assert cli.main([*plan, str(plans[1])]) == 0
    kept = [json.loads(path.read_text()) for path in plans]
    assert [one["data"] for one in kept] == digests
    assert kept[0]["intensities"] != kept[1]["intensities"]
    followed = config_of(data, "acdc", plan_digest=digests[0])
    with pytest.raises(UserError, match="plan_digest.*measured on other data.*segjax plan acdc"):
        job.check_data(followed, tmp_path / "new", digests[1])


@pytest.fixture(scope="module")
def cardiac(tmp_path_factory):
    """A prepared set of volumes, its training split preprocessed."""
    folder = tmp_path_factory.mktemp("cardiac") / "data"
    config = config_of(folder, "synthetic_cardiac/32px_1_1_1")
    volume_data.open_cases(experiment.name_parts(config), "train")
    return folder


def open_train(data, **fields):
    config = config_of(data, "synthetic_cardiac/32px_1_1_1", **fields)
    parts = experiment.name_parts(config)
    parts.task.check_place(parts)
    return volume_data.open_cases(parts, "train")


def test_cases_are_kept_by_digest_and_split(cardiac):
    made = store.builder("synthetic_cardiac/32px_1_1_1", str(cardiac))
    kept = json.loads((pathlib.Path(made.data_path) / "digest.json").read_text())["digest"]
    (index,) = (cardiac / array_files.FOLDER / kept[:16]).glob("*/cases.json")
    assert json.loads(index.read_text())["key"] == f"{kept}/train"


def test_a_moved_data_folder_keeps_its_caches(cardiac, tmp_path, monkeypatch):
    shutil.copytree(cardiac, tmp_path / "moved")
    monkeypatch.setattr(cases, "_write", lambda *unused: pytest.fail("preprocessed again"))
    found = open_train(tmp_path / "moved")
    assert pathlib.Path(found[0].image.filename).is_relative_to(tmp_path / "moved")


def test_a_data_folder_to_read_only_has_its_cache_elsewhere(cardiac, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(cardiac, data, ignore=shutil.ignore_patterns(array_files.FOLDER))
    (data / array_files.FOLDER).write_text("nothing can be written here")
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    with pytest.raises(
        UserError, match=f"{data / array_files.FOLDER}.*--config.data.cache_dir=DIR"
    ):
        open_train(data)
    assert len(open_train(data, cache_dir=tmp_path / "cache")) == 2
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before
    assert len(list((tmp_path / "cache").rglob("cases.json"))) == 1


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of a trained folder, whose data lie no longer where its config says."""
    shutil.copytree(trained, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["data"]["data_dir"] = str(tmp_path / "gone")
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    return tmp_path / "run"


def test_a_run_is_evaluated_where_its_data_are_now(copy, data_dir, tmp_path, capfd):
    before = json.loads((copy / "metrics_validation.json").read_text())
    saved = (copy / "config.json").read_bytes()
    assert cli.main(["evaluate", "--workdir", str(copy), "--data_dir", str(data_dir)]) == 0
    assert json.loads((copy / "metrics_validation.json").read_text()) == before
    assert before["data_changed"] is False and before["data_digest"] == workdir.data_digest(copy)
    assert "digest" not in capfd.readouterr().err
    assert cli.main(["report", str(copy), "--data_dir", str(data_dir)]) == 0
    assert (copy / "config.json").read_bytes() == saved and not (tmp_path / "gone").exists()


def test_evaluation_on_other_data_says_so(copy, data_dir, capfd):
    described = json.loads((copy / "env.json").read_text())
    now = described["data"]["digest"]
    described["data"]["digest"] = "d" * 64
    (copy / "env.json").write_text(json.dumps(described))
    capfd.readouterr()
    assert cli.main(["evaluate", "--workdir", str(copy), "--data_dir", str(data_dir)]) == 0
    said = [line for line in capfd.readouterr().err.splitlines() if "digest" in line]
    assert len(said) == 1 and now[:12] in said[0] and "trained on dddddddddddd" in said[0]
    metrics = json.loads((copy / "metrics_validation.json").read_text())
    assert metrics["data_digest"] == now and metrics["data_changed"] is True
    # The pictures of a table whose data have changed since would be those of other cases.
    metrics["data_digest"] = "e" * 64
    (copy / "metrics_validation.json").write_text(json.dumps(metrics))
    assert cli.main(["report", str(copy), "--data_dir", str(data_dir)]) == 0
    text = (copy / "report.md").read_text()
    assert "data of digest eeeeeeeeeeee, but trained on dddddddddddd" in text
    assert "No pictures of cases" in text and "cases_validation.png" not in text


def test_the_other_verbs_take_the_data_where_they_are_now(copy, data_dir, tmp_path):
    places, folder = ["--data_dir", str(data_dir)], ["--workdir", str(copy)]
    picture(tmp_path / "own.png")
    head = ["landscape", "parameters", *folder, "--output", str(tmp_path / "around.png")]
    assert cli.main([*head, "--points=3", "--examples=1", "--eigenvalues=0", *places]) == 0
    head = ["predict", *folder, "--input", str(tmp_path / "own.png")]
    assert cli.main([*head, "--output", str(tmp_path / "out"), *places]) == 0
    assert cli.main(["export", *folder, "--output", str(tmp_path / "export"), *places]) == 0
    assert not (tmp_path / "gone").exists()


def loaded(data_dir):
    flags = dict(
        word.removeprefix("--config.").split("=", 1)
        for word in runs.words("run", data_dir)
        if word.startswith("--config.")
    )
    return files.load(str(runs.ROOT / "experiments" / "fovea" / "demo.py"), flags)


def test_training_goes_on_with_its_data_elsewhere(copy, data_dir):
    """Where data and caches lie is no difference of experiments; a seed is one."""
    config = loaded(data_dir)
    assert job.check(config, copy).total_steps == 2
    files.override(config, "data.cache_dir", "elsewhere")
    workdir.check_new(copy, config)
    files.override(config, "seed", 1)
    with pytest.raises(UserError, match="config.seed: 0 there, 1 here"):
        workdir.check_new(copy, config)


def test_a_config_saved_before_a_field_existed_has_its_default(copy, data_dir):
    saved = json.loads((copy / "config.json").read_text())
    for name in ("cache_dir", "plan_digest", "resident_megabytes"):
        del saved["data"][name]
    (copy / "config.json").write_text(json.dumps(saved))
    assert workdir.open_existing(copy).data.resident_megabytes == 2048
    check_fields(workdir.open_existing(copy))
    workdir.check_new(copy, loaded(data_dir))
    config = loaded(data_dir)
    files.override(config, "data.resident_megabytes", 7)
    with pytest.raises(UserError, match="config.data.resident_megabytes: 2048 there, 7 here"):
        workdir.check_new(copy, config)


def test_what_a_folder_of_the_time_before_digests_was_trained_on_stays_unknown(copy, data_dir):
    described = json.loads((copy / "env.json").read_text())
    assert len(described.pop("data")["digest"]) == 64
    (copy / "env.json").write_text(json.dumps(described))
    assert workdir.data_digest(copy) is None
    config = loaded(data_dir)
    made = experiment.build(config, devices=8)
    job.check_data(config, copy, "f" * 64)
    job.describe(Run(made, copy))
    assert workdir.data_digest(copy) is None
    job.describe(Run(made, copy.with_name("new")))
    assert workdir.data_digest(copy.with_name("new")) == Dataset(config.data).digest
    for text in ("", "{", "[]", '{"data": 3}'):
        (copy / "env.json").write_text(text)
        assert workdir.data_digest(copy) is None
