"""Wrong input: status 2, one line that names it, and nothing on disk changed."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from segjax.cli import main
from tests.train import runs

ROOT = pathlib.Path(__file__).resolve().parents[1]
DEMO = ROOT / "experiments" / "fovea" / "demo.py"
pytestmark = pytest.mark.usefixtures("command_settings")
TRAIN = ["train", "--config", DEMO, "--workdir", "run"]


def snapshot(folder):
    """Every name below a folder with its size, time of change and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found[str(path)] = (status.st_size, status.st_mtime_ns, content)
    return found


@pytest.fixture
def refuses(tmp_path, monkeypatch, capfd):
    """Runs a command in an empty folder; it must be refused, naming `names`, and change nothing."""
    monkeypatch.chdir(tmp_path)

    def check(*words, names, untouched=()):
        watched = (tmp_path, *untouched)
        before = [snapshot(folder) for folder in watched]
        capfd.readouterr()
        status = main([str(word) for word in words])
        output, errors = capfd.readouterr()
        assert status == 2, errors
        assert output == ""
        assert errors.startswith("segjax: ") and errors.count("\n") == 1, errors
        assert "Traceback" not in errors
        for name in names:
            assert str(name) in errors
        assert [snapshot(folder) for folder in watched] == before
        return errors

    return check


# --- words of the command -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, names",
    [
        ([], ["COMMAND"]),
        (["trian"], ["'trian'", "did you mean 'train'?", "evaluate"]),
        (["data", "prepar", "idrid"], ["'prepar'", "did you mean 'prepare'?"]),
        (["data"], ["VERB"]),
        (["train", "--confg", DEMO, "--workdir", "x"], ["--confg", "did you mean '--config'?"]),
        (["train", "--config", DEMO, "--wrokdir=x"], ["--wrokdir", "did you mean '--workdir'?"]),
        (["train", "--config", "x.py", "--work", "run"], ["--work", "did you mean '--workdir'?"]),
        (["train", "--config", "x.py"], ["--workdir"]),
        (["train", "--workdir", "run"], ["--config"]),
        (["train", "--config", DEMO, "--workdir"], ["--workdir", "expected one argument"]),
        ([*TRAIN, "stray"], ["stray"]),
        ([*TRAIN, "-x"], ["-x"]),
        ([*TRAIN, "--config.seed", "1"], ["--config.seed=1"]),
        ([*TRAIN, "--processes", "two"], ["--processes", "'two'"]),
        ([*TRAIN, "--processes", "2"], ["--coordinator: missing"]),
        ([*TRAIN, "--coordinator", "host:1"], ["--processes: missing"]),
        ([*TRAIN, "--coordinator=host", "--processes=2", "--process=0"], ["--coordinator host"]),
        ([*TRAIN, "--coordinator=host:1", "--processes=2", "--process=2"], ["--process 2"]),
        (["evaluate", "--workdir", "run", "--splt", "test"], ["--splt", "did you mean '--split'?"]),
        (["evaluate", "--workdir", "run", "--config.seed=1"], ["--config.seed=1", "as it is"]),
        (["evaluate", "--workdir", "run", "--checkpoint", "bst"], ["'bst'", "mean 'best'?"]),
        (["predict", "--workdir", "run", "--output", "out"], ["--input"]),
        (["predict", "--workdir", "run", "--input", "a.png"], ["--output"]),
        (["sweep", "--config", DEMO, "--workdir", "s", "--engine", "locl"], ["'locl'", "'local'?"]),
        (["data", "show", "synthetic_fundus", "--count", "many"], ["--count", "'many'"]),
        (["data", "show", "synthetic_fundus", "--count", "0"], ["--count 0", "at least 1"]),
        (["data", "show", "synthetic_fundus", "--count", "-3"], ["--count -3", "at least 1"]),
        (["bench", "--config", DEMO, "--seconds", "0"], ["--seconds 0"]),
        (["bench", "--config", DEMO, "--seconds", "soon"], ["--seconds", "'soon'"]),
        (["report"], ["DIR"]),
    ],
)  # fmt: skip
def test_words(refuses, words, names):
    refuses(*words, names=names)


