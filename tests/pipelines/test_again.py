"""Evaluations again: what is kept, broken off, damaged, by other keys; splits that do not serve."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from segjax.errors import UserError
from segjax.pipelines import evaluation, identity
from segjax.pipelines.networks import Networks
from segjax.train import workdir
from tests.pipelines import commands, tiny
from tests.pipelines.commands import metrics_of, result_of

pytestmark = pytest.mark.usefixtures("command_settings")
PHOTOGRAPHS = {"validation": 12, "test": 6}
BINS = 81_920


@pytest.fixture
def predicted(monkeypatch):
    """The labels of the photographs that go through networks."""
    found, maps = [], Networks.maps

    def counted(self, images, size, label=""):
        found.append(label.rstrip(": "))
        return maps(self, images, size, label)

    monkeypatch.setattr(Networks, "maps", counted)
    return found


# --- again ----------------------------------------------------------------------------------------


def test_what_was_evaluated_is_not_predicted_again(evaluated, tmp_path, predicted):
    place = evaluated.copy(tmp_path / "run")
    before = metrics_of(place)
    assert place.run("evaluate") == 0
    assert predicted == []
    assert metrics_of(place) == before
    # Rows that are called or compared otherwise are the same maps
    assert place.run("evaluate", "--config.compared=()", "--config.predicted=HGN") == 0
    assert predicted == []
    assert metrics_of(place)["rows"] == before["rows"]


def test_a_report_of_other_options_is_named(evaluated, tmp_path, capsys):
    place = evaluated.copy(tmp_path / "run")
    capsys.readouterr()
    assert place.run("evaluate", "--split", "validation") == 0
    assert "other networks" not in capsys.readouterr().out
    assert place.run("evaluate", "--split", "validation", "--config.refine.threshold=0.4") == 0
    line = f"{place.folder / 'report_test.md'}: of other networks or options than these; "
    assert f"{line}evaluate that split again" in capsys.readouterr().out


def test_only_missing_photographs_are_predicted(evaluated, tmp_path, predicted, capsys):
    place = evaluated.copy(tmp_path / "run")
    (kept,) = (place.folder / "evaluation").iterdir()
    one, two, three, *_ = sorted((kept / "test").iterdir())
    one.unlink()
    two.write_bytes(two.read_bytes()[:-200])
    three.write_bytes(b"")
    assert place.run("evaluate") == 0
    assert predicted == [path.stem.partition("_")[2] for path in (one, two, three)]
    said = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
    assert len(said) == 2
    for path, line in zip((two, three), said, strict=True):
        assert line.startswith(f"segjax: {path}: damaged, evaluated again: ")
    assert result_of(place) == result_of(evaluated)
    assert place.run("evaluate") == 0 and len(predicted) == 3


@pytest.mark.parametrize("lost", ["size", "cost", "bins_0", "lesions_5"])
def test_a_file_that_lacks_something_is_evaluated_again(evaluated, opened, tmp_path, lost, capsys):
    made, _ = opened
    (kept,) = (evaluated.folder / "evaluation").iterdir()
    first = sorted((kept / "test").iterdir())[0]
    assert evaluation._read(first, made) is not None
    with np.load(first) as stored:
        content = {name: stored[name] for name in stored.files if name != lost}
    np.savez(tmp_path / "one.npz", **content)
    assert evaluation._read(tmp_path / "one.npz", made) is None
    assert "one.npz: damaged, evaluated again" in capsys.readouterr().err


def test_broken_off_it_goes_on_with_the_next_photograph(copied, evaluated, predicted, monkeypatch):
    maps = Networks.maps

    def killed(self, *arguments, **options):
        if len(predicted) == 5:
            raise KeyboardInterrupt
        return maps(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Networks, "maps", killed)
        assert copied.run("evaluate") == 1
    assert len(predicted) == 5
    assert not list(copied.folder.glob("metrics_*")) and not list(copied.folder.rglob(".*.npz.*"))
    assert copied.run("evaluate") == 0
    assert len(predicted) == len({*predicted}) == sum(PHOTOGRAPHS.values())
    for split in PHOTOGRAPHS:
        assert result_of(copied, split) == result_of(evaluated, split)


def test_rows_in_another_order_are_not_mixed_up(evaluated, tmp_path):
    place = evaluated.copy(tmp_path / "run")
    made = place.definition()
    rows = tuple((row.name, row.maps, row.fusion) for row in made.rows[::-1])
    assert place.run("evaluate", f"--config.rows={rows!r}") == 0
    assert metrics_of(place)["rows"] == metrics_of(evaluated)["rows"]


def test_another_state_of_a_stage_is_another_result(evaluated, tmp_path, predicted):
    """One of the same shape: nothing but its numbers tells."""
    place = evaluated.copy(tmp_path / "run")
    shutil.rmtree(place.stage("half") / "checkpoints")
    shutil.copytree(place.stage("hgn") / "checkpoints", place.stage("half") / "checkpoints")
    for name in (workdir.DONE, workdir.TABLE, "predictions_validation.csv"):  # they tell the step
        shutil.copy(place.stage("hgn") / name, place.stage("half") / name)
    assert place.run("evaluate", "--split=validation") == 0
    assert len(predicted) == PHOTOGRAPHS["validation"]
    assert len(list((place.folder / "evaluation").iterdir())) == 2
    one, two = metrics_of(place, "validation"), metrics_of(evaluated, "validation")
    assert one["rows"]["HGN"] == two["rows"]["HGN"]
    assert one["networks"]["HGN"] == two["networks"]["HGN"]
    assert one["rows"]["half"] != two["rows"]["half"]
    assert one["networks"]["PRN"] != two["networks"]["PRN"]


# --- keys -----------------------------------------------------------------------------------------

STAGES = {"hgn": "a", "half": "b", "prn": "c"}


def keys(stages_=STAGES, **overrides):
    """Of each row, and of the evaluation."""
    made = commands.Place(None, "data").definition(**overrides)
    splits = SimpleNamespace(to_dict=lambda: {"test": "test"})
    experiment = SimpleNamespace(
        data=SimpleNamespace(digest="d"),
        config=SimpleNamespace(data=SimpleNamespace(splits=splits)),
    )
    trained = dict.fromkeys(stages_, SimpleNamespace(experiment=experiment))
    rows = {row.name: identity.of_row(made, row, stages_) for row in made.rows}
    return rows | {"": identity.of_evaluation(made, stages_, trained)}


@pytest.mark.parametrize("field", ["strides=(2,)", "above=0.3", "most_patches=9", "threshold=0.4"])
def test_the_refinement_is_part_of_the_rows_that_it_is_in(field):
    path, _, text = field.partition("=")
    one, two = keys(), keys(**{f"refine__{path}": text})
    changed = {name for name in one if one[name] != two[name]}
    assert changed == {"", "PRN", "PRN arithmetic", "PRN geometric"}


@pytest.mark.parametrize(
    ("stage", "rows"),
    [
        ("hgn", {*tiny.ROWS} - {"half"}),
        ("half", {*tiny.ROWS} - {"HGN"}),  # the mask of PRN has a part in the strides of all
        ("prn", {"PRN", "PRN arithmetic", "PRN geometric"}),
    ],
)
def test_a_network_is_part_of_the_rows_that_it_is_in(stage, rows):
    one, two = keys(), keys(STAGES | {stage: "x"})
    assert {name for name in one if one[name] != two[name]} == {"", *rows}


def test_how_lesions_are_hit_is_part_of_the_evaluation_alone():
    one, two = keys(), keys(hit="centre")
    assert {name for name in one if one[name] != two[name]} == {""}


@pytest.mark.parametrize(
    "path, value, same",
    [("task_options.tile", 32, False), ("data.data_dir", "/elsewhere", True)],
)
def test_options_that_change_a_map_and_no_parameter_count(opened, tmp_path, path, value, same):
    """The tiles of a whole photograph."""
    _, trained = opened
    one, made = identity.of_stages(trained), trained["hgn"]
    content = json.loads((made.folder / "config.json").read_text())
    section, key = path.split(".")
    content[section][key] = value
    (tmp_path / "config.json").write_text(json.dumps(content))
    two = identity.of_stages(trained | {"hgn": dataclasses.replace(made, folder=tmp_path)})
    assert (one["hgn"] == two["hgn"]) is same
    assert one["half"] == two["half"] and one["prn"] == two["prn"]


def test_options_that_a_later_version_has_change_nothing(opened):
    _, trained = opened
    one, made = identity.of_stages(trained), trained["hgn"]
    config = made.experiment.config.copy_and_resolve_references()
    with config.unlocked():
        config.task_options.new_option = 0
    experiment = dataclasses.replace(made.experiment, config=config)
    changed = trained | {"hgn": dataclasses.replace(made, experiment=experiment)}
    assert identity.of_stages(changed) == one


# --- splits ---------------------------------------------------------------------------------------


def test_an_unknown_split_is_refused_before_anything_is_predicted(evaluated, predicted, capsys):
    assert evaluated.run("evaluate", "--split=tests") == 2
    line = capsys.readouterr().err
    assert "split 'tests': config.data.splits has no such split, did you mean 'test'?" in line
    assert predicted == []


def test_a_split_without_lesions_is_refused_before_anything_is_predicted(
    opened, tmp_path, predicted, monkeypatch
):
    made, trained = opened
    task = type(trained["hgn"].experiment.task)
    monkeypatch.setattr(task, "open_photographs", _empty(task.open_photographs))
    with pytest.raises(UserError, match="splits.test='test': no photograph has microaneurysms"):
        evaluation.evaluate(made, tmp_path, trained, "test", "key")
    assert predicted == [] and list(tmp_path.iterdir()) == []


def _empty(opens):
    def opened(self, experiment, split):
        return [
            dataclasses.replace(one, stored_labels=np.zeros_like(one.stored_labels))
            for one in opens(self, experiment, split)
        ]

    return opened


def test_validation_is_evaluated_alone_when_it_is_asked_for(copied, predicted):
    assert copied.run("evaluate", "--split=validation") == 0
    assert len(predicted) == PHOTOGRAPHS["validation"]
    assert not (copied.folder / "metrics_test.json").exists()
    assert (
        "which is this split: it flatters" in (copied.folder / "report_validation.md").read_text()
    )
