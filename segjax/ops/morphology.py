"""Erosion, dilation and the soft skeleton of grey images, in forms that differentiate fast."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from segjax.ops import checks
from segjax.ops.classes import computing_dtype
from segjax.types import Array, Bool, Float

# XLA's own gradients of a windowed minimum are some ten to thirty times slower on CPU than the
# shifted comparisons of `_share`; forward, each form below was the faster of the two.


def soft_erode(x: Float[Array, "b *s"]) -> Float[Array, "b *s"]:
    """Minimum over each pixel and its neighbours across a face (grey erosion by the cross).

    y_i = min of x_j over j = i and the 2 n face neighbours of i, n the number of spatial axes.

    Source: Shit et al. (2021), clDice, the minimum pooling of Algorithm 1.
    Departures: none in value. Equal minima share the gradient equally; forward-mode `jax.jvp`
        raises, because the gradient is written out.

    Args:
        x: values, one to three spatial axes after the batch axis.

    Returns: values of x's dtype and shape; pixels outside the image never matter.
    Empty cases: a constant image is returned.
    Raises: ValueError on the rank, TypeError on integers.
    Cost: one pass; the gradient reads x twice 2 n + 1 times.
    """
    _check(x)
    return _erode(x)


def soft_dilate(x: Float[Array, "b *s"]) -> Float[Array, "b *s"]:
    """Maximum over the 3 x 3 (x 3) box around each pixel (grey dilation).

    y_i = max of x_j over |i - j| <= 1 along every spatial axis.

    Source: Shit et al. (2021), clDice, the maximum pooling of Algorithm 1.
    Departures: none in value. Equal maxima share the gradient equally; forward-mode `jax.jvp`
        raises.

    Args:
        x: values, one to three spatial axes after the batch axis.

    Returns: values of x's dtype and shape; pixels outside the image never matter.
    Empty cases: a constant image is returned.
    Raises: ValueError on the rank, TypeError on integers.
    Cost: one pass per axis; the gradient reads x twice 3^n times.
    """
    _check(x)
    return _dilate(x)


def soft_open(x: Float[Array, "b *s"]) -> Float[Array, "b *s"]:
    """Dilation of the erosion: what is left of bright structures at least a cross wide.

    y = soft_dilate(soft_erode(x)).

    Source: Shit et al. (2021), clDice, Algorithm 1.
    Departures: the two structuring elements differ (cross, then box), as in the authors' code; so
        y is not always <= x.

    Args:
        x: values, one to three spatial axes after the batch axis.

    Returns: values of x's dtype and shape.
    Empty cases: a constant image is returned.
    Raises: ValueError on the rank, TypeError on integers.
    Cost: as an erosion and a dilation.
    """
    _check(x)
    return _dilate(_erode(x))


def soft_skeleton(
    x: Float[Array, "b *s"], *, iterations: int, where: Bool[Array, "b *s"] | None = None
) -> Float[Array, "b *s"]:
    """Soft skeleton: the ridges that vanish when a structure is opened, collected over erosions.

    A structure thinner than 2 * iterations pixels is reduced to its centre line; of a thicker one
    the core is missing, so take at least the largest radius. The line may have gaps.

    d_k = relu(x_k - open(x_k)), x_0 = x, x_(k+1) = erode(x_k);
    y = 1 - prod_(k=0..K) (1 - d_k), the closed form of s_k = s_(k-1) + relu(d_k - s_(k-1) d_k).

    Source: Shit et al. (2021), clDice, Algorithm 1; structuring elements as the authors' PyTorch
        code (their Keras code erodes volumes otherwise).
    Departures: none in value for x in [0, 1], the domain. Where d_k is exactly 1 the closed form
        still has a gradient; the recursion has none. Forward-mode `jax.jvp` raises.

    Args:
        x: probabilities in [0, 1], one to three spatial axes after the batch axis.
        iterations: K >= 0, at least the radius of the thickest structure.
        where: False acts as the image border does; y is 0 there.

    Returns: values in [0, 1] of x's dtype; computed in float32 (float64 for float64).
    Empty cases: a constant image, empty or full, has skeleton 0. Iterations after the image has
        eroded to nothing change nothing.
    Raises: ValueError on ranks, shapes and `iterations`; TypeError on dtypes.
    Cost: K erosions and dilations forward. The gradient keeps log2 K images and repeats about
        K log2(K) / 2 erosions, each a small part of a backward iteration.
    """
    _check(x)
    iterations = checks.check_integer("iterations", iterations, least=0)
    if where is not None:
        if where.dtype != bool:
            raise TypeError(f"`where` takes booleans, got {where.dtype}")
        checks.check_shape("where", where, tuple(x.shape))
    wide = x.astype(computing_dtype(x))
    if where is not None:
        # Infinity is never the least: uncounted pixels erode as the outside of the image does.
        wide = jnp.where(where, wide, jnp.inf)
    return _skeleton(wide, where, iterations).astype(x.dtype)


def _check(x: Array) -> None:
    checks.check_rank("x", x, 2, 3, 4)
    checks.check_floating("x", x)


@functools.cache
def _cross(axes: int) -> tuple[tuple[int, ...], ...]:
    """Offsets of a pixel and its face neighbours."""
    return tuple(o for o in _box(axes) if sum(map(abs, o)) <= 1)


@functools.cache
def _box(axes: int) -> tuple[tuple[int, ...], ...]:
    return tuple(itertools.product((-1, 0, 1), repeat=axes))


def _min_over_cross(x: Array) -> Array:
    y = x
    for axis in range(1, x.ndim):
        for by in (1, -1):
            # A negative pad cuts: the image moves by one pixel, infinity comes in.
            moved = [(by, -by, 0) if a == axis else (0, 0, 0) for a in range(x.ndim)]
            y = jnp.minimum(y, lax.pad(x, jnp.array(jnp.inf, x.dtype), moved))
    return y


def _max_over_box(x: Array) -> Array:
    # A box separates into one axis after the other; a cross does not.
    for axis in range(x.ndim - 1, 0, -1):
        window = [3 if a == axis else 1 for a in range(x.ndim)]
        lowest = np.array(-np.inf, x.dtype)
        x = lax.reduce_window(x, lowest, lax.max, window, (1,) * x.ndim, "SAME")
    return x


def _share(x: Array, y: Array, y_bar: Array, offsets: tuple[tuple[int, ...], ...]) -> Array:
    """Gradient of y = min or max of x over `offsets` (a symmetric set); equal extremes share it."""
    rim = [(0, 0, 0)] + [(1, 1, 0)] * (x.ndim - 1)

    def around(values: Array, outside: float) -> list[Array]:
        padded = lax.pad(values, jnp.array(outside, values.dtype), rim)
        starts = [(0, *(o + 1 for o in offset)) for offset in offsets]
        ends = [[s + n for s, n in zip(start, x.shape, strict=True)] for start in starts]
        return [lax.slice(padded, s, e) for s, e in zip(starts, ends, strict=True)]

    # nan equals nothing, so what lies outside is no extreme and gets no share.
    reached = sum((x_j == y).astype(x.dtype) for x_j in around(x, jnp.nan))
    share = y_bar / jnp.maximum(reached, 1)
    pairs = zip(around(y, jnp.nan), around(share, 0), strict=True)
    return sum(jnp.where(x == y_i, share_i, 0) for y_i, share_i in pairs)


@jax.custom_vjp
def _erode(x: Array) -> Array:
    return _min_over_cross(x)


def _erode_forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    y = _min_over_cross(x)
    return y, (x, y)


def _erode_backward(residuals: tuple[Array, Array], y_bar: Array) -> tuple[Array]:
    x, y = residuals
    return (_share(x, y, y_bar, _cross(x.ndim - 1)),)


_erode.defvjp(_erode_forward, _erode_backward)


@jax.custom_vjp
def _dilate(x: Array) -> Array:
    return _max_over_box(x)


def _dilate_forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    y = _max_over_box(x)
    return y, (x, y)


def _dilate_backward(residuals: tuple[Array, Array], y_bar: Array) -> tuple[Array]:
    x, y = residuals
    return (_share(x, y, y_bar, _box(x.ndim - 1)),)


_dilate.defvjp(_dilate_forward, _dilate_backward)


def _eroded(x: Array, where: Array | None) -> Array:
    """One erosion; pixels outside `where` hold infinity before and after."""
    y = _min_over_cross(x)
    return y if where is None else jnp.where(where, y, jnp.inf)


def _ridge(x: Array, eroded: Array, where: Array | None) -> tuple[Array, Array, Array]:
    """d_k = relu(x_k - open(x_k)), and the argument and the result of its dilation."""
    # For the dilation uncounted pixels must be the least, where for the erosion they are the most.
    inner = eroded if where is None else jnp.where(where, eroded, -jnp.inf)
    opened = _max_over_box(inner)
    ridge = jnp.maximum(x - opened, 0)
    return (ridge if where is None else jnp.where(where, ridge, 0)), inner, opened


def _rest(ridge: Array) -> Array:
    """1 - d, above 0. At most one d_k of a pixel is near 1, as they add up to no more than x."""
    return jnp.maximum(1 - ridge, jnp.finfo(ridge.dtype).eps / 2)


def _product(x: Array, where: Array | None, iterations: int) -> Array:
    """prod_k (1 - d_k)."""

    def step(_, carry):
        x, product = carry
        eroded = _eroded(x, where)
        return eroded, product * _rest(_ridge(x, eroded, where)[0])

    # K erosions give the K + 1 ridges d_0 to d_K.
    return lax.fori_loop(0, iterations + 1, step, (x, jnp.ones_like(x)))[1]


def _one_minus(product: Array) -> Array:
    # A factor of 0 was raised to half an epsilon: the skeleton is exactly 1 there.
    return 1 - jnp.where(product > jnp.finfo(product.dtype).eps / 2, product, 0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _skeleton(x: Array, where: Array | None, iterations: int) -> Array:
    return _one_minus(_product(x, where, iterations))


def _skeleton_forward(x: Array, where: Array | None, iterations: int):
    product = _product(x, where, iterations)
    return _one_minus(product), (x, where, product)


def _skeleton_backward(iterations: int, residuals, y_bar: Array) -> tuple[Array, None]:
    """Walks the erosions x_K+1 ... x_0 backwards, keeping one of them for each bit of the index.

    Image number k is found in `kept` at the lowest bit set in k; the higher bits set in k hold the
    images whose numbers are k with its lower bits cleared; number 0 is kept last. Going from k to
    k - 1 refills the bits below.
    """
    x, where, product = residuals
    pull, last = y_bar * product, iterations + 1
    bits = last.bit_length()

    def erode(x: Array, times: int | Array) -> Array:
        return lax.fori_loop(0, times, lambda _, x: _eroded(x, where), x)

    def at(kept: Array, index: Array) -> Array:
        return lax.dynamic_index_in_dim(kept, index, 0, keepdims=False)

    kept = jnp.zeros_like(x, shape=(bits + 1, *x.shape)).at[bits].set(x)
    for bit in reversed(range(bits)):
        if last >> bit & 1:
            x = erode(x, 1 << bit)
            kept = kept.at[bit].set(x)

    def refill(step: Array, carry, lowest: Array):
        bit = lowest - 1 - step
        image = erode(carry[0], jnp.left_shift(1, bit))
        return image, lax.dynamic_update_index_in_dim(carry[1], image, bit, 0)

    def back(step: Array, carry):
        eroded, eroded_bar, kept = carry
        k = last - step
        lowest = _lowest_bit(k)
        # k without its lowest bit is the nearest image kept; bit `bits`, above all, stands for 0.
        source = _lowest_bit((k & (k - 1)) | 1 << bits)
        image, kept = lax.fori_loop(
            0, lowest, functools.partial(refill, lowest=lowest), (at(kept, source), kept)
        )
        ridge, inner, opened = _ridge(image, eroded, where)
        # dy / dd_k is the product of all other factors; the opened image enters d_k with a minus.
        ridge_bar = jnp.where(ridge > 0, pull / _rest(ridge), 0)
        eroded_bar -= _share(inner, opened, ridge_bar, _box(image.ndim - 1))
        image_bar = ridge_bar + _share(image, eroded, eroded_bar, _cross(image.ndim - 1))
        return image, image_bar, kept

    return lax.fori_loop(0, last, back, (x, jnp.zeros_like(x), kept))[1], None


_skeleton.defvjp(_skeleton_forward, _skeleton_backward)


def _lowest_bit(k: Array) -> Array:
    # k & -k is the lowest bit; one less has a 1 for each 0 below it.
    return lax.population_count((k & -k) - 1)
