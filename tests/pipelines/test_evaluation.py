"""Rows on the photographs of a split, against float64."""

import dataclasses

import numpy as np
import pytest

from segjax.data import store
from segjax.pipelines.networks import Networks
from segjax.tasks.lesions import metrics
from tests.pipelines import tiny
from tests.pipelines.commands import metrics_of

pytestmark = pytest.mark.usefixtures("command_settings")
PHOTOGRAPHS = {"validation": 12, "test": 6}
BINS = 81_920


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
    for threshold in np.float32(metrics.SCORES[::-1]):
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
