"""The commands of the README run as written, on miniature settings; its Python example too."""

import pathlib
import re
import shlex
from dataclasses import replace

import cv2
import nibabel
import numpy as np
import pytest

from segjax.annotate import serve
from segjax.annotate.photographs import Folder
from segjax.annotate.store import AnnotationFile
from segjax.cli import main
from segjax.config.durations import siblings
from tests.data.folders import settings
from tests.train import runs

pytestmark = pytest.mark.usefixtures("command_settings")

TEXT = (runs.ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.S)
LINES = [line for kind, block in BLOCKS if not kind for line in block.splitlines()]
COMMANDS = [line.split("#")[0] for line in LINES if line.startswith("segjax ")]
MINIATURE = runs.SMALL | {"train.steps": 2}
# These want the official downloads, which the tests do not have: they end in one clear line.
NEEDS_DOWNLOAD = ("idrid", "refuge2", "acdc", "table2")
# The network of volumes names its strides too.
VOLUMES = {
    "data.name": "synthetic_cardiac/32px_2_1_1",
    "model.name": "PlainUNet",
    "model.features": "(4, 8)",
    "model.strides": "((1, 1), (2, 2))",
}
# So does the classifier of findings, whose set has them.
FINDINGS = {
    "data.name": "synthetic_findings/48px_24_10_8",
    "model.name": "GuidedClassifier",
    "model.branch": 4,
}
# So do the stages of a pipeline, with the networks of its tests.
STAGES = {
    "data.name": "synthetic_fundus/96px_8_12_6",
    "data.image_size": "(17, 17)",
    "train.steps": 2,
    "log.tensorboard": "false",
}
PROPOSAL = STAGES | {"model.name": "tests.pipelines.networks:Pixels", "task_options.tile": 48}
REFINEMENT = STAGES | {"model.name": "tests.pipelines.networks:Patches", "task_options.pool": 50}
# Pictures with few points.
COARSE = {
    "shift": ["--size=32", "--radius=6", "--steps=3"],
    "parameters": ["--points=3", "--examples=2", "--eigenvalues=1"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, data_dir):
    """Where the README's commands run: the repository's files and a photograph of one's own."""
    place = tmp_path_factory.mktemp("readme")
    (place / "experiments").symlink_to(runs.ROOT / "experiments")
    (place / "data").symlink_to(data_dir)
    (place / "my_photographs").mkdir()
    picture = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    (place / "my_volumes").mkdir()
    volume = nibabel.Nifti1Image(picture.astype(np.float32), np.diag([2, 2, 8, 1]))
    nibabel.save(volume, place / "my_volumes" / "one.nii.gz")
    cv2.imwrite(str(place / "my_photographs" / "one.png"), picture)
    cv2.imwrite(str(settings.picture(place / "new_photos" / "one.png")), picture)
    for n in range(5):
        settings.picture(place / "photos" / f"{n}.png", seed=n)
        settings.mask(place / "drawn" / f"{n}_vessels.png")
    return place


def miniature(words):
    """The command with settings that train in seconds; the user's own settings stay."""
    if words[0] == "landscape":
        return [*words, *COARSE.get(words[1], [])]
    if words[0] == "pipeline":
        stages = {"hgn_1x": PROPOSAL, "hgn_05x": PROPOSAL, "cls": REFINEMENT, "prn": REFINEMENT}
        more = [f"--config.stages.{n}.{k}={v}" for n, s in stages.items() for k, v in s.items()]
        return [*words, *more]
    if words[0] not in ("train", "bench"):
        return words
    given = {word.split("=")[0].removeprefix("--config.") for word in words}
    taken = given | {key for path in given for key in siblings(path)}
    chosen = dict(MINIATURE)
    if "regionwise" in " ".join(words):
        chosen |= VOLUMES
    if "findings" in " ".join(words):
        chosen |= FINDINGS
    # An experiment file of one's own set names it
    if any(name in " ".join(words) for name in (*NEEDS_DOWNLOAD, "vessels.py")):
        del chosen["data.name"]
    more = [f"--config.{key}={value}" for key, value in chosen.items() if key not in taken]
    words = [w if "train.steps" not in w else "--config.train.steps=2" for w in words]
    return [*words, *more, *(["--seconds=0.1"] if words[0] == "bench" else [])]


def test_commands_are_found():
    verbs = {command.split()[1] for command in COMMANDS}
    assert verbs == {
        *("train", "evaluate", "predict", "sweep", "report", "bench"),
        *("data", "check", "landscape", "plan", "export", "config", "new", "pipeline"),
        "annotate",
    }


def annotate_one(server, sockets):
    """In place of serving: one finished reading, as a page would have made it."""
    photographs, file = (
        Folder(pathlib.Path("photos")),
        AnnotationFile(pathlib.Path("readings.sqlite")),
    )
    opened = photographs.open(next(iter(photographs.listed)))
    kim = file.annotator("Kim", make=True)
    file.edit(opened, kim.id, lambda before: replace(before, normal=True, done=True))
    file.close()


def test_commands_run_as_written(folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(serve._Server, "run", annotate_one)
    monkeypatch.setattr("segjax.cli.annotate.PORT", 0)
    for command in COMMANDS:
        words = miniature(shlex.split(command)[1:])
        status = main(words)
        output, errors = capfd.readouterr()
        if any(name in command for name in NEEDS_DOWNLOAD) or "work/losses" in command:
            assert status in (0, 2), command
            if status == 2:
                assert re.search("DOWNLOADS|not prepared|work/(losses|table2)", errors), errors
                assert "Traceback" not in errors
        else:
            assert status == 0, f"{command}\n{errors[-2000:]}"
    assert (folder / "work" / "demo" / "report.md").exists()
    assert (folder / "predicted" / "overlays" / "one.png").exists()
    assert (folder / "labels" / "one.nii.gz").exists()
    assert (folder / "maps" / "activations" / "one.png").exists()
    assert (folder / "lesions" / "probabilities" / "one.png").exists()


def test_python_example_runs():
    (example,) = [block for kind, block in BLOCKS if kind == "python"]
    scope = {}
    exec(compile(example, "README.md", "exec"), scope)
    assert scope["heatmap"].shape == (2, 64, 64)


def test_files_that_the_readme_names_exist():
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (runs.ROOT / target).exists(), target
