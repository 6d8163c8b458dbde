"""The part of a task that all tasks on lesions at full resolution share."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from segjax import checks
from segjax.data.augment import default_strengths, region_around
from segjax.data.patches.centres import Centres, centres
from segjax.data.patches.photographs import (
    Marked,
    Photograph,
    Recipe,
    id_of,
    prepare_photographs,
)
from segjax.data.patches.source import taken
from segjax.errors import UserError
from segjax.tasks.base import Experiment, Fields, check_fields
from segjax.tasks.caches import check_cache, held_cache
from segjax.tasks.lesions import metrics
from segjax.tasks.lesions.healthy import read_rule
from segjax.types import Array

LESIONS, HEALTHY = "lesions", "healthy"  # kinds of photographs
# Augmentations want to see what lies around a patch, however large photographs are
ENDLESS = (10**6, 10**6)


class LesionTask:
    """Trains on patches of photographs at full resolution, which are kept as uint8.

    Photographs with lesions give patches around their lesions, healthy ones all others: what else
    a photograph with lesions shows may be another sign of the disease. A photograph that is neither
    gives none.

    Args:
        target: the mask field of the lesions.
        healthy: which photographs are healthy: `FIELD=VALUE`, of a field of the data set, such as
            grade=0 (`HealthyRule`); empty: those whose mask is.
        scale: of height and width at which the network sees photographs, up to 1.
        gain, sigma, offset: of the contrast enhancement, gain I - gain G_sigma * I + offset, sigma
            in pixels of the photograph as it is stored; a gain of 0 leaves photographs as they are.
        healthy_centres: how many pixels of each healthy photograph patches may lie around.
        epoch_batches: how many batches count as an epoch.
        image_size: of a patch; the program supplies `config.data.image_size`.
    """

    channels = 3
    part = ""  # of a pipeline: proposals, refinements
    headline = "auc_pr"
    judged: Sequence[str] = (LESIONS,)  # kinds of photographs that a validation needs
    explained: Mapping[str, str] = {}

    def __init__(
        self,
        *,
        target: str,
        healthy: str,
        scale: float,
        gain: float,
        sigma: float,
        offset: float,
        healthy_centres: int,
        epoch_batches: int,
        image_size: tuple[int, int],
    ):
        wanted = {
            "scale": (scale, checks.number(above=0, most=1)),
            "gain": (gain, checks.number(least=0)),
            "sigma": (sigma, checks.number(above=0)),
            "offset": (offset, checks.number(least=0, most=255)),
            "healthy_centres": (healthy_centres, checks.whole(least=1)),
            "epoch_batches": (epoch_batches, checks.whole(least=1)),
        }
        for name, (value, requirement) in wanted.items():
            checks.require(f"config.task_options.{name}", value, requirement)
        self.target, self.healthy, self._rule = target, healthy, read_rule(healthy)
        self.recipe = Recipe(float(scale), float(sigma), float(gain), float(offset))
        self.healthy_centres, self.epoch_batches = healthy_centres, epoch_batches
        self.image_size = tuple(image_size)
        others = [self._rule.field] if self._rule else []
        self.fields = ("image", "image_id", target, *others)
        self.classes = (target,)
        self.question = target

    # --- before anything is computed -----------------------------------------------------------

    def check_features(self, features: Mapping[str, Any], where: str) -> None:
        """UserError unless the set has the mask, and the field that tells the healthy ones."""
        check_fields(self.fields, features, where)
        if len(shape := features[self.target].shape) != 3 or shape[-1] != 1:
            raise UserError(f"{where}: its field {self.target!r} is no mask, which this task wants")
        self._healthy_number(features)

    def check_place(self, experiment: Experiment) -> None:
        """UserError unless preprocessed photographs can be kept, and there is every kind of them.

        Preprocessing takes minutes, and a kind that is missing would show only afterwards.
        """
        check_cache(experiment.config, experiment.data)
        for split, wanted in (("train", (LESIONS, HEALTHY)), ("validation", self.judged)):
            self._check_kinds(experiment, split, wanted)

    def _check_kinds(self, experiment: Experiment, split: str, wanted: Sequence[str]) -> None:
        """UserError where a split lacks a kind of photographs; reads until it has seen them all."""
        missing, data = list(wanted), experiment.data
        if self._rule and HEALTHY in missing:
            # Read without pictures, which lets this end with the first that has lesions
            healthy = self._healthy_number(data.features)
            if any(float(value) == healthy for value in data.column(split, self._rule.field)):
                missing.remove(HEALTHY)
            else:
                raise self._lacks(HEALTHY, experiment, split)
        for example in data.open(split, (self.target,)):
            mask = np.asarray(example[self.target])
            self.check_size(id_of(example), self.recipe.size(mask.shape))
            kind = LESIONS if mask.any() else HEALTHY
            missing = [other for other in missing if other != kind]
            if not missing:
                return
        raise self._lacks(missing[0], experiment, split)

    def _lacks(self, kind: str, experiment: Experiment, split: str) -> UserError:
        where = f"config.data.splits.{split}={experiment.data.expression(split)!r}"
        if kind == LESIONS:
            at = f" at scale {self.recipe.scale:g}" if self.recipe.scale != 1 else ""
            return UserError(f"{where}: no photograph has {self.target}{at}")
        rule = f"task_options.healthy={self.healthy}" if self.healthy else "with an empty mask"
        return UserError(f"{where}: no photograph is healthy ({rule})")

    def _healthy_number(self, features: Mapping[str, Any]) -> float | None:
        """What healthy photographs hold in the field of the rule; None where masks decide."""
        return self._rule.number(features) if self._rule else None

    @staticmethod
    def augmentations() -> dict[str, float]:
        """Those of photographs."""
        return default_strengths()

    def epoch_examples(self, examples: int, batch_size: int) -> int:
        """The patches of `epoch_batches` batches, for photographs have millions of them."""
        return self.epoch_batches * batch_size

    def validation_values(self, losses: Callable[[], Sequence[str]]) -> Sequence[str]:
        """The metrics of the columns that every validation has; no loss is taken there."""
        given = dict.fromkeys(self.scored)
        return [metric.name for metric in self.metrics if metric.given(given)]

    # --- photographs ---------------------------------------------------------------------------

    def read(self, example: Mapping, healthy_number: float | None) -> Marked:
        """What is known of an example of the data set.

        Args:
            example: of the data set.
            healthy_number: what healthy ones hold in the field of the rule; None without a rule.
        """
        image, lesions = np.asarray(example["image"]), np.asarray(example[self.target])[..., 0] > 0
        # At once, not when all are preprocessed
        self.check_size(id_of(example), self.recipe.size(image.shape))
        if self._rule:
            is_healthy = float(example[self._rule.field]) == healthy_number
        else:
            is_healthy = not lesions.any()
        if is_healthy and lesions.any():
            raise UserError(
                f"{id_of(example)}: has {self.target}, and is healthy by "
                f"task_options.healthy={self.healthy}"
            )
        return Marked(image, lesions, is_healthy)

    def open_photographs(self, experiment: Experiment, split: str) -> list[Photograph]:
        """The preprocessed photographs of a split, none smaller than a patch."""
        data = experiment.data
        source, expression = data.open(split, self.fields), data.expression(split)
        number = self._healthy_number(data.features)
        rule = f"{self._rule.field}={number:g}" if self._rule else ""
        found = prepare_photographs(
            source,
            self.recipe,
            held_cache(experiment.config, data.digest),
            read=functools.partial(self.read, healthy_number=number),
            key=f"{data.digest}/{expression} {self.target} {rule}",
            label=expression,
        )
        for photograph in found:
            self.check_size(photograph.name, photograph.labels.shape)
        return found

    def check_size(self, name: object, size: Sequence[int]) -> None:
        """UserError for a photograph that is smaller than a patch, at the scale of the network."""
        (height, width), (rows, columns) = self.image_size, size
        if rows < height or columns < width:
            at = f" at scale {self.recipe.scale:g}" if self.recipe.scale != 1 else ""
            raise UserError(
                f"{name}: {columns}x{rows} pixels{at} are smaller than a patch of "
                f"{width}x{height} (config.data.image_size)"
            )

    def candidates(
        self, experiment: Experiment, split: str, photographs: Sequence[Photograph]
    ) -> tuple[Centres, Centres]:
        """Lesion pixels, and healthy ones within the field of view."""
        # One photograph after the other: together their masks would fill the memory
        lesions = centres(p.labels * (not p.is_healthy) for p in photographs)
        healthy = centres(map(self.healthy_pixels, photographs), most=self.healthy_centres)
        for kind, found in ((LESIONS, lesions), (HEALTHY, healthy)):
            if not len(found):
                raise self._lacks(kind, experiment, split)
        return lesions, healthy

    def healthy_pixels(self, photograph: Photograph) -> np.ndarray:
        """The pixels `[h, w]` of a photograph that healthy patches may lie around."""
        return photograph.field * photograph.is_healthy

    def is_resident(self, experiment: Experiment, photographs: Sequence[Photograph]) -> bool:
        """Whether photographs lie on the device: if they fit and the config lets them."""
        section = experiment.config.data
        # Image and labels of each take the room of the largest (`PatchSource.arrays`)
        largest = np.max([p.labels.shape for p in photographs], axis=0)
        megabytes = len(photographs) * float(np.prod(largest)) * (self.channels + 1) / 2**20
        fits = megabytes <= section.resident_megabytes
        return section.resident == "yes" or (section.resident == "auto" and fits)

    # --- inside the compiled step --------------------------------------------------------------

    def region(self, strengths: Mapping[str, float] | None) -> tuple[int, int]:
        """What is cut out around a patch, for augmentation to use."""
        return region_around(self.image_size, ENDLESS, strengths or {})

    def taken(self, arrays: Fields, batch: Fields) -> dict:
        """The regions of a batch."""
        return taken(arrays, batch)

    def middle(self, field: Array) -> Array:
        """The patches `[n, h, w, …]` in the middle of regions."""
        edges = [(o - s) // 2 for o, s in zip(field.shape[1:3], self.image_size, strict=True)]
        rows, columns = (slice(e, e + s) for e, s in zip(edges, self.image_size, strict=True))
        return field[:, rows, columns]

    def evaluated(self, apply_fn: Callable[[Array], Fields], fields: Fields) -> Fields:
        """What the model gives for patches; of whole photographs its evaluator makes them."""
        return apply_fn(self.inputs(fields))

    def scales(self, outputs: Fields, fields: Fields) -> Sequence[tuple[float, Fields]]:
        """(weight, named arrays) of each resolution at which losses are taken: one."""
        return ((1.0, self.bind(outputs, fields)),)

    def scores(self, predictions: Fields, fields: Fields) -> dict[str, Array]:
        """None: photographs are judged by the evaluator."""
        return {}

    # --- outside -------------------------------------------------------------------------------

    def probe(self, experiment: Experiment, split: str, examples: int) -> Fields:
        """What training draws from a split in a first batch of so many, not augmented."""
        source, seed = self.source(experiment, split), experiment.config.seed
        size = max(2, examples)  # a batch has a patch of each kind
        drawn = source.train_batches(seed, 0, size, slice(0, examples))
        batch, arrays = jax.tree.map(jnp.asarray, (next(drawn), source.arrays))
        return self.augmented(None, self.taken(arrays, batch), {})

    def baseline(self, source: Callable) -> float:
        """The same probability everywhere: its precision is the share of lesion pixels."""
        return metrics.EVERYWHERE

    def remarks(self, columns: Mapping[str, np.ndarray]) -> list[str]:
        """What keeps figures from being read as they look."""
        return metrics.remarks(columns)


def takes_part(task: object, part: str) -> bool:
    """Whether networks of a task are proposals, or refinements, of a pipeline."""
    return isinstance(task, type) and issubclass(task, LesionTask) and task.part == part
