"""What every loss owes: its equation, an order, exact gradients, and sense at the edges."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from segjax import losses, maps
from segjax.explore import inputs
from segjax.tasks.binding import array_parameters

from .oracles import CASES, ORACLES

FIRST = {case.loss: case for case in reversed(CASES)}
EVERY = pytest.mark.parametrize("case", FIRST.values(), ids=str)
# What a loss differentiates with respect to: its first array, or all of a triplet's.
LEAVES = {"triplet": (0, 1, 2)}


def bound(case):
    return functools.partial(getattr(losses, case.loss), **case.options)


def leaves(case):
    return LEAVES.get(case.loss, (0,))


def arrays(case, situation="random", *, batch=2, shape=None, dtype=np.float32, seed=0):
    """The loss's arguments as a tuple."""
    *spatial, channels = shape or case.shapes[0]
    made = inputs.arguments(
        array_parameters(getattr(losses, case.loss)),
        situation,
        batch=batch,
        spatial=tuple(spatial),
        channels=channels,
        seed=seed,
    )
    return tuple(a.astype(dtype) if a.dtype == np.float64 else a for a in made.values())


@functools.cache
def compiled(name):
    """One compilation for most of the tests: values `[8]` and the gradient of their sum."""
    case = FIRST[name]

    def total(*arguments):
        values = bound(case)(*arguments)
        return values.sum(), values

    step = jax.value_and_grad(total, leaves(case), has_aux=True)

    def run(*arguments):
        (_, values), gradients = step(*arguments)
        return values, gradients

    return jax.jit(run)


def test_every_loss_has_a_case():
    assert sorted(FIRST) == sorted(losses.__all__)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_equals_its_equation(case):
    for shape in case.shapes:
        arguments = arrays(case, shape=shape, dtype=np.float64)
        wanted = ORACLES[case.loss](*arguments, **case.options)
        single = arrays(case, shape=shape)
        got = jax.jit(bound(case))(*single)
        assert got.dtype == jnp.float32 and got.shape == wanted.shape
        assert np.all(np.abs(wanted) > 1e-6), "an oracle value of 0 shows nothing"
        np.testing.assert_allclose(got, wanted, rtol=case.tolerance, atol=1e-6, err_msg=str(shape))


@EVERY
def test_jit_eager_and_eight_devices_agree_and_images_do_not_see_each_other(case):
    arguments = arrays(case, batch=8)
    values, gradients = compiled(case.loss)(*arguments)
    # Outside jit, NumPy's own widths come as they are; a warning would be an error here.
    wide = (
        a.astype(np.int64) if a.dtype == np.int32 else a
        for a in arrays(case, batch=8, dtype=np.float64)
    )
    np.testing.assert_allclose(bound(case)(*wide), values, rtol=1e-5, atol=1e-6)
    spread = NamedSharding(Mesh(np.array(jax.devices()), ("b",)), PartitionSpec("b"))
    many = compiled(case.loss)(*(jax.device_put(a, spread) for a in arguments))
    np.testing.assert_allclose(many[0], values, rtol=1e-5, atol=1e-6)
    for one, other in zip(gradients, many[1], strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-6)
    order = np.random.default_rng(0).permutation(8)
    permuted = compiled(case.loss)(*(a[order] for a in arguments))
    np.testing.assert_allclose(permuted[0], np.asarray(values)[order], rtol=1e-5, atol=1e-6)


@EVERY
def test_gradients_equal_finite_differences(case):
    with jax.enable_x64(True):
        arguments = arrays(case, dtype=np.float64)
        total = jax.jit(lambda *a: bound(case)(*a).sum())
        gradients = jax.jit(jax.grad(lambda *a: bound(case)(*a).sum(), leaves(case)))(*arguments)
        rng = np.random.default_rng(1)
        for index, gradient in zip(leaves(case), gradients, strict=True):
            assert np.abs(gradient).max() > 0
            for _ in range(3):
                direction = rng.standard_normal(gradient.shape)
                ends = [
                    total(
                        *arguments[:index],
                        arguments[index] + s * direction,
                        *arguments[index + 1 :],
                    )
                    for s in (1e-5, -1e-5)
                ]
                wanted = (ends[0] - ends[1]) / 2e-5
                np.testing.assert_allclose(
                    np.vdot(gradient, direction), wanted, rtol=1e-5, atol=1e-7
                )


