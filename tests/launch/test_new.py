"""`segjax new` writes experiment files that build, for each kind of set."""

import re

import cv2
import numpy as np
import pytest

from segjax import losses
from segjax.cli import main
from segjax.config import files
from segjax.data.png import write_png
from segjax.launch import sweep, templates
from segjax.pipelines import definition
from segjax.train import experiment
from tests.data import test_idrid
from tests.data.folders import test_volumes
from tests.data.folders.settings import mask, picture, table

pytestmark = pytest.mark.usefixtures("command_settings")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twelve photographs with masks of two classes, and a table of points."""
    monkeypatch.chdir(tmp_path)
    for n in range(12):
        picture(tmp_path / "eyes" / f"e{n}.png", seed=n)
        mask(tmp_path / "drawn" / f"e{n}.png", (0, 1, 2, 255))
    rows = [(f"e{n}", 3 + n, 4) for n in range(12)]
    table(tmp_path / "points.csv", ("image", "fovea_x", "fovea_y"), *rows)
    words = ["--images", "eyes", "--masks", "drawn", "--points", "points.csv"]
    given = [*words, "--classes", "disc,cup", "--name", "eyes"]
    assert main(["data", "prepare", "folder", *given]) == 0
    return tmp_path


def built(path):
    """The config of a file, and what it builds at each point of its sweep."""
    text = path.read_text()
    assert len(text.splitlines()) <= 45 and max(map(len, text.splitlines())) <= 100
    assert "\n\n\ndef sweep" in text and "\n\n\n\n" not in text
    for word in {loss.partition("+")[0] for loss in templates.LOSSES[files.load(str(path)).task]}:
        # A loss that is documented by its name, or a word that the file itself explains
        assert hasattr(losses, word) or re.search(rf"Losses:.*\b{word} ", text, re.DOTALL)
    points = sweep.load_points(str(path))
    assert len(points) == 15 and len({point["arg"] for point in points}) == 5
    for point in points[::3]:
        made = experiment.check(files.load(f"{path}:{point['arg']},steps=30"))
        assert made.total_steps == 30
    return files.load(str(path))


def test_masks(folder, capfd):
    assert main(["new", "eyes.py", "--data", "eyes"]) == 0
    assert "wrote eyes.py (task segmentation)" in capfd.readouterr().out
    config = built(folder / "eyes.py")
    assert config.task_options.targets == ("disc", "cup")
    assert config.task_options.within == "annotated" and config.model.outputs == 3
    assert config.data.batch_size == 8 and config.evaluate.best == "dice"


def test_a_class_within_another_comes_later_and_is_not_painted_over(tmp_path, capfd):
    """By their names cup would come first, and the disc around it be written over it."""
    for kind in ("photos", "drawn"):
        (tmp_path / kind).mkdir()
    random = np.random.default_rng(0)
    for index in range(6):
        image = random.integers(0, 255, (160, 180, 3)).astype(np.uint8)
        write_png(tmp_path / "photos" / f"eye{index}.png", image)
        for name, radius in (("disc", 40), ("cup", 15)):
            mask = np.zeros((160, 180), np.uint8)
            cv2.circle(mask, (90, 80), radius, 255, -1)
            write_png(tmp_path / "drawn" / f"eye{index}_{name}.png", mask)
    given = ["--images", str(tmp_path / "photos"), "--masks", str(tmp_path / "drawn")]
    data = ["--data_dir", str(tmp_path / "data")]
    assert main(["data", "prepare", "folder", *given, "--name", "eyes", *data]) == 0
    path = tmp_path / "eyes.py"
    capfd.readouterr()
    assert main(["new", str(path), "--data", "eyes", *data]) == 0
    said = capfd.readouterr().out
    assert "photographs of 160 x 180 pixels are brought to 128 x 128" in said
    assert "full_size=(160, 180)" in said and "160 x 180 pixels" in path.read_text()
    config = files.load(str(path), {})
    assert tuple(config.task_options.targets) == ("disc", "cup")


def test_points(folder, capfd):
    assert main(["new", "eyes.py", "--data", "eyes", "--task", "localization"]) == 0
    config = built(folder / "eyes.py")
    assert config.task_options.target == "fovea" and config.evaluate.best == "distance_pixels"


@pytest.fixture
def spots(tmp_path, monkeypatch):
    """Twelve photographs of 200 x 240 pixels, every other one with an empty mask."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for n in range(12):
        lesions = np.zeros((200, 240), np.uint8)
        if n % 2:
            cv2.circle(lesions, (80 + 5 * n, 100), 4, 255, -1)
        image = random.integers(60, 120, (200, 240, 3)) + (lesions[..., None] > 0) * 90
        (tmp_path / "eyes").mkdir(exist_ok=True)
        (tmp_path / "drawn").mkdir(exist_ok=True)
        write_png(tmp_path / "eyes" / f"e{n}.png", image.astype(np.uint8))
        write_png(tmp_path / "drawn" / f"e{n}_spots.png", lesions)
    words = ["--images", "eyes", "--masks", "drawn", "--name", "spots", "--test", "0.3"]
    assert main(["data", "prepare", "folder", *words]) == 0
    return tmp_path


