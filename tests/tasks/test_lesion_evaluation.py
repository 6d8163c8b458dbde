"""Whole photographs judged: columns and metrics against oracles in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from segjax.metrics import froc_counts, match_lesions
from segjax.tasks.lesion_segmentation import LesionSegmentation
from segjax.tasks.lesions import metrics
from segjax.tasks.lesions.network import ALIGNED, PhotographNetwork, enlarged
from tests.tasks import lesions as shared

THRESHOLDS = sorted({k / 32 for k in range(33)} | {k / 10 for k in range(11)})


def evaluated(tmp_path, data=None, model=None, final=True, baseline=None, **options):
    """The task, its photographs, and what its evaluator finds."""
    chosen = {"image_size": (16, 16), "gain": 0.0, "healthy": "grade=0"} | options
    task = LesionSegmentation(**chosen)
    experiment = shared.experiment(task, tmp_path, model or shared.PixelNetwork(), data)
    evaluator = task.evaluator(experiment, "validation", shared.one_device())
    found = evaluator(shared.state(), final=final, baseline=baseline)
    return task, task.open_photographs(experiment, "validation"), found


def larger(small, size):
    """Bilinear enlargement between the centres of pixels, the border repeated; float64."""
    parts = []
    for few, many in zip(small.shape, size, strict=True):
        place = np.clip((np.arange(many) + 0.5) * few / many - 0.5, 0, few - 1)
        lower = np.minimum(place.astype(int), max(few - 2, 0))
        weights = np.zeros((many, few))
        weights[np.arange(many), lower] = 1 - (place - lower)
        if few > 1:
            weights[np.arange(many), lower + 1] += place - lower
        parts.append(weights)
    return parts[0] @ small @ parts[1].T


def maps_of(photographs):
    """The oracle's map of each photograph, at the size at which it is stored."""
    return [
        larger(shared.pixel_oracle(p.image), p.stored_labels.shape)
        if p.image.shape[:2] != p.stored_labels.shape
        else shared.pixel_oracle(p.image)
        for p in photographs
    ]


def counted(probability, labels):
    """tp and fp at every threshold; no probability is so near to one that rounding decides."""
    for threshold in THRESHOLDS:
        assert np.abs(probability - threshold).min() > 2e-7
    labels = np.asarray(labels) > 0
    rows = [(np.sum((p := probability >= t) & labels), np.sum(p & ~labels)) for t in THRESHOLDS]
    return np.array(rows).T


def components(mask):
    return ndimage.label(mask, np.ones((3, 3), int))


def found_and_false(probability, labels):
    """Lesions found and false candidates at each score, by the rule `overlap`."""
    places, number = components(probability >= 0.1)
    lesions, total = components(np.asarray(labels) > 0)
    best, false = np.zeros(total), []
    for k in range(1, number + 1):
        own = places == k
        hit = {*lesions[own].tolist()} - {0}
        score = probability[own].max()
        for lesion in hit:
            best[lesion - 1] = max(best[lesion - 1], score)
        if not hit:
            false.append(score)
    levels = metrics.SCORES
    found = [np.sum(best >= t) for t in levels]
    return total, found, [np.sum(np.array(false) >= t) for t in levels]


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.7])
def test_columns_are_the_counts_of_photographs_as_they_are_stored(scale, tmp_path):
    task, photographs, found = evaluated(tmp_path, scale=scale)
    assert found.names == [f"eye{n}" for n in range(5)] and found.baseline is None
    assert set(found.columns) == {*task.columns} == {*metrics.PIXELS, *metrics.LESIONS}
    for index, (photograph, map_) in enumerate(zip(photographs, maps_of(photographs), strict=True)):
        stored = shared.SPLIT[index]["microaneurysms"][..., 0]
        assert map_.shape == stored.shape and (photograph.image.shape[:2] == map_.shape) == (
            scale == 1
        )
        row = {name: column[index] for name, column in found.columns.items()}
        assert row["positives"] == stored.sum() and row["pixels"] == stored.size
        true, false = counted(map_, stored)
        assert [row[f"tp_{t:g}"] for t in THRESHOLDS] == true.tolist()
        assert [row[f"fp_{t:g}"] for t in THRESHOLDS] == false.tolist()
        total, hit, wrong = found_and_false(map_, stored)
        assert row["lesions"] == total
        assert [row[name] for name in metrics.names("found", metrics.SCORES)] == hit
        assert [row[name] for name in metrics.names("false", metrics.SCORES)] == wrong
    # A healthy photograph has no positive, and counts what is found in vain
    assert found.columns["positives"][1] == 0 < found.columns["fp_0.5"][1]
    assert found.columns["lesions"][1] == 0 < found.columns["false_0.5"][1]


