"""Localisation of a point through a heat map (the paper on multiscale softmax cross entropy)."""

import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from segjax import checks
from segjax.data.augment import augment
from segjax.data.pipeline import Resident, Streamed
from segjax.data.png import write_png
from segjax.data.resizing import resize_image
from segjax.errors import UserError
from segjax.metrics import euclidean_distance
from segjax.tasks.base import Devices, Experiment, Fields, check_baseline
from segjax.tasks.images import ImageTask
from segjax.tasks.localization import metrics
from segjax.tasks.localization.decoding import DECODERS
from segjax.tasks.metric import Columns
from segjax.types import Array, Float

# The options of a loss on the axis logits of several scales
AXES = ("scales", "pool", "reduce")


class Localization(ImageTask):
    """Finds one point, such as the fovea, on an image.

    Data: `image`, `image_id`, and the point `target` as (x, y) in continuous pixels.
    Offers to losses: `heatmap` [b, h, w] and `points` [b, 2], in pixels of the resized image.

    Args:
        target: the data set's field that holds the point.
        decode: how a heat map becomes a point: `argmax` of the finest scale (the paper),
            `agreement` of all scales, `subpixel`, `median`, or `centroid`, which belongs to the
            coordinate error.
        pool: pooling between scales when decoding by agreement.
        reduce: how the map becomes axis logits when decoding; as in the loss.
        image_size: of what the network sees; the program supplies `config.data.image_size`.
    """

    offers = ("heatmap", "points")
    headline = "r_aed"
    metrics = metrics.METRICS
    scored = ("distance", "distance_pixels", "distance_widths")
    predicted = ("predicted_x", "predicted_y")
    columns = ("true_x", "true_y", *predicted, "distance", "distance_pixels")
    pictures = ("overlays",)

    def __init__(
        self,
        *,
        target: str = "fovea",
        decode: str = "argmax",
        pool: str = "max",
        reduce: str = "sum",
        image_size: tuple[int, int] = (128, 128),
    ):
        checks.require("config.task_options.decode", decode, checks.choice(DECODERS))
        self.target, self.decode, self.pool, self.reduce = target, decode, pool, reduce
        self.fields = ("image", "image_id", target)
        self.question = f"point {target}"
        self.explained = metrics.explained(decode, tuple(image_size))

    # --- which photographs count ---------------------------------------------------------------

    def kept(self, experiment: Experiment, split: str) -> Sequence[int] | None:
        """Those on which the point is annotated."""
        points = experiment.data.column(split, self.target)
        known = [index for index, point in enumerate(points) if np.isfinite(point).all()]
        if not known:
            raise UserError(
                f"config.task_options.target={self.target!r}: no photograph of the split "
                f"{split!r} of {experiment.data.name} has this point"
            )
        return None if len(known) == len(points) else known

    # --- from the data set to fields -----------------------------------------------------------

    def record(self, example: Mapping, image_size: tuple[int, int]) -> dict[str, np.ndarray]:
        """`image` uint8, `points` (nan without annotation), original `size` (w, h)."""
        image = example["image"]
        # (width, height), in the order of a point's (x, y)
        original = np.array([image.shape[1], image.shape[0]], np.float32)
        working = np.array([image_size[1], image_size[0]], np.float32)
        points = np.asarray(example.get(self.target, (np.nan, np.nan)), np.float32)
        return {
            "image": resize_image(image, image_size),
            "points": points * (working / original),
            "size": original,
        }

    def blank(self, image_size: tuple[int, int], batch: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of a batch of records."""
        return {
            "image": jax.ShapeDtypeStruct((batch, *image_size, self.channels), jnp.uint8),
            "points": jax.ShapeDtypeStruct((batch, 2), jnp.float32),
            "size": jax.ShapeDtypeStruct((batch, 2), jnp.float32),
        }

    # --- inside the compiled step --------------------------------------------------------------

    def augmented(self, keys: Array, fields: Fields, strengths: Mapping[str, float]) -> dict:
        """Fields with images and points augmented together, each image with its own key."""
        if not strengths:
            return dict(fields)

        def one(key, image, point):
            image, points = augment(key, image, point[None], **strengths)
            return image, points[0]

        image, points = jax.vmap(one)(keys, self.inputs(fields), fields["points"])
        # Back to the range of a stored photograph, which `inputs` divides by 255
        return {**fields, "image": image * 255.0, "points": points}

    def bind(self, outputs: Fields, fields: Fields) -> dict[str, Array]:
        """The named arrays that losses take."""
        return {"heatmap": outputs["logits"][..., 0], "points": fields["points"]}

    def predict(self, outputs: Fields) -> dict[str, Float[Array, "b 2"]]:
        """`points` [b, 2] in pixels of the resized image."""
        decode = DECODERS[self.decode].function
        options = {"reduce": self.reduce}
        # The one decoder that pools: the others would refuse the option
        if self.decode == "agreement":
            options["pool"] = self.pool
        return {"points": decode(outputs["logits"][..., 0], **options)}

    def scores(self, predictions: Fields, fields: Fields) -> dict[str, Float[Array, "b"]]:
        """Distance in normalised coordinates, in original pixels, in image widths."""
        height, width = fields["image"].shape[1:3]
        working = jnp.array([[width, height]], jnp.float32)
        # Fractions of width and height, which are the same before and after resizing
        predicted, true = predictions["points"] / working, fields["points"] / working
        pixels = euclidean_distance(predicted * fields["size"], true * fields["size"])
        return {
            "distance": euclidean_distance(predicted, true),
            "distance_pixels": pixels,
            "distance_widths": pixels / fields["size"][:, 0],
        }

    # --- on the host, after evaluation ---------------------------------------------------------

    def rows(self, predictions: Mapping, fields: Mapping) -> dict[str, np.ndarray]:
        """The true and the predicted point in pixels of the photograph."""
        # Of [n, h, w, c] the slice 2:0:-1 is (w, h), the order of a point's (x, y)
        scale = fields["size"] / np.array(fields["image"].shape[2:0:-1], np.float32)
        true, predicted = fields["points"] * scale, predictions["points"] * scale
        return {
            "true_x": true[:, 0],
            "true_y": true[:, 1],
            "predicted_x": predicted[:, 0],
            "predicted_y": predicted[:, 1],
        }

    def baseline(self, source: Callable[[], Resident | Streamed]) -> list[float]:
        """The mean normalised position of the training points, which it always answers."""
        points = np.concatenate([_normalised(fields) for fields in source().parts()])
        # In float64: the sum over a large split loses digits in float32
        return [float(v) for v in points.mean(axis=0, dtype=np.float64)]

    def baseline_scores(self, answer: Sequence[float], fields: Mapping) -> dict[str, np.ndarray]:
        """The distance of that position."""
        numbers = isinstance(answer, list) and all(isinstance(v, int | float) for v in answer)
        check_baseline(numbers and np.shape(answer) == (2,) and np.isfinite(answer).all())
        offset = _normalised(fields) - np.array([answer])
        return {
            "distance": np.linalg.norm(offset, axis=-1),
            "distance_pixels": np.linalg.norm(offset * fields["size"], axis=-1),
        }

    def remarks(self, columns: Columns) -> list[str]:
        """Predictions that hardly follow the photograph."""
        return metrics.remarks(columns)

    def write_pictures(
        self,
        folder: pathlib.Path,
        name: str,
        image: np.ndarray,
        row: Mapping[str, float],
        prediction: Mapping,
    ) -> None:
        """Overlay with a cross at the predicted point and, if known, a ring at the true one."""
        drawn = image.copy()
        arm = max(6, round(0.03 * min(image.shape[:2])))
        width = max(1, arm // 8)
        true, predicted = (
            [row[f"{kind}_{axis}"] for axis in "xy"] for kind in ("true", "predicted")
        )
        if np.isfinite(true).all():
            # Pixel j covers [j, j + 1): cutting the fraction off gives the pixel that holds the
            # point.
            centre = tuple(int(v) for v in true)
            cv2.circle(drawn, centre, arm // 2, (80, 255, 120), width, cv2.LINE_AA)
        centre = tuple(int(v) for v in predicted)
        cv2.drawMarker(drawn, centre, (255, 255, 255), cv2.MARKER_CROSS, 2 * arm, width + 1)
        write_png(folder / "overlays" / f"{name}.png", drawn)

    def figures(
        self,
        experiment: Experiment,
        state: Any,
        split: str,
        columns: Columns,
        names: Sequence[str],
        devices: Devices,
    ) -> Mapping[str, Any]:
        """Pictures of single cases; of the axis logits those that the experiment's losses take."""
        open_case = self.opener(experiment, state, split)
        return self.case_figures(open_case, columns, names, experiment.config.loss)

    def case_figures(
        self,
        open_case: Callable,
        columns: Columns,
        names: Sequence[str],
        terms: Mapping[str, Mapping] = MappingProxyType({}),
    ) -> dict:
        """Best, middle and worst case; the axis logits of the middle one; the losses' shapes."""
        from segjax.tasks.localization import pictures
        from segjax.tasks.localization.toy import toy_figure

        # The first four columns: true x and y, predicted x and y
        places = np.stack([columns[name] for name in self.columns[:4]], axis=-1)
        pixels = np.linalg.norm(places[:, :2] - places[:, 2:], axis=1)
        panels, pixel = [], []
        for title, index in pictures.ranked_cases(pixels).items():
            image, fields, outputs = open_case(index)
            working = np.array(fields["image"].shape[2:0:-1])
            pixel.append(fields["size"][0] / working)
            label = f"{title}: {names[index]}, {pixels[index]:.1f} px of {image.shape[1]} px width"
            panels.append((label, image, places[index]))
            if title == "middle":
                heat = np.asarray(outputs["logits"])[0, ..., 0]
                points = [point / pixel[-1] for point in (places[index, :2], places[index, 2:])]
                logits = pictures.axis_logits_figure(
                    fields["image"][0], heat, points, self._shown_axes(terms), self.decode
                )
        cases = pictures.cases_figure(panels, pixel)
        return {"cases": cases, "axis_logits": logits, "toy_losses": toy_figure()}

    def _shown_axes(self, terms: Mapping[str, Mapping]) -> dict:
        """The options of `axis_logits` that are worth a picture: of the finest scale or of several.

        Several are those of the loss with the most, or of the decoding that asks each of them.
        """
        own = {"scales": 1, "pool": self.pool, "reduce": self.reduce}
        if self.decode == "agreement":
            return own | {"scales": None}
        several = [term for term in terms.values() if {*AXES} <= {*term} and term["scales"] != 1]
        # None stands for as many as the size allows
        most = max(several, key=lambda term: term["scales"] or math.inf, default=own)
        return {name: most[name] for name in AXES}


def _normalised(fields: Fields) -> np.ndarray:
    """Points as fractions of width and height."""
    return fields["points"] / np.array(fields["image"].shape[2:0:-1], np.float32)