def test_lesions_in_two_stages(spots, capfd):
    capfd.readouterr()
    assert main(["new", "spots.py", "--data", "spots", "--task", "lesion_segmentation"]) == 0
    assert "`segjax pipeline train spots.py --workdir DIR`" in capfd.readouterr().out
    text = (spots / "spots.py").read_text()
    assert len(text.splitlines()) <= 45 and max(map(len, text.splitlines())) <= 100
    made = definition.load("spots.py")
    for config in made.stages.values():
        experiment.name_parts(config)
        assert config.task_options.target == "spots" and config.data.splits.test == "test"
    assert definition.load("spots.py:seed=3").stages["prn"].seed == 3


@pytest.mark.slow
def test_what_is_written_for_lesions_trains_and_is_evaluated(spots):
    assert main(["new", "spots.py", "--data", "spots", "--task", "lesion_segmentation"]) == 0
    for config in definition.load("spots.py").stages.values():
        assert experiment.check(config).total_steps == config.train.steps
    small = {
        "hgn_1x": "tests.pipelines.networks:Pixels",
        "hgn_05x": "tests.pipelines.networks:Pixels",
        "cls": "tests.pipelines.networks:Patches",
        "prn": "tests.pipelines.networks:Patches",
    }
    words = [f"--config.stages.{name}.model.name={model}" for name, model in small.items()]
    words += [f"--config.stages.{name}.train.steps=2" for name in small]
    words += [f"--config.stages.{name}.log.tensorboard=False" for name in small]
    for verb in ("train", "evaluate"):
        assert main(["pipeline", verb, "spots.py", "--workdir", "work", *words]) == 0
    assert "`predict` writes PRN geometric" in (spots / "work" / "report_test.md").read_text()


