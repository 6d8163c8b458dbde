import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import scanline


def interpolated(line, positions):
    """The line at fractional positions, by NumPy in float64."""
    return np.interp(positions, np.arange(len(line)), line.astype(np.float64))


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("reach", [1, 3, 4, 9])
def test_every_line_is_read_at_its_offset(axis, reach):
    generator = np.random.default_rng(reach)
    size, lines = 12, 7
    shape = [2, lines, lines]
    shape[axis] = size + scanline.margin(reach)
    planes = generator.normal(size=shape).astype(np.float32)
    offsets = generator.uniform(-reach, reach, lines).astype(np.float32)
    offsets[:3] = -reach, 0, reach  # whole pixels, and both ends
    got = jax.jit(scanline.shear, static_argnums=2, static_argnames="axis")(
        jnp.asarray(planes), jnp.asarray(offsets), reach, axis=axis
    )
    want = np.moveaxis(np.zeros((2, lines, size)), 2, axis)
    for plane in range(2):
        for line in range(lines):
            index = (plane, line) if axis == 2 else (plane, slice(None), line)
            positions = np.arange(size) + reach + np.float64(offsets[line])
            want[index] = interpolated(planes[index], positions)
    np.testing.assert_allclose(got, want, atol=3e-6)


def test_offsets_are_held_to_the_reach():
    planes = jnp.arange(2.0 * 12).reshape(1, 2, 12)
    far = scanline.shear(planes, jnp.array([-50.0, 50.0]), 2, axis=2)
    near = scanline.shear(planes, jnp.array([-2.0, 2.0]), 2, axis=2)
    np.testing.assert_array_equal(far, near)


def test_without_reach_nothing_moves():
    planes = jnp.ones((1, 2, 3))
    assert scanline.margin(0) == 0
    assert scanline.shear(planes, jnp.ones(2), 0, axis=2) is planes


def test_products_scale_one_axis_each():
    generator = np.random.default_rng(0)
    planes = generator.normal(size=(2, 3, 4)).astype(np.float32)
    wide, high = (generator.normal(size=(5, n)).astype(np.float32) for n in (4, 3))
    np.testing.assert_allclose(scanline.scale_columns(planes, wide), planes @ wide.T, atol=1e-5)
    np.testing.assert_allclose(scanline.scale_rows(planes, high), high @ planes, atol=1e-5)
