import builtins
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.errors import UserError
from segjax.models import CellposeUNet, cellpose

GOLDEN = pathlib.Path(__file__).parent / "goldens" / "cellpose.npz"
DEFAULT, SMALL = (32, 64, 128, 256), (4, 8, 12, 16)


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(GOLDEN))


@pytest.fixture(scope="module")
def state(golden):
    return {k.removeprefix("state/"): v for k, v in golden.items() if k.startswith("state/")}


def init(model, channels=3):
    key = jax.random.key(0, impl="rbg")
    return jax.jit(lambda x: model.init(key, x, train=False))(jnp.zeros((1, 8, 8, channels)))


def ones_like_init(model, channels=3):
    """Variables of the right shapes without the time to compile `init`."""
    image = jax.ShapeDtypeStruct((1, 8, 8, channels), jnp.float32)
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)
    return jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)


def close(got, want, tolerance):
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * np.abs(want).max())


@pytest.mark.parametrize(
    ("features", "outputs", "channels", "count"),
    [
        (DEFAULT, 3, 2, 6_600_843),
        (DEFAULT, 3, 3, 6_601_167),
        (DEFAULT, 2, 3, 6_601_134),
        (DEFAULT, 1, 3, 6_601_101),
        (DEFAULT, 1, 1, 6_600_453),
        ((8, 16, 32), 2, 3, 103_094),
        (SMALL, 3, 2, 38_215),
        (SMALL, 1, 3, 38_249),
    ],
)
def test_parameter_counts(features, outputs, channels, count):
    model = CellposeUNet(features, outputs=outputs)
    image = jax.ShapeDtypeStruct((1, 16, 16, channels), jnp.float32)
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == count
    if (features, channels) == (DEFAULT, 2):
        assert sum(leaf.size for leaf in jax.tree.leaves(shapes["batch_stats"])) == 9_544


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_equals_pytorch(golden, state, mode):
    """Same state dict, same input: same output, gradients and running statistics."""
    model = CellposeUNet(SMALL, outputs=2)
    variables = cellpose.from_state_dict(state)
    weight = jnp.asarray(golden["weight"])

    @jax.jit
    def run(params, image):
        tree = {"params": params, "batch_stats": variables["batch_stats"]}
        if mode == "eval":
            out, changed = model.apply(tree, image, train=False), {}
        else:
            out, changed = model.apply(tree, image, train=True, mutable=["batch_stats"])
        return jnp.sum(out["logits"] * weight), (out, changed)

    image = jnp.asarray(golden["image"])
    grads, (out, changed) = jax.grad(run, (0, 1), has_aux=True)(variables["params"], image)
    close(out["logits"], golden[f"{mode}/logits"], 1e-5)
    close(out["style"], golden[f"{mode}/style"], 1e-5)
    close(grads[1], golden[f"{mode}/grad/image"], 1e-4)
    as_torch = cellpose.to_state_dict({"params": grads[0], "batch_stats": variables["batch_stats"]})
    kernels = [k for k in golden if k.startswith(f"{mode}/grad/") and not k.endswith("image")]
    assert len(kernels) == 2
    for key in kernels:
        close(as_torch[key.removeprefix(f"{mode}/grad/")], golden[key], 1e-4)
    if mode == "train":
        moved = cellpose.to_state_dict({"params": variables["params"], **changed})
        prefix = "downsample.down.res_down_1.conv.conv_0.0"
        close(moved[f"{prefix}.running_mean"], golden[f"after/{prefix}.running_mean"], 1e-5)
        # PyTorch keeps the unbiased variance of the n pixels of a level.
        n = 2 * 16 * 20
        old = state[f"{prefix}.running_var"]
        biased = moved[f"{prefix}.running_var"] - 0.95 * old
        close(0.95 * old + biased * n / (n - 1), golden[f"after/{prefix}.running_var"], 1e-5)


