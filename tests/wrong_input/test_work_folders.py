"""Work folders that are missing, occupied, damaged or of another experiment."""

import json
import os
import shutil

import pytest

from segjax.cli import main
from segjax.config import sweeps
from segjax.launch import sweep
from segjax.train import holder
from segjax.train.sweepdir import folder_of
from tests.train import runs, tiny
from tests.wrong_input.words import HEAD, picture

pytestmark = pytest.mark.usefixtures("command_settings")


@pytest.mark.parametrize("command", ["evaluate", "predict", "report"])
def test_a_work_folder_that_is_missing(refuses, tmp_path, command):
    words = {
        "evaluate": ["evaluate", "--workdir", "absent"],
        "predict": ["predict", "--workdir", "absent", "--input", "a.png", "--output", "out"],
        "report": ["report", "absent"],
    }[command]
    refuses(*words, names=["absent", "no such folder"])
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "notes.txt").write_text("mine")
    refuses(*words, names=["absent", "not a work folder", "config.json"])
    shutil.rmtree(tmp_path / "absent")
    (tmp_path / "absent").write_text("a file")
    refuses(*words, names=["absent"])


@pytest.mark.parametrize("workdir", ["file/run", "file/deep/run", "file", "x" * 300])
def test_a_work_folder_that_cannot_be_written(refuses, tmp_path, data_dir, workdir):
    (tmp_path / "file").write_text("a file, no folder")
    refuses(*runs.words(workdir, data_dir), names=[workdir])
    refuses("sweep", "--config", write_sweep(tmp_path), "--workdir", workdir, names=[workdir])


@pytest.mark.parametrize("workdir", ["/proc/x", "/proc/x/deep"])
def test_a_place_where_nobody_can_write(refuses, tmp_path, data_dir, trained, workdir):
    names = [f"{workdir}: cannot write"]
    refuses(*runs.words(workdir, data_dir), names=["--workdir", *names])
    refuses("sweep", "--config", write_sweep(tmp_path), "--workdir", workdir, names=names)
    words = ["--workdir", trained, "--output", workdir]
    refuses("predict", *words, "--input", picture(tmp_path / "a.png"), names=["--output", *names])
    refuses("export", *words, names=["--output", *names])


def test_a_link_to_nowhere_as_a_work_folder(refuses, tmp_path, data_dir):
    (tmp_path / "run").symlink_to("nowhere")
    for workdir in ("run", "run/deep"):
        names = [f"--workdir {workdir}", "link to nowhere, which is gone"]
        refuses(*runs.words(workdir, data_dir), names=names)
        words = ["sweep", "--config", write_sweep(tmp_path), "--workdir", workdir]
        refuses(*words, names=names)


def test_an_occupied_work_folder(refuses, tmp_path, data_dir):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    refuses(*runs.words("run", data_dir), names=["--workdir run", "occupied"])
    refuses("sweep", "--config", write_sweep(tmp_path), "--workdir", "run", names=["occupied"])


@pytest.mark.parametrize(
    "settings, names",
    [
        ({"optimizer__learning_rate": 0.5}, ["config.optimizer.learning_rate", "0.5 here"]),
        ({"seed": 3}, ["config.seed: 0 there, 3 here"]),
        ({"model__features": "(4, 16)"}, ["config.model.features", "[4, 16] here"]),
        ({"data__splits__train": "train[:16]"}, ["config.data.splits.train"]),
    ],
)
def test_a_work_folder_of_another_experiment(refuses, trained, data_dir, settings, names):
    words = runs.words(trained, data_dir, **settings)
    refuses(*words, names=[trained, "another experiment", *names], untouched=[trained])


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer__learning_rat": 1},
        {"data__batch_size": 0},
        {"loss__msce__name": "msc"},
        {"data__name": "synthetic"},
        {"data__splits__train": "trian"},
        {"seed": "x"},
    ],
)
def test_wrong_values_leave_a_trained_folder_alone(refuses, trained, data_dir, settings):
    words = runs.words(trained, data_dir, **settings)
    value = next(iter(settings)).rpartition("__")[2]
    refuses(*words, names=[value], untouched=[trained])