# --- experiment files -----------------------------------------------------------------------------

HEAD = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
HEAD += "from experiments.fovea import demo\n"
HEAD += "def get_config(arg=None):\n    config = demo.get_config(arg)\n"


@pytest.mark.parametrize(
    "text, names",
    [
        ("def get_config(arg=None:\n    return 1\n", ["SyntaxError", "line 1"]),
        ("import jaxx\n", ["ModuleNotFoundError", "jaxx"]),
        ("x = 1\n", ["no get_config"]),
        (HEAD, ["ConfigDict", "NoneType"]),
        (HEAD + "    config.data.batchsize = 8\n    return config\n",
         ["config.data.batchsize", "did you mean 'batch_size'?"]),
        (HEAD + "    config.sed = 8\n    return config\n", ["config.sed", "did you mean 'seed'?"]),
        (HEAD + "    config.data.batch_size = config.data.bach\n    return config\n", ["bach"]),
        (HEAD + "    config.train.epochs = 3\n    return config\n",
         ["config.train.steps and config.train.epochs", "both set"]),
        (HEAD + "    config.data.batch_size = '8'\n    return config\n",
         ["config.data.batch_size='8'", "takes int"]),
        (HEAD + "    config.data = 8\n    return config\n", ["config.data=8", "section"]),
        (HEAD + "    config.model = 'CellposeUNet'\n    return config\n", ["config.model='Cellp"]),
        (HEAD + "    del config.model.name\n    return config\n", ["config.model.name: missing"]),
        (HEAD + "    del config.train.clip_norm\n    return config\n", ["config.train.clip_norm"]),
        (HEAD + "    config.loss = {}\n    return config\n", ["config.loss", "no term"]),
        (HEAD + "    config.loss.msce = 1\n    return config\n", ["config.loss.msce", "section"]),
        (HEAD + "    del config.loss.msce.weight\n    return config\n", ["msce", "weight"]),
        (HEAD + "    config.loss.msce.poool = 'max'\n    return config\n",
         ["config.loss.msce.poool", "did you mean 'pool'?"]),
        (HEAD + "    config.data.augment.noize = 0.1\n    return config\n",
         ["config.data.augment.noize", "did you mean 'noise'?"]),
        (HEAD + "    config.data.splits = {'train': 'train'}\n    return config\n",
         ["config.data.splits.validation", "missing"]),
        (HEAD + "    config.train.steps = float('inf')\n    return config\n", ["train.steps"]),
        (HEAD + "    config.task_options.targt = 'disc'\n    return config\n",
         ["config.task_options.targt", "did you mean 'target'?"]),
    ],
)  # fmt: skip
def test_experiment_files(refuses, tmp_path, text, names):
    path = tmp_path / "mine.py"
    path.write_text(text)
    sys.dont_write_bytecode, old = True, sys.dont_write_bytecode
    try:
        refuses("train", "--config", path, "--workdir", tmp_path / "run", names=names)
    finally:
        sys.dont_write_bytecode = old


def test_an_experiment_file_that_is_not_there(refuses, tmp_path):
    absent = tmp_path / "demoo.py"
    refuses("train", "--config", absent, "--workdir", "run", names=[absent, "no such file"])
    (tmp_path / "demo.txt").write_text("")
    refuses("train", "--config", "demo.txt", "--workdir", "run", names=["demo.txt", "*.py"])
    refuses("bench", "--config", absent, names=[absent])


@pytest.mark.parametrize(
    "arg, names",
    [
        ("lss=mse", ["'lss=mse'", "did you mean 'loss'?"]),
        ("loss=msc", ["msc", "mse, sce, msce"]),
        ("loss", ["'loss'", "needs a value"]),
    ],
)
def test_arguments_of_an_experiment(refuses, arg, names):
    refuses("train", "--config", f"{DEMO}:{arg}", "--workdir", "run", names=names)


