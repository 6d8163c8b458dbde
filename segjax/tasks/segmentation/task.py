"""Segmentation of photographs: one class a target, of masks that may overlap."""

import functools
import importlib.util
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from segjax import checks
from segjax.data.augment import augment_with_masks, cut_at_random, region_around
from segjax.data.pipeline import Resident, Streamed
from segjax.data.resizing import resize_image, resize_mask
from segjax.errors import UserError
from segjax.metrics import betti_error, cl_dice, dice, jaccard
from segjax.ops.tiling import tiled
from segjax.tasks import amounts
from segjax.tasks.base import Fields, check_baseline
from segjax.tasks.deep_supervision import Scales, scales
from segjax.tasks.images import STORED, ImageTask
from segjax.tasks.metric import Columns
from segjax.tasks.segmentation import metrics, original
from segjax.types import Array, Float, Int

TARGETS = "names of mask fields, several joined by + as one class"


class Segmentation(ImageTask):
    """Outlines structures on an image.

    Data: `image`, `image_id`, and a mask (0 and 1, `[h, w, 1]`) for each field that is named.
    Offers to losses: `logits` [b, h, w, c], `labels` [b, h, w] of class indices, the background 0,
    and with a field of view `where` [b, h, w]. Losses of `maps` get them from the labels.

    Args:
        targets: the structures, class 1 first. Each is a mask field, or several joined by `+`,
            of which the class is the union. Where classes overlap, the later one counts. One
            target takes a model with one output (sigmoid) or two, k targets one with k + 1.
        within: a mask field outside which nothing counts, in metrics and in losses that take
            `where`.
        cover: the share of a pixel that a structure covers to be its label, when images shrink.
            Below one half thin lines stay in one piece, a little thicker.
        topology: adds clDice and the errors of the Betti numbers to each image's row of the table,
            and their means to the metrics of a split. They are found on the host, at the end only.
        full_size: height and width to which photographs are resized, where the network trains on
            patches of `data.image_size` that are cut out of them at random. Evaluation and
            prediction take whole photographs then, by overlapping tiles. None: `data.image_size`.
        image_size: of what the network sees; the program supplies `config.data.image_size`.
    """

    headline = "dice"
    pictures = ("overlays", "labels")

    def __init__(
        self,
        *,
        targets: Sequence[str] = ("optic_disc",),
        within: str | None = None,
        topology: bool = False,
        cover: float = 0.5,
        full_size: tuple[int, int] | None = None,
        image_size: tuple[int, int] = (128, 128),
    ):
        where = "config.task_options"
        targets = (targets,) if isinstance(targets, str) else targets
        names = checks.Requirement(TARGETS, lambda t: isinstance(t, str) and all(t.split("+")))
        checks.require(f"{where}.targets", targets, checks.sequence(names, words=TARGETS))
        # An empty sequence has no name that is wrong
        checks.require(f"{where}.targets", targets, checks.Requirement(TARGETS, bool))
        field = checks.Requirement("a mask field", lambda f: isinstance(f, str) and bool(f))
        checks.require(f"{where}.within", within, checks.none_or(field))
        checks.require(f"{where}.cover", cover, checks.number(above=0, most=1))
        _check_topology(topology)
        least = f"(height, width) of at least config.data.image_size={tuple(image_size)}"
        fits = checks.Requirement(least, functools.partial(_at_least, image_size))
        checks.require(f"{where}.full_size", full_size, checks.none_or(fits))
        self.patch, self.full_size = tuple(image_size), full_size and tuple(full_size)
        self.cover = float(cover)
        self.targets, self.within, self.topology = tuple(targets), within, topology
        self.classes = self.targets
        self.question = ", ".join(self.targets)
        # A field may belong to several targets, and is read once
        masks = [field for target in targets for field in target.split("+")]
        self.masks = tuple(dict.fromkeys([*masks, *([within] if within else [])]))
        self.fields = ("image", "image_id", *self.masks)
        self.offers = ("logits", "labels") + (("where",) if within else ())
        self.size = metrics.working(self.full_size)
        self.metrics = metrics.of(self.targets, topology=topology, size=self.size)
        self.explained = metrics.explained(self.targets, self.size)
        self.scored = (*(f"dice_{target}" for target in self.targets), "mean_dice", "jaccard")
        self.predicted = tuple(f"area_{target}" for target in self.targets)
        kinds = ("true_area", "area", "dice", "limit")
        each = [f"{kind}_{target}" for target in self.targets for kind in kinds]
        self.columns = (*each, *self._topology_columns(), "mean_dice", "jaccard")

    def _topology_columns(self) -> list[str]:
        return [f"{name}_{t}" for t in self.targets for name in metrics.TOPOLOGY if self.topology]

    def check_features(self, features: Mapping[str, Any], where: str) -> None:
        """UserError unless the data set has the fields, and masks are what is to be outlined."""
        super().check_features(features, where)
        for name in self.masks:
            if len(shape := features[name].shape) != 3 or shape[-1] != 1:
                raise UserError(
                    f"{where}: its field {name!r} is no mask, which task 'segmentation' wants"
                )

    # --- from the data set to fields -----------------------------------------------------------

    def record(self, example: Mapping, image_size: tuple[int, int]) -> dict[str, np.ndarray]:
        """`image` and `labels` uint8, perhaps `where` bool; without masks all is background."""
        labels, counted = self._labels(example, self.full_size or image_size)
        image = resize_image(example["image"], labels.shape)
        return {"image": image, "labels": labels} | ({"where": counted} if self.within else {})

    def _labels(self, example: Mapping, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Class indices and the pixels that count, `[h, w]` at a size."""
        labels = np.zeros(size, np.uint8)
        for index, target in enumerate(self.targets, start=1):
            # Resized as masks, one class at a time: class indices have no mean
            masks = [_mask(example, name) for name in target.split("+") if name in example]
            if masks:
                inside = resize_mask(np.logical_or.reduce(masks), size, cover=self.cover)
                labels[inside] = index
        if self.within and self.within in example:
            return labels, resize_mask(_mask(example, self.within), size)
        return labels, np.ones(size, bool)

    def blank(self, image_size: tuple[int, int], batch: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of a batch of records."""
        shape = (batch, *(self.full_size or image_size))
        fields = {
            "image": jax.ShapeDtypeStruct((*shape, self.channels), jnp.uint8),
            "labels": jax.ShapeDtypeStruct(shape, jnp.uint8),
        }
        return fields | ({"where": jax.ShapeDtypeStruct(shape, jnp.bool_)} if self.within else {})

    # --- inside the compiled step --------------------------------------------------------------

    def augmented(self, keys: Array, fields: Fields, strengths: Mapping[str, float]) -> dict:
        """Fields with images and labels augmented together, each image with its own key.

        Of photographs at their full size only a patch, with the surroundings that a rotation shows.
        """
        fields = dict(fields)
        if self.full_size:
            # Cut first, then moved: a warp of whole photographs would cost many times that of a
            # patch.
            region = region_around(self.patch, self.full_size, strengths)
            cut = functools.partial(cut_at_random, patch=self.patch, region=region)
            fields = jax.vmap(cut)(keys, {name: fields[name] for name in self.blank((0, 0), 1)})
        if strengths:
            fields |= self._moved(keys, fields, strengths)
        if not self.full_size:
            return fields
        # The patch is the middle of what was moved: the rest was there to be turned into it
        edges = [(outer - side) // 2 for outer, side in zip(region, self.patch, strict=True)]
        rows, columns = (slice(e, e + side) for e, side in zip(edges, self.patch, strict=True))
        return {name: field[:, rows, columns] for name, field in fields.items()}

    def _moved(self, keys: Array, fields: Fields, strengths: Mapping[str, float]) -> dict:
        # A plane a class, for indices cannot be interpolated; the class of a pixel is that of the
        # plane with the largest value.
        planes = [fields["labels"] == k for k in range(len(self.targets) + 1)]
        planes += [fields["where"]] if self.within else []
        masks = jnp.stack(planes, axis=-1).astype(jnp.float32)
        together = jax.vmap(functools.partial(augment_with_masks, **strengths))
        image, masks = together(keys, self.inputs(fields), masks)
        planes = [masks[..., k] for k in range(len(planes))]
        classes = planes[: len(self.targets) + 1]
        changed = {"image": image * 255.0, "labels": _largest(classes).astype(jnp.uint8)}
        return changed | ({"where": planes[-1] >= 0.5} if self.within else {})

    def evaluated(self, apply_fn: Callable[[Array], Fields], fields: Fields) -> Fields:
        """What the model gives for whole photographs, by tiles where it was trained on patches."""
        if not self.full_size:
            return apply_fn(self.inputs(fields))
        outputs = tiled(apply_fn, patch=self.patch)(self.inputs(fields))
        if "logits" not in outputs:
            raise ValueError("with `full_size` a model gives logits for every pixel of its patch")
        return outputs

    def bind(self, outputs: Fields, fields: Fields) -> dict[str, Array]:
        """The named arrays that losses take."""
        logits, classes = outputs["logits"], len(self.targets) + 1
        # Two classes may come from one output by sigmoid or from two by softmax
        if logits.shape[-1] not in ((1, 2) if classes == 2 else (classes,)):
            raise ValueError(
                f"{logits.shape[-1]} outputs for {classes - 1} targets; "
                f"takes {'1 or 2' if classes == 2 else classes}"
            )
        named = {"logits": logits, "labels": fields["labels"].astype(jnp.int32)}
        return named | ({"where": fields["where"]} if self.within else {})

    def scales(self, outputs: Fields, fields: Fields) -> Scales:
        """(weight, named arrays) of each resolution at which the model has a head."""
        return scales(self.bind(outputs, fields), outputs.get("deep_logits", ()))

    def predict(self, outputs: Fields) -> dict[str, Int[Array, "b h w"]]:
        """`labels` [b, h, w], uint8: the most probable class, at the working size."""
        logits = outputs["logits"]
        planes = [logits[..., k] for k in range(logits.shape[-1])]
        # Sigmoid above one half is a logit above 0, that of the background
        planes = planes if len(planes) > 1 else [jnp.zeros_like(planes[0]), planes[0]]
        return {"labels": _largest(planes).astype(jnp.uint8)}

    def scores(self, predictions: Fields, fields: Fields) -> dict[str, Float[Array, "b"]]:
        """Dice of each target, and the means of Dice and Jaccard over them, at the working size."""
        options = {"num_classes": len(self.targets) + 1, "where": fields.get("where")}
        arrays = [x.astype(jnp.int32) for x in (predictions["labels"], fields["labels"])]
        each = dice(*arrays, **options)
        columns = {f"dice_{target}": each[:, k] for k, target in enumerate(self.targets)}
        means = {
            "mean_dice": jnp.mean(each, axis=-1),
            "jaccard": jnp.mean(jaccard(*arrays, **options), axis=-1),
        }
        return columns | means

    # --- on the host, after evaluation ---------------------------------------------------------

    def rows(self, predictions: Mapping, fields: Mapping) -> dict[str, np.ndarray]:
        """Areas as shares of the image, and what there is of `topology`."""
        columns = {}
        for index, target in enumerate(self.targets, start=1):
            here, true = predictions["labels"] == index, fields["labels"] == index
            for name, mask in (("true_area", true), ("area", here)):
                columns[f"{name}_{target}"] = mask.mean(axis=(1, 2), dtype=np.float64)
            if self.topology:
                found = _topology(here, true, fields)
                columns |= {f"{name}_{target}": values for name, values in found.items()}
        return columns

    def judged(
        self, predictions: Mapping, examples: Iterable[Mapping], answer: Any
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Overlap and areas at the size of each photograph: of the masks that `predict` writes."""
        own, baseline = [], []
        for labels, example in zip(predictions["labels"], examples, strict=True):
            true, counted = self._labels(example, example["image"].shape[:2])
            stored = {"labels": true, "counted": counted}
            own.append(original.row(labels, stored, self.targets))
            baseline.append(original.row_of_everything(stored, self.targets))
        return _stacked(own), _stacked(baseline) if answer is not None else {}

    def baseline(self, source: Callable[[], Resident | Streamed]) -> list[int]:
        """Every pixel, for each class by itself."""
        return list(range(1, len(self.targets) + 1))

    def baseline_scores(self, answer: Sequence[int], fields: Mapping) -> dict[str, np.ndarray]:
        """Dice and Jaccard of calling every pixel a class."""
        check_baseline(answer == list(range(1, len(self.targets) + 1)))
        each = [_overlap_of_everything(fields, k) for k in answer]
        columns = {f"dice_{t}": found[0] for t, found in zip(self.targets, each, strict=True)}
        means = (np.mean(scores, axis=0) for scores in zip(*each, strict=True))
        return columns | dict(zip(("mean_dice", "jaccard"), means, strict=True))

    def remarks(self, columns: Columns) -> list[str]:
        """Structures that are missing, far from their size, or too fine for the input size."""
        lines = amounts.remarks(self.targets, columns, "area")
        if len(self.targets) > 1 and {*lines} & {*map(amounts.absent, self.targets)}:
            lines.append("Where classes overlap, the later one of `targets` counts.")
        return lines + metrics.limits(self.targets, columns, self.size)

    def write_pictures(
        self,
        folder: pathlib.Path,
        name: str,
        image: np.ndarray,
        row: Mapping[str, float],
        prediction: Mapping,
    ) -> None:
        """overlays/NAME.png with contours and labels/NAME.png of class indices, at image's size."""
        from segjax.tasks.segmentation import pictures

        pictures.write_pictures(folder, name, image, np.asarray(prediction["labels"]))

    def case_figures(self, open_case: Callable, columns: Columns, names: Sequence[str]) -> dict:
        """Best, middle and worst case by the mean of Dice over the targets."""
        from segjax.tasks.segmentation import pictures

        panels, scores = [], columns["mean_dice"]
        # Of one target it is called after it
        chosen = next(m.heading for m in self.metrics if m.name == self.headline)
        for title, index in pictures.ranked_cases(scores).items():
            image, fields, outputs = open_case(index)
            predicted = np.asarray(self.predict(outputs)["labels"])[0]
            label = f"{title}: {names[index]}, {chosen} {scores[index]:.3f}"
            # The annotation as it was drawn, not as the network saw it
            stored = fields.get(STORED)
            size = image.shape[:2]
            true = fields["labels"][0] if stored is None else self._labels(stored, size)[0]
            panels.append((label, image, true, predicted))
        return {"cases": pictures.cases_figure(panels, self.targets, chosen)}


def _stacked(rows: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """Columns of rows."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _at_least(least: Sequence[int], size: object) -> bool:
    """Whether this is a (height, width) no smaller than another."""
    whole = isinstance(size, tuple | list) and len(size) == 2 and all(type(n) is int for n in size)
    return whole and all(n >= few for n, few in zip(size, least, strict=True))


def _mask(example: Mapping, name: str) -> np.ndarray:
    """A mask field as bool `[h, w]`."""
    mask = np.asarray(example[name])
    return (mask[..., 0] if mask.ndim == 3 else mask) > 0


def _largest(planes: Sequence[Array]) -> Int[Array, "b h w"]:
    """The index of the largest plane at each pixel, the first of equals."""
    # Plane by plane: on CPU, XLA vectorises the last axis, where few classes leave it idle
    best, index = planes[0], jnp.zeros(planes[0].shape, jnp.int32)
    for k, plane in enumerate(planes[1:], start=1):
        index = jnp.where(plane > best, k, index)
        best = jnp.maximum(plane, best)
    return index


def _counted(fields: Mapping) -> np.ndarray:
    """Which pixels count, `[n, h, w]` bool."""
    return (
        np.asarray(fields["where"]) if "where" in fields else np.ones_like(fields["labels"], bool)
    )


def _overlap_of_everything(fields: Mapping, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Dice and Jaccard of calling every pixel a class; 1 where no pixel counts."""
    counted = _counted(fields)
    true = (np.asarray(fields["labels"]) == index) & counted
    both = true.sum(axis=(1, 2), dtype=np.float64)
    either = counted.sum(axis=(1, 2), dtype=np.float64)
    # Everything is predicted, so the union of both is all that counts: J = true / counted, and Dice
    # is 2 J / (1 + J).
    share = np.where(either > 0, both / np.maximum(either, 1), 1.0)
    return 2 * share / (1 + share), share


def _check_topology(topology: object) -> None:
    checks.require("config.task_options.topology", topology, checks.switch())
    if topology and importlib.util.find_spec("skimage") is None:
        raise UserError(
            "config.task_options.topology=True: needs the extra `topology`: "
            "pip install 'segjax[topology]'"
        )


def _topology(here: np.ndarray, true: np.ndarray, fields: Mapping) -> dict[str, np.ndarray]:
    """The columns of `metrics.TOPOLOGY` of masks `[n, h, w]`."""
    counted = _counted(fields)
    masks = here & counted, true & counted
    return dict(zip(metrics.TOPOLOGY, [cl_dice(*masks), *betti_error(*masks).T], strict=True))
