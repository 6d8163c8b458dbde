"""Augmentation of one image with its points or masks, on the device, inside jit and under vmap.

An affine is two scanline passes (`segjax/ops/scanline.py`): each scales and shifts one axis by a
small matrix product, then shears it.
"""

import inspect
import math

import jax
import jax.numpy as jnp

from segjax.ops import checks, scanline
from segjax.types import Array, Float, PRNGKeyArray

# The options of `augment` that move pixels; the others change their values.
GEOMETRY = ("flip_horizontal", "flip_vertical", "rotate", "scale", "translate")


def augment(
    key: PRNGKeyArray,
    image: Float[Array, "h w c"],
    points: Float[Array, "n 2"],
    *,
    flip_horizontal: float = 0.0,
    flip_vertical: float = 0.0,
    rotate: float = 0.0,
    scale: float = 0.0,
    translate: float = 0.0,
    brightness: float = 0.0,
    contrast: float = 0.0,
    gamma: float = 0.0,
    noise: float = 0.0,
) -> tuple[Float[Array, "h w c"], Float[Array, "n 2"]]:
    """Flips, a small affine about the image's centre, then changes of intensity.

    out = s R (p - centre) + centre + t with uniform angle, s and t; then, clipped to [0, 1],
    image^g, mean + k (image - mean), + b, + noise. Every strength is a plain number: those left at
    0 are not computed at all. Each effect draws from a key of its own, so turning one on leaves the
    others' draws as they were.

    Source: the usual set for fundus photographs; the warp after Catmull and Smith, 3-D
    transformations of images in scanline order (1980).
    Departures: a point must not leave the image. Where the drawn affine would move any of the
    points outside, this example keeps the identity affine (its flips and intensity still apply).

    Args:
        key: one key per example.
        image: values in [0, 1].
        points: (x, y) in continuous pixels; a point that is outside already, or not a number,
            keeps the affine of its example at the identity.
        flip_horizontal: probability of x -> w - x.
        flip_vertical: probability of y -> h - y.
        rotate: largest angle in degrees, either way, at most 45.
        scale: largest relative change of size: s is uniform in [1 - scale, 1 + scale].
        translate: largest shift as a fraction of each side.
        brightness: largest value added or taken away.
        contrast: largest relative change of the contrast about the image's mean.
        gamma: the exponent is log-uniform in [1 / (1 + gamma), 1 + gamma].
        noise: largest standard deviation of Gaussian noise; the deviation is uniform below it.

    Returns: the image, float32, of the same shape, and its points. Beyond the old border
        the border's pixels are repeated.
    Empty cases: no points (n = 0): nothing limits the affine.
    Raises: ValueError on a wrong rank or a strength out of range; TypeError on integer pixels.
    Cost: two products of an image with a matrix of its side, O(h w (h + w)) per channel, and some
        ten passes over the pixels. With three channels on two CPU cores the affine takes 0.7 ms at
        128 and 3.5 ms at 256 pixels, everything together 1.5 ms and 8 ms.
    """
    image, points = jnp.asarray(image), jnp.asarray(points)
    checks.check_rank("image", image, 3)
    checks.check_floating("image", image)
    checks.check_shape("points", points, (None, 2))
    for name, value, highest in (
        ("flip_horizontal", flip_horizontal, 1.0),
        ("flip_vertical", flip_vertical, 1.0),
        ("rotate", rotate, scanline.MAX_ROTATION),
        ("scale", scale, 0.9),
        ("translate", translate, 1.0),
        ("brightness", brightness, 1.0),
        ("contrast", contrast, 1.0),
        ("gamma", gamma, math.inf),
        ("noise", noise, math.inf),
    ):
        if not 0 <= value <= highest:
            raise ValueError(f"`{name}` takes a number from 0 to {highest}, got {value}")
    image, points = image.astype(jnp.float32), points.astype(jnp.float32)
    flips, affine, intensity = jax.random.split(key, 3)
    image, points = _flip(flips, image, points, flip_horizontal, flip_vertical)
    if rotate or scale or translate:
        image, points = _random_affine(affine, image, points, rotate, scale, translate)
    return _change_intensity(intensity, image, brightness, contrast, gamma, noise), points


def default_strengths() -> dict[str, float]:
    """Every augmentation by name, with its default strength."""
    parameters = inspect.signature(augment).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def augment_with_masks(
    key: PRNGKeyArray,
    image: Float[Array, "h w c"],
    masks: Float[Array, "h w m"],
    **strengths: float,
) -> tuple[Float[Array, "h w c"], Float[Array, "h w m"]]:
    """`augment` of an image and of masks that lie on it; masks keep their intensities.

    The draws are those of `augment` with the same key. Masks are interpolated as the image is, so
    a mask of 0 and 1 comes back with a soft rim: at least 0.5 is inside. Nothing limits the affine.

    Source: as `augment`. Departures: none.

    Args:
        key: one key per example.
        image: values in [0, 1].
        masks: values that belong to the pixels, such as one plane a class.
        strengths: the options of `augment`.

    Returns: the image and the masks, float32, of the same shapes.
    Empty cases: no masks (m = 0) come back as they are.
    Raises: as `augment`.
    Cost: as `augment` on c + m channels.
    """
    channels, nothing = image.shape[-1], jnp.zeros((0, 2), jnp.float32)
    moves = {name: value for name, value in strengths.items() if name in GEOMETRY}
    colours = {name: value for name, value in strengths.items() if name not in GEOMETRY}
    # Every effect draws from its own part of the key: two calls draw what one call would.
    both = jnp.concatenate([image, masks], axis=-1)
    both, _ = augment(key, both, nothing, **moves)
    image, _ = augment(key, both[..., :channels], nothing, **colours)
    return image, both[..., channels:]