# --- values of the config -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, value, names",
    [
        ("sed", 1, ["--config.sed", "did you mean 'seed'?"]),
        ("optimizer.learning_rat", 1, ["learning_rat", "did you mean 'learning_rate'?"]),
        ("optimiser.learning_rate", 1, ["--config.optimiser", "did you mean 'optimizer'?"]),
        ("data.augment.noize", 1, ["noize", "did you mean 'noise'?"]),
        ("loss.msce.poool", "max", ["--config.loss.msce.poool", "did you mean 'pool'?"]),
        ("model", "CellposeUNet", ["--config.model", "is a section"]),
        # names
        ("task", "localisation", ["config.task='localisation'", "did you mean 'localization'?"]),
        ("task", "None", ["config.task=None"]),
        ("model.name", "CellposeUnet", ["config.model.name", "did you mean 'CellposeUNet'?"]),
        ("loss.msce.name", "multiscale_softmax_cross_entropi",
         ["config.loss.msce.name", "did you mean 'multiscale_softmax_cross_entropy'?"]),
        ("loss.msce.name", "coordinate_mean_squared_error", ["loss.msce.", "no such option"]),
        ("loss.msce.name", "math:floor", ["config.loss.msce"]),
        ("optimizer.name", "adamww", ["config.optimizer.name='adamww'", "did you mean 'adamw'?"]),
        ("optimizer.name", "sgd", ["config.optimizer.", "no such option"]),
        ("schedule.name", "cosine_decai", ["config.schedule.name", "did you mean 'cosine_decay'?"]),
        ("data.name", "synthetic_fundos", ["config.data.name", "did you mean 'synthetic_fundus'?"]),
        ("data.name", "synthetic_fundus/smal", ["config.data.name", "did you mean 'small'?"]),
        ("data.name", "synthetic_fundus/8px_4_4_4", ["synthetic_fundus/8px_4_4_4"]),
        ("data.name", "idrid/localization", ["idrid/localization", "segjax data prepare"]),
        ("data.splits.train", "trian", ["config.data.splits.train='trian'", "mean 'train'?"]),
        ("data.splits.validation", "train[:0]", ["config.data.splits.validation='train[:0]'"]),
        ("data.splits.train", 5, ["config.data.splits.train='5'"]),
        ("data.splits.train", "none", ["config.data.splits.train=None"]),
        ("evaluate.best", "los", ["config.evaluate.best='los'", "did you mean 'loss'?", "r_aed"]),
        ("evaluate.best_mode", "mix", ["config.evaluate.best_mode='mix'", "did you mean 'min'?"]),
        ("dtype", "bfloat", ["config.dtype='bfloat'", "did you mean 'bfloat16'?"]),
        ("parallel", "shardin", ["config.parallel='shardin'", "did you mean 'sharding'?"]),
        ("data.resident", "maybe", ["config.data.resident='maybe'", "auto, yes, no"]),
        ("task_options.decode", "argmaks", ["config.task_options.decode='argmaks'", "argmax"]),
        ("task_options.target", "foveaa", ["foveaa"]),
        ("loss.msce.pool", "maks", ["maks", "max"]),
        # types
        ("seed", "abc", ["--config.seed='abc'", "takes int"]),
        ("seed", 1.5, ["--config.seed=1.5", "takes int"]),
        ("seed", "none", ["config.seed=None", "takes int"]),
        ("data.data_dir", "none", ["config.data.data_dir=None", "takes str"]),
        ("data.batch_size", 8.0, ["--config.data.batch_size=8.0", "takes int"]),
        ("data.batch_size", "true", ["--config.data.batch_size=True", "takes int"]),
        ("optimizer.learning_rate", "fast", ["learning_rate='fast'", "takes float"]),
        ("data.image_size", 32, ["--config.data.image_size=32", "takes tuple"]),
        ("log.tensorboard", "maybe", ["--config.log.tensorboard='maybe'", "takes bool"]),
        ("train.steps", "many", ["config.train.steps", "'many'"]),
        ("model.features", 4, ["--config.model.features=4", "takes tuple"]),
        ("loss.msce.weight", "heavy", ["--config.loss.msce.weight='heavy'"]),
        ("loss.msce.weight", "none", ["config.loss.msce.weight=None"]),
        ("schedule.warmup_percent", "none", ["config.schedule.warmup_percent=None"]),
        # ranges
        ("seed", -1, ["config.seed=-1"]),
        ("optimizer.learning_rate", -0.1, ["config.optimizer.learning_rate=-0.1", "above 0"]),
        ("optimizer.learning_rate", 0, ["config.optimizer.learning_rate=0.0", "above 0"]),
        ("optimizer.weight_decay", -1, ["config.optimizer.weight_decay=-1.0"]),
        ("schedule.warmup_percent", -5, ["config.schedule.warmup_percent=-5"]),
        ("schedule.warmup_percent", 101, ["config.schedule.warmup_percent=101"]),
        ("train.steps", 0, ["config.train.steps=0", "above 0"]),
        ("train.steps", -3, ["config.train.steps=-3", "above 0"]),
        ("train.steps", "none", ["config.train.steps", "no length"]),
        ("train.percent", 50, ["config.train.percent=50", "percentage"]),
        ("train.patience_epochs", -1, ["config.train.patience_epochs=-1"]),
        ("evaluate.every_epochs", 0, ["config.evaluate.every_epochs=0"]),
        ("checkpoint.every_steps", -1, ["config.checkpoint.every_steps=-1"]),
        ("checkpoint.keep", 0, ["config.checkpoint.keep=0"]),
        ("data.batch_size", 0, ["config.data.batch_size=0", "at least 1"]),
        ("data.batch_size", -8, ["config.data.batch_size=-8", "at least 1"]),
        ("data.batch_size", 12, ["config.data.batch_size=12", "8 devices", "multiple of 8"]),
        ("evaluate.batch_size", 4, ["config.evaluate.batch_size=4", "8 devices"]),
        ("evaluate.batch_size", 0, ["config.evaluate.batch_size=0"]),
        ("train.clip_norm", -1, ["config.train.clip_norm=-1"]),
        ("train.clip_norm", "tight", ["config.train.clip_norm='tight'"]),
        ("data.augment.noise", -0.1, ["config.data.augment.noise=-0.1"]),
        ("loss.msce.weight", -1, ["config.loss.msce.weight=-1.0"]),
        ("log.profile_steps", -1, ["config.log.profile_steps=-1"]),
        ("data.image_size", "(32,)", ["config.data.image_size=(32,)"]),
        ("data.image_size", "(0, 32)", ["config.data.image_size=(0, 32)"]),
        ("data.image_size", "(32, -1)", ["config.data.image_size=(32, -1)"]),
        ("data.image_size", "(32, 3.5)", ["config.data.image_size=(32, 3.5)"]),
        ("data.image_size", "('a', 'b')", ["config.data.image_size=('a', 'b')"]),
        ("model.features", "()", ["features"]),
        ("model.features", "(4, -8)", ["features"]),
        ("model.features", "(4, 0)", ["features"]),
        ("model.features", "('a', 8)", ["features"]),
        ("model.features", "none", ["features"]),
        ("model.outputs", 0, ["outputs"]),
        ("loss.msce.scales", 9, ["scales", "9"]),
        ("loss.msce.scales", 0, ["scales", "0"]),
        ("loss.msce.scales", "all", ["scales", "'all'"]),
        ("loss.msce.scale_weights", "(1, 2)", ["scale_weights"]),
    ],
)  # fmt: skip
def test_values(refuses, data_dir, path, value, names):
    words = runs.words("run", data_dir) + [f"--config.{path}={value}"]
    refuses(*words, names=names)


