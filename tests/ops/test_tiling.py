import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops.pooling import max_pool
from segjax.ops.tiling import (
    gaussian_weights,
    mirrored,
    predict_slices,
    shared_pixels,
    tile_starts,
    tiled,
)


def slices(number, height, width, channels=2, seed=0):
    values = np.random.default_rng(seed).normal(size=(number, height, width, channels))
    return values.astype(np.float32)


class Network:
    """Counts its calls and notes the shapes; by default it returns its input."""

    def __init__(self, function=lambda x: x):
        self.function, self.shapes = function, []

    def __call__(self, batch):
        self.shapes.append(batch.shape)
        assert batch.dtype == np.float32
        return self.function(batch)


@pytest.mark.parametrize(
    "size, patch, step, wanted",
    [
        (110, 32, 0.5, [0, 16, 31, 47, 62, 78]),
        (32, 32, 0.5, [0]),
        (33, 32, 0.5, [0, 1]),
        (96, 32, 1.0, [0, 32, 64]),
        (97, 32, 1.0, [0, 22, 43, 65]),
        (7, 1, 0.5, [0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5, 6, 6]),
    ],
)
def test_tiles_start_where_nnunet_starts_them(size, patch, step, wanted):
    assert tile_starts(size, patch, step) == wanted


@pytest.mark.parametrize("patch", [1, 5, 8, 31])
@pytest.mark.parametrize("step", [0.3, 0.5, 1.0])
def test_tiles_cover_everything_and_no_gap_is_wider_than_the_step(patch, step):
    for size in range(patch, 4 * patch + 2):
        starts = tile_starts(size, patch, step)
        assert starts[0] == 0 and starts[-1] == size - patch
        gaps = np.diff(starts)
        # Rounding the starts moves each by at most half a pixel.
        assert np.all(gaps >= 0) and np.all(gaps <= patch * step + 1)
        assert len(starts) == 1 or len(starts) - 2 < (size - patch) / (patch * step)