def test_small_photographs_are_not_for_two_stages(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for n in range(6):
        picture(tmp_path / "eyes" / f"e{n}.png", seed=n)
        mask(tmp_path / "drawn" / f"e{n}_spots.png")
    words = ["--images", "eyes", "--masks", "drawn", "--name", "eyes"]
    assert main(["data", "prepare", "folder", *words]) == 0
    assert main(["new", "eyes.py", "--data", "eyes", "--task", "lesion_segmentation"]) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and "patches at two scales want 192 at least" in errors


@pytest.fixture
def findings(tmp_path, monkeypatch):
    """Twelve photographs and a table: `all_train` is in the training split alone."""
    monkeypatch.chdir(tmp_path)
    rows, where = [], (5, 10, 20, 10)
    for n in range(12):
        picture(tmp_path / "eyes" / f"e{n}.png", seed=n)
        rows += [(f"e{n}", "drusen", "macula temporal", *where)] if n % 2 else []
        rows += [(f"e{n}", "all train", "macula", *where)] if n == 1 else []
        rows += [(f"e{n}", "", "", *where)] if not n % 2 else []
    header = ("image", "finding", "regions", "disc_x", "disc_y", "fovea_x", "fovea_y")
    table(tmp_path / "findings.csv", header, *rows)
    splits = [(f"e{n}", "validation" if n > 7 else "train") for n in range(12)]
    table(tmp_path / "splits.csv", ("name", "split"), *splits)
    words = ["data", "prepare", "folder", "--images", "eyes", "--findings", "findings.csv"]
    assert main([*words, "--split", "splits.csv", "--name", "found"]) == 0
    return tmp_path, words, header, rows


def test_findings(findings, capfd):
    """The first one that can be trained on, with and without guidance."""
    folder, words, header, rows = findings
    assert main(["new", "found.py", "--data", "found"]) == 0
    assert "wrote found.py (task guided_classification)" in capfd.readouterr().out
    text = (folder / "found.py").read_text()
    assert len(text.splitlines()) <= 45 and max(map(len, text.splitlines())) <= 100
    assert "\nFindings:  all_train, drusen\n" in text
    config = files.load("found.py")
    assert config.task_options.finding == "drusen" and config.evaluate.best == "auroc"
    assert config.loss.guidance_log.weight == 0.2 and config.data.batch_size == 8
    points = sweep.load_points("found.py")
    assert {point["arg"] for point in points} == {"guidance=0.2", "guidance=0.0"}
    assert len(points) == 6 and {point["seed"] for point in points} == {0, 1, 2}
    for point in points[::4]:
        made = experiment.check(files.load(f"found.py:steps=30,size=64,{point['arg']}"))
        assert made.total_steps == 30
    config = files.load("found.py:finding=all_train,guidance=0.5")
    assert config.task_options.finding == "all_train" and config.loss.guidance_log.weight == 0.5
    assert main(["new", "points.py", "--data", "found", "--task", "localization"]) == 0
    # Of photographs without points nobody learns to find them
    rows = [row if row[1] else (row[0], *[""] * 6) for row in rows]
    table(folder / "findings.csv", header, *rows)
    assert main([*words, "--name", "gaps"]) == 0
    assert main(["new", "gaps.py", "--data", "gaps", "--task", "localization"]) == 2
    assert "gaps has no fields for it; it has those of guided_class" in capfd.readouterr().err


def test_volumes_follow_their_plan(tmp_path, monkeypatch, capfd):
    root = tmp_path / "livers"
    for n in range(4):
        for channel in range(2):
            test_volumes.write(
                root / "imagesTr" / f"c{n}_{channel:04d}.nii.gz",
                test_volumes.labels_of(n).astype("float32"),
            )
        test_volumes.write(root / "labelsTr" / f"c{n}.nii.gz", test_volumes.labels_of(n))
    test_volumes.describe(root)
    monkeypatch.chdir(tmp_path)
    assert main(["data", "prepare", "nnunet", "--manual_dir", "livers", "--name", "livers"]) == 0
    before, _ = {*tmp_path.rglob("*")}, capfd.readouterr()
    assert main(["new", "livers.py", "--data", "livers"]) == 0
    (said,) = capfd.readouterr().out.splitlines()
    made = [path for path in {*tmp_path.rglob("*")} - before if path.is_file()]
    assert len(made) == 3 and all(str(path.relative_to(tmp_path)) in said for path in made)
    config = built(tmp_path / "livers.py")
    assert config.task_options.classes == ("liver", "tumour") and config.task_options.channels == 2
    assert config.model.classes == 3
    full = files.load("livers.py:plan=data/plans/livers-v1.json")
    assert full.data.plan_digest and full.data.image_size != config.data.image_size


@pytest.mark.parametrize(
    "words, message",
    [
        (["eyes.txt", "--data", "eyes"], "eyes.txt: takes the name of a Python file"),
        (["there.py", "--data", "eyes"], "there.py: exists already; take another name"),
        (["no/where.py", "--data", "eyes"], "no/where.py: there is no folder no"),
        (["a\\x.py", "--data", "eyes"], "takes a path without '\\\\'"),
        (["a:b.py", "--data", "eyes"], "a:b.py: takes a path without ':'"),
        (["a.py", "--data", "eye"], "'eye': no such data set, did you mean 'eyes'?"),
        (["a.py", "--data", "drive"], "data.name='drive': not prepared in 'data'"),
        (
            ["a.py", "--data", "eyes", "--task", "volume_segmentation"],
            "--task volume_segmentation: eyes has no fields for it; it has those of segmentation, "
            "localization",
        ),
        (
            ["a.py", "--data", "eyes", "--task", "nope"],
            "--task nope: `segjax new` has no such task. It has: segmentation, localization, volu",
        ),
        (
            ["a.py", "--data", "eyes", "--task", "localisation"],
            "has no such task, did you mean 'localization'? It has: ",
        ),
    ],
)
def test_what_cannot_be_written(folder, capfd, words, message):
    (folder / "there.py").write_text("mine")
    assert main(["new", *words]) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and message in errors
    assert (folder / "there.py").read_text() == "mine" and not (folder / "a.py").exists()


def test_a_path_with_a_blank_is_quoted(folder, capfd):
    (folder / "my files").mkdir()
    assert main(["new", "my files/a b.py", "--data", "eyes"]) == 0
    command = "segjax train --config 'my files/a b.py' --workdir"
    assert f"`{command} DIR`" in capfd.readouterr().out
    assert f"{command} 'work/a b'\n" in (folder / "my files" / "a b.py").read_text()


def test_a_set_that_is_generated_for_it_is_named(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    given = ["--data", "synthetic_fundus/48px_3_2_1"]
    assert main(["new", "a.py", *given, "--task", "nope"]) == 2
    assert not (tmp_path / "data").exists()
    for name, more in (("a.py", ", data/synthetic_fundus/48px_3_2_1/1."), ("b.py", "; `segjax")):
        assert main(["new", name, *given]) == 0
        assert f"wrote {name} (task segmentation){more}" in capfd.readouterr().out


def test_every_kind_has_five_losses():
    assert {len(losses) for losses in templates.LOSSES.values()} == {5}


def test_a_set_without_validation(folder, capfd):
    """One's own is prepared again, with whole patients held out; of a download a share is."""
    given = ["--images", "eyes", "--points", "points.csv", "--name", "whole", "--validation", "0"]
    assert main(["data", "prepare", "folder", *given]) == 0
    capfd.readouterr()
    assert main(["new", "whole.py", "--data", "whole"]) == 2
    told = "--data whole: holds nothing out for validation, by which a checkpoint is chosen; "
    assert told + "prepare it without --validation 0" in capfd.readouterr().err
    assert not (folder / "whole.py").exists()


def test_a_fifth_of_a_download_without_validation_is_held_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    test_idrid.localization(tmp_path / "idrid", "train")
    words = ["idrid/localization", "--manual_dir", "idrid"]
    assert main(["data", "prepare", *words]) == 0
    assert main(["new", "mine.py", "--data", "idrid/localization"]) == 0
    config = files.load("mine.py")
    assert config.data.splits.to_dict() == {"train": "train[:80%]", "validation": "train[80%:]"}
