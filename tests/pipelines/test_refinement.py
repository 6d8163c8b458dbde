"""Patches slid over candidates, against a slow oracle that goes pixel by pixel."""

import numpy as np
import pytest

from segjax.pipelines.refinement import Cost, refined

SHAPE = (23, 31)
ABOVE = 0.4


def scene(seed=0, share=0.4, levels=0, shape=SHAPE):
    """What proposes, the candidates, and the probability that a patch gets at each pixel."""
    generator = np.random.default_rng(seed)
    strength = generator.random(shape).astype(np.float32)
    if levels:  # ties
        strength = np.floor(strength * levels).astype(np.float32) / levels
    inside = generator.random(shape) < share
    return strength, inside, generator.random(shape).astype(np.float32)


class Scorer:
    """Looks probabilities up, and keeps what it was asked for."""

    def __init__(self, truth):
        self.truth, self.calls = truth, []

    def __call__(self, pixels):
        assert len(pixels), "asked for nothing"
        self.calls.append([tuple(map(int, pixel)) for pixel in pixels])
        return self.truth[tuple(pixels.T)]


def oracle(strength, inside, truth, strides, above, most):
    """The map and its cost by plain loops over pixels and cells."""
    height, width = inside.shape
    values = np.zeros(inside.shape)
    open_ = {(y, x) for y in range(height) for x in range(width) if inside[y, x]}
    candidates, judged, left, coarse, calls = len(open_), 0, 0, 0, []
    for level, stride in enumerate(strides):
        cells = {}
        for y, x in sorted(open_):
            cells.setdefault((y // stride, x // stride), []).append((y, x))
        # The strongest pixel of a cell; of equals the first along rows
        best = {cell: max(of, key=lambda p: strength[p]) for cell, of in cells.items()}
        ranked = sorted(cells, key=lambda cell: (-float(strength[best[cell]]), cell))
        room = len(ranked) if most == 0 else max(0, most - judged)
        taken, rest = ranked[:room], ranked[room:]
        missed = sum(len(cells[cell]) for cell in rest)
        left, coarse = (missed, coarse) if level == 0 else (left, coarse + missed)
        if taken:
            calls.append({best[cell] for cell in taken})
        judged += len(taken)
        open_ = set()
        for cell in taken:
            for pixel in cells[cell]:
                values[pixel] = truth[best[cell]]
                if truth[best[cell]] >= np.float32(above):
                    open_.add(pixel)
    return values, Cost(candidates, judged, left, coarse), calls


@pytest.mark.parametrize("strides", [(1,), (4,), (4, 1), (3, 2), (5, 3, 1), (100,)])
@pytest.mark.parametrize("most", [0, 1, 17, 60, 10_000])
@pytest.mark.parametrize(("seed", "levels"), [(0, 0), (1, 3)])
def test_agrees_with_the_oracle(strides, most, seed, levels):
    strength, inside, truth = scene(seed, levels=levels)
    score = Scorer(truth)
    values, cost = refined(strength, inside, score, strides=strides, above=ABOVE, most=most)
    wanted, wanted_cost, calls = oracle(strength, inside, truth, strides, ABOVE, most)
    np.testing.assert_array_equal(values, wanted)
    assert values.dtype == np.float32
    assert cost == wanted_cost
    assert [set(call) for call in score.calls] == calls
    # Nothing outside the candidates, and no patch around another pixel
    assert not values[~inside].any()
    assert all(inside[pixel] for call in score.calls for pixel in call)
    assert sum(map(len, score.calls)) == cost.patches
    assert most == 0 or cost.patches <= most


def test_a_stride_of_one_is_the_network_at_every_candidate():
    strength, inside, truth = scene()
    score = Scorer(truth)
    values, cost = refined(strength, inside, score)
    np.testing.assert_array_equal(values, np.where(inside, truth, 0))
    assert len(score.calls) == 1
    assert cost == Cost(candidates=int(inside.sum()), patches=int(inside.sum()), left=0)


def test_the_cap_takes_the_strongest_first():
    strength, inside, truth = scene(share=0.5)
    truth = np.maximum(truth, 0.01)
    values, cost = refined(strength, inside, Scorer(truth), most=40)
    refused = strength[inside & (values == 0)]
    assert np.count_nonzero(values) == cost.patches == 40
    assert strength[values > 0].min() >= refused.max()
    assert cost.left == inside.sum() - 40


def test_the_cap_takes_the_strongest_first_in_finer_strides_too():
    """Not those of the largest coarser value."""
    strength = np.zeros((2, 4), np.float32)
    strength[0] = [0.9, 0.8, 0.7, 0.6]
    inside = strength > 0.5
    truth = np.full(strength.shape, 0.3, np.float32)
    truth[0] = [0.5, 0.6, 0.9, 0.7]  # coarse cells: 0.5 and 0.9
    score = Scorer(truth)
    values, cost = refined(strength, inside, score, strides=(2, 1), above=0.4, most=4)
    assert score.calls == [[(0, 0), (0, 2)], [(0, 0), (0, 1)]]
    np.testing.assert_array_equal(values[0], np.float32([0.5, 0.6, 0.9, 0.9]))
    assert cost == Cost(candidates=4, patches=4, left=0, coarse=2)


def test_what_a_cap_leaves_is_said_and_nothing_without():
    strength, inside, truth = scene()
    count = int(inside.sum())
    assert refined(strength, inside, Scorer(truth))[1].capped(0) == ""
    assert refined(strength, inside, Scorer(truth), most=count)[1].capped(count) == ""
    cost = refined(strength, inside, Scorer(truth), most=10)[1]
    assert cost.capped(10) == (
        f"{count - 10} of {count} candidates were left out (refine.most_patches=10)"
    )
    both = Cost(candidates=9, patches=4, left=3, coarse=2)
    assert both.capped(4) == (
        "3 of 9 candidates were left out and 2 keep the value of a coarser stride "
        "(refine.most_patches=4)"
    )


def test_without_candidates_nothing_is_asked():
    strength, _, truth = scene()
    score = Scorer(truth)
    for strides in ((1,), (4, 1)):
        nothing = np.zeros(SHAPE, bool)
        values, cost = refined(strength, nothing, score, strides=strides, most=5)
        assert not values.any() and cost == Cost(0, 0, 0)
    assert score.calls == []


@pytest.mark.parametrize("strides", [(4, 1), (8, 4, 2)])
def test_one_call_a_stride_and_none_where_all_is_below(strides):
    strength, inside, truth = scene()
    score = Scorer(truth)
    refined(strength, inside, score, strides=strides, above=0.0)
    assert len(score.calls) == len(strides)
    score = Scorer(truth * np.float32(0.1))
    values, _ = refined(strength, inside, score, strides=strides, above=0.5)
    assert len(score.calls) == 1
    assert values[inside].all()  # the value of the coarse stride stays


def test_cells_at_the_edges_are_not_those_of_the_next_row():
    """31 columns are no multiple of 4: the last cell of a row is a narrow one."""
    inside = np.zeros((8, 31), bool)
    strength = np.zeros((8, 31), np.float32)
    inside[0, 30] = inside[4, 0] = True
    strength[0, 30], strength[4, 0] = 0.9, 0.8
    truth = np.zeros((8, 31), np.float32)
    truth[0, 30], truth[4, 0] = 0.25, 0.5
    values, cost = refined(strength, inside, Scorer(truth), strides=(4,))
    assert (values[0, 30], values[4, 0], cost.patches) == (0.25, 0.5, 2)


@pytest.mark.parametrize(
    "strides", [(), (1, 4), (2, 2), (4, 0), (-1,), (2.5,), (True,), ("4", "1")]
)
def test_strides_that_do_not_fall_are_refused(strides):
    strength, inside, truth = scene()
    with pytest.raises(ValueError, match="`strides` takes falling whole numbers of at least 1"):
        refined(strength, inside, Scorer(truth), strides=strides)


def test_shapes_and_types_that_do_not_fit_are_refused():
    strength, inside, truth = scene()
    with pytest.raises(ValueError, match="`inside` takes bool of shape"):
        refined(strength, inside[1:], Scorer(truth))
    with pytest.raises(ValueError, match="`inside` takes bool of shape"):
        refined(strength, inside.astype(np.uint8), Scorer(truth))
