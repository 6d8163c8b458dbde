"""Segmentation of volumes slice by slice: trained on 2-D patches, judged on whole volumes."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from segjax import checks
from segjax.config import lookup
from segjax.data.augment import (
    EFFECTS,
    augment_slice,
    default_options,
    region_shape,
)
from segjax.data.ignored import IGNORED
from segjax.data.pipeline import gather
from segjax.data.volumes.patches import ResidentPatches, StreamedPatches, cut_region
from segjax.tasks import amounts
from segjax.tasks.base import (
    Devices,
    Experiment,
    Fields,
    check_fields,
)
from segjax.tasks.caches import check_cache
from segjax.tasks.deep_supervision import Scales, scales
from segjax.tasks.metric import Columns
from segjax.tasks.volume_segmentation import metrics
from segjax.tasks.volume_segmentation.data import (
    INTENSITIES,
    check_ignored,
    map_field,
    open_cases,
    open_patches,
)
from segjax.tasks.volume_segmentation.evaluation import VolumeEvaluator
from segjax.tasks.volume_segmentation.prediction import VolumePredictor
from segjax.types import Array, Float

NORMALIZATIONS = ("zscore", "CT")


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
        ignored: whether nothing is known of voxels with the label 255: losses get `where` then, and
            augmentation moves them as it moves a class. Evaluation leaves them out in any case.
        image_size: height and width of a patch; the program supplies `config.data.image_size`.
    """

    headline = "dice"
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
        ignored: bool = False,
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
        self.ignored = ignored
        self.offers = ("logits", "labels") + (("where",) if ignored else ())
        # Before names and metrics are made of the options
        self._check()
        self.metrics = metrics.of(self.classes, self.groups)
        self.explained = metrics.explained(self.classes, self.pixel_spacing)
        self.scored = (*(f"dice_{name}" for name in self.classes), "mean_dice")
        kinds = ("dice", "hausdorff", "true_volume", "volume")
        each = (f"{kind}_{name}" for name in self.classes for kind in kinds)
        self.columns = (*each, "mean_dice")

    def _check(self) -> None:
        """UserError for the first option that makes no sense."""
        channels, share = self.channels, checks.number(least=0, most=1)
        each = f"for each of {channels} channels"
        # Z-scores use no row: then any number of them passes
        rows = channels if "CT" in self.normalization else len(self.intensities)
        wanted = {
            "channels": checks.whole(least=1),
            "slice_axis": checks.none_or(checks.choice((0, 1, 2))),
            "within_nonzero": checks.sequence(
                checks.switch(), channels, words="True or False for each channel"
            ),
            "pixel_spacing": checks.sequence(
                checks.number(above=0),
                0,
                2,
                words="(height, width) of a pixel in mm, above 0, or nothing",
            ),
            "normalization": checks.sequence(
                checks.choice(NORMALIZATIONS),
                channels,
                words=f"one of {', '.join(NORMALIZATIONS)} {each}",
            ),
            "intensities": checks.sequence(
                checks.sequence(checks.number(), len(INTENSITIES)),
                rows,
                words=f"{', '.join(INTENSITIES)} of each channel, where one is CT",
            ),
            "foreground": share,
            "epoch_batches": checks.whole(least=1),
            "tile_step": checks.number(above=0, most=1),
            "mirror": checks.switch(),
            "largest_component": checks.switch(),
            "ignored": checks.switch(),
        }
        different = checks.Requirement("different names", lambda n: len({*n}) == len(n) > 0)
        checks.require("config.task_options.classes", self.classes, different)
        for name, requirement in wanted.items():
            checks.require(f"config.task_options.{name}", getattr(self, name), requirement)
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
        # An effect that a config leaves out is off; ranges that it leaves out are nnU-Net's
        return default_options() | dict.fromkeys(EFFECTS, 0.0) | dict(strengths)

    def augmented(self, keys: Array, fields: Mapping, strengths: Mapping[str, float]) -> dict:
        """The patches of a batch, each augmented with its own key."""
        options = self._options(strengths)
        region = region_shape(self.image_size, options) if strengths else self.image_size
        fields = dict(fields)
        # Resident patches come as whole slices and a corner; of streamed ones the host has cut the
        # region.
        if "corner" in fields:
            corner = fields.pop("corner")
            cut = functools.partial(cut_region, patch=self.image_size, region=region)
            fields = {name: cut(field, corner) for name, field in fields.items()}
        if not strengths:
            return fields
        names = [map_field(name) for name in self.volume_maps]
        labels = fields["labels"].astype(jnp.int32)
        inside = _nonzero(fields["image"], self.within_nonzero)
        # Maps and the mask of what was imaged are warped with the image, by the same draw
        planes = jnp.concatenate([*(fields[name] for name in names), inside], axis=-1)
        augment = functools.partial(
            augment_slice,
            patch=self.image_size,
            num_classes=self.num_classes,
            ignored=self.ignored,
            **options,
        )
        image, labels, planes = _for_each(augment, (keys, fields["image"], labels, planes))
        sizes = [self.map_planes(name) for name in self.volume_maps]
        *parts, inside = jnp.split(planes, np.cumsum(sizes), axis=-1)
        image = _zero_outside(image, inside, self.within_nonzero)
        return {"image": image, "labels": labels} | dict(zip(names, parts, strict=True))

    def evaluated(self, apply_fn: Callable[[Array], Fields], fields: Fields) -> Fields:
        """What the model gives for patches; of whole volumes its evaluator makes them."""
        return apply_fn(self.inputs(fields))

    def bind(self, outputs: Mapping[str, Array], fields: Mapping) -> dict[str, Array]:
        """The named arrays that losses take, whole-volume maps among them."""
        logits = outputs["logits"]
        if logits.shape[-1] != self.num_classes:
            raise ValueError(
                f"{logits.shape[-1]} outputs for {len(self.classes)} classes and the background"
            )
        labels = fields["labels"].astype(jnp.int32)
        named = {"logits": logits, "labels": labels}
        counted = labels != IGNORED
        if self.ignored:
            named["where"] = counted
        for name in self.volume_maps:
            planes = fields[map_field(name)]
            if name == "rectified":
                planes = rectified_from_depth(planes[..., 0], labels, self.num_classes)
            if self.ignored:  # 0 costs nothing, for losses of maps that take no `where`
                planes = jnp.where(counted[..., None], planes, 0)
            named[f"{name}_maps"] = planes
        return named

    def scales(self, outputs: Mapping[str, Array], fields: Mapping) -> Scales:
        """(weight, named arrays) of each resolution at which the model has a head."""
        return scales(self.bind(outputs, fields), outputs.get("deep_logits", ()))

    def probabilities(self, outputs: Mapping[str, Array]) -> Float[Array, "b h w c"]:
        """Softmax over the classes."""
        return jax.nn.softmax(outputs["logits"], axis=-1)

    def predict(self, outputs: Fields) -> dict[str, Array]:
        """The class of the largest logit."""
        return {"labels": jnp.argmax(outputs["logits"], axis=-1).astype(jnp.uint8)}

    def scores(self, predictions: Fields, fields: Fields) -> dict[str, Array]:
        """None: volumes are judged whole, by the evaluator."""
        return {}

    # --- outside -------------------------------------------------------------------------------

    def check_features(self, features: Mapping[str, Any], where: str) -> None:
        """UserError unless the data set has the fields of volumes."""
        check_fields(self.fields, features, where)

    def check_place(self, experiment: Experiment) -> None:
        """UserError unless preprocessed cases are there, or can be kept, and fit the options."""
        check_ignored(experiment, experiment.data.ignores)
        check_cache(experiment.config, experiment.data)

    def epoch_examples(self, examples: int, batch_size: int) -> int:
        """The patches of `epoch_batches` batches, for volumes have no natural epoch."""
        return self.epoch_batches * batch_size

    def validation_values(self, losses: Callable[[], Sequence[str]]) -> Sequence[str]:
        """The metrics of the columns that every validation has; no loss is taken on volumes."""
        given = dict.fromkeys(self.scored)
        found = [metric for metric in self.metrics if metric.given(given)]
        return [metric.name for metric in found]

    def source(
        self, experiment: Experiment, split: str = "train"
    ) -> ResidentPatches | StreamedPatches:
        """Training patches."""
        return open_patches(experiment, split)

    def baseline(self, source: Callable) -> None:
        """There is none of volumes."""

    def evaluator(self, experiment: Experiment, split: str, devices: Devices) -> VolumeEvaluator:
        """Evaluates states on whole volumes of a split."""
        return VolumeEvaluator(experiment, open_cases(experiment, split), devices)

    def predictor(self) -> VolumePredictor:
        """Predicts a user's volumes."""
        return VolumePredictor(self)

    def probe(self, experiment: Experiment, split: str, examples: int) -> Fields:
        """The first patches that training draws from a split."""
        patches = self.source(experiment, split)
        drawn = patches.train_batches(experiment.config.seed, 0, examples, slice(0, examples))
        batch, arrays = jax.tree.map(jnp.asarray, (next(drawn), patches.arrays))
        # No keys: without strengths nothing is drawn, and the patch is merely cut out
        return self.augmented(None, gather(arrays, batch), {})

    def remarks(self, columns: Columns) -> list[str]:
        """Structures that were never predicted, are never there, or are far from their size."""
        return amounts.remarks(self.classes, columns, "volume")

    def figures(
        self,
        experiment: Experiment,
        state: Any,
        split: str,
        columns: Columns,
        names: Sequence[str],
        devices: Devices,
    ) -> Mapping[str, Any]:
        """Slices of the best, middle and worst case by mean Dice."""
        from segjax.tasks.segmentation.pictures import ranked_cases
        from segjax.tasks.volume_segmentation import pictures

        scores = columns["mean_dice"]
        ranked = ranked_cases(scores).items()
        titled = {f"{rank}: {names[i]}, mean Dice {scores[i]:.3f}": i for rank, i in ranked}
        evaluator = self.evaluator(experiment, split, devices)
        return {"cases": pictures.cases_figure(evaluator.panels(state, titled), self.classes)}


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
    # No plane at all where no channel is masked: there is one less to warp
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
