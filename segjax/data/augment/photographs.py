"""Augmentation of a photograph with its points or masks, on the device, inside jit and vmap."""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from segjax.data.augment import geometry, intensity, vocabulary, warp
from segjax.ops import checks
from segjax.types import Array, Float, PRNGKeyArray

KIND = "photographs"
# What the key of a patch's place is folded with; those of the augmentation are split from it.
PLACE = 2**31
# What the flips' key is folded with for the transposition, which came after them.
TRANSPOSITION = 2**31 + 2
# What the affine's key is folded with for the shear, which came after those split from it.
SHEAR = 2**31 + 1
INTENSITY = tuple(
    name
    for name, option in vocabulary.options_of(KIND).items()
    if option.effect not in vocabulary.SPATIAL
)


def default_strengths() -> dict[str, float]:
    """Every option of `augment` by name, with its default strength, 0."""
    return vocabulary.defaults(KIND)


def augment(
    key: PRNGKeyArray,
    image: Float[Array, "h w c"],
    points: Float[Array, "n 2"],
    **strengths: float,
) -> tuple[Float[Array, "h w c"], Float[Array, "n 2"]]:
    """Flips and a transposition, a small affine about the image's centre, changes of intensity.

    out = s R K (p - centre) + centre + t with uniform s, t and angles, K the shear, which adds
    tan(b) y to x; then, clipped to [0, 1], image^g, mean + k (image - mean), + b, + noise. Every
    strength is a plain number: those at 0 are not computed at all. Each effect draws from a key of
    its own, so turning one on leaves the others' draws as they were.

    Source: the usual set for fundus photographs; the warp is `warp.affine`.
    Departures: a point must not leave the image. Where the drawn affine would move any of the
        points outside, this example keeps the identity affine (its flips and intensity still
        apply).

    Args:
        key: one key per example.
        image: values in [0, 1].
        points: (x, y) in continuous pixels; a point that is outside already, or not a number,
            keeps the affine of its example at the identity.
        strengths: those of photographs in `vocabulary.OPTIONS`; those left out are 0.

    Returns: the image, float32, of the same shape, and its points. Beyond the old border
        the border's pixels are repeated.
    Empty cases: no points (n = 0): nothing limits the affine.
    Raises: ValueError on a wrong rank or a strength out of range; TypeError on integer pixels and
        unknown strengths.
    Cost: two products of an image with a matrix of its side, O(h w (h + w)) per channel, and some
        ten passes over the pixels. With three channels on two CPU cores the affine takes 0.7 ms at
        128 and 3.5 ms at 256 pixels, everything together 1.5 ms and 8 ms.
    """
    chosen, image = vocabulary.complete(KIND, strengths), _checked(image)
    points = jnp.asarray(points)
    checks.check_shape("points", points, (None, 2))
    flips, affine, values = jax.random.split(key, 3)
    image, points = _move(flips, affine, image, points.astype(jnp.float32), chosen)
    return _change_intensity(values, image, chosen), points


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
        strengths: as of `augment`.

    Returns: the image and the masks, float32, of the same shapes.
    Empty cases: no masks (m = 0) come back as they are.
    Raises: as `augment`.
    Cost: as `augment` on c + m channels.
    """
    chosen = vocabulary.complete(KIND, strengths)
    # One stack: masks are moved by the very draws and weights of the image
    channels, no_points = image.shape[-1], jnp.zeros((0, 2), jnp.float32)
    both = _checked(jnp.concatenate([image, masks], axis=-1))
    flips, affine, values = jax.random.split(key, 3)
    both, _ = _move(flips, affine, both, no_points, chosen)
    return _change_intensity(values, both[..., :channels], chosen), both[..., channels:]


def region_around(
    patch: tuple[int, int], whole: tuple[int, int], strengths: Mapping[str, float]
) -> tuple[int, int]:
    """The region that the augmentations of a patch want to see.

    (H, W + H tan b) / (1 - s) with H = h cos a + w sin a and W = w cos a + h sin a, a the largest
    angle, b that of the shear and s the largest scaling: what lies beyond the patch comes from the
    photograph then, not from a repeated border.

    Source: nnU-Net's `get_patch_size`, for the options of photographs.
    Departures: translation is left out: a patch has no place of its own.

    Args:
        patch: (h, w).
        whole: (H, W) of the photograph: a region that is larger would see little more.
        strengths: as of `augment`.

    Returns: (h, w) of the region.
    Empty cases: without rotation, shear and scaling it is the patch.
    Raises: as `augment`.
    """
    chosen, (height, width) = vocabulary.complete(KIND, strengths), patch
    angle = math.radians(chosen["rotate"])
    sin, cos = math.sin(angle), math.cos(angle)
    # At least the patch: of a long patch the short angle alone would make the long side shorter
    turned = max(height, height * cos + width * sin), max(width, width * cos + height * sin)
    # Columns lean: the farther up or down, the more is read beside the patch
    turned = turned[0], turned[1] + math.tan(math.radians(chosen["shear"])) * turned[0]
    # A billionth less, for a side that is whole up to rounding.
    wanted = (math.ceil(side / (1 - chosen["scale"]) - 1e-9) for side in turned)
    fits = (min(side, most) for side, most in zip(wanted, whole, strict=True))
    # Of the patch's parity, so that both have one centre
    rows, columns = (side + (side - own) % 2 for side, own in zip(fits, patch, strict=True))
    return rows, columns


def cut_at_random(
    key: PRNGKeyArray, fields: Mapping[str, Array], patch: tuple[int, int], region: tuple[int, int]
) -> dict[str, Array]:
    """The same region out of every field of one example, around a patch at any place inside it.

    Every place of the patch has equal probability, whatever the region: pixels at the rim of a
    photograph are in fewer patches than those of its middle. What of the region lies beyond the
    photograph repeats its border, as `augment` does.

    Source: nnU-Net, which places patches so, and fills with 0. Departures: the border.

    Args:
        key: one key per example; the draws of `augment` with it are others.
        fields: [h, w] or [h, w, c], all of one size, at least the patch's.
        patch: (h, w) of the patch.
        region: (h, w) of what is cut out, at least the patch; the patch is its middle.

    Returns: the fields, [h, w] or [h, w, c].
    Empty cases: a patch of the fields' size has one place.
    Raises: nothing.
    """
    height, width = next(iter(fields.values())).shape[:2]
    # randint leaves its upper end out; the last place, flush with the far edge, is one of them
    room = jnp.array([height - patch[0], width - patch[1]]) + 1
    corner = jax.random.randint(jax.random.fold_in(key, PLACE), (2,), 0, room)
    missing = [outer - side for outer, side in zip(region, patch, strict=True)]
    margins = [(add // 2, add - add // 2) for add in missing]

    def cut(field: Array) -> Array:
        rest = field.shape[2:]
        wide = jnp.pad(field, [*margins, *[(0, 0)] * len(rest)], mode="edge")
        return jax.lax.dynamic_slice(wide, (*corner, *[0] * len(rest)), (*region, *rest))

    return {name: cut(field) for name, field in fields.items()}


def _checked(image: Array) -> Array:
    image = jnp.asarray(image)
    checks.check_rank("image", image, 3)
    checks.check_floating("image", image)
    return image.astype(jnp.float32)


def _move(
    flips: PRNGKeyArray,
    affine: PRNGKeyArray,
    image: Array,
    points: Array,
    chosen: Mapping[str, float],
) -> tuple[Array, Array]:
    """Flips, the transposition, then the affine."""
    keys = jax.random.split(flips)
    for axis, name in enumerate(("flip_horizontal", "flip_vertical")):
        if chosen[name]:
            flipped = jax.random.bernoulli(keys[axis], chosen[name])
            # `axis` counts coordinates, x first; in the image x is axis 1 and y axis 0
            points = geometry.flip_points(points, flipped, image.shape[1 - axis], axis=axis)
            image = geometry.flip(image, flipped, axis=1 - axis)
    if chosen["transpose"]:
        image, points = _transposed(flips, image, points, chosen["transpose"])
    if any(chosen[name] for name in ("rotate", "scale", "translate", "shear")):
        return _random_affine(affine, image, points, chosen)
    return image, points


def _transposed(
    key: PRNGKeyArray, image: Array, points: Array, probability: float
) -> tuple[Array, Array]:
    """Rows and columns exchanged at random: with both flips, every turn by a right angle."""
    if image.shape[0] != image.shape[1]:
        raise ValueError(
            f"`transpose` takes square images, got {image.shape[0]} x {image.shape[1]} pixels"
        )
    chosen = jax.random.bernoulli(jax.random.fold_in(key, TRANSPOSITION), probability)
    turned = jnp.where(chosen, jnp.swapaxes(image, 0, 1), image)
    return turned, jnp.where(chosen, points[:, ::-1], points)


def _random_affine(
    key: PRNGKeyArray, image: Array, points: Array, chosen: Mapping[str, float]
) -> tuple[Array, Array]:
    """An affine with its points, the identity where it would move a point out of the image."""
    height, width = image.shape[:2]
    rotate, scale, translate = math.radians(chosen["rotate"]), chosen["scale"], chosen["translate"]
    most = math.radians(chosen["shear"])
    keys = jax.random.split(key, 3)
    angle = intensity.uniform(keys[0], rotate)
    factor = 1.0 + intensity.uniform(keys[1], scale)
    sides = jnp.array([width, height], jnp.float32)
    shift = intensity.uniform(keys[2], translate, (2,)) * sides
    shear = intensity.uniform(jax.random.fold_in(key, SHEAR), most) if most else None
    moved = geometry.move_points(points, (height, width), angle, factor, shift, shear)
    # A nan compares false, so an unknown point keeps the identity. The right edge is outside: the
    # class of a point is floor(x), and floor(width) names no pixel.
    kept = jnp.all((moved >= 0) & (moved < sides[None]))
    planes = warp.affine(
        jnp.moveaxis(image, -1, 0),
        # The parameters are selected, not the results: one warp is computed instead of two
        jnp.where(kept, angle, 0.0),
        jnp.where(kept, factor, 1.0),
        jnp.where(kept, shift, 0.0),
        None if shear is None else jnp.where(kept, shear, 0.0),
        size=(height, width),
        border="repeat",
        largest_angle=rotate,
        largest_factor=1 + scale,
        largest_shift=translate,
        largest_shear=most,
    )
    return jnp.moveaxis(planes, 0, -1), jnp.where(kept, moved, points)


def _change_intensity(key: PRNGKeyArray, image: Array, chosen: Mapping[str, float]) -> Array:
    return intensity.change_photograph(key, image, **{name: chosen[name] for name in INTENSITY})
