from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.models import PatchResNet
from segjax.models.patch_resnet import OMITTED
from tests.models.test_frrn import random_variables
from tests.models.test_plain_unet import apply, image_of

TINY = {"width": 2, "stages": (1, 1, 1, 1)}


def shapes_of(model, shape=(1, 33, 33, 3)):
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)


@pytest.fixture(scope="module")
def variables():
    return random_variables(shapes_of(PatchResNet(3, **TINY)))


@pytest.mark.parametrize("omitted", OMITTED)
@pytest.mark.parametrize(("classes", "count"), [(2, 23_512_130), (1000, 25_557_032)])
def test_parameter_counts(classes, count, omitted):
    shapes = shapes_of(PatchResNet(classes, omitted))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == count
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    assert shapes == shapes_of(PatchResNet(classes))


@pytest.mark.parametrize(
    ("omitted", "size", "grids"),
    [
        ("pool", 129, (65, 33, 17, 9)),
        ("stem", 129, (65, 33, 17, 9)),
        ("last", 129, (33, 17, 9, 9)),
        ("none", 129, (33, 17, 9, 5)),
        ("none", 224, (56, 28, 14, 7)),
        ("pool", 1, (1, 1, 1, 1)),
        ("none", 2, (1, 1, 1, 1)),
    ],
)
def test_grids(omitted, size, grids):
    model = PatchResNet(5, omitted)

    def run(x):
        return model.init_with_output(jax.random.key(0), x, train=False, capture_intermediates=True)

    out, made = jax.eval_shape(run, jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32))
    blocks = made["intermediates"]
    for i, (grid, count) in enumerate(zip(grids, (3, 4, 6, 3), strict=True)):
        for t in range(count):
            shape = blocks[f"block_{i}_{t}"]["__call__"][0].shape
            assert shape == (2, grid, grid, 256 * 2**i)
    shapes = {name: leaf.shape for name, leaf in out.items()}
    assert shapes == {"logits": (2, 5), "embedding": (2, 2048)}


# --- The network in NumPy. ------------------------------------------------------------------------


def windows(x, size, stride, outside):
    """[b, h, w, c] -> [b, k, l, c, size, size], half a window of `outside` on every side."""
    half = [(size // 2, size // 2)] * 2
    padded = np.pad(x, [(0, 0), *half, (0, 0)], constant_values=outside)
    view = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))
    return view[:, ::stride, ::stride]


def network_in_numpy(variables, image, omitted, stages):
    """Logits and embedding in float64, with running statistics."""
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
    params, stats = variables["params"], variables["batch_stats"]

    def conv_norm(layer, running, x, size, stride):
        kernel, norm, running = layer["kernel"], layer["norm"], running["norm"]
        assert kernel.shape[:2] == (size, size)
        y = np.einsum("bhwikl,klio->bhwo", windows(x, size, stride, 0.0), kernel, optimize=True)
        y = (y - running["mean"]) / np.sqrt(running["var"] + 1e-5)
        return y * norm["scale"] + norm["bias"]

    def bottleneck(name, x, stride):
        run = lambda part, *a: conv_norm(params[name][part], stats[name][part], *a)  # noqa: E731
        y = np.maximum(run("conv_0", x, 1, 1), 0)
        y = np.maximum(run("conv_1", y, 3, stride), 0)
        y = run("conv_2", y, 1, 1)
        shortcut = run("projection", x, 1, stride) if "projection" in params[name] else x
        return np.maximum(shortcut + y, 0)

    strides = {"stem": 2, "pool": 2, 0: 1, 1: 2, 2: 2, 3: 2}
    if omitted != "none":
        strides[3 if omitted == "last" else omitted] = 1
    x = conv_norm(params["stem"], stats["stem"], np.asarray(image, np.float64), 7, strides["stem"])
    x = np.maximum(x, 0)
    if omitted != "pool":
        x = windows(x, 3, strides["pool"], -np.inf).max((-2, -1))
    for i, blocks in enumerate(stages):
        for t in range(blocks):
            x = bottleneck(f"block_{i}_{t}", x, strides[i] if t == 0 else 1)
    embedding = x.mean((1, 2))
    return embedding @ params["head"]["kernel"] + params["head"]["bias"], embedding


def check_against_numpy(model, variables, image):
    got = apply(model, variables, image)
    want = network_in_numpy(variables, image, model.omitted, model.stages)
    assert set(got) == {"logits", "embedding"}
    for name, value in zip(("logits", "embedding"), want, strict=True):
        assert got[name].dtype == jnp.float32
        assert np.abs(value).max() > 1e-2
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-4 * np.abs(value).max())


@pytest.mark.parametrize("omitted", OMITTED)
@pytest.mark.parametrize("size", [(129, 129), (18, 45)])
def test_equals_the_network_in_numpy(omitted, size, variables):
    check_against_numpy(PatchResNet(3, omitted, **TINY), variables, image_of((2, *size, 3)))


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (6, 7)])
def test_tiny_images_and_several_blocks(size):
    model = PatchResNet(3, "none", 2, (2, 1, 3, 1))
    check_against_numpy(model, random_variables(shapes_of(model)), image_of((2, *size, 3)))


