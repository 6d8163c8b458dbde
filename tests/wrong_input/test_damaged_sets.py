"""Prepared sets with a file that is missing or damaged, or of other data than a run's."""

import json
import shutil

import pytest

from tests.data.test_shards import INFO, SHARD, copy, folder_of, garbage, half, inside, zeroed
from tests.train import runs

__all__ = ["copy"]
pytestmark = pytest.mark.usefixtures("command_settings")
DAMAGES = {
    "shard missing": (SHARD, lambda path: path.unlink()),
    "shard cut": (SHARD, half),
    "shard zeroed": (SHARD, zeroed),
    "description garbage": (INFO, garbage),
    "description zeroed": (INFO, zeroed),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_verb_names_the_damaged_file(refuses, trained, copy, damage):
    name, spoil = DAMAGES[damage]
    spoil(folder_of(copy) / name)
    names, run = [folder_of(copy) / name, "missing or damaged"], ["--workdir", trained]
    here = {"names": names, "untouched": [trained, copy]}
    refuses(*runs.words("run", copy), **here)
    refuses(*runs.words(trained, copy), **here)
    refuses("evaluate", *run, "--data_dir", copy, **here)
    refuses("report", trained, "--data_dir", copy, **here)
    refuses("landscape", "parameters", *run, "--data_dir", copy, **here)
    refuses("data", "prepare", runs.DATA, "--data_dir", copy, **here)
    refuses("data", "show", runs.DATA, "--data_dir", copy, **here)
    refuses("plan", runs.DATA, "--data_dir", copy, **here)


@pytest.mark.parametrize("resident", ["yes", "no"])
def test_damage_that_shows_when_the_records_are_read(refuses, trained, copy, tmp_path, resident):
    inside(folder_of(copy) / SHARD)
    config = json.loads((trained / "config.json").read_text())
    config["data"]["resident"] = resident
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    words = ["evaluate", "--workdir", "run", "--split", "train", "--data_dir", copy]
    refuses(*words, names=[folder_of(copy) / SHARD, "missing or damaged"])


def test_a_run_on_other_data_than_its_own(refuses, trained, data_dir, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    described = json.loads((tmp_path / "run" / "env.json").read_text())
    own = described["data"]["digest"]
    described["data"] = {"digest": "a" * 64}
    (tmp_path / "run" / "env.json").write_text(json.dumps(described))
    names = ["--workdir run", "trained on data of digest aaaaaaaaaaaa,", f"has {own[:12]};"]
    refuses(*runs.words("run", data_dir), names=names)


def test_a_plan_of_other_data(refuses, data_dir):
    words = runs.words("run", data_dir, data__plan_digest="b" * 64)
    refuses(*words, names=["config.data.plan_digest='bbbbbbbbbbbb'", "segjax plan"])
