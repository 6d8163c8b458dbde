"""Changes of values: of a photograph [h, w, c] as a whole, of a slice [c, h, w] effect by effect.

Photographs lie in [0, 1] and are clipped to it; all channels share a draw. Slices are normalised to
mean 0 and deviation 1, so nothing is clipped; every effect takes a key and a range, and most draw
for each channel. Their rules are those of batchgenerators, as nnU-Net calls them.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from segjax.types import Array, Float, PRNGKeyArray

# In half of the channels of a chosen sample, blur and low resolution happen.
PER_CHANNEL = 0.5


def change_photograph(
    key: PRNGKeyArray,
    image: Float[Array, "h w c"],
    *,
    brightness: float,
    contrast: float,
    gamma: float,
    noise: float,
) -> Float[Array, "h w c"]:
    """image^g, then mean + k (image - mean), + b, + sigma n; clipped to [0, 1].

    Each draws from its own part of the key: g log-uniform in [1 / (1 + gamma), 1 + gamma], k
    uniform in 1 ± contrast about the mean of the whole image, b in ± brightness, sigma in
    [0, noise], n normal.

    Source: the usual set for photographs. Departures: none.

    Args:
        key: one key per image.
        image: values in [0, 1].
        brightness, contrast, gamma, noise: largest strengths, plain numbers; at 0 nothing is
            computed.

    Returns: the image; where all strengths are 0 the very same, not clipped.
    Empty cases: none.
    Raises: nothing.
    Cost: a pass over the pixels for each strength; noise also draws one number a value.
    """
    # Split for all, whether drawn or not: turning one effect on leaves the draws of the others
    keys = jax.random.split(key, 5)
    changed = image
    if gamma:
        # Clipped first: the power of a negative value is nan
        changed = jnp.clip(changed, 0, 1) ** jnp.exp(uniform(keys[0], math.log1p(gamma)))
    if contrast:
        changed = _stretch(changed, jnp.mean(changed), 1 + uniform(keys[1], contrast))
    if brightness:
        changed = changed + uniform(keys[2], brightness)
    if noise:
        changed = _add_noise(keys[3], keys[4], changed, noise)
    return changed if changed is image else jnp.clip(changed, 0, 1)


def uniform(key: PRNGKeyArray, largest: float, shape: tuple[int, ...] = ()) -> Array:
    """Uniform in [-largest, largest)."""
    return jax.random.uniform(key, shape, jnp.float32, -largest, largest)


def sometimes(
    key: PRNGKeyArray,
    probability: float,
    effect: Callable[[PRNGKeyArray, Array], Array],
    image: Float[Array, "c h w"],
) -> Float[Array, "c h w"]:
    """`effect(key, image)` with this probability; at 0 nothing is compiled.

    Under vmap both sides are computed and one is selected; under `jax.lax.map` only one.
    """
    if not probability:
        return image
    choice, draws = jax.random.split(key)
    chosen = jax.random.bernoulli(choice, probability)
    # cond, not where: on one CPU device images are augmented one by one in a loop, in which the
    # branch that is not taken costs nothing.
    return lax.cond(chosen, lambda x: effect(draws, x), lambda x: x, image)


def factor(key: PRNGKeyArray, low: float, high: float, shape: tuple[int, ...]) -> Array:
    """Uniform below 1 or above 1, either with equal chance; uniform where 1 is not in between."""
    if not low < 1 < high:
        return jax.random.uniform(key, shape, jnp.float32, low, high)
    side, place = jax.random.split(key)
    below = jax.random.bernoulli(side, 0.5, shape)
    at = jax.random.uniform(place, shape, jnp.float32)
    return jnp.where(below, low + (1 - low) * at, 1 + (high - 1) * at)


def add_noise(key: PRNGKeyArray, image: Array, largest: float) -> Array:
    """image + sigma n, n normal; sigma uniform in [0, largest], one for all channels.

    Source: batchgenerators, which draws a "variance" and uses it as the standard deviation.
    Departures: with several channels it adds the noise once for each of them to all.
    """
    return _add_noise(*jax.random.split(key), image, largest)


def blur(key: PRNGKeyArray, image: Array, low: float, high: float) -> Array:
    """Gaussian blur of half of the channels, sigma uniform in [low, high] pixels for each.

    Source: batchgenerators, `scipy.ndimage.gaussian_filter` (reflecting border, cut at 4 sigma).
    Departures: cut at four times the largest sigma.
    """
    choice, width = jax.random.split(key)
    chosen = jax.random.bernoulli(choice, PER_CHANNEL, image.shape[:1])
    sigma = jax.random.uniform(width, image.shape[:1], jnp.float32, low, high)
    # Static, from the largest sigma: the number of taps cannot depend on the one that is drawn
    radius = int(4 * high + 0.5)
    steps = jnp.arange(radius + 1, dtype=jnp.float32)[None, :] / sigma[:, None]
    kernel = jnp.exp(-0.5 * steps**2)
    # The sum over both halves; the centre is in both and counts once
    kernel = kernel / (2 * jnp.sum(kernel, axis=1, keepdims=True) - kernel[:, :1])
    blurred = _symmetric(_symmetric(image, kernel, 1), kernel, 2)
    return jnp.where(chosen[:, None, None], blurred, image)


def multiply(key: PRNGKeyArray, image: Array, low: float, high: float) -> Array:
    """Every channel times a number of its own, uniform in [low, high].

    Source: batchgenerators, multiplicative brightness. Departures: none.
    """
    times = jax.random.uniform(key, image.shape[:1], jnp.float32, low, high)
    return times[:, None, None] * image


def contrast(key: PRNGKeyArray, image: Array, low: float, high: float) -> Array:
    """mean + k (image - mean), cut to the channel's old range; one `factor` k a channel.

    Source: batchgenerators. Departures: none.
    """
    times = factor(key, low, high, image.shape[:1])[:, None, None]
    mean = jnp.mean(image, axis=(1, 2), keepdims=True)
    least = jnp.min(image, axis=(1, 2), keepdims=True)
    most = jnp.max(image, axis=(1, 2), keepdims=True)
    return jnp.clip(_stretch(image, mean, times), least, most)


def low_resolution(key: PRNGKeyArray, image: Array, low: float, high: float) -> Array:
    """Half of the channels sampled at zoom times the resolution and interpolated back.

    Down to round(zoom size) pixels by the nearest one, up linearly; zoom uniform for each channel.

    Source: batchgenerators; pixel centres as in `skimage.transform.resize`.
    Departures: linear instead of cubic on the way up.
    """
    choice, level = jax.random.split(key)
    chosen = jax.random.bernoulli(choice, PER_CHANNEL, image.shape[:1])
    zoom = jax.random.uniform(level, image.shape[:1], jnp.float32, low, high)
    rows, columns = (_down_and_up(size, zoom) for size in image.shape[1:])
    # HIGHEST: accelerators multiply in lower precision by default, which would round the pixels
    coarse = jnp.einsum("cuw,chw->chu", columns, image, precision=lax.Precision.HIGHEST)
    coarse = jnp.einsum("cvh,chw->cvw", rows, coarse, precision=lax.Precision.HIGHEST)
    return jnp.where(chosen[:, None, None], coarse, image)


def gamma(key: PRNGKeyArray, image: Array, low: float, high: float) -> Array:
    """min + r ((image - min) / r)^g, r the channel's range; then mean and deviation as before.

    One `factor` g a channel.

    Source: batchgenerators with `retain_stats`. Departures: none.
    """
    power = factor(key, low, high, image.shape[:1])[:, None, None]
    least = jnp.min(image, axis=(1, 2), keepdims=True)
    # Of a constant channel the range is 0, and 0 / 0 would be nan
    reach = jnp.max(image, axis=(1, 2), keepdims=True) - least + 1e-7
    mean, deviation = _moments(image)
    changed = reach * ((image - least) / reach) ** power
    changed_mean, changed_deviation = _moments(changed)
    return mean + (changed - changed_mean) * (deviation / (changed_deviation + 1e-8))


def inverted_gamma(key: PRNGKeyArray, image: Array, low: float, high: float) -> Array:
    """`gamma` of the negative, as a negative: it acts on the bright end."""
    return -gamma(key, -image, low, high)


def _add_noise(level: PRNGKeyArray, values: PRNGKeyArray, image: Array, largest: float) -> Array:
    sigma = jax.random.uniform(level, (), jnp.float32, 0.0, largest)
    return image + sigma * jax.random.normal(values, image.shape, jnp.float32)


def _stretch(image: Array, mean: Array, times: Array) -> Array:
    """The contrast about a mean, `times` as high."""
    return mean + times * (image - mean)


def _moments(image: Array) -> tuple[Array, Array]:
    mean = jnp.mean(image, axis=(1, 2), keepdims=True)
    return mean, jnp.sqrt(jnp.mean((image - mean) ** 2, axis=(1, 2), keepdims=True))


def _symmetric(image: Array, kernel: Array, axis: int) -> Array:
    """Filters along one axis by the right halves [c, radius + 1] of symmetric kernels."""
    radius, size = kernel.shape[1] - 1, image.shape[axis]
    rim = [(radius, radius) if a == axis else (0, 0) for a in range(3)]
    padded = jnp.pad(image, rim, mode="symmetric")

    def moved(by: int) -> Array:
        return lax.slice_in_dim(padded, radius + by, radius + by + size, axis=axis)

    # Shifted sums, not a convolution: with a kernel a channel it would be a grouped one, which
    # XLA's CPU backend runs slowly
    filtered = kernel[:, :1, None] * image
    for k in range(1, radius + 1):
        filtered += kernel[:, k, None, None] * (moved(k) + moved(-k))
    return filtered


def _down_and_up(size: int, zoom: Array) -> Array:
    """Matrices [c, size, size]: to round(zoom size) pixels by the nearest, and linearly back.

    In whole numbers, so that every device picks the same pixels.
    """
    coarse = jnp.maximum(jnp.round(zoom * size), 1).astype(jnp.int32)[:, None]
    pixels = jnp.arange(size, dtype=jnp.int32)[None, :]
    # Position i lies at ((2 i + 1) n - size) / (2 size) on the coarse grid of n pixels.
    # The clip repeats the first and last coarse pixel beyond their centres.
    numerator = jnp.clip((2 * pixels + 1) * coarse - size, 0, 2 * size * (coarse - 1))
    before = numerator // (2 * size)
    part = (numerator - 2 * size * before).astype(jnp.float32) / (2 * size)
    # Pixel j of the coarse grid is the pixel floor((j + 1/2) size / n) of the image.
    here = ((2 * before + 1) * size) // (2 * coarse)
    after = ((2 * jnp.minimum(before + 1, coarse - 1) + 1) * size) // (2 * coarse)
    near = (here[..., None] == pixels[None]).astype(jnp.float32)
    far = (after[..., None] == pixels[None]).astype(jnp.float32)
    return near + part[..., None] * (far - near)
