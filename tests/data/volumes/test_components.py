import numpy as np
import pytest

from segjax.data.volumes.components import keep_largest


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


def test_labels_are_integers():
    with pytest.raises(TypeError, match="`labels`"):
        keep_largest(np.zeros((2, 2)))
