"""A plan outlives the set that it was made of; it is named then, and taken for no other data."""

import dataclasses
import json

import numpy as np
import pytest
from ml_collections import ConfigDict

from segjax import cli
from segjax.config import files
from segjax.data.dataset import Dataset
from segjax.data.volumes import planning
from segjax.data.volumes.plan import read_plan
from segjax.errors import UserError
from segjax.launch import job
from tests.data.folders import test_volumes
from tests.wrong_input.conftest import snapshot

SHAPE = (64, 64, 4)


def write(root, seed):
    """Four cases of one channel, large enough for a network of some stages."""
    for n in range(4):
        rng = np.random.default_rng(seed + n)
        image = rng.normal(size=SHAPE).astype(np.float32)
        test_volumes.write(root / "imagesTr" / f"c{n}_0000.nii.gz", image)
        labels = np.zeros(SHAPE, np.uint8)
        labels[20:40, 20:40], labels[30:35, 30:35] = 1, 2
        test_volumes.write(root / "labelsTr" / f"c{n}.nii.gz", labels)
    test_volumes.describe(root, channel_names={"0": "MR"})


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """A set of volumes, an experiment and two plans, in the folder of the session."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "source", 0)
    assert prepare() == 0
    assert cli.main(["new", "livers.py", "--data", "livers"]) == 0
    assert cli.main(["plan", "livers", "--version", "v2"]) == 0
    return tmp_path / "data" / planning.FOLDER


def prepare(*words):
    given = ["--manual_dir", "source", "--name", "livers", *words]
    return cli.main(["data", "prepare", "nnunet", *given])


def remove(*words):
    return cli.main(["data", "remove", "livers", *words])


def names(data_dir, name="livers"):
    return {path.name for path in planning.plans_of(name, (), data_dir)}


def test_it_stays_and_is_named_where_its_set_is_removed(planned, capfd):
    before = snapshot(planned)
    capfd.readouterr()
    assert remove() == 0
    lines = capfd.readouterr().out.splitlines()
    for version in ("v1", "v2"):
        path = f"data/plans/livers-{version}.json"
        then = "`segjax train` refuses it for other data"
        beside = f"livers-{version}.fingerprint.json beside it"
        assert f"{path}: stays, a plan of livers, and so does {beside}; {then}" in lines
    assert snapshot(planned) == before and len(before) == 4


def test_it_is_not_named_where_the_caches_alone_go(planned, capfd):
    capfd.readouterr()
    assert remove("--caches") == 0
    assert "plan" not in capfd.readouterr().out


def test_while_it_is_made_its_set_is_neither_replaced_nor_removed(planned, monkeypatch, capfd):
    usual = planning.compute
    write(planned.parent.parent / "source", 50)

    def slow(*given, **options):
        assert prepare("--overwrite") == remove() == 2
        return usual(*given, **options)

    monkeypatch.setattr(planning, "compute", slow)
    assert cli.main(["plan", "livers"]) == 0
    errors = capfd.readouterr().err
    assert errors.count("data/livers/1.0.0: in use by another process, such as a training") == 2
    assert prepare("--overwrite") == remove() == 0


@pytest.mark.parametrize("removed", [True, False])
def test_training_refuses_it_for_another_set_of_the_same_name(planned, tmp_path, capfd, removed):
    config = files.load("livers.py:plan=data/plans/livers-v1.json")
    job.check_data(config, tmp_path / "run", Dataset(config.data).digest)
    write(tmp_path / "source", 50)
    if removed:
        assert remove() == 0
    assert prepare(*([] if removed else ["--overwrite"])) == 0
    shown = capfd.readouterr().out
    said = "is a plan of other data; `segjax plan livers` makes it anew"
    for version in ("v1", "v2"):
        assert f"data/plans/livers-{version}.json: {said}\n" in shown
    measured = "the plan was measured on other data than livers in data .*; run `segjax plan livers"
    with pytest.raises(UserError, match=measured):
        job.check_data(config, tmp_path / "run", Dataset(config.data).digest)


def test_it_serves_again_where_the_same_set_is_prepared_again(planned, capfd):
    plan = read_plan(planned / "livers-v1.json")
    assert remove() == 0
    capfd.readouterr()
    assert prepare() == 0 and "plans" not in capfd.readouterr().out
    section = ConfigDict({"name": "livers", "data_dir": "data", "splits": {"train": "train"}})
    assert Dataset(section).digest == plan.data


def test_plans_are_known_by_name_and_by_data(planned):
    data_dir = planned.parent
    assert names(data_dir) == {"livers-v1.json", "livers-v2.json"}
    other = dataclasses.replace(read_plan(planned / "livers-v1.json"), dataset="lungs", data="1")
    (planned / "lungs-v1.json").write_text(other.to_json())
    (planned / "notes.json").write_text("{}")
    (planned / "damaged.json").write_text("{")
    assert names(data_dir, "lungs") == {"lungs-v1.json"} and len(names(data_dir)) == 2
    assert set(planning.plans_of("lungs/full", ["1"], data_dir)) == {planned / "lungs-v1.json"}
    assert planning.plans_of("livers", (), data_dir / "absent") == {}


def test_one_that_knows_no_data_is_named_as_such(planned, capfd):
    path = planned / "livers-v1.json"
    planning.fingerprint_path(path).unlink()
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in kept.items() if k not in ("data", "split")}))
    assert remove() == 0
    said = "data/plans/livers-v1.json: stays, a plan of livers; `segjax train` takes it for any"
    assert said in capfd.readouterr().out
