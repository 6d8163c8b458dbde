import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.models import InceptionV3
from segjax.models.inception import AuxiliaryHead, Block, ConvNorm, _average_pool, _inside_conv
from tests.models.test_plain_unet import image_of


def shapes_of(model, size=75):
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)


def random_variables(shapes):
    """Random values everywhere, such that activations keep their size over the layers."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        around = 1.0 if path[-1].key in ("scale", "var") else 0.0
        spread = 0.1
        if path[-1].key == "kernel":
            spread = np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return (around + spread * rng.standard_normal(leaf.shape, np.float32)).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.fixture(scope="module")
def variables():
    return random_variables(shapes_of(InceptionV3(2, auxiliary=True)))


@pytest.mark.parametrize(
    ("classes", "auxiliary", "count"),
    [
        (1000, False, 23_834_568),
        (1000, True, 27_161_264),
        (1, False, 21_787_617),
        (1, True, 24_346_082),
    ],
)
def test_parameter_counts(classes, auxiliary, count):
    shapes = shapes_of(InceptionV3(classes, auxiliary))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == count
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("size", "middle", "last"), [(299, 17, 8), (512, 30, 14), (75, 3, 1), (150, 7, 3)]
)
def test_sizes_of_the_maps(size, middle, last):
    def run(x):
        model = InceptionV3(5, auxiliary=True)
        return model.init_with_output(
            {"params": jax.random.key(0)}, x, train=False, capture_intermediates=True
        )

    image = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    out, changed = jax.eval_shape(run, image)
    found = {
        name: of["__call__"][0].shape
        for name, of in changed["intermediates"].items()
        if name != "__call__"
    }
    assert found["c_3"] == (2, middle, middle, 768)
    assert found["e_1"] == (2, last, last, 2048)
    assert {name: leaf.shape for name, leaf in out.items()} == {
        "logits": (2, 5),
        "auxiliary_logits": (2, 5),
        "features": (2, 2048),
    }
    assert [found[f"a_{n}"][-1] for n in range(3)] == [256, 288, 288]


# --- The network in NumPy, from the list of its layers. -------------------------------------------


def windows(x, size, stride):
    """[b, h, w, c] -> [b, k, l, c, rows, columns] of the windows inside."""
    view = np.lib.stride_tricks.sliding_window_view(x, size, (1, 2))
    return view[:, ::stride, ::stride]


def padded(x, rows, columns):
    return np.pad(x, [(0, 0), (rows, rows), (columns, columns), (0, 0)])


class InNumpy:
    """Layers in float64, in the form (features, rows, columns, how)."""

    def __init__(self, variables):
        self.params, self.stats = variables["params"], variables["batch_stats"]

    def layer(self, path, x, rows, columns, stride=1, same=True):
        layer, running = self.params, self.stats
        for name in path.split("/"):
            layer, running = layer[name], running[name]
        kernel = np.asarray(layer["kernel"], np.float64)
        assert kernel.shape[:2] == (rows, columns), path
        x = padded(x, rows // 2, columns // 2) if same else x
        cut = windows(x, (rows, columns), stride)
        flat = cut.transpose(0, 1, 2, 4, 5, 3).reshape(-1, rows * columns * x.shape[3])
        y = (flat @ kernel.reshape(-1, kernel.shape[3])).reshape(*cut.shape[:3], -1)
        norm, running = layer["norm"], running["norm"]
        deviation = np.sqrt(np.asarray(running["var"], np.float64) + 1e-3)
        return np.maximum((y - running["mean"]) / deviation * norm["scale"] + norm["bias"], 0)

    def chain(self, path, x, *shapes, reduce=False):
        for t, (rows, columns) in enumerate(shapes):
            ends = reduce and t == len(shapes) - 1
            options = {"stride": 2, "same": False} if ends else {}
            x = self.layer(f"{path}/conv_{t}", x, rows, columns, **options)
        return x

    def pooled(self, name, x):
        # Always nine pixels, those outside as zeros.
        means = windows(padded(x, 1, 1), (3, 3), 1).sum((-2, -1)) / 9
        return self.layer(f"{name}/pooled", means, 1, 1)

    def block(self, name, x):
        run = lambda n, *shapes, **options: self.chain(  # noqa: E731
            f"{name}/branch_{n}", x, *shapes, **options
        )
        one, three, wide, tall = (1, 1), (3, 3), (1, 7), (7, 1)
        if name[0] == "a":
            found = [run(0, one), run(1, one, (5, 5)), run(2, one, three, three)]
        elif name[0] == "c":
            long = run(2, one, tall, wide, tall, wide)
            found = [run(0, one), run(1, one, wide, tall), long]
        elif name[0] == "e":
            once, twice = run(1, one), run(2, one, three)
            found = [run(0, one)]
            for n, y in ((1, once), (2, twice)):
                found.append(self.layer(f"{name}/wide_{n}", y, 1, 3))
                found.append(self.layer(f"{name}/tall_{n}", y, 3, 1))
        else:
            if name == "b":
                found = [run(0, three, reduce=True), run(1, one, three, three, reduce=True)]
            else:
                seven = run(1, one, wide, tall, three, reduce=True)
                found = [run(0, one, three, reduce=True), seven]
            return np.concatenate([*found, windows(x, (3, 3), 2).max((-2, -1))], axis=-1)
        return np.concatenate([*found, self.pooled(name, x)], axis=-1)

    def dense(self, path, x):
        layer = self.params
        for name in path.split("/"):
            layer = layer[name]
        return x @ np.asarray(layer["kernel"], np.float64) + layer["bias"]

    def auxiliary(self, x):
        missing = [17 - n for n in x.shape[1:3]]
        x = np.pad(x, [(0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)])
        x = windows(x, (5, 5), 3).mean((-2, -1))
        x = self.layer("auxiliary/conv_0", x, 1, 1)
        x = self.layer("auxiliary/conv_1", x, 5, 5, same=False)
        return self.dense("auxiliary/head", x.mean((1, 2)))

    def network(self, x):
        x = self.layer("stem_0", x, 3, 3, stride=2, same=False)
        x = self.layer("stem_1", x, 3, 3, same=False)
        x = self.layer("stem_2", x, 3, 3)
        x = windows(x, (3, 3), 2).max((-2, -1))
        x = self.layer("stem_3", x, 1, 1)
        x = self.layer("stem_4", x, 3, 3, same=False)
        x = windows(x, (3, 3), 2).max((-2, -1))
        found = {}
        for name in "a_0 a_1 a_2 b c_0 c_1 c_2 c_3 d e_0 e_1".split():
            x = self.block(name, x)
            if name == "c_3":
                found["auxiliary_logits"] = self.auxiliary(x)
        found["features"] = x.mean((1, 2))
        return {**found, "logits": self.dense("head", found["features"])}


def close(got, want, tolerance):
    want = np.asarray(want)
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * np.abs(want).max())


def test_equals_the_network_in_numpy(variables):
    model, image = InceptionV3(2, auxiliary=True), image_of((2, 75, 92, 3))
    got = jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, image)
    want = InNumpy(variables).network(np.asarray(image, np.float64))
    assert set(got) == set(want)
    for name, leaf in got.items():
        assert leaf.dtype == jnp.float32
        assert np.asarray(want[name]).std() > 1e-3
        close(leaf, want[name], 1e-3)


@pytest.mark.slow
def test_training_drops_features_and_has_finite_gradients(variables):
    model, image = InceptionV3(2, auxiliary=True, dropout=0.5), image_of((2, 75, 75, 3))

    @jax.jit
    def run(params, key):
        def loss(params):
            out, moved = model.apply(
                {**variables, "params": params},
                image,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": key},
            )
            return jnp.sum(out["logits"] ** 2) + jnp.sum(out["auxiliary_logits"] ** 2), (out, moved)

        return jax.grad(loss, has_aux=True)(params)

    grads, (out, moved) = run(variables["params"], jax.random.key(0))
    _, (other, _) = run(variables["params"], jax.random.key(1))
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves((grads, moved, out)))
    assert all(leaf.any() for leaf in jax.tree.leaves(grads))
    np.testing.assert_array_equal(out["features"], other["features"])
    assert not np.allclose(out["logits"], other["logits"])
    np.testing.assert_array_equal(out["auxiliary_logits"], other["auxiliary_logits"])


# --- Parts. ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [(3, 3), (5, 5), (1, 3)])
@pytest.mark.parametrize("stride", [1, 2])
def test_windows_inside_the_image(window, stride):
    x, kernel = image_of((2, 8, 11, 3)), image_of((*window, 3, 4), seed=2)
    names = ("NHWC", "HWIO", "NHWC")

    def plain(x, kernel):
        strides = (stride, stride)
        return jax.lax.conv_general_dilated(x, kernel, strides, "VALID", dimension_numbers=names)

    ours = lambda x, kernel: _inside_conv(x, kernel, stride)  # noqa: E731
    want, pull = jax.vjp(plain, x, kernel)
    got, ours_pull = jax.vjp(ours, x, kernel)
    close(got, want, 1e-5)
    for g, w in zip(ours_pull(want), pull(want), strict=True):
        close(g, w, 1e-5)


def test_average_pool_is_rounded_once():
    x = jnp.ones((1, 3, 3, 1), jnp.bfloat16).at[0, 0, 0, 0].set(1.0078125)
    got = _average_pool(x, 3, 1)
    assert got.dtype == jnp.bfloat16
    assert float(got[0, 0, 0, 0]) == 1.0
    x = image_of((2, 17, 12, 3))
    want = windows(np.asarray(x, np.float64), (5, 5), 3).mean((-2, -1))
    np.testing.assert_allclose(_average_pool(x, 5, 3), want, rtol=1e-5, atol=1e-6)


def test_batch_statistics_are_shared_over_an_axis():
    image = image_of((4, 5, 6, 3))
    options = {"branches": (((2, 1, 1),), ((2, 1, 1), (3, 3, 3))), "pooled": 2, "split": (1,)}

    def run(axis_name, variables, image):
        block = Block(unit=lambda *a, **k: ConvNorm(*a, axis_name=axis_name, **k), **options)
        if variables is None:
            return block.init(jax.random.key(0), image, train=False)
        return block.apply(variables, image, train=True, mutable=["batch_stats"])

    variables = random_variables(jax.eval_shape(lambda: run(None, None, image)))
    want, moved = run(None, variables, image)
    halves = jax.vmap(lambda x: run("devices", variables, x), axis_name="devices")
    got, shared = halves(image.reshape(2, 2, 5, 6, 3))
    close(np.asarray(got).reshape(want.shape), want, 1e-4)
    jax.tree.map(lambda a, b: close(a[0], b, 1e-4), shared, moved)


def test_initial_values():
    """Deviations of a normal distribution that is cut at two of them."""
    head = AuxiliaryHead(40, ConvNorm)
    key = jax.random.key(0, impl="rbg")
    params = jax.jit(lambda x: head.init(key, x, train=False))(jnp.zeros((1, 17, 17, 40)))["params"]
    cut = 0.8796  # Deviation of the standard normal distribution between -2 and 2.
    for name, deviation in (("conv_0", 0.1), ("conv_1", 0.01), ("head", 0.001)):
        kernel = np.asarray(params[name]["kernel"])
        assert np.abs(kernel).max() <= 2 * deviation * (1 + 1e-6)
        np.testing.assert_allclose(kernel.std(), cut * deviation, rtol=0.05)
    np.testing.assert_array_equal(params["head"]["bias"], 0)


def test_bfloat16_is_close():
    x = image_of((2, 6, 6, 8))
    options = {"branches": (((8, 1, 1), (8, 3, 3)),), "pooled": 8}
    whole, half = (
        Block(unit=lambda *a, dtype=dtype, **k: ConvNorm(*a, dtype=dtype, **k), **options)
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    shapes = jax.eval_shape(lambda: whole.init(jax.random.key(0), x, train=False))
    variables = random_variables(shapes)
    want = np.asarray(whole.apply(variables, x, train=False))
    got = half.apply(variables, x.astype(jnp.bfloat16), train=False)
    assert got.dtype == jnp.bfloat16
    assert 0 < np.abs(np.asarray(got, np.float32) - want).mean() < 0.05 * want.std()


@pytest.mark.parametrize(
    ("options", "image", "error", "match"),
    [
        ({}, jnp.zeros((75, 75, 3)), ValueError, "`image` takes 4 axes"),
        ({}, jnp.zeros((1, 75, 75, 3), jnp.uint8), TypeError, "`image` .* uint8"),
        ({}, jnp.zeros((1, 90, 74, 3)), ValueError, r"at least 75 x 75 .*\(1, 90, 74, 3\)"),
        ({"dropout": 1.0}, None, ValueError, "`dropout` takes"),
        ({"classes": 0}, None, ValueError, "`classes` takes .*1.*, got 0"),
    ],
)
def test_wrong_input(options, image, error, match):
    image = jnp.zeros((1, 75, 75, 3)) if image is None else image
    with pytest.raises(error, match=match):
        jax.eval_shape(lambda: InceptionV3(**options).init(jax.random.key(0), image, train=False))
