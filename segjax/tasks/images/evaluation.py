"""Evaluation of a split of photographs: exact means, and a table with a row for each."""

import functools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from segjax.data.pipeline import share_of
from segjax.errors import UserError
from segjax.tasks.base import Devices, Evaluation, Experiment
from segjax.tasks.sums import merged_means


class ImageEvaluator:
    """Holds one split, placed once, and evaluates any state on it (`base.Evaluator`)."""

    def __init__(self, experiment: Experiment, split: str, devices: Devices):
        self._task = experiment.task
        self._batch_size = experiment.config.evaluate.batch_size
        self._stored = functools.cache(lambda: self._task.opened(experiment, split))
        self._names = functools.partial(self._task.names, experiment, split)
        self._devices = devices
        self._source = self._task.stored(experiment, split)
        self._step = devices.compile_evaluate(experiment.evaluation_step(devices.axis_name))
        self._arrays = devices.replicate(self._source.arrays)

    def __call__(
        self,
        state: Any,
        *,
        final: bool = False,
        baseline: Any = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Evaluation | None:
        """Every example once. Predictions leave the devices for a final table only."""
        totals, parts = defaultdict(list), []
        # Less to hand through the step: for Adam the optimiser is twice the parameters
        state = state.without_optimizer
        for number, batch in enumerate(self._batches()):
            if stop():
                return None
            sums, (scores, predictions) = self._step(
                state, self._arrays, self._devices.place(batch)
            )
            for name, pair in sums.items():
                totals[name].append(pair)
            # Of whole predictions, which may be large, only the rows that are made of them are
            # kept.
            rest = self._on_host(number, batch, predictions, baseline) if final else {}
            parts.append((batch["weight"], scores, rest))
        columns = self._gathered(parts)
        return Evaluation(
            {name: column for (kind, name), column in columns.items() if kind == "own"},
            self._names() if final else None,
            merged_means(totals)[0],
            {name: column for (kind, name), column in columns.items() if kind == "baseline"}
            or None,
        )

    @property
    def _rows(self) -> slice:
        """This process's rows of every batch."""
        return share_of(self._batch_size, jax.process_index(), jax.process_count())

    def _batches(self) -> Iterator[dict]:
        """Its rows of every batch, still on the host."""
        return self._source.evaluation_batches(self._batch_size, self._rows)

    def _examples(self, number: int) -> Iterator[Mapping]:
        """Its examples of a batch as they are stored; the last one again where a row is padding."""
        stored, first = self._stored(), number * self._batch_size
        for place in range(self._rows.start, self._rows.stop):
            yield stored[min(first + place, len(stored) - 1)]

    def _on_host(self, number: int, batch: Mapping, predictions: Mapping, baseline: Any) -> dict:
        """The columns of this process's rows that are not computed inside the step."""
        local = {name: self._devices.local_rows(array) for name, array in predictions.items()}
        fields = self._source.fields_of(batch)
        judged, everywhere = self._task.judged(local, self._examples(number), baseline)
        made = self._task.rows(local, fields) | judged
        found = {("own", name): values for name, values in made.items()}
        for (_, name), values in found.items():
            if np.shape(values) != np.shape(batch["weight"]):
                raise UserError(
                    f"task {type(self._task).__name__}: `rows` or `judged` gives {name!r} of shape "
                    f"{list(np.shape(values))} for {len(batch['weight'])} cases"
                )
        if baseline is not None:
            scores = self._task.baseline_scores(baseline, fields) | everywhere
            found |= {("baseline", name): values for name, values in scores.items()}
        return found

    def _gathered(self, parts: list) -> dict[tuple[str, str], np.ndarray]:
        """The columns of all processes in the order of the split, without padding."""
        scores = [
            {("own", name): self._devices.local_rows(v) for name, v in part[1].items()}
            for part in parts
        ]
        # Of the first batch: all have the same columns
        names = list(dict.fromkeys([*scores[0], *parts[0][2]]))
        rows = [
            np.stack(
                [part[0], *(np.asarray((own | part[2])[name], np.float64) for name in names)],
                axis=-1,
            )
            for own, part in zip(scores, parts, strict=True)
        ]
        # One exchange of one table for all columns, contiguous, for it is viewed as bytes
        table = of_all_processes(np.ascontiguousarray(np.stack(rows), np.float64))
        return dict(zip(names, table.T, strict=True))


def of_all_processes(table: np.ndarray) -> np.ndarray:
    """`[batches, rows, 1 + k]`, the weight first -> `[n, k]`: the rows of all, without padding."""
    if jax.process_count() > 1:
        # As bytes: JAX would round float64 to float32.
        joined = multihost_utils.process_allgather(table.view(np.uint8))
        table = np.ascontiguousarray(joined).view(np.float64)
        # [processes, batches, rows, k]: each process has its rows of every batch, so batches come
        # first in the order of the split.
        table = np.swapaxes(table, 0, 1)
    table = table.reshape(-1, table.shape[-1])
    return table[table[:, 0] > 0, 1:]
