"""Stages trained one after the other: what is missing, changed, broken off, damaged."""

import json
import shutil

import pytest

from segjax.inference.open import load_trained
from segjax.launch import job
from segjax.pipelines import stages
from segjax.train import holder
from segjax.train.checkpoint import parameters_digest
from segjax.train.loop import Stop
from tests.pipelines import commands

pytestmark = pytest.mark.usefixtures("command_settings")
NAMES = ["hgn", "half", "prn"]


class Killed(BaseException):
    """What no code of a training sees coming."""


@pytest.fixture
def trained_now(monkeypatch):
    """The stages that a command trains, none of which is: their names."""
    found = []
    monkeypatch.setattr(job, "train", lambda config, place, watchdog: found.append(place.name))
    return found


def stopped(monkeypatch, step, kill=False):
    """Trainings end before a step: as by a signal, or killed."""

    def at(self, now):
        if now == step and kill:
            raise Killed
        self._asked = self._asked or now == step
        return self._asked

    monkeypatch.setattr(Stop, "at", at)


def refused(capsys, status, *words):
    """That a command ended with status 2, in one line with these words."""
    assert status == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0], lines[0]
    return lines[0]


# --- done -----------------------------------------------------------------------------------------


def test_every_stage_has_a_work_folder(two_stages, capsys):
    assert sorted(path.name for path in (two_stages.folder / "stages").iterdir()) == sorted(NAMES)
    for name in NAMES:
        place = two_stages.stage(name)
        assert (place / "done.json").exists() and (place / "report.md").exists()
        assert json.loads((place / "env.json").read_text())["experiment"] == commands.FILE
    assert two_stages.run("train", "--status") == 0
    assert capsys.readouterr().out.splitlines() == [f"{name}: done" for name in NAMES]


def test_running_again_trains_nothing(copied, trained_now, capsys):
    before = commands.content(copied.folder)
    assert copied.run("train") == 0
    assert trained_now == []
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == [f"stage {n} of 3, {s}: trained already" for n, s in enumerate(NAMES, 1)]
    after = commands.content(copied.folder)
    assert after.keys() == before.keys()
    changed = {name for name in before if before[name][1] != after[name][1]}
    assert changed <= {".holder"}


def test_a_folder_that_is_not_there_is_told_of_and_not_made(two_stages, tmp_path, capsys):
    place = commands.Place(tmp_path / "new", two_stages.data)
    assert place.run("train", "--status") == 0
    assert capsys.readouterr().out.splitlines() == [f"{name}: missing" for name in NAMES]
    refused(capsys, place.run("evaluate"), "stage hgn: ", "/new/stages/hgn is missing; run")
    assert list(tmp_path.iterdir()) == []


def test_verbs_that_read_change_nothing(two_stages):
    before = commands.content(two_stages.folder)
    two_stages.run("train", "--status")
    two_stages.run("evaluate", "--config.stages.prn.train.steps=3")
    two_stages.run("evaluate", "--split=tests")
    assert commands.content(two_stages.folder) == before


# --- changed --------------------------------------------------------------------------------------


def test_a_changed_stage_is_refused_before_anything_trains(copied, trained_now, capsys):
    shutil.rmtree(copied.stage("hgn"))
    before = commands.content(copied.folder)
    change = "--config.stages.prn.optimizer.learning_rate=0.5"
    words = ("stage prn: ", str(copied.stage("prn")), "learning_rate: 0.01 there, 0.5 here")
    refused(capsys, copied.run("train", change), *words)
    assert trained_now == [] and commands.content(copied.folder) == before
    # Evaluation says the same, before it looks for the one that is missing
    assert copied.run("train", change, "--status") == 0
    assert capsys.readouterr().out.splitlines() == [
        "hgn: missing",
        "half: done",
        "prn: done, with another config (config.optimizer.learning_rate: 0.01 there, 0.5 here)",
    ]


