"""Evaluation of a split, with operating points that the validation split has chosen."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from segjax.tasks.base import Devices, Evaluation, Experiment
from segjax.tasks.guided_classification import metrics
from segjax.tasks.guided_classification.cells import CUTS
from segjax.tasks.guided_classification.thresholds import operating_point
from segjax.tasks.images.evaluation import ImageEvaluator

VALIDATION = "validation"
# IoU at each cut: columns that `judged` below makes one of.
AT_CUTS = tuple(f"iou_{k}" for k in range(len(CUTS)))


class GuidedEvaluator:
    """Evaluates any state on one split (`base.Evaluator`).

    A final table wants two choices: from which probability on a case is positive, and where a map
    is cut for IoU. The validation split makes them, whichever split is evaluated.
    """

    def __init__(self, experiment: Experiment, split: str, devices: Devices):
        self._own = ImageEvaluator(experiment, split, devices)
        self._experiment, self._devices = experiment, devices
        self._chooses_itself = split == VALIDATION or not experiment.data.has(VALIDATION)

    def __call__(
        self,
        state: Any,
        *,
        final: bool = False,
        baseline: Any = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Evaluation | None:
        """The table of the split's cases; a final one has the columns of the chosen points."""
        found = self._own(state, final=final, baseline=baseline, stop=stop)
        if not final or found is None:
            return found
        choosing = found
        if not self._chooses_itself:
            other = ImageEvaluator(self._experiment, VALIDATION, self._devices)
            choosing = other(state, final=True, stop=stop)
            if choosing is None:
                return None
        return judged(found, choosing)


def judged(found: Evaluation, choosing: Evaluation) -> Evaluation:
    """A final table with the columns of what another one, of the validation split, chooses."""
    threshold = operating_point(choosing.columns["probability"], choosing.columns["label"])
    columns = {name: column for name, column in found.columns.items() if name not in AT_CUTS}
    if AT_CUTS[0] in found.columns:
        best = _best_cut(choosing)
        columns["iou"] = found.columns[AT_CUTS[best]]
        columns["cut"] = np.full(found.count, CUTS[best])
    columns |= metrics.of_cases(columns, threshold)
    baseline = found.baseline
    if baseline is not None and "air" in columns:
        # Of all cases with the finding: which of them are called positive is the model's doing
        chance = {"air": "air_chance", "pointing": "pointing_chance", "iou": "air_chance"}
        baseline = {**baseline} | {name: columns[of] for name, of in chance.items()}
    return dataclasses.replace(found, columns=columns, baseline=baseline)


def _best_cut(choosing: Evaluation) -> int:
    """The cut with the highest mean IoU; the middle one where no case has a region."""
    table = np.stack([choosing.columns[name] for name in AT_CUTS])
    known = np.isfinite(table).all(axis=0)
    if not known.any():
        return len(CUTS) // 2
    return int(np.argmax(table[:, known].mean(axis=1)))
