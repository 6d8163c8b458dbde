"""The Lovász-softmax loss, sorted once for value and gradient."""

import jax
import jax.numpy as jnp
import numpy as np

from segjax.ops import checks, classes, host
from segjax.types import Array, Bool, Float, Int


def lovasz_softmax(
    logits: Float[Array, "b *s c"],
    labels: Int[Array, "b *s"],
    *,
    classes_counted: str = "present",
    include_background: bool = True,
    over: str = "image",
    route: str = "auto",
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """The Lovász extension of one minus the Jaccard index, mean over classes (0 is perfect).

    Unlike soft jaccard it equals the index wherever the prediction is hard, and it is convex in
    the errors. It learns slowly from scratch; after cross entropy it refines.

    L_b = mean_k sum_j e_(j) [J_j - J_(j-1)], e_i = |t_ik - p_ik| sorted downwards,
    J_j = 1 - (T - F_j) / (T + B_j), F_j and B_j the foreground and background pixels among the
    j worst, T all foreground pixels of class k.

    Source: Berman, Triki, Blaschko (2018), The Lovász-Softmax loss, equations (8) to (11).
    Departures: each image by itself; `over='batch'` is the published code's default. Among
    equal errors the foreground goes first, and pixels of one kind share their gradient; the
    published code lets its sort decide. For one channel this is the sigmoid's foreground alone,
    not the hinge.

    Args:
        logits: raw scores, channels last.
        labels: class indices; no soft targets, which have no Jaccard index.
        classes_counted: 'present' (in the labels of the image or batch) or 'all'.
        include_background: count class 0 as well (several channels only).
        over: 'image', or 'batch': one value for the whole batch.
        route: where the errors are sorted. 'device': by XLA, on any backend, inside the program;
            best on accelerators. 'host': by NumPy on the cores of the CPU, several times faster
            there; on an accelerator or several devices the errors travel to the host and back,
            and JAX's cache of compiled programs keeps none that calls the host. 'auto': 'host' if
            the CPU is the only device, else 'device'. Values and gradients are the same.
        where: True counts; elsewhere logits and labels may hold anything.

    Returns: one value per image in [0, 1] (one in all for 'batch'); float32 (float64 for float64).
    Empty cases: with 'all', a class absent from the labels costs its largest probability. No class
        present or nothing counted: 0 with zero gradient. A label outside [0, c) counts as
        `where=False`.
    Raises: ValueError on shapes and options; TypeError on dtypes, float labels among them.
    Cost: O(n log n): one sort of n integers a class, and a binary search for the gradient (on the
        host a scatter).
    """
    classes.check_segmentation(logits, labels, where=where)
    checks.check_option("classes_counted", classes_counted, ("present", "all"))
    checks.check_option("over", over, ("image", "batch"))
    checks.check_option("route", route, host.ROUTES)
    if jnp.issubdtype(labels.dtype, jnp.floating):
        raise TypeError(f"`labels` takes class indices, got {labels.dtype}")
    where = classes.counted(labels, logits, where)
    probs = classes.probabilities(logits, where)
    targets = classes.class_targets(labels, logits)
    slopes = _host_slopes if _chosen_route(route) == "host" else _device_slopes
    total, counted = 0, 0
    for k in classes.chosen_classes(logits, include_background):
        p, t = probs[k], targets[k]
        if where is not None:  # no error and no foreground: the last in every order
            p, t = jnp.where(where, p, 0), jnp.where(where, t, 0)
        rows = 1 if over == "batch" else p.shape[0]
        p, t = p.reshape(rows, -1), t.reshape(rows, -1)
        errors = jnp.abs(t - p)
        # Within one order of the errors the loss is linear in them, with these slopes. The order
        # itself has no gradient.
        keys = _keys(jax.lax.stop_gradient(errors), t)
        values = jnp.sum(errors * slopes(keys, errors.dtype), axis=-1)
        if classes_counted == "present":
            present = jnp.any(t > 0, axis=-1).astype(p.dtype)
        else:
            present = jnp.ones(rows, p.dtype)
        total, counted = total + values * present, counted + present
    return total / jnp.maximum(counted, 1)


def _chosen_route(route: str) -> str:
    if route != "auto":
        return route
    return "host" if jax.default_backend() == "cpu" and jax.device_count() == 1 else "device"


def _keys(errors: Float[Array, "b n"], targets: Float[Array, "b n"]) -> Int[Array, "b n"]:
    """Error and target in one integer >= 0, so that one plain sort does: of pairs it is slow.

    Floats >= 0 order as their bit patterns; the lowest bit gives way to the target.
    """
    whole = jnp.int64 if errors.dtype == jnp.float64 else jnp.int32
    patterns = jax.lax.bitcast_convert_type(errors, whole)
    return (patterns & ~jnp.ones((), whole)) | (targets > 0).astype(whole)


def _device_slopes(keys: Int[Array, "b n"], dtype: jnp.dtype) -> Float[Array, "b n"]:
    """J_j - J_(j-1) at each pixel's place in the order of errors; the mean among equal errors."""
    # Of equal errors the foreground's key is the larger by its lowest bit, so it goes first.
    keys = -keys  # the largest errors first
    order = jax.lax.sort(keys, is_stable=False)
    # Equal keys all find the first of them, whose slope is that of each: one plain sort serves,
    # where an inverse permutation would take a sort of pairs or a scatter.
    found = jax.vmap(jnp.searchsorted)(order, keys)
    return jnp.take_along_axis(_sorted_slopes(order, dtype), found, axis=-1)


def _sorted_slopes(order: Int[Array, "b n"], dtype: jnp.dtype) -> Float[Array, "b n"]:
    """The slopes in the order of the negative keys, in closed form: differences of J would cancel.

    A foreground pixel adds 1 / (T + B). Background pixels that take B from B0 to B1 add
    (T - F) (1 / (T + B0) - 1 / (T + B1)) together.
    """
    size = order.shape[-1]
    places = jax.lax.broadcasted_iota(jnp.int32, order.shape, 1)
    # First and last place of the group of equal keys that each place belongs to
    starts = jnp.diff(order, axis=-1, prepend=order[:, :1] - 1) != 0
    ends = jnp.diff(order, axis=-1, append=order[:, -1:] + 1) != 0
    first = jax.lax.cummax(jnp.where(starts, places, 0), axis=1).astype(dtype)
    last = jax.lax.cummin(jnp.where(ends, places, size - 1), axis=1, reverse=True).astype(dtype)
    # In two's complement -k has the lowest bit of k.
    is_foreground = order & 1
    foreground = jnp.cumsum(is_foreground, axis=-1, dtype=jnp.int32).astype(dtype)
    total = foreground[:, -1:]
    # T + B here, of places + 1 pixels all but the foreground ones being background
    on_foreground = 1 / jnp.maximum(total + places.astype(dtype) + 1 - foreground, 1)
    before, after = total + first - foreground, total + last + 1 - foreground
    # At a background pixel `before` is 0 only without foreground, where `alone` is taken.
    on_background = (total - foreground) / (jnp.maximum(before, 1) * after)
    # Without foreground J jumps from 0 to 1 at the first pixel.
    alone = jnp.where(first == 0, 1 / (last + 1), 0)
    on_background = jnp.where(total > 0, on_background, alone)
    return jnp.where(is_foreground == 1, on_foreground, on_background)


def _host_slopes(keys: Int[Array, "b n"], dtype: jnp.dtype) -> Float[Array, "b n"]:
    """The same by NumPy."""
    return host.call(_slopes_of_rows, jax.ShapeDtypeStruct(keys.shape, dtype), keys)


def _slopes_of_rows(keys: np.ndarray) -> np.ndarray:
    # Keys are >= 0, so as unsigned integers they order alike; `sort_with_places` takes these.
    rows = keys.view(np.uint64 if keys.dtype == np.int64 else np.uint32)
    rows = rows.reshape(-1, keys.shape[-1])
    return np.stack(host.map_rows(_slopes_of_row, rows)).reshape(keys.shape)


def _slopes_of_row(keys: np.ndarray) -> np.ndarray:
    """As `_sorted_slopes`, once for each group of equal keys, the smallest first."""
    order, places = host.sort_with_places(keys)
    dtype = np.float64 if keys.dtype == np.uint64 else np.float32
    bounds = np.flatnonzero(np.concatenate([[True], order[1:] != order[:-1], [True]]))
    size = np.diff(bounds)
    is_foreground = (order[bounds[:-1]] & 1).astype(bool)
    # From the smallest error upwards, so these count what `_sorted_slopes` has not yet reached.
    foreground = np.cumsum(size * is_foreground)
    total = foreground[-1]
    below = foreground - size * is_foreground  # T - F_j
    before = (keys.size - bounds[1:] + below).astype(dtype)  # T + B0
    after = before + size.astype(dtype)
    on_background = below.astype(dtype) / (np.maximum(before, 1) * after)
    if total == 0:
        on_background = np.where(bounds[1:] == keys.size, 1 / size.astype(dtype), 0).astype(dtype)
    slopes = np.empty(keys.size, dtype)
    slopes[places] = np.repeat(np.where(is_foreground, 1 / after, on_background), size)
    return slopes