def test_scales_that_do_not_divide_the_image(refuses, data_dir):
    settings = {"data__image_size": "(36, 36)", "loss__msce__scales": 4}
    refuses(*runs.words("run", data_dir, **settings), names=["scales", "36"])


def test_an_override_of_a_duration_replaces_the_files(refuses, data_dir):
    words = runs.words("run", data_dir, seed=-1)  # wrong later on, so that nothing is trained
    errors = refuses(*words, "--config.train.epochs=1", names=["config.seed=-1"])
    assert "both set" not in errors


# --- work folders ---------------------------------------------------------------------------------


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


def test_no_checkpoint(refuses, tmp_path, trained):
    copy = tmp_path / "run"
    shutil.copytree(trained, copy, ignore=shutil.ignore_patterns("checkpoints"))
    photograph = picture(tmp_path / "a.png")
    names = ["run", "no checkpoint"]
    refuses("evaluate", "--workdir", "run", names=names)
    refuses("predict", "--workdir", "run", "--input", photograph, "--output", "o", names=names)
    (copy / "checkpoints" / "latest").mkdir(parents=True)
    refuses("evaluate", "--workdir", "run", "--checkpoint", "latest", names=names)


def test_no_log(refuses, tmp_path, trained):
    (tmp_path / "run").mkdir()
    shutil.copy(trained / "config.json", tmp_path / "run")
    refuses("report", "run", names=["run", "no value in metrics.jsonl"])


