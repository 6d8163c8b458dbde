"""Points that a trained run predicts, for the preparation of a set that lacks them."""

import csv
import pathlib
import tempfile
from collections.abc import Sequence

from segjax.errors import DamagedError, UserError
from segjax.inference.open import open_parts
from segjax.inference.predict import TABLE, predict

COLUMNS = ("predicted_x", "predicted_y")


def predicted_points(
    folder: pathlib.Path, photographs: Sequence[pathlib.Path], target: str
) -> dict[str, tuple[float, float]]:
    """The point of each photograph, by its name without ending, in its pixels.

    Args:
        folder: a work folder, trained to find the point.
        photographs: files; their names differ.
        target: the point that it is to have been trained for.

    Raises: UserError where the folder is missing or no such training.
    """
    if not folder.is_dir():
        raise UserError(f"--fovea {folder}: no such work folder")
    parts = open_parts(folder, None, needs_data=False)
    trained = parts.config.task_options.get("target")
    if trained != target or not {*COLUMNS} <= {*parts.task.predictor().columns}:
        raise UserError(
            f"--fovea {folder}: was not trained to find the {target} "
            f"(task {parts.config.task!r}, target {trained!r})"
        )
    with tempfile.TemporaryDirectory() as output:
        try:
            predict(folder, [str(path) for path in photographs], pathlib.Path(output), "best")
        except DamagedError as error:
            raise UserError(f"--fovea {folder}: {error.fault}; train it again") from error
        with pathlib.Path(output, TABLE).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    return {
        pathlib.PurePath(row["image"]).stem: tuple(float(row[name]) for name in COLUMNS)
        for row in rows
    }