@pytest.mark.parametrize("text", ["", '{"seed": 0, "model": {"na', "[1, 2]", "\0\0\0"])
def test_a_damaged_config(refuses, tmp_path, trained, data_dir, text):
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    (copy / "config.json").write_text(text)
    names = [copy / "config.json", "damaged"]
    refuses(*runs.words(copy, data_dir), names=names)
    refuses("evaluate", "--workdir", copy, names=names)
    refuses("report", copy, names=names)
    refuses("predict", "--workdir", copy, "--input", copy, "--output", "out", names=names)


@pytest.mark.parametrize("name", ["metrics_validation.json", "env.json"])
@pytest.mark.parametrize("content", ["[]", "{}", "12"])
def test_a_damaged_result(refuses, tmp_path, trained, name, content):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / name).write_text(content)
    refuses("report", "run", names=[f"run/{name}", "cannot read it", "train or evaluate again"])


def test_no_checkpoint(refuses, tmp_path, trained):
    copy = tmp_path / "run"
    shutil.copytree(trained, copy, ignore=shutil.ignore_patterns("checkpoints"))
    photograph = picture(tmp_path / "a.png")
    names = ["run", "no checkpoint"]
    refuses("evaluate", "--workdir", "run", names=names)
    refuses("predict", "--workdir", "run", "--input", photograph, "--output", "o", names=names)
    (copy / "checkpoints" / "latest").mkdir(parents=True)
    refuses("evaluate", "--workdir", "run", "--checkpoint", "latest", names=names)


@pytest.mark.parametrize("ended", [True, False])
def test_a_model_whose_code_has_changed(refuses, tmp_path, trained, data_dir, monkeypatch, ended):
    """No checkpoint is taken for damaged, by any verb."""
    shutil.copytree(trained, tmp_path / "run")
    if not ended:
        (tmp_path / "run" / "done.json").unlink()
    photograph = picture(tmp_path / "a.png")
    monkeypatch.setattr(tiny, "Normed", tiny.Tiny)
    names = ["run/checkpoints/", "model and checkpoint do not fit: params/Conv_0/kernel is "]
    names += ["float32[5, 5, 3, 4] in the model", "float32[3, 3, 3, 4] in the checkpoint"]
    refuses(*runs.words("run", data_dir), names=names)
    refuses("evaluate", "--workdir", "run", names=names)
    refuses("evaluate", "--workdir", "run", "--checkpoint", "latest", names=names)
    refuses("predict", "--workdir", "run", "--input", photograph, "--output", "o", names=names)
    refuses("export", "--workdir", "run", "--output", "o", names=names)
    refuses("landscape", "parameters", "--workdir", "run", names=names)
    refuses("report", "run", names=names)


def test_damaged_best_checkpoint(refuses, tmp_path, trained):
    shutil.copytree(trained, tmp_path / "run")
    (best,) = (tmp_path / "run" / "checkpoints" / "best").iterdir()
    (best / "state" / "manifest.ocdbt").write_bytes(b"")
    photograph = picture(tmp_path / "a.png")
    names = [f"run/checkpoints/best/{best.name}: damaged", "--checkpoint latest"]
    refuses("evaluate", "--workdir", "run", names=names)
    refuses("predict", "--workdir", "run", "--input", photograph, "--output", "o", names=names)
    refuses("report", "run", names=names)


def test_a_work_folder_in_use(refuses, tmp_path, trained, data_dir):
    shutil.copytree(trained, tmp_path / "run")
    with holder.hold(tmp_path / "run"):
        names = ["--workdir run: in use by process", os.getpid(), "started"]
        refuses(*runs.words("run", data_dir), names=names)
    with holder.hold(tmp_path / "new"):
        refuses(*runs.words("new", data_dir), names=["--workdir new: in use by process"])


