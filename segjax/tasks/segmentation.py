"""Segmentation of structures given as masks: one, or several as classes beside a background."""

import functools
import importlib.util
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from segjax.data.augment import augment_with_masks, default_strengths
from segjax.data.resizing import resize_image, resize_mask
from segjax.errors import UserError
from segjax.metrics import betti_error, cl_dice, dice, jaccard
from segjax.tasks.deep_supervision import Scales, scales
from segjax.tasks.reporting import Reported
from segjax.types import Array, Float, Int

# Measured on the host, if a config asks: what the table's columns of `topology` are called.
TOPOLOGY = ("cl_dice", "betti_error_0", "betti_error_1")


class Segmentation:
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
    """

    headline, higher_is_better = "dice", True
    channels = 3
    on_volumes = False

    def __init__(
        self,
        *,
        targets: Sequence[str] = ("optic_disc",),
        within: str | None = None,
        topology: bool = False,
        cover: float = 0.5,
    ):
        if isinstance(targets, str):
            targets = (targets,)
        if not isinstance(targets, (tuple, list)) or not targets:
            raise UserError(f"config.task_options.targets={targets!r}: takes names of mask fields")
        if not all(isinstance(target, str) and all(target.split("+")) for target in targets):
            raise UserError(
                f"config.task_options.targets={targets!r}: takes names of mask fields, "
                "several joined by + as one class"
            )
        if within is not None and not (isinstance(within, str) and within):
            raise UserError(f"config.task_options.within={within!r}: takes a mask field, or none")
        _check_topology(topology)
        if not 0 < cover <= 1:
            raise UserError(f"config.task_options.cover={cover!r}: takes a share above 0, up to 1")
        self.cover = float(cover)
        self.targets, self.within, self.topology = tuple(targets), within, topology
        masks = [field for target in targets for field in target.split("+")]
        masks += [within] if within else []
        self.masks = tuple(dict.fromkeys(masks))
        self.fields = ("image", "image_id", *self.masks)
        self.offers = ("logits", "labels") + (("where",) if within else ())

    # --- from the data set to fields -----------------------------------------------------------

    def record(self, example: Mapping, image_size: tuple[int, int]) -> dict[str, np.ndarray]:
        """One example at the working size: `image` and `labels` uint8, perhaps `where` bool."""
        labels = np.zeros(image_size, np.uint8)
        for index, target in enumerate(self.targets, start=1):
            masks = [_mask(example, field) for field in target.split("+")]
            inside = resize_mask(np.logical_or.reduce(masks), image_size, cover=self.cover)
            labels[inside] = index
        record = {"image": resize_image(example["image"], image_size), "labels": labels}
        if self.within:
            record["where"] = resize_mask(_mask(example, self.within), image_size)
        return record

    def unlabelled(self, image: np.ndarray, image_size: tuple[int, int]) -> dict[str, np.ndarray]:
        """A batch of one image without annotation; its labels are all background."""
        labels = np.zeros(image_size, np.uint8)
        fields = {"image": resize_image(image, image_size), "labels": labels}
        if self.within:
            fields["where"] = np.ones(image_size, bool)
        return {name: array[None] for name, array in fields.items()}

    def blank(self, image_size: tuple[int, int], batch: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and dtypes of a batch of records, for building everything shape-only."""
        shape = (batch, *image_size)
        fields = {
            "image": jax.ShapeDtypeStruct((*shape, self.channels), jnp.uint8),
            "labels": jax.ShapeDtypeStruct(shape, jnp.uint8),
        }
        return fields | ({"where": jax.ShapeDtypeStruct(shape, jnp.bool_)} if self.within else {})

    # --- inside the compiled step --------------------------------------------------------------

    def inputs(self, fields: Mapping[str, Array]) -> Float[Array, "b h w c"]:
        """What the model sees: intensities in [0, 1]."""
        return fields["image"].astype(jnp.float32) / 255.0

    # The augmentations that a config may switch on, with their default strength.
    augmentations = staticmethod(default_strengths)

    def augmented(self, keys: Array, fields: Mapping, strengths: Mapping[str, float]) -> dict:
        """Fields with images and labels augmented together, each image with its own key."""
        if not strengths:
            return dict(fields)
        planes = [fields["labels"] == k for k in range(len(self.targets) + 1)]
        planes += [fields["where"]] if self.within else []
        masks = jnp.stack(planes, axis=-1).astype(jnp.float32)
        together = jax.vmap(functools.partial(augment_with_masks, **strengths))
        image, masks = together(keys, self.inputs(fields), masks)
        planes = [masks[..., k] for k in range(len(planes))]
        classes = planes[: len(self.targets) + 1]
        changed = {"image": image * 255.0, "labels": _largest(classes).astype(jnp.uint8)}
        if self.within:
            changed["where"] = planes[-1] >= 0.5
        return {**fields, **changed}

    def bind(self, outputs: Mapping[str, Array], fields: Mapping) -> dict[str, Array]:
        """The named arrays that losses take."""
        logits, classes = outputs["logits"], len(self.targets) + 1
        if logits.shape[-1] not in ((1, 2) if classes == 2 else (classes,)):
            raise ValueError(
                f"{logits.shape[-1]} outputs for {classes - 1} targets; "
                f"takes {'1 or 2' if classes == 2 else classes}"
            )
        named = {"logits": logits, "labels": fields["labels"].astype(jnp.int32)}
        return named | ({"where": fields["where"]} if self.within else {})

    def scales(self, outputs: Mapping[str, Array], fields: Mapping) -> Scales:
        """(weight, named arrays) of each resolution at which the model has a head."""
        return scales(self.bind(outputs, fields), outputs.get("deep_logits", ()))

    def predict(self, outputs: Mapping[str, Array]) -> dict[str, Int[Array, "b h w"]]:
        """`labels` [b, h, w], uint8: the most probable class, at the working size."""
        logits = outputs["logits"]
        planes = [logits[..., k] for k in range(logits.shape[-1])]
        planes = planes if len(planes) > 1 else [jnp.zeros_like(planes[0]), planes[0]]
        return {"labels": _largest(planes).astype(jnp.uint8)}

    def metrics(self, predictions: Mapping, fields: Mapping) -> dict[str, Float[Array, "b"]]:
        """Per image, at the working size: mean over classes, and of several classes each alone."""
        options = {"num_classes": len(self.targets) + 1, "where": fields.get("where")}
        arrays = [x.astype(jnp.int32) for x in (predictions["labels"], fields["labels"])]
        scores = {f.__name__: f(*arrays, **options) for f in (dice, jaccard)}
        values = {name: jnp.mean(score, axis=-1) for name, score in scores.items()}
        if len(self.targets) > 1:
            for index, target in enumerate(self.targets):
                values[f"dice/{target}"] = scores["dice"][:, index]
        return values

    # --- on the host, after evaluation ---------------------------------------------------------

    @staticmethod
    def derived(means: Mapping[str, float]) -> dict[str, float]:
        """Values made from means over the whole set: none."""
        return {}

    def trivial_answer(self, parts: Iterable[Mapping]) -> list[int]:
        """What the trivial predictor answers: every pixel, for each class by itself."""
        return list(range(1, len(self.targets) + 1))

    def trivial_scores(self, answer: Sequence[int], fields: Mapping) -> dict[str, np.ndarray]:
        """The trivial predictor's metrics of each image."""
        everything = [_overlap(np.ones_like(fields["labels"]), fields, k) for k in answer]
        names = ("dice", "jaccard")
        scores = {name: np.mean([score[name] for score in everything], axis=0) for name in names}
        if len(answer) > 1:
            for target, score in zip(self.targets, everything, strict=True):
                scores[f"dice/{target}"] = score["dice"]
        return scores

    def columns(self) -> Sequence[str]:
        """Header of the prediction table behind `image`: areas are shares of the image."""
        each = [f"{word}_{t}" for t in self.targets for word in ("true_area", "area", "dice")]
        more = [f"{word}_{t}" for t in self.targets for word in TOPOLOGY if self.topology]
        return (*each, *more, "mean_dice")

    @staticmethod
    def headline_of(mean_dice):
        """The headline metric from a mean of the table's last column: itself."""
        return mean_dice

    def reported(self) -> tuple[Reported, ...]:
        """What a sweep's report shows of each target, as far as the table has it."""
        several = len(self.targets) > 1
        titles = dict(
            zip(("dice", *TOPOLOGY), ("Dice", "clDice", "b0 error", "b1 error"), strict=True)
        )
        found = [
            Reported(
                f"{word}_{t}",
                f"{title} {t}",
                "error" not in word,
                name=f"{word}/{t}" if several else word,
            )
            for word, title in titles.items()
            for t in self.targets
        ]
        mean = (Reported("mean_dice", "mean Dice", True, name="dice"),) if several else ()
        return (*found, *mean)

    def rows(self, predictions: Mapping, fields: Mapping, labelled: bool = True) -> np.ndarray:
        """The table's numbers, nan where labels are needed and there are none."""
        columns, scores = [], []
        for index in range(1, len(self.targets) + 1):
            here = predictions["labels"] == index
            true = fields["labels"] == index
            scores.append(_overlap(here, fields, index)["dice"])
            areas = [mask.mean(axis=(1, 2), dtype=np.float64) for mask in (true, here)]
            columns += [*areas, scores[-1]]
        if self.topology:
            for index in range(1, len(self.targets) + 1):
                columns += _topology(predictions["labels"] == index, fields, index)
        columns.append(np.mean(scores, axis=0))
        table = np.stack(columns, axis=-1)
        if not labelled:
            known = [name.startswith("area_") for name in self.columns()]
            table[:, ~np.array(known)] = np.nan
        return table

    def host_means(self, rows: np.ndarray) -> dict[str, float]:
        """Means of what only the table holds: over targets too, and of several each alone."""
        if not self.topology:
            return {}
        columns = dict(zip(self.columns(), np.mean(rows, axis=0), strict=True))
        means = {}
        for word in TOPOLOGY:
            each = {t: float(columns[f"{word}_{t}"]) for t in self.targets}
            means[word] = float(np.mean(list(each.values())))
            if len(each) > 1:
                means |= {f"{word}/{target}": value for target, value in each.items()}
        return means

    def write_pictures(
        self,
        folder: pathlib.Path,
        name: str,
        image: np.ndarray,
        row: np.ndarray,
        prediction: Mapping,
    ) -> None:
        """overlays/NAME.png with contours and labels/NAME.png of class indices, at image's size."""
        from segjax.tasks import segmentation_pictures as pictures

        pictures.write_pictures(folder, name, image, np.asarray(prediction["labels"]))

    def figures(self, open_case: Callable, rows: np.ndarray, names: Sequence[str]) -> dict:
        """Figures by name. `open_case(i)` gives image i, its fields, and the model's outputs."""
        from segjax.tasks import segmentation_pictures as pictures

        panels = []
        for title, index in pictures.ranked_cases(rows[:, -1]).items():
            image, fields, outputs = open_case(index)
            predicted = np.asarray(self.predict(outputs)["labels"])[0]
            label = f"{title}: {names[index]}, Dice {rows[index, -1]:.3f}"
            panels.append((label, image, fields["labels"][0], predicted))
        return {"cases": pictures.cases_figure(panels)}