@pytest.mark.parametrize("field", ["task_options.scale=0.25", "task_options.tile=32"])
def test_networks_at_other_scales_than_asked_are_refused(two_stages, capsys, field):
    status = two_stages.run("evaluate", f"--config.stages.half.{field}")
    refused(capsys, status, "stage half: ", field.partition("=")[0], "there, ")


def test_a_composition_may_change(copied, trained_now):
    assert copied.run("train", "--config.refine.strides=(8,)", "--config.predicted=HGN") == 0
    assert trained_now == []
    assert json.loads((copied.folder / "pipeline.json").read_text())["predicted"] == "HGN"


def test_a_config_wrong_in_itself_names_its_stage(copied, trained_now, capsys):
    shutil.rmtree(copied.folder)
    status = copied.run("train", "--config.stages.prn.data.image_size=(16, 16)")
    refused(capsys, status, "stage prn: config.data.image_size=(16, 16): a patch needs odd sides")
    assert trained_now == [] and not copied.folder.exists()


def test_a_run_on_other_data_is_refused_by_train_and_said_by_evaluate(copied, capsys):
    path = copied.stage("half") / "env.json"
    content = json.loads(path.read_text())
    content["data"]["digest"] = "0" * 64
    path.write_text(json.dumps(content))
    refused(capsys, copied.run("train"), "stage half: ", "was trained on data of digest 00000000")
    assert copied.run("evaluate", "--split=validation") == 0
    assert "segjax: stage half: evaluated on data of digest" in capsys.readouterr().err


def test_the_limit_of_a_stage_that_hangs(copied, monkeypatch, capsys):
    shutil.rmtree(copied.stage("half"))
    limits = []
    monkeypatch.setattr(
        job, "train", lambda config, place, watchdog: limits.append(watchdog._limit)
    )
    assert copied.run("train", "--watchdog=90") == copied.run("train") == 0
    assert limits == [90, 1800]
    capsys.readouterr()
    refused(capsys, copied.run("train", "--watchdog=-1"), "--watchdog -1.0: takes a number of at")


# --- missing, broken off --------------------------------------------------------------------------


def test_a_missing_stage_alone_is_trained(copied, trained_now, capsys):
    shutil.rmtree(copied.stage("half"))
    refused(capsys, copied.run("evaluate"), "stage half: ", "is missing; run `segjax pipeline tra")
    assert copied.run("train") == 0
    assert trained_now == ["half"]


def test_killed_between_stages_the_next_ones_are_trained(copied, monkeypatch, capsys):
    shutil.rmtree(copied.stage("half"))
    shutil.rmtree(copied.stage("prn"))
    found = []

    def train(config, place, watchdog):
        if place.name == "prn" and len(found) < 2:
            found.append("killed")
            raise KeyboardInterrupt
        shutil.copytree(kept[place.name], place)
        found.append(place.name)

    other = copied.copy(copied.folder.parent / "kept")
    kept = {"half": other.stage("hgn"), "prn": other.stage("hgn")}
    monkeypatch.setattr(job, "train", train)
    monkeypatch.setattr(stages, "check_same", lambda *unused: None)
    assert copied.run("train") == 1
    assert "interrupted" in capsys.readouterr().err
    monkeypatch.setattr(job, "check", lambda *unused: None)
    assert copied.run("train") == 0
    assert found == ["half", "killed", "prn"]


def test_stopped_and_killed_within_a_stage_it_goes_on_exactly(
    two_stages, copied, monkeypatch, capsys
):
    shutil.rmtree(copied.stage("prn"))
    with monkeypatch.context() as patch:
        stopped(patch, 0)
        assert copied.run("train") == 1
    assert "stage prn: stopped by a signal at step 0, saved" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        stopped(patch, 1, kill=True)
        with pytest.raises(Killed):
            copied.run("train")
    assert copied.run("train", "--status") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "prn: at step 1 of 2"
    words = ("stage prn: ", "has not come to its end; `segjax pipeline train` goes on")
    refused(capsys, copied.run("evaluate"), *words)
    assert copied.run("train") == 0
    assert "stage 3 of 3, prn: " in capsys.readouterr().out
    for kind in ("best", "latest"):
        one, two = (load_trained(p.stage("prn"), kind).state for p in (two_stages, copied))
        assert parameters_digest(one) == parameters_digest(two)


