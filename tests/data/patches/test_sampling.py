"""Draws of patches: pure in (seed, step), uniform or by weights, and what a checkpoint keeps."""

import json

import numpy as np
import pytest
from scipy import ndimage, stats

from segjax.data.patches.centres import around, centres
from segjax.data.patches.sampling import FLOOR, Choice, PatchSampler, inside, shifted
from segjax.data.patches.weighted import BLOCK, WeightedChoice
from segjax.errors import UserError


def mask(shape, *pixels):
    drawn = np.zeros(shape, np.uint8)
    for y, x in pixels:
        drawn[y, x] = 1
    return drawn


def by_place(state, photograph, centre):
    """A score that is known: a hundredth of the column."""
    return centre[:, 1] / 100


def sampler(**options):
    lesions = centres([mask((20, 30), (3, 4), (19, 29)), mask((10, 50))])
    healthy = centres([mask((20, 30)), np.ones((10, 50), np.uint8)])
    return PatchSampler(lesions, healthy, **options)


def test_candidates_are_where_the_masks_are():
    found = centres([mask((20, 30), (3, 4), (19, 29)), mask((10, 50), (0, 49))])
    photograph, pixel = found.at(np.arange(len(found)))
    assert photograph.tolist() == [0, 0, 1]
    assert pixel.tolist() == [[3, 4], [19, 29], [0, 49]]


def test_as_many_as_asked_are_kept_spread_over_all_and_the_same_in_every_call():
    whole = np.ones((100, 200), np.uint8)
    found = centres([whole, whole], most=1000)
    assert len(found) == 2000
    assert np.array_equal(found.places, centres([whole, whole], most=1000).places)
    for photograph in range(2):
        here = found.places[found.first[photograph] : found.first[photograph + 1]]
        assert len(np.unique(here)) == 1000
        # One of every 20 pixels, in the order of rows
        assert np.array_equal(here // 20, np.arange(1000))
    assert not np.array_equal(found.places[:1000], found.places[1000:])


@pytest.mark.parametrize("width", [0, 1, 3, 8])
def test_around_a_mask_is_what_lies_within_so_many_pixels(width):
    lesions = mask((40, 50), (0, 0), (20, 30), (20, 31), (39, 12))
    found = around(lesions * 255, width)
    distance = ndimage.distance_transform_edt(lesions == 0)
    assert found.dtype == bool and not found[lesions > 0].any()
    # A disc of pixels: along the axes exact, and elsewhere within a pixel
    assert not found[distance > width + 0.5].any()
    assert found[(distance > 0) & (distance < width - 0.5)].all()
    assert not around(mask((9, 9)), width).any()


def test_an_index_of_six_million_takes_less_than_100_megabytes_with_its_weights():
    field = np.ones((400, 200), np.uint8)
    healthy = centres([field] * 80, most=75_000)
    assert len(healthy) == 6_000_000
    lesions = centres([np.ones((500, 1000), np.uint8)])
    made = PatchSampler(
        lesions, healthy, period=10, pool=6_000_000, score=lambda s, p, c: np.full(len(p), 0.5)
    )
    made.rescore(0, 10, None)
    assert made.nbytes < 100e6


@pytest.mark.parametrize("count", [1, 5, BLOCK, 3 * BLOCK + 7])
def test_frequencies_are_in_proportion_to_weights(count):
    generator = np.random.default_rng(3)
    weights = generator.random(count).astype(np.float32)
    weights[generator.random(count) < 0.3] = 0
    weights[-1] = 0.5
    drawn = WeightedChoice(weights).draw(np.random.default_rng(4), 200_000)
    counts = np.bincount(drawn, minlength=count)
    assert not counts[weights == 0].any()
    likely = weights > 0
    expected = weights[likely].astype(float) / weights.astype(float).sum() * 200_000
    if likely.sum() > 1:
        assert stats.chisquare(counts[likely], expected * (200_000 / expected.sum())).pvalue > 1e-3
        # The test can fail: it tells these weights from equal ones
        equal = np.full(likely.sum(), 200_000 / likely.sum())
        assert stats.chisquare(counts[likely], equal).pvalue < 1e-6


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [1.0, -1.0], [1.0, np.nan], [[1.0]]])
def test_other_weights_are_refused(weights):
    with pytest.raises(ValueError, match="`weights` takes"):
        WeightedChoice(np.array(weights))


def test_draws_are_a_function_of_seed_and_step_alone():
    one, other = sampler(), sampler()
    for step in (5, 0, 2):
        first, second = one.draw(7, step, 6, 6), other.draw(7, step, 6, 6)
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a.centre, b.centre)
    different = [sampler().draw(*key, 6, 6)[1].centre for key in ((7, 5), (7, 6), (8, 5))]
    assert not np.array_equal(different[0], different[1])
    assert not np.array_equal(different[0], different[2])