@pytest.mark.parametrize("engine", ["local", "population"])
def test_a_sweep_in_use_or_with_a_point_in_use(refuses, tmp_path, data_dir, engine):
    settings = runs.SMALL | {"data.data_dir": data_dir}
    extra = {key: str(value) for key, value in settings.items()}
    path, points, folder = write_sweep(tmp_path), [{"seed": 0}, {"seed": 1}], tmp_path / "swept"
    words = ["sweep", "--config", path, "--workdir", "swept", "--engine", engine]
    words += [f"--config.{key}={value}" for key, value in extra.items()]
    with sweep.open_folder(str(path), points, extra, folder):
        refuses(*words, names=["--workdir swept: in use by process", os.getpid()])
    # As after the end of a sweep whose child trains on.
    with holder.hold(folder_of(folder, points[1])):
        point = sweeps.point_id(points[1])
        names = [f"--workdir swept/points/{point}: in use by process", os.getpid()]
        refuses(*words, names=names)


def test_no_log(refuses, tmp_path, trained):
    (tmp_path / "run").mkdir()
    shutil.copy(trained / "config.json", tmp_path / "run")
    refuses("report", "run", names=["run", "no value in metrics.jsonl"])


def test_a_table_without_its_cases(refuses, tmp_path, trained):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "predictions_validation.csv").unlink()
    names = ["run/predictions_validation.csv: missing", "metrics_validation.json", "evaluate again"]
    refuses("report", "run", names=names)


@pytest.mark.parametrize("split, names", [("validaton", ["'validation'?"]), ("", ["''"])])
def test_a_split_that_is_unknown(refuses, trained, split, names):
    words = ["evaluate", "--workdir", trained, "--split", split]
    refuses(*words, names=[repr(split), *names, "It has: test, train"], untouched=[trained])


def write_sweep(folder, points="[{'seed': 0}, {'seed': 1}]"):
    path = folder / "swept.py"
    path.write_text(f"{HEAD}    return config\ndef sweep():\n    return {points}\n")
    return path


@pytest.mark.parametrize(
    "points, names",
    [
        ("[]", ["no point"]),
        ("[{'seed': 0}, {'seed': 0}]", ["same point twice"]),
        (
            "[{'seed': 0}, {'sed': 1}]",
            ["swept.py: sweep() point (sed=1): config.sed", "did you mean 'seed'?"],
        ),
        ("[{'seed': 0}, {'seed': 'x'}]", ["point (as written, seed x): config.seed='x'"]),
        ("[{'seed': 0}, {'seed': -1}]", ["point (as written, seed -1): config.seed=-1"]),
        ("[{'arg': 'lss=mse'}]", ["'lss=mse'", "did you mean 'loss'?"]),
        ("[{'optimizer.learning_rate': -1.0}]", ["config.optimizer.learning_rate=-1.0"]),
        ("[{'loss.msce.name': 'nothing'}]", ["config.loss.msce.name='nothing'"]),
        ("[{'loss.msce.poool': 'max'}]", ["poool", "did you mean 'pool'?"]),
        ("1 / 0", ["ZeroDivisionError"]),
        ("None", ["sweep()"]),
        ("['seed']", ["sweep()"]),
    ],
)
def test_a_wrong_sweep(refuses, tmp_path, points, names):
    words = ["sweep", "--config", write_sweep(tmp_path, points), "--workdir", "sweep"]
    refuses(*words, names=names)


def test_a_flag_that_overrides_what_a_sweep_varies(refuses, tmp_path):
    """Its points would all be one training, and count as several."""
    words = ["sweep", "--config", write_sweep(tmp_path), "--workdir", "sweep", "--config.seed=7"]
    refuses(*words, names=["--config.seed: is what sweep() of", "varies"])


def test_a_flag_in_another_unit_of_a_duration_that_a_sweep_varies(refuses, tmp_path):
    path = write_sweep(tmp_path, "[{'train.steps': 2}, {'train.steps': 3}]")
    words = ["sweep", "--config", path, "--workdir", "sweep", "--config.train.epochs=1"]
    refuses(*words, names=["--config.train.epochs: is what sweep() of", "varies"])


