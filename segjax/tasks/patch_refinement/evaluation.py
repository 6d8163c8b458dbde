"""Evaluation of a network of patches: on chosen pixels of the photographs of a split."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from segjax.data.patches.centres import centres
from segjax.data.patches.photographs import Photograph
from segjax.metrics import score_histogram
from segjax.tasks.base import Evaluation, Experiment
from segjax.tasks.lesions import metrics
from segjax.tasks.lesions.scoring import PhotographScorer

SHOWN = 8  # patches of each kind that the network is most wrong on


class PatchEvaluator:
    """Judges pixels of photographs, the same ones at every validation (`base.Evaluator`).

    Of a photograph with lesions they are lesion pixels, of a healthy one pixels of the field of
    view, and with a ring those around lesions, too: spread evenly, up to `judged_patches` each.
    """

    def __init__(self, experiment: Experiment, split: str, photographs: Sequence[Photograph]):
        task = experiment.task
        task.candidates(experiment, split, photographs)  # for its errors
        self._photographs, self._side = photographs, task.image_size
        masks = (p.labels | task.healthy_pixels(p) for p in photographs)
        judged = centres(masks, most=task.judged_patches)
        self._photograph, self._centre = judged.at(np.arange(len(judged)))
        self._labels = np.array(
            [
                photographs[index].labels[tuple(centre)] > 0
                for index, centre in zip(self._photograph, self._centre, strict=True)
            ]
        )
        self._scorer = PhotographScorer(experiment, photographs)

    def __call__(
        self,
        state: Any,
        *,
        final: bool = False,
        baseline: Any = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Evaluation | None:
        """The counts of every photograph."""
        scores = self._scorer(state, self._photograph, self._centre)
        if stop():
            return None
        rows = []
        for index in range(len(self._photographs)):
            own = self._photograph == index
            rows.append(metrics.pixel_columns(score_histogram(scores[own], self._labels[own])))
        everywhere = None
        if baseline is not None:
            everywhere = metrics.columns_of_rows([metrics.baseline_columns(row) for row in rows])
        names = [photograph.name for photograph in self._photographs]
        return Evaluation(metrics.columns_of_rows(rows), names, baseline=everywhere)

    def mistakes(self, state: Any) -> tuple[list[tuple[str, float, np.ndarray]], ...]:
        """The lesion patches of the lowest, and the healthy ones of the highest probability.

        Each is (photograph, probability, patch). No two show the same place.
        """
        scores = self._scorer(state, self._photograph, self._centre)
        found = []
        for label, order in ((True, scores), (False, -scores)):
            own = np.flatnonzero(self._labels == label)
            worst = self._apart(own[np.argsort(order[own], kind="stable")])
            patches = self._scorer.patches(self._photograph[worst], self._centre[worst])
            names = [self._photographs[index].name for index in self._photograph[worst]]
            found.append(list(zip(names, scores[worst].tolist(), patches, strict=True)))
        return tuple(found)

    def _apart(self, order: np.ndarray) -> list[int]:
        """The first of some pixels, each at least half a patch from those before it."""
        least, chosen = min(self._side) / 2, []
        for index in order:
            same = [k for k in chosen if self._photograph[k] == self._photograph[index]]
            far = np.abs(self._centre[same].astype(int) - self._centre[index].astype(int))
            if not same or far.max(axis=-1).min() >= least:
                chosen.append(int(index))
            if len(chosen) == SHOWN:
                break
        return chosen
