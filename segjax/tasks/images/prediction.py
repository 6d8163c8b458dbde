"""Predictions for a user's photographs: a row of the table and pictures of each."""

import functools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from segjax.data.images import read_image
from segjax.data.outputs import check_names
from segjax.errors import UserError
from segjax.tasks.base import Devices, Experiment


class ImagePredictor:
    """Predicts photographs one by one (`base.Predictor`)."""

    kind = "image"
    spread = False
    suffixes = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

    def __init__(self, task: Any):
        self._task, self.columns = task, task.columns

    def cases(self, files: Sequence[pathlib.Path]) -> Mapping[str, Sequence[pathlib.Path]]:
        """Every file is a case, named after it, with folders in front where two share a name."""
        pairs = list(zip(_unique_names(files), files, strict=True))
        # Two files may share a name still; a mapping would lose one of them without a word.
        check_names((output, path) for name, path in pairs for output in self.outputs(name))
        return {name: (path,) for name, path in pairs}

    def outputs(self, name: str) -> Sequence[str]:
        """A picture of that name in each folder of pictures."""
        return [f"{folder}/{name}.png" for folder in self._task.pictures]

    def check(self, files: Sequence[pathlib.Path]) -> None:
        """Reads the photograph."""
        read_image(files[0])

    def load(self, experiment: Experiment, state: Any, devices: Devices) -> None:
        """Compiles the network with its weights."""
        task, model = self._task, experiment.model
        # On the host: they are constants of the compiled function, on whatever device that runs
        variables = jax.device_get(state.variables)
        apply_fn = functools.partial(model.apply, variables, train=False)
        self._size = experiment.config.data.image_size

        # Those that a task computes inside the step: it need not say them again in `rows`.
        scored = sorted({*task.predicted} & {*task.scored})

        @jax.jit
        def apply(fields):
            predictions = task.predict(task.evaluated(apply_fn, fields))
            scores = task.scores(predictions, fields) if scored else {}
            return predictions, {name: scores[name] for name in scored}

        self._apply = apply

    def predict(
        self, name: str, files: Sequence[pathlib.Path], output: pathlib.Path
    ) -> Sequence[float]:
        """Writes the pictures; what needs annotations is nan."""
        task, image = self._task, read_image(files[0])
        fields = {k: v[None] for k, v in task.record({"image": image}, self._size).items()}
        predictions, scores = jax.device_get(self._apply(fields))
        rows = {**scores, **task.rows(predictions, fields)}
        if lacking := [column for column in task.predicted if column not in rows]:
            raise UserError(
                f"task {type(task).__name__}: `predicted` has {lacking[0]!r}, which neither "
                "`scores` nor `rows` gives"
            )
        # In the order of the header; what needs annotation stays without a value
        row = {
            column: float(rows[column][0]) if column in task.predicted else np.nan
            for column in self.columns
        }
        single = {key: array[0] for key, array in predictions.items()}
        task.write_pictures(output, name, image, row, single)
        return list(row.values())


def _unique_names(paths: Sequence[pathlib.Path]) -> list[str]:
    """A name for each file: its own, with folders in front where two files share one."""
    names = [path.name for path in paths]
    if len(set(names)) == len(names):
        return names
    folders = [path.parent.resolve() for path in paths]
    root = pathlib.Path(os.path.commonpath(folders))
    pairs = zip(folders, names, strict=True)
    return ["__".join((folder / name).relative_to(root).parts) for folder, name in pairs]
