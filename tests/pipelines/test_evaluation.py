"""Rows on the photographs of a split: against float64, again, broken off, damaged, other keys."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from segjax.data import store
from segjax.errors import UserError
from segjax.pipelines import evaluation, identity, stages
from segjax.pipelines.networks import Networks
from tests.pipelines import commands, tiny

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


@pytest.fixture(scope="module")
def opened(two_stages, command_settings):
    made = two_stages.definition()
    trained = stages.open_all(made, two_stages.folder, list(made.stages))
    return made, trained


@pytest.fixture(scope="module")
def truth(two_stages):
    """The masks of a split, from the prepared set itself."""
    builder = store.builder(tiny.DATA, str(two_stages.data))
    return {
        split: {
            example["image_id"].decode(): np.asarray(example["microaneurysms"])[..., 0] > 0
            for example in store.open_split(builder, split)
        }
        for split in PHOTOGRAPHS
    }


@pytest.fixture(scope="module")
def maps(opened):
    """split -> row -> the map of each photograph, float32."""
    made, trained = opened
    both, found = Networks(made, trained, made.rows), {}
    for split in PHOTOGRAPHS:
        photographs = {
            name: one.experiment.task.open_photographs(one.experiment, split)
            for name, one in trained.items()
        }
        of_split = found.setdefault(split, {row.name: {} for row in made.rows})
        for index, photograph in enumerate(photographs["hgn"]):
            images = {name: np.asarray(some[index].image) for name, some in photographs.items()}
            here = both.maps(images, photograph.stored_labels.shape)
            for row in made.rows:
                of_split[row.name][photograph.name] = here.row(made, row.name)
    return found


def metrics_of(place, split="test"):
    """metrics_SPLIT.json, in which nothing is NaN."""

    def refuse(word):
        raise AssertionError(word)

    text = (place.folder / f"metrics_{split}.json").read_text()
    return json.loads(text, parse_constant=refuse)


def result_of(place, split="test"):
    """The same without what it took."""
    return {k: v for k, v in metrics_of(place, split).items() if k != "costs"}


# --- figures --------------------------------------------------------------------------------------


def pooled(maps, truth):
    """All pixels of a split, probabilities in float64 at the lower edges of their bins."""
    scores = np.concatenate([maps[name].ravel() for name in maps])
    labels = np.concatenate([truth[name].ravel() for name in maps])
    return np.floor(scores * np.float32(BINS)).astype(np.float64) / BINS, labels


def rates(scores, labels, threshold):
    """(F1, precision, recall), nan where not defined."""
    above = scores >= threshold
    tp, fp, fn = (np.count_nonzero(x) for x in (above & labels, above & ~labels, ~above & labels))
    with np.errstate(invalid="ignore"):
        return (
            2 * tp / (2 * tp + fp + fn),
            tp / (tp + fp) if tp + fp else np.nan,
            tp / (tp + fn),
        )


def challenge33(scores, labels):
    """Straight lines between the points of 33 grey levels, level to recall 0 at the end."""
    area, last = 0.0, None
    for threshold in [k / 32 for k in range(33)]:
        _, precision, recall = rates(scores, labels, threshold)
        precision = last[0] if np.isnan(precision) else precision
        if last is not None:
            area += (last[1] - recall) * (last[0] + precision) / 2
        last = precision, recall
    return area + last[0] * last[1]


def average_precision(scores, labels):
    """The sum over distinct thresholds of the step in recall times precision."""
    area, before = 0.0, 0.0
    for threshold in np.unique(scores[labels])[::-1]:
        _, precision, recall = rates(scores, labels, threshold)
        area, before = area + (recall - before) * precision, recall
    return area


def froc(maps, truth, least=0.1):
    """Share of lesions that share a pixel with a candidate, at eight rates of false ones."""
    from scipy import ndimage

    best, false = [], []
    for name in maps:
        lesions, count = ndimage.label(truth[name], np.ones((3, 3)))
        found, number = ndimage.label(maps[name] >= np.float32(least), np.ones((3, 3)))
        hits = [[] for _ in range(count)]
        for one in range(1, number + 1):
            score, of = maps[name][found == one].max(), np.unique(lesions[found == one])
            for lesion in of[of > 0]:
                hits[lesion - 1].append(score)
            if not of.any():
                false.append(score)
        best += [max(some, default=-np.inf) for some in hits]
    best, false = np.array(best, np.float32), np.array(false, np.float32)
    points = [(0.0, 0.0)]
    for threshold in np.arange(32, -1, -1, dtype=np.float32) / 32:
        rate = np.count_nonzero(false >= threshold) / len(maps)
        points.append((rate, np.count_nonzero(best >= threshold) / len(best)))
    return np.mean([share_at(points, 2.0**k) for k in range(-3, 4)])


def share_at(points, rate):
    """The share found at a rate of false ones: points are joined by straight lines."""
    share = 0.0
    for (x, y), (x_next, y_next) in zip(points, [*points[1:], (np.inf, None)], strict=True):
        if x <= rate:
            share = y
            if rate < x_next < np.inf:
                share += (rate - x) / (x_next - x) * (y_next - y)
    return share


@pytest.mark.parametrize("split", PHOTOGRAPHS)
@pytest.mark.parametrize("row", tiny.ROWS)
def test_rows_against_float64(evaluated, maps, truth, split, row):
    found = metrics_of(evaluated, split)["rows"][row]
    scores, labels = pooled(maps[split][row], truth[split])
    wanted = dict(zip(("f1", "precision", "recall"), rates(scores, labels, 0.5), strict=True))
    # The threshold is that of the validation split, whatever is evaluated
    threshold = found["best_threshold"]
    at_best = rates(scores, labels, threshold)
    wanted |= dict(zip(("f1_at_best", "precision_at_best", "recall_at_best"), at_best, strict=True))
    wanted["auc_pr_challenge33"] = challenge33(scores, labels)
    wanted["auc_pr_exact"] = average_precision(scores, labels)
    wanted["froc"] = froc(maps[split][row], truth[split])
    for name, value in wanted.items():
        if np.isnan(value):
            assert found[name] is None, name
        else:
            assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize("row", tiny.ROWS)
def test_thresholds_are_the_best_of_validation(evaluated, maps, truth, row):
    one, two = (metrics_of(evaluated, split) for split in PHOTOGRAPHS)
    threshold = one["thresholds"][row]
    assert two["thresholds"] == one["thresholds"] and two["thresholds_from"] == "validation"
    assert two["rows"][row]["best_threshold"] == threshold
    scores, labels = pooled(maps["validation"][row], truth["validation"])
    best = max(rates(scores, labels, t)[0] for t in np.unique(scores[labels]))
    assert rates(scores, labels, threshold)[0] == pytest.approx(best, rel=1e-12)


def test_the_counts_of_photographs_add_up(evaluated, maps, truth):
    lines = (evaluated.folder / "photographs_test.csv").read_text().splitlines()
    header, *rows = [line.split(",") for line in lines]
    assert len(rows) == len(tiny.ROWS) * PHOTOGRAPHS["test"]
    for cells in rows:
        found = dict(zip(header, cells, strict=True))
        mask, array = truth["test"][found["image"]], maps["test"][found["row"]][found["image"]]
        above = array >= 0.5
        assert int(found["positives"]) == mask.sum()
        assert int(found["tp_0.5"]) == (above & mask).sum()
        assert int(found["fp_0.5"]) == (above & ~mask).sum()
        assert int(found["healthy"]) in ((0, 1) if not mask.any() else (0,))


def test_refined_maps_are_those_of_the_network(opened, maps):
    """The smallest refinement in NumPy, around the pixels of a stride of 1."""
    made, trained = opened
    made = dataclasses.replace(made, strides=(1,), most_patches=0)
    task = trained["prn"].experiment.task
    photograph = task.open_photographs(trained["prn"].experiment, "test")[0]
    image = np.asarray(photograph.image)
    found = Networks(made, trained, [made.row("PRN")]).maps(
        dict.fromkeys(trained, image) | {"half": _half(trained, "test")}, image.shape[:2]
    )
    inside = found.by_name["hgn"] > 0.5
    assert 0 < inside.sum() < inside.size
    assert not found.by_name["prn@hgn"][~inside].any()
    params = trained["prn"].state.params
    layers = [{k: np.float64(v) for k, v in params[f"Dense_{n}"].items()} for n in (0, 1)]
    wide = np.pad(image, [(8, 8), (8, 8), (0, 0)], mode="edge").astype(np.float64) / 255
    for y, x in np.argwhere(inside)[::37]:
        patch = wide[y : y + 17, x : x + 17]
        seen = np.concatenate([patch[6:11, 6:11].reshape(-1), patch.mean(axis=(0, 1))]) - 0.5
        hidden = seen @ layers[0]["kernel"] + layers[0]["bias"]
        logits = 4 * (hidden @ layers[1]["kernel"] + layers[1]["bias"])
        wanted = 1 / (1 + np.exp(logits[0] - logits[1]))
        assert found.by_name["prn@hgn"][y, x] == pytest.approx(wanted, abs=2e-5)


def _half(trained, split):
    made = trained["half"].experiment
    return np.asarray(made.task.open_photographs(made, split)[0].image)


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


def test_options_that_change_a_map_and_no_parameter_count(opened):
    """The tiles of a whole photograph."""
    _, trained = opened
    one = identity.of_stages(trained)
    made = trained["hgn"]
    config = made.experiment.config.copy_and_resolve_references()
    moved = config.copy_and_resolve_references()
    with moved.unlocked():
        moved.data.data_dir = "/elsewhere"
    with config.unlocked():
        config.task_options.tile = 32
    for other, same in ((config, False), (moved, True)):
        experiment = dataclasses.replace(made.experiment, config=other)
        changed = trained | {"hgn": dataclasses.replace(made, experiment=experiment)}
        two = identity.of_stages(changed)
        assert (one["hgn"] == two["hgn"]) is same
        assert one["half"] == two["half"] and one["prn"] == two["prn"]


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