@pytest.mark.parametrize("size", [(1, 1), (33, 18)])
def test_any_size_is_padded_and_cropped(state, size):
    model = CellposeUNet(SMALL, outputs=2)
    variables = cellpose.from_state_dict(state)
    image = jax.random.uniform(jax.random.key(0), (2, *size, 3))
    apply = jax.jit(lambda x: model.apply(variables, x, train=False))
    out = apply(image)
    assert set(out) == {"logits", "style"}
    assert out["logits"].shape == (2, *size, 2)
    assert out["style"].shape == (2, 16)
    np.testing.assert_allclose(np.sum(np.asarray(out["style"]) ** 2, -1), 1, rtol=1e-5)
    missing = [-s % 8 for s in size]
    pads = [(0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)]
    whole = apply(jnp.pad(image, pads))["logits"]
    top, left = pads[1][0], pads[2][0]
    np.testing.assert_array_equal(
        out["logits"], whole[:, top : top + size[0], left : left + size[1]]
    )


def test_bfloat16_is_close_and_keeps_float32_state(golden, state):
    variables = cellpose.from_state_dict(state)
    model = CellposeUNet(SMALL, outputs=2, dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(ones_like_init(model))} == {jnp.dtype("float32")}
    out, changed = jax.jit(lambda x: model.apply(variables, x, train=True, mutable="batch_stats"))(
        jnp.asarray(golden["image"])
    )
    assert out["logits"].dtype == out["style"].dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(changed)} == {jnp.dtype("float32")}
    want = golden["train/logits"]
    error = np.abs(np.asarray(out["logits"]) - want)
    assert 0 < error.mean() < 0.05 * want.std()


def test_pmap_over_two_devices_equals_the_whole_batch(state):
    variables = cellpose.from_state_dict(state)
    images = jax.random.uniform(jax.random.key(1), (4, 16, 16, 3))
    images = images * jnp.arange(1.0, 5.0)[:, None, None, None]  # The halves differ.

    def run(model, image):
        out, changed = model.apply(variables, image, train=True, mutable=["batch_stats"])
        return out["logits"], changed

    want, stats = jax.jit(lambda x: run(CellposeUNet(SMALL, outputs=2), x))(images)
    shared = CellposeUNet(SMALL, outputs=2, axis_name="data")
    halves = images.reshape(2, 2, 16, 16, 3)
    got, moved = jax.pmap(lambda x: run(shared, x), axis_name="data")(halves)
    close(np.asarray(got).reshape(want.shape), np.asarray(want), 1e-4)
    jax.tree.map(lambda a, b: close(np.asarray(a)[1], np.asarray(b), 1e-5), moved, stats)


def test_style_off_feeds_zeros_and_still_returns_it(state):
    variables = cellpose.from_state_dict(state)
    image = jax.random.uniform(jax.random.key(0), (1, 8, 8, 3))
    on, off = (
        jax.jit(partial(CellposeUNet(SMALL, outputs=2, style=style).apply, train=False))(
            variables, image
        )
        for style in (True, False)
    )
    np.testing.assert_array_equal(on["style"], off["style"])
    assert np.abs(np.asarray(on["logits"] - off["logits"])).max() > 1e-3


def test_initialisation_is_torch_uniform():
    params = init(CellposeUNet((16, 32)))["params"]
    conv = params["down_1"]["conv_2"]["conv"]
    bound = 1 / np.sqrt(9 * 32)
    for leaf in (conv["kernel"], conv["bias"]):
        assert np.abs(leaf).max() <= bound
        assert np.abs(leaf).max() > 0.8 * bound
    np.testing.assert_allclose(np.std(conv["kernel"]), bound / np.sqrt(3), rtol=0.03)


def test_style_of_a_map_of_zeros_has_a_finite_gradient():
    grad = jax.grad(lambda x: jnp.sum(cellpose._unit_style(x)))(jnp.zeros((1, 2, 2, 4)))
    assert np.isfinite(grad).all()


@pytest.mark.parametrize(
    ("image", "error", "match"),
    [
        (jnp.zeros((8, 8, 3)), ValueError, "`image` takes 4 axes"),
        (jnp.zeros((1, 8, 8, 3), jnp.uint8), TypeError, "`image` .* uint8"),
    ],
)
def test_wrong_image(image, error, match):
    with pytest.raises(error, match=match):
        CellposeUNet(SMALL).init(jax.random.key(0), image, train=False)


# --- Weights. ---


