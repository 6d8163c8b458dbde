import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import losses
from segjax.models import GuidedClassifier
from segjax.models.guided import _cell_means, _max_pool
from tests.models.test_plain_unet import apply, image_of, random_variables, shapes_of
from tests.ops.test_dilated import by_loops as dilated_by_loops
from tests.ops.test_strided import by_loops

NARROW = {"features": (3, 4, 5, 6), "branch": 4}
TINY = {"features": (3, 4), "branch": 4, "rates": (1, 2)}


def by_layers(rates, features=(32, 64, 128, 256), units=1, branch=128, channels=3):
    """Parameters, added up from the list of layers."""

    def conv_norm(inputs, outputs):
        return 3 * 3 * inputs * outputs + 2 * outputs

    reductions = sum(map(conv_norm, (channels, *features[:-1]), features))
    residual = sum(units * 2 * conv_norm(width, width) for width in features[:-1])
    pyramid = len(rates) * conv_norm(sum(features), branch)
    return reductions + residual + pyramid + len(rates) * branch + 1


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 2_990_241),
        ({"rates": (1, 2, 4)}, 2_436_897),
        ({"rates": (1, 2), "pool": True}, 1_883_553),
        ({"rates": (1,), "features": (8, 16, 32), "units": 2, "branch": 32}, None),
        ({"units": 0}, None),
    ],
)
def test_parameter_counts(options, count):
    shapes = shapes_of(GuidedClassifier(**options), channels=3)
    layers = {name: value for name, value in options.items() if name != "pool"}
    want = by_layers(**{"rates": (1, 2, 4, 8), **layers})
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == want
    assert count in (None, want)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}


def network_by_loops(variables, image, model):
    """Logits and map in float64, with running statistics."""
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
    params, stats = variables["params"], variables["batch_stats"]

    def unit(path, x, convolve, option, relu=True):
        layer, running = params, stats
        for name in path:
            layer, running = layer[name], running[name]
        norm, running = layer["norm"], running["norm"]
        y = convolve(x, layer["kernel"], option) - running["mean"]
        y = y / np.sqrt(running["var"] + 1e-5) * norm["scale"] + norm["bias"]
        return np.maximum(y, 0) if relu else y

    x, maps, last = np.asarray(image, np.float64), [], len(model.features) - 1
    for i in range(last + 1):
        x = unit((f"reduce_{i}",), x, by_loops, (2, 2))
        maps.append(x)
        for t in range(model.units if i < last else 0):
            path = f"residual_{i}_{t}"
            y = unit((path, "conv_0"), x, by_loops, (1, 1))
            x = np.maximum(x + unit((path, "conv_1"), y, by_loops, (1, 1), relu=False), 0)
    x = np.concatenate([cells(m, 2 ** (last - i), np.mean) for i, m in enumerate(maps)], axis=-1)
    seen = [unit((f"branch_{n}",), x, dilated_by_loops, rate) for n, rate in enumerate(model.rates)]
    found = np.concatenate(seen, axis=-1) @ params["map"]["kernel"] + params["map"]["bias"]
    judged = cells(found, 2, np.max) if model.pool else found
    return judged.mean((1, 2)), found[..., 0]