def test_lesions_are_drawn_uniformly_whatever_the_weights():
    made = sampler(period=10, pool=500, score=by_place)
    made.rescore(0, 10, None)
    pixels = np.concatenate([made.draw(0, step, 100, 1)[0].centre[:, 0] for step in range(100)])
    counts = [np.sum(pixels == 3), np.sum(pixels == 19)]
    assert sum(counts) == 10_000
    assert stats.chisquare(counts).pvalue > 1e-3


def test_healthy_ones_are_drawn_by_their_scores_and_uniformly_before():
    made = sampler(period=10, pool=500, score=by_place)

    def columns():
        drawn = [made.draw(0, step, 1, 500)[1].centre[:, 1] for step in range(100)]
        return np.bincount(np.concatenate(drawn), minlength=50)

    assert stats.chisquare(columns()).pvalue > 1e-3
    made.rescore(0, 10, None)
    weights = (np.arange(50) / 100 + FLOOR).astype(np.float16).astype(float)
    expected = weights / weights.sum() * 50_000
    counts = columns()
    # Of column 0 next to nothing is expected
    assert counts[0] <= 3
    chosen = slice(1, None)
    expected = expected[chosen] * counts[chosen].sum() / expected[chosen].sum()
    assert stats.chisquare(counts[chosen], expected).pvalue > 1e-3


def test_a_pool_is_drawn_anew_in_every_period_and_only_it_is_scored():
    asked = []

    def score(state, photograph, centre):
        asked.append({tuple(pixel) for pixel in centre})
        return np.ones(len(photograph))

    made = sampler(period=10, pool=60, score=score)
    for step in (10, 20):
        made.rescore(0, step, None)
    assert [len(pixels) for pixels in asked] == [60, 60]
    assert asked[0] != asked[1]
    drawn = {tuple(pixel) for step in range(50) for pixel in made.draw(0, step, 1, 20)[1].centre}
    assert drawn <= asked[1]


@pytest.mark.parametrize("step, due", [(0, False), (9, False), (10, True), (11, False), (20, True)])
def test_scores_are_due_where_a_period_ends(step, due):
    assert sampler(period=10, pool=5, score=by_place).is_due(step) is due
    assert not sampler().is_due(step)


@pytest.mark.parametrize("pool", [500, 60])
def test_what_is_remembered_draws_the_same_through_json(pool):
    made = sampler(period=10, pool=pool, score=by_place)
    assert made.remembered() is None
    made.rescore(3, 20, None)
    content = json.loads(json.dumps(made.remembered()))
    again = sampler(period=10, pool=pool, score=by_place)
    again.remember(content, 3)
    for step in (20, 25):
        for a, b in zip(made.draw(3, step, 5, 50), again.draw(3, step, 5, 50), strict=True):
            np.testing.assert_array_equal(a.centre, b.centre)
    assert again.remembered() == content


def test_a_resumed_run_draws_by_the_very_weights_however_many():
    """A checkpoint has them in sixteen bits: those that were never saved are the same."""
    scores = np.random.default_rng(8).random(550)
    made = sampler(period=10, pool=550, score=lambda s, p, c: scores[: len(p)])
    made.rescore(3, 10, None)
    again = sampler(period=10, pool=550, score=None)
    again.remember(made.remembered(), 3)
    one, two = (each.draw(3, 11, 1, 100_000)[1].centre for each in (made, again))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    "change", [{"pool": 7}, {"weights": "no base 64"}, {"weights": "AAAA"}, {"period": "x"}, None]
)
def test_damaged_memories_are_named(change):
    made = sampler(period=10, pool=60, score=by_place)
    made.rescore(0, 10, None)
    content = [] if change is None else made.remembered() | change
    with pytest.raises(UserError, match="weights of the sampler in the checkpoint are damaged"):
        sampler(period=10, pool=60, score=by_place).remember(content, 0)


def test_scores_that_are_no_numbers_end_the_training():
    made = sampler(period=10, pool=60, score=lambda s, p, c: np.full(len(p), np.nan))
    with pytest.raises(FloatingPointError, match="step 10: .* no numbers"):
        made.rescore(0, 10, None)


def test_patches_are_moved_inside_by_as_little_as_needed():
    choice = Choice(np.array([0, 0, 1, 0]), np.array([[0, 0], [10, 10], [99, 49], [19, 29]]))
    moved = inside(choice, [(20, 30), (100, 50)], (8, 7))
    assert moved.centre.tolist() == [[4, 3], [10, 10], [96, 46], [16, 26]]


def test_shifts_reach_as_far_as_asked_and_no_farther():
    choice = Choice(np.zeros(2000, int), np.full((2000, 2), 50))
    away = shifted(choice, np.random.default_rng(0), 5).centre - 50
    assert (away.min(), away.max()) == (-5, 5)
