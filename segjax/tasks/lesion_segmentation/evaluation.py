"""Evaluation on whole photographs, at the size at which they are stored."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from segjax.data.patches.photographs import Photograph
from segjax.metrics import match_lesions, score_histogram
from segjax.tasks.base import Devices, Evaluation, Experiment
from segjax.tasks.lesions import metrics
from segjax.tasks.lesions.network import PhotographNetwork, enlarged


class LesionEvaluator:
    """Holds the photographs of a split, and evaluates any state on them (`base.Evaluator`).

    Pixels are counted at every validation, lesions for the final table.
    """

    def __init__(self, experiment: Experiment, photographs: Sequence[Photograph], devices: Devices):
        self._photographs, self._task = photographs, experiment.task
        self._network = PhotographNetwork(experiment, devices)

    def __call__(
        self,
        state: Any,
        *,
        final: bool = False,
        baseline: Any = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Evaluation | None:
        """The counts of every photograph."""
        self._network.place(state)
        quiet = not (final and sys.stderr.isatty())
        rows = []
        for photograph in tqdm(self._photographs, desc="evaluating photographs", disable=quiet):
            if stop():
                return None
            probability = self._map(photograph)
            row = metrics.pixel_columns(score_histogram(probability, photograph.stored_labels))
            if final:
                match = match_lesions(probability, photograph.stored_labels, rule=self._task.hit)
                row |= metrics.lesion_columns(match)
            rows.append(row)
        columns = metrics.columns_of_rows(rows)
        everywhere = None
        if baseline is not None:
            everywhere = metrics.columns_of_rows([metrics.baseline_columns(row) for row in rows])
        names = [photograph.name for photograph in self._photographs]
        return Evaluation(columns, names, baseline=everywhere)

    def panels(
        self, state: Any, chosen: Iterable[int]
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(image, lesions, probabilities) of some photographs, at the size of the network."""
        self._network.place(state)
        found = []
        for index in chosen:
            photograph = self._photographs[index]
            found.append(
                (
                    np.asarray(photograph.image),
                    np.asarray(photograph.labels),
                    self._network.probabilities(photograph.image),
                )
            )
        return found

    def _map(self, photograph: Photograph) -> np.ndarray:
        probability = self._network.probabilities(photograph.image)
        return enlarged(probability, photograph.stored_labels.shape)