def test_round_trip_and_prefix(state):
    variables = cellpose.from_state_dict(
        {f"module.{k}": v for k, v in state.items()} | {"diam_mean": np.ones(1)}
    )
    back = cellpose.to_state_dict(variables)
    assert set(back) == {k for k in state if not k.endswith("num_batches_tracked")}
    for key, value in back.items():
        np.testing.assert_array_equal(value, state[key])
    assert jax.tree.structure(variables) == jax.tree.structure(
        ones_like_init(CellposeUNet(SMALL, outputs=2))
    )


def test_template_keeps_head_and_first_layers(state):
    template = ones_like_init(CellposeUNet(SMALL, outputs=1), channels=2)
    full = cellpose.from_state_dict(state)
    variables = cellpose.from_state_dict(state, template=template)
    same = jax.tree_util.tree_map_with_path(
        lambda path, got, ours: (path, got is ours), variables, template
    )
    kept = {tuple(k.key for k in path[1:3]) for path, is_kept in flat(same) if is_kept}
    assert kept == {
        ("down_0", "conv_0"),
        ("down_0", "proj"),
        ("output", "norm"),
        ("output", "conv"),
    }
    np.testing.assert_array_equal(
        variables["params"]["up_1"]["proj"]["conv"]["kernel"],
        full["params"]["up_1"]["proj"]["conv"]["kernel"],
    )
    equal = cellpose.from_state_dict(state, template=ones_like_init(CellposeUNet(SMALL, outputs=2)))
    jax.tree.map(np.testing.assert_array_equal, equal, full)


def flat(tree):
    return jax.tree.leaves(tree, is_leaf=lambda leaf: isinstance(leaf, tuple))


def test_template_of_other_widths_is_refused(state):
    with pytest.raises(ValueError, match=r"`upsample.* takes shape .*20.*, got .*16"):
        cellpose.from_state_dict(
            state, template=ones_like_init(CellposeUNet((4, 8, 12, 20), outputs=2))
        )
    with pytest.raises(ValueError, match="`template`"):
        cellpose.from_state_dict(
            state, template=ones_like_init(CellposeUNet((4, 8, 12), outputs=2))
        )


def test_state_dict_errors_name_the_key(state):
    key = "upsample.up.res_up_1.conv.conv_1.full.weight"
    with pytest.raises(ValueError, match=f"no key `{key}`"):
        cellpose.from_state_dict({k: v for k, v in state.items() if k != key})
    with pytest.raises(ValueError, match=rf"`{key}` takes shape \(8, 16\), got \(16, 16\)"):
        cellpose.from_state_dict(state | {key: np.zeros((16, 16))})  # Concatenated skips.
    plain = {k.replace("conv.conv_", "conv.conv_down_"): v for k, v in state.items()}
    with pytest.raises(ValueError, match="unknown key `.*conv_down_"):
        cellpose.from_state_dict(plain)
    with pytest.raises(ValueError, match="unknown key `encoder"):
        cellpose.from_state_dict({"encoder.pos_embed": np.zeros(3)})
    with pytest.raises(ValueError, match="no key"):
        cellpose.from_state_dict({})


def test_weights_file_missing_or_torch_missing(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="absent.pth: no such file"):
        cellpose.load_torch_weights(tmp_path / "absent.pth")
    file = tmp_path / "net.pth"
    file.write_bytes(b"not a checkpoint")
    imports = builtins.__import__

    def without_torch(name, *args, **kwargs):
        if name == "torch":
            raise ImportError(name)
        return imports(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(ImportError, match="extra `torch`"):
        cellpose.load_torch_weights(file)


def test_weights_file_is_read(tmp_path, state):
    torch = pytest.importorskip("torch")
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="bad.pth: not a PyTorch file"):
        cellpose.load_torch_weights(bad)
    good = tmp_path / "good.pth"
    torch.save({k: torch.from_numpy(v) for k, v in state.items()}, good)
    cellpose.from_state_dict(cellpose.load_torch_weights(good))
    torch.save([1, 2], bad)
    with pytest.raises(UserError, match="takes a state dict of tensors, got list"):
        cellpose.load_torch_weights(bad)
