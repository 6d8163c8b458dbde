"""Classification of one finding, with an activation map that annotated regions guide.

Source: Son et al., Classification of Findings with Localized Lesions in Fundoscopic Images using a
Regionally Guided CNN (2018).
"""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from segjax import checks
from segjax.data import regions
from segjax.data.augment import augment_with_masks
from segjax.data.field_of_view import bounds
from segjax.data.pipeline import Resident, Streamed
from segjax.data.resizing import resize_image, resize_mask
from segjax.errors import UserError
from segjax.tasks.base import Devices, Experiment, Fields, check_baseline
from segjax.tasks.guided_classification import cells, metrics
from segjax.tasks.guided_classification.evaluation import AT_CUTS, GuidedEvaluator
from segjax.tasks.guided_classification.shuffling import shuffled
from segjax.tasks.images import ImageTask
from segjax.tasks.metric import Columns
from segjax.types import Array, Float

NEGATIVES = ("silent", "free")
PRESENT, ABSENT, UNDECIDED = 1, 0, -1
# Zhang et al. (2018) allow 15 pixels of 224.
TOLERANCE = 15 / 224


class GuidedClassification(ImageTask):
    """Tells whether a photograph shows a finding, and where.

    Data: `image`, `image_id`, the points `disc` and `fovea` as (x, y) in continuous pixels, and of
    the finding F its label `F_label` (1 present, 0 absent, -1 undecided, which is left out) and
    `F_regions`, 0 or 1 of each of the eight regions (`data/regions`).
    Offers to losses: `logits` [b, 1], `labels` [b], and of a model with an activation map
    `activation_logits` [b, k, l] and `region` [b, k, l], whether at least half of a cell lies in
    the annotated regions. A model without one is classified and judged by its logits alone.

    Args:
        finding: as the data set names it.
        crop: whether photographs are cropped to the field of view before they are resized.
        negatives: what guidance wants of photographs without the finding: `silent`, no activation
            anywhere, or `free`, anything.
        shuffle_regions: trains with as many regions chosen by chance; a sanity check. What is
            measured takes the annotated ones.
        tolerance: how far outside a region the pointing game counts as inside, as a share of the
            shorter side.
    """

    headline = "auroc"
    scored = metrics.SCORED
    columns = metrics.COLUMNS
    metrics = metrics.METRICS
    predicted = ("probability",)
    pictures = ("overlays", "activations")

    def __init__(
        self,
        *,
        finding: str = "hard_exudate",
        crop: bool = True,
        negatives: str = "silent",
        shuffle_regions: bool = False,
        tolerance: float = TOLERANCE,
    ):
        where = "config.task_options"
        named = checks.Requirement("the name of a finding", lambda f: isinstance(f, str) and f)
        checks.require(f"{where}.finding", finding, named)
        checks.require(f"{where}.crop", crop, checks.switch())
        checks.require(f"{where}.negatives", negatives, checks.choice(NEGATIVES))
        checks.require(f"{where}.shuffle_regions", shuffle_regions, checks.switch())
        checks.require(f"{where}.tolerance", tolerance, checks.number(least=0, most=1))
        self.finding, self.crop, self.negatives = finding, crop, negatives
        self.question, self.proposes = f"finding {finding}", finding
        self.shuffle_regions, self.tolerance = shuffle_regions, float(tolerance)
        self.label, self.marked = f"{finding}_label", f"{finding}_regions"
        self.fields = ("image", "image_id", "disc", "fovea", self.label, self.marked)
        self.offers = ("logits", "labels", "activation_logits", "region")
        self.explained = metrics.explained(crop, self.tolerance)

    def check_features(self, features: Mapping[str, Any], where: str) -> None:
        """UserError unless the data set has the finding."""
        known = [name[: -len("_label")] for name in features if name.endswith("_label")]
        if known and self.finding not in known:
            raise UserError(
                f"config.task_options.finding={self.finding!r}: {where} has no such finding"
                f"{checks.nearest(self.finding, known)} It has: {', '.join(known)}"
            )
        super().check_features(features, where)

    def check_place(self, experiment: Experiment) -> None:
        """UserError where training or validation has one class only: neither says anything."""
        for split in ("train", "validation"):
            labels = self._labels(experiment, split)
            found = {int(label) for label in labels} - {UNDECIDED}
            if len(found) < 2:
                what = {PRESENT: "with", ABSENT: "without"}
                has = f"has only photographs {what[found.pop()]} it" if found else "has no label"
                raise UserError(
                    f"config.task_options.finding={self.finding!r}: the split {split!r} of "
                    f"{experiment.data.name} {has}, so that AUROC is not defined"
                )

    # --- which photographs count ---------------------------------------------------------------

    def _labels(self, experiment: Experiment, split: str) -> list[int]:
        return [int(label) for label in experiment.data.column(split, self.label)]

    def kept(self, experiment: Experiment, split: str) -> Sequence[int] | None:
        """Those whose label is known."""
        labels = self._labels(experiment, split)
        known = [index for index, label in enumerate(labels) if label != UNDECIDED]
        if not known:
            raise UserError(
                f"config.task_options.finding={self.finding!r}: no photograph of the split "
                f"{split!r} of {experiment.data.name} has a label"
            )
        return None if len(known) == len(labels) else known

    # --- from the data set to fields -----------------------------------------------------------

    def record(self, example: Mapping, image_size: tuple[int, int]) -> dict[str, np.ndarray]:
        """`image` uint8, `label`, `region` bool at its size; without annotation -1 and none."""
        image = example["image"]
        box = self.box(image)
        cropped = image[box[0] : box[1], box[2] : box[3]]
        record = {
            "image": resize_image(cropped, image_size),
            "label": np.int32(example.get(self.label, UNDECIDED)),
            "region": np.zeros(image_size, bool),
        }
        marked = np.asarray(example.get(self.marked, np.zeros(len(regions.REGIONS))), bool)
        draw = functools.partial(_drawn, example, box=box, size=image_size)
        if marked.any():
            record["region"] = draw(marked)
        if self.shuffle_regions:
            name = example.get("image_id", b"")
            other = shuffled(marked, name.decode() if isinstance(name, bytes) else str(name))
            record["guide"] = draw(other) if marked.any() else record["region"]
        return record

    def box(self, image: np.ndarray) -> tuple[int, int, int, int]:
        """(top, bottom, left, right) of what the network sees of a photograph."""
        return bounds(image) if self.crop else (0, image.shape[0], 0, image.shape[1])

    def blank(self, image_size: tuple[int, int], batch: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of a batch of records."""
        plane = jax.ShapeDtypeStruct((batch, *image_size), jnp.bool_)
        fields = {
            "image": jax.ShapeDtypeStruct((batch, *image_size, self.channels), jnp.uint8),
            "label": jax.ShapeDtypeStruct((batch,), jnp.int32),
            "region": plane,
        }
        return fields | ({"guide": plane} if self.shuffle_regions else {})

    # --- inside the compiled step --------------------------------------------------------------

    def augmented(self, keys: Array, fields: Fields, strengths: Mapping[str, float]) -> dict:
        """Fields with images and regions augmented together, each image with its own key."""
        if not strengths:
            return dict(fields)
        names = [name for name in ("region", "guide") if name in fields]
        planes = jnp.stack([fields[name] for name in names], axis=-1).astype(jnp.float32)
        together = jax.vmap(functools.partial(augment_with_masks, **strengths))
        image, planes = together(keys, self.inputs(fields), planes)
        moved = {name: planes[..., k] >= 0.5 for k, name in enumerate(names)}
        return {**fields, "image": image * 255.0, **moved}

    def bind(self, outputs: Fields, fields: Fields) -> dict[str, Array]:
        """The named arrays that losses take."""
        if outputs["logits"].shape[-1] != 1:
            raise ValueError(f"{outputs['logits'].shape[-1]} outputs for one finding; takes 1")
        named = {"logits": outputs["logits"], "labels": fields["label"]}
        if "activation_logits" not in outputs:
            return named
        logits = outputs["activation_logits"]
        for pixels, across in zip(fields["region"].shape[1:], logits.shape[1:], strict=True):
            if pixels % across:
                raise ValueError(
                    f"{pixels} pixels do not divide into the {across} cells of the activation map; "
                    f"takes a multiple of {-(-pixels // across)}"
                )
        plane = fields.get("guide", fields["region"]).astype(jnp.float32)
        region = cells.shares(plane, logits.shape[1:]) >= cells.HALF
        if self.negatives == "free":
            region = region | (fields["label"] != PRESENT)[:, None, None]
        return {**named, "activation_logits": logits, "region": region}

    def predict(self, outputs: Fields) -> dict[str, Array]:
        """`probability` [b], and the `activation` map [b, k, l] where the model has one."""
        found = {"probability": jax.nn.sigmoid(outputs["logits"][:, 0].astype(jnp.float32))}
        if "activation_logits" in outputs:
            # The logits too: cells that are sure differ in them alone, not in float32's sigmoid
            found["activation_logits"] = outputs["activation_logits"].astype(jnp.float32)
            found["activation"] = jax.nn.sigmoid(found["activation_logits"])
        return found

    def scores(self, predictions: Fields, fields: Fields) -> dict[str, Float[Array, "b"]]:
        """Probability and label, of which AUROC is made."""
        label = fields["label"].astype(jnp.float32)
        return {"probability": predictions["probability"], "label": label}

    # --- on the host, after evaluation ---------------------------------------------------------

    def evaluator(self, experiment: Experiment, split: str, devices: Devices) -> GuidedEvaluator:
        """Evaluates states on a split, with operating points of the validation split."""
        return GuidedEvaluator(experiment, split, devices)

    def rows(self, predictions: Mapping, fields: Mapping) -> dict[str, np.ndarray]:
        """What is measured of the activation map; nan without the finding, or without regions."""
        if "activation" not in predictions:
            return {}
        activation, region = predictions["activation"], np.asarray(fields["region"])
        covered = cells.shares(region.astype(np.float32), activation.shape[1:])
        found = cells.activation_shares(activation, covered)
        logits = predictions["activation_logits"]
        found |= cells.pointing(logits, region, self.tolerance)
        found |= dict(zip(AT_CUTS, cells.overlaps(activation, covered), strict=True))
        known = (np.asarray(fields["label"]) == PRESENT) & region.any(axis=(1, 2))
        return {name: np.where(known, values, np.nan) for name, values in found.items()}

    def baseline(self, source: Callable[[], Resident | Streamed]) -> float:
        """The share of the training photographs that show the finding."""
        labels = np.concatenate([fields["label"] for fields in source().parts()])
        return float(labels.mean(dtype=np.float64))

    def baseline_scores(self, answer: float, fields: Mapping) -> dict[str, np.ndarray]:
        """That share as the probability of each photograph."""
        check_baseline(isinstance(answer, int | float) and 0 <= answer <= 1)
        label = np.asarray(fields["label"], np.float64)
        return {"probability": np.full(label.shape, float(answer)), "label": label}

    def remarks(self, columns: Columns) -> list[str]:
        """DeLong's interval, the operating point, the chance level."""
        return metrics.remarks(columns)

    def write_pictures(
        self,
        folder: pathlib.Path,
        name: str,
        image: np.ndarray,
        row: Mapping[str, float],
        prediction: Mapping,
    ) -> None:
        """overlays/NAME.png, and activations/NAME.png: the map in 16 bits, at the image's size."""
        from segjax.tasks.guided_classification import pictures

        if "activation" in prediction:
            box = self.box(image)
            pictures.write_pictures(folder, name, image, box, np.asarray(prediction["activation"]))

    def proposed_map(
        self, image: np.ndarray, predicted: Mapping, shape: tuple[int, int]
    ) -> np.ndarray | None:
        """The activation map, as large as asked for; 0 where the network did not look."""
        if "activation" not in predicted:
            return None
        factors = np.array(shape) / image.shape[:2]
        top, bottom, left, right = np.rint(self.box(image) * np.repeat(factors, 2)).astype(int)
        box = (top, max(bottom, top + 1), left, max(right, left + 1))
        return cells.enlarged(np.asarray(predicted["activation"]), box, shape)

    def case_figures(self, open_case: Callable, columns: Columns, names: Sequence[str]) -> dict:
        """Photograph, regions and activation map of cases that are found, and missed."""
        from segjax.tasks.guided_classification import pictures

        if "air" not in columns:
            return {}
        rows = []
        for title, index in pictures.chosen_cases(columns).items():
            _, fields, outputs = open_case(index)
            wanted = "probability", "threshold", "air", "air_chance"
            probability, threshold, air, chance = (float(columns[name][index]) for name in wanted)
            label = f"{title}: {names[index]}\nprobability {probability:.2g} (positive from "
            label += f"{threshold:.2g})"
            label += f"\nAIR {air:.2f} (chance {chance:.2f})" if np.isfinite(air) else ""
            activation = np.asarray(self.predict(outputs)["activation"])[0]
            rows.append((label, fields["image"][0], fields["region"][0], activation))
        return {"cases": pictures.cases_figure(rows)}


def _drawn(
    example: Mapping, marked: np.ndarray, *, box: Sequence[int], size: tuple[int, int]
) -> np.ndarray:
    """The marked regions of a photograph, bool at a size, of what a box cuts out of it."""
    top, bottom, left, right = box
    height, width = bottom - top, right - left
    # Drawn with round circles, at about the size wanted, then stretched as the photograph is
    factor = min(1.0, max(size) / max(height, width))
    drawn = max(1, round(height * factor)), max(1, round(width * factor))
    scale = np.array([drawn[1] / width, drawn[0] / height])
    corner = np.array([left, top], np.float64)
    disc, fovea = ((np.asarray(example[p], np.float64) - corner) * scale for p in ("disc", "fovea"))
    inside = marked[regions.region_map(disc, fovea, *drawn)]
    return resize_mask(inside, size)
