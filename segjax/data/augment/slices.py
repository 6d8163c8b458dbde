"""nnU-Net's augmentation of one 2-D slice with its labels and planes, inside jit and under vmap."""

import functools
import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import lax

from segjax.data.augment import geometry, intensity, vocabulary, warp
from segjax.data.ignored import IGNORED
from segjax.ops import checks
from segjax.ops.scanline import MAX_ROTATION
from segjax.types import Array, Float, Int, PRNGKeyArray

KIND = "slices"
# The probabilities, in the order of their keys: every effect draws from a key of its own.
EFFECTS = vocabulary.probabilities(KIND)
# The patch is cut out of a region this much larger, nnU-Net's allowance for scaling.
ENLARGED = 1 / 0.85
RIGHT_ANGLE = math.pi / 2


def default_options() -> dict[str, float]:
    """Every option of `augment_slice` by name, with nnU-Net's value."""
    return vocabulary.defaults(KIND)


def region_shape(patch: tuple[int, int], options: Mapping[str, float]) -> tuple[int, int]:
    """The region that `augment_slice` wants around a patch.

    (h cos a + w sin a, w cos a + h sin a) / 0.85, at least the patch; a the largest angle, at most
    90 degrees. Of the patch's parity, so that both have one centre, but square ones.

    Source: nnU-Net, `get_patch_size` with its scale range of (0.85, 1.25).
    Departures: the bounding box of the rotated patch, either way, instead of its rotated corner;
        rounded up; square where right angles are wanted. Smaller than the diagonal on purpose, as
        theirs: the corners of a patch turned by 45 degrees or scaled down are 0.

    Args:
        patch: (h, w).
        options: as `augment_slice`; those left out have their defaults.

    Returns: (H, W); the patch where nothing but the mirror moves pixels.
    Empty cases: none.
    Raises: ValueError on an option out of range, TypeError on an unknown one.
    """
    chosen, (height, width) = vocabulary.complete(KIND, options), patch
    if not _moves(chosen):
        return height, width
    angle = math.radians(min(chosen["rotate_degrees"], 90)) if chosen["rotate"] else 0.0
    sin, cos = math.sin(angle), math.cos(angle)
    sides = (
        max(height, height * cos + width * sin) * ENLARGED,
        max(width, width * cos + height * sin) * ENLARGED,
    )
    # A billionth less, for a side that is whole up to rounding.
    rows, columns = (math.ceil(side - 1e-9) for side in sides)
    # A quarter turn swaps the axes, and inside jit the shape cannot follow: a square fits both
    if _turns(chosen):
        rows = columns = max(rows, columns)
        return rows + (rows - height) % 2, columns + (columns - height) % 2
    return rows + (rows - height) % 2, columns + (columns - width) % 2