def test_scores_next_to_one_are_told_apart():
    """Where a network is sure, most of the curve lies between 0.97 and 1."""
    assert [*metrics.SCORES] == sorted({*metrics.SCORES}) and metrics.SCORES[0] < 0.1
    assert len({*metrics.LESIONS}) == len(metrics.LESIONS) and "found_0.5" in metrics.LESIONS
    odds = np.float32([2.0**k for k in range(-2, 21, 2)])
    labels, maps = np.zeros((2, 30), bool), np.zeros((4, 2, 30), np.float32)
    labels[0, ::4] = True
    for place, number in np.ndindex(4, len(odds)):
        maps[place, (number + place) % 2, 2 * number] = odds[number] / (1 + odds[number])
    matches = [match_lesions(map_, labels) for map_ in maps]
    table = metrics.columns_of_rows([metrics.lesion_columns(match) for match in matches])
    (froc, _) = metrics.of_lesions("overlap")
    # Every score as a threshold
    counts = [froc_counts(match, np.unique(maps)[1:]) for match in matches]
    total, found, false = (np.sum([count[k] for count in counts], axis=0) for k in range(3))
    points = np.append(0, false[::-1]) / 4, np.append(0, found[::-1]) / total
    want = np.mean(np.interp([1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8], *points))
    assert froc.statistic(*(table[name] for name in froc.columns)) == pytest.approx(want, abs=1e-12)


def test_validations_during_training_count_pixels_alone(tmp_path):
    task, _, found = evaluated(tmp_path, final=False)
    assert set(found.columns) == {*metrics.PIXELS} == {*task.scored}
    _, _, whole = evaluated(tmp_path)
    for name, column in found.columns.items():
        np.testing.assert_array_equal(column, whole.columns[name])
    names = {"auc_pr", "auc_pr_eleven", "f1", "precision", "recall"}
    assert {*task.validation_values(lambda: ["loss"])} == names == {*found.values(task)}
    assert {*whole.values(task)} == names | {"froc", "froc_camelyon"}


def area(recall, precision):
    """Trapezoids from the highest recall to 0, where precision is what it was at last."""
    recall, precision = [*recall, 0.0], [*precision, precision[-1]]
    return sum(
        (recall[k] - recall[k + 1]) * (precision[k] + precision[k + 1]) / 2
        for k in range(len(recall) - 1)
    )


