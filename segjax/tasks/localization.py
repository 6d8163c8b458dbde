"""Localisation of a point through a heat map (the paper on multiscale softmax cross entropy)."""

import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from segjax.data.augment import augment, default_strengths
from segjax.data.png import write_png
from segjax.data.resizing import resize_image
from segjax.errors import UserError
from segjax.metrics import euclidean_distance, r_aed_from_mean_distance
from segjax.ops import heatmap
from segjax.tasks.reporting import Reported
from segjax.types import Array, Float

DECODERS: dict[str, Callable] = {
    "argmax": heatmap.decode_argmax,
    "agreement": heatmap.decode_agreement,
    "subpixel": heatmap.decode_subpixel,
    "median": heatmap.decode_median,
    "centroid": heatmap.decode_centroid,
}


class Localization:
    """Finds one point, such as the fovea, on an image.

    Data: `image`, `image_id`, and the point `target` as (x, y) in continuous pixels.
    Offers to losses: `heatmap` [b, h, w] and `points` [b, 2], in pixels of the resized image.

    Args:
        target: the data set's field that holds the point.
        decode: how a heat map becomes a point: `argmax` of the finest scale (the paper),
            `agreement`
            of all scales, `subpixel`, `median`, or `centroid`, which belongs to the coordinate
            error.
        pool: pooling between scales when decoding by agreement.
        reduce: how the map becomes axis logits when decoding; as in the loss.
    """

    offers = ("heatmap", "points")
    headline, higher_is_better = "r_aed", True
    channels = 3
    on_volumes = False

    def __init__(
        self,
        *,
        target: str = "fovea",
        decode: str = "argmax",
        pool: str = "max",
        reduce: str = "sum",
    ):
        if decode not in DECODERS:
            raise UserError(
                f"config.task_options.decode={decode!r}: takes one of {', '.join(DECODERS)}"
            )
        self.target, self.decode, self.pool, self.reduce = target, decode, pool, reduce
        self.fields = ("image", "image_id", target)

    # --- from the data set to fields -----------------------------------------------------------

    def record(self, example: Mapping, image_size: tuple[int, int]) -> dict[str, np.ndarray]:
        """One example at the working size: `image` uint8, `points`, original `size` (w, h)."""
        image = example["image"]
        original = np.array([image.shape[1], image.shape[0]], np.float32)
        working = np.array([image_size[1], image_size[0]], np.float32)
        points = np.asarray(example[self.target], np.float32) * (working / original)
        return {"image": resize_image(image, image_size), "points": points, "size": original}

    def unlabelled(self, image: np.ndarray, image_size: tuple[int, int]) -> dict[str, np.ndarray]:
        """A batch of one image without annotation; its points are nan."""
        example = {"image": image, self.target: np.full(2, np.nan, np.float32)}
        return {name: array[None] for name, array in self.record(example, image_size).items()}

    def blank(self, image_size: tuple[int, int], batch: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and dtypes of a batch of records, for building everything shape-only."""
        return {
            "image": jax.ShapeDtypeStruct((batch, *image_size, self.channels), jnp.uint8),
            "points": jax.ShapeDtypeStruct((batch, 2), jnp.float32),
            "size": jax.ShapeDtypeStruct((batch, 2), jnp.float32),
        }

    # --- inside the compiled step --------------------------------------------------------------

    def inputs(self, fields: Mapping[str, Array]) -> Float[Array, "b h w c"]:
        """What the model sees: intensities in [0, 1]."""
        return fields["image"].astype(jnp.float32) / 255.0

    # The augmentations that a config may switch on, with their default strength.
    augmentations = staticmethod(default_strengths)

    def augmented(self, keys: Array, fields: Mapping, strengths: Mapping[str, float]) -> dict:
        """Fields with images and points augmented together, each image with its own key."""
        if not strengths:
            return dict(fields)

        def one(key, image, point):
            image, points = augment(key, image, point[None], **strengths)
            return image, points[0]

        image, points = jax.vmap(one)(keys, self.inputs(fields), fields["points"])
        return {**fields, "image": image * 255.0, "points": points}

    def bind(self, outputs: Mapping[str, Array], fields: Mapping) -> dict[str, Array]:
        """The named arrays that losses take."""
        return {"heatmap": outputs["logits"][..., 0], "points": fields["points"]}

    def scales(self, outputs: Mapping[str, Array], fields: Mapping) -> tuple:
        """(weight, named arrays) of each resolution at which losses are taken: one."""
        return ((1.0, self.bind(outputs, fields)),)

    def predict(self, outputs: Mapping[str, Array]) -> dict[str, Float[Array, "b 2"]]:
        """`points` [b, 2] in pixels of the resized image."""
        decode = DECODERS[self.decode]
        options = {"reduce": self.reduce}
        if self.decode == "agreement":
            options["pool"] = self.pool
        return {"points": decode(outputs["logits"][..., 0], **options)}

    def metrics(self, predictions: Mapping, fields: Mapping) -> dict[str, Float[Array, "b"]]:
        """Per image: distance in normalised coordinates, in original pixels, in image widths."""
        height, width = fields["image"].shape[1:3]
        working = jnp.array([[width, height]], jnp.float32)
        predicted, true = predictions["points"] / working, fields["points"] / working
        pixels = euclidean_distance(predicted * fields["size"], true * fields["size"])
        return {
            "distance": euclidean_distance(predicted, true),
            "distance_pixels": pixels,
            "distance_widths": pixels / fields["size"][:, 0],
        }

    # --- on the host, after evaluation ---------------------------------------------------------

    @staticmethod
    def derived(means: Mapping[str, float]) -> dict[str, float]:
        """Values made from means over the whole set."""
        return {"r_aed": float(r_aed_from_mean_distance(means["distance"]))}

    @staticmethod
    def host_means(rows: np.ndarray) -> dict[str, float]:
        """Means of what only the table of images holds: nothing."""
        return {}

    @staticmethod
    def trivial_answer(parts: Iterable[Mapping]) -> list[float]:
        """What the trivial predictor always answers: the mean normalised training position."""
        points = np.concatenate([_normalised(fields) for fields in parts])
        return [float(v) for v in points.mean(axis=0, dtype=np.float64)]

    @staticmethod
    def trivial_scores(answer: Sequence[float], fields: Mapping) -> dict[str, np.ndarray]:
        """The trivial predictor's metrics of each image."""
        offset = _normalised(fields) - np.array([answer])
        return {"distance": np.linalg.norm(offset, axis=-1)}

    def columns(self) -> Sequence[str]:
        """Header of the prediction table behind `image`; true columns are empty without labels."""
        return ("true_x", "true_y", "predicted_x", "predicted_y", "distance")

    @staticmethod
    def headline_of(mean_distance):
        """The headline metric from a mean of the table's last column."""
        return 1.0 / (mean_distance + 0.1)

    def reported(self) -> tuple[Reported, ...]:
        """What a sweep's report shows: R-AED, made from the mean distance."""
        score = self.headline_of
        return (Reported("distance", "R-AED", True, transform=score, name=self.headline),)

    def rows(self, predictions: Mapping, fields: Mapping, labelled: bool = True) -> np.ndarray:
        """The table's numbers `[n, 5]`: original pixels, and the normalised distance."""
        working = np.array(fields["image"].shape[2:0:-1], np.float32)
        scale = fields["size"] / working
        true = fields["points"] * scale
        if not labelled:
            true = np.full_like(true, np.nan)
        offset = (predictions["points"] - fields["points"]) / working
        distance = np.linalg.norm(offset, axis=-1, keepdims=True)
        return np.concatenate([true, predictions["points"] * scale, distance], axis=-1)

    @staticmethod
    def write_pictures(
        folder: pathlib.Path, name: str, image: np.ndarray, row: np.ndarray, prediction: Mapping
    ) -> None:
        """Overlay with a cross at the predicted point and, if known, a ring at the true one."""
        drawn = image.copy()
        arm = max(6, round(0.03 * min(image.shape[:2])))
        width = max(1, arm // 8)
        true, predicted = row[:2], row[2:4]
        if np.isfinite(true).all():
            centre = tuple(int(v) for v in true)
            cv2.circle(drawn, centre, arm // 2, (80, 255, 120), width, cv2.LINE_AA)
        centre = tuple(int(v) for v in predicted)
        cv2.drawMarker(drawn, centre, (255, 255, 255), cv2.MARKER_CROSS, 2 * arm, width + 1)
        write_png(folder / "overlays" / f"{name}.png", drawn)

    def figures(self, open_case: Callable, rows: np.ndarray, names: Sequence[str]) -> dict:
        """Figures by name. `open_case(i)` gives image i, its fields, and the model's outputs."""
        from segjax.tasks import localization_pictures as pictures
        from segjax.tasks.toy_pictures import toy_figure

        chosen = pictures.ranked_cases(rows)
        panels = []
        for title, index in chosen.items():
            image, fields, outputs = open_case(index)
            pixels = np.linalg.norm(rows[index, :2] - rows[index, 2:4])
            label = f"{title}: {names[index]}, {pixels:.1f} px of {image.shape[1]}"
            panels.append((label, image, rows[index]))
            if title == "median":
                working = np.array(fields["image"].shape[2:0:-1])
                point = rows[index, :2] / fields["size"][0] * working
                options = {"pool": self.pool, "reduce": self.reduce}
                heat = np.asarray(outputs["logits"])[0, ..., 0]
                logits = pictures.axis_logits_figure(fields["image"][0], heat, point, **options)
        cases = pictures.cases_figure(panels)
        return {"cases": cases, "axis_logits": logits, "toy_losses": toy_figure()}


def _normalised(fields: Mapping[str, np.ndarray]) -> np.ndarray:
    """Points as fractions of width and height."""
    return fields["points"] / np.array(fields["image"].shape[2:0:-1], np.float32)