def _mask(example: Mapping, field: str) -> np.ndarray:
    """A mask field as bool `[h, w]`."""
    mask = np.asarray(example[field])
    return (mask[..., 0] if mask.ndim == 3 else mask) > 0


def _largest(planes: Sequence[Array]) -> Int[Array, "b h w"]:
    """The index of the largest plane at each pixel, the first of equals."""
    best, index = planes[0], jnp.zeros(planes[0].shape, jnp.int32)
    for k, plane in enumerate(planes[1:], start=1):
        index = jnp.where(plane > best, k, index)
        best = jnp.maximum(plane, best)
    return index


def _overlap(here: np.ndarray, fields: Mapping, index: int) -> dict[str, np.ndarray]:
    """Dice and Jaccard per image of masks `[n, h, w]` against one class; 1 where both are empty."""
    counted = np.asarray(fields["where"]) if "where" in fields else np.ones(here.shape, bool)
    here, true = (here > 0) & counted, (fields["labels"] == index) & counted
    both = (here & true).sum(axis=(1, 2), dtype=np.float64)
    either = (here | true).sum(axis=(1, 2), dtype=np.float64)
    share = np.where(either > 0, both / np.maximum(either, 1), 1.0)
    return {"dice": 2 * share / (1 + share), "jaccard": share}


def _check_topology(topology: object) -> None:
    if not isinstance(topology, bool):
        raise UserError(f"config.task_options.topology={topology!r}: takes True or False")
    if topology and importlib.util.find_spec("skimage") is None:
        raise UserError(
            "config.task_options.topology=True: needs the extra `topology`: "
            "pip install 'segjax[topology]'"
        )


def _topology(here: np.ndarray, fields: Mapping, index: int) -> list[np.ndarray]:
    """`TOPOLOGY` per image of masks `[n, h, w]` against one class."""
    counted = np.asarray(fields["where"]) if "where" in fields else np.ones(here.shape, bool)
    here, true = here & counted, (np.asarray(fields["labels"]) == index) & counted
    return [cl_dice(here, true), *betti_error(here, true).T]
