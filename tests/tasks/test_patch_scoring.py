"""Patches scored around chosen pixels, and networks of patches evaluated by them."""

from types import SimpleNamespace

import numpy as np
import pytest

from segjax.data.patches.centres import around
from segjax.tasks.lesions import metrics
from segjax.tasks.lesions.scoring import PatchScorer, PhotographScorer
from tests.tasks import lesions as shared
from tests.tasks.patches import FULL, SIDE, experiment, made, patch_oracle, state

# --- scoring --------------------------------------------------------------------------------------

SIZES = [(30, 41), (12, 50), (9, 7), (30, 41)]


def photographs():
    generator = np.random.default_rng(4)
    return [
        SimpleNamespace(
            name=f"eye{index}", image=generator.integers(0, 256, (*size, 3), dtype=np.uint8)
        )
        for index, size in enumerate(SIZES)
    ]


def pixels(count, index=None):
    """Some pixels in any order; the corners of photographs are among them."""
    generator = np.random.default_rng(5)
    photograph = (
        generator.integers(0, len(SIZES), count) if index is None else np.full(count, index)
    )
    centre = np.array([generator.integers(0, SIZES[i]) for i in photograph]).reshape(-1, 2)
    for place, corner in enumerate(((0, 0), (0, -1), (-1, 0), (-1, -1))):
        if place < count:
            size = SIZES[photograph[place]]
            centre[place] = [c % n for c, n in zip(corner, size, strict=True)]
    return photograph, centre


