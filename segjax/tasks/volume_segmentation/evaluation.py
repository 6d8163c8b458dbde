"""Evaluation on whole volumes, on the preprocessed grid or in that of the data set."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from segjax.data.ignored import IGNORED
from segjax.data.volumes import components, preprocess
from segjax.data.volumes.cases import Case
from segjax.metrics import hausdorff_distance
from segjax.ops import tiling
from segjax.tasks.base import Devices, Evaluation, Experiment


class VolumeEvaluator:
    """Holds the cases of a split, and evaluates any state on whole volumes (`base.Evaluator`).

    During training the scores are those of the preprocessed grid, without mirroring. The final
    table is made in the grid of the data set: mirrored predictions, resampled back, the largest
    components where the task keeps only them, distances in mm. Voxels of the label 255 count in
    neither: what is predicted there is left out, of volumes and distances too.
    """

    def __init__(self, experiment: Experiment, cases: Sequence[Case], devices: Devices):
        self._cases, self._task = cases, experiment.task
        self._network = VolumeNetwork(experiment, devices)

    def __call__(
        self,
        state: Any,
        *,
        final: bool = False,
        baseline: Any = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Evaluation | None:
        """The figures of every case; there is no baseline of volumes."""
        self._network.place(state)
        quiet = not (final and sys.stderr.isatty())
        rows = []
        for case in tqdm(self._cases, desc="evaluating volumes", disable=quiet):
            if stop():
                return None
            rows.append(self._final(case) if final else self._on_the_way(case))
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        return Evaluation(columns, [case.name for case in self._cases])

    def panels(self, state: Any, chosen: Mapping[str, int]) -> list[tuple]:
        """(title, image, true labels, predicted labels) of cases, in the preprocessed grid."""
        self._network.place(state)
        found = []
        for title, index in chosen.items():
            case = self._cases[index]
            predicted = self._network.probabilities(case.image, mirror=self._task.mirror)
            true, labels = np.asarray(case.labels), np.argmax(predicted, axis=-1)
            # No contour of its own is drawn around what is ignored
            true = np.where(true == IGNORED, 0, true)
            found.append((title, np.asarray(case.image[..., 0]), true, labels))
        return found

    def _on_the_way(self, case: Case) -> dict[str, float]:
        predicted = self._network.probabilities(case.image, mirror=False)
        return self._dice(np.argmax(predicted, axis=-1), case.labels)

    def _final(self, case: Case) -> dict[str, float]:
        labels = self._network.labels(case.image, case.geometry)
        row = self._dice(labels, case.stored_labels)
        # After the largest components are found, which may reach into what is ignored
        labels = np.where(np.asarray(case.stored_labels) == IGNORED, 0, labels)
        # Spacing is in mm, and 1000 cubic millimetres are a millilitre
        millilitres = float(np.prod(case.stored_spacing)) / 1000
        for k, name in enumerate(self._task.classes, start=1):
            here, true = labels == k, np.asarray(case.stored_labels) == k
            distance = hausdorff_distance(here[None], true[None], spacing=case.stored_spacing)
            row[f"hausdorff_{name}"] = float(distance[0])
            row[f"true_volume_{name}"] = true.sum() * millilitres
            row[f"volume_{name}"] = here.sum() * millilitres
        return row

    def _dice(self, predicted: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        scores = dice_of_classes(predicted, labels, self._task.num_classes)
        each = {f"dice_{n}": float(s) for n, s in zip(self._task.classes, scores, strict=True)}
        return each | {"mean_dice": float(np.mean(scores))}


class VolumeNetwork:
    """A network that takes patches, applied to preprocessed volumes by tiles of their slices."""

    def __init__(self, experiment: Experiment, devices: Devices):
        config, task, model = experiment.config, experiment.task, experiment.model
        self._task, self._patch = task, tuple(config.data.image_size)
        self._batch_size = config.evaluate.batch_size
        # Of this process alone: every process makes whole volumes by itself, without sums over
        # devices.
        self._devices = devices.local(self._batch_size, "config.evaluate.batch_size")

        def probabilities(variables, patches):
            return task.probabilities(model.apply(variables, patches, train=False))

        def mirrored(variables, patches):
            return tiling.mirrored(partial(probabilities, variables))(patches)

        whole, split = self._devices.whole, self._devices.split
        shardings = {"in_shardings": (whole, split), "out_shardings": split}
        # Both ways are functions of their own; jit compiles the one that is called
        self._apply = {
            False: jax.jit(probabilities, **shardings),
            True: jax.jit(mirrored, **shardings),
        }

    def place(self, state: Any) -> None:
        """Takes a state's variables."""
        # Through the host: the state may lie on other devices than these
        self._variables = jax.device_put(jax.device_get(state.variables), self._devices.whole)

    def probabilities(self, image: np.ndarray, *, mirror: bool) -> np.ndarray:
        """Probabilities [d, h, w, classes] of a preprocessed image [d, h, w, c]."""
        apply = self._apply[mirror]
        return tiling.predict_slices(
            image,
            lambda patches: np.asarray(apply(self._variables, jnp.asarray(patches))),
            patch=self._patch,
            batch_size=self._batch_size,
            step=self._task.tile_step,
        )

    def labels(self, image: np.ndarray, geometry: Any) -> np.ndarray:
        """Labels in the grid of the data set, from a preprocessed image [d, h, w, c]."""
        probabilities = self.probabilities(image, mirror=self._task.mirror)
        # Probabilities, which are resampled before the largest decides: labels, resampled, have
        # coarser contours.
        labels = preprocess.restore(probabilities, geometry)
        if not self._task.largest_component:
            return labels
        return components.keep_largest(labels, range(1, self._task.num_classes))


def dice_of_classes(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Dice of each foreground class over a whole volume; 1 where both are empty.

    Voxels of the label 255 are left out of both.
    """
    scores, counted = [], np.asarray(labels) != IGNORED
    for k in range(1, num_classes):
        here, true = (predicted == k) & counted, np.asarray(labels) == k
        both, either = np.count_nonzero(here & true), here.sum() + true.sum()
        scores.append(2.0 * both / either if either else 1.0)
    return np.array(scores)