@pytest.mark.parametrize("split, names", [("validaton", ["'validation'?"]), ("", ["''"])])
def test_a_split_that_is_unknown(refuses, trained, split, names):
    words = ["evaluate", "--workdir", trained, "--split", split]
    refuses(*words, names=[repr(split), *names, "It has: test, train"], untouched=[trained])


# --- data sets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["prepare", "show"])
def test_a_data_set_that_is_unknown(refuses, verb):
    refuses("data", verb, "idird", names=["'idird'", "did you mean 'idrid'?", "synthetic_fundus"])
    refuses("data", verb, "idrid/gradin", names=["'idrid/gradin'", "did you mean 'grading'?"])


@pytest.mark.parametrize("name", ["idrid", "idrid/segmentation", "refuge2"])
def test_a_wrong_manual_dir(refuses, tmp_path, name):
    words = ["data", "prepare", name]
    refuses(*words, names=["--manual_dir is needed"])
    refuses(*words, "--manual_dir", "absent", names=["--manual_dir absent", "no such folder"])
    (tmp_path / "file").write_text("")
    refuses(*words, "--manual_dir", "file", names=["--manual_dir file"])
    (tmp_path / "empty").mkdir()
    errors = refuses_but_for_data(refuses, tmp_path, *words, "--manual_dir", "empty")
    assert "empty" in errors
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("not a data set")
    errors = refuses_but_for_data(refuses, tmp_path, *words, "--manual_dir", "other")
    assert "other" in errors


def refuses_but_for_data(refuses, tmp_path, *words):
    """As `refuses`; TFDS has begun, so its folder may exist, but holds no prepared set."""
    folder = tmp_path.with_name(tmp_path.name + "_data")
    errors = refuses(*words, "--data_dir", folder, names=["manual_dir"])
    assert not [path for path in folder.rglob("*") if "record" in path.name]
    assert not list(folder.rglob("dataset_info.json"))
    return errors


def test_a_data_dir_that_cannot_be_written(refuses, tmp_path):
    (tmp_path / "file").write_text("")
    name = "synthetic_fundus/48px_2_1_1"
    refuses("data", "prepare", name, "--data_dir", "file/data", names=["--data_dir", "file/data"])
    refuses(*runs.words("run", "file/data"), names=["file/data"])