@pytest.mark.parametrize("slope", [7.3, 3.1])
def test_metrics_are_of_all_pixels_pooled(slope, tmp_path, monkeypatch):
    state = shared.state
    monkeypatch.setattr(shared, "state", lambda: state(slope))
    task, photographs, found = evaluated(tmp_path)
    maps = [shared.pixel_oracle(p.image, slope) for p in photographs]
    probability = np.concatenate([m.ravel() for m in maps])
    label = np.concatenate([p.stored_labels.ravel() for p in photographs]) > 0
    values = found.values(task)

    def rates(thresholds, empty):
        recall, precision = [], []
        for t in thresholds:
            chosen = probability >= t
            recall.append(np.sum(label[chosen]) / label.sum())
            last = precision[-1] if precision and empty is None else empty
            precision.append(label[chosen].mean() if chosen.any() else last)
        return recall, precision

    # With the smaller slope nothing reaches the highest grey levels
    assert (probability.max() < 0.5) == (slope < 5)
    recall, precision = rates([k / 32 for k in range(33)], None)
    assert values["auc_pr"] == pytest.approx(area(recall, precision), rel=1e-9)
    recall, precision = rates([k / 10 for k in range(11)], 1.0)
    assert values["auc_pr_eleven"] == pytest.approx(
        area([*recall, 0.0], [*precision, 1.0]), rel=1e-9
    )
    chosen = probability >= 0.5
    right, predicted = np.sum(label & chosen), chosen.sum()
    if slope < 5:
        assert np.isnan(values["precision"]) and values["recall"] == values["f1"] == 0
        assert task.remarks(found.columns)[0] == "No pixel has a probability of 0.5 or more."
        return
    assert values["precision"] == pytest.approx(right / predicted)
    assert values["recall"] == pytest.approx(right / label.sum())
    assert values["f1"] == pytest.approx(2 * right / (predicted + label.sum()))
    assert 0 < values["auc_pr"] < 1
    # Half of all pixels of noise are candidates
    (line,) = task.remarks(found.columns)
    assert line.startswith("Candidates (a probability of 0.1 or more) cover")


def test_the_headline_comes_first_and_every_metric_is_explained(tmp_path):
    task, _, found = evaluated(tmp_path, hit="centre")
    assert next(iter(found.values(task))) == task.headline == "auc_pr"
    words = {metric.name: metric.description for metric in task.metrics}
    assert "33 thresholds" in words["auc_pr"] and "not comparable" in words["auc_pr_eleven"]
    assert "(centre)" in words["froc"]
    assert set(words) == set(found.values(task))


def test_the_rule_for_a_hit_is_the_tasks(tmp_path):
    by = {hit: evaluated(tmp_path, hit=hit)[2].columns for hit in ("overlap", "centre")}
    np.testing.assert_array_equal(by["overlap"]["tp_0.5"], by["centre"]["tp_0.5"])
    assert by["overlap"]["found_0.5"].sum() > by["centre"]["found_0.5"].sum()


def test_the_baseline_calls_every_pixel_a_lesion(tmp_path):
    task, _, found = evaluated(tmp_path, baseline=metrics.EVERYWHERE)
    assert task.baseline(None) == metrics.EVERYWHERE == 1.0
    columns = found.baseline
    positives, pixels = columns["positives"], columns["pixels"]
    for threshold in THRESHOLDS:
        np.testing.assert_array_equal(columns[f"tp_{threshold:g}"], positives)
        np.testing.assert_array_equal(columns[f"fp_{threshold:g}"], pixels - positives)
    (metric,) = [metric for metric in task.metrics if metric.name == "auc_pr"]
    share = positives.sum() / pixels.sum()
    assert metric.statistic(*[columns[n] for n in metric.columns]) == pytest.approx(share)


@pytest.mark.parametrize("keep, word", [([1, 3], "No photograph has a lesion"), ([0, 2], "Every")])
def test_what_keeps_figures_from_being_read_is_said(keep, word, tmp_path):
    data = shared.Data(validation=tuple(shared.SPLIT[index] for index in keep))
    task, _, found = evaluated(tmp_path, data)
    assert task.remarks(found.columns)[0].startswith(word)
    assert len(task.remarks(found.columns)) == (1 if keep == [1, 3] else 2)
    assert np.isnan(found.values(task)["auc_pr"]) == (keep == [1, 3])


def test_an_evaluation_stops_when_it_is_asked_to(tmp_path):
    task = LesionSegmentation(image_size=(16, 16), gain=0.0)
    experiment = shared.experiment(task, tmp_path, shared.PixelNetwork())
    evaluator = task.evaluator(experiment, "validation", shared.one_device())
    answers = iter([False, False, True])
    assert evaluator(shared.state(), stop=lambda: next(answers)) is None
    assert list(answers) == []


