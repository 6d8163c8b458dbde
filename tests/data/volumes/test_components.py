import numpy as np
import pytest

from segjax.data.volumes.components import Postprocessing, choose_postprocessing, keep_largest


def flood(where):
    """Components across faces by flooding, one set of voxels each: an oracle without labelling."""
    left, parts = set(zip(*np.nonzero(where), strict=True)), []
    while left:
        part, edge = set(), [left.pop()]
        while edge:
            voxel = edge.pop()
            part.add(voxel)
            for axis in range(where.ndim):
                for step in (-1, 1):
                    near = tuple(v + step * (a == axis) for a, v in enumerate(voxel))
                    if near in left:
                        left.remove(near)
                        edge.append(near)
        parts.append(part)
    return parts


def oracle(labels, classes=None):
    kept = labels.copy()
    for one in (labels != 0,) if classes is None else [labels == c for c in classes]:
        parts = flood(one)
        for part in parts:
            if len(part) < max(map(len, parts)):
                for voxel in part:
                    kept[voxel] = 0
    return kept


def random_labels(seed, shape=(5, 9, 8), classes=3):
    generator = np.random.default_rng(seed)
    return (generator.integers(1, classes, shape) * (generator.random(shape) < 0.35)).astype("u1")


@pytest.mark.parametrize("classes", [None, (1,), (2, 1), (), (1, 2, 7)])
@pytest.mark.parametrize("seed", range(4))
def test_all_but_the_largest_component_goes(classes, seed):
    labels = random_labels(seed)
    before = labels.copy()
    got = keep_largest(labels, classes)
    np.testing.assert_array_equal(got, oracle(labels, classes))
    np.testing.assert_array_equal(labels, before)
    assert got.dtype == np.uint8
    if classes is None:
        assert (got != before).any(), "nothing was to be removed"


def test_corners_do_not_connect_and_equal_ones_stay():
    labels = np.zeros((1, 4, 4), np.int32)
    labels[0, 0, :2] = labels[0, 1, 2] = 1
    got = keep_largest(labels)
    assert got.sum() == 2 and got[0, 1, 2] == 0
    labels[0, 1, 3] = 1
    np.testing.assert_array_equal(keep_largest(labels), labels)


def test_merged_and_single_differ_where_classes_touch():
    labels = np.array([[1, 1, 1, 2, 0, 2, 2, 0]])
    np.testing.assert_array_equal(keep_largest(labels), [[1, 1, 1, 2, 0, 0, 0, 0]])
    np.testing.assert_array_equal(keep_largest(labels, [2]), [[1, 1, 1, 0, 0, 2, 2, 0]])


def test_nothing_in_the_volume_is_allowed():
    empty = np.zeros((2, 3, 3), np.uint8)
    np.testing.assert_array_equal(keep_largest(empty), empty)
    np.testing.assert_array_equal(keep_largest(empty, [1]), empty)


def line(*values):
    return np.array([values], np.uint8)


TRUTH = line(1, 1, 1, 2, 2, 0, 0, 0, 0, 0)
STRAY_ONE = line(1, 1, 1, 2, 2, 0, 1, 0, 0, 0)