def test_showing_what_is_not_there(refuses, tmp_path, data_dir):
    words = ["data", "show", runs.DATA, "--data_dir", data_dir]
    refuses(*words, "--split", "trian", names=["--split='trian'", "did you mean 'train'?"])
    refuses("data", "show", "idrid", names=["'idrid'", "segjax data prepare"])
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    refuses(*words, "--output", "file/sheet.png", names=["--output file", "cannot write"])
    refuses(*words, "--output", "folder", names=["--output", "folder"])


# --- pictures to predict --------------------------------------------------------------------------


def picture(path, size=(40, 30)):
    pixels = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("not a picture at all\n" * 50)


def truncated(path):
    picture(path, (200, 200))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", ["bad.png", "bad.jpg", "bad.tif"])
@pytest.mark.parametrize("make", [empty, text, truncated])
def test_an_unreadable_picture(refuses, tmp_path, trained, make, name):
    (tmp_path / "pictures").mkdir()
    picture(tmp_path / "pictures" / "good.png")
    make(tmp_path / "pictures" / name)
    words = ["predict", "--workdir", trained, "--output", "out", "--input"]
    refuses(*words, "pictures", names=[f"pictures/{name}"], untouched=[trained])


def test_pictures_that_are_not_there(refuses, tmp_path, trained):
    words = ["predict", "--workdir", trained, "--output", "out", "--input"]
    good = picture(tmp_path / "good.png")
    refuses(*words, good, "absent.png", names=["absent.png", "no such file"])
    (tmp_path / "empty").mkdir()
    refuses(*words, "empty", names=["--input empty", "no image"])
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("notes")
    refuses(*words, good, "texts", names=["--input texts", "no image"])


@pytest.mark.parametrize("output", ["file", "file/out", "x" * 300])
def test_an_output_that_cannot_be_written(refuses, tmp_path, trained, output):
    (tmp_path / "file").write_text("a file")
    good = picture(tmp_path / "good.png")
    words = ["predict", "--workdir", trained, "--input", good, "--output", output]
    refuses(*words, names=[output], untouched=[trained])


def test_a_good_picture_is_taken(tmp_path, trained):
    good = picture(tmp_path / "good.png")
    words = ["predict", "--workdir", trained, "--input", good, "--output", tmp_path / "out"]
    assert main([str(word) for word in words]) == 0
    lines = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert len(lines) == 2 and lines[1].startswith("good.png,")
    assert (tmp_path / "out" / "overlays" / "good.png.png").is_file()


# --- sweeps ---------------------------------------------------------------------------------------


def write_sweep(folder, points="[{'seed': 0}, {'seed': 1}]"):
    path = folder / "swept.py"
    path.write_text(f"{HEAD}    return config\ndef sweep():\n    return {points}\n")
    return path


@pytest.mark.parametrize(
    "points, names",
    [
        ("[]", ["no point"]),
        ("[{'seed': 0}, {'seed': 0}]", ["same point twice"]),
        ("[{'seed': 0}, {'sed': 1}]", ["--config.sed", "did you mean 'seed'?"]),
        ("[{'seed': 0}, {'seed': 'x'}]", ["--config.seed='x'"]),
        ("[{'seed': 0}, {'seed': -1}]", ["config.seed=-1"]),
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


# --- in a process of its own ----------------------------------------------------------------------


def run(*words, folder):
    return subprocess.run(
        [sys.executable, "-m", "segjax.cli", *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_exit_status_reaches_the_shell(tmp_path):
    done = run("trian", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("segjax: ") and done.stderr.count("\n") == 1
    assert "'train'" in done.stderr
    assert run("--help", folder=tmp_path).returncode == 0


def test_a_wrong_value_is_one_line_in_the_shell_too(tmp_path):
    flag = "--config.loss.msce.name=mse"
    done = run("train", "--config", DEMO, "--workdir", "run", flag, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "config.loss.msce.name='mse'" in done.stderr
    assert not list(tmp_path.iterdir())