@pytest.mark.parametrize("omitted", OMITTED)
def test_the_centre_stays_the_centre(omitted, variables):
    """A mirrored patch is to mirrored kernels what the patch is to the kernels."""
    mirrored = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf[::-1, ::-1] if leaf.ndim == 4 else leaf, variables
    )
    run = partial(apply, PatchResNet(3, omitted, **TINY))
    for size, same in ((33, True), (32, False)):
        image = image_of((2, size, size, 3))
        want, got = run(variables, image), run(mirrored, image[:, ::-1, ::-1])
        apart = np.abs(np.asarray(got["embedding"] - want["embedding"])).max()
        assert (apart < 1e-5 * np.abs(want["embedding"]).max()) == same


# --- Training. ------------------------------------------------------------------------------------


def test_initial_values():
    model, key = PatchResNet(7, width=16, stages=(1, 2)), jax.random.key(0, impl="rbg")
    image = image_of((1, 9, 9, 3))
    params = jax.jit(lambda x: model.init(key, x, train=False))(image)["params"]
    for kernel in (params["stem"]["kernel"], params["block_1_1"]["conv_1"]["kernel"]):
        fan_in = np.prod(kernel.shape[:-1])
        np.testing.assert_allclose(kernel.std() * np.sqrt(fan_in), 1, rtol=0.05)
        # The normal distribution is cut at two of its own deviations.
        assert np.abs(kernel).max() <= 2 / 0.8796 / np.sqrt(fan_in) * (1 + 1e-4)
    last = [
        params[f"block_{name}"]["conv_2"]["norm"].pop("scale") for name in ("0_0", "1_0", "1_1")
    ]
    assert not any(scale.any() for scale in last)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if path[-1].key in ("bias", "scale"):
            np.testing.assert_array_equal(leaf, float(path[-1].key == "scale"))


def test_training_moves_the_statistics_and_has_finite_gradients(variables):
    model, image = PatchResNet(3, **TINY), image_of((3, 17, 20, 3))

    @jax.jit
    def run(image):
        def loss(params):
            tree = {**variables, "params": params}
            out, moved = model.apply(tree, image, train=True, mutable=["batch_stats"])
            return jnp.mean(out["logits"] ** 2) + jnp.mean(out["embedding"] ** 2), moved

        return jax.grad(loss, has_aux=True)(variables["params"])

    for picture in (image, jnp.full(image.shape, 0.5, jnp.float32)):
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(run(picture)))
    grads, moved = run(image)
    assert all(leaf.any() for leaf in jax.tree.leaves(grads))
    cut = windows(np.asarray(image, np.float64), 7, 2, 0.0)
    first = np.einsum("bhwikl,klio->bhwo", cut, variables["params"]["stem"]["kernel"])
    old, new = (tree["batch_stats"]["stem"]["norm"] for tree in (variables, moved))
    for name, value in (("mean", first.mean((0, 1, 2))), ("var", first.var((0, 1, 2)))):
        want = 0.9 * np.asarray(old[name]) + 0.1 * value
        np.testing.assert_allclose(new[name], want, rtol=1e-4, atol=1e-5)


def test_batch_statistics_are_shared_over_an_axis(variables):
    image = image_of((4, 9, 9, 3))

    def run(axis_name, image):
        model = PatchResNet(3, axis_name=axis_name, **TINY)
        return model.apply(variables, image, train=True, mutable=["batch_stats"])

    want, moved = jax.jit(lambda x: run(None, x))(image)
    halves = jax.jit(jax.vmap(lambda x: run("devices", x), axis_name="devices"))
    got, shared = halves(image.reshape(2, 2, 9, 9, 3))
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(lambda a, b: close(np.asarray(a).reshape(b.shape), b), got, want)
    jax.tree.map(lambda a, b: close(a[1], b), shared, moved)


def test_bfloat16_is_close_and_keeps_float32_state(variables):
    half, image = PatchResNet(3, dtype=jnp.bfloat16, **TINY), image_of((4, 33, 33, 3))
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes_of(half))} == {jnp.dtype("float32")}
    got = apply(half, variables, image)
    want = apply(PatchResNet(3, **TINY), variables, image)
    for name in ("logits", "embedding"):
        assert got[name].dtype == jnp.float32
        assert 0 < np.abs(got[name] - want[name]).mean() < 0.05 * np.abs(want[name]).mean()


@pytest.mark.parametrize(
    ("options", "image", "error", "match"),
    [
        ({}, jnp.zeros((9, 9, 3)), ValueError, "`image` takes 4 axes"),
        ({}, jnp.zeros((1, 9, 9, 3), jnp.uint8), TypeError, "`image` .* uint8"),
        (
            {"omitted": "first"},
            None,
            ValueError,
            "`omitted` takes one of pool, stem, last, none, got 'first'",
        ),
        ({"classes": 0}, None, ValueError, "`classes` takes .*1.*, got 0"),
        ({"width": 1.5}, None, ValueError, "`width` takes .*1.*, got 1.5"),
        ({"stages": (3,)}, None, ValueError, r"`stages` takes two or more, got \(3,\)"),
        ({"stages": (3, 0)}, None, ValueError, r"`stages\[1\]` takes .*1.*, got 0"),
    ],
)
def test_wrong_input(options, image, error, match):
    image = jnp.zeros((1, 9, 9, 3)) if image is None else image
    with pytest.raises(error, match=match):
        jax.eval_shape(lambda: PatchResNet(**options).init(jax.random.key(0), image, train=False))
