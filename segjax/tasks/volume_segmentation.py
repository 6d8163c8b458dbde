"""Segmentation of volumes slice by slice: trained on 2-D patches, judged on whole volumes."""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from segjax.config import lookup
from segjax.data.augment import (
    EFFECTS,
    augment_slice,
    default_options,
    region_shape,
)
from segjax.data.volumes.patches import cut_region
from segjax.errors import UserError
from segjax.tasks.deep_supervision import Scales, scales
from segjax.tasks.reporting import Reported
from segjax.types import Array, Float

NORMALIZATIONS = ("zscore", "CT")
# What is known of a CT channel from the training set, in this order.
INTENSITIES = ("mean", "sd", "percentile_00_5", "percentile_99_5")


class VolumeSegmentation:
    """Outlines several structures in volumes, after nnU-Net's 2-D configuration.

    Data: the fields of volume sets: `image`, `labels`, `spacing`, `affine`, `image_id`.
    Offers to losses: `logits` [b, h, w, c] and `labels` [b, h, w] of a patch. Losses of maps get
    those named in `volume_maps` from the whole label volume, computed before training with the
    voxels' proportions (as the region-wise paper says), and others from the patch inside the step
    (as its code does).

    Args:
        classes: names of the labels 1, 2, ….
        channels: of the image.
        slice_axis: the stored axis (0, 1, 2) along which slices lie; none takes each case's
            coarsest.
        pixel_spacing: (h, w) in mm to which slices are resampled; empty leaves them as they are.
        normalization: of each channel: zscore, by case; or CT, by the training set.
        intensities: of each channel mean, standard deviation, and the percentiles 0.5 and 99.5 of
            the training set's foreground, for CT; empty for z-scores.
        within_nonzero: of each channel, whether to normalise over what is not zero only, and
            keep the rest at 0; empty is nowhere.
        volume_maps: maps taken from whole volumes.
        foreground: share of a batch that is placed on foreground.
        epoch_batches: how many batches count as an epoch: volumes have no natural one.
        tile_step: distance of tiles at inference, as a share of the patch.
        mirror: average the final predictions over the mirror images of a slice.
        largest_component: keep only the largest component of each class in a volume.
        groups: endings of case names (as in `patient001_ED`) over which figures are also averaged
            apart.
        image_size: height and width of a patch; the program supplies `config.data.image_size`.
    """

    headline, higher_is_better = "dice", True
    on_volumes = True
    fields = ("image", "labels", "spacing", "affine", "image_id")

    def __init__(
        self,
        *,
        classes: Sequence[str] = ("foreground",),
        channels: int = 1,
        slice_axis: int | None = None,
        pixel_spacing: Sequence[float] = (),
        normalization: Sequence[str] = ("zscore",),
        intensities: Sequence[Sequence[float]] = (),
        within_nonzero: Sequence[bool] = (),
        volume_maps: Sequence[str] = (),
        foreground: float = 0.33,
        epoch_batches: int = 250,
        tile_step: float = 0.5,
        mirror: bool = True,
        largest_component: bool = False,
        groups: Sequence[str] = (),
        image_size: tuple[int, int] = (256, 256),
    ):
        self.classes, self.channels = tuple(classes), channels
        self.pixel_spacing, self.normalization = tuple(pixel_spacing), tuple(normalization)
        self.intensities = tuple(tuple(row) for row in intensities)
        self.within_nonzero = tuple(within_nonzero) or (False,) * channels
        self.slice_axis, self.volume_maps = slice_axis, tuple(volume_maps)
        self.foreground, self.epoch_batches = foreground, epoch_batches
        self.tile_step, self.mirror = tile_step, mirror
        self.largest_component, self.groups = largest_component, tuple(groups)
        self.image_size = tuple(image_size)
        self.offers = ("logits", "labels")
        self._check()

    def _check(self) -> None:
        """UserError for the first option that makes no sense."""
        channels, ct = self.channels, "CT" in self.normalization
        numbers = (*self.pixel_spacing, *(value for row in self.intensities for value in row))
        checks = {
            "classes": (len(set(self.classes)) == len(self.classes) > 0, "different names"),
            "channels": (type(channels) is int and channels > 0, "a whole number of at least 1"),
            "slice_axis": (self.slice_axis in (None, 0, 1, 2), "0, 1, 2 or none"),
            "within_nonzero": (
                len(self.within_nonzero) == channels
                and all(isinstance(value, bool) for value in self.within_nonzero),
                "true or false for each channel",
            ),
            "pixel_spacing": (
                len(self.pixel_spacing) in (0, 2)
                and all(_positive(value) for value in self.pixel_spacing),
                "(height, width) of a pixel in mm, above 0, or nothing",
            ),
            "normalization": (
                len(self.normalization) == channels and {*self.normalization} <= {*NORMALIZATIONS},
                f"one of {', '.join(NORMALIZATIONS)} for each of {channels} channels",
            ),
            "intensities": (
                len(self.intensities) == (channels if ct else len(self.intensities))
                and all(len(row) == len(INTENSITIES) for row in self.intensities)
                and all(isinstance(value, (int, float)) for value in numbers),
                f"{', '.join(INTENSITIES)} of each channel, where one is CT",
            ),
            "foreground": (_share(self.foreground), "a number from 0 to 1"),
            "tile_step": (_share(self.tile_step) and self.tile_step > 0, "a number above 0, to 1"),
            "epoch_batches": (
                type(self.epoch_batches) is int and self.epoch_batches > 0,
                "a whole number of at least 1",
            ),
        }
        for name, (good, wanted) in checks.items():
            if not good:
                raise UserError(
                    f"config.task_options.{name}={getattr(self, name)!r}: takes {wanted}"
                )
        for name in self.volume_maps:
            lookup.find("maps", name, "config.task_options.volume_maps")

    @property
    def num_classes(self) -> int:
        """Classes with the background."""
        return len(self.classes) + 1

    # --- inside the compiled step --------------------------------------------------------------

    def blank(self, image_size: tuple[int, int], batch: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and dtypes of a batch, for building everything shape-only."""
        shape = (batch, *image_size)
        fields = {
            "image": jax.ShapeDtypeStruct((*shape, self.channels), jnp.float32),
            "labels": jax.ShapeDtypeStruct(shape, jnp.uint8),
            "corner": jax.ShapeDtypeStruct((batch, 2), jnp.int32),
        }
        for name in self.volume_maps:
            planes = self.map_planes(name)
            fields[map_field(name)] = jax.ShapeDtypeStruct((*shape, planes), jnp.float32)
        return fields

    def map_planes(self, name: str) -> int:
        """Planes that carry a map: a rectified one is known from its depth at the true class."""
        return 1 if name == "rectified" else self.num_classes

    def inputs(self, fields: Mapping[str, Array]) -> Float[Array, "b h w c"]:
        """Slices, normalised: z-scores of the volume, or CT by the training set."""
        return fields["image"]

    augmentations = staticmethod(default_options)

    def region(self, strengths: Mapping[str, float]) -> tuple[int, int]:
        """Height and width of what is cut out around a patch, for rotation and scaling to use."""
        return region_shape(self.image_size, self._options(strengths))

    @staticmethod
    def _options(strengths: Mapping[str, float]) -> dict[str, float]:
        return default_options() | dict.fromkeys(EFFECTS, 0.0) | dict(strengths)

    def augmented(self, keys: Array, fields: Mapping, strengths: Mapping[str, float]) -> dict:
        """The patches of a batch, each augmented with its own key."""
        options = self._options(strengths)
        region = region_shape(self.image_size, options) if strengths else self.image_size
        fields = dict(fields)
        if "corner" in fields:
            corner = fields.pop("corner")
            cut = functools.partial(cut_region, patch=self.image_size, region=region)
            fields = {name: cut(field, corner) for name, field in fields.items()}
        if not strengths:
            return fields
        names = [map_field(name) for name in self.volume_maps]
        labels = fields["labels"].astype(jnp.int32)
        inside = _nonzero(fields["image"], self.within_nonzero)
        planes = jnp.concatenate([*(fields[name] for name in names), inside], axis=-1)
        augment = functools.partial(
            augment_slice, patch=self.image_size, num_classes=self.num_classes, **options
        )
        image, labels, planes = _for_each(augment, (keys, fields["image"], labels, planes))
        sizes = [self.map_planes(name) for name in self.volume_maps]
        *parts, inside = jnp.split(planes, np.cumsum(sizes), axis=-1)
        image = _zero_outside(image, inside, self.within_nonzero)
        return {"image": image, "labels": labels} | dict(zip(names, parts, strict=True))

    def bind(self, outputs: Mapping[str, Array], fields: Mapping) -> dict[str, Array]:
        """The named arrays that losses take, whole-volume maps among them."""
        logits = outputs["logits"]
        if logits.shape[-1] != self.num_classes:
            raise ValueError(
                f"{logits.shape[-1]} outputs for {len(self.classes)} classes and the background"
            )
        labels = fields["labels"].astype(jnp.int32)
        named = {"logits": logits, "labels": labels}
        for name in self.volume_maps:
            planes = fields[map_field(name)]
            if name == "rectified":
                planes = rectified_from_depth(planes[..., 0], labels, self.num_classes)
            named[f"{name}_maps"] = planes
        return named

    def scales(self, outputs: Mapping[str, Array], fields: Mapping) -> Scales:
        """(weight, named arrays) of each resolution at which the model has a head."""
        return scales(self.bind(outputs, fields), outputs.get("deep_logits", ()))

    def probabilities(self, outputs: Mapping[str, Array]) -> Float[Array, "b h w c"]:
        """Softmax over the classes."""
        return jax.nn.softmax(outputs["logits"], axis=-1)

    # --- on the host, after evaluation ---------------------------------------------------------

    def value_names(self) -> tuple[str, ...]:
        """What an evaluation during training gives."""
        return ("dice", *(f"dice/{name}" for name in self.classes))

    def columns(self) -> Sequence[str]:
        """Header of the table of cases: Dice, Hausdorff distance in mm, and volume in ml."""
        words = ("dice", "hausdorff", "true_volume", "volume")
        return (*(f"{word}_{name}" for name in self.classes for word in words), "mean_dice")

    def row_means(self, rows: np.ndarray, names: Sequence[str]) -> dict[str, float]:
        """Means over cases of a table: Dice, and Hausdorff distances where both have the class.

        `missing/CLASS` counts the cases where one of the two lacks the class, and no distance
        measures that. With `groups`, the figures also come apart, as `dice/CLASS/GROUP`.
        """
        chosen = {"": np.ones(len(names), bool)}
        chosen |= {f"/{g}": np.array([n.endswith(g) for n in names]) for g in self.groups}
        columns = dict(zip(self.columns(), rows.T, strict=True))
        means = {"dice": float(columns["mean_dice"].mean())}
        for group, cases in chosen.items():
            for name in self.classes:
                distances = columns[f"hausdorff_{name}"][cases]
                finite = np.isfinite(distances)
                means[f"dice/{name}{group}"] = _mean(columns[f"dice_{name}"][cases])
                means[f"hausdorff/{name}{group}"] = _mean(distances[finite])
                means[f"missing/{name}{group}"] = float(np.sum(~finite))
        return means

    def figures(self, panels_of: Callable, rows: np.ndarray, names: Sequence[str]) -> dict:
        """Figures by name. `panels_of(title -> case)` gives what `cases_figure` draws."""
        from segjax.tasks import volume_pictures as pictures
        from segjax.tasks.segmentation_pictures import ranked_cases

        ranked = ranked_cases(rows[:, -1]).items()
        titled = {f"{word}: {names[i]}, mean Dice {rows[i, -1]:.3f}": i for word, i in ranked}
        return {"cases": pictures.cases_figure(panels_of(titled))}

    def reported(self) -> tuple[Reported, ...]:
        """What a sweep's report shows: each class's Dice and Hausdorff distance, and the mean.

        With `groups`, Dice and distance of each group of cases instead of all.
        """
        apart = itertools.product(self.classes, self.groups or ("",))
        pairs = (_dice_and_distance(name, group) for name, group in apart)
        mean = Reported("mean_dice", "mean Dice", True, name="dice")
        return (*itertools.chain.from_iterable(pairs), mean)

    @staticmethod
    def headline_of(mean_dice):
        """The headline metric from a mean of the table's last column: itself."""
        return mean_dice


def map_field(name: str) -> str:
    """The field that carries a whole-volume map to the step."""
    return f"{name}_planes"


def rectified_from_depth(
    depth: Float[Array, "b *s"], labels: Array, num_classes: int
) -> Float[Array, "b *s c"]:
    """A rectified map from its size at the true class: -depth there, 1 at the other classes.

    Depth and labels can be rotated and scaled by interpolation, and the map is rectified still: a
    map interpolated itself would not be, between two classes.
    """
    true = [labels == k for k in range(num_classes)]
    return jnp.stack([jnp.where(here, -depth, 1.0) for here in true], axis=-1)


def _nonzero(
    image: Float[Array, "b h w c"], channels: Sequence[bool]
) -> Float[Array, "b h w one_or_none"]:
    """1 where one of the chosen channels is not 0, the part of the volume that was imaged."""
    inside = jnp.any((image != 0) & np.array(channels)[None, None, None], axis=-1, keepdims=True)
    return inside.astype(jnp.float32)[..., : int(any(channels))]


def _zero_outside(
    image: Float[Array, "b h w c"],
    inside: Float[Array, "b h w one_or_none"],
    channels: Sequence[bool],
) -> Float[Array, "b h w c"]:
    """The chosen channels, 0 again where augmentation put noise around the part imaged."""
    if not any(channels):
        return image
    return jnp.where((inside < 0.5) & np.array(channels)[None, None, None], 0.0, image)


def _for_each(augment: Callable, rows: tuple) -> tuple:
    """`augment` of every row: one by one on a single CPU device, side by side elsewhere.

    One by one, what was not drawn is not computed; side by side both ways of a choice are. On a CPU
    that is a fifth of the time.
    """
    if jax.default_backend() == "cpu" and jax.device_count() == 1:
        return jax.lax.map(lambda row: augment(*row), rows)
    return jax.vmap(augment)(*rows)


def _dice_and_distance(name: str, group: str) -> tuple[Reported, Reported]:
    """Dice and Hausdorff distance of a class, over the cases of a group."""
    title = f"{name} {group}".strip()
    dice, distance = f"dice/{name}", f"hausdorff/{name}"
    return (
        Reported(f"dice_{name}", f"Dice {title}", True, name=dice, cases=group),
        Reported(f"hausdorff_{name}", f"HD {title}", False, "mm", name=distance, cases=group),
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def _share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
