"""Kappa statistics on worked examples and against naive oracles; the Jaccard index of sets."""

import itertools
import math

import numpy as np
import pytest

from segjax import stats


def ratings(table):
    """The categories by two raters whose contingency table is given."""
    table = np.array(table)
    cells = [(i, j) for i, j in np.ndindex(*table.shape) for _ in range(table[i, j])]
    return [i for i, _ in cells], [j for _, j in cells]


@pytest.mark.parametrize(
    "table, kappa, places",
    [
        # Cohen (1960), table 1: p_o = .70, p_e = .41
        ([[88, 14, 18], [10, 40, 10], [2, 6, 12]], 0.492, 3),
        # 50 applications for a grant: p_o = .7, p_e = .5
        ([[20, 5], [10, 15]], 0.4, 12),
        # One p_o = .6, and other shares of the categories
        ([[45, 15], [25, 15]], 0.1304, 4),
        ([[25, 35], [5, 35]], 0.2593, 4),
        # SAS/STAT, PROC FREQ
        ([[0, 4, 1], [0, 8, 0], [0, 1, 5]], 0.4842, 4),
    ],
)
def test_cohens_kappa_of_worked_examples(table, kappa, places):
    a, b = ratings(table)
    assert stats.cohen_kappa(a, b) == pytest.approx(kappa, abs=0.5 * 10**-places)
    assert stats.cohen_kappa(b, a) == stats.cohen_kappa(a, b)


def test_cohens_kappa_against_shuffled_ratings():
    generator = np.random.default_rng(0)
    a = generator.integers(0, 3, 60)
    b = np.where(generator.random(60) < 0.6, a, generator.integers(0, 4, 60))
    # Agreement by chance is that of every item of one rater with every item of the other
    chance = np.mean([x == y for x, y in itertools.product(a, b)])
    wanted = (np.mean(a == b) - chance) / (1 - chance)
    assert stats.cohen_kappa(a, b) == pytest.approx(wanted)
    # Whatever the names of the categories
    names = np.array(["none", "mild", "severe", "unclear"])
    assert stats.cohen_kappa(names[a], names[b].tolist()) == stats.cohen_kappa(a, b)


def test_cohens_kappa_at_its_ends():
    assert stats.cohen_kappa([1, 2, 3], [1, 2, 3]) == 1
    assert stats.cohen_kappa([0, 1], [1, 0]) == -1
    assert stats.cohen_kappa([0, 0, 1, 1], [0, 1, 0, 1]) == 0
    # No agreement, and none by chance
    assert stats.cohen_kappa(["x"], ["y"]) == 0
    assert math.isnan(stats.cohen_kappa([True, True], [True, True]))
    assert stats.cohen_kappa([None, ("a", 1)], [None, ("a", 1)]) == 1


@pytest.mark.parametrize(
    "a, b, words",
    [
        ([], [], "`a` takes one category per item"),
        ([1], [], "`b` takes one category per item"),
        ([1, 2], [1], "`a` and `b` take as many"),
        ([1, math.nan], [1, 2], "`a` takes one hashable category"),
        ([1, 2], [1, [2]], "`b` takes one hashable category"),
        (np.zeros((2, 2)), np.zeros((2, 2)), "`a` takes one hashable category"),
        ([(1, [2])], [1], "`a` takes one hashable category"),
    ],
)
def test_cohens_kappa_refuses(a, b, words):
    with pytest.raises(ValueError, match=words):
        stats.cohen_kappa(a, b)


# Fleiss (1971), table 1: psychiatric diagnoses of 30 patients by 6 raters each, in 5 categories
# (depression, personality disorder, schizophrenia, neurosis, other), the raters not told apart.
DIAGNOSES = """
444444 222555 233335 555555 222444 113333 333355 113334 114444 555555 144444 124444 222333 144444
224445 333335 111455 111112 224444 133555 555555 244444 224555 114444 144445 222224 111155 224444
133333 555555
"""
# The worked example that textbooks give: 10 items, 14 raters, 5 categories
EXAMPLE = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def test_fleiss_kappa_of_worked_examples():
    counts = [[word.count(k) for k in "12345"] for word in DIAGNOSES.split()]
    assert np.sum(counts, axis=0).tolist() == [26, 26, 30, 55, 43]
    assert stats.fleiss_kappa(counts) == pytest.approx(0.430, abs=5e-4)
    assert stats.fleiss_kappa(EXAMPLE) == pytest.approx(0.210, abs=5e-4)


def test_fleiss_kappa_against_pairs_of_raters():
    generator = np.random.default_rng(1)
    each = generator.integers(0, 3, (12, 1)) * (generator.random((12, 5)) < 0.7)
    counts = np.array([[np.sum(row == k) for k in range(4)] for row in each])
    agreed = np.mean([x == y for row in each for x, y in itertools.permutations(row, 2)])
    chance = np.mean([x == y for x, y in itertools.product(each.ravel(), repeat=2)])
    wanted = (agreed - chance) / (1 - chance)
    assert stats.fleiss_kappa(counts) == pytest.approx(wanted)
    # Neither the order of items and categories nor one that nobody chose matters
    assert counts[:, 3].sum() == 0
    assert stats.fleiss_kappa(counts[::-1, [2, 0, 1]].astype(float)) == pytest.approx(wanted)


def test_fleiss_kappa_at_its_ends():
    assert stats.fleiss_kappa([[3, 0], [0, 3]]) == 1
    assert stats.fleiss_kappa([[1, 1], [1, 1]]) == -1
    assert stats.fleiss_kappa([[1, 1, 1]] * 4) == pytest.approx(-1 / 2)
    assert math.isnan(stats.fleiss_kappa([[3, 0], [3, 0]]))
    # Large counts are whole numbers still
    assert stats.fleiss_kappa([[10**6, 0], [0, 10**6]] * 1000) == 1


@pytest.mark.parametrize(
    "counts, words",
    [
        ([[2, 1], [1, 1], [3, 0]], "as many raters for every item, got 3 for item 0 and 2 for"),
        ([[1, 0], [0, 1]], "at least two raters for every item, got 1"),
        ([[0, 0]], "at least two raters"),
        ([1, 2], r"\[items, categories\], got shape \(2,\)"),
        (np.zeros((0, 3), int), "got shape"),
        ([[1.5, 0.5]], "whole numbers"),
        ([[3, -1]], "whole numbers"),
        ([[np.nan, 2]], "whole numbers"),
        ([[np.inf, 2]], "whole numbers"),
        ([["a", "b"]], "whole numbers"),
    ],
)
def test_fleiss_kappa_refuses(counts, words):
    with pytest.raises(ValueError, match=f"`counts` takes .*{words}"):
        stats.fleiss_kappa(counts)


@pytest.mark.parametrize(
    "a, b, index",
    [
        ((), (), 1),
        (("macula",), (), 0),
        (("macula", "temporal"), ["temporal", "macula", "macula"], 1),
        ({"macula", "temporal"}, {"macula", "disc_superior"}, 1 / 3),
        ({1, 2}, {3}, 0),
        ({1, 2, 3, 4}, {4}, 1 / 4),
    ],
)
def test_the_jaccard_index_of_sets(a, b, index):
    assert stats.set_jaccard(a, b) == pytest.approx(index)
    assert stats.set_jaccard(b, a) == pytest.approx(index)


def test_a_text_is_no_set():
    with pytest.raises(ValueError, match="`b` takes a collection of names, got the text 'macula'"):
        stats.set_jaccard(["macula"], "macula")