@pytest.mark.parametrize("count", [1, 7, 8, 29])
def test_a_score_is_that_of_the_patch_around_its_pixel(count, tmp_path):
    model, said = shared.WholePatch(), []
    scorer = PatchScorer(experiment(made(), tmp_path, model))
    scorer.place(state())
    image = photographs()[0].image
    _, centre = pixels(count, 0)
    probability, embedding = scorer(image, centre, said.append)
    wanted = [patch_oracle(image, pixel) for pixel in centre]
    np.testing.assert_allclose(probability, [p for p, _ in wanted], rtol=1e-5)
    np.testing.assert_allclose(embedding, [e for _, e in wanted], rtol=1e-5)
    assert sum(said) == count and len(said) == -(-count // 8)
    # Traced once, for a whole batch, whatever the number of pixels
    assert model.calls == [(8, *SIDE, 3)]


def test_scores_of_several_photographs_come_in_the_order_asked_for(tmp_path):
    model, given = shared.WholePatch(), photographs()
    scorer = PhotographScorer(experiment(made(), tmp_path, model), given)
    photograph, centre = pixels(53)
    assert np.any(np.diff(photograph) < 0) and len({*photograph}) == 4
    wanted = [
        patch_oracle(given[i].image, pixel) for i, pixel in zip(photograph, centre, strict=True)
    ]
    np.testing.assert_allclose(
        scorer(state(), photograph, centre), [p for p, _ in wanted], rtol=1e-5
    )
    probability, embedding = scorer.embedded(state(0.1, 0.3), photograph, centre)
    np.testing.assert_allclose(embedding, [e for _, e in wanted], rtol=1e-5)
    other = [
        patch_oracle(given[i].image, pixel, slope=0.1, offset=0.3)[0]
        for i, pixel in zip(photograph, centre, strict=True)
    ]
    np.testing.assert_allclose(probability, other, rtol=1e-5)
    # The network was traced once, for photographs of three sizes
    assert len(model.calls) == 1
    patches = scorer.patches(photograph[:5], centre[:5])
    assert patches.shape == (5, *SIDE, 3) and patches.dtype == np.uint8
    for patch, i, (y, x) in zip(patches, photograph, centre, strict=False):
        np.testing.assert_array_equal(patch[SIDE[0] // 2, SIDE[1] // 2], given[i].image[y, x])


def test_no_pixels_and_no_embedding(tmp_path):
    model = shared.WholePatch()
    model.embeds = False
    task = made(triplets=False)
    scorer = PhotographScorer(experiment(task, tmp_path, model), photographs())
    none, pixel = np.zeros(0, int), np.zeros((0, 2), int)
    assert scorer(state(), none, pixel).shape == (0,)
    assert model.calls == []
    probability, embedding = scorer.embedded(state(), *pixels(3))
    assert probability.shape == (3,) and embedding.shape == (3, 0)
    bare = PatchScorer(experiment(task, tmp_path, model))
    bare.place(state())
    assert bare(photographs()[0].image, pixel)[0].shape == (0,)


def test_a_network_that_gives_no_numbers_is_told_so(tmp_path):
    scorer = PhotographScorer(experiment(made(), tmp_path), photographs())
    with pytest.raises(FloatingPointError, match="the network gives probabilities that are no num"):
        scorer(state(np.nan), *pixels(9))


# --- evaluation -----------------------------------------------------------------------------------


def evaluator(tmp_path, **options):
    task = made(**options)
    given = experiment(task, tmp_path)
    return task, task.evaluator(given, "validation", shared.one_device())


def test_columns_are_of_lesion_pixels_and_of_healthy_ones(tmp_path):
    task, judge = evaluator(tmp_path, judged_patches=FULL)
    found = judge(state(), baseline=1.0)
    assert found.names == [f"eye{n}" for n in range(5)]
    assert set(found.columns) == {*metrics.PIXELS} == {*task.scored} == {*task.columns}
    opened = task.open_photographs(experiment(task, tmp_path), "validation")
    for index, photograph in enumerate(opened):
        mask = photograph.field if photograph.is_healthy else photograph.labels
        scores = np.array([patch_oracle(photograph.image, c)[0] for c in np.argwhere(mask)])
        row = {name: column[index] for name, column in found.columns.items()}
        assert row["pixels"] == len(scores)
        assert row["positives"] == (0 if photograph.is_healthy else len(scores))
        kinds = ("fp", "tp") if photograph.is_healthy else ("tp", "fp")
        for threshold in metrics.THRESHOLDS:
            near = np.sum(np.abs(scores - threshold) < 1e-5)
            count = row[f"{kinds[0]}_{threshold:g}"]
            assert abs(count - np.sum(scores >= threshold)) <= near
            assert row[f"{kinds[1]}_{threshold:g}"] == 0
    # The fifth has neither lesions nor health
    assert found.columns["pixels"][4] == 0 < found.columns["fp_0.5"][1]
    np.testing.assert_array_equal(found.baseline["tp_1"], found.columns["positives"])
    assert (
        {*found.values(task)} == {*task.validation_values(list)} == {m.name for m in task.metrics}
    )


def test_with_a_ring_what_lies_around_lesions_is_judged_as_healthy(tmp_path):
    _, plain = evaluator(tmp_path, judged_patches=FULL)
    task, judge = evaluator(tmp_path, judged_patches=FULL, ring=3)
    before, found = plain(state()).columns, judge(state()).columns
    np.testing.assert_array_equal(found["positives"], before["positives"])
    more = found["pixels"] - before["pixels"]
    opened = task.open_photographs(experiment(task, tmp_path), "validation")
    assert more.tolist() == [
        0 if p.is_healthy else np.count_nonzero(around(p.labels, 3) & p.field) for p in opened
    ]
    assert more[0] > 0 and more[2] > 0
    # At a threshold of 0 all that is not a lesion is a false positive
    np.testing.assert_array_equal(found["fp_0"], found["pixels"] - found["positives"])
    lesions, healthy = judge.mistakes(state())
    assert len(lesions) == 4 and len(healthy) == 8  # there are four lesions
    assert "those up to 3 pixels from them" in task.explained["table"]


def test_the_same_pixels_are_judged_each_time_up_to_so_many_a_photograph(tmp_path):
    _, first = evaluator(tmp_path)
    _, second = evaluator(tmp_path)
    one, again, other = first(state()), first(state()), second(state())
    for name, column in one.columns.items():
        np.testing.assert_array_equal(column, again.columns[name])
        np.testing.assert_array_equal(column, other.columns[name])
    assert one.columns["pixels"].tolist() == [20, 20, 9, 20, 0]
    changed = first(state(3.0, 0.1))
    assert changed.columns["pixels"].tolist() == one.columns["pixels"].tolist()
    assert not np.array_equal(changed.columns["fp_0.5"], one.columns["fp_0.5"])


def test_an_evaluation_that_was_stopped_gives_nothing(tmp_path):
    _, judge = evaluator(tmp_path)
    assert judge(state(), stop=lambda: True) is None


def test_mistakes_are_the_worst_of_both_kinds_each_in_a_place_of_its_own(tmp_path):
    task, judge = evaluator(tmp_path, judged_patches=FULL)
    lesions, healthy = judge.mistakes(state())
    assert len(lesions) == 4 and len(healthy) == 8
    opened = {p.name: p for p in task.open_photographs(experiment(task, tmp_path), "validation")}
    for found, sign, field in ((lesions, 1, "labels"), (healthy, -1, "field")):
        values = [sign * value for _, value, _ in found]
        assert values == sorted(values)
        every = sorted(
            (sign * float(patch_oracle(p.image, c)[0]), p.name, tuple(c))
            for p in opened.values()
            if p.is_healthy == (field == "field")
            for c in np.argwhere(getattr(p, field))
        )
        apart = []
        for value, name, c in every:
            others = [o for _, n, o in apart if n == name]
            if all(max(abs(c[0] - y), abs(c[1] - x)) >= min(SIDE) / 2 for y, x in others):
                apart.append((value, name, c))
        np.testing.assert_allclose(values, [value for value, *_ in apart[:8]], rtol=1e-5)
        assert all(patch.shape == (*SIDE, 3) for *_, patch in found)
