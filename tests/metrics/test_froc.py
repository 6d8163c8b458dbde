"""Lesions found and false candidates: by hand, by flood fill, and at the edges."""

import jax.numpy as jnp
import numpy as np
import pytest

from segjax import metrics
from segjax.metrics import statistics
from segjax.metrics.froc import RULES

INF = np.inf
THRESHOLDS = [0.2, 0.5, 0.88]


def worked_example():
    """Three lesions and five candidates, one for each way to hit and to miss.

    Lesion A covers rows and columns 2 to 8, B is the pixel (10, 10), C is 2 x 2 from (15, 20).
    """
    labels = np.zeros((20, 30), bool)
    labels[2:9, 2:9] = labels[10, 10] = labels[15:17, 20:22] = True
    scores = np.zeros(labels.shape, np.float32)
    scores[1, 28], scores[2, 29] = 0.8, 0.85  # far from all; joined across a corner
    scores[3, 3], scores[3, 4] = 0.9, 0.5  # within A
    scores[7, 7] = 0.7  # within A as well
    scores[9:12, 9:12] = 0.4  # a ring around B: its centre is B, and no pixel is
    scores[10, 10] = 0
    scores[15, 21:28] = 0.3  # begins in C; its centre lies outside, at (24.5, 15.5)
    scores[18, 3] = 0.05  # below `least`
    return scores, labels


@pytest.mark.parametrize(
    "rule, distance, best, false",
    [
        ("overlap", 0, [0.9, -INF, 0.3], [0.85, 0.4]),
        ("centre", 0, [0.9, 0.4, -INF], [0.85, 0.3]),
        # From the centres of A, B, C the candidates are 2.588 and 2.828, 0, and 3.536 away.
        ("distance", 4, [0.9, 0.4, 0.3], [0.85]),
        ("distance", 3, [0.9, 0.4, -INF], [0.85, 0.3]),
        ("distance", 2.6, [0.9, 0.4, -INF], [0.85, 0.7, 0.3]),
        ("distance", 2.5, [-INF, 0.4, -INF], [0.85, 0.9, 0.7, 0.3]),
        # The ring is 7.071 from A, and the best of both candidates counts.
        ("distance", 7.08, [0.9, 0.7, 0.3], [0.85]),
        ("distance", 0, [-INF, 0.4, -INF], [0.85, 0.9, 0.7, 0.3]),
    ],
)
def test_a_worked_example(rule, distance, best, false):
    match = metrics.match_lesions(*worked_example(), rule=rule, distance=distance)
    np.testing.assert_array_equal(match.best, np.float32(best))
    np.testing.assert_array_equal(match.false, np.float32(false))
    assert match.best.dtype == match.false.dtype == np.float32
    found = match.candidates
    np.testing.assert_array_equal(found.score, np.float32([0.85, 0.9, 0.7, 0.4, 0.3]))
    np.testing.assert_array_equal(found.area, [2, 2, 1, 8, 7])
    np.testing.assert_array_equal(found.score[~found.hit], match.false)
    x = [(28.5 * 0.8 + 29.5 * 0.85) / 1.65, (3.5 * 0.9 + 4.5 * 0.5) / 1.4, 7.5, 10.5, 24.5]
    y = [(1.5 * 0.8 + 2.5 * 0.85) / 1.65, 3.5, 7.5, 10.5, 15.5]
    np.testing.assert_allclose(found.x, x, rtol=1e-6)
    np.testing.assert_allclose(found.y, y, rtol=1e-6)
    assert [(c.x, c.y, c.area) for c in found][2] == (7.5, 7.5, 1)


def test_least_decides_what_is_a_candidate():
    scores, labels = worked_example()
    match = metrics.match_lesions(scores, labels, least=0.45)
    np.testing.assert_array_equal(match.candidates.score, np.float32([0.85, 0.9, 0.7]))
    np.testing.assert_array_equal(match.candidates.area, [2, 2, 1])
    match = metrics.match_lesions(scores, labels, least=0.6)
    np.testing.assert_array_equal(match.candidates.area, [2, 1, 1])
    # A score of `least` belongs to a candidate, in the precision of the map.
    assert len(metrics.match_lesions(scores, labels, least=0.9).candidates) == 1
    assert len(metrics.match_lesions(scores, labels, least=0.05).candidates) == 6


def components(mask):
    """Lists of pixels that are connected across sides and corners, by flood fill."""
    left, found = set(map(tuple, np.argwhere(mask).tolist())), []
    for start in sorted(left):
        if start in left:
            left.discard(start)
            found.append([start])
            for y, x in found[-1]:
                around = {(y + a, x + b) for a in (-1, 0, 1) for b in (-1, 0, 1)} & left
                left -= around
                found[-1] += sorted(around)
    return found