@EVERY
@pytest.mark.parametrize("channels", [3, 1])
def test_values_and_gradients_are_finite_at_the_edges(case, channels):
    *spatial, usual = case.shapes[0]
    if "labels" not in array_parameters(getattr(losses, case.loss)) and channels != usual:
        pytest.skip("has no classes")
    for situation in inputs.SITUATIONS:
        for saturated in (False, True):
            arguments = arrays(case, situation, batch=8, shape=(*spatial, channels))
            if saturated:
                extreme = arrays(case, "saturated", batch=8, shape=(*spatial, channels))
                arguments = tuple(
                    e if index in leaves(case) else a
                    for index, (a, e) in enumerate(zip(arguments, extreme, strict=True))
                )
            values, gradients = compiled(case.loss)(*arguments)
            assert np.all(np.isfinite(values)), (situation, saturated)
            assert all(np.all(np.isfinite(g)) for g in gradients), (situation, saturated)


def prediction(labels, classes, sharpness=8.0):
    """Logits that say `labels` firmly."""
    if classes == 1:
        return np.where(labels[..., None] > 0, sharpness, -sharpness).astype(np.float32)
    return sharpness * np.eye(classes, dtype=np.float32)[labels] - sharpness / 2


@EVERY
@pytest.mark.parametrize("absent", [False, True])
def test_wrong_costs_more_than_slightly_wrong_than_perfect(case, absent):
    parameters = array_parameters(getattr(losses, case.loss))
    if not case.ordered or parameters[0] != "logits":
        pytest.skip("its own file orders it")
    *spatial, classes = case.shapes[0]
    labels = np.zeros((8, *spatial), np.int32)
    labels[:, 1:5, 2:6] = max(2, classes) - 1
    if not absent and classes > 2:
        labels[:, 6:, 3:6] = 1
    slightly = np.roll(labels, 1, axis=1)
    wrong = (labels + 1) % max(2, classes)
    truth = {"labels": labels, "maps": maps.rectified(labels, classes)}
    truth = [truth[name] for name in parameters[1:]]
    perfect, near, far = (
        np.asarray(compiled(case.loss)(prediction(p, classes), *truth)[0])
        for p in (labels, slightly, wrong)
    )
    assert np.all(perfect < near) and np.all(near < far), (perfect[0], near[0], far[0])


@EVERY
def test_integer_one_hot_labels_are_explained(case):
    parameters = array_parameters(getattr(losses, case.loss))
    if parameters[:2] != ("logits", "labels"):
        pytest.skip("takes no labels")
    logits, *rest = arrays(case)
    labels = jnp.zeros(logits.shape, jnp.int32)
    with pytest.raises(ValueError, match=r"one-hot labels are floats \(labels.astype\(float\)\)"):
        bound(case)(logits, labels, *rest[1:])


@functools.cache
def cropped(name):
    """Arguments that hold nonsense outside a window, the window, and the values inside it."""
    case = FIRST[name]
    arguments = arrays(case, batch=8)
    where = np.zeros(arguments[0].shape[: len(case.shapes[0])], bool)
    where[:, 1:7, 2:] = True
    inside = (slice(None), slice(1, 7), slice(2, None))
    wanted = jax.jit(bound(case))(*(np.ascontiguousarray(a[inside]) for a in arguments))
    outside = tuple(
        np.where(where.reshape(where.shape + (1,) * (a.ndim - where.ndim)), a, np.nan)
        if a.dtype == np.float32
        else np.where(where, a, 99)
        for a in arguments
    )
    return outside, where, np.asarray(wanted)


@EVERY
def test_where_equals_cropping(case):
    loss = getattr(losses, case.loss)
    if "where" not in inspect.signature(loss).parameters:
        pytest.skip("has no `where`")
    outside, where, wanted = cropped(case.loss)

    def total(logits, *others, where):
        values = bound(case)(logits, *others, where=where)
        return values.sum(), values

    step = jax.jit(jax.grad(total, has_aux=True))
    gradient, values = step(*outside, where=where)
    np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-6)
    gradient = np.asarray(gradient)
    assert np.all(gradient[~where] == 0) and np.all(np.isfinite(gradient))
    _, none = step(*arrays(case, batch=8), where=np.zeros_like(where))
    assert np.all(np.isfinite(none))


def has_labels(loss):
    return "labels" in array_parameters(getattr(losses, loss))


@pytest.mark.parametrize("name", [name for name in FIRST if has_labels(name)])
def test_a_label_outside_the_classes_leaves_its_pixel_out(name):
    outside, where, wanted = cropped(name)
    (values, (gradient,)), logits = compiled(name)(*outside), outside[0]
    if "where" in inspect.signature(getattr(losses, name)).parameters:
        np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-6)
    assert np.all(np.isfinite(values)) and np.all(np.isfinite(gradient))
    assert not np.any(np.asarray(gradient)[~where])
    assert np.any(gradient)
    # Whatever stands there, and whichever label says so.
    rng = np.random.default_rng(0)
    logits = np.where(where[..., None], logits, rng.standard_normal(logits.shape))
    labels = np.where(where, outside[1], -1)
    again, _ = compiled(name)(logits.astype(np.float32), labels, *outside[2:])
    np.testing.assert_allclose(again, values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["cross_entropy", "dice", "region_wise_cross_entropy"])