def augment_slice(
    key: PRNGKeyArray,
    image: Float[Array, "H W c"],
    labels: Int[Array, "H W"],
    planes: Float[Array, "H W m"],
    *,
    patch: tuple[int, int],
    num_classes: int,
    ignored: bool = False,
    **options: float,
) -> tuple[Float[Array, "h w c"], Int[Array, "h w"], Float[Array, "h w m"]]:
    """One training sample of nnU-Net: rotated, scaled, noisy, blurred and so on, each at times.

    In this order, each with its probability per sample: rotation by up to `rotate_degrees` either
    way and scaling about the centre, which read the region around the patch; Gaussian noise; blur;
    brightness (times a number); contrast; low resolution; gamma of the inverted image; gamma; and
    mirroring of each axis. Labels and planes move with the image.

    A scale above 1 shows more of the region, below 1 less; it is drawn below or above 1 with equal
    chances, and so are contrast and gamma. Every effect draws from a key of its own: turning one on
    leaves the others as they were.

    Source: nnU-Net (Isensee et al., 2021) 2-D, version 1, with batchgenerators; see `intensity`.
    Departures: linear instead of cubic interpolation, in two passes (see `warp`). Labels are the
        class of the largest linear share (theirs: any class with at least half), background the
        rest. No elastic deformation (off in nnU-Net too), and no zeroing outside the nonzero part
        of normalised images, which the task does.

    Args:
        key: one key per sample.
        image: values normalised to mean 0 and deviation 1.
        labels: class of each pixel, any integer type; in a rotated or scaled sample one outside
            [0, num_classes) becomes background, but for 255 where it is `ignored`.
        planes: values that belong to the pixels, such as distance maps. They are moved only: a
            distance stays what it was before scaling.
        patch: (h, w), cut from the centre of the region.
        num_classes: classes, the background 0 among them.
        ignored: whether 255 says that nothing is known of a pixel: it is then moved as a class is.
        options: those of slices in `vocabulary.OPTIONS`; those left out have nnU-Net's values.

    Returns: image and planes, float32, and labels of their own dtype. Beyond the region's border
        all are 0. Without rotation and scaling, the centre crop of each, exactly.
    Empty cases: no planes (m = 0) come back as such.
    Raises: ValueError on a wrong rank, shape or number of classes, an option out of range, a region
        smaller than the patch, or one that is not square though right angles are asked for;
        TypeError on integer pixels, float labels and unknown options.
    Cost: per sample some 6 n h w (h + w) for the spatial part of n = c + m + num_classes - 1
        planes, one more where pixels are `ignored`, which dominates. Under vmap every effect is
        computed for every sample; under `jax.lax.map` only what was drawn. With one channel, one
        plane and four classes, one core takes 19 ms at 256 x 224 under vmap and 4 ms under map; at
        96 x 96 1.9 ms and 0.5 ms.
    """
    chosen = vocabulary.complete(KIND, options)
    image, labels, planes = jnp.asarray(image), jnp.asarray(labels), jnp.asarray(planes)
    _check(image, labels, planes, patch, num_classes, chosen)
    # One key an effect, drawn or not: an effect that is turned on leaves the others' draws
    keys = dict(zip(EFFECTS, jax.random.split(key, len(EFFECTS)), strict=True))
    channels = image.shape[-1]
    # Channels first: the last axis is the one that vector units run along.
    stack = jnp.concatenate([image.astype(jnp.float32), planes.astype(jnp.float32)], axis=-1)
    values = (*range(1, num_classes), *([IGNORED] if ignored else []))
    stack, labels = _move(keys, jnp.moveaxis(stack, -1, 0), labels, patch, values, chosen)
    image = _change_intensity(keys, stack[:channels], chosen)
    if chosen["mirror"]:
        flipped = jax.random.bernoulli(keys["mirror"], chosen["mirror"], (2,))
        image, planes, labels = (
            _mirror(flipped, array) for array in (image, stack[channels:], labels[None])
        )
    else:
        planes, labels = stack[channels:], labels[None]
    return jnp.moveaxis(image, 0, -1), labels[0], jnp.moveaxis(planes, 0, -1)


def _check(
    image: Array,
    labels: Array,
    planes: Array,
    patch: tuple[int, int],
    num_classes: int,
    chosen: Mapping[str, float],
) -> None:
    checks.check_rank("image", image, 3)
    checks.check_floating("image", image)
    region = image.shape[:2]
    checks.check_shape("labels", labels, region)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"`labels` takes integers, got {labels.dtype}")
    checks.check_shape("planes", planes, (*region, None))
    checks.check_floating("planes", planes)
    if num_classes < 1:
        raise ValueError(f"`num_classes` takes a positive integer, got {num_classes}")
    if len(patch) != 2 or not all(1 <= p <= r for p, r in zip(patch, region, strict=True)):
        raise ValueError(f"`patch` takes (h, w) within the region {region}, got {tuple(patch)}")
    if _turns(chosen) and region[0] != region[1]:
        raise ValueError(
            f"`image` takes a square region where `rotate_degrees` is above {MAX_ROTATION}, "
            f"got {region}"
        )


def _moves(chosen: Mapping[str, float]) -> bool:
    """Whether anything but the mirror moves pixels."""
    return bool((chosen["rotate"] and chosen["rotate_degrees"]) or chosen["scale"])


def _turns(chosen: Mapping[str, float]) -> bool:
    """Whether right angles are wanted, and with them a square region."""
    return bool(chosen["rotate"] and chosen["rotate_degrees"] > MAX_ROTATION)


