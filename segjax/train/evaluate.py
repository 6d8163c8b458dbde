"""Evaluation over a whole split: exact means, derived values, and a row for every image."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import multihost_utils

from segjax.data.pipeline import Resident, Streamed, share_of
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
        state, totals = state.without_optimizer, defaultdict(list)
        for batch in self._batches():
            if stop():
                return None
            self._evaluate(state, batch, totals)
        means, count = merged_means(totals)
        return Result(means | self.task.derived(means), count)

    def table(self, state: State, answer: object = None) -> Result:
        """A final evaluation with a row for each image, made batch by batch.

        `answer` is what the trivial predictor learned from the training set.
        """
        state, totals, parts = state.without_optimizer, defaultdict(list), []
        trivial_names: tuple[str, ...] = ()
        for batch in self._batches():
            predictions = self._evaluate(state, batch, totals)
            local = {name: self._devices.local_rows(array) for name, array in predictions.items()}
            fields = self.split.fields_of(batch)
            rows = self.task.rows(local, fields)
            trivial = self.task.trivial_scores(answer, fields) if answer else {}
            trivial_names = tuple(trivial)
            parts.append(of_all_processes(batch["weight"], rows, *trivial.values()))
        table = np.concatenate(parts)
        rows, trivial = np.split(table, [len(self.task.columns())], axis=1)
        means, count = merged_means(totals)
        means |= self.task.derived(means) | self.task.host_means(rows)
        baseline = dict(zip(trivial_names, trivial.mean(axis=0).tolist(), strict=True))
        if baseline:
            baseline |= self.task.derived(baseline)
        return Result(means, count, rows, baseline or None)

    def _batches(self) -> Iterator[dict]:
        """This process's rows of every batch, still on the host."""
        rows = share_of(self.batch_size, jax.process_index(), jax.process_count())
        return self.split.evaluation_batches(self.batch_size, rows)

    def _evaluate(self, state: State, batch: dict, totals: dict[str, list]) -> dict:
        """Adds a batch's pairs to `totals`; its predictions, which stay on the devices."""
        sums, predictions = self._step(state, self._arrays, self._devices.place(batch))
        for name, pair in sums.items():
            totals[name].append(pair)
        return predictions


def of_all_processes(weight: np.ndarray, *columns: np.ndarray) -> np.ndarray:
    """Columns `[b]` or `[b, k]` side by side, without padding, the rows of all processes."""
    table = np.ascontiguousarray(np.column_stack([weight, *columns]), np.float64)
    if jax.process_count() > 1:
        # As bytes: JAX would round float64 to float32.
        joined = multihost_utils.process_allgather(table.view(np.uint8), tiled=True)
        table = np.ascontiguousarray(joined).view(np.float64)
    return table[table[:, 0] > 0, 1:]


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