def _flip(
    key: PRNGKeyArray, image: Array, points: Array, horizontal: float, vertical: float
) -> tuple[Array, Array]:
    sides = image.shape[1], image.shape[0]
    coordinates = [points[:, 0], points[:, 1]]
    keys = jax.random.split(key)
    for axis, probability in enumerate((horizontal, vertical)):
        if probability:
            flipped = jax.random.bernoulli(keys[axis], probability)
            image = jnp.where(flipped, jnp.flip(image, 1 - axis), image)
            mirrored = sides[axis] - coordinates[axis]
            coordinates[axis] = jnp.where(flipped, mirrored, coordinates[axis])
    return image, jnp.stack(coordinates, axis=-1)


def _random_affine(
    key: PRNGKeyArray, image: Array, points: Array, rotate: float, scale: float, translate: float
) -> tuple[Array, Array]:
    height, width = image.shape[:2]
    keys = jax.random.split(key, 3)
    angle = _uniform(keys[0], math.radians(rotate))
    factor = 1.0 + _uniform(keys[1], scale)
    shift = _uniform(keys[2], translate, (2,)) * jnp.array([width, height], jnp.float32)
    moved = _move(points, (width, height), angle, factor, shift)
    sides = jnp.array([[width, height]], jnp.float32)
    kept = jnp.all((moved >= 0) & (moved < sides))
    angle = jnp.where(kept, angle, 0.0)
    factor = jnp.where(kept, factor, 1.0)
    shift = jnp.where(kept, shift, 0.0)
    reach = _reach(height, width, math.radians(rotate), scale, translate)
    warped = _warp(image, angle, factor, shift, reach)
    return warped, jnp.where(kept, moved, points)


def _uniform(key: PRNGKeyArray, largest: float, shape: tuple[int, ...] = ()) -> Array:
    return jax.random.uniform(key, shape, jnp.float32, -largest, largest)


def _move(points: Array, size: tuple[int, int], angle: Array, factor: Array, shift: Array) -> Array:
    """s R (p - centre) + centre + t."""
    centre_x, centre_y = size[0] / 2, size[1] / 2
    x, y = points[:, 0] - centre_x, points[:, 1] - centre_y
    cos, sin = factor * jnp.cos(angle), factor * jnp.sin(angle)
    return jnp.stack(
        [cos * x - sin * y + centre_x + shift[0], sin * x + cos * y + centre_y + shift[1]], axis=-1
    )


def _reach(
    height: int, width: int, rotate: float, scale: float, translate: float
) -> tuple[int, int]:
    """The largest shear of either pass, in whole pixels; 0 means that no pass shears."""
    across = (1 + scale) * math.sin(rotate) * height / 2
    down = math.tan(rotate) * (0.5 + translate) * width
    return math.ceil(across), math.ceil(down)


def _warp(image: Array, angle: Array, factor: Array, shift: Array, reach: tuple[int, int]) -> Array:
    """The image under `_move`, in two scanline passes: all of x first, then all of y.

    With o = out - centre - t and q = source - centre, the inverse map gives
    q_x = (o_x + s sin(a) q_y) / (s cos a)   from source rows to output columns, and
    q_y = (o_y - tan(a) o_x) cos(a) / s      from output columns to the output.
    No pass throws away what a later one needs: the first keeps every source row, and each product
    makes a margin as wide as the largest shear.
    """
    height, width = image.shape[:2]
    planes = jnp.moveaxis(image, -1, 0)
    cos = jnp.cos(angle)
    rows = _centres(height) - height / 2
    columns = _centres(width) - width / 2 - shift[0]
    matrix = _resampling(width, reach[0], 1 / (factor * cos), shift[0])
    planes = scanline.scale_columns(planes, matrix)
    planes = scanline.shear(planes, factor * jnp.sin(angle) * rows, reach[0], axis=2)
    matrix = _resampling(height, reach[1], cos / factor, shift[1])
    planes = scanline.scale_rows(planes, matrix)
    planes = scanline.shear(planes, -jnp.tan(angle) * columns, reach[1], axis=1)
    return jnp.moveaxis(planes, 0, -1)


def _centres(size: int) -> Array:
    return jnp.arange(size, dtype=jnp.float32) + 0.5


def _resampling(size: int, reach: int, step: Array, shift: Array) -> Array:
    """Linear interpolation at step * (out - centre - shift) + centre, as a matrix [out, source].

    The output starts `reach` pixels before the image and has the margin that `shear` takes.
    """
    length = size + scanline.margin(reach)
    out = jnp.arange(length, dtype=jnp.float32) + (0.5 - reach)
    source = jnp.clip(step * (out - size / 2 - shift) + size / 2, 0.5, size - 0.5)
    return jnp.maximum(1 - jnp.abs(source[:, None] - _centres(size)[None, :]), 0)


def _change_intensity(
    key: PRNGKeyArray, image: Array, brightness: float, contrast: float, gamma: float, noise: float
) -> Array:
    keys = jax.random.split(key, 5)
    changed = image
    if gamma:
        changed = jnp.clip(changed, 0, 1) ** jnp.exp(_uniform(keys[0], math.log1p(gamma)))
    if contrast:
        mean = jnp.mean(changed)
        changed = mean + (1 + _uniform(keys[1], contrast)) * (changed - mean)
    if brightness:
        changed = changed + _uniform(keys[2], brightness)
    if noise:
        deviation = jax.random.uniform(keys[3], (), jnp.float32, 0.0, noise)
        changed = changed + deviation * jax.random.normal(keys[4], changed.shape, jnp.float32)
    return changed if changed is image else jnp.clip(changed, 0, 1)
