"""Resident and streamed patches are the same, and are what lies at their place in the volume."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.data.pipeline import gather
from segjax.data.volumes.patches import (
    ResidentPatches,
    StreamedPatches,
    cut_region,
    margins,
)
from segjax.data.volumes.sampling import PatchSampler

PATCH = (8, 6)
SHAPES = ((3, 20, 24), (2, 5, 30), (4, 12, 4))


@pytest.fixture(scope="module")
def cases():
    generator = np.random.default_rng(0)
    return [
        {
            "image": generator.normal(size=(*shape, 2)).astype(np.float32),
            "labels": generator.integers(0, 3, shape).astype(np.uint8),
        }
        for shape in SHAPES
    ]


@pytest.fixture(scope="module")
def sampler(cases):
    return PatchSampler([case["labels"] for case in cases], patch=PATCH)


def regions(split, region, start, count):
    batches = itertools.islice(split.train_batches(4, start, 6, slice(0, 6)), count)
    for batch in batches:
        fields = gather(split.arrays, batch)
        if (corner := fields.pop("corner", None)) is not None:
            cut = {"patch": PATCH, "region": region}
            fields = {k: cut_region(jnp.asarray(v), corner, **cut) for k, v in fields.items()}
        yield {name: np.asarray(array) for name, array in fields.items()}


@pytest.mark.parametrize("region", [PATCH, (12, 12), (9, 7)])
def test_both_forms_give_the_same_regions(cases, sampler, region):
    resident = ResidentPatches(cases, sampler, examples=60)
    streamed = StreamedPatches(cases, sampler, region=region, examples=60)
    pairs = zip(regions(resident, region, 3, 3), regions(streamed, region, 3, 3), strict=True)
    for one, two in pairs:
        assert set(one) == set(two) == {"image", "labels"}
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])


def test_a_patch_is_what_lies_at_its_corner(cases, sampler):
    resident = ResidentPatches(cases, sampler, examples=60)
    for step, fields in enumerate(regions(resident, PATCH, 0, 5)):
        choice = sampler.draw(4, step, 6)
        for slot in range(6):
            labels = cases[choice.case[slot]]["labels"][choice.slice[slot]]
            padded = np.pad(labels, 8)  # as far as a patch may reach beyond a slice
            y, x = choice.corner[slot] + 8
            wanted = padded[y : y + PATCH[0], x : x + PATCH[1]]
            np.testing.assert_array_equal(fields["labels"][slot], wanted)


def test_a_region_has_its_patch_in_the_middle():
    field = np.arange(15 * 15).reshape(1, 15, 15)
    corner = np.array([[4, 5]])
    region = (12, 11)
    found = np.asarray(cut_region(jnp.asarray(field), corner, patch=PATCH, region=region))[0]
    (top, bottom), (left, right) = margins(PATCH, region)
    assert (top, bottom, left, right) == (2, 2, 2, 3)
    inner = found[top : top + PATCH[0], left : left + PATCH[1]]
    np.testing.assert_array_equal(inner, field[0, 4 : 4 + PATCH[0], 5 : 5 + PATCH[1]])


def test_shares_of_processes_make_up_the_batch(cases, sampler):
    split = ResidentPatches(cases, sampler, examples=60)
    whole = next(split.train_batches(0, 2, 6, slice(0, 6)))
    parts = [next(split.train_batches(0, 2, 6, slice(k, k + 3))) for k in (0, 3)]
    for name in whole:
        np.testing.assert_array_equal(whole[name], np.concatenate([p[name] for p in parts]))


def test_cutting_works_inside_jit_over_devices():
    field = jnp.arange(8 * 10 * 10, dtype=jnp.float32).reshape(8, 10, 10, 1)
    corner = jnp.tile(jnp.array([[1, 2]]), (8, 1))
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("data",))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))

    def cut(field, corner):
        return cut_region(field, corner, patch=PATCH, region=(10, 8))

    spread = jax.jit(cut)(jax.device_put(field, split), jax.device_put(corner, split))
    np.testing.assert_array_equal(spread, cut(field, corner))