def test_panels_are_of_the_networks_size(tmp_path):
    task = LesionSegmentation(image_size=(16, 16), gain=0.0, scale=0.5)
    experiment = shared.experiment(task, tmp_path, shared.PixelNetwork())
    evaluator = task.evaluator(experiment, "validation", shared.one_device())
    for index, panel in zip((2, 0), evaluator.panels(shared.state(), (2, 0)), strict=True):
        image, labels, probability = panel
        size = tuple(round(side * 0.5) for side in shared.SPLIT[index]["image"].shape[:2])
        assert image.shape[:2] == labels.shape == probability.shape == size
        np.testing.assert_allclose(probability, shared.pixel_oracle(image), rtol=1e-5)


# --- the network on whole photographs -------------------------------------------------------------


class Sums:
    """A logit that is the sum of the eight neighbours, and of four pixels of a coarser grid."""

    def apply(self, variables, image, *, train):
        x = image[..., :1] - 0.5
        wide = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")
        coarse = jax.lax.reduce_window(
            x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
        )
        coarse = jnp.repeat(jnp.repeat(coarse, 2, axis=1), 2, axis=2)
        return {"logits": wide + coarse}


def network(tmp_path, model, **options):
    task = LesionSegmentation(image_size=(16, 16), gain=0.0, **options)
    made = PhotographNetwork(shared.experiment(task, tmp_path, model), shared.one_device())
    made.place(shared.state())
    return made


@pytest.mark.parametrize("size", [(33, 47), (64, 48), (16, 16), (17, 90)])
def test_aligned_tiles_with_a_margin_give_the_network_of_the_whole_photograph(size, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    made = network(tmp_path, Sums(), tile=48, tile_margin=4)
    padding = [(0, max(-(-side // ALIGNED) * ALIGNED, 48) - side) for side in size]
    whole = np.pad(image, [*padding, (0, 0)], mode="edge")
    logits = Sums().apply(None, jnp.asarray(whole[None], jnp.float32) / 255, train=False)["logits"]
    wanted = jax.nn.sigmoid(logits)[0, : size[0], : size[1], 0]
    np.testing.assert_allclose(made.probabilities(image), wanted, atol=1e-6)


@pytest.mark.parametrize("tile", [0, 24, 64, 128])
def test_photographs_of_any_size_and_progress_by_tiles(tile, tmp_path):
    for size in ((16, 16), (31, 20), (70, 33)):
        image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
        made, said = network(tmp_path, shared.PixelNetwork(), tile=tile), []
        found = made.probabilities(image, said.append)
        assert found.shape == size and found.dtype == np.float32
        np.testing.assert_allclose(found, shared.pixel_oracle(image), rtol=1e-5)
        # Batches of three tiles; what fills up the last is not counted
        assert sum(said) == made.tiles(size) and len(said) == -(-made.tiles(size) // 3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_network_that_gives_no_numbers_is_told_so(value, tmp_path):
    class Broken:
        def apply(self, variables, image, *, train):
            # Of two infinite logits the difference is no number
            return {"logits": jnp.full((*image.shape[:3], 2), value)}

    made = network(tmp_path, Broken())
    with pytest.raises(FloatingPointError, match="the network gives probabilities that are no num"):
        made.probabilities(np.zeros((20, 20, 3), np.uint8))


def test_a_certain_network_is_certain(tmp_path):
    made = network(tmp_path, shared.PixelNetwork(), scale=0.5)
    made.place(shared.state(1e4, 50.0))
    found = made.probabilities(np.full((37, 23, 3), 200, np.uint8))
    assert np.all(enlarged(found, (73, 47)) == 1)


@pytest.mark.parametrize("few, many", [((5, 7), (10, 14)), ((5, 7), (11, 13)), ((1, 1), (3, 2))])
def test_maps_are_enlarged_between_the_centres_of_pixels(few, many):
    small = np.random.default_rng(0).random(few).astype(np.float32)
    found = enlarged(small, many)
    assert found.shape == many and found.dtype == np.float32
    np.testing.assert_allclose(found, larger(small.astype(np.float64), many), atol=1e-6)
    assert enlarged(small, few) is small