# --- damaged --------------------------------------------------------------------------------------


def test_a_damaged_config_is_named(copied, trained_now, capsys):
    path = copied.stage("half") / "config.json"
    path.write_text("{")
    for verb in (["train"], ["evaluate"], ["train", "--status"]):
        refused(capsys, copied.run(*verb), f"stage half: {path}: damaged config")
    assert trained_now == []


def test_checkpoints_that_are_gone_are_named(copied, trained_now, capsys):
    shutil.rmtree(copied.stage("prn") / "checkpoints")
    for verb in ("train", "evaluate"):
        words = (f"stage prn: {copied.stage('prn')} has no checkpoint any more; remove it",)
        refused(capsys, copied.run(verb), *words)
    assert trained_now == []


def test_a_config_that_is_gone_is_named(copied, trained_now, capsys):
    (copied.stage("hgn") / "config.json").unlink()
    for verb in ("train", "evaluate"):
        words = (f"stage hgn: {copied.stage('hgn')} has no config.json any more; remove it",)
        refused(capsys, copied.run(verb), *words)
    assert trained_now == []


def test_checkpoints_of_another_training_are_named(copied, capsys):
    checkpoints = copied.stage("hgn") / "checkpoints"
    (best,) = (checkpoints / "best").iterdir()
    other = next(p for p in (checkpoints / "latest").iterdir() if p.name != best.name)
    shutil.rmtree(best)
    shutil.copytree(other, best.with_name(other.name))
    words = ("stage hgn: ", "its checkpoint is of step ", "is another training's; remove it")
    refused(capsys, copied.run("evaluate"), *words)


@pytest.mark.parametrize("damage", ["zeros", "cut"])
def test_a_damaged_checkpoint_is_named_with_a_remedy(copied, capsys, damage):
    (step,) = (copied.stage("half") / "checkpoints" / "best").iterdir()
    for path in step.rglob("*"):
        if path.is_file() and path.stat().st_size > 100 and "ocdbt" in str(path):
            size = path.stat().st_size
            path.write_bytes(b"\0" * size if damage == "zeros" else path.read_bytes()[:50])
    line = refused(capsys, copied.run("evaluate"), f"stage half: {step}: damaged")
    assert "remove its folder, and `segjax pipeline train` makes it again" in line
    assert "--checkpoint" not in line and "pybind" not in line


# --- other folders, two at once -------------------------------------------------------------------


def test_folders_of_something_else_are_refused(two_stages, tmp_path, trained_now, capsys):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = commands.content(tmp_path)
    for folder, words in (
        (tmp_path / "other", "holds other files, no pipeline"),
        (two_stages.stage("hgn"), "holds the run of a single config, no pipeline"),
        (tmp_path / "file", "cannot write into"),
    ):
        place = commands.Place(folder, two_stages.data)
        refused(capsys, place.run("train"), f"--workdir {folder}: ", words)
    place = commands.Place(tmp_path / "other", two_stages.data)
    refused(capsys, place.run("train", "--status"), "holds other files, no pipeline")
    assert trained_now == [] and commands.content(tmp_path) == before


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_a_folder_in_use_is_refused(copied, trained_now, capsys, verb):
    with holder.hold(copied.folder):
        refused(capsys, copied.run(verb), f"--workdir {copied.folder}: in use by process")
    assert trained_now == []


def test_a_stage_in_use_is_refused(copied, capsys):
    (copied.stage("half") / "done.json").unlink()
    with holder.hold(copied.stage("half")):
        words = (f"stage half: --workdir {copied.stage('half')}: in use by process",)
        status = copied.run("train")
    out, err = capsys.readouterr()
    assert status == 2 and words[0] in err
