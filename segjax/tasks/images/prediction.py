"""Predictions for a user's photographs: a row of the table and pictures of each."""

import functools
import os
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from segjax.data import names as naming
from segjax.data.images import check_one_page, read_image
from segjax.data.outputs import check_names
from segjax.errors import UserError
from segjax.tasks.base import Devices, Experiment


class ImagePredictor:
    """Predicts photographs one by one (`base.Predictor`)."""

    kind = "image"
    spread = False
    suffixes = naming.PICTURES

    def __init__(self, task: Any):
        self._task = task
        # Of a photograph without annotation the other columns have no value
        self.columns = [name for name in task.columns if name in task.predicted]
        self._pictures: dict[str, str] = {}
        self.proposes, self.proposed_map = task.proposes, task.proposed_map

    def cases(self, files: Sequence[pathlib.Path]) -> Mapping[str, Sequence[pathlib.Path]]:
        """Every file is a case, named after it, with folders in front where two share a name."""
        pairs = list(zip(unique_names(files), files, strict=True))
        self._pictures = picture_names([name for name, _ in pairs])
        # Two files may share a name still; a mapping would lose one of them without a word.
        check_names((output, path) for name, path in pairs for output in self.outputs(name))
        return {name: (path,) for name, path in pairs}

    def outputs(self, name: str) -> Sequence[str]:
        """A picture in each folder of pictures, named as the photograph without its ending."""
        return [f"{folder}/{self._pictures[name]}.png" for folder in self._task.pictures]

    def check(self, files: Sequence[pathlib.Path]) -> None:
        """Reads the photograph, which is the only one in its file."""
        check_one_page(files[0])
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
        image = read_image(files[0])
        known, single = self.apply(image)
        # A picture may ask for what needs annotation, which has no value here
        row = dict.fromkeys(self._task.columns, np.nan) | known
        self._task.write_pictures(output, self._pictures[name], image, row, single)
        return list(known.values())

    def apply(self, image: np.ndarray) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """The row of a photograph by column, and what the task predicts of it."""
        task = self._task
        fields = {k: v[None] for k, v in task.record({"image": image}, self._size).items()}
        predictions, scores = jax.device_get(self._apply(fields))
        rows = {**scores, **task.rows(predictions, fields)}
        if lacking := [column for column in task.predicted if column not in rows]:
            raise UserError(
                f"task {type(task).__name__}: `predicted` has {lacking[0]!r}, which neither "
                "`scores` nor `rows` gives"
            )
        known = {column: float(rows[column][0]) for column in self.columns}
        return known, {key: array[0] for key, array in predictions.items()}


def unique_names(paths: Sequence[pathlib.Path]) -> list[str]:
    """A name for each file: its own, with folders in front where two files share one."""
    names = [path.name for path in paths]
    if len(set(names)) == len(names):
        return names
    folders = [path.parent.resolve() for path in paths]
    root = pathlib.Path(os.path.commonpath(folders))
    pairs = zip(folders, names, strict=True)
    return ["__".join((folder / name).relative_to(root).parts) for folder, name in pairs]


def picture_names(names: Sequence[str]) -> dict[str, str]:
    """Each name without its ending; with it, after an underline, where two would be the same."""
    stems = {name: pathlib.PurePath(name).stem for name in names}
    # As a file system that knows no capitals would have it
    count = Counter(naming.key(stem) for stem in stems.values())
    return {
        name: stem if count[naming.key(stem)] == 1 else "_".join(name.rsplit(".", 1))
        for name, stem in stems.items()
    }
