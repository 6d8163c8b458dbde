import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.explore import parameters
from segjax.explore.curvature import Spectrum, hessian_product, leading_eigenvalues
from segjax.ops.convolution import conv2d
from tests.explore.figures import pixels_of

KEY = jax.random.key(0, impl="rbg")


def params_of(rng):
    return {
        "conv": jnp.float32(rng.standard_normal((3, 3, 2, 4))),
        "dense": jnp.float32(10 * rng.standard_normal((5, 3))),
        "bias": jnp.float32(rng.standard_normal(4)),
    }


def test_directions_have_the_lengths_of_the_filters():
    params = params_of(np.random.default_rng(0))
    params["dense"] = params["dense"].at[:, 1].set(0)
    direction = jax.jit(parameters.random_direction)(KEY, params)
    for name in ("conv", "dense"):
        drawn, own = (
            np.asarray(x[name]).reshape(-1, x[name].shape[-1]) for x in (direction, params)
        )
        np.testing.assert_allclose(
            np.linalg.norm(drawn, axis=0), np.linalg.norm(own, axis=0), rtol=1e-5
        )
        cosine = (drawn * own).sum() / np.linalg.norm(own) ** 2
        assert abs(cosine) < 0.5
    assert not direction["bias"].any() and not direction["dense"][:, 1].any()
    other = parameters.random_direction(jax.random.key(1, impl="rbg"), params)
    assert np.abs(np.asarray(other["conv"] - direction["conv"])).min() > 0


def test_lines_and_planes_of_a_quadratic():
    rng = np.random.default_rng(1)
    params, one, two = (params_of(rng) for _ in range(3))

    def loss(p):
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(p))

    def flat(p):
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(p)]).astype(np.float64)

    first, second = (-1.0, 0.0, 0.5), (0.0, 2.0)
    plane = parameters.along_plane(loss, params, (one, two), first, second)
    wanted = [
        [np.sum((flat(params) + a * flat(one) + b * flat(two)) ** 2) for a in first] for b in second
    ]
    np.testing.assert_allclose(plane, wanted, rtol=1e-5)
    np.testing.assert_allclose(parameters.along_line(loss, params, one, first), plane[0], rtol=1e-6)


def quadratic(eigenvalues, seed=0):
    """A loss of a two-leaf pytree whose Hessian has these eigenvalues, and a point."""
    size = len(eigenvalues)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))
    hessian = jnp.float32((turn * np.asarray(eigenvalues)) @ turn.T)

    def loss(params):
        flat = jnp.concatenate([params["a"].ravel(), params["b"]])
        return jnp.vdot(flat, hessian @ flat) / 2 + jnp.sum(flat)

    return loss, {"a": jnp.ones((2, 3)), "b": jnp.full(size - 6, 0.5)}, hessian


def test_the_product_is_with_the_hessian():
    loss, params, hessian = quadratic(np.linspace(-1, 3, 15))
    tangent = {"a": jnp.arange(6.0).reshape(2, 3), "b": jnp.linspace(-1, 1, 9)}
    product = hessian_product(loss, params, tangent)
    flat = np.concatenate([np.ravel(tangent["a"]), tangent["b"]])
    found = np.concatenate([np.ravel(product["a"]), product["b"]])
    np.testing.assert_allclose(found, np.asarray(hessian) @ flat, atol=1e-4)


@pytest.mark.parametrize(
    "eigenvalues, wanted",
    [
        # Well apart, of both signs, above a bulk.
        ([9, -7, 5, 3, *np.linspace(-1, 1, 36)], [9, -7, 5, 3]),
        # One far outlier: without orthogonalisation it comes back as a ghost.
        ([1000, 4, 3, 2, *np.linspace(-1, 1, 36)], [1000, 4, 3, 2]),
        # An eigenvalue counts once, however often it occurs.
        ([6, 6, 6, -2, *[1] * 20], [6, -2, 1]),
        ([5, *[0] * 19], [5, 0]),
    ],
)
def test_known_spectra(eigenvalues, wanted):
    loss, params, _ = quadratic(eigenvalues)
    spectrum = leading_eigenvalues(loss, params, KEY, count=4, iterations=34)
    found = spectrum.eigenvalues[: len(wanted)]
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(found, wanted, atol=2e-5 * scale)
    # What comes beyond the different eigenvalues is one of them again, or rounding.
    for extra in spectrum.eigenvalues[len(wanted) :]:
        assert np.abs(extra - np.asarray(eigenvalues)).min() < 2e-5 * scale
    assert (spectrum.residuals < 1e-3 * scale).all()