def _move(
    keys: Mapping[str, Array],
    stack: Float[Array, "n H W"],
    labels: Int[Array, "H W"],
    patch: tuple[int, int],
    values: tuple[int, ...],
    chosen: Mapping[str, float],
) -> tuple[Float[Array, "n h w"], Int[Array, "h w"]]:
    """Rotation and scale, where drawn; else the centre crop. Of labels, `values` and 0 are kept."""

    def crop(stack: Array, labels: Array) -> tuple[Array, Array]:
        return geometry.centre_crop(stack, patch), geometry.centre_crop(labels[None], patch)[0]

    if not _moves(chosen):
        return crop(stack, labels)
    rotated, angle = _draw_angle(keys["rotate"], chosen)
    scaled, scale = _draw_scale(keys["scale"], chosen)
    # The warp is bound to 45 degrees: the nearest right angle is turned exactly, the rest warped.
    turns = jnp.round(angle / RIGHT_ANGLE)

    def moved(stack: Array, labels: Array) -> tuple[Array, Array]:
        labels, n = labels[None], stack.shape[0]
        if _turns(chosen):
            quarter = turns.astype(jnp.int32) % 4
            stack, labels = geometry.turn(stack, quarter), geometry.turn(labels, quarter)
        # Labels are interpolated as one share a class; the background is what remains of 1
        classes = jnp.array(values, jnp.int32)[:, None, None]
        shares = (labels.astype(jnp.int32) == classes).astype(jnp.float32)
        stack = warp.affine(
            jnp.concatenate([stack, shares]),
            angle - turns * RIGHT_ANGLE,
            # nnU-Net's scale is that of the coordinates: above 1 it reads more of the region, so
            # the image shrinks
            1 / scale,
            size=patch,
            largest_angle=math.radians(min(chosen["rotate_degrees"], MAX_ROTATION))
            if chosen["rotate"]
            else 0.0,
            largest_factor=1 / chosen["scale_low"] if chosen["scale"] else 1.0,
        )
        return stack[:n], _largest(stack[n:], values).astype(labels.dtype)

    return lax.cond(rotated | scaled, moved, crop, stack, labels)


def _draw_angle(key: PRNGKeyArray, chosen: Mapping[str, float]) -> tuple[Array, Array]:
    """Whether the sample is rotated, and its angle in radians."""
    choice, level = jax.random.split(key)
    largest = math.radians(chosen["rotate_degrees"])
    rotated = jax.random.bernoulli(choice, chosen["rotate"])
    angle = jax.random.uniform(level, (), jnp.float32, -largest, largest)
    return rotated, jnp.where(rotated, angle, 0.0)


def _draw_scale(key: PRNGKeyArray, chosen: Mapping[str, float]) -> tuple[Array, Array]:
    """Whether the sample is scaled, and by what: above 1 it shows more of the region."""
    choice, level = jax.random.split(key)
    scaled = jax.random.bernoulli(choice, chosen["scale"])
    scale = intensity.factor(level, chosen["scale_low"], chosen["scale_high"], ())
    return scaled, jnp.where(scaled, scale, 1.0)


def _largest(shares: Float[Array, "k h w"], values: tuple[int, ...]) -> Int[Array, "h w"]:
    """The value of the largest share, the first of equal ones; the background has the rest."""
    # What was read beyond the region has no share of any class, and is background
    best = 1 - jnp.sum(shares, axis=0)
    label = jnp.zeros(best.shape, jnp.int32)
    for k, value in enumerate(values):
        label = jnp.where(shares[k] > best, value, label)
        best = jnp.maximum(best, shares[k])
    return label


def _change_intensity(
    keys: Mapping[str, Array], image: Array, chosen: Mapping[str, float]
) -> Array:
    """The effects on values, in nnU-Net's order."""
    effects = {
        "noise": (intensity.add_noise, "noise_variance"),
        "blur": (intensity.blur, "blur_low", "blur_high"),
        "brightness": (intensity.multiply, "brightness_low", "brightness_high"),
        "contrast": (intensity.contrast, "contrast_low", "contrast_high"),
        "low_resolution": (intensity.low_resolution, "zoom_low", "zoom_high"),
        "inverted_gamma": (intensity.inverted_gamma, "gamma_low", "gamma_high"),
        "gamma": (intensity.gamma, "gamma_low", "gamma_high"),
    }
    for name, (effect, *levels) in effects.items():
        change = functools.partial(_apply, effect, [chosen[level] for level in levels])
        image = intensity.sometimes(keys[name], chosen[name], change, image)
    return image


def _apply(effect: Callable, levels: list[float], key: PRNGKeyArray, image: Array) -> Array:
    return effect(key, image, *levels)


def _mirror(flipped: Array, planes: Array) -> Array:
    for axis in range(2):
        planes = geometry.flip(planes, flipped[axis], axis=axis + 1)
    return planes
