"""The probability of a lesion at chosen pixels of photographs, batch by batch."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from segjax.data.patches.photographs import Photograph
from segjax.data.patches.source import cut_on_host, cut_regions, to_float
from segjax.tasks.base import Experiment
from segjax.tasks.lesions.network import check_numbers


class PatchScorer:
    """Scores the patches around pixels of a photograph, which lies on the device meanwhile.

    Memory is that of the photograph and of two batches, whatever the number of pixels. One device
    scores, whatever the training's: the scores that a run draws by are the same on any number.
    """

    def __init__(self, experiment: Experiment):
        self._size, self._batch = experiment.task.image_size, experiment.task.score_batch
        model, task = experiment.model, experiment.task
        self._device = jax.local_devices()[0]

        @jax.jit
        def cut(image, corner):
            index = jnp.zeros(len(corner), jnp.int32)
            return cut_regions(image[None], index, corner, region=self._size)

        # Two programs: that of the network is the same for photographs of every size
        @jax.jit
        def apply(variables, patches):
            outputs = model.apply(variables, to_float(patches), train=False)
            return task.predict(outputs)["probability"], outputs.get("embedding")

        self._cut, self._apply = cut, apply

    def place(self, state: Any) -> None:
        """Takes a state's variables."""
        self._variables = jax.device_put(jax.device_get(state.variables), self._device)

    def __call__(
        self,
        image: np.ndarray,
        centre: np.ndarray,
        progress: Callable[[int], object] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities `[n]`, and embeddings `[n, d]` (d = 0 where the model gives none).

        Args:
            image: `[h, w, 3]` uint8, as the network takes it.
            centre: pixels (y, x), `[n, 2]`.
            progress: called with the number of pixels of each batch.

        Raises: FloatingPointError where the network gives no numbers.
        """
        margins = [(side // 2, side - side // 2) for side in self._size]
        wide = jax.device_put(np.pad(image, [*margins, (0, 0)], mode="edge"), self._device)
        found, waiting = [], None
        for start in range(0, len(centre), self._batch):
            # In the padded photograph the corner has the numbers of the centre in the bare one
            corner = np.asarray(centre[start : start + self._batch], np.int32)
            count = len(corner)
            if count < self._batch:  # compiled for one shape
                corner = np.pad(corner, [(0, self._batch - count), (0, 0)])
            coming = self._apply(self._variables, self._cut(wide, corner)), count
            if waiting is not None:
                found.append(_taken(*waiting))
            waiting = coming
            if progress is not None:
                progress(count)
        if waiting is None:
            return np.zeros(0, np.float32), np.zeros((0, 0), np.float32)
        found.append(_taken(*waiting))
        probability, embedding = map(np.concatenate, zip(*found, strict=True))
        check_numbers(probability)
        return probability, embedding


class PhotographScorer:
    """Scores pixels of several photographs, as a sampler asks for it."""

    def __init__(self, experiment: Experiment, photographs: Sequence[Photograph]):
        self._scorer, self._photographs = PatchScorer(experiment), photographs
        self._size = experiment.task.image_size

    def __call__(self, state: Any, photograph: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """Probabilities `[n]` at pixels `centre` `[n, 2]` of the photographs `[n]`."""
        return self.embedded(state, photograph, centre)[0]

    def embedded(
        self, state: Any, photograph: np.ndarray, centre: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities `[n]`, and embeddings `[n, d]`."""
        if not len(photograph):
            return np.zeros(0, np.float32), np.zeros((0, 0), np.float32)
        self._scorer.place(state)
        order = np.argsort(photograph, kind="stable")
        bar = {"total": len(order), "desc": "scoring patches", "leave": False}
        found = []
        with tqdm(**bar, disable=not sys.stderr.isatty()) as progress:
            for here in np.split(order, np.flatnonzero(np.diff(photograph[order])) + 1):
                index = photograph[here[0]]
                image = np.asarray(self._photographs[index].image)
                found.append(self._scorer(image, centre[here], progress.update))
        back = np.argsort(order, kind="stable")
        return tuple(np.concatenate(parts)[back] for parts in zip(*found, strict=True))

    def patches(self, photograph: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """The patches around some pixels, uint8 `[n, h, w, 3]`."""
        pairs = zip(photograph, centre, strict=True)
        cut = [cut_on_host(self._photographs[i], ("image",), c, self._size) for i, c in pairs]
        return np.stack([part["image"] for part in cut])


def _taken(outputs: tuple, count: int) -> tuple[np.ndarray, np.ndarray]:
    probability, embedding = jax.device_get(outputs)
    if embedding is None:
        embedding = np.zeros((len(probability), 0), np.float32)
    return np.asarray(probability)[:count], np.asarray(embedding)[:count]
