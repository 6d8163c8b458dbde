import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.models import PlainUNet
from segjax.models.plain_unet import deep_supervision_weights
from tests.ops.test_normalization import oracle as norm_by_loops
from tests.ops.test_strided import by_loops

FEATURES, STRIDES = (2, 3, 4), ((1, 1), (2, 2), (2, 1))
SMALLEST = {"features": (2, 3), "strides": ((1, 1), (2, 2)), "convolutions": 1}


def shapes_of(model, channels=1, rank=2):
    image = jax.ShapeDtypeStruct((1, *(2,) * rank, channels), jnp.float32)
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)


def random_variables(model, channels=1, rank=2):
    """Random values everywhere, biases too; around 1 for scales and variances."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        around = 1.0 if path[-1].key in ("scale", "var") else 0.0
        spread = 0.1 if around else 0.4
        return jnp.asarray(rng.normal(around, spread, leaf.shape).astype(np.float32))

    return jax.tree_util.tree_map_with_path(draw, shapes_of(model, channels, rank))


def image_of(shape, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def apply(model, variables, image, train=False):
    return jax.jit(lambda v, x: model.apply(v, x, train=train))(variables, image)


V1, V2 = {"up_bias": False, "head_bias": False}, {}


@pytest.mark.parametrize(
    ("base", "cap", "stages", "channels", "classes", "options", "count"),
    [
        (32, 480, 7, 1, 4, V1, 29_968_992),
        (32, 480, 7, 1, 3, V1, 29_967_552),
        (32, 480, 6, 4, 4, V1, 18_672_576),
        (48, 480, 7, 1, 4, V1, 35_387_376),
        (32, 512, 7, 1, 4, V2, 33_474_840),
        (32, 512, 7, 1, 3, V2, 33_473_330),
        (32, 512, 6, 4, 4, V2, 20_621_940),
        (32, 512, 3, 1, 2, V2, 467_396),
        (32, 512, 4, 1, 2, V2, 1_928_262),
        (32, 512, 5, 1, 2, V2, 7_766_344),
        (32, 512, 6, 1, 2, V2, 20_619_082),
        (32, 512, 7, 1, 2, V2, 33_471_820),
        (32, 512, 8, 1, 2, V2, 46_324_558),
    ],
)
def test_parameter_counts(base, cap, stages, channels, classes, options, count):
    features = tuple(min(base * 2**i, cap) for i in range(stages))
    strides = ((1, 1), *((2, 2),) * (stages - 1))
    shapes = shapes_of(PlainUNet(features, strides, classes, **options), channels)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}


def up_by_loops(x, kernel):
    window = kernel.shape[:-2]
    sizes = [n * k for n, k in zip(x.shape[1:-1], window, strict=True)]
    y = np.zeros((x.shape[0], *sizes, kernel.shape[-1]))
    for at in np.ndindex(*sizes):
        inside = tuple(n % k for n, k in zip(at, window, strict=True))
        source = tuple(n // k for n, k in zip(at, window, strict=True))
        y[:, *at] = x[:, *source] @ kernel[inside]
    return y


def network_by_loops(params, image, strides, convolutions):
    """The network in float64, with every bias added where PyTorch adds it."""
    once = (1,) * len(strides[0])

    def unit(name, x, stride):
        conv, norm = params[name]["conv"], params[name]["norm"]
        y = norm_by_loops(by_loops(x, conv["kernel"], stride) + np.asarray(conv["bias"]), **norm)
        return np.where(y > 0, y, 0.01 * y)

    skips, x, logits = [], image, []
    for i, stride in enumerate(strides):
        for t in range(convolutions):
            x = unit(f"down_{i}_{t}", x, once if t else stride)
        skips.append(x)
    for i in reversed(range(len(strides) - 1)):
        up, head = params[f"up_{i}"], params[f"head_{i}"]
        x = up_by_loops(x, np.asarray(up["kernel"], np.float64)) + np.asarray(up["bias"])
        x = np.concatenate([x, skips[i]], axis=-1)
        for t in range(2):
            x = unit(f"decode_{i}_{t}", x, once)
        logits.insert(0, by_loops(x, head["kernel"], once) + np.asarray(head["bias"]))
    return logits


@pytest.mark.parametrize(
    ("strides", "kernels", "convolutions", "shape"),
    [
        (STRIDES, None, 2, (2, 8, 6, 1)),
        (STRIDES, ((1, 3), (3, 3), (3, 3)), 1, (1, 4, 6, 1)),
        (((1, 1, 1), (1, 2, 2), (2, 2, 2)), ((1, 3, 3), (3, 3, 3), (3, 3, 3)), 2, (1, 2, 4, 4, 1)),
    ],
)
def test_equals_the_network_by_loops(strides, kernels, convolutions, shape):
    model = PlainUNet(FEATURES, strides, 3, kernels=kernels, convolutions=convolutions)
    variables, image = random_variables(model, rank=len(shape) - 2), image_of(shape)
    out = apply(model, variables, image)
    want = network_by_loops(variables["params"], np.asarray(image), strides, convolutions)
    assert set(out) == {"logits", "deep_logits"}
    assert isinstance(out["deep_logits"], tuple)
    got = (out["logits"], *out["deep_logits"])
    assert [g.shape for g in got] == [w.shape for w in want]
    for g, w in zip(got, want, strict=True):
        assert g.dtype == jnp.float32
        np.testing.assert_allclose(g, w, atol=1e-4)


def test_initial_values():
    model, key = (
        PlainUNet((16, 32), ((1, 1), (2, 2)), 2, convolutions=1),
        jax.random.key(0, impl="rbg"),
    )
    variables = jax.jit(lambda x: model.init(key, x, train=False))(jnp.zeros((1, 2, 2, 1)))
    assert set(variables) == {"params"}
    params = variables["params"]
    gain = 2 / (1 + 0.01**2)
    kernels = {
        9 * 16: params["down_1_0"]["conv"]["kernel"],
        9 * 32: params["decode_0_0"]["conv"]["kernel"],
        4 * 16: params["up_0"]["kernel"],  # Output channels, as PyTorch counts.
    }
    for fan_in, kernel in kernels.items():
        np.testing.assert_allclose(np.std(kernel), np.sqrt(gain / fan_in), rtol=0.06)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if path[-1].key in ("bias", "scale"):
            np.testing.assert_array_equal(leaf, float(path[-1].key == "scale"))


def test_other_sizes_are_padded_at_the_end_and_cropped():
    model = PlainUNet(FEATURES, ((1, 1), (2, 2), (2, 2)), 2)
    variables, image = random_variables(model), image_of((1, 6, 9, 1))
    out = apply(model, variables, image)
    whole = apply(model, variables, jnp.pad(image, [(0, 0), (0, 2), (0, 3), (0, 0)]))
    np.testing.assert_allclose(out["logits"], whole["logits"][:, :6, :9], atol=1e-6)
    # As many as labels at every second pixel.
    assert out["deep_logits"][0].shape == (1, *image[0, ::2, ::2, 0].shape, 2)
    np.testing.assert_allclose(out["deep_logits"][0], whole["deep_logits"][0][:, :3, :5], atol=1e-6)


@pytest.mark.parametrize("stages", [2, 3, 5])
def test_number_of_heads(stages):
    model = PlainUNet((2,) * stages, ((1, 1), *((2, 2),) * (stages - 1)), 3)
    image = jax.ShapeDtypeStruct((1, 16, 32, 1), jnp.float32)
    out = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x, train=False), image)
    assert out[0]["logits"].shape == (1, 16, 32, 3)
    got = [logits.shape for logits in out[0]["deep_logits"]]
    assert got == [(1, 16 >> i, 32 >> i, 3) for i in range(1, stages - 1)]


def loss_of(model, variables, image):
    def loss(params, image):
        out = model.apply({**variables, "params": params}, image, train=False)
        return sum(jnp.mean(logits**2) for logits in (out["logits"], *out["deep_logits"]))

    return jax.jit(jax.grad(loss, (0, 1)))(variables["params"], image)


def test_gradients_of_a_constant_image_are_finite_and_idle_biases_have_none():
    model = PlainUNet(**SMALLEST)
    variables = random_variables(model)
    for image in (jnp.full((1, 4, 4, 1), 3.0), image_of((1, 4, 4, 1))):
        grads = loss_of(model, variables, image)
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(grads))
    idle = [grads[0][name]["conv"]["bias"] for name in ("down_0_0", "down_1_0", "decode_0_1")]
    assert all(not leaf.any() for leaf in idle)
    assert all(grads[0][name]["bias"].any() for name in ("up_0", "head_0"))


def test_bfloat16_is_close_and_keeps_float32_parameters():
    variables = random_variables(PlainUNet(FEATURES, STRIDES, 2))
    half = PlainUNet(FEATURES, STRIDES, 2, dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes_of(half))} == {jnp.dtype("float32")}
    image = image_of((2, 8, 6, 1))
    got = apply(half, variables, image)["logits"]
    want = np.asarray(apply(PlainUNet(FEATURES, STRIDES, 2), variables, image)["logits"])
    assert got.dtype == jnp.float32
    assert 0 < np.abs(np.asarray(got) - want).mean() < 0.1 * want.std()


def test_batch_norm():
    model = PlainUNet(**SMALLEST, norm="batch")
    variables, image = random_variables(model), image_of((2, 8, 4, 1))
    assert set(variables) == {"params", "batch_stats"}
    still = apply(model, variables, image)
    out, moved = jax.jit(lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"]))(
        variables, image
    )
    assert np.abs(np.asarray(out["logits"] - still["logits"])).max() > 1e-3
    conv = variables["params"]["down_0_0"]["conv"]
    first = by_loops(image, conv["kernel"], (1, 1)) + np.asarray(conv["bias"])
    old, new = (tree["batch_stats"]["down_0_0"]["norm"] for tree in (variables, moved))
    want = 0.9 * old["mean"] + 0.1 * first.mean((0, 1, 2)).astype(np.float32)
    np.testing.assert_allclose(new["mean"], want, atol=1e-5)


def test_sharded_over_eight_devices_equals_one():
    model = PlainUNet(**SMALLEST)
    variables, image = random_variables(model), image_of((8, 8, 6, 1))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("data")
    split = jax.device_put(image, jax.sharding.NamedSharding(mesh, spec))
    whole = jax.device_put(
        variables, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    )
    want, got = loss_of(model, variables, image), loss_of(model, whole, split)
    assert len(got[1].sharding.device_set) == 8
    jax.tree.map(lambda g, w: np.testing.assert_allclose(g, w, atol=1e-4, rtol=1e-3), got, want)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"features": (2,), "strides": ((1, 1),)}, "`features` takes two stages"),
        ({"strides": STRIDES[1:]}, "`strides` takes one entry for each of the 3 stages.* got 2"),
        ({"strides": ((2, 2), *STRIDES[1:])}, r"`strides` takes \(1, 1\) .* first, got \(2, 2\)"),
        ({"strides": ((1,), (2,), (2,))}, r"`strides` takes \(1, 1\) or \(1, 1, 1\) first"),
        ({"strides": ((1, 1), (2, 2), (2,))}, r"`strides\[2\]` takes 2 positive"),
        ({"kernels": ((3, 3), (3, 3))}, "`kernels` takes one entry for each of the 3"),
        ({"kernels": ((3, 3), (3, 3), (3,))}, r"`kernels\[2\]` takes 2 positive"),
        ({"kernels": ((3, 3), (3, 3), (2, 2))}, "odd window"),
        ({"norm": "group"}, "`norm` takes one of"),
        ({"convolutions": 0}, "`convolutions` takes a positive integer"),
    ],
)
def test_wrong_options(options, match):
    model = PlainUNet(**{"features": FEATURES, "strides": STRIDES, **options})
    with pytest.raises(ValueError, match=match):
        shapes_of(model)


def test_wrong_image():
    model = PlainUNet(FEATURES, STRIDES)
    with pytest.raises(ValueError, match="`image` takes 4 axes"):
        shapes_of(model, rank=3)
    with pytest.raises(TypeError, match="`image` .* uint8"):
        model.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1), jnp.uint8), train=False)


@pytest.mark.parametrize(
    ("levels", "weights"),
    [
        (1, [1]),
        (2, [1, 0]),
        (3, [0.6667, 0.3333, 0]),
        (4, [0.5714, 0.2857, 0.1429, 0]),
        (5, [0.5333, 0.2667, 0.1333, 0.0667, 0]),
        (6, [0.5161, 0.2581, 0.1290, 0.0645, 0.0323, 0]),
    ],
)
def test_deep_supervision_weights(levels, weights):
    got = deep_supervision_weights(levels)
    assert isinstance(got, tuple)
    np.testing.assert_allclose(got, weights, atol=5e-5)
    np.testing.assert_allclose(sum(got), 1)


def test_no_heads_no_weights():
    with pytest.raises(ValueError, match="`levels`"):
        deep_supervision_weights(0)
