"""Which patches a step sees: pure in (seed, step), a share of them on foreground."""

import numpy as np
import pytest

from segjax.data.volumes.sampling import PatchSampler

PATCH = (8, 8)


def volume(shape, places):
    labels = np.zeros(shape, np.uint8)
    for label, where in places.items():
        labels[where] = label
    return labels


CASES = [
    volume((3, 20, 24), {1: (0, 2, 3), 2: (2, slice(10, 14), slice(5, 9))}),
    volume((2, 6, 30), {1: (1, 5, 29)}),
    volume((4, 12, 12), {}),
]


@pytest.fixture(scope="module")
def sampler():
    return PatchSampler(CASES, patch=PATCH, foreground=0.33)


def draws(sampler, count, batch=12):
    for step in range(count):
        choice = sampler.draw(3, step, batch)
        for slot in range(batch):
            yield slot, choice.case[slot], choice.slice[slot], choice.corner[slot]


def test_a_step_is_the_same_whoever_asks(sampler):
    again = PatchSampler(CASES, patch=PATCH, foreground=0.33)
    for seed, step in ((0, 0), (0, 7), (5, 7)):
        one, two = sampler.draw(seed, step, 9), again.draw(seed, step, 9)
        for name in ("case", "slice", "corner"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    corners = [sampler.draw(seed, step, 9).corner for seed, step in ((0, 0), (0, 1), (1, 0))]
    assert not np.array_equal(corners[0], corners[1])
    assert not np.array_equal(corners[0], corners[2])


def test_patches_lie_inside_or_hold_the_slice_in_their_middle(sampler):
    for _, case, index, corner in draws(sampler, 100):
        depth, *sides = CASES[case].shape
        assert 0 <= index < depth
        for start, side, patch in zip(corner, sides, PATCH, strict=True):
            if side >= patch:
                assert 0 <= start <= side - patch
            else:
                assert start == -((patch - side) // 2)


def test_the_last_third_of_a_batch_shows_foreground(sampler):
    # round(12 x 0.67) = 8: the slots 8 to 11 are on foreground wherever a case has any.
    shown = {True: [], False: []}
    for slot, case, index, corner in draws(sampler, 200):
        labels = CASES[case]
        if not labels.any():
            continue
        y, x = np.maximum(corner, 0)
        seen = labels[index, y : y + PATCH[0], x : x + PATCH[1]].any()
        shown[slot >= 8].append(seen)
    assert all(shown[True]) and len(shown[True]) > 300
    assert 0.05 < np.mean(shown[False]) < 0.5


def test_cases_classes_and_slices_are_drawn_evenly(sampler):
    cases, classes = [], []
    for slot, case, index, _ in draws(sampler, 400):
        cases.append(case)
        if slot >= 8 and case == 0:
            classes.append({0: 1, 2: 2}[int(index)])  # its class 1 is on slice 0, class 2 on 2
    np.testing.assert_allclose(np.bincount(cases) / len(cases), 1 / 3, atol=0.03)
    assert np.mean(np.array(classes) == 1) == pytest.approx(0.5, abs=0.06)


def test_positions_reach_the_whole_class():
    labels = np.zeros((40, 30, 30), np.uint8)
    labels[:] = 1  # more voxels than are kept
    sampler = PatchSampler([labels], patch=PATCH, foreground=1.0)
    choice = sampler.draw(0, 0, 2000)
    assert set(choice.slice) == set(range(40))
    assert choice.corner.min() == 0 and choice.corner.max() == 22


def test_patches_are_placed_where_something_is_known():
    labels = np.full((6, 40, 40), 255, np.uint8)
    labels[2, 8:12, 20:24] = 0  # a scribble of background
    labels[4, 30, 5:9] = 1
    plain = volume((6, 40, 40), {1: (4, 30, slice(5, 9))})
    sampler = PatchSampler([labels], patch=PATCH, foreground=0.5)
    assert sampler.ignores and not PatchSampler([plain], patch=PATCH).ignores
    slices = {True: [], False: []}
    for step in range(60):
        choice = sampler.draw(1, step, 8)
        for slot, (index, (y, x)) in enumerate(zip(choice.slice, choice.corner, strict=True)):
            patch = labels[index, y : y + 8, x : x + 8]
            assert (patch != 255).any()
            if slot >= 4:  # the half that is on foreground, which 255 is not
                assert (patch == 1).any()
            slices[slot >= 4].append(int(index))
    assert {*slices[True]} == {4} and {*slices[False]} == {2, 4}


def test_a_case_of_which_nothing_is_known_is_drawn_anywhere():
    sampler = PatchSampler([np.full((3, 20, 20), 255, np.uint8)], patch=PATCH, foreground=1.0)
    assert sampler.ignores
    assert {*sampler.draw(0, 0, 200).slice.tolist()} == {0, 1, 2}


def test_no_foreground_asked_for():
    sampler = PatchSampler(CASES[:1], patch=PATCH, foreground=0.0)
    choice = sampler.draw(0, 0, 300)
    assert set(choice.slice) == {0, 1, 2}
