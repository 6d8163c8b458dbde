"""Patches from the device and from the host are the same; beyond a photograph lie its borders."""

import jax
import numpy as np
import pytest

from segjax.data.patches.centres import centres
from segjax.data.patches.photographs import Photograph
from segjax.data.patches.sampling import Choice, PatchSampler
from segjax.data.patches.source import PatchSource, SelectivePatchSource, taken
from segjax.data.pipeline import is_stateless


def photograph(name, height, width, seed, is_healthy=False):
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    labels = np.zeros((height, width), np.uint8)
    if not is_healthy:
        labels[generator.integers(height, size=5), generator.integers(width, size=5)] = 1
    return Photograph(name, image, labels, np.ones_like(labels), labels, is_healthy)


PHOTOGRAPHS = [photograph("a", 30, 40, 0), photograph("b", 25, 44, 1, True)]


def made(resident, region=(9, 7), triplets=False, **options):
    lesions = centres([p.labels for p in PHOTOGRAPHS])
    healthy = centres([p.field * p.is_healthy for p in PHOTOGRAPHS])
    sampler = PatchSampler(lesions, healthy, **options)

    def draw(seed, step, batch_size):
        first, second = sampler.draw(seed, step, batch_size, batch_size)
        parts = [first, second]
        if triplets:
            photographs = np.stack([p.photograph for p in parts], axis=1)
            return Choice(photographs, np.stack([p.centre for p in parts], axis=1))
        return second if options else first

    shared = {"region": region, "examples": 10, "resident": resident}
    names = ("image", "labels")
    if options:
        return SelectivePatchSource(PHOTOGRAPHS, names, draw, sampler=sampler, seed=3, **shared)
    return PatchSource(PHOTOGRAPHS, names, draw, **shared)


def fields(source, step=0, size=6, rows=slice(None)):
    batch = next(source.train_batches(3, step, size, rows))
    return jax.device_get(jax.jit(taken)(source.arrays, batch)), batch


@pytest.mark.parametrize("triplets", [False, True])
@pytest.mark.parametrize("region", [(9, 7), (8, 6), (61, 3)])
def test_resident_and_streamed_patches_are_the_same(region, triplets):
    for step in (0, 4):
        one, _ = fields(made(True, region, triplets), step)
        other, _ = fields(made(False, region, triplets), step)
        assert one.keys() == other.keys() == {"image", "labels"}
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
        assert one["image"].shape == (6, *([2] if triplets else []), *region, 3)


def test_the_middle_of_a_patch_is_the_pixel_that_was_drawn():
    source = made(True, triplets=True)
    found, batch = fields(source)
    for example in range(6):
        for place in range(2):
            index, (y, x) = batch["index"][example, place], batch["corner"][example, place]
            middle = found["image"][example, place, 4, 3]
            np.testing.assert_array_equal(middle, PHOTOGRAPHS[index].image[y, x])
    assert found["labels"][:, 0, 4, 3].all() and not found["labels"][:, 1].any()


def test_beyond_a_photograph_lie_its_border_pixels_and_no_lesion():
    labels = np.ones((5, 6), np.uint8)
    image = np.arange(90, dtype=np.uint8).reshape(5, 6, 3)
    bare = Photograph("a", image, labels, labels, labels, False)
    corner = Choice(np.array([0]), np.array([[0, 0]]))
    source = PatchSource(
        [bare], ("image", "labels"), lambda *_: corner, region=(5, 5), examples=1, resident=True
    )
    found, _ = fields(source, size=1)
    wanted = np.pad(image, [(2, 2), (2, 2), (0, 0)], mode="edge")[:5, :5]
    np.testing.assert_array_equal(found["image"][0], wanted)
    np.testing.assert_array_equal(found["labels"][0], np.pad(labels, 2)[:5, :5])


def test_a_process_has_its_rows_of_the_whole_batch():
    whole, _ = fields(made(True))
    for rows in (slice(0, 3), slice(3, 6)):
        for resident in (True, False):
            own, batch = fields(made(resident), rows=rows)
            np.testing.assert_array_equal(own["image"], whole["image"][rows])
            assert batch["slot"].tolist() == list(range(6))[rows]


def test_a_batch_is_a_function_of_its_step():
    batches = made(True).train_batches(3, 0, 6, slice(None))
    first, second = next(batches), next(batches)
    again = next(made(True).train_batches(3, 1, 6, slice(None)))
    np.testing.assert_array_equal(second["corner"], again["corner"])
    assert not np.array_equal(first["corner"], second["corner"])


def test_scores_change_the_draws_from_the_step_at_which_they_were_made():
    def score(state, photograph, centre):
        return np.where(centre[:, 1] == state, 1.0, 0.0)

    options = {"period": 5, "pool": 25 * 44, "score": score}
    source = made(True, triplets=True, **options)
    assert not is_stateless(source) and is_stateless(made(True))
    drawn = []
    batches = source.train_batches(3, 0, 40, slice(None))
    for step in range(10):
        source.before_step(step, 7)
        drawn.append(next(batches)["corner"][:, 1, 1])
    assert len(np.unique(np.concatenate(drawn[:5]))) > 20
    # The weight of all others together is a thousandth of theirs
    assert np.mean(np.concatenate(drawn[5:]) == 7) > 0.9
    resumed = made(True, triplets=True, **options)
    resumed.remember(source.remembered())
    again = next(resumed.train_batches(3, 8, 40, slice(None)))["corner"][:, 1, 1]
    np.testing.assert_array_equal(again, drawn[8])