def match_by_definition(scores, labels, rule, least, distance):
    """Best score of each lesion, and scores of false candidates."""
    lesions = components(labels)
    best, false = [-INF] * len(lesions), []
    for pixels in components(scores >= np.float32(least)):
        weights = np.array([scores[p] for p in pixels], float)
        centre = weights @ (np.array(pixels) + 0.5) / weights.sum()
        hits = []
        for number, lesion in enumerate(lesions):
            if rule == "overlap":
                hit = set(pixels) & set(lesion)
            elif rule == "centre":
                hit = tuple(np.floor(centre).astype(int).tolist()) in lesion
            else:
                hit = np.linalg.norm(centre - np.mean(lesion, axis=0) - 0.5) <= distance
            if hit:
                hits.append(number)
                best[number] = max(best[number], weights.max())
        if not hits:
            false.append(weights.max())
    return best, false


def random_image(seed, shape=(24, 31), dtype=np.float32):
    generator = np.random.default_rng(seed)
    scores = generator.random(shape) * (generator.random(shape) < 0.4)
    return scores.astype(dtype), generator.random(shape) < 0.12


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed, dtype", [(0, np.float32), (1, np.float32), (2, np.float64)])
def test_it_equals_its_definition(rule, seed, dtype):
    scores, labels = random_image(seed, dtype=dtype)
    for least, distance in ((0.5, 2.0), (0.1, 6.0)):
        got = metrics.match_lesions(scores, labels, rule=rule, least=least, distance=distance)
        best, false = match_by_definition(scores, labels, rule, least, distance)
        np.testing.assert_array_equal(got.best, best)
        np.testing.assert_array_equal(got.false, false)
        assert got.best.dtype == dtype
    assert np.isfinite(best).any() and len(components(labels)) > 20


@pytest.mark.parametrize("rule", RULES)
def test_turning_an_image_over_turns_its_candidates_over(rule):
    scores, labels = random_image(3)
    height, width = labels.shape
    turned = metrics.match_lesions(scores.T, labels.T, rule=rule, distance=3, least=0.5)
    match = metrics.match_lesions(scores, labels, rule=rule, distance=3, least=0.5)
    np.testing.assert_array_equal(np.sort(turned.best), np.sort(match.best))
    np.testing.assert_array_equal(np.sort(turned.false), np.sort(match.false))
    np.testing.assert_allclose(np.sort(turned.candidates.x), np.sort(match.candidates.y))
    np.testing.assert_allclose(np.sort(turned.candidates.y), np.sort(match.candidates.x))
    assert 0 < match.candidates.x.min() and height - 2 < match.candidates.y.max() < height
    assert width - 2 < match.candidates.x.max() < width


def test_one_candidate_may_find_several_lesions():
    labels = np.zeros((5, 12), bool)
    labels[2, [1, 5, 9]] = True
    everywhere = metrics.match_lesions(np.full(labels.shape, 0.6, np.float32), labels)
    np.testing.assert_array_equal(everywhere.best, np.float32([0.6, 0.6, 0.6]))
    assert not everywhere.false.size and len(everywhere.candidates) == 1
    # Its centre is (6, 2.5), on the side of the pixel (2, 6), which is none.
    centre = metrics.match_lesions(np.full(labels.shape, 0.6, np.float32), labels, rule="centre")
    assert np.all(centre.best == -INF) and len(centre.false) == 1


def test_a_distance_that_is_just_kept():
    scores, labels = np.zeros((20, 20), np.float32), np.zeros((20, 20), bool)
    scores[4, 5], labels[8, 8] = 0.5, True  # 3 and 4 pixels apart: 5
    for distance, found in ((5, True), (4.99, False)):
        match = metrics.match_lesions(scores, labels, rule="distance", distance=distance)
        assert np.isfinite(match.best[0]) == found and len(match.false) == (not found)


# --- counts ---------------------------------------------------------------------------------------


def test_counts_of_the_worked_example():
    match = metrics.match_lesions(*worked_example())
    lesions, found, false = metrics.froc_counts(match, THRESHOLDS)
    assert lesions == 3 and found.dtype == false.dtype == np.int64
    np.testing.assert_array_equal(found, [2, 1, 1])
    np.testing.assert_array_equal(false, [2, 1, 0])


def test_a_score_equal_to_the_threshold_counts():
    match = metrics.match_lesions(*worked_example())
    # Not the float32 next to 0.85 but 0.85 itself is above that score.
    assert np.float64(match.false[0]) != 0.85
    lesions, found, false = metrics.froc_counts(match, [0.0, 0.3, 0.4, 0.85, 0.9, 1.0])
    np.testing.assert_array_equal(found, [2, 2, 1, 1, 1, 0])
    np.testing.assert_array_equal(false, [2, 2, 2, 1, 0, 0])


def test_counts_by_definition():
    match = metrics.match_lesions(*random_image(4), least=0.4)
    thresholds = np.linspace(0, 1, 33)
    lesions, found, false = metrics.froc_counts(match, thresholds)
    assert lesions == match.best.size and found[0] < lesions
    np.testing.assert_array_equal(found, [np.sum(match.best >= t) for t in thresholds])
    np.testing.assert_array_equal(false, [np.sum(match.false >= t) for t in thresholds])
    assert len(set(found)) > 5 and len(set(false)) > 5