def cells(x, window, statistic):
    """A statistic of each cell's pixels, of those that there are."""
    sizes = [-(-n // window) for n in x.shape[1:3]]
    y = np.zeros((x.shape[0], *sizes, x.shape[3]))
    for r, s in np.ndindex(*sizes):
        cell = x[:, r * window : (r + 1) * window, s * window : (s + 1) * window]
        y[:, r, s] = statistic(cell, (1, 2))
    return y


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((32, 48), {}),
        ((1, 1), {"pool": True}),
        ((1, 35), {"rates": (1, 2, 4), "pool": True}),
        ((37, 50), {"rates": (2, 2), "units": 2, "pool": True}),
        ((40, 33), {"features": (3, 4, 5), "units": 0}),
    ],
)
def test_equals_the_network_by_loops(size, options):
    model = GuidedClassifier(**(NARROW | options))
    variables, image = random_variables(model, channels=3), image_of((2, *size, 3))
    out = apply(model, variables, image)
    logits, found = network_by_loops(variables, image, model)
    assert set(out) == {"logits", "activation_logits"}
    assert {leaf.dtype for leaf in out.values()} == {jnp.dtype("float32")}
    step = 2 ** len(model.features)
    assert out["activation_logits"].shape == (2, *(-(-n // step) for n in size))
    assert out["logits"].shape == (2, 1)
    for got, want in ((out["activation_logits"], found), (out["logits"], logits)):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


def test_sizes_by_default():
    model, image = GuidedClassifier(), jax.ShapeDtypeStruct((2, 512, 384, 3), jnp.float32)
    out = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x, train=False), image)
    assert out[0]["activation_logits"].shape == (2, 32, 24)


def test_pools_of_cells_that_reach_over_the_end():
    x = image_of((2, 5, 7, 3))
    for window in (2, 4, 8):
        want = cells(np.asarray(x, np.float64), window, np.mean)
        np.testing.assert_allclose(_cell_means(x, window), want, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(_max_pool(x), cells(np.asarray(x), 2, np.max))
    # A pixel repeated at the end has the gradient of one.
    grad = jax.grad(lambda x: jnp.sum(_max_pool(x)))(x)
    np.testing.assert_allclose(np.sum(grad), 2 * 3 * 4 * 3, rtol=1e-6)
    assert set(np.unique(grad)) == {0.0, 1.0}


def test_initial_values_are_those_of_glorot():
    model, key = (
        GuidedClassifier((1,), features=(32, 64), branch=32),
        jax.random.key(0, impl="rbg"),
    )
    variables = jax.jit(lambda x: model.init(key, x, train=False))(jnp.zeros((1, 4, 4, 3)))
    params = variables["params"]
    kernels = {
        np.sqrt(6 / (9 * (32 + 64))): params["reduce_1"]["kernel"],
        np.sqrt(6 / (9 * (32 + 32))): params["residual_0_0"]["conv_1"]["kernel"],
        np.sqrt(6 / (9 * (96 + 32))): params["branch_0"]["kernel"],
        np.sqrt(6 / (32 + 1)): params["map"]["kernel"],
    }
    for bound, kernel in kernels.items():
        assert 0.9 * bound < np.abs(kernel).max() <= bound
    assert len(kernels) == 4
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if path[-1].key in ("bias", "scale"):
            np.testing.assert_array_equal(leaf, float(path[-1].key == "scale"))


@pytest.mark.parametrize("pool", [False, True])
def test_losses_of_logits_and_map_have_finite_gradients(pool):
    model = GuidedClassifier(**TINY, pool=pool)
    variables = random_variables(model, channels=3)
    region = jnp.zeros((2, 3, 2), bool).at[:, :1].set(True)

    @jax.jit
    def gradients(params, image):
        def loss(params):
            tree = {**variables, "params": params}
            out, moved = model.apply(tree, image, train=True, mutable=["batch_stats"])
            value = losses.cross_entropy(out["logits"], jnp.array([0, 1]))
            return jnp.sum(value + losses.guidance(out["activation_logits"], region)), moved

        return jax.grad(loss, has_aux=True)(params)

    for image in (image_of((2, 9, 6, 3)), jnp.full((2, 9, 6, 3), 0.5)):
        grads, moved = gradients(variables["params"], image)
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves((grads, moved)))
    grads, moved = gradients(variables["params"], image_of((2, 9, 6, 3)))
    assert all(leaf.any() for leaf in jax.tree.leaves(grads))
    # Training moves the running means: 0.9 of the old, 0.1 of the batch.
    kernel = variables["params"]["reduce_0"]["kernel"]
    first = by_loops(image_of((2, 9, 6, 3)), kernel, (2, 2)).mean((0, 1, 2))
    old, new = (tree["batch_stats"]["reduce_0"]["norm"]["mean"] for tree in (variables, moved))
    np.testing.assert_allclose(new, 0.9 * np.asarray(old) + 0.1 * first, rtol=1e-4, atol=1e-5)


def test_batch_statistics_are_shared_over_an_axis():
    variables, image = (
        random_variables(GuidedClassifier(**TINY), channels=3),
        image_of((4, 8, 8, 3)),
    )

    def run(axis_name, image):
        model = GuidedClassifier(**TINY, axis_name=axis_name)
        return model.apply(variables, image, train=True, mutable=["batch_stats"])

    want, moved = jax.jit(lambda x: run(None, x))(image)
    halves = jax.jit(jax.vmap(lambda x: run("devices", x), axis_name="devices"))
    got, shared = halves(image.reshape(2, 2, 8, 8, 3))
    np.testing.assert_allclose(got["logits"].reshape(4, 1), want["logits"], rtol=1e-4, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-4, atol=1e-5), shared, moved
    )


def test_bfloat16_is_close_and_keeps_float32_state():
    variables = random_variables(GuidedClassifier(**TINY), channels=3)
    half = GuidedClassifier(**TINY, dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes_of(half))} == {jnp.dtype("float32")}
    image = image_of((2, 16, 12, 3))
    got = apply(half, variables, image)["activation_logits"]
    want = np.asarray(apply(GuidedClassifier(**TINY), variables, image)["activation_logits"])
    assert got.dtype == jnp.float32
    assert 0 < np.abs(np.asarray(got) - want).mean() < 0.1 * want.std()


@pytest.mark.parametrize(
    ("options", "image", "error", "match"),
    [
        ({}, jnp.zeros((8, 8, 3)), ValueError, "`image` takes 4 axes"),
        ({}, jnp.zeros((1, 8, 8, 3), jnp.uint8), TypeError, "`image` .* uint8"),
        ({"rates": (1, 0)}, None, ValueError, r"`rates\[1\]` takes .*1.*, got 0"),
        ({"rates": ()}, None, ValueError, "`rates` takes one integer or more"),
        ({"features": (8, 2.5)}, None, ValueError, r"`features\[1\]` takes .*, got 2.5"),
        ({"units": -1}, None, ValueError, "`units` takes .*0.*, got -1"),
        ({"branch": 0}, None, ValueError, "`branch` takes .*1.*, got 0"),
    ],
)
def test_wrong_input(options, image, error, match):
    image = jnp.zeros((1, 8, 8, 3)) if image is None else image
    with pytest.raises(error, match=match):
        jax.eval_shape(
            lambda: GuidedClassifier(**options).init(jax.random.key(0), image, train=False)
        )