def test_points_that_flags_make_equal(refuses, tmp_path):
    """The rows of its table would be one training under two labels."""
    path = write_sweep(tmp_path, "[{'arg': 'batch=4'}, {'arg': 'batch=8'}]")
    size = (
        "    config = demo.get_config()\n    config.data.batch_size = int(arg.partition('=')[2])\n"
    )
    path.write_text(path.read_text().replace("    config = demo.get_config(arg)\n", size))
    words = ["sweep", "--config", path, "--workdir", "sweep", "--config.data.batch_size=2"]
    named = "(batch=4) and (batch=8) are one and the same training with --config.data.batch_size=2"
    refuses(*words, names=[named])


def test_points_that_are_equal_as_they_are_written(refuses, tmp_path):
    path = write_sweep(tmp_path, "[{}, {'arg': 'loss=msce'}]")
    words = ["sweep", "--config", path, "--workdir", "sweep"]
    refuses(*words, names=["(as written) and (loss=msce) are one and the same training\n"])


def test_a_word_that_a_sweep_replaces(refuses, tmp_path):
    path = write_sweep(tmp_path, "[{'arg': 'loss=mse'}, {'arg': 'loss=msce'}]")
    words = ["sweep", "--config", f"{path}:loss=msce", "--workdir", "sweep"]
    refuses(*words, names=["loss=msce is lost, for sweep() varies loss"])


def test_the_state_of_another_sweep_is_not_told(refuses, tmp_path, trained, capfd):
    """Points go by what they change: with other settings for all they have the same names."""
    path = write_sweep(tmp_path)
    words = ["sweep", "--status", "--config", path, "--workdir"]
    refuses(*words, trained, names=[trained, "holds no sweep"], untouched=[trained])
    (tmp_path / "sweep").mkdir()
    given = sweep.manifest_of(str(path), sweep.load_points(str(path)), {"train.steps": "40"})
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps(given))
    other = [*words, "sweep", "--config.train.steps=41"]
    refuses(*other, names=["--workdir sweep: holds another sweep"])
    assert main([*map(str, words), "sweep"]) == 0
    assert "swept.py with --config.train.steps=40" in capfd.readouterr().out


@pytest.mark.parametrize(
    "path, value, names",
    [
        ("data", None, ["its `data` is no section"]),
        ("data", [1], ["its `data` is no section"]),
        ("evaluate.batch_size", "8", ["config.evaluate.batch_size='8'"]),
        ("evaluate.batch_size", float("nan"), ["config.evaluate.batch_size=nan"]),
        ("data.data_dir", 3, ["config.data.data_dir=3"]),
        ("data.splits", None, ["config.data.splits=None"]),
    ],
)
def test_wrong_values_in_a_saved_config(refuses, trained, tmp_path, path, value, names):
    content = json.loads((trained / "config.json").read_text())
    *parents, leaf = path.split(".")
    section = content
    for key in parents:
        section = section[key]
    section[leaf] = value
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(json.dumps(content))
    refuses("evaluate", "--workdir", "run", "--split", "test", names=names)
    refuses("report", "run", names=names)


def test_a_file_without_a_sweep(refuses, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(HEAD + "    return config\n")
    refuses("sweep", "--config", path, "--workdir", "sweep", names=[path, "no sweep()"])
    refuses("sweep", "--config", "absent.py", "--workdir", "sweep", names=["absent.py"])


def test_a_folder_of_another_sweep(refuses, tmp_path):
    path = write_sweep(tmp_path)
    (tmp_path / "sweep").mkdir()
    manifest = tmp_path / "sweep" / "sweep.json"
    manifest.write_text(json.dumps({"config": "other.py", "overrides": {}, "points": {}}))
    words = ["sweep", "--config", path, "--workdir", "sweep"]
    refuses(*words, names=["--workdir sweep", "another sweep"])
    manifest.write_text('{"config": "oth')
    refuses(*words, names=["sweep/sweep.json", "damaged"])
    refuses("report", "sweep", names=["sweep/sweep.json", "damaged"])