def test_residuals_bound_the_error_of_an_unfinished_run():
    eigenvalues = np.linspace(-1, 1, 60)
    loss, params, _ = quadratic(eigenvalues)
    spectrum = leading_eigenvalues(loss, params, KEY, count=2, iterations=6)
    assert spectrum.iterations == 6 and spectrum.residuals.max() > 1e-3
    for value, residual in zip(spectrum.eigenvalues, spectrum.residuals, strict=True):
        assert np.abs(eigenvalues - value).min() <= residual + 1e-5


def test_a_flat_loss_and_small_problems():
    spectrum = leading_eigenvalues(lambda p: jnp.sum(p), jnp.ones(5), KEY)
    np.testing.assert_array_equal(spectrum.eigenvalues, [0])
    assert spectrum.iterations == 1
    spectrum = leading_eigenvalues(lambda p: jnp.sum(p**2), jnp.ones(1), KEY)
    np.testing.assert_allclose(spectrum.eigenvalues, [2], rtol=1e-5)


def test_a_convolutional_network_against_the_dense_hessian():
    rng = np.random.default_rng(2)
    image = jnp.float32(rng.standard_normal((1, 6, 6, 1)))
    params = [jnp.float32(rng.standard_normal(s)) for s in ((3, 3, 1, 2), (3, 3, 2, 1))]

    def loss(params):
        return jnp.mean((conv2d(jnp.tanh(conv2d(image, params[0])), params[1]) - 1) ** 2)

    flat, back = jax.flatten_util.ravel_pytree(params)
    dense = np.asarray(jax.hessian(lambda x: loss(back(x)))(flat), np.float64)
    values = np.linalg.eigvalsh((dense + dense.T) / 2)
    wanted = values[np.argsort(-np.abs(values))][:5]
    found = leading_eigenvalues(loss, params, KEY, count=5, iterations=40)
    np.testing.assert_allclose(found.eigenvalues, wanted, rtol=1e-3, atol=1e-4 * abs(wanted[0]))


@pytest.mark.parametrize(
    "options, word", [({"count": 0}, "`count`"), ({"count": 5, "iterations": 4}, "`iterations`")]
)
def test_numbers_that_cannot_be(options, word):
    with pytest.raises(ValueError, match=word):
        leading_eigenvalues(lambda p: jnp.sum(p**2), jnp.ones(9), KEY, **options)


def test_looking_around_and_the_figure():
    params = params_of(np.random.default_rng(3))
    spectrum = Spectrum(np.array([3.0, -1.0]), np.array([0.1, 0.2]), 9)

    def loss(p):
        return jnp.sum(p["conv"] ** 2) + 1e-3

    around = parameters.loss_landscape(
        loss, params, KEY, points=5, plane_points=3, spectrum=spectrum
    )
    assert around.lines.shape == (2, 5) and around.plane.shape == (3, 3)
    np.testing.assert_allclose(around.lines[:, 2], loss(params), rtol=1e-6)
    np.testing.assert_allclose(around.plane[1, 1], loss(params), rtol=1e-6)
    np.testing.assert_allclose(around.plane[1], around.lines[0, ::2], rtol=1e-6)
    np.testing.assert_allclose(around.plane[:, 1], around.lines[1, ::2], rtol=1e-6)
    figure = parameters.landscape_figure(around, "a title")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["along two directions", "over both"] and "Hessian" in titles[2]
    assert pixels_of(figure).std() > 10
    bare = parameters.loss_landscape(loss, params, KEY, points=3, plane_points=0)
    assert len(parameters.landscape_figure(bare).axes) == 1 and bare.plane is None