@pytest.mark.parametrize(
    "predicted, true, wanted",
    [
        # A false island of class 1 away from everything: all foreground, and then nothing is left.
        ([STRAY_ONE], [TRUTH], (True, ())),
        # An island that is right: removing it makes its class worse.
        ([line(1, 1, 1, 0, 0, 2, 2, 0, 0, 0)], [line(1, 1, 1, 0, 0, 2, 2, 0, 0, 0)], (False, ())),
        # Class 1 lies in two true places, class 2 has a false island: only class 2 by itself.
        (
            [line(1, 1, 0, 1, 0, 2, 2, 2, 0, 2)],
            [line(1, 1, 0, 1, 0, 2, 2, 2, 0, 0)],
            (False, (2,)),
        ),
        # One class better and the other worse: not all foreground, though the mean would rise.
        (
            [line(1, 1, 1, 1, 0, 1, 1, 1, 0, 2)],
            [line(1, 1, 1, 1, 0, 0, 0, 0, 0, 2)],
            (False, (1,)),
        ),
        # All foreground first; an island of class 2 inside the large component is left for step 2.
        (
            [line(2, 1, 1, 1, 2, 2, 0, 0, 1, 0)],
            [line(0, 1, 1, 1, 2, 2, 0, 0, 0, 0)],
            (True, (2,)),
        ),
        # Three cases, the mean over which rises; then two, over which it falls.
        (
            [STRAY_ONE, line(1, 0, 1, 1, 1, 1, 0, 0, 0, 0), TRUTH],
            [TRUTH, line(1, 1, 1, 1, 1, 1, 0, 0, 0, 0), TRUTH],
            (True, ()),
        ),
        (
            [STRAY_ONE, line(1, 1, 0, 1, 1, 1, 0, 0, 0, 0)],
            [TRUTH, line(1, 1, 0, 1, 1, 1, 0, 0, 0, 0)],
            (False, ()),
        ),
        ([line(0, 0)], [line(0, 0)], (False, ())),
        ([], [], (False, ())),
    ],
    ids=["stray", "right", "class", "worse", "both", "gain", "loss", "empty", "no cases"],
)
def test_the_rule_chooses(predicted, true, wanted):
    assert choose_postprocessing(predicted, true, 3) == Postprocessing(*wanted)
    assert choose_postprocessing(iter(predicted), iter(true), 3) == Postprocessing(*wanted)


def test_one_class_is_asked_once():
    chosen = choose_postprocessing([line(1, 1, 0, 1)], [line(1, 1, 0, 0)], 2)
    assert chosen == Postprocessing(True, ())


def dice(found, truth, classes):
    for c in classes:
        a, b = found == c, truth == c
        yield 2 * (a & b).sum() / (a.sum() + b.sum()) if (a | b).any() else np.nan


@pytest.mark.parametrize("seed", range(6))
def test_the_choice_equals_the_rule_written_out(seed):
    generator = np.random.default_rng(seed)
    true = [random_labels(10 * seed + i, (3, 6, 6), 4) for i in range(4)]
    true = [oracle(t, (1, 2, 3)) if seed % 2 else t for t in true]
    found = [
        np.where(generator.random(t.shape) < 0.1, generator.integers(0, 4, t.shape), t)
        for t in true
    ]
    classes = (1, 2, 3)

    def means(cases):
        scores = [list(dice(f, t, classes)) for f, t in zip(cases, true, strict=True)]
        return np.nanmean(scores, axis=0)

    raw, merged = means(found), means([oracle(f) for f in found])
    foreground = merged.mean() > raw.mean() and all(merged >= raw)
    source = [oracle(f) for f in found] if foreground else found
    alone = means([oracle(s, classes) for s in source])
    better = tuple(c for c in classes if alone[c - 1] > (merged if foreground else raw)[c - 1])
    got = choose_postprocessing(found, true, 4)
    assert got == Postprocessing(foreground, better)
    for case, start in zip(found, source, strict=True):
        np.testing.assert_array_equal(got.apply(case), oracle(start, better))


@pytest.mark.parametrize(
    "predicted, true, number, name",
    [
        ([TRUTH], [TRUTH, TRUTH], 3, "zip"),
        ([TRUTH], [TRUTH[:, :4]], 3, "`true`"),
        ([TRUTH], [TRUTH], 2, "`predicted`"),
        ([TRUTH * 0], [TRUTH], 2, "`true`"),
        ([TRUTH], [TRUTH], 1, "`num_classes`"),
    ],
)
def test_errors(predicted, true, number, name):
    with pytest.raises(ValueError, match=name):
        choose_postprocessing(predicted, true, number)
    with pytest.raises(TypeError, match="`labels`"):
        keep_largest(np.zeros((2, 2)))
