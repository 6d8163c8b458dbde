"""Segmentation of small lesions at full resolution: trained on patches, judged on photographs."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from segjax import checks
from segjax.data.augment import augment_with_masks
from segjax.data.patches.sampling import Choice, PatchSampler, inside, shifted
from segjax.data.patches.source import PatchSource, to_float
from segjax.errors import UserError
from segjax.metrics.froc import RULES
from segjax.ops.tiling import shared_pixels
from segjax.tasks.base import Devices, Experiment, Fields
from segjax.tasks.lesion_segmentation.evaluation import LesionEvaluator
from segjax.tasks.lesions import metrics
from segjax.tasks.lesions.network import alignment
from segjax.tasks.lesions.prediction import LesionPredictor
from segjax.tasks.lesions.task import LesionTask
from segjax.tasks.metric import Columns
from segjax.types import Array, Float

SHIFT = 2**32 - 1  # word of the counter that moves patches, where a step's draw has 0


class LesionSegmentation(LesionTask):
    """Gives every pixel of a photograph the probability that it is part of a lesion.

    The hypothesis generation network of Sarhan et al. (2019), Multi-scale Microaneurysms
    Segmentation Using Embedding Triplet Loss, section 2. Data: `image`, `image_id`, a mask of
    lesions, and a field that tells healthy photographs. Offers to losses: `logits` [b, h, w, 2] and
    `labels` [b, h, w] of a patch, 1 on lesions.

    Departures: the paper does not say how patches lie around lesion pixels: here by up to `shift`
    of a side off their middle, for a network must not learn that lesions are in the middle.

    Args:
        target, healthy, scale, gain, sigma, offset, healthy_centres, epoch_batches: as `LesionTask`
            has them.
        lesion_share: share of a batch around lesion pixels.
        shift: how far patches are moved off their lesion pixel, as a share of their side.
        tile: pixels of the tiles by which whole photographs are predicted; 0 is the patch.
        tile_step: distance of tiles as a share of a tile.
        tile_margin: pixels along the sides of a tile that do not count where tiles overlap.
        hit: when a lesion counts as found: overlap, centre, distance (`metrics.match_lesions`).
        image_size: of a patch; the program supplies `config.data.image_size`.
    """

    part = "proposals"
    offers = ("logits", "labels")

    def __init__(
        self,
        *,
        target: str = "microaneurysms",
        healthy: str = "",
        scale: float = 1.0,
        gain: float = 4.0,
        sigma: float = 1024 / 30,
        offset: float = 128.0,
        healthy_centres: int = 75_000,
        epoch_batches: int = 1000,
        lesion_share: float = 0.5,
        shift: float = 0.25,
        tile: int = 0,
        tile_step: float = 0.5,
        tile_margin: int = 0,
        hit: str = "overlap",
        image_size: tuple[int, int] = (256, 256),
    ):
        super().__init__(
            target=target,
            healthy=healthy,
            scale=scale,
            gain=gain,
            sigma=sigma,
            offset=offset,
            healthy_centres=healthy_centres,
            epoch_batches=epoch_batches,
            image_size=image_size,
        )
        wanted = {
            "lesion_share": (lesion_share, checks.number(above=0, below=1)),
            "shift": (shift, checks.number(least=0, below=0.5)),
            "tile": (tile, checks.whole(least=0)),
            "tile_step": (tile_step, checks.number(above=0, most=1)),
            "tile_margin": (tile_margin, checks.whole(least=0)),
            "hit": (hit, checks.choice(RULES)),
        }
        for name, (value, requirement) in wanted.items():
            checks.require(f"config.task_options.{name}", value, requirement)
        self.lesion_share, self.shift, self.hit = lesion_share, shift, hit
        self.tile = (tile, tile) if tile else self.image_size
        self.tile_step, self.tile_margin = tile_step, tile_margin
        self._check_margin()
        self.scored = metrics.PIXELS
        self.columns = (*metrics.PIXELS, *metrics.LESIONS)
        self.metrics = (*metrics.of("pixels"), *metrics.of_lesions(hit))
        at = "" if scale == 1 else f", at {scale:g} of their size, enlarged again"
        self.explained = {
            "table": f"whole photographs as they are stored{at}",
            "validation": f"whole photographs as they are stored{at}",
            "baseline": "the same probability everywhere",
        }

    def _check_margin(self) -> None:
        """UserError for a margin that would leave pixels between two tiles to nobody."""
        multiple = alignment(self.tile)
        shared = min(shared_pixels(side, self.tile_step, multiple=multiple) for side in self.tile)
        if 2 * self.tile_margin > shared:
            raise UserError(
                f"config.task_options.tile_margin={self.tile_margin}: takes at most {shared // 2}, "
                f"half of what tiles of {self.tile[1]}x{self.tile[0]} pixels share at "
                f"tile_step={self.tile_step:g}"
            )

    def check_place(self, experiment: Experiment) -> None:
        """As of `LesionTask`; a batch has room for a patch of each kind, too."""
        if experiment.config.data.batch_size < 2:
            raise UserError(
                "config.data.batch_size=1: takes at least 2, a patch around a lesion and a healthy "
                "one"
            )
        super().check_place(experiment)

    # --- inside the compiled step --------------------------------------------------------------

    def blank(self, image_size: tuple[int, int], batch: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of a batch of patches."""
        shape = (batch, *image_size)
        return {
            "image": jax.ShapeDtypeStruct((*shape, self.channels), jnp.uint8),
            "labels": jax.ShapeDtypeStruct(shape, jnp.uint8),
        }

    def inputs(self, fields: Fields) -> Float[Array, "b h w c"]:
        """Patches in [0, 1]."""
        return to_float(fields["image"])

    def augmented(self, keys: Array, fields: Fields, strengths: Mapping[str, float]) -> dict:
        """Regions with their labels moved together, then the patches in their middle."""
        image, labels = fields["image"], fields["labels"]
        if strengths:

            def move(key, image, labels):
                plane = labels.astype(jnp.float32)[..., None]
                image, plane = augment_with_masks(key, to_float(image), plane, **strengths)
                return image * 255.0, (plane[..., 0] >= 0.5).astype(jnp.uint8)

            image, labels = jax.vmap(move)(keys, image, labels)
        return {"image": self.middle(image), "labels": self.middle(labels)}

    def bind(self, outputs: Fields, fields: Fields) -> dict[str, Array]:
        """The named arrays that losses take."""
        logits = outputs["logits"]
        if logits.shape[-1] not in (1, 2):
            raise ValueError(f"{logits.shape[-1]} outputs; lesion or not takes 1 or 2")
        return {"logits": logits, "labels": fields["labels"].astype(jnp.int32)}

    def predict(self, outputs: Fields) -> dict[str, Float[Array, "b h w"]]:
        """`probability` of a lesion at every pixel."""
        logits = outputs["logits"].astype(jnp.float32)
        if logits.shape[-1] == 1:
            return {"probability": jax.nn.sigmoid(logits[..., 0])}
        return {"probability": jax.nn.sigmoid(logits[..., 1] - logits[..., 0])}

    # --- outside -------------------------------------------------------------------------------

    def source(self, experiment: Experiment, split: str = "train") -> PatchSource:
        """Training patches: around lesions, and of healthy photographs."""
        photographs = self.open_photographs(experiment, split)
        sampler = PatchSampler(*self.candidates(experiment, split, photographs))
        sizes = [p.labels.shape for p in photographs]

        def draw(seed: int, step: int, batch_size: int) -> Choice:
            # At least one of each kind, or a network would see one of them only
            lesions = min(max(1, round(batch_size * self.lesion_share)), batch_size - 1)
            found, healthy = sampler.draw(seed, step, lesions, batch_size - lesions)
            generator = np.random.Generator(
                np.random.Philox(key=[seed % 2**64, step], counter=[0, 0, 0, SHIFT])
            )
            found = shifted(found, generator, int(self.shift * min(self.image_size)))
            both = Choice(
                np.concatenate([found.photograph, healthy.photograph]),
                np.concatenate([found.centre, healthy.centre]),
            )
            return inside(both, sizes, self.image_size)

        return PatchSource(
            photographs,
            ("image", "labels"),
            draw,
            region=self.region(experiment.augment),
            examples=self.epoch_batches * experiment.config.data.batch_size,
            resident=self.is_resident(experiment, photographs),
        )

    def evaluator(self, experiment: Experiment, split: str, devices: Devices) -> LesionEvaluator:
        """Evaluates states on the whole photographs of a split."""
        return LesionEvaluator(experiment, self.open_photographs(experiment, split), devices)

    def predictor(self) -> LesionPredictor:
        """Predicts a user's photographs."""
        return LesionPredictor(self)

    def figures(
        self,
        experiment: Experiment,
        state: Any,
        split: str,
        columns: Columns,
        names: Sequence[str],
        devices: Devices,
    ) -> Mapping[str, Any]:
        """The curve of precision and recall, and the best, a middle and the worst photograph."""
        from segjax.tasks.lesions import pictures

        evaluator = self.evaluator(experiment, split, devices)
        found = {"precision_recall": pictures.curve_figure({"": columns})}
        chosen = pictures.ranked(columns)
        if chosen:
            panels = evaluator.panels(state, chosen.values())
            titles = [f"{rank}: {names[index]}" for rank, index in chosen.items()]
            found["cases"] = pictures.cases_figure(dict(zip(titles, panels, strict=True)))
        return found