@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_a_label_beyond_32_bits_is_no_class(name, dtype):
    # A cast would make it class 0. The rest of the losses read labels by the same two functions.
    logits, labels, *others = cropped(name)[0]
    wanted, _ = compiled(name)(logits, labels, *others)
    wide = np.where(labels == 99, dtype(2**32), labels.astype(dtype))
    got = bound(FIRST[name])(logits, wide, *others)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


@EVERY
def test_a_nan_makes_its_image_nan_and_no_other(case):
    arguments = arrays(case, batch=8)
    clean = compiled(case.loss)(*arguments)
    names = array_parameters(getattr(losses, case.loss))
    for index, name in enumerate(names):
        if arguments[index].dtype != np.float32:
            continue
        broken = arguments[index].copy()
        place = (0,) * broken.ndim
        if name == "activation_logits":  # a pixel outside the region, the only kind that counts
            place = (0, *np.argwhere(~arguments[1][0])[0])
        if name == "maps":  # of a foreground class
            place = (*place[:-1], broken.shape[-1] - 1)
        broken[place] = np.nan
        given = (*arguments[:index], broken, *arguments[index + 1 :])
        values, gradients = compiled(case.loss)(*given)
        assert np.isnan(values[0]), name
        assert any(np.any(np.isnan(g[0])) for g in gradients), name
        np.testing.assert_allclose(values[1:], clean[0][1:], rtol=1e-5, err_msg=name)
        for got, wanted in zip(gradients, clean[1], strict=True):
            np.testing.assert_allclose(got[1:], wanted[1:], rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    "name", [name for name in FIRST if has_labels(name) and name != "lovasz_softmax"]
)
def test_a_nan_among_soft_labels_counts_unless_where_leaves_it_out(name):
    logits, labels, *others = arrays(FIRST[name], batch=3)
    soft = (labels[..., None] == np.arange(logits.shape[-1])).astype(np.float32)
    options = {}
    if "where" in inspect.signature(getattr(losses, name)).parameters:
        options["where"] = np.ones(labels.shape, bool)
        options["where"][1, 2, 3] = False

    def total(logits, soft, options):
        values = bound(FIRST[name])(logits, soft, *others, **options)
        return values.sum(), values

    step = jax.jit(jax.grad(total, has_aux=True))
    wanted, clean = step(logits, soft, options)
    broken = soft.copy()
    broken[0, 2, 3, 0] = np.nan  # the background's share alone
    if options:
        broken[1, 2, 3] = np.nan
    gradient, values = step(logits, broken, options)
    assert np.isnan(values[0]) and np.any(np.isnan(gradient[0]))
    np.testing.assert_allclose(values[1:], clean[1:], rtol=1e-5)
    np.testing.assert_allclose(gradient[1:], wanted[1:], rtol=1e-4, atol=1e-6)
    if options:
        assert not np.any(gradient[1, 2, 3])


def numeric_options(name):
    """(option, default) of each option that is a number."""
    parameters = inspect.signature(getattr(losses, name)).parameters.values()
    defaults = ((p.name, p.default) for p in parameters)
    return [(n, d) for n, d in defaults if isinstance(d, int | float) and not isinstance(d, bool)]


@EVERY
def test_options_are_finite_numbers_of_python_or_numpy(case):
    arguments = arrays(case)
    for option, default in numeric_options(case.loss):
        kinds = (np.float32, np.float64) if isinstance(default, float) else (np.int64, np.uint8)
        for kind in kinds:
            options = {**case.options, option: kind(default)}
            shaped = jax.eval_shape(
                functools.partial(getattr(losses, case.loss), **options), *arguments
            )
            assert shaped.dtype == np.float32, (option, kind)
        for wrong in (np.nan, np.inf, -np.inf, "1", None):
            if wrong is None and default is None:
                continue
            options = {**case.options, option: wrong}
            with pytest.raises(ValueError, match=f"`{option}`"):
                jax.eval_shape(functools.partial(getattr(losses, case.loss), **options), *arguments)


@EVERY
def test_half_precision_stays_within_its_bound(case):
    arguments = arrays(case, batch=8)
    values, _ = compiled(case.loss)(*arguments)
    low = tuple(
        jnp.asarray(a, jnp.bfloat16) if i in leaves(case) else a for i, a in enumerate(arguments)
    )
    got, gradients = compiled(case.loss)(*low)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, values, rtol=case.half, atol=case.half * np.abs(values).mean())
    for gradient in gradients:
        assert gradient.dtype == jnp.bfloat16
        assert np.all(np.isfinite(gradient.astype(jnp.float32)))
