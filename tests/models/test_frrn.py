from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.models import FRRN
from segjax.models.frrn import FullResolutionUnit
from tests.models.test_plain_unet import apply, image_of

TINY = {"base": 2, "lanes": 2}


def shapes_of(model, shape=(1, 16, 16, 3)):
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)


def random_variables(shapes, seed=0):
    """Random values everywhere, such that activations keep their size over the layers."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        around = 1.0 if path[-1].key in ("scale", "var") else 0.0
        spread = np.sqrt(2 / np.prod(leaf.shape[:-1])) if path[-1].key == "kernel" else 0.2
        value = rng.normal(around, spread, leaf.shape)
        # A variance is positive.
        value = np.abs(value) + 0.1 if path[-1].key == "var" else value
        return jnp.asarray(value.astype(np.float32))

    return jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.fixture(scope="module")
def variables():
    return random_variables(shapes_of(FRRN(**TINY)))


@pytest.mark.parametrize(
    ("classes", "variant", "count"),
    [(2, "A", 17_745_970), (19, "A", 17_746_803), (19, "B", 24_755_699)],
)
def test_parameter_counts(classes, variant, count):
    shapes = shapes_of(FRRN(classes, variant))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == count
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("variant", ["A", "B"])
@pytest.mark.parametrize("size", [(256, 256), (1, 1), (37, 50)])
def test_logits_have_the_size_of_the_image(variant, size):
    image, model = jax.ShapeDtypeStruct((2, *size, 1), jnp.float32), FRRN(3, variant, **TINY)
    out, _ = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False), image
    )
    assert {name: leaf.shape for name, leaf in out.items()} == {"logits": (2, *size, 3)}


# --- The network in NumPy, level by level as the paper lists them. -------------------------------


def convolve(x, kernel):
    """'Same' convolution in float64."""
    kernel = np.asarray(kernel, np.float64)
    reach = [(k // 2, k // 2) for k in kernel.shape[:2]]
    padded = np.pad(x, [(0, 0), *reach, (0, 0)])
    cut = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[:2], (1, 2))
    return np.einsum("bhwikl,klio->bhwo", cut, kernel)


def pooled(x, p):
    b, h, w, c = x.shape
    return x.reshape(b, h // p, p, w // p, p, c).max((2, 4))


def doubled(x):
    """Every second pixel is one of x, those between are means of two, the last is repeated."""
    for axis in (1, 2):
        x = np.moveaxis(x, axis, 0)
        y = np.zeros((2 * len(x), *x.shape[1:]))
        for i in range(len(x)):
            y[2 * i] = x[i]
            y[2 * i + 1] = (x[i] + x[min(i + 1, len(x) - 1)]) / 2
        x = np.moveaxis(y, 0, axis)
    return x


class InNumpy:
    def __init__(self, variables):
        variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
        self.params, self.stats = variables["params"], variables["batch_stats"]

    def at(self, path):
        layer, running = self.params, self.stats
        for name in path.split("/"):
            layer, running = layer[name], running.get(name, {})
        return layer, running

    def conv_norm(self, path, x, window=3, relu=True):
        layer, running = self.at(path)
        assert set(layer) == {"kernel", "norm"}, path
        assert layer["kernel"].shape[:2] == (window, window), path
        norm, running = layer["norm"], running["norm"]
        y = (convolve(x, layer["kernel"]) - running["mean"]) / np.sqrt(running["var"] + 1e-4)
        y = y * norm["scale"] + norm["bias"]
        return np.maximum(y, 0) if relu else y

    def residual_unit(self, path, x):
        y = self.conv_norm(f"{path}/conv_0", x)
        y = self.conv_norm(f"{path}/conv_1", y, relu=False)
        layer, _ = self.at(path)
        if x.shape[-1] == y.shape[-1]:
            assert "projection" not in layer
            return x + y
        assert set(layer["projection"]) == {"kernel"}
        return x @ layer["projection"]["kernel"][0, 0] + y

    def units(self, way, p, count, channels, y, z):
        """So many full-resolution residual units of one level."""
        for t in range(count):
            path = f"{way}_{p}_{t}"
            u = np.concatenate([y, pooled(z, p)], axis=-1)
            y = self.conv_norm(f"{path}/conv_1", self.conv_norm(f"{path}/conv_0", u))
            assert y.shape[-1] == channels
            back, _ = self.at(f"{path}/residual")
            z = z + np.kron(y @ back["kernel"][0, 0] + back["bias"], np.ones((1, p, p, 1)))
        return y, z

    def begin(self, x, base):
        y = self.conv_norm("stem", x, window=5)
        for t in range(3):
            y = self.residual_unit(f"first_{t}", y)
        assert y.shape[-1] == base
        return y, self.conv_norm("split", y, window=1, relu=False)

    def end(self, y, z):
        y = np.concatenate([doubled(y), z], axis=-1)
        for t in range(3):
            y = self.residual_unit(f"last_{t}", y)
        head, _ = self.at("head")
        return y @ head["kernel"][0, 0] + head["bias"]

    def type_a(self, x, base):
        y, z = self.begin(x, base)
        y, z = self.units("down", 2, 3, 2 * base, pooled(y, 2), z)
        y, z = self.units("down", 4, 4, 4 * base, pooled(y, 2), z)
        y, z = self.units("down", 8, 2, 8 * base, pooled(y, 2), z)
        y, z = self.units("down", 16, 2, 8 * base, pooled(y, 2), z)
        y, z = self.units("up", 8, 2, 4 * base, doubled(y), z)
        y, z = self.units("up", 4, 2, 4 * base, doubled(y), z)
        y, z = self.units("up", 2, 2, 2 * base, doubled(y), z)
        return self.end(y, z)

    def type_b(self, x, base):
        y, z = self.begin(x, base)
        y, z = self.units("down", 2, 3, 2 * base, pooled(y, 2), z)
        y, z = self.units("down", 4, 4, 4 * base, pooled(y, 2), z)
        y, z = self.units("down", 8, 2, 8 * base, pooled(y, 2), z)
        y, z = self.units("down", 16, 2, 8 * base, pooled(y, 2), z)
        y, z = self.units("down", 32, 2, 8 * base, pooled(y, 2), z)
        y, z = self.units("up", 16, 2, 4 * base, doubled(y), z)
        y, z = self.units("up", 8, 2, 4 * base, doubled(y), z)
        y, z = self.units("up", 4, 2, 4 * base, doubled(y), z)
        y, z = self.units("up", 2, 2, 2 * base, doubled(y), z)
        return self.end(y, z)


@pytest.mark.parametrize(
    ("variant", "base", "lanes", "size"), [("A", 3, 2, (32, 48)), ("B", 2, 3, (32, 32))]
)
def test_equals_the_network_in_numpy(variant, base, lanes, size):
    model = FRRN(3, variant, base, lanes)
    variables, image = random_variables(shapes_of(model)), image_of((2, *size, 3))
    got = apply(model, variables, image)["logits"]
    numpy = InNumpy(variables)
    network = numpy.type_a if variant == "A" else numpy.type_b
    want = network(np.asarray(image, np.float64), base)
    assert got.dtype == jnp.float32
    assert want.std((0, 1, 2)).min() > 1e-2
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


def test_other_sizes_are_padded_at_the_end_and_cropped(variables):
    model, image = FRRN(**TINY), image_of((1, 19, 32, 3))
    got = apply(model, variables, image)["logits"]
    whole = apply(model, variables, jnp.pad(image, [(0, 0), (0, 13), (0, 0), (0, 0)]))["logits"]
    np.testing.assert_array_equal(got, whole[:, :19])


def test_a_pixel_reaches_the_logits_of_a_whole_cell(variables):
    """The pooled stream sees wide: a change in one corner is seen in that opposite."""
    model, image = FRRN(**TINY), image_of((1, 16, 16, 3))
    changed = apply(model, variables, image.at[0, 0, 0].add(3.0))["logits"]
    assert np.abs(changed - apply(model, variables, image)["logits"])[0, -1, -1].max() > 1e-6


def test_initial_values():
    model, key = FullResolutionUnit(24, 2, train=False), jax.random.key(0, impl="rbg")
    y, z = jnp.zeros((1, 2, 2, 20)), jnp.zeros((1, 4, 4, 12))
    unit = jax.jit(lambda y, z: model.init(key, y, z))(y, z)["params"]
    model = FRRN(2, base=16, lanes=24)
    whole = jax.jit(lambda x: model.init(key, x, train=False))(jnp.zeros((1, 16, 16, 3)))["params"]
    # The square of sqrt(3) times the gain, over the fan-in: 2 before a ReLU, 1 without.
    bounds = [
        (6 / (9 * 32), unit["conv_0"]["kernel"]),
        (3 / 24, unit["residual"]["kernel"]),
        (6 / (25 * 3), whole["stem"]["kernel"]),
        (6 / (9 * 16), whole["first_1"]["conv_0"]["kernel"]),
        (3 / (9 * 16), whole["first_1"]["conv_1"]["kernel"]),
        (3 / 16, whole["split"]["kernel"]),
        (3 / (2 * 16 + 24), whole["last_0"]["projection"]["kernel"]),
    ]
    for square, kernel in bounds:
        assert 0.95 * np.sqrt(square) < np.abs(kernel).max() <= np.sqrt(square)
    for path, leaf in jax.tree_util.tree_leaves_with_path((unit, whole)):
        if path[-1].key in ("bias", "scale"):
            np.testing.assert_array_equal(leaf, float(path[-1].key == "scale"))


# --- Training. ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def training():
    """Logits, gradients and moved statistics, with rematerialisation or without."""

    @partial(jax.jit, static_argnums=0)
    def run(remat, variables, image):
        model = FRRN(**TINY, remat=remat)

        def loss(params):
            tree = {**variables, "params": params}
            out, moved = model.apply(tree, image, train=True, mutable=["batch_stats"])
            return jnp.mean(out["logits"] ** 2), (out["logits"], moved)

        grads, (logits, moved) = jax.grad(loss, has_aux=True)(variables["params"])
        return logits, grads, moved

    return run


def test_rematerialisation_changes_nothing_but_memory(variables, training):
    assert shapes_of(FRRN(**TINY, remat=True)) == shapes_of(FRRN(**TINY))
    image = image_of((2, 16, 16, 3))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        training(True, variables, image),
        training(False, variables, image),
    )
    # Inside a unit, values are recomputed in the backward pass.
    gradient = jax.make_jaxpr(lambda v: training(True, v, image))
    assert "remat" in str(gradient(variables))


def test_gradients_are_finite_and_reach_every_parameter(variables, training):
    for image in (image_of((2, 16, 16, 3)), jnp.full((2, 16, 16, 3), 0.5, jnp.float32)):
        result = training(False, variables, image)
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(result))
    _, grads, _ = training(False, variables, image_of((2, 16, 16, 3)))
    assert all(leaf.any() for leaf in jax.tree.leaves(grads))


def test_training_moves_the_statistics(variables, training):
    image = image_of((2, 16, 16, 3))
    _, _, moved = training(False, variables, image)
    first = convolve(np.asarray(image, np.float64), variables["params"]["stem"]["kernel"])
    old, new = (tree["batch_stats"]["stem"]["norm"] for tree in (variables, moved))
    for name, value in (("mean", first.mean((0, 1, 2))), ("var", first.var((0, 1, 2)))):
        want = 0.9 * np.asarray(old[name]) + 0.1 * value
        np.testing.assert_allclose(new[name], want, rtol=1e-4, atol=1e-5)
    changed = jax.tree.map(
        lambda a, b: bool((a != b).all()), moved["batch_stats"], variables["batch_stats"]
    )
    assert all(jax.tree.leaves(changed))


def test_batch_statistics_are_shared_over_an_axis():
    y, z = image_of((4, 4, 4, 3)), image_of((4, 8, 8, 2), seed=2)

    def run(axis_name, variables, y, z):
        unit = FullResolutionUnit(4, 2, train=True, axis_name=axis_name)
        if variables is None:
            return unit.init(jax.random.key(0), y, z)
        return unit.apply(variables, y, z, mutable=["batch_stats"])

    variables = random_variables(jax.eval_shape(lambda: run(None, None, y, z)))
    want, moved = run(None, variables, y, z)
    halves = jax.vmap(lambda y, z: run("devices", variables, y, z), axis_name="devices")
    got, shared = halves(*(x.reshape(2, 2, *x.shape[1:]) for x in (y, z)))
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(lambda a, b: close(np.asarray(a).reshape(b.shape), b), got, want)
    jax.tree.map(lambda a, b: close(a[1], b), shared, moved)


def test_bfloat16_is_close_and_keeps_float32_state(variables):
    half, image = FRRN(**TINY, dtype=jnp.bfloat16), image_of((2, 16, 16, 3))
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes_of(half))} == {jnp.dtype("float32")}
    got = apply(half, variables, image)["logits"]
    want = np.asarray(apply(FRRN(**TINY), variables, image)["logits"])
    assert got.dtype == jnp.float32
    assert 0 < np.abs(np.asarray(got) - want).mean() < 0.1 * want.std()


@pytest.mark.parametrize(
    ("options", "image", "error", "match"),
    [
        ({}, jnp.zeros((8, 8, 3)), ValueError, "`image` takes 4 axes"),
        ({}, jnp.zeros((1, 8, 8, 3), jnp.uint8), TypeError, "`image` .* uint8"),
        ({"variant": "C"}, None, ValueError, "`variant` takes one of A, B, got 'C'"),
        ({"classes": 0}, None, ValueError, "`classes` takes .*1.*, got 0"),
        ({"base": 0}, None, ValueError, "`base` takes .*1.*, got 0"),
        ({"lanes": 2.5}, None, ValueError, "`lanes` takes .*1.*, got 2.5"),
    ],
)
def test_wrong_input(options, image, error, match):
    image = jnp.zeros((1, 8, 8, 3)) if image is None else image
    with pytest.raises(error, match=match):
        jax.eval_shape(lambda: FRRN(**options).init(jax.random.key(0), image, train=False))
