"""`segjax pipeline predict`: what is written, broken off predictions, thresholds."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest

from segjax.cli import main
from segjax.inference.unfinished import NOTE
from segjax.pipelines import stages
from segjax.pipelines.networks import Networks
from segjax.pipelines.prediction import PipelinePredictor
from segjax.tasks.lesions.overlay import COLOURS, PREDICTED
from tests.pipelines import commands
from tests.pipelines.commands import files, names, picture, words
from tests.pipelines.test_stages import refused

pytestmark = pytest.mark.usefixtures("command_settings")
ROW = "PRN geometric"


class Counted:
    """Photographs that a predictor predicts; the n-th one kills it."""

    def __init__(self, patch, kill=None):
        self.names, predict = [], PipelinePredictor.predict

        def counted(predictor, name, *arguments):
            if kill is not None and len(self.names) == kill:
                raise KeyboardInterrupt
            row = predict(predictor, name, *arguments)
            self.names.append(name)
            return row

        patch.setattr(PipelinePredictor, "predict", counted)


# --- what is written ------------------------------------------------------------------------------


def test_pictures_are_those_of_the_row_at_its_threshold(evaluated, predicted, photographs):
    made = evaluated.definition()
    trained = stages.open_all(made, evaluated.folder, list(made.stages))
    both = Networks(made, trained, made.rows)
    metrics = json.loads((evaluated.folder / "metrics_validation.json").read_text())
    threshold = metrics["thresholds"][ROW]
    assert threshold > 0
    with (predicted / "predictions.csv").open() as file:
        table = {row["image"]: row for row in csv.DictReader(file)}
    for name in names(photographs):
        image = picture(photographs / "in" / f"{name}.png")
        found = both.maps(both.prepared(image), image.shape[:2]).row(made, ROW)
        levels = picture(predicted / "probabilities" / f"{name}.png")
        assert levels.dtype == np.uint16
        np.testing.assert_allclose(levels, found.astype(np.float64) * 65535, atol=0.51)
        mask = picture(predicted / "masks" / f"{name}.png")
        np.testing.assert_array_equal(mask, np.where(found >= threshold, 255, 0))
        with (predicted / "lesions" / f"{name}.csv").open() as file:
            lesions = list(csv.DictReader(file))
        row = table[f"{name}.png"]
        assert int(row["lesions"]) == len(lesions) == cv2.connectedComponents(mask)[0] - 1
        assert sum(int(lesion["lesion_area"]) for lesion in lesions) == np.count_nonzero(mask)
        assert float(row["largest_probability"]) == pytest.approx(found.max(), rel=1e-5)
    assert sorted(path.name for path in predicted.iterdir()) == [
        *("lesions", "masks", "overlays", "predictions.csv", "probabilities")
    ]


def test_overlays_have_the_colours_of_right_and_wrong(predicted, photographs, evaluated, tmp_path):
    shown = {}
    for name in names(photographs):
        drawn = picture(predicted / "overlays" / f"{name}.png")
        image = picture(photographs / "in" / f"{name}.png")
        changed = {tuple(map(int, c)) for c in drawn[(drawn != image).any(axis=-1)]}
        shown[name] = changed
        assert changed <= {*COLOURS.values(), PREDICTED}
    marked = [path.stem.removesuffix("_MA") for path in (photographs / "masks").iterdir()]
    for name in marked:
        assert COLOURS["false negative"] in shown[name] or COLOURS["true positive"] in shown[name]
        assert COLOURS["false positive"] in shown[name]
    (unmarked,) = {*shown} - {*marked}
    assert shown[unmarked] <= {PREDICTED}


def test_what_is_printed(evaluated, photographs, tmp_path, capsys):
    assert evaluated.run("predict", *words(photographs, tmp_path / "out")) == 0
    out, err = capsys.readouterr()
    told = f"segjax: --truth {photographs / 'masks'}: has no mask of 1 of 3 images"
    assert err.startswith(told) and err.count("\n") == 1
    lines = out.splitlines()
    capped = [line for line in lines if "refine.most_patches=400" in line]
    assert len(capped) == 3 and all(": prn: " in line for line in capped)
    assert lines[-2] == (
        f"3 predicted by {ROW}; wrote predictions.csv, lesions/, masks/, overlays/, probabilities/ "
        f"into {tmp_path / 'out'}"
    )
    assert lines[-1].startswith("columns of predictions.csv: lesions, regions above the threshold")


def test_the_folder_alone_predicts_the_same_wherever_it_lies(
    evaluated, predicted, photographs, tmp_path, capsys
):
    """Moved, with data that are nowhere."""
    moved = evaluated.copy(tmp_path / "moved")
    path = moved.folder / "pipeline.json"
    text = path.read_text().replace(str(evaluated.data), "/nowhere/data")
    path.write_text(text)
    place = ["--workdir", moved.folder, *words(photographs, tmp_path / "out")]
    before = commands.content(moved.folder)
    assert main([str(word) for word in ("predict", *place)]) == 0
    assert files(tmp_path / "out") == files(predicted)
    assert commands.content(moved.folder) == before
    other = [*place, "--data_dir", tmp_path / "none"]
    assert main([str(word) for word in ("predict", *other)]) == 0
    assert files(tmp_path / "out") == files(predicted)
    assert not (tmp_path / "none").exists()


def test_only_the_networks_of_the_row_are_opened(evaluated, photographs, tmp_path):
    place = evaluated.copy(tmp_path / "run")
    shutil.rmtree(place.stage("prn"))
    given = words(photographs, tmp_path / "out", truth=False)
    assert place.run("predict", *given, "--config.predicted=HGN geometric") == 0


# --- broken off -----------------------------------------------------------------------------------


def test_broken_off_it_goes_on_with_the_next_photograph(
    evaluated, predicted, photographs, tmp_path, capsys, monkeypatch
):
    output = tmp_path / "out"
    given = words(photographs, output)
    with monkeypatch.context() as patch:
        Counted(patch, kill=2)
        assert evaluated.run("predict", *given) == 1
    note = json.loads((output / NOTE).read_text())
    assert len(note["done"]) == 2
    assert not (output / "predictions.csv").exists()
    capsys.readouterr()
    again = Counted(monkeypatch)
    assert evaluated.run("predict", *given) == 0
    assert len(again.names) == 1 and again.names[0] not in note["done"]
    assert files(output) == files(predicted)  # without the note
    out, err = capsys.readouterr()
    # What the bound left out is said of all, and nothing is taken for an earlier prediction
    assert out.count("refine.most_patches=400") == 3
    assert "earlier" not in err and err.count("\n") == 1  # of the photograph without a mask


@pytest.mark.parametrize("changed", ["photograph", "mask", "output", "row", "no masks", "note"])
def test_what_was_done_from_something_else_is_done_again(
    evaluated, predicted, photographs, tmp_path, monkeypatch, changed
):
    mine = tmp_path / "mine"
    shutil.copytree(photographs, mine)
    output, given, more = tmp_path / "out", words(mine, tmp_path / "out"), []
    first, second, third = names(photographs)
    with monkeypatch.context() as patch:
        Counted(patch, kill=2)
        assert evaluated.run("predict", *given) == 1
    if changed == "photograph":
        image = picture(mine / "in" / f"{first}.png")
        cv2.imwrite(str(mine / "in" / f"{first}.png"), image[::-1, :, ::-1])
    elif changed == "mask":
        cv2.imwrite(str(mine / "masks" / f"{first}.png"), np.full((96, 96), 255, np.uint8))
    elif changed == "output":
        (output / "lesions" / f"{first}.csv").unlink()
    elif changed == "row":
        more = ["--config.predicted=PRN arithmetic"]
    elif changed == "no masks":
        given = words(mine, output, truth=False)
    else:
        note = json.loads((output / NOTE).read_text())
        note["done"][f"{first}.png"]["row"] = None
        (output / NOTE).write_text(json.dumps(note))
    again = Counted(monkeypatch)
    assert evaluated.run("predict", *given, *more) == 0
    all_ = changed in ("row", "no masks")
    wanted = [first, second, third] if all_ else [first, third]
    assert again.names == [f"{name}.png" for name in wanted]
    if changed in ("output", "note"):
        assert files(output) == files(predicted)
        return
    undisturbed = tmp_path / "undisturbed"
    assert evaluated.run("predict", *words(mine, undisturbed, changed != "no masks"), *more) == 0
    assert files(output) == files(undisturbed)


def test_a_note_of_something_else_goes_before_its_pictures_are_replaced(
    evaluated, predicted, photographs, tmp_path, monkeypatch
):
    """Or the first prediction would take the pictures of the second for its own."""
    output = tmp_path / "out"
    given = words(photographs, output)
    with monkeypatch.context() as patch:
        Counted(patch, kill=2)
        assert evaluated.run("predict", *given) == 1
    with monkeypatch.context() as patch:
        keep = "segjax.inference.unfinished.Progress.keep"
        patch.setattr(keep, lambda *unused: (_ for _ in ()).throw(KeyboardInterrupt))
        assert evaluated.run("predict", *given, "--config.predicted=HGN") == 1
    assert evaluated.run("predict", *given) == 0
    assert files(output) == files(predicted)


def test_earlier_predictions_are_named(evaluated, photographs, tmp_path, capsys):
    output = tmp_path / "out"
    assert evaluated.run("predict", *words(photographs, output)) == 0
    capsys.readouterr()
    one = sorted((photographs / "in").iterdir())[0]
    assert evaluated.run("predict", "--input", one, "--output", output) == 0
    assert "also holds 6 files of earlier predictions" in capsys.readouterr().err


# --- thresholds -----------------------------------------------------------------------------------


def test_without_an_evaluation_a_half_is_taken_and_said(two_stages, photographs, tmp_path, capsys):
    output = tmp_path / "out"
    assert two_stages.run("predict", *words(photographs, output, truth=False)) == 0
    said = capsys.readouterr().out
    assert f"no threshold was chosen for {ROW}: 0.5 is taken; `segjax pipeline evaluate`" in said
    for name in names(photographs):
        levels = picture(output / "probabilities" / f"{name}.png") / 65535
        mask = picture(output / "masks" / f"{name}.png")
        sure = np.abs(levels - 0.5) > 1e-4
        np.testing.assert_array_equal((mask > 0)[sure], (levels >= 0.5)[sure])


@pytest.mark.parametrize(
    ("content", "words_"),
    [
        ({"networks": {ROW: "x"}}, "its threshold of PRN geometric is of other networks"),
        ({"thresholds": {ROW: 0.0}}, "its threshold of PRN geometric is 0, any pixel: 0.5 is tak"),
    ],
)
def test_a_threshold_that_does_not_serve_is_said(
    evaluated, photographs, tmp_path, capsys, content, words_
):
    place = evaluated.copy(tmp_path / "run")
    path = place.folder / "metrics_validation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | content))
    given = words(photographs, tmp_path / "out", truth=False)
    assert place.run("predict", *given) == 0
    assert f"{path}: {words_}" in capsys.readouterr().out


def test_a_threshold_of_other_strides_does_not_serve(evaluated, photographs, tmp_path, capsys):
    given = words(photographs, tmp_path / "out", truth=False)
    assert evaluated.run("predict", *given, "--config.refine.strides=(8,)") == 0
    assert "is of other networks or options: 0.5 is taken" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["{", "[]", '{"thresholds": 3}', "wrong"])
def test_damaged_metrics_are_named(evaluated, photographs, tmp_path, capsys, text):
    place = evaluated.copy(tmp_path / "run")
    path = place.folder / "metrics_validation.json"
    if text == "wrong":
        text = json.dumps(json.loads(path.read_text()) | {"thresholds": {ROW: 7.5}})
    path.write_text(text)
    status = place.run("predict", *words(photographs, tmp_path / "out", truth=False))
    refused(capsys, status, f"{path}: damaged: ", "run `segjax pipeline evaluate`")
    assert not (tmp_path / "out").exists()
