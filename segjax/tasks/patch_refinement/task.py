"""Classification of patches by their middle pixel, with triplets and selective sampling."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from segjax import checks
from segjax.data.augment import augment
from segjax.data.patches.centres import around
from segjax.data.patches.photographs import Photograph
from segjax.data.patches.sampling import Choice, PatchSampler
from segjax.data.patches.source import PatchSource, SelectivePatchSource, to_float
from segjax.errors import UserError
from segjax.tasks.base import Devices, Experiment, Fields
from segjax.tasks.lesions import metrics
from segjax.tasks.lesions.scoring import PhotographScorer
from segjax.tasks.lesions.task import HEALTHY, LESIONS, LesionTask
from segjax.tasks.metric import Columns
from segjax.tasks.patch_refinement.evaluation import PatchEvaluator
from segjax.types import Array, Float

ANCHOR, POSITIVE, NEGATIVE = 0, 1, -1  # places in an example; without triplets there is no positive


class PatchRefinement(LesionTask):
    """Tells whether the middle pixel of a patch is part of a lesion.

    The patch-wise refinement network of Sarhan et al. (2019), Multi-scale Microaneurysms
    Segmentation Using Embedding Triplet Loss, section 2. An example is a triplet: two patches
    around lesion pixels, anchor and positive, drawn uniformly, and one around a healthy pixel,
    drawn selectively (`data/patches/sampling.py`). All go through the network at once.

    Offers to losses: `logits` [b, 2, 2] and `labels` [b, 2], of anchor and negative; with triplets
    `anchor`, `positive` and `negative` [b, d], their embeddings.

    Args:
        target, healthy, scale, gain, sigma, offset, healthy_centres, epoch_batches: as `LesionTask`
            has them.
        triplets: whether examples are triplets; else pairs of anchor and negative, the same ones.
        ring: how many pixels around lesions are healthy candidates, too. 0, as in the paper, leaves
            the network without an example of where a lesion ends.
        rescore_epochs: after how many epochs candidates are scored again; 0 samples uniformly.
        pool: how many healthy candidates are scored each time.
        score_batch: how many patches are scored at once.
        judged_patches: how many pixels of each photograph a validation judges.
        image_size: of a patch, odd, so that there is a middle; the program supplies
            `config.data.image_size`.
    """

    judged = (LESIONS, HEALTHY)

    part = "refinements"

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
        triplets: bool = True,
        ring: int = 0,
        rescore_epochs: int = 10,
        pool: int = 100_000,
        score_batch: int = 128,
        judged_patches: int = 500,
        image_size: tuple[int, int] = (129, 129),
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
            "triplets": (triplets, checks.switch()),
            "ring": (ring, checks.whole(least=0)),
            "rescore_epochs": (rescore_epochs, checks.whole(least=0)),
            "pool": (pool, checks.whole(least=1)),
            "score_batch": (score_batch, checks.whole(least=1)),
            "judged_patches": (judged_patches, checks.whole(least=1)),
        }
        for name, (value, requirement) in wanted.items():
            checks.require(f"config.task_options.{name}", value, requirement)
        if any(side % 2 == 0 for side in self.image_size):
            raise UserError(
                f"config.data.image_size={self.image_size}: a patch needs odd sides, for it is "
                "judged by its middle pixel"
            )
        self.triplets, self.ring = triplets, ring
        self.rescore_epochs, self.pool = rescore_epochs, pool
        self.score_batch, self.judged_patches = score_batch, judged_patches
        embeddings = ("anchor", "positive", "negative") if triplets else ()
        self.offers = ("logits", "labels", *embeddings)
        self.scored = self.columns = metrics.PIXELS
        self.metrics = metrics.of("patches")
        self.explained = {
            "table": f"patches around up to {judged_patches} pixels of each photograph: lesion "
            f"pixels {f'and those up to {ring} pixels from them ' if ring else ''}where it has "
            "lesions, any of a healthy one",
            "baseline": "the same probability everywhere",
        }

    @property
    def patches(self) -> int:
        """How many an example has."""
        return 3 if self.triplets else 2

    # --- inside the compiled step --------------------------------------------------------------

    def blank(self, image_size: tuple[int, int], batch: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of a batch of examples."""
        shape = (batch, self.patches, *image_size, self.channels)
        return {"image": jax.ShapeDtypeStruct(shape, jnp.uint8)}

    def inputs(self, fields: Fields) -> Float[Array, "n h w c"]:
        """Patches in [0, 1], those of an example one after the other."""
        image = fields["image"]
        return to_float(image.reshape(-1, *image.shape[2:]))

    def augmented(self, keys: Array, fields: Fields, strengths: Mapping[str, float]) -> dict:
        """Every patch with a key of its own, then the middle of each region."""
        image = fields["image"]
        examples, patches = image.shape[:2]
        image = image.reshape(-1, *image.shape[2:])
        if strengths:
            each = jax.vmap(lambda key: jax.random.split(key, patches))(keys).reshape(-1)

            def move(key, image):
                nothing = jnp.zeros((0, 2), jnp.float32)
                return augment(key, to_float(image), nothing, **strengths)[0] * 255.0

            image = jax.vmap(move)(each, image)
        image = self.middle(image)
        return {"image": image.reshape(examples, patches, *image.shape[1:])}

    def bind(self, outputs: Fields, fields: Fields) -> dict[str, Array]:
        """The named arrays that losses take."""
        logits = outputs["logits"]
        if logits.shape[-1] != 2:
            raise ValueError(f"{logits.shape[-1]} outputs; lesion or not takes 2")
        logits = logits.reshape(-1, self.patches, 2)
        pair = jnp.stack([logits[:, ANCHOR], logits[:, NEGATIVE]], axis=1)
        labels = jnp.broadcast_to(jnp.array([1, 0], jnp.int32)[None], pair.shape[:2])
        named = {"logits": pair, "labels": labels}
        if not self.triplets:
            return named
        if "embedding" not in outputs:
            raise ValueError("with `triplets` a model gives an `embedding` of each patch")
        embedding = outputs["embedding"]
        embedding = embedding.reshape(-1, self.patches, embedding.shape[-1])
        places = {"anchor": ANCHOR, "positive": POSITIVE, "negative": NEGATIVE}
        return named | {name: embedding[:, place] for name, place in places.items()}

    def predict(self, outputs: Fields) -> dict[str, Float[Array, "n"]]:
        """`probability` that the middle of each patch is part of a lesion."""
        logits = outputs["logits"].astype(jnp.float32)
        return {"probability": jax.nn.sigmoid(logits[:, 1] - logits[:, 0])}

    # --- outside -------------------------------------------------------------------------------

    def source(self, experiment: Experiment, split: str = "train") -> PatchSource:
        """Triplets, or pairs, of patches."""
        photographs = self.open_photographs(experiment, split)
        candidates = self.candidates(experiment, split, photographs)
        scorer = PhotographScorer(experiment, photographs)
        period = self.rescore_epochs * self.epoch_batches or None
        sampler = PatchSampler(*candidates, period=period, pool=self.pool, score=scorer)

        def draw(seed: int, step: int, batch_size: int) -> Choice:
            # Two lesion patches an example in any case: without triplets anchors are the same
            lesions, healthy = sampler.draw(seed, step, 2 * batch_size, batch_size)
            first, second = (slice(0, batch_size), slice(batch_size, None))
            parts = [Choice(lesions.photograph[first], lesions.centre[first])]
            if self.triplets:
                parts.append(Choice(lesions.photograph[second], lesions.centre[second]))
            parts.append(healthy)
            return Choice(
                np.stack([part.photograph for part in parts], axis=1),
                np.stack([part.centre for part in parts], axis=1),
            )

        shared = {
            "region": self.region(experiment.augment),
            "examples": self.epoch_batches * experiment.config.data.batch_size,
            "resident": self.is_resident(experiment, photographs),
        }
        if period is None:
            return PatchSource(photographs, ("image",), draw, **shared)
        own = {"sampler": sampler, "seed": experiment.config.seed}
        return SelectivePatchSource(photographs, ("image",), draw, **own, **shared)

    def healthy_pixels(self, photograph: Photograph) -> np.ndarray:
        """Those of healthy photographs, and those around lesions where a ring is wanted."""
        if photograph.is_healthy or not self.ring:
            return super().healthy_pixels(photograph)
        return around(np.asarray(photograph.labels), self.ring) & photograph.field

    def evaluator(self, experiment: Experiment, split: str, devices: Devices) -> PatchEvaluator:
        """Evaluates states on patches of a split."""
        return PatchEvaluator(experiment, split, self.open_photographs(experiment, split))

    def remarks(self, columns: Mapping[str, np.ndarray]) -> list[str]:
        """How many patches figures are of, before what all tasks on lesions say."""
        patches, lesions = (int(np.sum(columns.get(name, 0))) for name in ("pixels", "positives"))
        said = (
            f"Of {patches:,} patches, {lesions:,} of them around lesion pixels: figures of a "
            "chosen few, which are not comparable with those of all pixels of photographs (`segjax "
            "pipeline evaluate` gives these)."
        )
        return [said, *super().remarks(columns)]

    def predictor(self) -> Any:
        """There is none of whole photographs: where to look is another network's to say."""
        raise UserError(
            "a network of patches is slid over what a segmentation proposes; predict with the "
            "folder of a pipeline (`segjax pipeline`)"
        )

    def figures(
        self,
        experiment: Experiment,
        state: Any,
        split: str,
        columns: Columns,
        names: Sequence[str],
        devices: Devices,
    ) -> Mapping[str, Any]:
        """The curve of precision and recall, and the patches that the network is most wrong on."""
        from segjax.tasks.lesions import pictures
        from segjax.tasks.patch_refinement.pictures import mistakes_figure

        evaluator = self.evaluator(experiment, split, devices)
        return {
            "precision_recall": pictures.curve_figure({"": columns}, "patches"),
            "mistakes": mistakes_figure(*evaluator.mistakes(state)),
        }