def statistics_of(matches, thresholds=THRESHOLDS):
    """Both means of a set of images, from the columns of its table."""
    rows = [metrics.froc_counts(match, thresholds) for match in matches]
    lesions = np.array([row[0] for row in rows])
    columns = [
        np.array([row[k][t] for row in rows]) for k in (1, 2) for t in range(len(thresholds))
    ]
    return statistics.froc(lesions, *columns), statistics.froc_camelyon(lesions, *columns)


@pytest.mark.parametrize(
    "rule, froc, camelyon",
    [
        # Found of 3: 2, 1, 1. False in two images: 2 + 3, 1 + 2, 0. The curve goes from (0, 1/3)
        # level to (1.5, 1/3), then to (2.5, 2/3): at 2 it is at 1/2.
        ("overlap", (4 / 3 + 1 / 2 + 4 / 3) / 7, (3 / 3 + 1 / 2 + 4 / 3) / 6),
        # The same numbers of found and of false ones, though of others.
        ("centre", (4 / 3 + 1 / 2 + 4 / 3) / 7, (3 / 3 + 1 / 2 + 4 / 3) / 6),
        # At distance 4 all 3 are found, with 1 + 3 false; one with 1 + 2, and with none.
        ("distance", (4 / 3 + 3 / 3 + 2) / 7, (3 / 3 + 3 / 3 + 2) / 6),
    ],
)
def test_an_image_without_lesions_adds_false_positives_only(rule, froc, camelyon):
    healthy = np.zeros((9, 9), np.float32)
    healthy[1, 1], healthy[1, 5], healthy[5, 1] = 0.6, 0.6, 0.3
    options = {"rule": rule, "distance": 4}
    ill = metrics.match_lesions(*worked_example(), **options)
    well = metrics.match_lesions(healthy, np.zeros((9, 9), bool), **options)
    np.testing.assert_array_equal(well.false, np.float32([0.6, 0.6, 0.3]))
    assert well.best.shape == (0,) and not well.candidates.hit.any()
    lesions, found, false = metrics.froc_counts(well, THRESHOLDS)
    assert lesions == 0 and not found.any()
    np.testing.assert_array_equal(false, [3, 2, 0])
    assert statistics_of([ill, well]) == pytest.approx((froc, camelyon))
    assert statistics_of([ill]) != pytest.approx((froc, camelyon))
    assert np.all(np.isnan(statistics_of([well, well])))


@pytest.mark.parametrize("rule", RULES)
def test_nothing_predicted_and_all_predicted(rule):
    scores, labels = worked_example()
    nothing = metrics.match_lesions(0 * scores, labels, rule=rule)
    assert np.all(nothing.best == -INF) and nothing.best.shape == (3,)
    assert not nothing.false.size and len(nothing.candidates) == 0
    assert statistics_of([nothing]) == (0, 0)
    perfect = metrics.match_lesions(labels.astype(np.float32), labels, rule=rule)
    assert np.all(perfect.best == 1) and not perfect.false.size
    assert statistics_of([perfect]) == (1, 1)
    empty = metrics.match_lesions(scores[:0], labels[:0], rule=rule)
    assert not empty.best.size and not empty.false.size


def test_it_takes_jax_arrays_integers_and_half_precision():
    scores, labels = worked_example()
    wanted = metrics.match_lesions(scores, labels)
    got = metrics.match_lesions(jnp.asarray(scores), labels.astype(np.int32))
    np.testing.assert_array_equal(got.candidates, wanted.candidates)
    half = metrics.match_lesions(scores.astype(np.float16), labels)
    assert half.best.dtype == np.float32
    np.testing.assert_array_equal(half.candidates.area, wanted.candidates.area)


def test_errors_name_the_argument():
    scores, labels = worked_example()
    for wrong in (np.nan, -0.1, 1.5, INF):
        bad = scores.copy()
        bad[0, 0] = wrong
        with pytest.raises(ValueError, match="`scores` takes probabilities"):
            metrics.match_lesions(bad, labels)
    with pytest.raises(TypeError, match="`scores`"):
        metrics.match_lesions(labels, labels)
    with pytest.raises(ValueError, match="`scores` takes 2 axes"):
        metrics.match_lesions(scores[None], labels[None])
    with pytest.raises(ValueError, match="`labels`"):
        metrics.match_lesions(scores, labels.T)
    with pytest.raises(ValueError, match="`labels`"):
        metrics.match_lesions(scores, labels * 3)
    with pytest.raises(TypeError, match="`labels`"):
        metrics.match_lesions(scores, scores)
    with pytest.raises(ValueError, match="`rule`"):
        metrics.match_lesions(scores, labels, rule="iou")
    for least in (0, 1.1, np.nan):
        with pytest.raises(ValueError, match="`least`"):
            metrics.match_lesions(scores, labels, least=least)
    with pytest.raises(ValueError, match="`distance`"):
        metrics.match_lesions(scores, labels, distance=-1)
    match = metrics.match_lesions(scores, labels)
    for thresholds in (0.5, [[0.5]], [np.nan], [-INF]):
        with pytest.raises(ValueError, match="`thresholds`"):
            metrics.froc_counts(match, thresholds)