@pytest.mark.parametrize("patch", [(32, 32), (7, 12), (64, 20), (1, 1)])
def test_the_weights_are_those_of_a_gaussian(patch):
    weights = gaussian_weights(patch)
    axes = [np.arange(side) - side // 2 for side in patch]
    squares = [(axis / (side / 8)) ** 2 for axis, side in zip(axes, patch, strict=True)]
    wanted = np.exp(-0.5 * (squares[0][:, None] + squares[1][None, :]))
    assert weights.shape == patch and weights.dtype == np.float32
    assert weights.max() == 1 == weights[patch[0] // 2, patch[1] // 2] and weights.min() > 0
    np.testing.assert_allclose(weights, wanted, rtol=1e-5)


def slow_oracle(image, patch, step, function):
    """The published rule, in float64, tile by tile and pixel by pixel."""
    sides = [max(a, b) for a, b in zip(image.shape, patch, strict=False)]
    before = [(side - size) // 2 for side, size in zip(sides, image.shape, strict=False)]
    padded = np.zeros((*sides, image.shape[-1]))
    inner = tuple(slice(b, b + s) for b, s in zip(before, image.shape, strict=False))
    padded[inner] = image
    y, x = np.meshgrid(*[np.arange(p) for p in patch], indexing="ij")
    weights = np.exp(-32 * (((y - patch[0] // 2) / patch[0]) ** 2))
    weights *= np.exp(-32 * (((x - patch[1] // 2) / patch[1]) ** 2))
    starts = [tile_starts(side, p, step) for side, p in zip(sides, patch, strict=True)]
    above, below = 0, np.zeros((*sides, 1))
    for top, left in itertools.product(*starts):
        tile = function(padded[top : top + patch[0], left : left + patch[1]])
        placed = np.zeros((*sides, tile.shape[-1]))
        for i, j in itertools.product(*map(range, patch)):
            placed[top + i, left + j] = weights[i, j] * tile[i, j]
            below[top + i, left + j] += weights[i, j]
        above = above + placed
    return (above / below)[inner]


def place_dependent(tile):
    """Says something else of a pixel wherever it lies in the tile; three channels from two."""
    ramp = np.arange(tile.shape[-3], dtype=tile.dtype)[:, None]
    first, second = tile[..., 0] * ramp, tile[..., 1] + ramp
    return np.stack([first, second, first - 2 * second], axis=-1)


@pytest.mark.parametrize("height, width", [(20, 27), (8, 12), (5, 30), (3, 5), (8, 13)])
@pytest.mark.parametrize("step", [0.5, 0.8])
def test_blending_equals_the_slow_rule(height, width, step):
    given = slices(3, height, width)
    network = Network(place_dependent)
    got = predict_slices(given, network, patch=(8, 12), batch_size=4, step=step)
    assert got.shape == (3, height, width, 3) and got.dtype == np.float32
    for image, predicted in zip(given, got, strict=True):
        wanted = slow_oracle(image.astype(np.float64), (8, 12), step, place_dependent)
        np.testing.assert_allclose(predicted, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("height, width", [(50, 41), (16, 16), (16, 40), (9, 7)])
def test_identity_returns_the_slices_and_a_constant_stays_one(height, width):
    given = slices(4, height, width)
    got = predict_slices(given, Network(), patch=(16, 16), batch_size=3)
    np.testing.assert_allclose(got, given, rtol=1e-5, atol=1e-6)
    constant = Network(lambda x: np.full((*x.shape[:3], 3), [0.2, 0.5, 0.3], np.float32))
    got = predict_slices(given, constant, patch=(16, 16), batch_size=3)
    np.testing.assert_allclose(got, np.broadcast_to([0.2, 0.5, 0.3], got.shape), rtol=1e-5)


def test_a_single_tile_is_taken_as_it_comes():
    given = slices(3, 16, 24)
    got = predict_slices(given, Network(), patch=(16, 24), batch_size=2)
    np.testing.assert_array_equal(got, given)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 100])
def test_every_batch_has_the_same_shape_and_no_more_batches_than_needed_are_asked(batch_size):
    given, finished = slices(5, 20, 30), []
    network = Network(lambda x: jnp.asarray(x) * 2)
    got = predict_slices(
        given, network, patch=(16, 16), batch_size=batch_size, progress=finished.append
    )
    tiles = 5 * 2 * 3
    assert network.shapes == [(batch_size, 16, 16, 2)] * -(-tiles // batch_size)
    assert finished == [1] * 5
    np.testing.assert_allclose(got, 2 * given, rtol=1e-5, atol=1e-6)


def test_any_real_dtype_of_slices_is_taken():
    given = np.arange(2 * 6 * 6, dtype=np.int16).reshape(2, 6, 6, 1)
    got = predict_slices(given, Network(), patch=(4, 4), batch_size=2)
    np.testing.assert_allclose(got, given, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axes", [(1, 2), (2,), (), (1, 2, 3)])
def test_mirrored_is_the_mean_over_flips(axes):
    generator = np.random.default_rng(0)
    kernel = generator.normal(size=(2, 4, 5, 3)).astype(np.float32)
    x = generator.normal(size=(2, 4, 5, 3)).astype(np.float32)

    def network(x):
        return jax.nn.softmax(jnp.cumsum(x * kernel, axis=1))

    got = jax.jit(mirrored(network, axes))(x)
    wanted, count = np.zeros(x.shape), 0
    for chosen in itertools.product([1, -1], repeat=3):
        turned = tuple(axis for axis, way in zip((1, 2, 3), chosen, strict=True) if way < 0)
        if set(turned) <= set(axes):
            wanted += np.flip(np.asarray(network(np.flip(x, turned))), turned)
            count += 1
    assert count == 2 ** len(axes)
    np.testing.assert_allclose(got, wanted / count, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "change, name",
    [
        ({"slices": np.zeros((3, 8, 8))}, "slices"),
        ({"slices": np.zeros((0, 8, 8, 1))}, "slices"),
        ({"batch_size": 0}, "batch_size"),
        ({"step": 0.0}, "step"),
        ({"step": 1.5}, "step"),
        ({"patch": (0, 4)}, "patch"),
        ({"apply": lambda x: x[:, :2]}, "apply"),
        ({"apply": lambda x: x[..., 0]}, "apply"),
    ],
)
def test_errors_name_what_is_wrong(change, name):
    given = {"slices": slices(2, 8, 8), "apply": Network(), "patch": (4, 4), "batch_size": 2}
    with pytest.raises(ValueError, match=f"`{name}`"):
        predict_slices(**(given | change))


def test_an_image_smaller_than_the_patch_has_no_tiles():
    with pytest.raises(ValueError, match="`patch`"):
        tile_starts(7, 8)


@pytest.mark.parametrize("multiple", [2, 4, 16])
@pytest.mark.parametrize("step", [0.1, 0.5, 0.75, 1.0])
def test_starts_are_multiples_that_leave_no_gap(multiple, step):
    for patch in (multiple, 3 * multiple, 8 * multiple):
        for size in range(patch, 5 * patch + 1, multiple):
            starts = np.array(tile_starts(size, patch, step, multiple=multiple))
            assert starts[0] == 0 and starts[-1] == size - patch
            assert not np.any(starts % multiple)
            gaps = np.diff(starts)
            assert np.all(gaps >= 0) and np.all(gaps <= max(multiple, patch * step))


def test_one_is_a_multiple_that_changes_nothing():
    assert tile_starts(110, 32, 0.5, multiple=1) == tile_starts(110, 32, 0.5)


@pytest.mark.parametrize(
    "size, patch, multiple, word",
    [
        (100, 32, 16, "divisor of 100 and 32, got 16"),
        (96, 40, 16, "divisor of 96 and 40"),
        (96, 32, 0, "whole number of at least 1"),
        (96, 32, 2.0, "whole number of at least 1"),
    ],
)
def test_other_multiples_are_refused(size, patch, multiple, word):
    with pytest.raises(ValueError, match=f"`multiple` takes .*{word}"):
        tile_starts(size, patch, multiple=multiple)
    if "divisor" not in word:
        with pytest.raises(ValueError, match=f"`multiple` takes .*{word}"):
            shared_pixels(patch, multiple=multiple)


@pytest.mark.parametrize("patch, multiple", [(7, 1), (8, 1), (33, 1), (8, 4), (48, 16), (64, 16)])
@pytest.mark.parametrize("step", [0.2, 0.5, 0.7, 0.75, 1.0])
def test_neighbours_share_what_is_promised_and_some_no_more(patch, multiple, step):
    least = patch
    for size in range(patch + multiple, 12 * patch, multiple):
        starts = tile_starts(size, patch, step, multiple=multiple)
        least = min(least, patch - max(b - a for a, b in itertools.pairwise(starts)))
    assert least == shared_pixels(patch, step, multiple=multiple)


def test_what_neighbours_share_is_of_whole_patches():
    with pytest.raises(ValueError, match="divisor of 40, got 16"):
        shared_pixels(40, multiple=16)
    with pytest.raises(ValueError, match="`step`"):
        shared_pixels(40, 0.0)


REACH = 10  # pixels: how far `pooled` looks, by its three convolutions and its pooled cells


def pooled(tiles, kernels):
    """A network with two streams, of which one is max-pooled by two and again, to four."""

    def convolved(x, kernel):
        dimensions = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=dimensions)
        return jnp.tanh(y)

    fine = convolved(tiles, kernels[0])
    half = convolved(max_pool(fine, window=2), kernels[1])
    quarter = convolved(max_pool(half, window=2), kernels[2])
    wide = jnp.repeat(jnp.repeat(quarter, 4, axis=1), 4, axis=2)
    return fine + wide


@pytest.fixture(scope="module")
def network():
    generator = np.random.default_rng(5)
    shapes = [(3, 3, 2, 3), (3, 3, 3, 3), (3, 3, 3, 3)]
    kernels = [generator.normal(0, 0.5, shape).astype(np.float32) for shape in shapes]
    return jax.jit(lambda tiles: pooled(tiles, kernels))


@pytest.mark.parametrize("size", [(100, 76), (48, 132), (52, 48)])
def test_with_a_margin_and_multiples_tiles_are_the_whole_image_everywhere(network, size):
    given = slices(2, *size)
    whole = np.asarray(network(given))
    options = {"patch": (48, 48), "batch_size": 3}
    exact = predict_slices(given, network, margin=REACH, multiple=4, **options)
    np.testing.assert_allclose(exact, whole, atol=1e-5, rtol=0)
    # Both are needed, where tiles do not happen to begin at multiples of 4
    assert np.abs(predict_slices(given, network, multiple=4, **options) - whole).max() > 1e-2
    if any(start % 4 for side in size for start in tile_starts(side, 48)):
        apart = predict_slices(given, network, margin=REACH, **options)
        assert np.abs(apart - whole).max() > 1e-2


def test_a_margin_short_of_what_the_network_sees_is_felt(network):
    given = slices(1, 100, 76)
    options = {"patch": (48, 48), "batch_size": 3, "multiple": 4}
    short = predict_slices(given, network, margin=REACH - 6, **options)
    assert np.abs(short - np.asarray(network(given))).max() > 1e-4


@pytest.mark.parametrize("margin, most", [(13, 12), (24, 12), (-1, None), (1.0, None)])
def test_a_margin_that_leaves_pixels_to_nobody_is_refused(margin, most):
    word = "whole number" if most is None else f"at most {most}, half of what tiles share"
    with pytest.raises(ValueError, match=f"`margin` takes .*{word}.*got {margin}"):
        predict_slices(
            slices(1, 96, 48), Network(), patch=(48, 48), batch_size=1, margin=margin, multiple=4
        )


def test_any_margin_up_to_half_of_what_is_shared_counts_every_pixel():
    given = slices(1, 97, 61)
    for margin in range(1, shared_pixels(16, 0.5) // 2 + 1):
        got = predict_slices(given, Network(), patch=(16, 16), batch_size=4, margin=margin)
        np.testing.assert_allclose(got, given, rtol=1e-5, atol=1e-6)


def test_a_margin_asks_nothing_of_a_single_tile():
    given = slices(1, 10, 12)
    got = predict_slices(given, Network(), patch=(10, 16), batch_size=1, margin=9)
    np.testing.assert_array_equal(got, given)


def located(tiles):
    """What a network with a receptive field as large as its tile could give."""
    ramp = jnp.arange(tiles.shape[1], dtype=jnp.float32)[None, :, None, None]
    logits = jnp.cumsum(tiles, axis=2) * ramp
    return {
        "logits": logits,
        "auxiliary_logits": logits[..., :1].astype(jnp.bfloat16),
        "style": tiles.mean(axis=(1, 2)),
        "coarse": tiles[:, ::2, ::2],
        "deep_logits": (logits, logits[:, ::2]),
    }


@pytest.mark.parametrize(
    "size, patch", [((30, 41), (12, 16)), ((12, 40), (12, 16)), ((9, 9), (1, 4))]
)
@pytest.mark.parametrize("step", [0.5, 1.0])
def test_tiles_inside_a_program_are_those_on_the_host(size, patch, step):
    images = slices(3, *size)
    whole = jax.jit(tiled(located, patch=patch, step=step))(images)
    for name in ("logits", "auxiliary_logits"):

        def apply(tiles, name=name):
            return np.asarray(located(jnp.asarray(tiles))[name], np.float32)

        host = predict_slices(images, apply, patch=patch, batch_size=4, step=step)
        assert whole[name].dtype == jnp.float32
        np.testing.assert_allclose(whole[name], host, rtol=1e-5, atol=1e-5)


def test_what_belongs_to_a_tile_is_no_output_of_the_whole():
    assert set(tiled(located, patch=(8, 8))(slices(1, 12, 8))) == {"logits", "auxiliary_logits"}


def test_an_image_of_one_tile_is_given_as_it_is():
    images = slices(2, 8, 12)
    outputs = tiled(located, patch=(8, 12))(images)
    assert set(outputs) == set(located(images))
    np.testing.assert_array_equal(outputs["logits"], located(images)["logits"])


def test_the_gradient_goes_through_the_tiles():
    def loss(scale, images):
        whole = tiled(lambda tiles: {"logits": scale * tiles}, patch=(4, 4))(images)["logits"]
        return jnp.sum(whole**2)

    images = slices(1, 9, 7)
    gradient = jax.grad(loss)(jnp.float32(3), images)
    assert gradient == pytest.approx(6 * np.sum(images.astype(float) ** 2), rel=1e-5)


def test_an_image_smaller_than_its_tile_is_refused():
    with pytest.raises(ValueError, match="1 to 6 pixels, the size of the image, got 8"):
        tiled(located, patch=(8, 8))(slices(1, 6, 9))
