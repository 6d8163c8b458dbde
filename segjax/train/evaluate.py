"""Evaluation over a whole split: exact means, derived values, and every image's prediction."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import multihost_utils

from segjax.data.pipeline import Resident, Streamed, read_all, share_of
from segjax.train.parallel import Pmap, Sharding, reading
from segjax.train.state import State


@dataclass(frozen=True)
class Result:
    """Means by name, how many images they rest on, and the table of a final evaluation.

    Attributes:
        means: by name; `count` images or volumes went into each.
        rows: the task's numbers for each of them, in the order of the split.
        trivial: the trivial predictor's means, where it was asked for and there is one.
    """

    means: dict[str, float]
    count: float
    rows: np.ndarray | None = None
    trivial: dict[str, float] | None = None


class Evaluator:
    """Holds one split, placed once, and evaluates any state on it."""

    def __init__(
        self,
        split: Resident | Streamed,
        task,
        step: Callable,
        devices: Sharding | Pmap,
        batch_size: int,
    ):
        self.split, self.task, self.batch_size = split, task, batch_size
        self._devices = devices
        self._step = devices.compile_evaluate(step)
        self._arrays = devices.replicate(split.arrays)

    def run(self, state: State, *, stop: Callable[[], bool] = lambda: False) -> Result | None:
        """Evaluates every example once; None if `stop()` became true on the way."""
        done = self._predicted(state, stop)
        return None if done is None else Result(*done[:2])

    def table(self, state: State, answer: object = None) -> Result:
        """A final evaluation with a row for each image.

        `answer` is what the trivial predictor learned from the training set.
        """
        means, count, predictions = self._predicted(state, lambda: False)
        fields = self.split.arrays or read_all(self.split.records, label="annotations")
        rows = self.task.rows(predictions, fields)
        means |= self.task.host_means(rows)
        trivial = self.task.trivial_scores(answer, fields) if answer else None
        return Result(means, count, rows, trivial)

    def _predicted(self, state: State, stop: Callable[[], bool]) -> tuple | None:
        """Means, their count, and the predictions of every example."""
        state = state.without_optimizer
        rows = share_of(self.batch_size, jax.process_index(), jax.process_count())
        totals: dict[str, list] = {}
        parts: list[tuple[np.ndarray, dict]] = []
        for batch in self.split.evaluation_batches(self.batch_size, rows):
            if stop():
                return None
            placed = self._devices.place(batch)
            sums, predictions = self._step(state, self._arrays, placed)
            for name, pair in sums.items():
                totals.setdefault(name, []).append(pair)
            parts.append((batch["weight"] > 0, predictions))
        means, count = merged_means(totals)
        return means | self.task.derived(means), count, self._collect(parts)

    def _collect(self, parts: list[tuple[np.ndarray, dict]]) -> dict[str, np.ndarray]:
        """Per-image predictions without padding; gathered from all processes, batch by batch."""
        gathered: dict[str, list] = {}
        for real, predictions in parts:
            local = {name: self._devices.local_rows(array) for name, array in predictions.items()}
            if jax.process_count() > 1:
                joined = multihost_utils.process_allgather({"real": real} | local, tiled=True)
                real = np.asarray(joined.pop("real"))
                local = {name: np.asarray(array) for name, array in joined.items()}
            for name, array in local.items():
                gathered.setdefault(name, []).append(array[real])
        return {name: np.concatenate(arrays) for name, arrays in gathered.items()}


def merged_means(
    totals: Mapping[str, list], reading: Callable = reading
) -> tuple[dict[str, float], float]:
    """Means from lists of (sum, count) pairs, added up in float64 on the host."""
    means, count = {}, 0.0
    for name, pairs in totals.items():
        total = sum(reading(value) for value, _ in pairs)
        number = sum(reading(weight) for _, weight in pairs)
        means[name] = total / number if number else float("nan")
        count = max(count, number)
    return means, count
