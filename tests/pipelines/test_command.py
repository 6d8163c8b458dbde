"""Wrong inputs of `segjax pipeline`, its help, and what other verbs say of its folders."""

import cv2
import numpy as np
import pytest

from segjax.cli import main
from segjax.inference.unfinished import NOTE
from tests.pipelines import commands
from tests.pipelines.commands import files, names, words
from tests.pipelines.test_stages import refused

pytestmark = pytest.mark.usefixtures("command_settings")


# --- wrong input ----------------------------------------------------------------------------------


def test_wrong_inputs_are_named_and_nothing_is_written(evaluated, photographs, tmp_path, capsys):
    small = tmp_path / "small"
    small.mkdir()
    cv2.imwrite(str(small / "eye.png"), np.zeros((96, 20, 3), np.uint8))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / NOTE).write_text("mine")
    (tmp_path / "wide").mkdir()
    name = names(photographs)[0]
    cv2.imwrite(str(tmp_path / "wide" / f"{name}.png"), np.zeros((96, 95), np.uint8))
    (tmp_path / "bare").mkdir()
    before = files(tmp_path)
    into, out = ["--input", photographs / "in"], ["--output", tmp_path / "out"]
    for given, said in (
        (["--input", small, *out], f"{small / 'eye.png'}: "),
        ([*into, "--output", photographs / "in" / "out"], "lies in the input"),
        ([*into, "--output", evaluated.folder], "is the folder of a pipeline; take another folder"),
        ([*into, "--output", evaluated.stage("hgn")], "is the work folder of a run; take another"),
        ([*into, "--output", evaluated.folder / "stages"], "lies inside the folder of a pipeline"),
        (
            [*into, "--output", evaluated.stage("hgn") / "checkpoints" / "new"],
            "lies inside the work folder of a run; take another folder",
        ),
        ([*into, "--output", tmp_path / "taken"], f"{NOTE}: exists, and segjax did not write it"),
        ([*into, *out, "--truth", tmp_path / "gone"], "gone: no such folder"),
        ([*into, *out, "--truth", tmp_path / "bare"], "bare: has no mask of these images"),
        ([*into, *out, "--truth", tmp_path / "wide"], f"{name}.png: a mask of 95x96 pixels"),
        ([*into, *out, "--truth", tmp_path / "out"], "out: no such folder"),
        (["--input", tmp_path / "bare", *out], "bare: no image in this folder"),
        ([*into, *out, "--config.predicted=PRN geometrc"], "'PRN geometrc' is no row, did you me"),
    ):
        refused(capsys, evaluated.run("predict", *given), said)
        assert files(tmp_path) == before
    masks = ["--truth", photographs / "masks", "--output", photographs / "masks"]
    refused(capsys, evaluated.run("predict", *into, *masks), "is the input")


def test_a_photograph_that_a_stage_finds_too_small_is_named_with_its_scale(
    evaluated, tmp_path, capsys
):
    path = tmp_path / "eye.png"
    cv2.imwrite(str(path), np.zeros((30, 96, 3), np.uint8))
    status = evaluated.run("predict", "--input", path, "--output", tmp_path / "out")
    refused(capsys, status, f"{path}: 48x15 pixels at scale 0.5 are smaller than a patch of 17x17")


# --- other verbs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        ["evaluate", "--workdir"],
        ["report"],
        ["export", "--output", "x", "--workdir"],
        ["config", "--workdir"],
        ["landscape", "parameters", "--workdir"],
    ],
    ids=lambda given: given[0],
)
def test_verbs_of_single_runs_say_what_to_take_instead(
    evaluated, capsys, given, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    before = commands.content(evaluated.folder)
    status = main([*given, str(evaluated.folder)])
    said = (f"{evaluated.folder}: the folder of a pipeline, which `segjax pipeline evaluate`",)
    refused(capsys, status, *said, f"its runs are {evaluated.folder}/stages/NAME")
    assert commands.content(evaluated.folder) == before and not list(tmp_path.iterdir())


def test_a_stage_is_a_run_of_its_own(evaluated, tmp_path, capsys):
    place = evaluated.copy(tmp_path / "run")
    given = ["--workdir", str(place.stage("hgn")), "--data_dir", str(place.data)]
    assert main(["evaluate", *given]) == 0
    assert place.run("evaluate") == 0  # which has left the pipeline as it was


def test_the_checkpoint_is_the_best_one(evaluated, photographs, tmp_path, capsys):
    given = ["--workdir", evaluated.folder, "--checkpoint", "latest"]
    status = main([str(w) for w in ("predict", *given, *words(photographs, tmp_path / "out"))])
    refused(capsys, status, "--checkpoint: the stages of a pipeline are their best ones")


@pytest.mark.parametrize("action", ["train", "evaluate", "predict"])
def test_help_says_how_to_go_on_and_to_set_fields(action, capsys):
    with pytest.raises(SystemExit):
        main(["pipeline", action, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--config.stages.NAME.PATH=VALUE" in text and "--data_dir DIR" in text
    wanted = {
        "train": ("goes on exactly", "refused by its name", "--status"),
        "evaluate": ("report_SPLIT.md", "not predicted again", "default: test"),
        "predict": ("value / 65535", "missed (cyan)", "goes on with the next photograph"),
    }
    for words_ in wanted[action]:
        assert words_ in text


def test_a_flag_that_there_is_not_is_named(two_stages, capsys):
    assert two_stages.run("evaluate", "--strides=(2,)") == 2
    said = capsys.readouterr().err
    assert "--strides: `segjax pipeline evaluate` has no such flag" in said
